"""The whole evaluation on synthetic suites: values against scikit-learn, rules of support, what is imported."""

import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.pooling import Pooling

QUICK = EvaluationConfig(draws=200)
RHYTHM = "synthetic-rhythm"


def row(frame, **where):
    for column, value in where.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1, f"{len(frame)} rows for {where}"
    return frame.iloc[0]


def score_by_hand(suite, variant, dataset, cls, fold=None):
    """Mean pooling of one class by record, ensemble or one fold, with pandas alone."""
    frame = suite.windows[variant]
    frame = frame[frame["dataset"] == dataset]
    frame = frame if fold is None else frame[frame["fold"] == fold]
    return frame.astype({cls: float}).groupby(["record", "start"])[cls].mean().groupby("record").mean()


@pytest.fixture(scope="module")
def done(tmp_path_factory, fake_suite_class):
    suite = fake_suite_class(tmp_path_factory.mktemp("done") / "suite", n=150)
    for v in suite.variants:
        v["pooling"] = {"rule": "mean", "q": 1.0} if v["kind"] == "trained" else v["pooling"]
    suite.write()
    return suite, evaluate(suite.folder, QUICK)


def test_source_is_the_mean_over_held_out_folds(done):
    suite, made = done
    d = suite.datasets["synthetic-source"]
    values = []
    for fold in range(1, 6):
        own = score_by_hand(suite, "no_hrv", "synthetic-source", "PAC", fold)
        y = pd.Series(d["y"]["PAC"], d["record"]).loc[own.index]
        values.append(roc_auc_score(y, own))
    got = row(made.per_class, task="source", variant="no_hrv", cls="PAC", metric="roc_auc", estimate="mean over folds")
    assert got["value"] == pytest.approx(np.mean(values), abs=1e-6)
    pooled = row(
        made.per_class, task="source", variant="no_hrv", cls="PAC", metric="roc_auc", estimate="pooled out-of-fold"
    )
    own = score_by_hand(suite, "no_hrv", "synthetic-source", "PAC")
    expected = roc_auc_score(pd.Series(d["y"]["PAC"], d["record"]).loc[own.index], own)
    assert pooled["value"] == pytest.approx(expected, abs=1e-6)


def test_gap_is_source_minus_the_fold_models_on_the_target(done):
    suite, made = done
    d = suite.datasets["synthetic-third"]
    values = []
    for fold in range(1, 6):
        own = score_by_hand(suite, "no_hrv", "synthetic-third", "PAC", fold)
        values.append(roc_auc_score(pd.Series(d["y"]["PAC"], d["record"]).loc[own.index], own))
    source = row(
        made.per_class, task="source", variant="no_hrv", cls="PAC", metric="roc_auc", estimate="mean over folds"
    )
    got = row(
        made.per_class, task="synthetic-third", variant="no_hrv", cls="PAC", metric="roc_auc",
        estimate="ensemble of fold models",
    )  # fmt: skip
    assert got["gap"] == pytest.approx(source["value"] - np.mean(values), abs=1e-6)
    assert got["gap_lo"] < got["gap"] < got["gap_hi"]
    reference = row(
        made.per_class, task="synthetic-third", variant="ecg_ramba", cls="PAC", metric="roc_auc",
        estimate="ensemble of fold models",
    )  # fmt: skip
    assert got["gap_diff"] == pytest.approx(got["gap"] - reference["gap"], abs=1e-9)
    assert math.isnan(reference["gap_diff"])


def test_macro_is_the_mean_of_its_classes(done):
    _, made = done
    macro = row(
        made.summary, task="synthetic-third", variant="no_hrv", metric="roc_auc", estimate="ensemble of fold models"
    )
    classes = macro["classes"].split("; ")
    of = made.per_class[
        (made.per_class["task"] == "synthetic-third")
        & (made.per_class["variant"] == "no_hrv")
        & (made.per_class["metric"] == "roc_auc")
        & (made.per_class["estimate"] == "ensemble of fold models")
        & made.per_class["cls"].isin(classes)
    ]
    assert macro["cls"] == "macro"
    assert "AF" not in classes
    assert macro["value"] == pytest.approx(of["value"].mean(), abs=1e-12)
    assert macro["positives"] == of["positives"].sum()


def test_differences_are_paired(done):
    """The interval of a difference is far narrower than independent draws would make it, and zero for equal scores."""
    _, made = done
    pooled = row(
        made.summary, task="synthetic-third", variant="pool_mean", metric="roc_auc", estimate="ensemble of fold models"
    )
    assert (pooled["diff"], pooled["diff_lo"], pooled["diff_hi"]) == (0, 0, 0)
    assert (pooled["gap_diff"], pooled["gap_diff_lo"], pooled["gap_diff_hi"]) == (0, 0, 0)
    worse = row(made.summary, task="source", variant="no_hrv", metric="roc_auc", estimate="mean over folds")
    assert worse["diff_hi"] < 0
    assert worse["how_sure"] == "single training run"


def test_the_class_prior_is_chance_everywhere(done):
    _, made = done
    prior = made.per_class[(made.per_class["variant"] == "class_prior") & (made.per_class["metric"] == "roc_auc")]
    prior = prior[prior["estimate"] != "pooled out-of-fold"]
    assert (prior["value"] == 0.5).all()


def test_subject_weighted_beside_the_plain_figure(done):
    suite, made = done
    s = suite.segments
    frame = suite.windows["no_hrv"]
    frame = frame[frame["dataset"] == RHYTHM].astype({"AF": float, "AFL": float})
    window = frame.groupby(["record", "segment", "start"])[["AF", "AFL"]].mean().max(axis=1)
    own = window.groupby(["record", "segment"]).mean().loc[list(zip(s["record"], s["segment"], strict=True))].to_numpy()
    weight = 1 / s.groupby("subject")["record"].transform("size").to_numpy()
    for estimate, w in (("ensemble of fold models", None), ("subject-weighted", weight)):
        got = row(made.summary, task=f"{RHYTHM}-window", variant="no_hrv", metric="roc_auc", estimate=estimate)
        assert got["value"] == pytest.approx(roc_auc_score(s["positive"], own, sample_weight=w), abs=1e-6)


def test_af_burden_counts_what_a_pooling_cannot_reach(done):
    _, made = done
    (burden,) = made.burdens
    assert burden.task == f"{RHYTHM}-record"
    # Two segments inside, one across the border (a half), of 6 to 10 segments in all.
    assert burden.share == pytest.approx([2.5 / (6 + i % 5) for i in range(0, 30, 3)])
    assert burden.below(Pooling(rule="mean")) == len(burden.share)
    assert burden.below(Pooling(q=3)) == 0
    assert burden.below(Pooling(rule="max")) == 0


def test_shuffled_labels_are_chance(fake_suite):
    suite = fake_suite(n=300, subjects=300, shuffle=True, rng=11, rhythm=False)
    made = evaluate(suite.write(), QUICK)
    for task, estimate in (("source", "mean over folds"), ("synthetic-third", "ensemble of fold models")):
        got = row(made.summary, task=task, variant="ecg_ramba", metric="roc_auc", estimate=estimate)
        assert got["lo"] < 0.5 < got["hi"]
    assert got["gap_lo"] < 0 < got["gap_hi"]


def test_same_files_same_numbers(fake_suite):
    suite = fake_suite(n=40)
    folder = suite.write()
    first = evaluate(folder, QUICK)
    suite.windows = {k: v.sample(frac=1, random_state=3) for k, v in suite.windows.items()}
    suite.write()
    second = evaluate(folder, QUICK)
    pd.testing.assert_frame_equal(first.summary, second.summary)
    pd.testing.assert_frame_equal(first.per_class, second.per_class)


def test_three_seeds_are_averaged_and_resampled(fake_suite):
    suite = fake_suite(n=60, seeds=3, rhythm=False)
    made = evaluate(suite.write(), QUICK)
    got = row(
        made.per_class, task="synthetic-third", variant="no_hrv", cls="PAC", metric="roc_auc",
        estimate="ensemble of fold models",
    )  # fmt: skip
    frame = suite.windows["no_hrv"]
    values = []
    for seed in range(3):
        one = frame[(frame["seed"] == seed) & (frame["dataset"] == "synthetic-third")].astype({"PAC": float})
        window = one.groupby(["record", "start"])["PAC"].mean()
        score = window.groupby("record").agg(lambda p: np.mean(p**3) ** (1 / 3))
        values.append(roc_auc_score(suite.datasets["synthetic-third"]["y"]["PAC"], score))
    assert got["value"] == pytest.approx(np.mean(values), abs=1e-6)
    assert got["how_sure"] == "3 training runs, seeds resampled"


def test_rare_classes_leave_only_an_exploratory_macro(fake_suite):
    few = dict.fromkeys(("AF", "IAVB", "LBBB", "PAC", "SNR"), 0.2) | {"AFL": 0.02}
    made = evaluate(fake_suite(n=60, subjects=60, prevalence=few, rhythm=False, rng=4).write(), QUICK)
    got = row(
        made.summary, task="synthetic-third", variant="ecg_ramba", metric="roc_auc", estimate="ensemble of fold models"
    )
    assert got["cls"] == "macro"
    assert got["support"] == "below protocol support"
    assert math.isfinite(got["value"])
    assert set(made.per_class[made.per_class["positive_subjects"] < 10]["lo"].isna()) <= {True}


def test_too_rare_for_any_macro_gives_a_reason(fake_suite):
    rare = dict.fromkeys(("AF", "AFL", "IAVB", "LBBB", "PAC"), 0.02) | {"SNR": 0.5}
    made = evaluate(fake_suite(n=40, subjects=40, prevalence=rare, rhythm=False).write(), QUICK)
    got = row(made.summary, task="synthetic-third", variant="ecg_ramba")
    assert math.isnan(got["value"])
    assert got["support"] == "no figure"
    assert "no macro figure" in got["reason"]


def test_few_positive_subjects_have_a_point_and_a_reason(fake_suite):
    made = evaluate(fake_suite(n=60, subjects=60, prevalence={"AFL": 0.08}, rhythm=False, rng=2).write(), QUICK)
    got = row(
        made.per_class, task="synthetic-third", variant="ecg_ramba", cls="AFL", metric="roc_auc",
        estimate="ensemble of fold models",
    )  # fmt: skip
    assert 0 < got["positive_subjects"] < 10
    assert math.isfinite(got["value"])
    assert math.isnan(got["lo"])
    assert math.isnan(got["diff_lo"])
    assert got["reason"] == f"no interval: {got['positive_subjects']} positive subjects, 10 needed"


def test_source_folds_without_the_class_are_counted(fake_suite):
    suite = fake_suite(n=100, subjects=100, rhythm=False)
    at = (suite.labels["task"] == "source") & (suite.labels["cls"] == "LBBB") & suite.labels["fold"].isin([1, 2])
    suite.labels.loc[at, "positive"] = False
    made = evaluate(suite.write(), QUICK)
    got = row(
        made.per_class, task="source", variant="ecg_ramba", cls="LBBB", metric="roc_auc", estimate="mean over folds"
    )
    assert (got["folds"], got["folds_left_out"]) == (3, 2)
    assert any("LBBB is scored on 3 folds" in n for n in made.notes)


def test_unknown_labels_do_not_count(fake_suite):
    suite = fake_suite(n=60, rhythm=False)
    at = (suite.labels["task"] == "synthetic-third") & (suite.labels["cls"] == "PAC")
    suite.labels.loc[at, "known"] = np.arange(at.sum()) < 40
    made = evaluate(suite.write(), QUICK)
    got = row(
        made.per_class, task="synthetic-third", variant="ecg_ramba", cls="PAC", metric="roc_auc",
        estimate="ensemble of fold models",
    )  # fmt: skip
    assert got["units"] == 40


def test_untrained_pairs_are_reported_and_masked(fake_suite):
    suite = fake_suite(n=60, rhythm=False)
    suite.info["untrained"] = [{"fold": 2, "cls": "LBBB", "positive_subjects": 3}]
    suite.windows["ecg_ramba"].loc[suite.windows["ecg_ramba"]["fold"] == 2, "LBBB"] = np.nan
    made = evaluate(suite.write(), QUICK)
    assert not made.failures, "a model that fills in an untrained class is masked, not refused"
    for variant in ("ecg_ramba", "no_hrv"):
        got = made.per_class[(made.per_class["variant"] == variant) & (made.per_class["cls"] == "LBBB")]
        assert set(got["folds"]) == {4}
    assert any(n.startswith("Not trained in fold 2 (") and n.endswith(": LBBB.") for n in made.notes)


def test_neither_torch_nor_mlflow_is_imported(fake_suite):
    folder = fake_suite(n=20, rhythm=False).write()
    code = (
        "import sys, json\n"
        "from pathlib import Path\n"
        "from ecg_ramba.evaluation.config import EvaluationConfig\n"
        "from ecg_ramba.evaluation.evaluate import evaluate\n"
        "from ecg_ramba.evaluation.flat import mlflow_metrics\n"
        "from ecg_ramba.evaluation.report import write_report\n"
        "early = 'matplotlib' in sys.modules\n"
        f"made = evaluate(Path({str(folder)!r}), EvaluationConfig(draws=20, permutations=50))\n"
        f"write_report(made, Path({str(folder)!r})); mlflow_metrics(made, 'no_hrv')\n"
        "print(json.dumps([early, sorted({'torch', 'mlflow', 'numba', 'sktime'} & set(sys.modules))]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [False, []]
