"""Rates at a threshold against scikit-learn; net benefit against brute force and the published formula by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score

from ecg_ramba.evaluation.decision_curve import THRESHOLDS, net_benefit, treat_all
from ecg_ramba.evaluation.metrics import decision
from ecg_ramba.evaluation.thresholds import cells, rates

seeds, sizes = st.integers(0, 10_000), st.integers(2, 80)


def sample(seed, n):
    rng = np.random.default_rng(seed)
    y = rng.random(n) < 0.4
    y[:2] = True, False
    return y, np.round(rng.random(n), 2)


@settings(max_examples=50, deadline=None)
@given(seeds, sizes, st.sampled_from([0.2, 0.5, 0.73]))
def test_rates_equal_scikit_learn(seed, n, threshold):
    y, score = sample(seed, n)
    made, called = rates(cells(y, score, threshold).sum(1)), score >= threshold
    assert made["sensitivity"] == pytest.approx(recall_score(y, called))
    assert made["specificity"] == pytest.approx(recall_score(~y, ~called))
    assert made["f1"] == pytest.approx(f1_score(y, called))
    assert made["ppv"] == pytest.approx(precision_score(y, called, zero_division=np.nan), nan_ok=True)
    assert made["npv"] == pytest.approx(precision_score(~y, ~called, zero_division=np.nan), nan_ok=True)
    assert made["called"] == called.sum()
    for name, value in decision(y, score, threshold=threshold).items():
        assert made[name] == pytest.approx(value[0]), "the rates of the report's other tables"


def test_rates_without_a_denominator_are_no_numbers():
    nobody = rates(cells(np.array([False, False]), np.array([0.1, 0.2]), 0.5).sum(1))
    assert nobody["specificity"] == nobody["npv"] == 1
    assert nobody["called"] == 0
    assert all(math.isnan(nobody[n]) for n in ("sensitivity", "ppv", "f1"))


@settings(max_examples=50, deadline=None)
@given(seeds, sizes)
def test_net_benefit_by_brute_force(seed, n):
    y, score = sample(seed, n)
    for t, got in zip(THRESHOLDS, net_benefit(y, score), strict=True):
        act = score >= t
        assert got == pytest.approx((act & y).sum() / n - (act & ~y).sum() / n * t / (1 - t), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(seeds, sizes)
def test_acting_on_everybody_and_on_nobody(seed, n):
    y, score = sample(seed, n)
    assert net_benefit(y, np.ones(n)) == pytest.approx(treat_all(y.mean()))
    assert net_benefit(y, np.zeros(n)).tolist() == [0] * len(THRESHOLDS)
    assert (net_benefit(y, score) <= y.mean() + 1e-12).all()
    assert net_benefit(y, y.astype(float)) == pytest.approx(np.full(len(THRESHOLDS), y.mean()))


def test_the_published_formula_by_hand():
    """Net benefit = sensitivity x prevalence - (1 - specificity) x (1 - prevalence) x odds, as in dcurves."""
    y = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], bool)
    score = np.array([0.9, 0.8, 0.3, 0.1, 0.7, 0.4, 0.2, 0.1, 0.05, 0.0])
    # At 0.25: 3 of 4 positives and 2 of 6 negatives: 0.75 * 0.4 - (1 - 4 / 6) * 0.6 * (0.25 / 0.75).
    assert net_benefit(y, score, [0.25]) == pytest.approx([0.3 - 0.2 / 3])
    assert treat_all(0.4, [0.25]) == pytest.approx([0.4 - 0.6 / 3])
    # A score at the threshold is acted on.
    assert net_benefit(y, score, [0.7]) == pytest.approx([0.2 - 0.1 * 0.7 / 0.3])


def test_a_threshold_probability_is_no_certainty():
    for wrong in ([0.0], [1.0], [0.5, 1.2]):
        with pytest.raises(ValueError, match="between 0 and 1"):
            net_benefit(np.array([True]), np.array([0.5]), wrong)
    assert np.isnan(net_benefit(np.zeros(0, bool), np.zeros(0), [0.5])).all()
