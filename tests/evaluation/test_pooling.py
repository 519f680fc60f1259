"""Pooling against hand-computed values and the properties of power means."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.pooling import Pooling, pool

probabilities = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=12)
exponents = st.floats(0.05, 60)


def one(values, pooling):
    return float(pool(np.array(values), [0], pooling)[0])


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        (Pooling(rule="mean"), (0.2 + 0.5 + 0.8) / 3),
        (Pooling(rule="max"), 0.8),
        (Pooling(rule="geometric"), (0.2 * 0.5 * 0.8) ** (1 / 3)),
        (Pooling(q=3), ((0.2**3 + 0.5**3 + 0.8**3) / 3) ** (1 / 3)),
        (Pooling(q=8), ((0.2**8 + 0.5**8 + 0.8**8) / 3) ** (1 / 8)),
    ],
)
def test_hand_computed(pooling, expected):
    assert one([0.2, 0.5, 0.8], pooling) == pytest.approx(expected, abs=1e-14)


@given(probabilities, exponents)
def test_between_min_and_max(values, q):
    for pooling in (Pooling(q=q), Pooling(rule="mean"), Pooling(rule="max"), Pooling(rule="geometric")):
        assert min(values) <= one(values, pooling) <= max(values)


@given(probabilities, exponents, exponents)
def test_monotone_in_q(values, a, b):
    low, high = sorted((a, b))
    assert one(values, Pooling(q=low)) <= one(values, Pooling(q=high)) + 1e-12
    assert one(values, Pooling(rule="geometric")) <= one(values, Pooling(q=low)) + 1e-12


@given(st.floats(0, 1, width=32), st.integers(1, 20), exponents)
def test_constants_stay(value, n, q):
    for pooling in (Pooling(q=q), Pooling(rule="geometric"), Pooling(rule="mean"), Pooling(rule="max")):
        assert one([value] * n, pooling) == value


@given(probabilities)
def test_limits(values):
    assert one(values, Pooling(q=1)) == pytest.approx(one(values, Pooling(rule="mean")), abs=1e-12)
    assert one(values, Pooling(q=1e6)) == pytest.approx(max(values), abs=1e-4)


def test_small_q_tends_to_geometric():
    values = [0.2, 0.5, 0.8]
    assert one(values, Pooling(q=1e-5)) == pytest.approx(one(values, Pooling(rule="geometric")), abs=1e-5)


def test_tiny_probabilities_do_not_underflow():
    assert one([1e-300, 1e-300], Pooling(q=8)) == pytest.approx(1e-300, rel=1e-9)
    assert one([0.0, 0.0], Pooling(q=3)) == 0
    assert one([0.0, 1.0], Pooling(q=3)) == pytest.approx(0.5 ** (1 / 3))


@settings(max_examples=30)
@given(st.lists(probabilities, min_size=1, max_size=6), exponents)
def test_groups_are_independent(groups, q):
    starts = np.cumsum([0] + [len(g) for g in groups[:-1]])
    pooled = pool(np.concatenate(groups)[:, None], starts, Pooling(q=q))[:, 0]
    assert pooled == pytest.approx([one(g, Pooling(q=q)) for g in groups], abs=1e-15)


def test_nan_stays_in_its_unit_and_column():
    p = np.array([[0.1, np.nan], [0.2, np.nan], [0.3, 0.4]])
    for pooling in (Pooling(), Pooling(rule="mean"), Pooling(rule="max"), Pooling(rule="geometric")):
        assert np.isnan(pool(p, [0, 2], pooling)).tolist() == [[False, True], [False, False]]


@given(st.floats(0.2, 8))
def test_burden_limit_is_where_a_half_is_reached(q):
    n = 4096
    limit = Pooling(q=q).burden_limit
    at = np.zeros(n)
    at[: math.ceil(limit * n)] = 1
    assert one(at, Pooling(q=q)) >= 0.5 - 1e-9
    at[math.ceil(limit * n) - 1] = 0
    assert one(at, Pooling(q=q)) < 0.5


def test_burden_limits_of_the_rules():
    assert Pooling(q=3).burden_limit == 0.125
    assert Pooling(rule="mean").burden_limit == 0.5
    assert Pooling(rule="geometric").burden_limit == 1
    assert Pooling(rule="max").burden_limit == 0


@pytest.mark.parametrize("bad", [{"rule": "median"}, {"q": 0.0}, {"q": -1.0}, {"q": math.nan}])
def test_bad_rules_are_refused(bad):
    with pytest.raises(UserError):
        Pooling(**bad)
