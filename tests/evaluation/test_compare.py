"""Two runs compared: the same numbers as within one run, on what both scored and nothing else."""

import itertools
import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score

from ecg_ramba import cli_runs
from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.evaluation.compare import compare
from ecg_ramba.evaluation.compare_text import compare_opening, compare_sections, p_text, pairing_text
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.foreign import read_foreign
from ecg_ramba.evaluation.sides import read_sides
from ecg_ramba.evaluation.significance import tests_of as paired_tests
from ecg_ramba.harness.options import Parser
from ecg_ramba.render import markdown

QUICK = EvaluationConfig(draws=60)
FEW = 400
THIRD = "synthetic-third"
SETTINGS = {"base_seed": 0, "targets": ["x"], "budget": {"__class__": "Budget", "epochs": 20, "loss": "bce"}}
OTHER = SETTINGS | {"budget": {"__class__": "Budget", "epochs": 30, "loss": "bce"}}
FOLDS = {f"r{i:05d}": i % 30 % 5 + 1 for i in range(60)}


def both(a, b, names=("", ""), config=QUICK, permutations=FEW):
    return compare(*read_sides((a, b), names), config, permutations)


@pytest.fixture(scope="module")
def suite(tmp_path_factory, fake_suite_class):
    """A synthetic run of three variants; the folder is only read."""
    made = fake_suite_class(tmp_path_factory.mktemp("compare") / "one", n=60, poolings=False)
    made.info["config"] = SETTINGS
    (made.write() / "splits.json").write_text(json.dumps({"held_out_fold": FOLDS}))
    return made


@pytest.fixture
def two(suite, tmp_path):
    """Two runs with the same labels: A's reference is the full model, B's the one without HRV; to be changed."""
    a, b = (shutil.copytree(suite.folder, tmp_path / name) for name in "ab")
    reference(b, "no_hrv")
    return a, b


def reference(folder, name):
    rows = json.loads((folder / "variants.json").read_text())
    for row in rows:
        row["reference"] = row["name"] == name
    (folder / "variants.json").write_text(json.dumps(rows))


def change(path, how):
    frame = how(pd.read_parquet(path))
    frame.to_parquet(path, index=False)


def figure(found, task, cls="macro", metric="roc_auc"):
    rows = found.rows
    rows = rows[(rows["task"] == task) & (rows["cls"] == cls) & (rows["metric"] == metric)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_two_runs_give_what_one_run_with_both_gives(suite, two):
    """The oracle: the run's own evaluation, where both are variants of it."""
    found = both(*two)
    assert found.unpaired == []
    made = evaluate(suite.folder, QUICK)
    tests = paired_tests(made, permutations=FEW)
    per = pd.concat([made.summary, made.per_class]).drop_duplicates(["task", "variant", "cls", "estimate", "metric"])
    checked = 0
    for row in found.rows.to_dict("records"):
        at = per[(per["task"] == row["task"]) & (per["cls"] == row["cls"]) & (per["metric"] == row["metric"])]
        at = at[at["estimate"] == row["estimate"]].set_index("variant")
        own, other = at.loc["ecg_ramba"], at.loc["no_hrv"]
        pairs = {"a": own["value"], "a_lo": own["lo"], "a_hi": own["hi"], "b": other["value"], "b_lo": other["lo"]}
        pairs |= {k: other[k] for k in ("diff", "diff_lo", "diff_hi", "gap_diff", "gap_diff_lo", "gap_diff_hi")}
        pairs |= {"gap_a": own["gap"], "gap_b": other["gap"], "units": other["units"], "subjects": other["subjects"]}
        for name, value in pairs.items():
            assert row[name] == value or (np.isnan(row[name]) and np.isnan(value)), (row["task"], row["cls"], name)
            checked += np.isfinite(value)
    assert checked > 300
    for row in tests[tests["variant"] == "no_hrv"].to_dict("records"):
        assert figure(found, row["task"], row["cls"], row["metric"])["p"] == row["p"]
    assert found.rows["gap_diff"].notna().any()


def test_the_other_way_round_is_the_negative(two):
    one, other = both(*two), both(*two[::-1])
    for name in ("diff", "gap_diff"):
        np.testing.assert_allclose(one.rows[name], -other.rows[name], atol=1e-12)
    np.testing.assert_allclose(one.rows["diff_lo"], -other.rows["diff_hi"], atol=1e-12)
    np.testing.assert_allclose(one.rows["p"], other.rows["p"])


def test_a_run_against_itself_differs_in_nothing(suite):
    rows = both(suite.folder, suite.folder).rows
    for name in ("diff", "diff_lo", "diff_hi", "gap_diff"):
        assert set(rows[name].dropna()) == {0.0}
    assert set(rows["p"].dropna()) == {1.0}
    assert (rows[["only_a", "only_b"]] == 0).all(axis=None)


def only_some(folder, records, task_dataset):
    """Leave these records of a data set alone in a run's labels and predictions."""
    keep = lambda f: f[(f["dataset"] != task_dataset) | f["record"].isin(records)]  # noqa: E731
    change(folder / "labels.parquet", keep)
    for path in (folder / "variants").glob("*/windows.parquet"):
        change(path, keep)


def test_only_units_that_both_scored_count_and_the_others_are_counted(two, suite):
    a, b = two
    names = [f"r{i:05d}" for i in range(60)]
    only_some(a, names[:50], THIRD)
    only_some(b, names[7:], THIRD)
    found = both(a, b)
    common = names[7:50]
    assert (figure(found, THIRD)["only_a"], figure(found, THIRD)["only_b"]) == (7, 10)
    row = figure(found, THIRD, "PAC")
    y = suite.datasets[THIRD]["y"]["PAC"][7:50]
    assert (row["units"], row["positives"]) == (43, int(y.sum()))
    for letter, variant in (("a", "ecg_ramba"), ("b", "no_hrv")):
        windows = suite.windows[variant].query("dataset == @THIRD")
        mean = windows.groupby(["record", "start"])["PAC"].mean().astype(np.float64)
        score = (mean**3).groupby("record").mean().pow(1 / 3)[common]
        assert row[letter] == pytest.approx(roc_auc_score(y, score), abs=1e-9)
        ap = figure(found, THIRD, "PAC", "average_precision")[letter]
        assert ap == pytest.approx(average_precision_score(y, score), abs=1e-9)
    assert figure(found, "source")["only_a"] == 0


def test_the_permutation_test_is_of_the_common_units(two, suite):
    """Brute force over all patterns of a handful of subjects."""
    a, b = two
    names = [f"r{i:05d}" for i in range(60)]
    some = [n for i, n in enumerate(names) if i % 30 < 6]  # six subjects, two records each
    only_some(b, some, THIRD)
    row = figure(both(a, b, permutations=10_000), f"{THIRD}-superclass", "NORM")
    y = suite.datasets[THIRD]["y"]["SNR"][[names.index(n) for n in some]]
    subject = suite.datasets[THIRD]["subject"][[names.index(n) for n in some]]
    ranks = []
    for variant in ("ecg_ramba", "no_hrv"):
        windows = suite.windows[variant].query("dataset == @THIRD and record in @some")
        mean = windows.groupby(["record", "start"])["SNR"].mean().astype(np.float64)
        ranks.append(rankdata(np.round((mean**3).groupby("record").mean().pow(1 / 3)[some], 9)))
    people = sorted(set(subject))

    def difference(swapped):
        at = np.isin(subject, [p for p, s in zip(people, swapped, strict=True) if s])
        one, other = (np.where(at, ranks[1 - i], ranks[i]) for i in (0, 1))
        return roc_auc_score(y, other) - roc_auc_score(y, one)

    seen = difference([False] * len(people))
    every = [difference(s) for s in itertools.product([False, True], repeat=len(people))]
    assert row["diff"] == pytest.approx(seen)
    assert row["p"] == pytest.approx(np.mean(np.abs(every) >= abs(seen) - 1e-12))
    assert row["smallest_p"] == 2 / 2 ** len(people)


def test_a_file_of_the_same_predictions_differs_in_nothing(suite, tmp_path):
    frame = suite.windows["no_hrv"].sample(frac=1, random_state=0)
    for form in ("csv", "parquet"):
        path = tmp_path / f"mine.{form}"
        frame.to_csv(path, index=False) if form == "csv" else frame.to_parquet(path)
        for places in ((suite.folder, path), (path, suite.folder)):
            names = ("no_hrv", "") if places[1] == path else ("", "no_hrv")
            rows = both(*places, names).rows
            assert rows["diff"].abs().max() < 1e-6
            assert rows["diff"].notna().any()


def test_a_file_that_predicts_some_records_is_compared_on_these(suite, tmp_path):
    frame = suite.windows["no_hrv"]
    partly = frame[(frame["dataset"] == THIRD) & (frame["record"] >= "r00020")]
    gap = (partly["record"] == "r00030") & (partly["fold"] == 2) & (partly["start"] == 0)
    partly[~gap].drop(columns="LBBB").to_parquet(tmp_path / "mine.parquet")
    found = both(suite.folder, tmp_path / "mine.parquet")
    row = figure(found, THIRD, "PAC")
    assert (row["units"], row["only_a"], row["only_b"]) == (39, 21, 0)
    assert np.isnan(figure(found, THIRD, "LBBB")["diff"])
    assert "has a score on both sides" in figure(found, THIRD, "LBBB")["reason"]
    said = " ".join(found.notes)
    assert "has no column for LBBB" in said
    assert "source is scored by A alone" in said
    assert "is not known" in found.unpaired[0]
    assert set(found.rows["task"]) == {THIRD, f"{THIRD}-superclass"}


def damaged(frame, how):
    frame = frame.copy()
    at = frame.index[frame["dataset"] == THIRD][4]
    if how == "doubled":
        return pd.concat([frame, frame.loc[[at]]])
    if how == "nan":
        frame.loc[at, "AF"] = np.nan
    if how == "too large":
        frame.loc[at, "AF"] = 1.5
    if how == "words":
        frame["AF"] = frame["AF"].astype(object)
        frame.loc[at, "AF"] = "high"
    if how == "no fold":
        return frame.drop(columns="fold")
    if how == "other records":
        return frame.assign(record="x" + frame["record"])
    if how == "other data":
        return frame.assign(dataset="other-" + frame["dataset"])
    if how == "other folds":
        home = frame["dataset"] == "synthetic-source"
        frame.loc[home, "fold"] = frame.loc[home, "fold"] % 5 + 1
    return frame


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ("doubled", UserError, "has a window twice"),
        ("nan", UserError, "for AF that is no probability"),
        ("too large", UserError, "for AF that is no probability"),
        ("words", UserError, "for AF that is no probability"),
        ("no fold", UserError, "lacks the columns fold"),
        ("other records", UserError, "no record of synthetic-source has all the windows"),
        ("other data", UserError, "nothing can be compared"),
        ("other folds", LeakageError, "must be predicted by fold"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(suite, tmp_path, how, error, words):
    path = tmp_path / "mine.csv"
    damaged(suite.windows["no_hrv"], how).to_csv(path, index=False)
    with pytest.raises(error, match=words) as caught:
        both(suite.folder, path)
    assert "mine.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("how", "words"), [("doubled", "twice"), ("nan", "NaN in fold"), ("too large", "outside 0 to 1")]
)
def test_what_is_wrong_with_a_runs_predictions_is_said(two, how, words):
    a, b = two
    change(b / "variants" / "no_hrv" / "windows.parquet", lambda f: damaged(f, how))
    with pytest.raises(UserError, match=words):
        both(a, b)


def test_records_with_leading_zeros_stay_as_they_are(suite, tmp_path):
    frame = suite.windows["no_hrv"].head(3).assign(record="00012")
    frame.to_csv(tmp_path / "mine.csv", index=False)
    assert set(read_foreign(tmp_path / "mine.csv")["record"]) == {"00012"}


def test_labels_that_differ_are_an_error_that_names_the_record_and_the_class(two):
    a, b = two

    def flip(frame):
        at = (frame["task"] == THIRD) & (frame["record"] == "r00003") & (frame["cls"] == "PAC")
        return frame.assign(positive=frame["positive"] ^ at)

    change(b / "labels.parquet", flip)
    with pytest.raises(UserError, match=r"record r00003 is (posi|nega)tive for PAC in A and (posi|nega)tive in B"):
        both(a, b)


def test_labels_that_one_run_does_not_know_are_an_error(two):
    a, b = two
    at = lambda f: (f["task"] == THIRD) & (f["record"] == "r00003") & (f["cls"] == "SNR")  # noqa: E731
    change(b / "labels.parquet", lambda f: f.assign(known=f["known"] & ~at(f)))
    with pytest.raises(UserError, match=r"record r00003 is .* for SNR in A and unknown in B"):
        both(a, b)


def test_subjects_that_differ_are_an_error(two):
    a, b = two
    change(
        b / "labels.parquet",
        lambda f: f.assign(subject=f["subject"].where((f["dataset"] != THIRD) | (f["record"] != "r00003"), "s99999")),
    )
    with pytest.raises(UserError, match="record r00003 is of subject s00003 in A and of s99999 in B"):
        both(a, b)


def rename(folder, dataset):
    """The same run, of other records."""
    other = lambda f: f.assign(record=f["record"].where(f["dataset"] != dataset, "x" + f["record"]))  # noqa: E731
    change(folder / "labels.parquet", other)
    for path in (folder / "variants").glob("*/windows.parquet"):
        change(path, other)


def test_disjoint_records(two):
    a, b = two
    rename(b, THIRD)
    found = both(a, b)
    assert f"{THIRD}: no record in common: 60 in A, 60 in B" in found.notes
    assert THIRD not in set(found.rows["task"])
    for dataset in ("synthetic-source", "synthetic-rhythm"):
        rename(b, dataset)
    with pytest.raises(UserError, match=r"have nothing in common to compare .*no record in common"):
        both(a, b)


def test_one_class_and_one_subject_give_rows_with_reasons(two):
    a, b = two
    alone = ["r00000", "r00030"]  # both of subject s00000
    only_some(b, alone, THIRD)
    found = both(a, b)
    rows = found.rows[found.rows["task"] == THIRD]
    assert (rows["subjects"].dropna() == 1).all()
    assert rows["diff_lo"].isna().all()
    assert (rows[rows["metric"].isin(["roc_auc", "average_precision"])]["reason"] != "").all()
    lead = figure(found, THIRD)
    assert lead["support"] == "no figure"
    assert "no macro figure" in lead["reason"]
    assert any(line.startswith(f"{THIRD}: no macro figure") for line in markdown_of(found).splitlines() if line)


def markdown_of(found):
    return markdown("t", compare_opening(found), compare_sections(found)).replace("Synthetic-", "synthetic-")


def test_classes_of_one_run_alone_are_left_out_and_said(two):
    a, b = two
    tasks = json.loads((b / "tasks.json").read_text())
    for task in tasks:
        if "PAC" in task["scores"]:
            del task["scores"]["PAC"]
            task["macro"].remove("PAC")
        if "AF|AFL" in task["scores"]:
            task["scores"]["AF|AFL"]["of"] = ["AF"]
    (b / "tasks.json").write_text(json.dumps(tasks))
    found = both(a, b)
    assert "PAC" not in set(found.rows["cls"])
    assert "PAC" not in figure(found, THIRD)["classes"]
    assert f"{THIRD}: scored by A alone: PAC" in found.notes
    assert f"{THIRD}: AF|AFL is read off AF, AFL in A and off AF in B" in found.notes


def test_a_class_that_one_run_did_not_train_in_a_fold_is_left_out_there(two):
    a, b = two
    info = json.loads((b / "suite.json").read_text())
    info["untrained"] = [{"fold": 2, "cls": "LBBB", "positive_subjects": 1}]
    (b / "suite.json").write_text(json.dumps(info))
    row = figure(both(a, b), "source", "LBBB")
    whole = figure(both(a, a), "source", "LBBB")
    assert (whole["units"], row["units"]) == (60, 48)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": "chapman"}, "the source is synthetic-source in A and chapman in B"),
        ({"mapping_digest": "x" * 64}, "tables that map labels differ"),
        ({"label_space": "paper27"}, "label space is merged24 in A and paper27 in B"),
        ({"config": OTHER}, "settings of the training differ: budget.epochs (20 and 30)"),
        ({"config": SETTINGS | {"targets": []}}, None),
        ({"config": None}, "the training settings of B are not stored there"),
        ({"data": []}, "the recordings that trained B are not stored there"),
        ({"data": "digest"}, "the source's recordings, labels or preparation differ (60 and 60 recordings)"),
        ({"splits": "moved"}, "3 recordings are held out in another fold"),
        ({"splits": "gone"}, "the folds of B are not stored there"),
    ],
)  # fmt: skip
def test_what_keeps_two_trainings_from_being_paired_is_said(two, changes, words):
    _, b = two
    info, splits = (json.loads((b / name).read_text()) for name in ("suite.json", "splits.json"))
    for key, value in changes.items():
        if key == "splits":
            splits["held_out_fold"] |= {f"r{i:05d}": (i + 1) % 5 + 1 for i in range(3)}
        elif value == "digest":
            info["data"][0]["digest"] = "1" * 64
        elif value is None:
            del info[key]
        else:
            info[key] = value
    (b / "suite.json").write_text(json.dumps(info))
    (b / "splits.json").write_text(json.dumps(splits))
    if changes.get("splits") == "gone":
        (b / "splits.json").unlink()
    found = both(*two)
    if words is None:
        assert found.unpaired == []
        assert pairing_text(found).startswith("A paired training")
    else:
        assert words in "; ".join(found.unpaired)
        assert "NOT A PAIRED TRAINING" in compare_opening(found)
        assert "Not a paired training" in pairing_text(found)


def test_other_folds_have_no_exchange_and_draw_from_all_subjects(fake_suite, tmp_path):
    a = fake_suite("a", n=300, rhythm=False, poolings=False).write()
    b = shutil.copytree(a, tmp_path / "b")
    reference(b, "no_hrv")

    def other(frame):  # fifty subjects change their fold
        at = (frame["dataset"] == "synthetic-source") & (frame["record"].str[1:].astype(int) % 150 < 50)
        fold = (frame["fold"] % 5 + 1).where(at, frame["fold"])
        return frame.assign(fold=fold.astype(frame["fold"].dtype))

    change(b / "labels.parquet", other)
    change(b / "variants" / "no_hrv" / "windows.parquet", other)
    found = both(a, b)
    row = figure(found, "source")
    assert np.isnan(row["p"])
    assert "other folds" in row["p_reason"]
    assert row["diff_lo"] < row["diff"] < row["diff_hi"]
    assert np.isfinite(figure(found, THIRD)["p"])
    assert any("split into other folds" in n for n in found.notes)
    for letter, folder, variant in (("a", a, "ecg_ramba"), ("b", b, "no_hrv")):  # each by its own folds
        own = evaluate(folder, QUICK).summary.query("task == 'source' and estimate == 'mean over folds'")
        own = own[(own["variant"] == variant) & (own["metric"] == "roc_auc")]["value"].iloc[0]
        assert row[letter] == pytest.approx(own, abs=1e-12)


def test_other_numbers_of_seeds(fake_suite):
    one = fake_suite("one", n=40, rhythm=False, seeds=1, poolings=False)
    three = fake_suite("three", n=40, rhythm=False, seeds=3, poolings=False)
    three.labels, three.datasets = one.labels, one.datasets
    three.windows = {name: three._windows(skill) for name, skill in three.skills.items()}
    found = both(one.write(), three.write())
    row = figure(found, THIRD)
    assert "1 and 3 training runs" in row["p_reason"]
    assert np.isfinite(row["diff_lo"])
    assert "A has 1 training seed, B 3 training seeds" in found.unpaired
    assert (row["seeds_a"], row["seeds_b"]) == (1, 3)


def test_a_planted_difference_is_found_and_none_is_not(fake_suite):
    one = fake_suite("one", n=200, rhythm=False, poolings=False, skills={"ecg_ramba": 2.0, "same": 2.0, "worse": 0.5})
    folder = one.write()
    better, same = (both(folder, folder, ("", name), permutations=999) for name in ("worse", "same"))
    for task in ("source", THIRD):
        assert figure(better, task)["p"] == 1 / 1000
        assert figure(better, task)["diff_hi"] < 0
        assert figure(same, task)["p"] > 0.01
        assert figure(same, task)["diff_lo"] < 0 < figure(same, task)["diff_hi"]
    assert "smallest possible" in p_text(figure(better, THIRD).to_dict())


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("no_hvr", ""), "did you mean no_hrv"),
        (("", "broken"), "has no predictions to compare .loss became NaN"),
        (("class_prior", "class_prior"), None),
    ],
)
def test_variants_are_chosen_by_name(two, names, words):
    a, b = two
    rows = json.loads((b / "variants.json").read_text())
    rows.append(
        rows[0]
        | {"name": "broken", "status": "failed", "reason": "loss became NaN", "windows": None, "reference": False}
    )
    (b / "variants.json").write_text(json.dumps(rows))
    if words:
        with pytest.raises(UserError, match=words):
            both(a, b, names)
    else:
        assert set(both(a, b, names).rows["diff"].dropna()) == {0.0}


def test_what_is_neither_a_run_nor_a_file(two, tmp_path):
    a, b = two
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "x.csv").write_text("")
    for places, names, words in (
        ((a, tmp_path / "gone"), ("", ""), "gone is not there"),
        ((a, tmp_path / "notes.txt"), ("", ""), "no Parquet or CSV file"),
        ((tmp_path / "x.csv", tmp_path / "x.csv"), ("", ""), "are both files"),
        ((a, tmp_path / "x.csv"), ("", "no_hrv"), "holds one model"),
        ((a, tmp_path / "x.csv"), ("", ""), "x.csv: cannot be read"),
        ((a, tmp_path), ("", ""), "suite.json: no such file"),
    ):
        with pytest.raises(UserError, match=words):
            read_sides(places, names)
    reference(b, "nobody")
    with pytest.raises(UserError, match="has no reference; name one of its variants"):
        read_sides((a, b), ("", ""))


def test_the_command_writes_what_it_prints_and_says_synthetic(two, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    a, b = two
    parser = Parser()
    cli_runs.add_run_commands(parser.add_subparsers(parser_class=Parser))
    out = tmp_path / "out"
    options = parser.parse_args(["compare", str(a), str(b), "--out", str(out)])
    assert options.run(options) == 0
    said = capsys.readouterr().out
    table = pd.read_csv(out / "compare.csv")
    row = table[(table["task"] == THIRD) & (table["cls"] == "macro") & (table["metric"] == "roc_auc")].iloc[0]
    for text in (said, (out / "compare.md").read_text(), (out / "compare.html").read_text()):
        assert "SYNTHETIC DATA" in text
        assert f"{row['diff']:+.3f} [{row['diff_lo']:+.3f}, {row['diff_hi']:+.3f}]" in text
    assert set(table["data"]) == {"synthetic"}
    captions = [
        line
        for line in (out / "compare.md").read_text().splitlines()
        if line.startswith("*") and not line.startswith("**")
    ]
    assert captions
    assert all(line.startswith("*Synthetic: ") for line in captions)


def test_comparing_imports_neither_torch_nor_mlflow(suite, tmp_path):
    suite.windows["no_hrv"].to_parquet(tmp_path / "mine.parquet")
    code = (
        "import sys\nfrom ecg_ramba import cli_runs\nfrom ecg_ramba.harness.options import Parser\n"
        "p = Parser()\ncli_runs.add_run_commands(p.add_subparsers(parser_class=Parser))\n"
        f"o = p.parse_args(['compare', {str(suite.folder)!r}, 'mine.parquet', '--out', 'made'])\n"
        "early = sorted({'numpy', 'pandas', 'rich'} & set(sys.modules))\n"
        "o.run(o)\nprint('HEAVY', early, sorted({'torch', 'mlflow', 'numba', 'sktime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.endswith("HEAVY [] []\n")
