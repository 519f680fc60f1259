"""Every metric and its draws: scikit-learn's on each resampled set of units, and the evaluation's own headlines."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    log_loss,
    roc_auc_score,
)

from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.drawn import ALL_METRICS, DrawnMetrics, metrics_of_sums, sums_by_cluster
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.scored import ScoreReader

CONFIG = EvaluationConfig(draws=40)


def by_hand(y, score):
    """scikit-learn's figures, and the calibration error bin by bin."""
    if len(set(y.tolist())) < 2:
        ranked = {"roc_auc": np.nan, "average_precision": np.nan}
    else:
        ranked = {"roc_auc": roc_auc_score(y, score), "average_precision": average_precision_score(y, score)}
    called = score >= 0.5
    tn, fp, fn, tp = confusion_matrix(y, called, labels=[False, True]).ravel()
    error = 0.0
    for b in range(15):
        at = np.minimum(np.floor(score * 15), 14) == b
        error += abs((y[at] - score[at]).sum()) / len(y)
    return ranked | {
        "f1": f1_score(y, called, zero_division=0) if y.any() else np.nan,
        "sensitivity": tp / (tp + fn) if tp + fn else np.nan,
        "specificity": tn / (tn + fp) if tn + fp else np.nan,
        "brier": brier_score_loss(y, score),
        "ece": error,
        "nll": log_loss(y, np.clip(score, 1e-6, 1 - 1e-6), labels=[False, True]),
    }


@pytest.fixture(scope="module")
def evaluated(fake_suite_class, tmp_path_factory):
    suite = fake_suite_class(tmp_path_factory.mktemp("drawn") / "suite", n=60, seeds=3, folds=3)
    return evaluate(suite.write(), CONFIG)


@pytest.mark.parametrize("task", ["source", "synthetic-third", "synthetic-rhythm-window"])
def test_values_and_draws_are_those_of_resampled_units(evaluated, task):
    context, reader = evaluated.contexts[task], ScoreReader.of(evaluated)
    scores = reader.scores(evaluated.suite.reference, context.task).headline
    classes = [c for c in ("AF|AFL", "LBBB") if c in context.support]
    found = DrawnMetrics(context, CONFIG).classes(scores, classes)
    units, names = context.units, [s.name for s in context.task.scores]
    parts = [np.flatnonzero(units.fold == f) for f in np.unique(units.fold)]
    for cls in classes:
        k, spread = names.index(cls), context.spread(cls)
        assert spread > 1
        points = [by_hand(units.positive[at, k], s[at, k]) for s in scores for at in parts]
        for metric in ALL_METRICS:
            assert found[cls][metric].value == pytest.approx(np.nanmean([p[metric] for p in points])), metric
        for d in range(0, CONFIG.draws, 9):
            count, means = context.draws.counts[:, d], []
            for s, share in zip(scores, context.draws.seeds[:, d], strict=True):
                each = []
                for part in parts:
                    at = np.repeat(part, count[units.subject[part]])
                    each.append(by_hand(units.positive[at, k], s[at, k]))
                means.append({m: share * np.nanmean([e[m] for e in each]) for m in ALL_METRICS})
            for metric in ALL_METRICS:
                expected = sum(m[metric] for m in means)
                if metric != "nll":
                    value = found[cls][metric].value
                    expected = np.clip(value + spread * (expected - value), 0, 1)
                assert found[cls][metric].draws[d] == pytest.approx(expected, abs=4e-6), metric


def test_a_figure_is_the_mean_over_its_classes_and_the_evaluations_headline(evaluated):
    context = evaluated.contexts["synthetic-third"]
    scores = ScoreReader.of(evaluated).scores(evaluated.suite.reference, context.task).headline
    drawn = DrawnMetrics(context, CONFIG)
    figure, each = drawn.figure(scores, context.head.classes), drawn.classes(scores, context.head.classes)
    for metric in ALL_METRICS:
        assert figure[metric].value == pytest.approx(np.mean([of[metric].value for of in each.values()]))
        assert figure[metric].draws == pytest.approx(np.mean([of[metric].draws for of in each.values()], axis=0))
    headline = evaluated.headlines["synthetic-third"]["ecg_ramba"]
    assert figure["roc_auc"].value == pytest.approx(headline.value, abs=1e-12)
    assert figure["roc_auc"].draws == pytest.approx(headline.draws, abs=1e-6)
    without = drawn.figure(scores, context.head.classes, draws=False)
    assert all(of.draws is None for of in without.values())
    assert without["ece"].value == figure["ece"].value


def test_a_monotone_map_shares_ranking_draws_and_another_order_does_not(evaluated):
    context = evaluated.contexts["synthetic-third"]
    scores = ScoreReader.of(evaluated).scores(evaluated.suite.reference, context.task).headline
    drawn = DrawnMetrics(context, CONFIG)
    own, squared, turned = (drawn.figure(s, ["SNR"]) for s in (scores, scores**2, 1 - scores))
    fresh = DrawnMetrics(context, CONFIG).figure(scores**2, ["SNR"])
    assert np.array_equal(own["roc_auc"].draws, squared["roc_auc"].draws)
    for metric in ALL_METRICS:
        assert np.array_equal(fresh[metric].draws, squared[metric].draws)
    assert squared["brier"].value != own["brier"].value
    assert turned["roc_auc"].value == pytest.approx(1 - own["roc_auc"].value)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1), st.integers(0, 4)), min_size=1, max_size=30))
def test_sums_by_cluster_add_up_to_scikit_learns(units):
    y, score, cluster = (np.array(v) for v in zip(*units, strict=True))
    sums = sums_by_cluster(y, score, cluster, 5, 0.5, 15)
    found = metrics_of_sums(sums.sum(axis=1, keepdims=True))
    expected = by_hand(y, score)
    for metric, value in found.items():
        assert value[0] == pytest.approx(expected[metric], nan_ok=True, abs=1e-9), metric
