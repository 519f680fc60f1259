"""Cells trained by all processes of a ``torchrun`` together; everything else is done by the first of them."""

import atexit
import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ecg_ramba.errors import UserError
from ecg_ramba.harness.executors.jobs import Outcome, attempt, default_workers, use_one_thread

PATIENCE = timedelta(days=1)
"""How long a process waits for the first, which prepares, predicts and reports alone; ``torchrun`` ends them all when
one dies."""


@dataclass(frozen=True)
class TorchRun:
    """The first process of a ``torchrun``: all run what is marked ``together`` at once, one job after another."""

    workers = cores = 1

    @property
    def apart(self) -> bool:
        """Where ``torchrun`` joins several machines."""
        return os.environ.get("LOCAL_WORLD_SIZE") != os.environ.get("WORLD_SIZE")

    @property
    def here(self) -> int:
        """The cores of this machine."""
        return default_workers()

    def run(self, function, shared, jobs, threads: int = 1, gpu: bool = False) -> Iterator[Outcome]:
        """See :class:`ecg_ramba.harness.executors.jobs.Executor`."""
        use_one_thread()
        together = getattr(function, "together", False)
        if together and jobs:
            _tell("shared", shared)
        for index, job in enumerate(jobs):
            if together:
                _tell("job", (function, job))
            yield attempt(function, shared, index, job)


def launched() -> bool:
    """Whether ``torchrun`` started this process beside others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join(device: str) -> TorchRun:
    """Join the processes that ``torchrun`` started. Only the first returns; the others do what it tells them, and end.

    Raises
    ------
    UserError
        If ``torchrun`` did not say where they meet, or there is no GPU for each of a machine's processes.
    """
    import torch

    gpu = device != "cpu" and torch.cuda.is_available()
    if gpu:
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise UserError(f"{torch.cuda.device_count()} GPUs here; start no more processes (--nproc-per-node)")
        torch.cuda.set_device(local)
    try:
        torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout=PATIENCE)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"the processes of torchrun do not find each other: {error}") from None
    if torch.distributed.get_rank() > 0:
        _serve()
        _exit(0)
    return TorchRun()


def leave(code: int) -> None:
    """End the first process, and with it the others; comes back where this process joined no others.

    Parameters
    ----------
    code : int
        Its exit status.
    """
    import torch

    if torch.distributed.is_initialized():
        _tell("end", None)
        atexit._run_exitfuncs()
        _exit(code)


def _exit(code: int) -> None:
    """End at once: gloo's threads now and then abort a process that is taken down in order (exit status -6)."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _tell(what: str, content: Any) -> None:
    import torch

    torch.distributed.broadcast_object_list([what, content])


def _serve() -> None:
    """What every other process does: the first one's jobs, until it ends."""
    import torch

    use_one_thread()
    shared = None
    while True:
        held: list = [None, None]
        torch.distributed.broadcast_object_list(held)
        what, content = held
        if what == "end":
            return
        if what == "shared":
            shared = content
        else:
            function, job = content
            # What is wrong with a cell is wrong in all processes, and the first reports it. Any other error may be this
            # process's alone: it dies of it, torchrun ends the others, and nobody waits for a step that never comes.
            with contextlib.suppress(UserError):
                function(shared, job)
