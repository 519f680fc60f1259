"""The server's side of the process with the models: a queue for each lane (:mod:`ecg_ramba.dashboard.lanes`)."""

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

from ecg_ramba.dashboard.lanes import LANES
from ecg_ramba.errors import UserError

START_S = 300.0
"""Longest time that loading models may take: the first run builds the native kernels."""

log = logging.getLogger(__name__)


class GoneError(UserError):
    """The recording was deleted while it was being worked on."""


class StoppedError(UserError):
    """Somebody has stopped the job."""


@dataclass
class _Job:
    id: int
    message: dict
    lane: int
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
        self._waiting: dict[int, deque[_Job]] = {lane: deque() for lane in LANES}
        self._running: dict[int, _Job | None] = dict.fromkeys(LANES)
        self._started: list[_Job] = []
        """Begun and not ended; each came between those before it, so the last is the one at work."""
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
            jobs = [*self._take_waiting(), *filter(None, self._running.values())]
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
        lane: int,
        on_progress: Callable[[dict], None] = lambda progress: None,
    ) -> Future:
        """Have a function of :mod:`ecg_ramba.dashboard.results` run; the future has its result, or a UserError."""
        id = next(self._ids)
        message = {"id": id, "job": job, "arguments": dict(arguments), "lane": lane}
        made = _Job(id, message, lane, on_progress)
        with self._lock:
            if self._closed:
                made.future.cancel()
                return made.future
            self._waiting[lane].append(made)
        self._pass_on()
        return made.future

    def stop(self, future: Future) -> None:
        """Have a job given up: at once if it waits, when it next reports its progress if it runs, not if it is done."""
        with self._lock:
            waiting = next((job for lane in self._waiting.values() for job in lane if job.future is future), None)
            if waiting is not None:
                self._waiting[waiting.lane].remove(waiting)
            elif self._connection is not None:
                for job in self._running.values():
                    if job is not None and job.future is future:
                        self._send({"id": job.id, "job": "stop"})
        if waiting is not None and waiting.future.set_running_or_notify_cancel():
            waiting.future.set_exception(StoppedError("stopped"))

    def _pass_on(self) -> None:
        """Give the process the next job of each lane that is free."""
        with self._lock:
            for lane in LANES:
                if self._running[lane] is None and self._waiting[lane] and self._connection is not None:
                    job = self._waiting[lane].popleft()
                    self._running[lane] = job
                    self._send(job.message)

    def _send(self, message: dict) -> None:
        with contextlib.suppress(OSError):  # it has just died: the listener sees to it
            self._connection.send_bytes(json.dumps(message).encode())

    def _take_waiting(self) -> list[_Job]:
        jobs = [job for lane in LANES for job in self._waiting[lane]]
        for lane in LANES:
            self._waiting[lane].clear()
        return jobs

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
            if "started" in message:
                self._started.append(job)
                continue
            if "progress" in message:
                job.on_progress(message["progress"])
                continue
            self._finish(lane, job, message)
            self._pass_on()
        self._after_death(process)

    def _finish(self, lane: int, job: _Job, message: dict) -> None:
        with self._lock:
            self._running[lane] = None
            self._started.remove(job)
        if not job.future.set_running_or_notify_cancel():
            return  # nobody waits for it any more
        if "result" in message:
            job.future.set_result(message["result"])
        elif "gone" in message:
            job.future.set_exception(GoneError("the recording was deleted"))
        elif "stopped" in message:
            job.future.set_exception(StoppedError("stopped"))
        else:
            job.future.set_exception(UserError(message["error"]))

    def _after_death(self, process) -> None:
        process.join()
        with self._lock:
            if self._closed:
                return
            # The one at work has brought it down; the others begin anew.
            lost = self._started[-1:]
            for job in self._running.values():
                if job is not None and job not in lost:
                    self._waiting[job.lane].appendleft(job)
            self._running, self._started = dict.fromkeys(LANES), []
            self._connection = None
        log.warning("the process with the models ended with status %s; it is started again", process.exitcode)
        for job in lost:
            _fail(job, "the analysis broke down on this recording (its process ended)")
        try:
            self.start()
        except UserError as error:
            log.error("it does not start again: %s", error)
            with self._lock:
                jobs = self._take_waiting()
                self._closed = True
            for job in jobs:
                _fail(job, f"the models cannot be loaded again: {error}")
            return
        self._pass_on()


def _fail(job: _Job, why: str) -> None:
    if job.future.set_running_or_notify_cancel():
        job.future.set_exception(UserError(why))
