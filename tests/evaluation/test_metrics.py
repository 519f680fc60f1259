"""Metrics against scikit-learn, with ties and weights; many weightings at once against one at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, recall_score, roc_auc_score

from ecg_ramba.evaluation.metrics import (
    Ranking,
    average_precision,
    brier,
    calibration_error,
    decision,
    roc_auc,
)


def draw(rng, n, ties):
    y = rng.random(n) < rng.uniform(0.1, 0.9)
    y[:2] = True, False
    score = rng.random(n)
    return y, np.round(score, 1) if ties else score


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 60), st.booleans())
def test_ranking_equals_scikit_learn(seed, n, ties):
    rng = np.random.default_rng(seed)
    y, score = draw(rng, n, ties)
    weight = rng.integers(0, 4, n).astype(float)
    weight[:2] += 1
    assert roc_auc(y, score, weight) == pytest.approx(roc_auc_score(y, score, sample_weight=weight), abs=1e-12)
    expected = average_precision_score(y, score, sample_weight=weight)
    assert average_precision(y, score, weight) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_draws_by_cluster_equal_repeated_units(seed, ties):
    """A column of subject counts must give what scikit-learn gives on units repeated as often."""
    rng = np.random.default_rng(seed)
    n, subjects, draws = 40, 12, 7
    y, score = draw(rng, n, ties)
    cluster = rng.integers(0, subjects, n)
    counts = rng.integers(0, 3, (subjects, draws))
    auc, ap = Ranking(y, score, cluster, subjects)(counts.astype(np.float32))
    (only,) = Ranking(y, score, cluster, subjects)(counts.astype(np.float32), precision=False)
    assert np.array_equal(auc, only, equal_nan=True)
    for d in range(draws):
        at = np.repeat(np.arange(n), counts[cluster, d])
        if len(np.unique(y[at])) < 2:
            assert np.isnan(auc[d])
            assert np.isnan(ap[d])
        else:
            assert auc[d] == pytest.approx(roc_auc_score(y[at], score[at]), abs=2e-6)
            assert ap[d] == pytest.approx(average_precision_score(y[at], score[at]), abs=2e-6)


def test_weight_within_a_cluster():
    rng = np.random.default_rng(3)
    y, score = draw(rng, 50, True)
    cluster = rng.integers(0, 9, 50)
    weight = 1 / np.bincount(cluster)[cluster]
    auc, ap = Ranking(y, score, cluster, 9, weight)()
    assert auc[0] == pytest.approx(roc_auc_score(y, score, sample_weight=weight), abs=1e-12)
    assert ap[0] == pytest.approx(average_precision_score(y, score, sample_weight=weight), abs=1e-12)


def test_constant_scores_are_chance_exactly():
    y = np.array([True, False, True, False, False])
    assert roc_auc(y, np.full(5, 0.3)) == 0.5
    assert average_precision(y, np.full(5, 0.3)) == pytest.approx(0.4)
    counts = np.random.default_rng(0).integers(1, 5, (5, 50)).astype(np.float32)
    assert (Ranking(y, np.full(5, 0.3))(counts)[0] == 0.5).all()


@pytest.mark.parametrize("y", [[True, True], [False, False], []])
def test_one_class_has_no_ranking(y):
    score = np.linspace(0, 1, len(y))
    assert np.isnan(roc_auc(y, score))
    assert np.isnan(average_precision(y, score))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_decision_and_brier_equal_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    y, score = draw(rng, 50, True)
    weight = rng.integers(1, 4, 50).astype(float)
    made = decision(y, score, weights=weight[:, None])
    called = score >= 0.5
    assert made["f1"][0] == pytest.approx(f1_score(y, called, sample_weight=weight, zero_division=0))
    assert made["sensitivity"][0] == pytest.approx(recall_score(y, called, sample_weight=weight))
    assert made["specificity"][0] == pytest.approx(recall_score(~y, ~called, sample_weight=weight))
    expected = brier_score_loss(y, score, sample_weight=weight)
    assert brier(y, score, weights=weight[:, None])[0] == pytest.approx(expected)


def test_decision_without_positives_is_undefined():
    made = decision([False, False], [0.9, 0.1])
    assert np.isnan(made["f1"][0])
    assert np.isnan(made["sensitivity"][0])
    assert made["specificity"][0] == 0.5


def naive_calibration_error(y, score, weight, bins):
    total = 0.0
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        inside = (score >= low) & ((score < high) | ((b == bins - 1) & (score == 1)))
        if inside.any():
            w = weight[inside]
            total += w.sum() * abs(np.average(y[inside], weights=w) - np.average(score[inside], weights=w))
    return total / weight.sum()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_calibration_error_by_bins(seed):
    rng = np.random.default_rng(seed)
    y, score = draw(rng, 80, False)
    score[5] = 1.0
    weights = rng.integers(1, 4, (80, 3)).astype(float)
    made = calibration_error(y, score, weights=weights)
    assert made == pytest.approx([naive_calibration_error(y, score, w, 15) for w in weights.T])


def test_calibrated_scores_have_little_error_and_wrong_ones_much():
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    assert calibration_error(rng.random(20_000) < p, p)[0] < 0.02
    assert calibration_error(rng.random(20_000) < p**3, p)[0] > 0.15
