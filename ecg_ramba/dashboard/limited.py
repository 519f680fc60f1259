"""Functions that read strangers' files run in a process of their own, with limits: none takes the server with it.

Each call forks from a process that has imported the readers already, so that it costs milliseconds. What comes back
is JSON, never a pickle, and large arrays go through files.
"""

import contextlib
import importlib
import json
import logging
import multiprocessing
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ecg_ramba.dashboard.formats.reading import FormatError
from ecg_ramba.errors import UserError, first_line
from ecg_ramba.processes import begin_worker

try:
    import resource
except ImportError:  # Windows: there the time is limited, the memory is not
    resource = None

PRELOADED = ["ecg_ramba.dashboard.preload"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a call may use: seconds of processor time and on the clock (a busy machine is no fault of a file's),
    megabytes beyond what an idle process has, megabytes a file.
    """

    cpu_seconds: int = 60
    seconds: float = 300.0
    memory_mb: int = 2048
    file_mb: int = 8192

    def of_bytes(self, size: int) -> "Limits":
        """The same for a file of a size, with a second more for each 8 MB: a day of twelve leads is a gigabyte."""
        return replace(self, cpu_seconds=self.cpu_seconds + (size >> 23), seconds=self.seconds + (size >> 21))


def call(function: str, arguments: Mapping, limits: Limits):
    """Run ``module:function`` in a process of its own, with keyword arguments, and return what it returns.

    Parameters
    ----------
    function : str
        A function of this package that takes and returns what JSON can hold.
    arguments : mapping
        Its keyword arguments.
    limits : Limits

    Raises
    ------
    FormatError
        What the function raised as a user's error; or that it ran out of time or memory, failed in a way that it does
        not know, or that its process died.
    """
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(PRELOADED)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(theirs, function, json.dumps(arguments), limits), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(limits.seconds):
            raise FormatError(f"reading it took more than {limits.seconds:g} s and was stopped; is it damaged?")
        try:
            answer = json.loads(ours.recv_bytes())
        except (EOFError, OSError):
            process.join(5)
            if resource is not None and process.exitcode == -signal.SIGXCPU:
                raise FormatError(
                    f"reading it took more than {limits.cpu_seconds} s and was stopped; is it damaged?"
                ) from None
            log.warning("%s ended with status %s", function, process.exitcode)
            raise FormatError("its reader broke down on it; the file is damaged, or made to do harm") from None
    finally:
        ours.close()
        process.kill()
        process.join()
        process.close()
    if "error" in answer:
        raise FormatError(answer["error"])
    if "memory" in answer:
        raise FormatError(
            f"reading it takes more than {limits.memory_mb} MB of memory (ecg-ramba serve --reader-mb N): cut it"
        )
    if "unexpected" in answer:
        log.warning("%s: %s", function, answer["unexpected"])
        raise FormatError(f"it cannot be read ({answer['unexpected']}); the file is damaged, or of another kind")
    return answer["result"]


def warm_up() -> None:
    """Start the process that calls fork from, which imports the readers: the first file need not wait for it."""
    call(f"{__name__}:nothing", {}, Limits())


def nothing() -> None:
    """Return at once."""


def _run(connection, function: str, arguments: str, limits: Limits) -> None:
    """In the process: set the limits, call, answer."""
    begin_worker()
    _be_silent()
    _set_limits(limits)
    module, name = function.split(":")
    try:
        answer = {"result": getattr(importlib.import_module(module), name)(**json.loads(arguments))}
    except UserError as error:
        answer = {"error": str(error)}
    except MemoryError:
        answer = {"memory": True}
    except Exception as error:  # noqa: BLE001  a file made to do harm may fail in any way; the parent says which
        answer = {"unexpected": first_line(error)[:200]}
    with contextlib.suppress(BrokenPipeError):  # the parent has given up waiting
        connection.send_bytes(json.dumps(answer).encode())
    connection.close()


def _be_silent() -> None:
    """Say nothing on the terminal: what libraries print of a file may be a patient's."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _set_limits(limits: Limits) -> None:
    if resource is None:
        return
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # no /proc: macOS, which does not hold to a limit of memory either
        taken = 0
    for which, most in (
        (resource.RLIMIT_AS, taken + limits.memory_mb * 2**20),
        (resource.RLIMIT_FSIZE, limits.file_mb * 2**20),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(which)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        resource.setrlimit(which, (most, most))
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard == resource.RLIM_INFINITY or hard > limits.cpu_seconds + 1:
        # At the soft limit the signal says why; at the hard one there would be SIGKILL, which says nothing.
        resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 1))
