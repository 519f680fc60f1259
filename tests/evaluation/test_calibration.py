"""Reliability bins, calibration errors, the Brier score's terms and log loss, against scikit-learn and brute force."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from ecg_ramba.evaluation.calibration import (
    CLIP,
    brier_terms,
    equal_mass,
    equal_width,
    log_loss,
    logit,
    reliability,
)
from ecg_ramba.evaluation.calibration_draws import class_draws, ece_interval
from ecg_ramba.evaluation.intervals import Draws, subject_draws
from ecg_ramba.evaluation.metrics import calibration_error
from ecg_ramba.evaluation.thresholds import RATES

SLOTS = {"uniform": equal_width, "quantile": equal_mass}


def sample(seed, n, ties=False):
    rng = np.random.default_rng(seed)
    score = rng.random(n) ** 2
    score = np.round(score, 1) if ties else score
    return rng.random(n) < score, score


@pytest.mark.parametrize("strategy", list(SLOTS))
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 20), st.integers(2, 15))
def test_bins_equal_scikit_learn(strategy, seed, each, bins):
    n = each * bins  # otherwise scikit-learn's quantiles lie between two units, or on one but for rounding
    y, score = sample(seed, n)
    by = reliability(y, score, SLOTS[strategy](score, bins), bins)
    observed, mean = calibration_curve(y, score, n_bins=bins, strategy=strategy)
    used = by.count > 0
    assert by.observed[used] == pytest.approx(observed)
    assert by.score[used] == pytest.approx(mean)
    assert by.count.sum() == n


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 120), st.integers(1, 20), st.booleans(), st.booleans())
def test_errors_equal_brute_force_and_the_mean_is_below_the_largest(seed, n, bins, ties, mass):
    y, score = sample(seed, n, ties)
    slot = (equal_mass if mass else equal_width)(score, bins)
    by = reliability(y, score, slot, bins)
    gaps = {b: abs(y[slot == b].mean() - score[slot == b].mean()) for b in set(slot)}
    assert by.ece == pytest.approx(sum(gaps[b] * (slot == b).sum() for b in gaps) / n)
    assert by.mce == pytest.approx(max(gaps.values()))
    assert by.ece <= by.mce + 1e-12
    if not mass:
        assert by.ece == pytest.approx(calibration_error(y, score, bins=bins)[0])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 120), st.integers(1, 20), st.booleans(), st.booleans())
def test_the_terms_sum_to_the_brier_score(seed, n, bins, ties, mass):
    y, score = sample(seed, n, ties)
    terms = brier_terms(y, score, (equal_mass if mass else equal_width)(score, bins), bins)
    assert terms.score == pytest.approx(brier_score_loss(y, score, pos_label=True), abs=1e-12)
    assert min(terms.reliability, terms.resolution, terms.within_variance) >= 0


def test_murphys_three_terms_suffice_where_a_bin_holds_one_score_and_not_otherwise():
    y, score = sample(1, 400, ties=True)
    alone = brier_terms(y, score, np.round(score * 10).astype(int), 11)
    assert alone.within_variance == pytest.approx(0, abs=1e-15)
    assert alone.within_covariance == pytest.approx(0, abs=1e-15)
    assert alone.reliability - alone.resolution + alone.uncertainty == pytest.approx(np.mean((score - y) ** 2))
    y, score = sample(1, 400)
    coarse = brier_terms(y, score, equal_width(score, 3), 3)
    assert abs(coarse.reliability - coarse.resolution + coarse.uncertainty - np.mean((score - y) ** 2)) > 1e-3


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 90), st.integers(1, 20))
def test_equal_mass_bins_differ_by_one_unit_at_most_and_follow_the_score(seed, n, bins):
    _, score = sample(seed, n)
    slot = equal_mass(score, bins)
    sizes = np.bincount(slot, minlength=bins)
    assert sizes.max() - sizes.min() <= 1
    assert (np.diff(slot[np.argsort(score)]) >= 0).all()


def test_a_tie_is_never_parted_and_edges_belong_to_one_bin():
    score = np.repeat([0.1, 0.1, 0.1, 0.9], 5)
    slot = equal_mass(score, 4)
    assert all(len(set(slot[score == s])) == 1 for s in (0.1, 0.9))
    assert equal_width(np.array([0.0, 0.5, 1.0]), 2).tolist() == [0, 1, 1]


def test_log_loss_is_scikit_learns_and_clips_where_it_says():
    y, score = sample(3, 200)
    assert log_loss(y, score) == pytest.approx(sklearn_log_loss(y, score))
    assert log_loss(np.array([True]), np.array([0.0])) == pytest.approx(-math.log(CLIP))
    end = math.log((1 - CLIP) / CLIP)
    assert logit(np.array([0.0, 0.5, 1.0])) == pytest.approx([-end, 0, end])


def test_without_units_there_is_no_number():
    none = np.zeros(0)
    by = reliability(none, none, equal_mass(none, 5), 5)
    terms = brier_terms(none, none, none.astype(int), 5)
    values = [by.ece, by.mce, log_loss(none, none), terms.score]
    assert all(math.isnan(v) for v in values)


def draws_of(y, score, subject, n_draws, seed=0, bins=15):
    n = subject.max() + 1
    draws = Draws(subject_draws(np.zeros(n, int), n_draws, seed), np.ones((1, n_draws)))
    return class_draws({"a": score}, y, subject, n, draws, bins, 0.5)["a"]


@pytest.mark.parametrize("units", [1, 20])
def test_ece_by_chance_is_what_calibrated_scores_show_on_average_subjects_counted_once(units):
    """Labels of a subject's units are all the same, so twenty units say no more than one."""
    rng = np.random.default_rng(units)
    errors, chance = [], []
    for seed in range(60):
        score = np.repeat(rng.random(300), units)
        y = np.repeat(rng.random(300) < score[::units], units)
        errors.append(calibration_error(y, score)[0])
        chance.append(draws_of(y, score, np.repeat(np.arange(300), units), 60, seed)["ece_by_chance"].mean())
    assert np.mean(chance) == pytest.approx(np.mean(errors), rel=0.08)


def test_calibrated_scores_are_near_chance_and_overconfident_ones_far_above():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1.5, 5000)
    y = rng.random(len(x)) < 1 / (1 + np.exp(-x))
    for factor, low, high in ((1, 0, 1.6), (2, 5, 100)):
        score = 1 / (1 + np.exp(-factor * x))
        made = draws_of(y, score, np.arange(5000), 200)
        value = reliability(y, score, equal_width(score, 15), 15).ece
        assert low < value / made["ece_by_chance"].mean() < high
        bounds = ece_interval(value, made["ece"], made["ece_by_chance"], 0.95)
        assert (bounds[0] == 0) == (factor == 1)


@pytest.mark.parametrize(("factor", "truth"), [(1.0, 0.0), (2.0, 0.0967)])
def test_the_interval_of_an_ece_covers_the_truth_where_percentiles_do_not(factor, truth):
    """``truth``: the error of two million units of the same distribution."""
    rng = np.random.default_rng(int(factor))
    covered = np.zeros(2)
    for seed in range(40):
        x = rng.normal(-1, 1.5, 500)
        y, score = rng.random(500) < 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(-factor * x))
        made = draws_of(y, score, np.arange(500), 200, seed)
        low, high = ece_interval(calibration_error(y, score)[0], made["ece"], made["ece_by_chance"], 0.95)
        percentiles = np.quantile(made["ece"], [0.025, 0.975])
        covered += (low <= truth <= high, percentiles[0] <= truth <= percentiles[1])
    assert covered[0] >= 34
    assert covered[1] < covered[0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_draws_equal_the_figures_of_repeated_units(seed, ties):
    """A draw must give what the point functions give on units repeated as often as their subject was drawn."""
    y, score = sample(seed, 60, ties)
    other = score[::-1].copy()
    rng = np.random.default_rng(seed)
    subject = rng.integers(0, 15, 60)
    draws = Draws(subject_draws(np.zeros(15, int), 9, seed), np.ones((1, 9)))
    made = class_draws({"a": score, "b": other}, y, subject, 15, draws, 7, 0.5)
    for name, own in (("a", score), ("b", other)):
        assert set(made[name]) == {"ece", "ece_by_chance", "brier", "called", *RATES}
        for d in range(9):
            at = np.repeat(np.arange(60), draws.counts[subject, d])
            yd, sd = y[at], own[at]
            assert made[name]["ece"][d] == pytest.approx(calibration_error(yd, sd, bins=7)[0], abs=1e-6)
            assert made[name]["brier"][d] == pytest.approx(np.mean((yd - sd) ** 2), abs=1e-6)
            called = sd >= 0.5
            assert made[name]["called"][d] == called.sum()
            ppv = yd[called].mean() if called.any() else np.nan
            assert made[name]["ppv"][d] == pytest.approx(ppv, nan_ok=True)
            npv = (~yd[~called]).mean() if (~called).any() else np.nan
            assert made[name]["npv"][d] == pytest.approx(npv, nan_ok=True)


def test_the_interval_of_an_ece_is_reflected_and_never_below_zero():
    draws, chance = np.array([0.05, 0.06, 0.07, 0.08, np.nan]), np.array([0.01, 0.02, 0.03, np.nan])
    low, high = ece_interval(0.05, draws, chance, 0.5)
    assert (low, high) == pytest.approx((0.1 - np.quantile(draws[:4], 0.75), 0.1 - np.quantile(draws[:4], 0.25)))
    assert ece_interval(0.01, draws, chance, 0.5) == (0, 0)
    assert ece_interval(0.05, draws, chance + 0.1, 0.5)[0] == 0, "chance could explain it"
    nothing = (*ece_interval(0.1, None, None, 0.95), *ece_interval(0.1, draws[4:], draws[4:], 0.95))
    assert all(math.isnan(v) for v in nothing)
