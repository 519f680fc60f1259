"""Jobs on this machine: in this process, or in a few worker processes (loky) of one thread each."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from ecg_ramba.harness.executors.jobs import THREADS, Executor, Outcome, attempt, default_workers, use_one_thread
from ecg_ramba.processes import begin_worker

DIED = "its worker process died (out of memory?); try fewer --workers"
AHEAD = 1
"""Jobs that wait in a worker's queue, so that none idles between two; who they are must be known when a worker dies."""

_shared: Any = None


def local(workers: int | None = None) -> Executor:
    """So many workers of this machine, one a core unless told; a single one is this process."""
    workers = workers or default_workers()
    return InProcess() if workers <= 1 else Processes(workers)


@dataclass(frozen=True)
class InProcess:
    """Every job in this process, one after the other; one that brings it down takes the run with it."""

    workers = cores = here = 1
    apart = False

    def run(self, function, shared, jobs, threads: int = 1, gpu: bool = False) -> Iterator[Outcome]:
        """See :class:`ecg_ramba.harness.executors.jobs.Executor`."""
        use_one_thread()
        for index, job in enumerate(jobs):
            yield attempt(function, shared, index, job)


@dataclass(frozen=True)
class Processes:
    """Worker processes of this machine.

    A worker that dies (out of memory, killed) takes down its pool. Whichever jobs were with a worker then are tried
    once more, each in a worker of its own, and what kills that too is reported as failed; the others then go on
    side by side.
    """

    workers: int
    apart = False

    @property
    def cores(self) -> int:
        """Of all workers, where there is one job alone."""
        return self.workers

    @property
    def here(self) -> int:
        """All of them are here."""
        return self.workers

    def run(self, function, shared, jobs, threads: int = 1, gpu: bool = False) -> Iterator[Outcome]:
        """See :class:`ecg_ramba.harness.executors.jobs.Executor`."""
        left = deque(enumerate(jobs))
        while left:
            suspects: list[tuple[int, Any]] = []
            yield from _pooled(function, shared, left, suspects, min(self.workers, len(left)))
            for index, job in suspects:
                again: list[tuple[int, Any]] = []
                yield from _pooled(function, shared, deque([(index, job)]), again, 1)
                if again:
                    yield Outcome(index, reason=DIED)


def _pooled(function: Callable, shared: Any, left: deque, suspects: list, workers: int) -> Iterator[Outcome]:
    """Run jobs in a pool, taking them from ``left``; what was with workers when it broke goes to ``suspects``."""
    from loky import ProcessPoolExecutor

    pool = ProcessPoolExecutor(workers, initializer=_start, initargs=(shared,), env=dict.fromkeys(THREADS, "1"))
    futures: dict = {}
    try:
        while left or futures:
            while left and len(futures) < workers + AHEAD:
                index, job = left.popleft()
                futures[pool.submit(_in_worker, function, index, job)] = index, job
            for future in wait(futures, return_when=FIRST_COMPLETED).done:
                outcome = future.result()
                del futures[future]
                yield outcome
    except BrokenProcessPool:
        suspects.extend(futures.values())
    finally:
        pool.shutdown(wait=True, kill_workers=bool(futures))


def _start(shared: Any) -> None:
    """Set up a worker: one thread, and what all jobs share."""
    global _shared
    _shared = shared
    begin_worker()
    use_one_thread()


def _in_worker(function: Callable, index: int, job: Any) -> Outcome:
    return attempt(function, _shared, index, job)
