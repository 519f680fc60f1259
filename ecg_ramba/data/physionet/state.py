"""What a download remembers between runs: files whose checksum was right."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from ecg_ramba.files import write_text

STATE = ".download.json"
SAVE_S = 30.0
"""Seconds between two savings."""


class Verified:
    """Files of a folder whose SHA-256 was right, with the size and time of change that they had then.

    Tens of thousands of files are so looked at in seconds. A file of another size or time is not trusted. A state that
    is damaged is none: its files are verified again.

    Parameters
    ----------
    folder : Path
        The data set's folder.
    say : callable
        Gets a line where the state is damaged.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]):
        self.folder = folder
        self._path = folder / STATE
        self._saved, self._changed = time.monotonic(), False
        self._files: dict[str, list] = {}
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            self._files = {str(name): list(facts) for name, facts in content["files"].items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            say(f"{self._path} is damaged ({type(error).__name__}); the files that are there are verified again")

    def holds(self, name: str, sha256: str) -> bool:
        """Whether a file is there, is known to have this checksum, and has not changed since."""
        facts = self._files.get(name)
        return facts is not None and facts == self._facts(name, sha256)

    def add(self, name: str, sha256: str) -> None:
        """Remember that a file's checksum was right."""
        facts = self._facts(name, sha256)
        if facts is not None:
            self._files[name] = facts
            self._changed = True

    def save(self) -> None:
        """Write the state if it is new, whole or not at all."""
        if not self._changed:
            return
        write_text(self._path, json.dumps({"files": self._files}, separators=(",", ":"), sort_keys=True) + "\n")
        self._saved, self._changed = time.monotonic(), False

    def save_now_and_then(self) -> None:
        """Write the state if the last time is long ago."""
        if time.monotonic() - self._saved >= SAVE_S:
            self.save()

    def _facts(self, name: str, sha256: str) -> list | None:
        try:
            stat = os.stat(f"{self.folder}/{name}")  # several times faster than by Path, and there are many
        except OSError:
            return None
        return [sha256, stat.st_size, stat.st_mtime_ns]
