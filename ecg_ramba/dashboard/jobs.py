"""A recording's way: read, perhaps asked about, measured and predicted. Every step can be done again after a stop."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from ecg_ramba.dashboard.lanes import lane_of
from ecg_ramba.dashboard.limited import call, warm_up
from ecg_ramba.dashboard.model_client import GoneError, StoppedError
from ecg_ramba.dashboard.results import summary_of
from ecg_ramba.errors import UserError, first_line
from ecg_ramba.files import read_json, sha256_file

if TYPE_CHECKING:
    from ecg_ramba.dashboard.room import Room

log = logging.getLogger(__name__)


class Jobs:
    """Takes recordings through their steps; no method but :meth:`answer` waits."""

    def __init__(self, room: Room):
        self.room, self.settings, self.store = room, room.settings, room.store
        self._pool = ThreadPoolExecutor(room.settings.readers, thread_name_prefix="reader")
        self._answering = threading.Lock()
        self._analysing: dict[str, Future] = {}
        self._closed = False

    def close(self) -> None:
        """Begin no further step, and wait for those at work."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def go_on(self, id: str) -> None:
        """Go on with a recording that a stop has interrupted."""
        folder = self.room.folder(id)
        if (folder / "signal.json").is_file() and self.store.get(id)["understood"] is not None:
            forget_sent(folder)
            self.analyse(id)
        else:
            self.read(id)

    def warm_up(self) -> None:
        """Make the readers ready, meanwhile."""
        self._pool.submit(warm_up)

    # ---------------------------------------------------------------- reading

    def read(self, id: str) -> None:
        """Read a recording's files, when its turn comes."""
        self._pool.submit(self._guarded, self._read, id)

    def _guarded(self, step, id: str) -> None:
        """A step's own failure ends on its recording, where it is seen."""
        try:
            step(id)
        except Exception as error:  # a mistake of ours
            log.exception("%s", id)
            self.room.changed(
                id, status="failed", progress=None, error=f"a mistake of the program: {first_line(error)}"
            )

    def _read(self, id: str) -> None:
        known = self.store.hidden(id)
        if known is None or self._closed:
            return
        item = self.room.changed(id, status="running", progress={"stage": "reading", "done": 0, "total": 1})
        if item is None:
            return
        folder = self.room.folder(id)
        forget_scratch(folder)
        files = {sent: folder / place for sent, place in known["files"].items()}
        arguments = {"files": {sent: str(p) for sent, p in files.items()}, "name": item["name"], "kind": known["kind"]}
        arguments |= {"folder": str(folder), "answers": known["answers"], "hours": self.settings.hours}
        try:
            digests = {sent: sha256_file(path) for sent, path in files.items()}
            found = call("ecg_ramba.dashboard.read:read", arguments, self.settings.reader.of_bytes(item["bytes"]))
        except UserError as error:
            self.room.changed(id, status="refused", progress=None, error=str(error))
            self.room.clear(id)
            return
        except FileNotFoundError:
            if self.store.get(id) is not None:
                raise
            return
        else:
            self._go_on_with(id, found, sha256=digests)
        forget_sent(folder)

    def answer(self, id: str, answers: Mapping) -> dict | None:
        """Take a person's answers, and go on; None where there is no such recording.

        Raises
        ------
        UserError
            If nothing is asked, or an answer cannot be; then nothing changes.
        """
        with self._answering:
            item, known = self.store.get(id), self.store.hidden(id)
            if item is None:
                return None
            if item["status"] != "question":
                raise UserError(f"nothing is asked of {item['name']}: it is {item['status']}")
            together = (known["answers"] or {}) | dict(answers)
            arguments = {"folder": str(self.room.folder(id)), "answers": together, "hours": self.settings.hours}
            found = call("ecg_ramba.dashboard.read:answer", arguments, self.settings.reader)
            item = self._go_on_with(id, found, answers=together)
            if not found["questions"]:
                forget_sent(self.room.folder(id))
            return item

    def _go_on_with(self, id: str, found: dict, **facts) -> dict | None:
        """What was read of a recording: ask, or put it into the queue."""
        asked = bool(found["questions"])
        progress = None if asked else {"stage": "waiting", "done": 0, "total": 1}
        status = "question" if asked else "queued"
        item = self.room.changed(id, status=status, progress=progress, error="", **found, **facts)
        if item is not None and not asked:
            self.analyse(id)
        return item

    # --------------------------------------------------------------- analysis

    def analyse(self, id: str) -> dict | None:
        """Have a recording measured and predicted, when its turn comes; the item, None where it is gone."""
        waits = {"stage": "waiting", "done": 0, "total": 1}
        item = self.room.changed(id, status="queued", progress=waits, error="")
        if item is None:
            return None

        begun: dict[str, float] = {}

        def progressed(progress: dict) -> None:
            now = time.monotonic()
            left = seconds_left(now - begun.setdefault(progress["stage"], now), progress["done"], progress["total"])
            self.room.changed(id, status="running", progress=progress | {"seconds_left": left})

        arguments = {"folder": str(self.room.folder(id)), "name": item["name"]}
        lane = lane_of(item["understood"]["seconds"])
        future = self.room.models.submit("analyse", arguments, lane=lane, on_progress=progressed)
        self._analysing[id] = future
        future.add_done_callback(lambda done: self._analysed(id, done))
        return item

    def stop(self, id: str) -> bool:
        """Have an analysis given up, soon; False where none waits or runs."""
        future = self._analysing.get(id)
        if future is None:
            return False
        self.room.models.stop(future)
        return True

    def _analysed(self, id: str, done: Future) -> None:
        if self._analysing.get(id) is done:
            del self._analysing[id]
        try:
            found = done.result()
        except (CancelledError, GoneError):
            return  # the server stops, and it goes on at the next start; or deleted
        except StoppedError:
            self._stopped(id)
            return
        except UserError as error:
            self.room.changed(id, status="failed", progress=None, error=str(error), model=self._digest())
            return
        self.room.changed(
            id, status="done", progress=None, error=found["error"], summary=found["summary"], model=self._digest()
        )

    def _stopped(self, id: str) -> None:
        """A person has stopped it: what was measured stays."""
        path = self.room.folder(id) / "measurements.json"
        if path.is_file():
            summary, said = summary_of(read_json(path), None), "no prediction: it was stopped"
            self.room.changed(id, status="done", progress=None, error=said, summary=summary, model=self._digest())
        else:
            said = "it was stopped before it was measured"
            self.room.changed(id, status="failed", progress=None, error=said, model=self._digest())

    def _digest(self) -> str | None:
        facts = self.room.models.facts
        return facts and facts["digest"]


ESTIMATED_AFTER_S = 3.0


def seconds_left(passed: float, done: int, total: int) -> float | None:
    """How long the rest of a stage takes at the pace so far; None where there is none yet, or little to wait for."""
    if done <= 0 or passed < ESTIMATED_AFTER_S:
        return None
    return round(passed / done * (total - done), 1)


def forget_scratch(folder: Path) -> None:
    """Remove what a reader has left that was stopped in the middle; no other may be at work."""
    for path in folder.glob("tmp*/"):
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def forget_sent(folder: Path) -> None:
    """Remove the files as they were sent, and what was kept of them for questions: all that is used has been read."""
    for path in folder.glob("sent*"):
        path.unlink(missing_ok=True)
    if (folder / "signal.json").is_file():
        for name in ("raw.f32", "raw.json"):
            (folder / name).unlink(missing_ok=True)
