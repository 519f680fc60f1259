"""Calibration of a whole (synthetic) run: numbers by hand, reasons where there are none, what the report says."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, t
from sklearn.metrics import brier_score_loss, precision_score

from ecg_ramba.document import Figure, Table, Text, walk
from ecg_ramba.evaluation.calibration_measure import AS_PREDICTED
from ecg_ramba.evaluation.calibration_rows import FRAMES, calibration_frames
from ecg_ramba.evaluation.calibration_text import calibration_section
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.logistic import ONE_OUTCOME, ONE_SCORE, calibration_line
from ecg_ramba.evaluation.metrics import calibration_error
from ecg_ramba.evaluation.recalibration import METHODS, fit_isotonic
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.evaluation.shown import left_unsaid, shown_variants
from ecg_ramba.render import write_document

QUICK = EvaluationConfig(draws=100)
THIRD, RHYTHM = "synthetic-third", "synthetic-rhythm"


def only(frame, **where):
    found = frame[np.logical_and.reduce([frame[k] == v for k, v in where.items()])]
    assert len(found) == 1
    return found.iloc[0]


def score_of(evaluation, variant, task, cls):
    context = evaluation.contexts[task]
    chosen = next(v for v in evaluation.suite.variants if v.name == variant)
    k = [s.name for s in context.task.scores].index(cls)
    return context.units.positive[:, k], ScoreReader.of(evaluation).scores(chosen, context.task).headline[:, :, k]


@pytest.fixture(scope="module")
def done(tmp_path_factory, fake_suite_class):
    suite = fake_suite_class(tmp_path_factory.mktemp("calibrated") / "suite", n=160, seeds=3, poolings=False)
    suite.variants.append(
        suite.variants[1] | {"name": "broken", "title": "broken", "status": "failed", "reason": "loss became NaN"}
    )
    evaluation = evaluate(suite.write(), QUICK)
    return evaluation, calibration_section(evaluation, ScoreReader.of(evaluation))


@pytest.mark.parametrize("task", ["source", THIRD])
def test_figures_are_means_over_seeds_of_what_scikit_learn_gives(done, task):
    evaluation, section = done
    y, scores = score_of(evaluation, "no_hrv", task, "PAC")
    row = only(section.frames["calibration"], task=task, variant="no_hrv", cls="PAC")
    assert row["brier"] == pytest.approx(np.mean([brier_score_loss(y, s) for s in scores]))
    assert row["ece"] == pytest.approx(np.mean([calibration_error(y, s)[0] for s in scores]))
    assert row["slope"] == pytest.approx(np.mean([calibration_line(y, s).slope for s in scores]))
    signs = {"reliability": 1, "resolution": -1, "uncertainty": 1, "within_variance": 1, "within_covariance": -1}
    assert sum(sign * row[name] for name, sign in signs.items()) == pytest.approx(row["brier"], abs=1e-12)
    for name in ("brier", "slope", "intercept", "in_the_large"):
        assert row[f"{name}_lo"] < row[name] < row[f"{name}_hi"]
    assert row["reason"] == row["slope_reason"] == ""
    assert row["estimate"] == ("pooled out-of-fold" if task == "source" else "ensemble of fold models")


def test_intervals_are_the_tasks_draws_spread_for_few_subjects(tmp_path, fake_suite_class):
    evaluation = evaluate(fake_suite_class(tmp_path / "suite", n=60, poolings=False).write(), QUICK)
    frames = calibration_frames(evaluation, ScoreReader.of(evaluation))
    y, (score,) = score_of(evaluation, "no_hrv", THIRD, "PAC")
    units, draws = evaluation.contexts[THIRD].units, evaluation.contexts[THIRD].draws.counts
    n = min(len(np.unique(units.subject[y])), len(np.unique(units.subject[~y])))
    factor = math.sqrt(n / (n - 1)) * t.ppf(0.975, n - 1) / norm.ppf(0.975)
    assert factor > 1.03
    weights = draws[units.subject].astype(float).T

    def by_hand(metric):
        point, drawn = metric(np.ones(len(y))), np.array([metric(w) for w in weights])
        return np.quantile(np.clip(point + factor * (drawn - point), 0, 1), [0.025, 0.975])

    expected = {
        "brier": by_hand(lambda w: brier_score_loss(y, score, sample_weight=w)),
        "sensitivity": by_hand(lambda w: np.average(score[y] >= 0.5, weights=w[y])),
    }
    for name, frame, where in (("brier", "calibration", {}), ("sensitivity", "thresholds", {"scores": AS_PREDICTED})):
        row = only(frames[frame], task=THIRD, variant="no_hrv", cls="PAC", **where)
        assert (row[f"{name}_lo"], row[f"{name}_hi"]) == pytest.approx(tuple(expected[name]), abs=1e-6)
    row = only(frames["calibration"], task=THIRD, variant="no_hrv", cls="PAC")
    assert row["slope_lo"] < row["slope"] < row["slope_hi"]


def test_recalibrated_rows_are_those_of_the_mapped_scores(done):
    evaluation, section = done
    y, scores = score_of(evaluation, "no_hrv", "source", "PAC")
    fold = evaluation.contexts["source"].units.fold
    mapped = np.full_like(scores, np.nan)
    for own, score in zip(mapped, scores, strict=True):
        for f in range(1, 6):
            own[fold == f] = fit_isotonic(y[fold != f], score[fold != f])(score[fold == f])
    where = {"task": "source", "variant": "no_hrv", "cls": "PAC"}
    before = only(section.frames["recalibrated"], **where, scores=AS_PREDICTED)
    after = only(section.frames["recalibrated"], **where, scores="isotonic")
    briers = [brier_score_loss(y, s) for s in mapped]
    assert after["brier"] == pytest.approx(np.mean(briers))
    assert after["brier_change"] == pytest.approx(after["brier"] - before["brier"])
    assert after["brier_change_lo"] < after["brier_change"] < after["brier_change_hi"]
    assert (after["fit_units"], after["fit_positives"]) == (160, y.sum())
    row = only(section.frames["thresholds"], **where, scores="isotonic")
    assert row["ppv"] == pytest.approx(np.mean([precision_score(y, s >= 0.5) for s in mapped]))
    assert row["called"] == pytest.approx((mapped >= 0.5).sum() / 3)
    assert row["ppv_lo"] < row["ppv"] < row["ppv_hi"]


def test_the_macro_is_the_mean_of_its_classes_and_its_slope_their_median(done):
    _, section = done
    rows = section.frames["calibration"]
    rows = rows[(rows["task"] == THIRD) & (rows["variant"] == "ecg_ramba")]
    macro, classes = only(rows, cls="macro"), rows[rows["headline"].eq(True) & (rows["cls"] != "macro")]
    assert set(macro["classes"].split("; ")) == set(classes["cls"])
    assert macro["ece"] == pytest.approx(classes["ece"].mean())
    assert macro["brier"] == pytest.approx(classes["brier"].mean())
    assert macro["slope"] == pytest.approx(classes["slope"].median())
    assert macro["brier_lo"] < macro["brier"] < macro["brier_hi"]
    assert math.isnan(macro["intercept"])


def test_every_class_is_in_the_frames_and_every_failure_is_a_row(done):
    evaluation, section = done
    assert tuple(section.frames) == FRAMES
    rows = section.frames["calibration"]
    for name, context in evaluation.contexts.items():
        for variant in ("ecg_ramba", "no_hrv", "class_prior"):
            got = set(rows[(rows["task"] == name) & (rows["variant"] == variant)]["cls"])
            assert got >= {s.name for s in context.task.scores}
    failed = rows[rows["variant"] == "broken"]
    assert set(failed["task"]) == set(evaluation.contexts)
    assert set(failed["status"]) == {"failed"}
    assert set(failed["reason"]) == {"loss became NaN"}
    assert all(set(f["data"]) == {"synthetic"} for f in section.frames.values())
    bins = section.frames["reliability"]
    counted = bins.groupby(["task", "variant", "cls", "binning"])["bin_units"].sum()
    units = bins.groupby(["task", "variant", "cls", "binning"])["units"].first()
    assert np.allclose(counted, units)


def test_one_score_has_no_slope_and_no_platt_map_and_a_superclass_no_map(done):
    _, section = done
    constant = section.frames["calibration"]
    constant = only(constant, task=THIRD, variant="class_prior", cls="PAC")
    assert constant["slope_reason"] == ONE_SCORE
    assert math.isnan(constant["slope"])
    assert math.isfinite(constant["in_the_large"])
    rows = section.frames["recalibrated"]
    platt = only(rows, task=THIRD, variant="class_prior", cls="PAC", scores="Platt")
    assert "same score" in platt["reason"]
    assert math.isnan(platt["brier"])
    norm = rows[(rows["task"] == f"{THIRD}-superclass") & (rows["cls"] == "NORM") & (rows["scores"] != AS_PREDICTED)]
    assert set(norm["reason"]) == {"no map: the source has this score as SNR, with labels of another meaning"}
    assert norm["brier"].isna().all()


def test_the_report_says_synthetic_and_what_it_needs_to(done, tmp_path):
    _, section = done
    titles = [s.title for _, s in walk((section,))]
    captions = [p.caption for _, s in walk((section,)) for p in s.parts if isinstance(p, Table | Figure)]
    assert all(t.startswith("Synthetic: ") for t in titles)
    assert all(c.startswith("Synthetic: ") for c in captions)
    text = " ".join(p.markdown for _, s in walk((section,)) for p in s.parts if isinstance(p, Text))
    for said in ("No target label reaches a map", "isotonic ones make ties", "Nothing is corrected", "3 training runs"):
        assert said.lower() in text.lower()
    files = write_document("Synthetic", "SYNTHETIC DATA", [only_task(section, THIRD)], tmp_path, "calibration")
    names = {f.name for f in files}
    assert {"calibration.md", "calibration.csv", "thresholds.csv", "decision.csv"} <= names
    assert {f"reliability-{THIRD}.png", f"decision-{THIRD}.png"} <= names
    assert (tmp_path / f"reliability-{THIRD}.png").read_bytes()[:4] == b"\x89PNG"
    table = pd.read_csv(tmp_path / "thresholds.csv")
    assert set(table["scores"]) == {AS_PREDICTED, *METHODS}


def only_task(section, task):
    """The section with one task's parts: figures take seconds."""
    kept = tuple(p for p in section.parts if not hasattr(p, "title") or p.title.startswith(f"Synthetic: {task}: "))
    assert len(kept) == 2
    return dataclasses.replace(section, parts=kept)


def test_one_outcome_is_a_reason_and_no_number(fake_suite):
    suite = fake_suite(n=60, rhythm=False, prevalence={"PAC": 0.0}, skills={"ecg_ramba": 1.0}, poolings=False)
    evaluation = evaluate(suite.write(), QUICK)
    section = calibration_section(evaluation, ScoreReader.of(evaluation))
    row = only(section.frames["calibration"], task=THIRD, variant="ecg_ramba", cls="PAC")
    assert row["slope_reason"] == ONE_OUTCOME
    assert row["reason"].startswith("no interval: 0 positive subjects")
    assert math.isnan(row["slope"])
    assert math.isnan(row["brier_lo"])
    rates = only(section.frames["thresholds"], task=THIRD, cls="PAC", scores=AS_PREDICTED)
    assert math.isnan(rates["sensitivity"])
    maps = section.frames["recalibrated"]
    maps = maps[(maps["cls"] == "PAC") & (maps["scores"] == "Platt")]
    assert set(maps["reason"]) == {
        "no map: 48 units, negatives only outside a fold", "no map: 60 units, negatives only"
    }  # fmt: skip


def test_a_class_that_no_model_was_trained_on_has_a_row_that_says_so(fake_suite):
    suite = fake_suite(n=60, rhythm=False, skills={"ecg_ramba": 1.0}, poolings=False)
    suite.info["untrained"] = [{"fold": f, "cls": "PAC"} for f in range(1, 6)]
    evaluation = evaluate(suite.write(), QUICK)
    rows = calibration_frames(evaluation, ScoreReader.of(evaluation))["calibration"]
    for task in ("source", THIRD):
        row = only(rows, task=task, cls="PAC")
        assert row["reason"] == "no labelled unit, or no model trained on it"
        assert math.isnan(row["brier"])


def test_figures_show_the_reference_and_three_retrained_variants(done):
    evaluation, _ = done
    assert [v.name for v in shown_variants(evaluation)] == ["ecg_ramba", "no_hrv", "class_prior"]
    assert [v.name for v in shown_variants(evaluation, 1)] == ["ecg_ramba", "no_hrv"]
    assert left_unsaid(evaluation) == ""
    assert left_unsaid(evaluation, 1) == "1 more variant is in the CSV files."
    pooling = [dataclasses.replace(v, kind="pooling", reference=False) for v in evaluation.suite.variants]
    only_poolings = dataclasses.replace(
        evaluation, suite=dataclasses.replace(evaluation.suite, variants=tuple(pooling))
    )
    assert [v.name for v in shown_variants(only_poolings)] == ["ecg_ramba"]


def test_a_run_without_numbers_says_so(fake_suite):
    suite = fake_suite(n=40, rhythm=False, skills={"ecg_ramba": 1.0}, poolings=False)
    suite.variants[0] |= {"status": "failed", "reason": "out of memory"}
    evaluation = evaluate(suite.write(), QUICK)
    section = calibration_section(evaluation, ScoreReader.of(evaluation))
    assert section.parts == (Text("No variant finished."),)


def test_a_task_below_every_support_has_rows_but_no_tables(fake_suite):
    suite = fake_suite(n=12, rhythm=False, skills={"ecg_ramba": 1.0}, poolings=False)
    evaluation = evaluate(suite.write(), QUICK)
    section = calibration_section(evaluation, ScoreReader.of(evaluation))
    (third,) = [p for p in section.parts if not isinstance(p, Text) and p.title == f"Synthetic: {THIRD}: calibration"]
    (text,) = third.parts
    assert text.markdown.startswith("No macro figure: ")
    assert (section.frames["calibration"]["task"] == THIRD).any()


def test_without_a_source_task_nothing_is_recalibrated(fake_suite):
    suite = fake_suite(n=80, rhythm=False, skills={"ecg_ramba": 1.0}, poolings=False)
    suite.tasks = [t for t in suite.tasks if t["role"] == "target"]
    evaluation = evaluate(suite.write(), QUICK)
    rows = calibration_frames(evaluation, ScoreReader.of(evaluation))["recalibrated"]
    assert rows[rows["scores"] != AS_PREDICTED]["reason"].str.startswith("no map: the source has no score").all()
