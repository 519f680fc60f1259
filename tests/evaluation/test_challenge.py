"""The challenge's score against plain loops, its properties, where a task has it, and weights that are wrong.

All weights here are drawn at random: the published ones are the user's to give.
"""

import io
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ecg_ramba.cli import main
from ecg_ramba.data.labels import SNOMED_CODES
from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.challenge import ChallengeScore
from ecg_ramba.evaluation.challenge_weights import read_weights
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.flat import mlflow_metrics
from ecg_ramba.evaluation.report import stored_settings, write_report
from ecg_ramba.evaluation.terminal import print_summary

HEADS = ("164889003", "164890007", "6374002", "733534002|164909002", "713427006|59118001", "270492004",
         "284470004|63593006", "426783006", "365413008")  # fmt: skip
NAMES = ("AF", "AFL", "6374002", "LBBB", "RBBB", "IAVB", "PAC", "SNR", "365413008")
SCORED = ("AF", "AFL", "LBBB", "IAVB", "PAC", "SNR")


def some_weights(size, seed=0):
    """A symmetric table with ones on its diagonal and 0 to 0.5 elsewhere."""
    w = np.random.default_rng(seed).integers(0, 50, (size, size)) / 100
    w = np.triu(w, 1)
    return w + w.T + np.eye(size)


def table_text(heads, values):
    lines = ["," + ",".join(heads)]
    lines += [",".join([head, *(f"{v:g}" for v in row)]) for head, row in zip(heads, values, strict=True)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def weights_file(tmp_path):
    path = tmp_path / "weights.csv"
    path.write_text(table_text(HEADS, some_weights(len(HEADS))))
    return path


def by_loops(weights, normal, records):
    """The definition, record by record; ``records``: (labels, outputs) as sets of class numbers."""

    def total(answers):
        earned = 0.0
        for (labels, _), answer in zip(records, answers, strict=True):
            share = 1 / max(1, len(labels | answer))
            for label in labels:
                for output in answer:
                    earned += share * weights[label][output]
        return earned

    observed = total([outputs for _, outputs in records])
    best = total([labels for labels, _ in records])
    idle = total([{normal} for _ in records])
    return (observed - idle) / (best - idle)


def sets(labels, outputs):
    return [
        ({*np.flatnonzero(a).tolist()}, {*np.flatnonzero(b).tolist()}) for a, b in zip(labels, outputs, strict=True)
    ]


@st.composite
def cases(draw):
    """Weights, place of sinus rhythm, labels, outputs; one record has another class, so that the score is defined."""
    size, n = draw(st.integers(2, 6)), draw(st.integers(1, 8))
    normal = draw(st.integers(0, size - 1))
    bits = st.lists(st.lists(st.booleans(), min_size=size, max_size=size), min_size=n, max_size=n)
    labels, outputs = np.array(draw(bits)), np.array(draw(bits))
    labels[0, (normal + 1) % size] = True
    return some_weights(size, draw(st.integers(0, 99))), normal, labels, outputs


def score(weights, normal, labels, outputs, **more):
    return float(ChallengeScore(weights, normal, labels, outputs, **more)()[0][0])


@given(cases())
def test_equals_the_definition_in_plain_loops(case):
    weights, normal, labels, outputs = case
    assert score(*case) == pytest.approx(by_loops(weights, normal, sets(labels, outputs)), abs=1e-9)


@given(cases())
def test_the_labels_score_one_and_sinus_rhythm_alone_zero(case):
    weights, normal, labels, _ = case
    assert score(weights, normal, labels, labels) == pytest.approx(1)
    idle = np.zeros_like(labels)
    idle[:, normal] = True
    assert score(weights, normal, labels, idle) == 0


@given(cases(), st.randoms(use_true_random=False))
def test_neither_the_order_of_classes_nor_copies_of_all_records_matter(case, random):
    weights, normal, labels, outputs = case
    order = list(range(len(weights)))
    random.shuffle(order)
    moved = score(weights[np.ix_(order, order)], order.index(normal), labels[:, order], outputs[:, order])
    assert moved == pytest.approx(score(*case), abs=1e-9)
    twice = score(weights, normal, np.tile(labels, (2, 1)), np.tile(outputs, (2, 1)))
    assert twice == pytest.approx(score(*case), abs=1e-9)


@given(cases(), st.integers(0, 2**16))
def test_a_subject_drawn_twice_is_two_subjects_and_an_unknown_class_is_none(case, seed):
    weights, normal, labels, outputs = case
    rng = np.random.default_rng(seed)
    known = rng.random(labels.shape) < 0.7
    known[:, normal] = known[0] = True
    subject = np.sort(rng.integers(0, 3, len(labels)))
    times = np.array([1 + (subject[0] == s) for s in range(3)]) * rng.integers(0, 3, 3)
    times[subject[0]] = max(1, times[subject[0]])
    prepared = ChallengeScore(weights, normal, labels, outputs, known, subject, 3)
    drawn = prepared(np.column_stack([np.ones(3), times]).astype(np.float32))[0]
    rows = np.repeat(np.arange(len(labels)), times[subject])
    masked = sets(labels & known, outputs & known)
    assert drawn[0] == pytest.approx(by_loops(weights, normal, masked), abs=1e-9)
    assert drawn[1] == pytest.approx(by_loops(weights, normal, [masked[i] for i in rows]), abs=1e-9)


def test_sinus_rhythm_throughout_is_undefined():
    labels = np.array([[True, False], [False, False]])
    assert np.isnan(score(some_weights(2), 0, labels, labels))


def test_the_table_is_read_with_the_suites_names(weights_file):
    read = read_weights(weights_file)
    assert read.names == NAMES
    assert read.members[NAMES.index("RBBB")] == {"CRBBB", "RBBB"}
    assert read.members[NAMES.index("LBBB")] == {"LBBB"}
    assert read.members[NAMES.index("6374002")] == frozenset()
    assert np.array_equal(read.values, some_weights(len(HEADS)))


def test_equivalent_codes_in_columns_of_their_own_are_one_class(tmp_path):
    values = some_weights(4)
    values[:, 1], values[1] = values[:, 0], values[0]
    heads = (SNOMED_CODES["RBBB"], SNOMED_CODES["CRBBB"], SNOMED_CODES["SNR"], SNOMED_CODES["AF"])
    path = tmp_path / "weights.csv"
    path.write_text(table_text(heads, values))
    read = read_weights(path)
    assert read.names == ("RBBB", "SNR", "AF")
    assert np.array_equal(read.values, values[np.ix_([0, 2, 3], [0, 2, 3])])
    values[0, 3] += 0.01
    path.write_text(table_text(heads, values))
    with pytest.raises(UserError, match="59118001 and 713427006 are one diagnosis with different weights"):
        read_weights(path)


def swap(text, a, b):
    return text.replace(a, "?").replace(b, a).replace("?", b)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: None, r"cannot be read \(No such file or directory\); name them with --challenge-weights FILE"),
        (lambda t: "", "holds no table of weights"),
        (lambda t: t[: t.rindex("365413008")], "not square: 8 rows, and one of 9 columns"),
        (lambda t: t.replace(",0.", ",,0.", 1), "not square"),
        (lambda t: t.replace("164889003", "AF"), "'AF' heads a column, and is no SNOMED code"),
        (lambda t: t.replace("284470004|", ""), None),
        (lambda t: t.replace("270492004", "164889003"), "the code 164889003 stands in it twice"),
        (lambda t: t.replace("426783006", "426783007"), r"sinus rhythm \(426783006\) is no class of its own"),
        (lambda t: "\n".join([swap(t.splitlines()[0], "164889003", "164890007"), *t.splitlines()[1:]]), "same order"),
        (lambda t: t.replace("\n164889003,1,", "\n164889003,one,"), "of 164889003 and 164889003 is 'one', no number"),
        (lambda t: t.replace("\n164889003,1,", "\n164889003,,"), "is '', no number"),
        (lambda t: t.replace("\n164889003,1,", "\n164889003,nan,"), "is 'nan', no number"),
        (lambda t: b"PAR1\xff\xfe", "cannot be read"),
    ],
)
def test_a_wrong_table_is_one_clear_line(weights_file, damage, message):
    made = damage(weights_file.read_text())
    if made is None:
        weights_file.unlink()
    else:
        weights_file.write_bytes(made if isinstance(made, bytes) else made.encode())
    if message is None:  # the negative control: another table, and none the worse for it
        assert read_weights(weights_file).names == NAMES
        return
    with pytest.raises(UserError, match=message) as caught:
        read_weights(weights_file)
    assert str(weights_file) in str(caught.value)
    assert "\n" not in str(caught.value)


def settings(path, **more):
    return EvaluationConfig(draws=100, permutations=100, challenge_weights=str(path), **more)


def challenge_rows(evaluation, variant="no_hrv"):
    rows = evaluation.summary
    return rows[(rows["metric"] == "challenge_score") & (rows["variant"] == variant)].set_index("task")


def outputs_by_hand(suite, variant, dataset, fold=None):
    """Records by classes: mean pooling of the fold models' mean, at 0.5, with pandas alone."""
    frame = suite.windows[variant]
    frame = frame[frame["dataset"] == dataset]
    frame = frame if fold is None else frame[frame["fold"] == fold]
    window = frame.astype(dict.fromkeys(SCORED, float)).groupby(["record", "start"])[list(SCORED)].mean()
    return window.groupby("record").mean() >= 0.5


@pytest.fixture
def suite(fake_suite):
    made = fake_suite(n=80)
    for v in made.variants:
        v["pooling"] = {"rule": "mean", "q": 1.0} if v["kind"] == "trained" else v["pooling"]
    return made


def test_source_and_target_figures_by_hand(suite, weights_file):
    made = evaluate(suite.write(), settings(weights_file))
    rows = challenge_rows(made)
    assert list(rows.index) == ["source", "synthetic-third"]
    at = [NAMES.index(c) for c in SCORED]
    weights = read_weights(weights_file).values[np.ix_(at, at)]

    def by_hand(dataset, fold=None):
        outputs = outputs_by_hand(suite, "no_hrv", dataset, fold)
        d = suite.datasets[dataset]
        y = pd.DataFrame({c: d["y"][c] for c in SCORED}, index=d["record"]).loc[outputs.index]
        return by_loops(weights, SCORED.index("SNR"), sets(y.to_numpy(), outputs.to_numpy()))

    folds = [by_hand("synthetic-source", fold) for fold in range(1, 6)]
    assert rows.loc["source", "value"] == pytest.approx(np.mean(folds), abs=1e-9)
    third = rows.loc["synthetic-third"]
    assert third["value"] == pytest.approx(by_hand("synthetic-third"), abs=1e-9)
    assert third["lo"] < third["value"] < third["hi"]
    reference = challenge_rows(made, "ecg_ramba").loc["synthetic-third"]
    assert third["diff"] == pytest.approx(third["value"] - reference["value"], abs=1e-12)
    assert third["diff_lo"] < third["diff"] < third["diff_hi"]
    assert set(third["classes"].split("; ")) == set(SCORED)
    positive = np.any([suite.datasets["synthetic-third"]["y"][c] for c in SCORED if c != "SNR"], axis=0)
    assert (third["units"], third["positives"], third["support"]) == (80, positive.sum(), "protocol")
    notes = " ".join(made.notes)
    assert "over 6 of the 9 classes of weights.csv, without 6374002, RBBB, 365413008: the challenge's def" in notes
    assert "not one of its own figures" in notes
    assert "synthetic-third-superclass: no challenge score: its classes are not the challenge's" in notes
    assert "synthetic-rhythm-window: no challenge score: its units are segments" in notes


def test_nothing_else_changes_with_the_weights(suite, weights_file):
    folder = suite.write()
    without, with_it = (
        evaluate(folder, EvaluationConfig(draws=100, permutations=100)),
        evaluate(folder, settings(weights_file)),
    )
    rest = with_it.summary[with_it.summary["metric"] != "challenge_score"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, without.summary)
    pd.testing.assert_frame_equal(with_it.per_class, without.per_class)
    assert settings(weights_file).departures == "draws = 100, permutations = 100"
    assert "challenge" not in " ".join(without.notes)


def test_equivalent_outputs_count_once_where_the_label_space_keeps_them_apart(fake_suite, tmp_path):
    """paper27 has RBBB and CRBBB: a label of one and an output of the other is right."""
    suite = fake_suite(n=60, rhythm=False)
    for frame in suite.windows.values():
        frame.rename(columns={"LBBB": "RBBB", "IAVB": "CRBBB"}, inplace=True)
    for task in suite.tasks:
        text = json.dumps(task).replace('"LBBB"', '"RBBB"').replace('"IAVB"', '"CRBBB"')
        task.clear()
        task |= json.loads(text)
    suite.labels["cls"] = suite.labels["cls"].replace({"LBBB": "RBBB", "IAVB": "CRBBB"})
    path = tmp_path / "w.csv"
    path.write_text(table_text([f"{SNOMED_CODES['RBBB']}|{SNOMED_CODES['CRBBB']}", SNOMED_CODES["SNR"]], np.eye(2)))
    y = suite.datasets["synthetic-third"]["y"]
    either = pd.Series(y["LBBB"] | y["IAVB"], suite.datasets["synthetic-third"]["record"])
    frame = suite.windows["no_hrv"]
    at = frame["dataset"] == "synthetic-third"
    # the answer to either label under the name of one, and every sinus rhythm right
    frame.loc[at, "CRBBB"] = frame.loc[at, "record"].map(either).astype(np.float32)
    frame.loc[at, "RBBB"] = 0
    frame.loc[at, "SNR"] = frame.loc[at, "record"].map(pd.Series(y["SNR"], either.index)).astype(np.float32).to_numpy()
    row = challenge_rows(evaluate(suite.write(), settings(path))).loc["synthetic-third"]
    assert row["value"] == pytest.approx(1)
    assert row["classes"] == "RBBB; SNR"


def test_unknown_classes_and_untrained_folds_are_masked(fake_suite, weights_file):
    suite = fake_suite(n=60, rhythm=False)
    at = (suite.labels["task"] == "synthetic-third") & (suite.labels["cls"] == "SNR")
    suite.labels.loc[at, "known"] = np.arange(at.sum()) < 40
    suite.info["untrained"] = [{"fold": 2, "cls": "SNR", "positive_subjects": 3}]
    rows = challenge_rows(evaluate(suite.write(), settings(weights_file)))
    assert rows.loc["synthetic-third", "units"] == 40
    assert rows.loc["source", "folds"] == 4
    assert np.isfinite(rows["value"]).all()


def test_without_sinus_rhythm_there_is_no_score_but_a_reason(fake_suite, weights_file):
    suite = fake_suite(n=40, rhythm=False)
    suite.labels.loc[suite.labels["cls"] == "SNR", "known"] = False
    made = evaluate(suite.write(), settings(weights_file))
    assert not len(challenge_rows(made))
    assert "source: no challenge score: sinus rhythm, which it is relative to, is not annotated" in " ".join(made.notes)


def test_a_class_that_is_made_of_others_is_not_the_challenges(fake_suite, weights_file):
    suite = fake_suite(n=40, rhythm=False)
    suite.tasks[1]["scores"]["SNR"] = {"op": "1-max", "of": ["AF", "AFL"]}
    suite.tasks[1]["scores"]["PAC"] = {"op": "max", "of": ["PAC", "IAVB"]}
    rows = challenge_rows(evaluate(suite.write(), settings(weights_file)))
    assert list(rows.index) == ["source"]


def test_few_records_give_a_figure_without_an_interval(fake_suite, weights_file):
    made = evaluate(fake_suite(n=14, subjects=7, rhythm=False).write(), settings(weights_file))
    row = challenge_rows(made).loc["synthetic-third"]
    assert np.isfinite(row["value"])
    assert np.isnan(row["lo"])
    assert "no interval: " in row["reason"]
    assert row["support"] == "below protocol support"
    assert "synthetic-third/challenge below protocol support/challenge_score" in mlflow_metrics(made, "no_hrv")


def test_seeds_are_averaged(fake_suite, weights_file):
    suite = fake_suite(n=40, seeds=3, rhythm=False)
    whole = challenge_rows(evaluate(suite.write(), settings(weights_file)))["value"]
    single = []
    windows = dict(suite.windows)
    suite.info["seeds"] = 1
    for seed in range(3):
        suite.windows = {k: f[f["seed"] == seed] for k, f in windows.items()}
        single.append(challenge_rows(evaluate(suite.write(), settings(weights_file)))["value"])
    assert whole.to_numpy() == pytest.approx(np.mean(single, axis=0), abs=1e-9)


def test_report_terminal_csv_and_mlflow_show_it(suite, weights_file):
    suite.variants[2] |= {"status": "failed", "reason": "no memory", "windows": None, "parameters": None}
    folder = suite.write()
    made = evaluate(folder, settings(weights_file))
    files = write_report(made, folder)
    text = files[0].read_text()
    row = challenge_rows(made).loc["synthetic-third"]
    shown = f"{row['value']:.3f} [{row['lo']:.3f}, {row['hi']:.3f}]"
    assert f"| without HRV | {shown} |" in text
    assert "| class prior | failed |  |" in text
    assert text.count("*Synthetic: synthetic-third: challenge score over 6 of the 9 classes of weights.csv") == 1
    assert made.config.challenge_sha256[:16] in text
    console = Console(file=io.StringIO(), width=80)
    print_summary(made, console)
    assert shown in console.file.getvalue()
    assert "challenge_score" in set(pd.read_csv(next(f for f in files if f.name == "summary.csv"))["metric"])
    assert mlflow_metrics(made, "no_hrv")["synthetic-third/challenge/challenge_score"] == row["value"]


@pytest.mark.slow
def test_the_report_remembers_the_weights_and_refuses_others(suite, weights_file, tmp_path, capsys, monkeypatch):
    folder = suite.write()
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(folder), "--challenge-weights", "weights.csv"]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["report", str(folder)]) == 0
    assert stored_settings(folder).challenge_weights == str(weights_file)
    assert "challenge_score" in (folder / "report" / "summary.csv").read_text()
    before = (folder / "report" / "report.md").read_bytes()
    weights_file.write_text(table_text(HEADS, some_weights(len(HEADS), 1)))
    capsys.readouterr()
    assert main(["report", str(folder)]) == 2
    assert "weights.csv: the challenge's weights have changed since the last report" in capsys.readouterr().err
    weights_file.rename(tmp_path / "other.csv")
    assert main(["report", str(folder)]) == 2
    assert "the challenge's weights cannot be read (No such file" in capsys.readouterr().err
    assert (folder / "report" / "report.md").read_bytes() == before
    assert main(["report", str(folder), "--challenge-weights", "../other.csv"]) == 0
    assert main(["report", str(folder), "--challenge-weights", "none"]) == 0
    assert "challenge" not in (folder / "report" / "report.md").read_text()
    assert stored_settings(folder) == EvaluationConfig()
