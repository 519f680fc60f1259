"""Bootstrap draws and intervals against brute force."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ecg_ramba.evaluation import intervals
from ecg_ramba.evaluation.intervals import Draws, interval, subject_draws, widened, widening, withheld
from ecg_ramba.evaluation.metrics import Ranking


def test_draws_keep_the_size_of_each_stratum():
    strata = np.array([1, 1, 2, 2, 2, 3])
    counts = subject_draws(strata, 100, 5)
    for s in (1, 2, 3):
        assert (counts[strata == s].sum(axis=0) == (strata == s).sum()).all()
    assert (counts[strata == 3] == 1).all()


def test_draws_are_uniform_over_subjects():
    counts = subject_draws(np.zeros(20), 4000, 1)
    assert counts.mean(axis=1) == pytest.approx(np.ones(20), abs=0.06)
    assert (counts == 0).mean() == pytest.approx((1 - 1 / 20) ** 20, abs=0.01)


def test_draws_come_from_names_alone():
    strata = np.zeros(30)
    a = Draws.of(("task", "data"), strata, 1, 50, 0)
    assert np.array_equal(a.counts, Draws.of(("task", "data"), strata, 1, 50, 0).counts)
    assert not np.array_equal(a.counts, Draws.of(("other", "data"), strata, 1, 50, 0).counts)
    assert not np.array_equal(a.counts, Draws.of(("task", "data"), strata, 1, 50, 1).counts)


def test_seeds_are_resampled_from_three_on():
    assert (Draws.of(("t",), np.zeros(5), 2, 40, 0).seeds == 0.5).all()
    three = Draws.of(("t",), np.zeros(5), 3, 400, 0).seeds
    assert three.sum(axis=0) == pytest.approx(np.ones(400))
    assert len(np.unique(three[0])) == 4
    other_task = Draws.of(("another",), np.zeros(9), 3, 400, 0).seeds
    assert np.array_equal(three, other_task), "the same models are compared at the source and at a target"


def test_interval_equals_brute_force():
    """Resampling subjects one draw at a time, all their units together, then percentiles of scikit-learn's figure."""
    rng = np.random.default_rng(7)
    n, subjects = 120, 40
    cluster = rng.integers(0, subjects, n)
    y = rng.random(n) < 0.4
    score = y + rng.normal(0, 1, n)
    draws = Draws.of(("task", "data"), np.zeros(subjects), 1, 300, 0)
    fast = draws.apply(Ranking(y, score, cluster, subjects))[0]
    slow = []
    for counts in draws.counts.T:
        at = np.concatenate([np.repeat(np.flatnonzero(cluster == s), c) for s, c in enumerate(counts)])
        slow.append(roc_auc_score(y[at], score[at]))
    assert fast == pytest.approx(slow, abs=2e-6)
    expected = np.percentile(slow, [2.5, 97.5])
    assert interval(fast, 0.95) == pytest.approx(expected, abs=1e-5)


def test_blocks_of_draws_equal_all_at_once(monkeypatch):
    rng = np.random.default_rng(1)
    y, score = rng.random(50) < 0.5, rng.random(50)
    ranking = Ranking(y, score)
    whole = Draws.of(("t",), np.zeros(50), 1, 700, 0).apply(ranking)
    monkeypatch.setattr(intervals, "_CACHE_CELLS", 0)
    for block, kept in ((1000, 1 << 27), (300, 1 << 27), (300, 0)):
        monkeypatch.setattr(intervals, "_BLOCK", block)
        monkeypatch.setattr(intervals, "_KEPT_CELLS", kept)
        draws = Draws.of(("t",), np.zeros(50), 1, 700, 0)
        assert np.array_equal(whole, draws.apply(ranking))
        assert np.array_equal(whole, draws.apply(ranking))


def test_blocks_kept_are_those_of_the_draws_asked_for(monkeypatch):
    """Two tasks in turn, each with draws of its own; what is no longer there is not kept."""
    monkeypatch.setattr(intervals, "_CACHE_CELLS", 0)
    ranking = Ranking(np.arange(40) % 2 == 0, np.random.default_rng(3).random(40))
    a, b = (Draws.of((name,), np.zeros(40), 1, 60, 0) for name in "ab")
    for draws in (a, b, a, b):
        expected = np.stack(ranking(draws.counts.astype(np.float32)))
        assert np.array_equal(draws.apply(ranking), expected, equal_nan=True)
    assert len(intervals._last.blocks) == 1
    del b, draws
    assert not intervals._last.blocks


def test_clusters_widen_the_interval():
    """Ten copies of every subject's unit add nothing: drawing subjects must see that, drawing units does not."""
    rng = np.random.default_rng(2)
    y = rng.random(40) < 0.5
    score = y + rng.normal(0, 1.5, 40)
    many_y, many_score, cluster = np.repeat(y, 10), np.repeat(score, 10), np.repeat(np.arange(40), 10)

    def width(cluster, n):
        low, high = interval(
            Draws.of(("t",), np.zeros(n), 1, 500, 0).apply(Ranking(many_y, many_score, cluster, n))[0], 0.95
        )
        return high - low

    assert width(cluster, 40) > 2 * width(np.arange(400), 400)


def test_short_draws_are_those_without_the_subjects():
    draws = Draws.of(("t",), np.zeros(6), 1, 200, 0)
    members = np.array([1, 4])
    assert np.array_equal(draws.short(members), (draws.counts[1] == 0) & (draws.counts[4] == 0))


def test_interval_of_nothing():
    assert np.isnan(interval(None, 0.95)).all()
    assert np.isnan(interval(np.array([np.nan]), 0.95)).all()


def test_reasons_to_withhold():
    assert withheld(10, 10, 0.05, 10, 0.05) == ""
    assert "9 positive subjects" in withheld(9, 50, 0.0, 10, 0.05)
    assert "1 negative subject," in withheld(50, 1, 0.0, 10, 0.05)
    assert "6.0% of the draws lack the class, at most 5% may" in withheld(50, 50, 0.06, 10, 0.05)


@pytest.mark.parametrize("subjects", [2, 10, 30, 1000])
def test_draws_are_spread_as_a_t_interval_of_few_is(subjects):
    from scipy.stats import norm, t

    expected = np.sqrt(subjects / (subjects - 1)) * t.ppf(0.975, subjects - 1) / norm.ppf(0.975)
    assert widening(subjects, 0.95) == pytest.approx(expected)
    assert widening(subjects, 0.95) > 1
    assert widening(1, 0.95) == 1


def test_a_mean_of_few_has_the_interval_that_theory_gives():
    """The bootstrap of a mean of normal values, spread, is the t interval of those values."""
    from scipy.stats import t

    rng = np.random.default_rng(0)
    values = 0.5 + 0.05 * rng.standard_normal(12)
    draws = values[rng.integers(0, 12, (200_000, 12))].mean(1)
    low, high = interval(widened(draws, values.mean(), widening(12, 0.95)), 0.95)
    half = t.ppf(0.975, 11) * values.std(ddof=1) / np.sqrt(12)
    assert (high - low) / 2 == pytest.approx(half, rel=0.04)
    assert interval(draws, 0.95)[1] - interval(draws, 0.95)[0] < 2 * half * 0.93


def test_spread_draws_stay_probabilities_and_keep_what_is_missing():
    out = widened(np.array([0.9, 0.99, np.nan, 0.2]), 0.95, 3.0)
    assert out[[0, 1, 3]].tolist() == pytest.approx([0.8, 1.0, 0.0])
    assert np.isnan(out[2])
