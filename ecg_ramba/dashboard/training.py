"""Training of the small profile on the embedded cohort, asked for from the page, in a process of its own.

Its models are synthetic-trained and say so wherever they predict. Stopped at any moment, it goes on from there.
"""

import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from ecg_ramba.errors import UserError

FOLDS = 5

log = logging.getLogger(__name__)


class Training:
    """One training at a time.

    Parameters
    ----------
    state : Path
        The server's folder; models end up in ``models`` below it.
    tell : callable
        Called when the state changes.
    loaded : callable
        Called with the folder of models when there are some.
    """

    def __init__(self, state: Path, tell: Callable[[], None], loaded: Callable[[Path], None]):
        self.models = state / "models"
        self._work, self._tell, self._loaded = state / "training", tell, loaded
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._closed = threading.Event()
        self._failed = ""

    @property
    def interrupted(self) -> bool:
        """Whether a training was begun here and has not ended."""
        return self._work.is_dir() and not has_models(self.models)

    def state(self) -> dict | None:
        """As the page gets it; None where none runs or failed."""
        if self._failed:
            return {"state": "failed", "done": 0, "total": FOLDS, "message": self._failed}
        if self._process is None:
            return None
        done = self._done()
        message = f"fold {min(done + 1, FOLDS)} of {FOLDS}" if done < FOLDS else "finishing"
        return {"state": "running", "done": done, "total": FOLDS, "message": message}

    def start(self) -> bool:
        """Begin, or go on; False where one runs already."""
        with self._lock:
            if self._process is not None:
                return False
            self._failed = ""
            self._work.mkdir(parents=True, exist_ok=True)
            with open(self._work / "log.txt", "ab") as said:
                self._process = subprocess.Popen(
                    command(self._work / "runs", self._work / "models"),
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=os.environ | {"PYTHONUNBUFFERED": "1"},
                )
        threading.Thread(target=self._watch, args=(self._process,), daemon=True, name="training").start()
        return True

    def close(self) -> None:
        """Stop it; what it has is kept, and the next start goes on from there."""
        self._closed.set()
        process = self._process
        if process is not None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _done(self) -> int:
        return min(FOLDS, len(list((self._work / "runs" / "cells").glob("*/done.json"))))

    def _watch(self, process: subprocess.Popen) -> None:
        told = -1
        while process.poll() is None:
            if self._done() != told:
                told = self._done()
                self._tell()
            self._closed.wait(1)
            if self._closed.is_set():
                return
        try:
            if process.returncode:
                raise UserError(_last_line(self._work / "log.txt") or f"it ended with status {process.returncode}")
            shutil.rmtree(self.models, ignore_errors=True)
            os.rename(self._work / "models", self.models)
            self._loaded(self.models)
            shutil.rmtree(self._work, ignore_errors=True)
        except (UserError, OSError) as error:
            log.error("training failed: %s", error)
            self._failed = f"training failed: {error}; what it said is in {self._work / 'log.txt'}"
        finally:
            self._process = None
            self._tell()


def command(out: Path, models: Path) -> list[str]:
    """What trains the small profile on the embedded cohort."""
    program = [sys.executable, "-m", "ecg_ramba.cli", "train", "--profile", "small", "--folds", str(FOLDS)]
    return [*program, "--out", str(out), "--models", str(models)]


def has_models(folder: Path) -> bool:
    """Whether a folder has checkpoints."""
    return any(folder.glob("fold*_best*.pt"))


def _last_line(path: Path) -> str:
    lines = path.read_text("utf-8", "replace").strip().splitlines() if path.is_file() else []
    return lines[-1][:300] if lines else ""
