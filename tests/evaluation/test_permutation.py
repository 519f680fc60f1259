"""The exchange test against brute force and scipy, under the null, and where there is something to find."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from ecg_ramba.evaluation.metrics import Ranking, wins
from ecg_ramba.evaluation.permutation import Exchanges, Pair, PrecisionDifference, auc_parts, exchange_test, ranks


def area(positive, score):
    """All pairs, one by one."""
    above = score[positive][:, None] - score[~positive]
    return ((above > 0) + 0.5 * (above == 0)).mean()


def precision(positive, score):
    """At every positive, the share of positives among those scored as high."""
    at_least = score >= score[positive][:, None]
    return ((at_least & positive).sum(1) / at_least.sum(1)).mean()


METRICS = {"roc_auc": area, "average_precision": precision}


def draw_pair(rng, n, subjects, ties, weight=1.0):
    """Two models that rank units of both outcomes; rounded scores tie within a model and between the two."""
    positive = rng.random(n) < rng.uniform(0.2, 0.8)
    positive[:2] = True, False
    variant, reference = rng.normal(0, 1, (2, n)) + positive
    if ties:
        variant, reference = np.round(variant, 0), np.round(reference, 0)
    return Pair(positive, rng.integers(0, subjects, n), variant, reference, weight)


def by_hand(pair, exchanged, metric):
    """One exchange, literally: subjects swap ranks, then the metric from its definition."""
    own, other = stats.rankdata(pair.variant), stats.rankdata(pair.reference)
    swap = np.asarray(exchanged, bool)[pair.subject]
    mine, theirs = np.where(swap, other, own), np.where(swap, own, other)
    return METRICS[metric](pair.positive, mine) - METRICS[metric](pair.positive, theirs)


def test_the_definitions_are_scikit_learns():
    pair = draw_pair(np.random.default_rng(0), 80, 5, True)
    assert area(pair.positive, pair.variant) == pytest.approx(roc_auc_score(pair.positive, pair.variant))
    expected = average_precision_score(pair.positive, pair.variant)
    assert precision(pair.positive, pair.variant) == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 40), st.booleans())
def test_every_exchange_equals_the_definitions(seed, n, ties):
    rng = np.random.default_rng(seed)
    pair = draw_pair(rng, n, 7, ties)
    block = rng.integers(0, 2, (9, 7)).astype(np.uint8)
    parts, precision = auc_parts(pair, 7), PrecisionDifference(pair, 7)(block.T)
    for exchanged, ap in zip(block, precision, strict=True):
        assert ((1 - 2.0 * exchanged) * parts).sum() == pytest.approx(by_hand(pair, exchanged, "roc_auc"), abs=1e-12)
        assert ap == pytest.approx(by_hand(pair, exchanged, "average_precision"), abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_precision_equals_the_evaluations_own_metric_under_weights(seed, ties):
    """The same exchange as weights of twice as many clusters: each subject's entries of the one and the other model."""
    rng = np.random.default_rng(seed)
    pair, subjects = draw_pair(rng, 60, 9, ties), 9
    block = rng.integers(0, 2, (20, subjects)).astype(np.uint8)
    both = np.concatenate([ranks(pair.variant), ranks(pair.reference)])
    cluster = np.concatenate([pair.subject, pair.subject + subjects])
    ranking = Ranking(np.tile(pair.positive, 2), both, cluster, 2 * subjects)
    taken = np.concatenate([1 - block, block], axis=1).T.astype(np.float64)
    auc, ap = (a - b for a, b in zip(ranking(taken), ranking(1 - taken), strict=True))
    assert PrecisionDifference(pair, subjects)(block.T) == pytest.approx(ap, abs=1e-12)
    assert (1 - 2.0 * block) @ auc_parts(pair, subjects) == pytest.approx(auc, abs=1e-12)


def test_wins_are_counted_right():
    positive, score = np.array([True, True, False, False]), np.array([0.9, 0.3, 0.3, 0.1])
    assert wins(positive, score, positive, score).tolist() == [2, 1.5, 1.5, 2]


def test_ranks_equal_scipy():
    score = np.array([0.3, 0.1, 0.3, 0.9, 0.1])
    assert ranks(score).tolist() == stats.rankdata(score).tolist()


def macro_pairs(rng, subjects):
    """Two classes, the first on two folds of different subjects, three seeds each: six and three rankings."""
    out = []
    for folds in (2, 1):
        for fold in range(folds):
            members = np.arange(fold, subjects, folds)
            for _ in range(3):
                pair = draw_pair(rng, 14, len(members), True)
                out.append(
                    Pair(pair.positive, members[pair.subject], pair.variant, pair.reference, 1 / (2 * folds * 3))
                )
    return out


@pytest.mark.parametrize("seed", range(4))
def test_all_patterns_by_brute_force(seed):
    """A macro average over classes, folds and seeds: one coin a subject for all of them."""
    subjects, pairs = 6, macro_pairs(np.random.default_rng(seed), 6)
    exchanges = Exchanges.of(("task", "data"), subjects, 10_000, 0)
    assert (exchanges.patterns, exchanges.exhaustive, exchanges.smallest) == (64, True, 2 / 64)
    made = exchange_test(pairs, exchanges)
    for metric in METRICS:
        all_of_them = [
            sum(p.weight * by_hand(p, pattern, metric) for p in pairs)
            for pattern in itertools.product((0, 1), repeat=subjects)
        ]
        assert made[metric].difference == pytest.approx(all_of_them[0], abs=1e-12)
        assert made[metric].p == np.mean(np.abs(all_of_them) >= abs(all_of_them[0]) - 1e-9)


@pytest.mark.parametrize("metric", list(METRICS))
def test_one_unit_a_subject_equals_scipy(metric):
    """scipy exchanges within pairs too; its one-sided p of all patterns is half of the two-sided one."""
    rng = np.random.default_rng(2)
    n = 10
    positive = np.arange(n) % 2 == 0
    variant, reference = rng.normal(0, 1, n) + 1.5 * positive, rng.normal(0, 1, n)
    own, other = stats.rankdata(variant), stats.rankdata(reference)

    def statistic(a, b):
        return METRICS[metric](positive, a) - METRICS[metric](positive, b)

    expected = stats.permutation_test(
        (own, other), statistic, permutation_type="samples", n_resamples=np.inf, alternative="greater"
    )
    made = exchange_test([Pair(positive, np.arange(n), variant, reference)], Exchanges.of(("t",), n, 10_000, 0))[metric]
    assert made.difference == pytest.approx(expected.statistic)
    assert made.difference > 0
    assert made.p == pytest.approx(2 * expected.pvalue)


def test_drawn_exchanges_come_near_to_all_of_them():
    pairs = macro_pairs(np.random.default_rng(11), 12)
    whole = exchange_test(pairs, Exchanges.of(("t",), 12, 4096, 0))
    drawn = exchange_test(pairs, Exchanges.of(("t",), 12, 4095, 0))
    for metric in METRICS:
        assert drawn[metric].difference == whole[metric].difference
        assert drawn[metric].p == pytest.approx(whole[metric].p, abs=4 * np.sqrt(0.25 / 4095))


def null_p_values(simulations, by_subject):
    """p of two equally good models; each subject's three units share most of what a model thinks of them."""
    rng, found = np.random.default_rng(3), {m: [] for m in METRICS}
    for number in range(simulations):
        subject = np.repeat(np.arange(40), 3)
        positive = (rng.random(40) < 0.5)[subject]
        seen = rng.normal(0, 1, 40)[subject] + positive
        scores = seen + rng.normal(0, 1, (2, 40))[:, subject] + rng.normal(0, 0.2, (2, 120))
        column = subject if by_subject else np.arange(120)
        exchanges = Exchanges.of((str(number),), column.max() + 1, 199, 0)
        for metric, tested in exchange_test([Pair(positive, column, *scores)], exchanges).items():
            found[metric].append(tested.p)
    return found


def test_p_is_uniform_without_a_difference_and_not_when_subjects_are_torn_apart():
    for p in null_p_values(400, by_subject=True).values():
        assert stats.kstest(p, "uniform").pvalue > 0.01
        assert 0.02 < np.mean(np.array(p) <= 0.05) < 0.09
    for p in null_p_values(150, by_subject=False).values():
        assert np.mean(np.array(p) <= 0.05) > 0.15, "units of one subject are not independent"


def test_a_better_model_is_found_and_one_on_another_scale_is_not():
    rng = np.random.default_rng(4)
    positive = np.arange(200) % 2 == 0
    reference = rng.normal(0, 1, 200) + positive
    better = reference + 1.0 * positive
    rescaled = 1e-6 * np.exp(reference)
    exchanges = Exchanges.of(("t",), 200, 2000, 0)
    for tested in exchange_test([Pair(positive, np.arange(200), better, reference)], exchanges).values():
        assert tested.difference > 0.05
        assert tested.p == exchanges.smallest == 1 / 2001
    for tested in exchange_test([Pair(positive, np.arange(200), rescaled, reference)], exchanges).values():
        assert tested.difference == 0
        assert tested.p == 1
    for tested in exchange_test([Pair(positive, np.arange(200), reference, better)], exchanges).values():
        assert tested.difference < -0.05
        assert tested.p == exchanges.smallest


def patterns_of(exchanges):
    return exchanges.unpack(exchanges.packed(), 0, exchanges.patterns).T


def test_exchanges_come_from_names_alone_and_are_fair():
    a = Exchanges.of(("task", "data"), 30, 1000, 0)
    blocks = patterns_of(a)
    assert blocks.shape == (1000, 30)
    assert np.array_equal(blocks, patterns_of(Exchanges.of(("task", "data"), 30, 1000, 0)))
    for other in (Exchanges.of(("other", "data"), 30, 1000, 0), Exchanges.of(("task", "data"), 30, 1000, 1)):
        assert not np.array_equal(blocks, patterns_of(other))
    assert blocks.mean(axis=0) == pytest.approx(np.full(30, 0.5), abs=5 * np.sqrt(0.25 / 1000))
    assert abs(np.corrcoef(blocks.T) - np.eye(30)).max() < 0.15
    assert (a.exhaustive, a.smallest) == (False, 1 / 1001)


def test_all_patterns_are_all_and_once():
    blocks = patterns_of(Exchanges.of(("t",), 9, 512, 0))
    assert len(np.unique(blocks, axis=0)) == 512
    assert not blocks[0].any()
    assert not Exchanges.of(("t",), 9, 511, 0).exhaustive
    assert not Exchanges.of(("t",), 20_000, 511, 0).exhaustive
    with pytest.raises(ValueError, match="0 subjects"):
        Exchanges.of(("t",), 0, 511, 0)


def test_only_one_subject_can_show_nothing():
    pair = draw_pair(np.random.default_rng(5), 20, 1, False)
    for tested in exchange_test([pair], Exchanges.of(("t",), 1, 10_000, 0)).values():
        assert tested.p == 1
