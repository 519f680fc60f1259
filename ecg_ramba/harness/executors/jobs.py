"""Jobs and what becomes of them, wherever they run."""

import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ecg_ramba.errors import UserError, first_line
from ecg_ramba.threads import use_workqueue

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
"""What libraries read, when they are first imported, to learn how many threads they may have."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job: its value, or the reason it has none (with the traceback for the log)."""

    index: int
    value: Any = None
    reason: str = ""
    traceback: str = ""


class Executor(Protocol):
    """Runs jobs. Numbers do not depend on which executor it is, nor on its number of workers: a job has one thread."""

    @property
    def workers(self) -> int:
        """How many jobs run at once."""

    @property
    def cores(self) -> int:
        """How many threads one job may start."""

    @property
    def here(self) -> int:
        """How many processes of this machine may work beside each other, where data are prepared."""

    @property
    def apart(self) -> bool:
        """Whether jobs may run on other machines."""

    def run(
        self, function: Callable[[Any, Any], Any], shared: Any, jobs: Sequence[Any], threads: int = 1, gpu: bool = False
    ) -> Iterator[Outcome]:
        """Outcomes of ``function(shared, job)`` as they come, in any order; exactly one a job.

        Parameters
        ----------
        function : callable
            At the top level of a module, so that workers can import it. What it keeps, it writes to disk.
        shared
            What all jobs have in common; sent once to each worker.
        jobs : sequence
        threads : int
            Threads that each job starts by itself, besides the one of its libraries.
        gpu : bool
            Whether a job computes on a GPU; matters where these are shared out.
        """


def attempt(function: Callable[[Any, Any], Any], shared: Any, index: int, job: Any) -> Outcome:
    """Run one job. This is the boundary at which any failure becomes a row with a reason, so that others go on."""
    try:
        return Outcome(index, function(shared, job))
    except UserError as error:
        return Outcome(index, reason=str(error), traceback=traceback.format_exc())
    except Exception as error:  # noqa: BLE001 - reported as the job's outcome, with its traceback
        return Outcome(index, reason=first_line(error), traceback=traceback.format_exc())


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
