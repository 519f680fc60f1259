"""Files that are either whole or absent: atomic writes, checksums, completion markers.

A result is written under a temporary name, flushed and renamed; its marker, which holds the checksum, comes last. So a
crash, a full disk or a kill at any moment leaves nothing that a later run would trust.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ecg_ramba.errors import UserError
from ecg_ramba.shared.places import SharedPath

MARKER = "done.json"

CHECKING = 4
"""Threads that compute checksums of one large file."""

PIECE = 1 << 22
"""Bytes of a file in memory while its checksum is computed."""


@dataclass(frozen=True)
class Span:
    """A part of a file, from the one before it to the byte ``end``, and the SHA-256 (hex) of its bytes."""

    end: int
    sha256: str


def sha256_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals (read-only, full disk) into one line that names the path."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot write {path}: {reason}; choose another place or free some space") from error


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write(temporary)`` produce a file, then put it at ``path`` in one step."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            os.chmod(temporary, 0o644)
            with open(temporary, "rb") as f:
                os.fsync(f.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Refuse an output folder that cannot be written, here or at its URL, before anything is computed for it."""
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"ok")
    if isinstance(folder, SharedPath):
        from ecg_ramba.shared.service import check_reachable

        check_reachable(folder)


def check_space(folder: Path, needed: float, what: str) -> None:
    """Refuse to begin what a disk cannot hold.

    Parameters
    ----------
    folder : Path
        A folder on that disk.
    needed : float
        Bytes, about: a tenth less is let through.
    what : str
        What they are needed for.
    """
    free = shutil.disk_usage(folder).free
    if free < 0.9 * needed:
        raise UserError(
            f"{what} take about {needed / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB free; free some space, or "
            "name another disk (ECG_RAMBA_CACHE)"
        )


def write_text(path: Path, text: str) -> None:
    """Write text atomically, UTF-8."""
    write_atomic(path, lambda p: p.write_text(text, encoding="utf-8"))


def write_json(path: Path, value) -> None:
    """Write JSON atomically, sorted keys, indented."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path):
    """Read JSON; a missing or damaged file is a :class:`UserError` that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is not there; check the name, or run the command that writes it again") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); delete it and run again") from error


@contextlib.contextmanager
def building(folder: Path) -> Iterator[Path]:
    """Build a folder under a temporary name; on success add a marker with checksums and put it at ``folder``.

    If the folder is complete by then (another process was faster), the new one is thrown away. A folder of results that
    are kept at a URL is uploaded.
    """
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp"))
        try:
            yield temporary
            mark_complete(temporary)
            os.chmod(temporary, 0o755)
            if whole(folder):
                return
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    if isinstance(folder, SharedPath):
        from ecg_ramba.shared.pieces import built  # which imports this module

        built(folder)


def mark_complete(folder: Path, in_spans: Mapping[str, Sequence[Span]] | None = None) -> None:
    """Write the completion marker: size and SHA-256 of every file in the folder.

    Parameters
    ----------
    folder : Path
        The folder.
    in_spans : mapping of file name to spans, optional
        Files whose checksums were taken as they were written, span after span from the first byte to the last: a large
        file need not be read again for its marker.
    """
    in_spans = in_spans or {}
    files = {
        p.relative_to(folder).as_posix(): {"bytes": p.stat().st_size}
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != MARKER
    }
    for name, facts in files.items():
        if name in in_spans:
            facts["spans"] = [[s.end, s.sha256] for s in in_spans[name]]
        else:
            facts["sha256"] = sha256_file(folder / name)
    write_json(folder / MARKER, {"files": files})


def is_complete(folder: Path) -> bool:
    """Whether a folder is whole (:func:`whole`): here or, of results that are kept at a URL, there; it is then fetched.

    Raises
    ------
    UserError
        If the service at the URL fails.
    """
    if isinstance(folder, SharedPath):
        from ecg_ramba.shared.pieces import complete

        return complete(folder)
    return whole(folder)


def fetched(folder: Path) -> Path:
    """A finished folder, brought here from its URL if another machine made it.

    Raises
    ------
    UserError
        If it is neither here nor there.
    """
    if not folder.is_dir() and not is_complete(folder):
        raise UserError(f"{folder} is not there; run the same command again, which makes it")
    return folder


def whole(folder: Path) -> bool:
    """Whether a folder's marker is there and every file it names has the size and the checksum that it says."""
    marker = folder / MARKER
    if not marker.is_file():
        return False
    try:
        files = json.loads(marker.read_text(encoding="utf-8"))["files"]
        return all(_unchanged(folder / name, facts) for name, facts in files.items())
    except (ValueError, KeyError, TypeError, AttributeError):
        return False  # a damaged marker vouches for nothing


def _unchanged(path: Path, facts: dict) -> bool:
    if not path.is_file() or path.stat().st_size != facts["bytes"]:
        return False
    if "spans" not in facts:
        return sha256_file(path) == facts["sha256"]
    ends = [0, *(end for end, _ in facts["spans"])]
    if ends[-1] != facts["bytes"]:
        return False
    with ThreadPoolExecutor(CHECKING) as pool:
        found = pool.map(span_sha256, [path] * len(facts["spans"]), ends[:-1], ends[1:])
        return all(a == sha256 for a, (_, sha256) in zip(found, facts["spans"], strict=True))


def span_sha256(path: Path, begin: int, end: int) -> str:
    """SHA-256 (hex) of a file's bytes from ``begin`` to ``end``, a few megabytes in memory at a time."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        file.seek(begin)
        while begin < end and (piece := file.read(min(end - begin, PIECE))):
            found.update(piece)
            begin += len(piece)
    return found.hexdigest()
