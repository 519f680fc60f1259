"""Finished pieces and other results on their way to the URL and back: whole, or not at all."""

import contextlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ecg_ramba.files import MARKER, explained, whole, write_atomic
from ecg_ramba.locks import alone
from ecg_ramba.shared.claims import claim, listed
from ecg_ramba.shared.places import SharedPath, located, url_of
from ecg_ramba.shared.service import AT_ONCE, patiently, send, store_of

MANIFEST = "manifest.json"
"""What vouches for a run's own folder (:mod:`ecg_ramba.evaluation.manifest`): uploaded after its other files."""

NOTE = ".shared"
"""In a folder that is known to stand at the URL."""

OWN = (("cache", "prepared"), ("cache", "synthetic"))
"""What each machine makes anew: uploaded only if asked for."""


def complete(folder: SharedPath) -> bool:
    """Whether a piece is complete: here, or at the URL, from where it is then fetched.

    One that is complete here and was not uploaded, since the service or the process stopped in between, is uploaded.
    """
    if whole(folder):
        if not (folder / NOTE).exists() and not _own(folder):
            publish(folder)
        return True
    return _fetch(folder)


def built(folder: SharedPath) -> None:
    """What happens to a piece that has just been finished here."""
    if not _own(folder):
        publish(folder)


def publish(folder: SharedPath) -> None:
    """Upload a complete piece, its marker last; one that is complete there already stays as it is.

    Raises
    ------
    UserError
        If the service fails again and again; the piece is complete here, and uploaded when it is next asked for.
    """
    store, at = store_of(folder)
    content = (folder / MARKER).read_bytes()
    names = [n for n in json.loads(content)["files"] if n != NOTE]
    if claim(folder, content):
        send(folder, names)
        patiently(folder, lambda: store.pipe_file(f"{at}/{MARKER}", content))
    with explained(folder):
        (folder / NOTE).touch()


def share(executor: Any, folders: Iterable[Path]) -> None:
    """Upload prepared recordings, if workers on other machines are to read them there."""
    for folder in folders:
        if executor.apart and isinstance(folder, SharedPath) and not (folder / NOTE).exists():
            publish(folder)


def publish_files(folder: Path, last: Sequence[str] = (MANIFEST,)) -> None:
    """Upload a folder of results that may change, all of its files; those named ``last`` after the others.

    Nothing is done for a folder that is only here.
    """
    if not isinstance(folder, SharedPath) or not folder.is_dir():
        return
    names = [p.relative_to(folder).as_posix() for p in sorted(folder.rglob("*")) if p.is_file()]
    names = [n for n in names if not n.rpartition("/")[2].startswith(".")]
    send(folder, [n for n in names if n not in last])
    for name in last:
        if name in names:
            send(folder, [name])


def fetch_file(path: Path) -> None:
    """Fetch a single file that is not here, if it stands at the URL."""
    if not isinstance(path, SharedPath) or path.exists():
        return
    store, at = store_of(path)
    with contextlib.suppress(FileNotFoundError):
        content = patiently(path, lambda: store.cat_file(at))
        write_atomic(path, lambda p: p.write_bytes(content))


def _own(folder: SharedPath) -> bool:
    """Whether each machine makes a piece anew (:data:`OWN`)."""
    return folder.relative_to(located(folder)[0]).parts[:2] in OWN


def _fetch(folder: SharedPath) -> bool:
    """Bring a piece that is complete at the URL here; False if there is none."""
    store, at = store_of(folder)
    try:
        patiently(folder, lambda: store.cat_file(f"{at}/{MARKER}"))
    except FileNotFoundError:
        return False
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with alone(folder.with_name(f".{folder.name}.lock"), lambda: None):  # the workers of a machine fetch it once
        if whole(folder):
            return True
        for _ in range(2):  # it may have been replaced in the middle
            with _scratch(folder) as temporary:
                marker = _fetch_into(folder, temporary)
                if marker is None:
                    return False
                if whole(temporary):
                    (temporary / NOTE).touch()
                    os.chmod(temporary, 0o755)
                    shutil.rmtree(folder, ignore_errors=True)
                    os.rename(temporary, folder)
                    return True
    warnings.warn(
        f"{url_of(folder)} is damaged (its checksums are not those of its files); it is made again", stacklevel=2
    )
    with contextlib.suppress(FileNotFoundError):
        if patiently(folder, lambda: store.cat_file(f"{at}/{MARKER}")) == marker:
            patiently(folder, lambda: store.pipe_file(f"{at}/{MARKER}", b"{}"))
    return False


@contextlib.contextmanager
def _scratch(folder: SharedPath) -> Iterator[Path]:
    with explained(folder):
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp"))
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _fetch_into(folder: SharedPath, temporary: Path) -> bytes | None:
    """Fetch a piece's files; its marker, or None where it is not marked as complete. What is missing stays missing."""
    store, at = store_of(folder)
    try:
        marker = patiently(folder, lambda: store.cat_file(f"{at}/{MARKER}"))
    except FileNotFoundError:
        return None
    files = listed(marker)
    if files is None or any(Path(n).is_absolute() or ".." in Path(n).parts for n in files):
        return None

    def fetch(name: str) -> None:
        here = temporary / name
        here.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            patiently(folder, lambda: store.get_file(f"{at}/{name}", str(here)), files[name]["bytes"])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(fetch, files):
            pass
    (temporary / MARKER).write_bytes(marker)
    return marker
