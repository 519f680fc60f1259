"""Detectable differences against simulation and statsmodels, equivalence against the verdicts."""

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower

from ecg_ramba.evaluation.config import PROTOCOL_SUPPORT, EvaluationConfig
from ecg_ramba.evaluation.power import REACH, power
from ecg_ramba.evaluation.verdicts import EQUIVALENT, verdict


def test_the_detectable_difference_is_found_four_times_in_five():
    rng, error = np.random.default_rng(0), 0.01
    made = power(error * rng.standard_normal(50_000), 0.02)
    assert made.error == pytest.approx(error, rel=0.02)
    found = made.detectable + error * rng.standard_normal(20_000)
    assert np.mean(np.abs(found) > 1.959964 * error) == pytest.approx(0.8, abs=0.02)
    assert pytest.approx(2.8016, abs=1e-4) == REACH


def test_growth_is_statsmodels_sample_size():
    """One standardised difference of one group: as many more subjects as its power analysis asks for."""
    made = power(0.02 * np.random.default_rng(1).standard_normal(20_000), 0.02)
    subjects, sd = 400, made.error * np.sqrt(400)
    needed = NormalIndPower(ddof=0).solve_power(effect_size=0.02 / sd, alpha=0.05, power=0.8, ratio=0)
    assert made.growth * subjects == pytest.approx(needed, rel=1e-3)


@pytest.mark.parametrize("mean", [0.0, 0.008, 0.012, 0.0135, 0.02, -0.0135, 0.05])
def test_equivalence_agrees_with_the_verdict(mean):
    draws = mean + 0.004 * np.random.default_rng(2).standard_normal(5000)
    said = verdict(draws, PROTOCOL_SUPPORT, 3, EvaluationConfig()) == EQUIVALENT
    assert (power(draws, 0.02).equivalence < 0.05) == said


def test_without_draws_there_are_no_numbers():
    for draws in (None, np.full(10, np.nan), np.array([0.1])):
        made = power(draws, 0.02)
        assert np.isnan([made.error, made.detectable, made.growth, made.equivalence]).all()
    assert power(np.array([0.0, 0.001, np.nan]), 0.02).equivalence == pytest.approx(1 / 3)
