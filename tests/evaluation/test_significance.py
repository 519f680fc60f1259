"""The tests of a whole suite: the evaluation's own differences and draws, Holm's families, words where numbers lack."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from ecg_ramba.document import Table, Text
from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.headline_figures import figures_of, paired_draws, pairs_of
from ecg_ramba.evaluation.mcnemar import clustered_mcnemar
from ecg_ramba.evaluation.permutation import Exchanges, exchange_test
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.evaluation.significance import (
    DIFFERENCE,
    MCNEMAR,
    NO_REFERENCE,
    SCORE,
    TESTS,
    VARIANCE,
    holm,
    statistics_of,
)
from ecg_ramba.evaluation.significance_text import p_text, statistics_section

QUICK = EvaluationConfig(draws=200)
SKILLS = {"ecg_ramba": 2.0, "no_hrv": 1.0, "same": 2.0, "class_prior": None}


def row(frame, **where):
    for column, value in where.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1, f"{len(frame)} rows for {where}"
    return frame.iloc[0]


@pytest.fixture(scope="module", params=[1, 3])
def done(request, tmp_path_factory, fake_suite_class):
    """A suite of one or three seeds with its tests."""
    folder = tmp_path_factory.mktemp("done") / "suite"
    suite = fake_suite_class(folder, n=150, seeds=request.param, skills=SKILLS)
    suite.variants.append(
        suite.variants[1]
        | {"name": "broken", "title": "broken", "windows": "", "status": "failed", "reason": "no luck"}
    )
    evaluation = evaluate(suite.write(), QUICK)
    reader = ScoreReader.of(evaluation)
    return evaluation, reader, statistics_of(evaluation, reader, permutations=400)


def test_a_row_for_every_task_variant_and_metric_and_its_difference_is_the_reports(done):
    evaluation, _, found = done
    assert list(found.tests.columns) == list(TESTS)
    summary = evaluation.summary[evaluation.summary["metric"].isin(["roc_auc", "average_precision"])]
    summary = summary[summary["estimate"].isin(["mean over folds", "ensemble of fold models"]) & ~summary["reference"]]
    summary = summary[summary["status"] == "ok"]
    tested = found.tests[found.tests["variant"] != "broken"]
    keys = ["task", "cls", "variant", "metric"]
    both = tested.merge(summary, on=keys, how="outer", suffixes=("", "_reported"), indicator=True)
    assert (both["_merge"] == "both").all()
    assert both["value"].to_numpy() == pytest.approx(both["diff"].to_numpy(), abs=1e-12)
    assert both["p"].between(0, 1).all()
    assert (both["p"] >= both["smallest_p"] - 1e-12).all()
    assert (tested["title"].to_numpy() != "").all()


def test_what_is_better_is_found_and_what_is_not_is_not(done):
    _, _, found = done
    for task in ("source", "synthetic-third"):
        assert row(found.tests, task=task, variant="no_hrv", metric="roc_auc")["p_holm"] < 0.05
        assert row(found.tests, task=task, variant="class_prior", metric="average_precision")["p"] == 1 / 401
        assert row(found.tests, task=task, variant="same", metric="roc_auc")["p"] > 0.01


def test_draws_are_the_evaluations_own(done):
    evaluation, reader, found = done
    for task in ("source", "synthetic-third"):
        context, suite = evaluation.contexts[task], evaluation.suite
        own, other = (
            reader.scores(next(v for v in suite.variants if v.name == name), context.task).headline
            for name in ("no_hrv", "ecg_ramba")
        )
        (figure,) = figures_of(context, evaluation.config)
        draws = paired_draws(figure, context, own, other)
        scored = evaluation.headlines[task]
        expected = scored["no_hrv"].draws - scored["ecg_ramba"].draws
        assert draws[0] == pytest.approx(expected, abs=1e-12)
        tested = row(found.tests, task=task, variant="no_hrv", metric="roc_auc")
        assert tested["standard_error"] == pytest.approx(expected.std(ddof=1))
        assert tested["detectable"] == pytest.approx(2.8016 * expected.std(ddof=1), rel=1e-4)
        assert tested["growth"] == pytest.approx((tested["detectable"] / 0.02) ** 2)


def test_a_macro_is_exchanged_in_all_classes_folds_and_seeds_at_once(done):
    evaluation, reader, found = done
    context = evaluation.contexts["source"]
    by_name = {v.name: v for v in evaluation.suite.variants}
    own, other = (reader.scores(by_name[n], context.task).headline for n in ("same", "ecg_ramba"))
    (figure,) = figures_of(context, evaluation.config)
    pairs = pairs_of(figure, context, own, other)
    assert len(pairs) == 5 * len(figure.classes) * len(own)
    assert sum(p.weight for p in pairs) == pytest.approx(1)
    assert max(p.subject.max() for p in pairs) == figure.subjects - 1
    exchanges = Exchanges.of(("source", context.task.dataset), figure.subjects, 400, QUICK.seed)
    assert (
        exchange_test(pairs, exchanges)["roc_auc"].p
        == row(found.tests, task="source", variant="same", metric="roc_auc")["p"]
    )
    units = context.units
    differences = []
    for t in range(len(own)):
        for k in figure.ks:
            for fold in range(1, 6):
                at = units.fold == fold
                y = units.positive[at, k]
                differences.append(roc_auc_score(y, own[t, at, k]) - roc_auc_score(y, other[t, at, k]))
    assert row(found.tests, task="source", variant="same", metric="roc_auc")["value"] == pytest.approx(
        np.mean(differences), abs=1e-12
    )


def test_holms_families_are_models_and_poolings(done):
    _, _, found = done
    for _, of in found.tests[found.tests["task"] == "source"].groupby(["cls", "metric"]):
        for family, names in (("models", {"no_hrv", "same", "class_prior"}), ("poolings", {"pool_max", "pool_mean"})):
            rows = of[(of["family"] == family) & of["p"].notna()]
            assert set(rows["variant"]) == names
            assert (rows["family_size"] == len(names)).all()
            assert rows["p_holm"].to_numpy() == pytest.approx(multipletests(rows["p"], method="holm")[1])


def test_holm_by_hand():
    tests = pd.DataFrame(
        {"task": "t", "cls": "macro", "metric": "roc_auc", "family": "models", "p": [0.01, np.nan, 0.04, 0.03]}
    )
    made = holm(tests.assign(p_holm=np.nan, family_size=0))
    assert made["p_holm"].tolist() == pytest.approx([0.03, np.nan, 0.06, 0.06], nan_ok=True)
    assert made["family_size"].tolist() == [3, 0, 3, 3]


def test_mcnemar_of_every_class(done):
    evaluation, reader, found = done
    assert list(found.mcnemar.columns) == list(MCNEMAR)
    context = evaluation.contexts["synthetic-third"]
    by_name = {v.name: v for v in evaluation.suite.variants}
    k = [s.name for s in context.task.scores].index("PAC")
    right = {}
    for name in ("no_hrv", "ecg_ramba"):
        scores = reader.scores(by_name[name], context.task).headline[:, :, k]
        right[name] = (scores >= 0.5) == context.units.positive[:, k]
    made = row(found.mcnemar, task="synthetic-third", variant="no_hrv", cls="PAC")
    assert made["right"] == right["no_hrv"].mean()
    assert made["right_reference"] == right["ecg_ramba"].mean()
    expected = clustered_mcnemar(*(r.sum(0) for r in right.values()), context.units.subject)
    assert (made["chi2"], made["p"], made["discordant"]) == (expected.chi2, expected.p, expected.discordant)
    single = row(found.tests, task="synthetic-rhythm-record", variant="no_hrv", metric="roc_auc")
    same = row(found.mcnemar, task="synthetic-rhythm-record", variant="no_hrv", cls="AF|AFL")
    assert single[["mcnemar_chi2", "mcnemar_p"]].tolist() == pytest.approx(same[["chi2", "p"]].tolist(), nan_ok=True)


def test_seeds_and_subjects(done):
    evaluation, _, found = done
    assert list(found.variance.columns) == list(VARIANCE)
    rows = found.variance[(found.variance["task"] == "source") & (found.variance["variant"] == "no_hrv")]
    if evaluation.suite.n_seeds == 1:
        assert rows["value"].isna().all()
        assert rows["reason"].tolist() == [
            "one training run has no variance between seeds to go by; 3 are needed (--seeds)"
        ]
        return
    score, difference = row(rows, of=SCORE), row(rows, of=DIFFERENCE)
    assert score["value"] == pytest.approx(evaluation.headlines["source"]["no_hrv"].value, abs=1e-12)
    assert difference["value"] == pytest.approx(
        evaluation.headlines["source"]["no_hrv"].value - evaluation.headlines["source"]["ecg_ramba"].value, abs=1e-12
    )
    for r in (score, difference):
        assert sum(r[f"share_{k}"] for k in ("subjects", "seeds", "both")) == pytest.approx(1)
        assert r["seed_sd_lo"] < r["seed_sd"] < r["seed_sd_hi"]
    drawn = evaluation.headlines["source"]["no_hrv"].draws.std(ddof=1)
    assert np.sqrt(score["variance"]) == pytest.approx(drawn, rel=0.35)
    assert set(found.variance[found.variance["variant"] == "ecg_ramba"]["of"]) == {SCORE}
    prior = found.variance[(found.variance["variant"] == "class_prior") & (found.variance["of"] == SCORE)]
    assert prior["share_subjects"].isna().all(), "a constant score has no variance to share"


def test_a_failed_variant_has_rows_with_its_reason_and_no_number(done):
    evaluation, _, found = done
    for frame, column in ((found.tests, "p"), (found.mcnemar, "p"), (found.variance, "value")):
        rows = frame[frame["variant"] == "broken"]
        assert set(rows["task"]) == set(evaluation.contexts)
        assert rows[column].isna().all()
        assert rows["reason"].str.startswith("failed: no luck").all()


def test_the_section_in_words(done):
    evaluation, _, found = done
    made = statistics_section(evaluation, found)
    assert made.title == "Synthetic: Statistics"
    assert set(made.frames) == {"tests", "mcnemar", "variance"}
    assert all((frame["data"] == "synthetic").all() for frame in made.frames.values())
    tables = [p for p in made.parts if isinstance(p, Table)]
    assert len({t.name for t in tables}) == len(tables)
    assert all(t.caption.startswith("Synthetic: ") for t in tables)
    assert all(len(r) == len(t.header) == len(set(t.header)) for t in tables for r in t.rows)
    text = "\n".join(p.markdown for p in made.parts if isinstance(p, Text))
    assert "other poolings of stored windows are a family of their own" in text
    assert "broken: failed: no luck" in text
    assert "no McNemar test" not in text, "mcnemar.csv has these reasons"
    source = next(t for t in tables if t.name == "tests-source")
    assert "400 exchanges, smallest p that the test can give: 0.0025" in source.caption
    assert ("single training run" in source.caption) == (evaluation.suite.n_seeds == 1)
    assert ("p values are of these trained models, not of the methods" in text) == (evaluation.suite.n_seeds == 1)
    shown = [t for t in tables if t.name == "variance"]
    assert len(shown) == (evaluation.suite.n_seeds == 3)
    assert all((row[1] == "ECG-RAMBA") == (row[2] == SCORE) for t in shown for row in t.rows)


def test_few_subjects_meet_all_patterns_and_get_no_standard_error(fake_suite):
    config = EvaluationConfig(draws=50, explore_positives=1, explore_subjects=1)
    skills = {"ecg_ramba": 2.0, "no_hrv": 1.0}
    suite = fake_suite(n=60, subjects=8, folds=2, rhythm=False, poolings=False, skills=skills)
    evaluation = evaluate(suite.write(), config)
    found = row(statistics_of(evaluation).tests, task="synthetic-third", variant="no_hrv", metric="roc_auc")
    assert (found["patterns"], found["exhaustive"], found["smallest_p"]) == (256, True, 2 / 256)
    assert found["p"] * 256 == pytest.approx(round(found["p"] * 256))
    assert np.isnan(found[["standard_error", "detectable", "growth", "p_equivalent"]].astype(float)).all()
    assert "no interval: 8 negative subjects, 10 needed" in found["reason"]
    made = statistics_section(evaluation, statistics_of(evaluation))
    caption = next(p.caption for p in made.parts if isinstance(p, Table) and p.name == "tests-synthetic-third")
    assert "all 256 patterns, smallest p that the test can give: 0.0078" in caption


def test_without_a_reference_every_row_says_so(fake_suite):
    suite = fake_suite(n=60, rhythm=False)
    for v in suite.variants:
        v["reference"] = False
    evaluation = evaluate(suite.write(), EvaluationConfig(draws=20))
    found = statistics_of(evaluation)
    assert set(found.tests["variant"]) == {v["name"] for v in suite.variants}
    assert found.tests["p"].isna().all()
    assert found.tests[["p_holm", "value"]].isna().all(axis=None)
    assert found.tests["reason"].str.endswith(NO_REFERENCE).all()
    made = statistics_section(evaluation, found)
    assert not [p for p in made.parts if isinstance(p, Table)]
    assert any(f"No test. all: {NO_REFERENCE}" in p.markdown for p in made.parts if isinstance(p, Text))


def test_a_reference_that_failed_is_no_reference(fake_suite):
    suite = fake_suite(n=60, rhythm=False, poolings=False)
    suite.windows["ecg_ramba"].loc[5, "AF"] = 1.5
    evaluation = evaluate(suite.write(), EvaluationConfig(draws=20))
    assert list(evaluation.failures) == ["ecg_ramba"]
    found = statistics_of(evaluation)
    assert set(found.tests["variant"]) == set(found.mcnemar["variant"]) == {"no_hrv", "class_prior"}
    assert found.tests["reason"].str.endswith(NO_REFERENCE).all()
    assert found.variance[found.variance["variant"] == "ecg_ramba"]["reason"].str.startswith("failed: ").all()


def test_predictions_that_are_gone_are_named(fake_suite):
    suite = fake_suite(n=40, rhythm=False)
    evaluation = evaluate(suite.write(), EvaluationConfig(draws=20))
    (suite.folder / "variants" / "no_hrv" / "windows.parquet").unlink()
    with pytest.raises(UserError, match=r"no_hrv/windows\.parquet: no such file; run the suite again"):
        statistics_of(evaluation, permutations=20)


def test_a_task_without_a_headline_says_why(fake_suite):
    suite = fake_suite(n=30, rhythm=False, prevalence=dict.fromkeys(("IAVB", "LBBB", "PAC"), 0.0))
    evaluation = evaluate(suite.write(), EvaluationConfig(draws=20))
    found = statistics_of(evaluation)
    rows = found.tests[found.tests["task"] == "synthetic-third"]
    assert rows["p"].isna().all()
    assert rows["reason"].str.startswith("no macro figure").all()
    assert statistics_section(evaluation, found).parts


def test_what_is_unknown_does_not_matter(fake_suite):
    """Units that are not scored for a class may hold anything: noise there changes no number."""
    made = []
    for noise in (False, True):
        suite = fake_suite(f"suite{noise}", n=80, rhythm=False, poolings=False)
        hidden = suite.datasets["synthetic-third"]["record"][::7]
        unknown = (suite.labels["task"] != "source") & suite.labels["record"].isin(hidden)
        suite.labels.loc[unknown, "known"] = False
        if noise:
            rng = np.random.default_rng(0)
            suite.labels.loc[unknown, "positive"] = rng.random(int(unknown.sum())) < 0.5
            for frame in suite.windows.values():
                at = (frame["dataset"] == "synthetic-third") & frame["record"].isin(hidden)
                for c in ("AF", "AFL", "IAVB", "LBBB", "PAC", "SNR"):
                    frame.loc[at, c] = rng.random(int(at.sum())).astype(np.float32)
        found = statistics_of(evaluate(suite.write(), EvaluationConfig(draws=50)), permutations=50)
        made.append([f[f["task"] != "source"] for f in (found.tests, found.mcnemar, found.variance)])
    for a, b in zip(*made, strict=True):
        pd.testing.assert_frame_equal(a, b, check_exact=True)


@pytest.mark.parametrize(
    ("p", "text"), [(1.0, "1.000"), (0.0412, "0.041"), (0.00512, "0.0051"), (0.0001, "0.0001"), (1e-6, "1.0e-06")]
)
def test_p_values_as_printed(p, text):
    assert p_text(p) == text
    assert p_text(float("nan")) == "–"
