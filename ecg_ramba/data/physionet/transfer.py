"""Many files below one folder: what is there is left, the rest is fetched by a few threads."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from ecg_ramba.data.physionet.fetch import DiskFull, fetch
from ecg_ramba.data.physionet.state import Verified
from ecg_ramba.data.physionet.web import Client
from ecg_ramba.data.physionet.web_errors import ADVICE, Missing, Unavailable, WebError
from ecg_ramba.errors import UserError

SHOWN = 20
"""Files that are named one by one."""


@dataclass(kw_only=True)
class Outcome:
    """What a download came to.

    Parameters
    ----------
    folder : Path
        Where the data set is.
    there : int
        Files that were there with the right checksum.
    fetched, n_bytes : int
        Files fetched, and their bytes.
    missing : list of str
        Files that the publisher lists and the server does not have.
    failed : dict of str to str
        Files that could not be had, with the reason.
    """

    folder: Path
    there: int = 0
    fetched: int = 0
    n_bytes: int = 0
    missing: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """What could not be had, in lines for people; empty where everything is there."""
        lines = []
        if self.missing:
            lines.append(f"{len(self.missing)} files are listed but not on the server (404): {some(self.missing)}")
        if self.failed:
            lines.append(f"{len(self.failed)} files could not be had; the same command tries them again:")
            lines += [f"  {reason}" for reason in list(self.failed.values())[:SHOWN]]
        if len(self.failed) > SHOWN:
            lines.append(f"  and {len(self.failed) - SHOWN} more")
        return lines


class Transfer:
    """Fetches files of one server into one folder.

    Parameters
    ----------
    client : Client
        Asks the server.
    base : str
        Address that the files' paths are relative to.
    folder : Path
        Where they go, and where the state is kept.
    connections : int
        Files fetched at a time.
    progress : ecg_ramba.harness.progress.Progress
        Shows how far it is.
    """

    def __init__(self, client: Client, base: str, folder: Path, connections: int, progress):
        self.client, self.base, self.folder = client, base, folder
        self.connections, self.progress = connections, progress
        self.state = Verified(folder, progress.say)

    def fetch(self, files: dict[str, str], outcome: Outcome, stage: str, needed: int = 0) -> None:
        """Fetch what is not there of some files, and add what became of them to the outcome.

        Parameters
        ----------
        files : dict of str to str
            Path below the outcome's folder -> SHA-256 (hex).
        outcome : Outcome
            Is added to.
        stage : str
            What the progress calls this.
        needed : int
            About what all the files take on disk; 0 where it does not matter.

        Raises
        ------
        UserError
            When the disk is too small or full, with what is missing.
        Unavailable
            When one file after the other cannot be had: the server has gone.
        """
        below = outcome.folder.relative_to(self.folder).as_posix()
        names = {p: p if below == "." else f"{below}/{p}" for p in files}
        wanted = [p for p in files if not self.state.holds(names[p], files[p])]
        outcome.there += len(files) - len(wanted)
        if needed and wanted:
            self._check_space(needed, names, len(wanted))
        before, in_a_row, n_done = self.client.received, 0, 0

        def work(path: str) -> int | None:
            return fetch(self.client, self.base + quote(path), outcome.folder / path, files[path])

        def done(path: str, future: Future) -> None:
            nonlocal in_a_row, n_done
            in_a_row = _note(path, future, outcome, in_a_row)
            if path not in outcome.failed and path not in outcome.missing:
                self.state.add(names[path], files[path])
                self.state.save_now_and_then()
            n_done += 1
            report(n_done, len(wanted), in_words(self.client.received - before))
            if in_a_row > 2 * self.connections:
                raise Unavailable(f"{outcome.failed[path]}; one file after the other fails; {ADVICE}")

        try:
            with self.progress.stage(stage, unit="files") as report:
                _spread(work, wanted, self.connections, self.client, done)
        except DiskFull as error:
            # The state is not written: there is no room, and without it the files are only verified again.
            lacking = max(0, needed - self._there(names)) - shutil.disk_usage(self.folder).free
            about = f"about {in_words(lacking)} are missing" if lacking > 0 else "how much is missing is not known"
            raise UserError(f"{error}; {about}; free some, or choose another --to: the same command goes on") from error
        except (KeyboardInterrupt, UserError):
            self.state.save()
            raise
        self.state.save()

    def _check_space(self, needed: int, names: dict[str, str], n_wanted: int) -> None:
        """Say how much is to come, and refuse a disk that is too small for it."""
        left, free = max(0, needed - self._there(names)), shutil.disk_usage(self.folder).free
        self.progress.say(
            f"{n_wanted} files to fetch, {len(names) - n_wanted} are there; about {in_words(left)} (estimated from the "
            f"number and length of the records), {in_words(free)} are free"
        )
        if left > free:
            raise UserError(
                f"{self.folder} has {in_words(free)} free, about {in_words(left)} are needed: {in_words(left - free)} "
                "are missing; free some, choose another --to, or take a part with --sample"
            )

    def _there(self, names: dict[str, str]) -> int:
        """Bytes of the files that are there."""
        found = (self.folder / name for name in names.values())
        return sum(path.stat().st_size for path in found if path.is_file())


def _note(path: str, future: Future, outcome: Outcome, in_a_row: int) -> int:
    """Put a file's result into the outcome; how many in a row could not be had because the server did not answer."""
    try:
        size = future.result()
    except Missing:
        outcome.missing.append(path)
        return 0
    except WebError as error:
        outcome.failed[path] = str(error)
        return in_a_row + 1 if isinstance(error, Unavailable) else 0
    if size is None:
        outcome.there += 1
    else:
        outcome.fetched += 1
        outcome.n_bytes += size
    return 0


def _spread(
    work: Callable[[str], int | None],
    paths: Iterable[str],
    threads: int,
    client: Client,
    done: Callable[[str, Future], None],
) -> None:
    """Let threads work on the paths; ``done`` gets each path and its future, in this thread, and may raise to stop."""
    waiting = iter(paths)
    pool = ThreadPoolExecutor(threads)
    at_work: dict[Future, str] = {}
    try:
        while True:
            for path in islice(waiting, 2 * threads - len(at_work)):
                at_work[pool.submit(work, path)] = path
            if not at_work:
                break
            for future in wait(at_work, timeout=1, return_when=FIRST_COMPLETED).done:
                done(at_work.pop(future), future)
    except BaseException:
        client.close()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def in_words(n: int) -> str:
    """A number of bytes in words."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= size:
            return f"{n / size:.1f} {unit}"
    return f"{n} bytes"


def some(names: Sequence[str], most: int = SHOWN) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
