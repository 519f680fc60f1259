"""Work on several threads: results in the order of what was asked, and nothing swallowed."""

import threading

import pytest

from ecg_ramba.evaluation.parallel import each


@pytest.mark.parametrize("threads", [1, 2, 5, None])
def test_results_come_in_order(threads):
    assert each(lambda i: i * i, range(7), threads) == [i * i for i in range(7)]
    assert each(abs, [], threads) == []


def test_two_things_are_done_at_once():
    """Each waits for the other: one thread alone would never end."""
    both = threading.Barrier(2, timeout=30)
    assert sorted(each(lambda _: both.wait(), range(2), 2)) == [0, 1]


def test_the_first_exception_is_raised():
    with pytest.raises(ZeroDivisionError):
        each(lambda i: 1 // i, [2, 1, 0], 2)
