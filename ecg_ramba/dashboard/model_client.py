"""The server's side of the process with the models: a queue for recordings, an express lane for people who wait."""

import contextlib
import itertools
import json
import logging
import multiprocessing
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from ecg_ramba.errors import UserError

START_S = 300.0
"""Longest time that loading models may take: the first run builds the native kernels."""

log = logging.getLogger(__name__)


class GoneError(UserError):
    """The recording was deleted while it was being worked on."""


@dataclass
class _Job:
    id: int
    message: dict
    express: bool
    on_progress: Callable[[dict], None]
    future: Future = field(default_factory=Future)


class ModelProcess:
    """Starts the process, gives it work, and starts it again should it die.

    Parameters
    ----------
    folder : Path or None
        With the checkpoints; None: no models, only measurements.
    memory_mb : int
        What it may use beyond what the models take.
    """

    def __init__(self, folder: Path | None, memory_mb: int):
        self.facts: dict | None = None
        self._folder, self._memory_mb = folder, memory_mb
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._waiting: dict[bool, deque[_Job]] = {False: deque(), True: deque()}
        self._running: dict[bool, _Job | None] = {False: None, True: None}
        self._closed = False
        self._process = self._connection = None

    def start(self) -> None:
        """Start it, and wait until the models are loaded.

        Raises
        ------
        UserError
            If they cannot be.
        """
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        from ecg_ramba.dashboard.model_process import main

        arguments = (theirs, str(self._folder) if self._folder else None, self._memory_mb)
        process = context.Process(target=main, args=arguments, daemon=True, name="ecg-ramba models")
        process.start()
        theirs.close()
        try:
            first = (
                json.loads(ours.recv_bytes()) if ours.poll(START_S) else {"failed": "loading the models took too long"}
            )
        except (EOFError, OSError):
            first = {"failed": "the process that loads the models broke down; its words are above"}
        if "failed" in first:
            process.kill()
            process.join()
            raise UserError(first["failed"])
        self.facts = first["ready"]
        self._process, self._connection = process, ours
        threading.Thread(target=self._listen, args=(ours, process), daemon=True, name="models").start()

    def close(self) -> None:
        """End it; what was running is not finished."""
        with self._lock:
            self._closed = True
            jobs = [*self._waiting[False], *self._waiting[True], *filter(None, self._running.values())]
            for lane in (False, True):
                self._waiting[lane].clear()
        for job in jobs:
            job.future.cancel()
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()

    def submit(
        self,
        job: str,
        arguments: Mapping,
        *,
        express: bool = False,
        on_progress: Callable[[dict], None] = lambda progress: None,
    ) -> Future:
        """Have a function of :mod:`ecg_ramba.dashboard.results` run; the future has its result, or a UserError."""
        id = next(self._ids)
        made = _Job(id, {"id": id, "job": job, "arguments": dict(arguments)}, express, on_progress)
        with self._lock:
            if self._closed:
                made.future.cancel()
                return made.future
            self._waiting[express].append(made)
        self._pass_on()
        return made.future

    def _pass_on(self) -> None:
        """Give the process the next job of each lane that is free."""
        with self._lock:
            for lane in (True, False):
                if self._running[lane] is None and self._waiting[lane] and self._connection is not None:
                    job = self._waiting[lane].popleft()
                    self._running[lane] = job
                    with contextlib.suppress(OSError):  # it has just died: the listener sees to it
                        self._connection.send_bytes(json.dumps(job.message).encode())

    def _listen(self, connection, process) -> None:
        while True:
            try:
                message = json.loads(connection.recv_bytes())
            except (EOFError, OSError):
                break
            lane = next((x for x, j in self._running.items() if j is not None and j.id == message["id"]), None)
            if lane is None:
                raise AssertionError(f"no such job: {message}")
            job = self._running[lane]
            if "progress" in message:
                job.on_progress(message["progress"])
                continue
            self._finish(lane, job, message)
            self._pass_on()
        self._after_death(process)

    def _finish(self, lane: bool, job: _Job, message: dict) -> None:
        with self._lock:
            self._running[lane] = None
        if not job.future.set_running_or_notify_cancel():
            return  # nobody waits for it any more
        if "result" in message:
            job.future.set_result(message["result"])
        elif "gone" in message:
            job.future.set_exception(GoneError("the recording was deleted"))
        else:
            job.future.set_exception(UserError(message["error"]))

    def _after_death(self, process) -> None:
        process.join()
        with self._lock:
            if self._closed:
                return
            lost = [job for job in self._running.values() if job is not None]
            self._running = {False: None, True: None}
            self._connection = None
        log.warning("the process with the models ended with status %s; it is started again", process.exitcode)
        for job in lost:
            _fail(job, "the analysis broke down on this recording (its process ended)")
        try:
            self.start()
        except UserError as error:
            log.error("it does not start again: %s", error)
            with self._lock:
                jobs = [*self._waiting[False], *self._waiting[True]]
                self._closed = True
            for job in jobs:
                _fail(job, f"the models cannot be loaded again: {error}")
            return
        self._pass_on()


def _fail(job: _Job, why: str) -> None:
    if job.future.set_running_or_notify_cancel():
        job.future.set_exception(UserError(why))
