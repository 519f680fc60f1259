"""Running jobs on this machine: in this process, or in a few worker processes of one thread each.

Results do not depend on the number of workers: every job runs on one thread, whichever process it is in.
"""

import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from ecg_ramba.errors import UserError
from ecg_ramba.processes import begin_worker
from ecg_ramba.threads import use_workqueue

_shared: Any = None


@dataclass(frozen=True)
class Outcome:
    """What became of a job: its value, or the reason it has none (with the traceback for the log)."""

    index: int
    value: Any = None
    reason: str = ""
    traceback: str = ""


def default_workers() -> int:
    """As many workers as this process may use cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_one_thread() -> None:
    """Limit this process to one thread in torch, BLAS, OpenMP and numba: results must not depend on their number."""
    import threadpoolctl
    import torch

    use_workqueue()
    os.environ["NUMBA_NUM_THREADS"] = os.environ.get("NUMBA_NUM_THREADS", "1")
    torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1)


def _start(shared: Any) -> None:
    """Set up a worker: one thread, and what all jobs share."""
    global _shared
    _shared = shared
    begin_worker()
    use_one_thread()


def _attempt(function: Callable[[Any, Any], Any], shared: Any, index: int, job: Any) -> Outcome:
    """Run one job. This is the boundary at which any failure becomes a row with a reason, so that others go on."""
    try:
        return Outcome(index, function(shared, job))
    except UserError as error:
        return Outcome(index, reason=str(error), traceback=traceback.format_exc())
    except Exception as error:  # noqa: BLE001 - reported as the job's outcome, with its traceback
        return Outcome(
            index, reason=f"{type(error).__name__}: {error}".split("\n")[0], traceback=traceback.format_exc()
        )


def _in_worker(function, index, job) -> Outcome:
    return _attempt(function, _shared, index, job)


def run_jobs(function: Callable[[Any, Any], Any], shared: Any, jobs: Sequence[Any], workers: int) -> Iterator[Outcome]:
    """Outcomes of ``function(shared, job)`` as they come, in any order.

    A worker that dies (out of memory, killed) takes down only its pool: the jobs that were left are tried once more,
    one at a time, and the one that kills its worker again is reported as failed.
    """
    if workers <= 1:
        use_one_thread()
        for index, job in enumerate(jobs):
            yield _attempt(function, shared, index, job)
        return
    left = dict(enumerate(jobs))
    yield from _pooled(function, shared, left, workers)
    for index in list(left):
        one = {index: left.pop(index)}
        yield from _pooled(function, shared, one, 1)
        if one:
            yield Outcome(index, reason="its worker process died (out of memory?); try fewer --workers")


def _pooled(function, shared, left: dict[int, Any], workers: int) -> Iterator[Outcome]:
    """Run jobs in a pool, taking each from ``left`` when it is done; stop if the pool breaks."""
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start, initargs=(shared,))
    try:
        futures = {pool.submit(_in_worker, function, i, job): i for i, job in left.items()}
        while futures:
            done, _ = wait(futures, return_when=FIRST_COMPLETED)
            for future in done:
                index = futures.pop(future)
                outcome = future.result()
                left.pop(index)
                yield outcome
    except BrokenProcessPool:
        return
    finally:
        for process in list((pool._processes or {}).values()):
            if process.is_alive() and left:
                process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
