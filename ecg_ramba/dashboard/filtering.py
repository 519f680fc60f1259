"""Filtered leads: computed whole when somebody looks, in a limited process, and kept while there is room.

They can be made again at any time from the lead as it is, so what was not looked at for longest goes when they take
more than ``--filtered-mb``, and all of them go when the server starts.
"""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ecg_ramba.dashboard.levels import read_lead, read_slice, write_lead
from ecg_ramba.dashboard.limited import call
from ecg_ramba.dashboard.settings import Settings

FILTERS = ("off", "0.05-150", "0.5-40")
NOTCHES = ("off", "50", "60")


class Filtered:
    """The filtered leads of all recordings, below the server's folder."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.folder = settings.state / "filtered"
        self._busy = threading.BoundedSemaphore(2)
        """Leads filtered at a time: a page asks for twelve at once, and each takes memory."""
        self._lock = threading.Lock()
        self._wanted: list[Path] = []
        """Those that a request is being answered from, which stay."""

    def clear(self, id: str = "") -> None:
        """Forget those of a recording, or all."""
        with self._lock:
            if id:
                for path in self.folder.glob(f"*{id}_*"):
                    path.unlink(missing_ok=True)
            else:
                shutil.rmtree(self.folder, ignore_errors=True)
                self.folder.mkdir()

    def slice(
        self, id: str, lead: str, facts: dict, filters: tuple[str, str], level: int, start: int, stop: int
    ) -> tuple[bytes, int, int]:
        """A stretch of a filtered lead, as :func:`~ecg_ramba.dashboard.levels.read_slice` gives it.

        Parameters
        ----------
        id, lead : str
            The recording's and the lead's, both checked.
        facts : dict
            Of the recording's signal: ``samples`` and ``rate``.
        filters : tuple of str
            Of :data:`FILTERS` and of :data:`NOTCHES`.
        level, start, stop : int

        Raises
        ------
        UserError
            If the rate cannot hold the filter, or filtering takes more time or memory than is allowed.
        """
        path = self.folder / f"{id}_{lead}_{filters[0]}_{filters[1]}.lead"
        with self._busy, self._in_use(path):
            if (found := self._read(path, facts["samples"], level, start, stop)) is not None:
                return found
            source = self.settings.recordings / id / f"{lead}.lead"
            arguments = {"source": str(source), "to": str(path), "samples": facts["samples"]}
            arguments |= {"rate": facts["rate"], "filter": filters[0], "notch": filters[1]}
            call("ecg_ramba.dashboard.filtering:write_filtered", arguments, self.settings.reader)
            self._make_room()
            found = self._read(path, facts["samples"], level, start, stop)
            if found is None:
                raise FileNotFoundError(f"{path.name} was deleted as it was made")
            return found

    @contextmanager
    def _in_use(self, path: Path) -> Iterator[None]:
        with self._lock:
            self._wanted.append(path)
        try:
            yield
        finally:
            with self._lock:
                self._wanted.remove(path)

    def _read(self, path: Path, samples: int, level: int, start: int, stop: int) -> tuple[bytes, int, int] | None:
        """A stretch, if the lead is there; then it is the one used last."""
        with self._lock:
            if not path.is_file():
                return None
            path.touch()
            return read_slice(path, samples, level, start, stop)

    def _make_room(self) -> None:
        """Remove what was used longest ago, and what a process has left that ran out of time or memory."""
        with self._lock:
            for path in self.folder.glob(".*.tmp"):
                if not any(path.name.startswith(f".{wanted.name}.") for wanted in self._wanted):
                    path.unlink(missing_ok=True)
            files = sorted(((p.stat(), p) for p in self.folder.glob("*.lead")), key=lambda one: one[0].st_mtime_ns)
            beyond = sum(facts.st_size for facts, _ in files) - self.settings.filtered_mb * 2**20
            for facts, path in files:
                if beyond <= 0:
                    return
                if path not in self._wanted:
                    path.unlink()
                    beyond -= facts.st_size


def write_filtered(source: str, to: str, samples: int, rate: float, filter: str, notch: str) -> None:
    """Filter a lead, forward and backward, from file to file: runs in a limited process."""
    from ecg_ramba.dashboard.analysis.filters import filtered

    values = read_lead(Path(source), samples)
    write_lead(Path(to), filtered(values[None], rate, filter, notch)[0])
