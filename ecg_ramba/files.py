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
from collections.abc import Callable, Iterator
from pathlib import Path

from ecg_ramba.errors import UserError

MARKER = "done.json"


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
    """Refuse an output folder that cannot be written, before anything is computed for it."""
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"ok")


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

    If the folder is complete by then (another process was faster), the new one is thrown away.
    """
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp"))
        try:
            yield temporary
            mark_complete(temporary)
            os.chmod(temporary, 0o755)
            if is_complete(folder):
                return
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def mark_complete(folder: Path) -> None:
    """Write the completion marker: name, size and SHA-256 of every file in the folder."""
    files = {
        p.relative_to(folder).as_posix(): {"bytes": p.stat().st_size, "sha256": sha256_file(p)}
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != MARKER
    }
    write_json(folder / MARKER, {"files": files})


def is_complete(folder: Path, check_bytes: bool = True) -> bool:
    """Whether a folder's marker is there and every file it names has the size, and the checksum, it says.

    ``check_bytes`` False compares sizes alone, for files too large to read each time.
    """
    marker = folder / MARKER
    if not marker.is_file():
        return False
    try:
        files = json.loads(marker.read_text(encoding="utf-8"))["files"]
    except (ValueError, KeyError):
        return False
    for name, facts in files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != facts["bytes"]:
            return False
        if check_bytes and sha256_file(path) != facts["sha256"]:
            return False
    return True
