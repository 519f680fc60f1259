"""The process that has the models loaded and computes everything that needs them, or takes long.

Messages are JSON, both ways. Whenever a job reports its progress, those of better lanes come in between (somebody who
waits for a saliency or a PDF, short recordings while one of a day is read), and it is given up there if it is told to
be.
"""

import json
import logging
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ecg_ramba.dashboard import results
from ecg_ramba.dashboard.lanes import LANES
from ecg_ramba.dashboard.levels import write_lead
from ecg_ramba.dashboard.results import Loaded
from ecg_ramba.data.leads import LEADS
from ecg_ramba.errors import UserError, first_line
from ecg_ramba.files import write_json
from ecg_ramba.processes import begin_worker

log = logging.getLogger(__name__)


class Gone(Exception):
    """The recording was deleted while it was being worked on."""


class Stopped(Exception):
    """Somebody has told it to stop."""


def main(connection, folder: str | None, memory_mb: int) -> None:
    """Load the models, say so, and serve until the connection ends."""
    begin_worker()
    try:
        loaded = load(Path(folder)) if folder else None
    except UserError as error:
        _send(connection, {"failed": str(error)})
        return
    _limit_memory(memory_mb)
    _send(connection, {"ready": loaded and dict(loaded.facts)})
    warm_up(loaded)
    Worker(connection, loaded).serve()


class Worker:
    """Runs jobs, those of the better lane first, and sends their outcome."""

    def __init__(self, connection, loaded: Loaded | None):
        self.connection, self.loaded = connection, loaded
        self._waiting: list[dict] = []
        self._to_stop: set[int] = set()

    def serve(self) -> None:
        """Run what comes until the connection ends."""
        while True:
            try:
                self._receive(wait=not self._waiting)
            except (EOFError, OSError):
                return
            if self._waiting:
                self._run(self._next())

    def _receive(self, wait: bool) -> None:
        """Take the messages that are there."""
        while wait or self.connection.poll(0):
            wait, message = False, json.loads(self.connection.recv_bytes())
            if message["job"] == "stop":
                self._to_stop.add(message["id"])
            else:
                self._waiting.append(message)

    def _next(self, before: int = len(LANES)) -> dict | None:
        """The message that came first of those in the best lane, if that is better than one."""
        best = min(self._waiting, key=lambda message: message["lane"], default=None)
        if best is None or best["lane"] >= before:
            return None
        self._waiting.remove(best)
        return best

    def _run(self, message: dict) -> None:
        """One job: ``{"id", "job", "lane", "arguments"}``."""
        id, arguments = message["id"], message["arguments"]
        if message["job"] == "analyse":
            arguments = arguments | {"report": self._reporter(message)}
        _send(self.connection, {"id": id, "started": True})
        try:
            outcome = {"result": getattr(results, message["job"])(self.loaded, **arguments)}
        except UserError as error:
            outcome = {"error": str(getattr(error, "cause", error))}
        except MemoryError:
            outcome = {"error": "it takes more memory than is allowed (ecg-ramba serve --worker-mb N): cut it"}
        except Gone:
            outcome = {"gone": True}
        except Stopped:
            outcome = {"stopped": True}
        except Exception as error:  # noqa: BLE001  one recording's failure is that recording's, and is said
            log.error("%s", traceback.format_exc())
            outcome = {"error": f"the analysis failed ({first_line(error)[:200]}); this is a mistake of the program"}
        self._to_stop.discard(id)
        _send(self.connection, {"id": id, **outcome})

    def _reporter(self, message: dict) -> Callable[[str, int, int], None]:
        id, lane, folder = message["id"], message["lane"], Path(message["arguments"]["folder"])

        def report(stage: str, done: int, total: int) -> None:
            if not folder.is_dir():
                raise Gone
            _send(self.connection, {"id": id, "progress": {"stage": stage, "done": done, "total": total}})
            self._receive(wait=False)
            while id not in self._to_stop and (better := self._next(before=lane)):
                self._run(better)
                self._receive(wait=False)
            if id in self._to_stop:
                raise Stopped

        return report


def load(folder: Path) -> Loaded:
    """The fold models of a folder, and what is said of them.

    Raises
    ------
    UserError
        If there are none, or they cannot be used.
    """
    from ecg_ramba.dashboard.analysis.inference import model_facts
    from ecg_ramba.harness.trained import load_models

    models = load_models(sorted(folder.glob("fold*_best*.pt")))
    return Loaded(models, model_facts(models))


def warm_up(loaded: Loaded | None) -> None:
    """Analyse ten synthetic seconds and forget them: the first recording need not wait for imports and compilers."""
    t = np.arange(5000) / 500
    beat = np.exp(-((((t % 0.8) - 0.3) / 0.02) ** 2)) + 0.2 * np.exp(-((((t % 0.8) - 0.6) / 0.06) ** 2))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for lead in LEADS:
            write_lead(folder / f"{lead}.lead", beat)
        leads = [{"name": lead, "status": "measured"} for lead in LEADS]
        write_json(folder / "signal.json", {"leads": leads, "rate": 500.0, "samples": len(t)})
        results.analyse(loaded, scratch, "synthetic", lambda stage, done, total: None)


def _limit_memory(memory_mb: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = taken + memory_mb * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _send(connection, message: dict) -> None:
    connection.send_bytes(json.dumps(message, allow_nan=False).encode())
