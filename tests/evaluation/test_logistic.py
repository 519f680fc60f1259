"""Calibration slope and intercept against statsmodels; their bootstrap against one regression a draw."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from ecg_ramba.evaluation.calibration import logit
from ecg_ramba.evaluation.intervals import Draws, interval, subject_draws
from ecg_ramba.evaluation.logistic import (
    NODES,
    ONE_OUTCOME,
    ONE_SCORE,
    SEPARATED,
    _lowest,
    calibration_line,
    fit,
    fit_in_the_large,
    line_draws,
)


def simulated(n, factor=1.0, shift=0.0, seed=0, decimals=None):
    """Labels with log odds x, and scores with log odds ``factor * x + shift``."""
    rng = np.random.default_rng(seed)
    x = rng.normal(-1, 1.5, n)
    y = rng.random(n) < 1 / (1 + np.exp(-x))
    score = 1 / (1 + np.exp(-(factor * x + shift)))
    return y, score if decimals is None else np.round(score, decimals)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0.3, 3), st.floats(-2, 2), st.integers(150, 400))
def test_the_line_is_statsmodels(seed, factor, shift, n):
    y, score = simulated(n, factor, shift, seed)
    x, line = logit(score), calibration_line(y, score)
    intercept, slope = sm.Logit(y.astype(float), sm.add_constant(x)).fit(disp=0).params
    assert (line.intercept, line.slope) == pytest.approx((intercept, slope), abs=1e-6)
    large = sm.GLM(y.astype(float), np.ones(n), family=sm.families.Binomial(), offset=x).fit().params[0]
    assert line.in_the_large == pytest.approx(large, abs=1e-6)
    assert line.reason == ""


def test_a_calibrated_score_has_slope_one_an_overconfident_one_less():
    y, score = simulated(40_000)
    line = calibration_line(y, score)
    assert line.slope == pytest.approx(1, abs=0.05)
    assert line.intercept == pytest.approx(0, abs=0.05)
    assert line.in_the_large == pytest.approx(0, abs=0.05)
    assert calibration_line(*simulated(40_000, factor=2)).slope == pytest.approx(0.5, abs=0.03)
    low = calibration_line(*simulated(40_000, shift=-1))
    assert low.in_the_large == pytest.approx(1, abs=0.05)
    assert low.slope == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("positive", "score", "reason"),
    [
        ([1, 1, 1], [0.2, 0.5, 0.7], ONE_OUTCOME),
        ([0, 0, 0], [0.2, 0.5, 0.7], ONE_OUTCOME),
        ([], [], ONE_OUTCOME),
        ([0, 1, 1], [0.3, 0.3, 0.3], ONE_SCORE),
        ([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.8], SEPARATED),
        ([0, 0, 1, 1], [0.1, 0.7, 0.7, 0.8], SEPARATED),
        ([1, 1, 0, 0], [0.1, 0.2, 0.7, 0.8], SEPARATED),
        ([0, 0, 1, 1], [0.0, 1.0, 1.0, 1.0], SEPARATED),
    ],
)
def test_without_a_finite_estimate_there_is_a_reason(positive, score, reason):
    positive = np.array(positive, bool)
    line = calibration_line(positive, np.array(score, float))
    assert line.reason == reason
    assert math.isnan(line.slope)
    assert math.isnan(line.intercept)
    assert math.isfinite(line.in_the_large) == (0 < positive.sum() < len(positive))


def test_overlap_by_one_unit_is_enough():
    line = calibration_line(np.array([0, 1, 0, 1, 1], bool), np.array([0.1, 0.4, 0.6, 0.7, 0.9]))
    assert line.reason == ""
    assert line.slope > 0


def bootstrap(n_subjects, draws, seed=0):
    return Draws(subject_draws(np.zeros(n_subjects, int), draws, seed), np.ones((1, draws)))


@pytest.mark.parametrize("decimals", [1, None])
def test_draws_are_one_weighted_regression_each(decimals):
    y, score = simulated(900, 1.7, 0.4, decimals=decimals)
    assert (len(np.unique(score)) > NODES) == (decimals is None)
    subject = np.random.default_rng(1).integers(0, 300, len(y))
    draws, x = bootstrap(300, 12), logit(score)
    made = line_draws(y, score, subject, 300, draws, calibration_line(y, score))
    for d in range(12):
        weight = draws.counts[subject, d].astype(float)
        family = sm.families.Binomial()
        line = sm.GLM(y.astype(float), sm.add_constant(x), family=family, freq_weights=weight).fit().params
        large = sm.GLM(y.astype(float), np.ones(len(y)), family=family, freq_weights=weight, offset=x).fit().params
        # The grid is far finer than what a draw varies by.
        assert made[:, d] == pytest.approx([*line, *large], abs=1e-5 if decimals else 1e-3)


def test_draws_that_separate_or_lack_an_outcome_have_no_slope():
    rng = np.random.default_rng(0)
    score = np.concatenate([rng.uniform(0.1, 0.45, 6), rng.uniform(0.55, 0.9, 6), [0.7, 0.3]])
    y = np.array([False] * 6 + [True] * 6 + [False, True])
    subject, draws = np.arange(14), bootstrap(14, 400)
    made = line_draws(y, score, subject, 14, draws, calibration_line(y, score))
    for d in range(400):
        at = np.repeat(subject, draws.counts[:, d])
        yes, no = score[at][y[at]], score[at][~y[at]]
        overlap = len(yes) and len(no) and yes.min() < no.max() and yes.max() > no.min()
        assert np.isfinite(made[1, d]) == bool(overlap)
        assert np.isfinite(made[2, d]) == bool(len(yes) and len(no))
    assert 0 < np.isfinite(made[1]).sum() < 400


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 40))
def test_the_lowest_drawn_value(seed, subjects):
    rng = np.random.default_rng(seed)
    x, subject = np.round(rng.normal(size=90), 1), rng.integers(0, subjects, 90)
    counts = (rng.random((subjects, 7)) < 0.1).astype(np.uint8)
    got = _lowest(x, subject, counts)
    for d in range(7):
        drawn = x[counts[subject, d] > 0]
        assert np.isnan(got[d]) if not len(drawn) else got[d] == drawn.min()


def test_the_interval_holds_the_truth_where_it_should_and_not_where_it_should_not():
    for factor, slope in ((1.0, 1.0), (2.0, 0.5)):
        y, score = simulated(3000, factor)
        made = line_draws(y, score, np.arange(3000), 3000, bootstrap(3000, 300), calibration_line(y, score))
        low, high = interval(made[1], 0.95)
        assert low < slope < high
        assert (low < 1 < high) == (factor == 1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 60), st.floats(0, 0.4))
def test_outlying_logits_do_not_throw_the_fit_off(seed, yes, no, extreme):
    """Scores of exactly 0 and 1 among others, few units, any start: the gradient at the solution is nought."""
    rng = np.random.default_rng(seed)
    y = np.arange(yes + no) < yes
    score = np.clip(rng.normal(0.4 + 0.2 * y, 0.3), 0.01, 0.99)
    wild = rng.random(len(y)) < extreme
    score[wild] = rng.integers(0, 2, wild.sum())
    x, target = logit(score), np.where(y, (yes + 1) / (yes + 2), 1 / (no + 2))
    if x.min() == x.max():
        return
    mass = np.ones((len(x), 1))
    intercept, slope = fit(x, mass, [target.sum()], [target @ x], start=(rng.normal(0, 3), rng.normal(0, 3)))
    left = target - expit(intercept + slope * x)
    assert left.sum() == pytest.approx(0, abs=1e-6)
    assert left @ x == pytest.approx(0, abs=1e-5)
    large = fit_in_the_large(x, mass, [y.sum()], rng.normal(0, 5))
    assert expit(large + x).sum() == pytest.approx(yes, abs=1e-6)


def test_a_draw_without_weight_or_spread_has_no_fit():
    x, mass = np.array([1.0, 2.0]), np.zeros((2, 1))
    assert np.isnan(fit(x, mass, np.zeros(1), np.zeros(1))).all()
    assert np.isnan(fit(np.ones(2), np.ones((2, 1)), np.ones(1), np.ones(1))).all()
