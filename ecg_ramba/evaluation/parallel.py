"""The same work on many things at once, on the cores that there are: NumPy lets go of the interpreter in long loops.

Results come in the order of what was asked for, so that numbers do not depend on the number of threads.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

A, B = TypeVar("A"), TypeVar("B")
MOST = 8
"""Threads at most: each has tables of its own, and the work waits for memory more than for cores."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(function: Callable[[A], B], items: Iterable[A], threads: int | None = None) -> list[B]:
    """``[function(item) for item in items]`` on a thread a core; the first exception is raised."""
    items = list(items)
    threads = min(threads or min(cores(), MOST), len(items))
    if threads <= 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))
