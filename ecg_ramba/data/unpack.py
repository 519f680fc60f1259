"""Unpack a publisher's zip archive: nothing leaves the folder, every file is checked, a stopped one goes on."""

import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ecg_ramba.errors import UserError, first_line
from ecg_ramba.files import check_space, explained, write_atomic

PIECE = 1 << 20
"""Bytes of a file in memory at a time."""


@dataclass(kw_only=True)
class Unpacked:
    """What became of an archive's files: written now, there already, or damaged in the archive (name -> why)."""

    folder: Path
    written: int = 0
    there: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def unpack(archive: Path, to: Path, progress: Callable[[int, int], None] | None = None) -> Unpacked:
    """Unpack a zip archive into a folder, as it is laid out.

    Files that are there already with the archive's size and CRC-32 are left; one that is damaged in the archive is
    left out, and the others go on.

    Parameters
    ----------
    archive : Path
        The archive.
    to : Path
        Where its folders go.
    progress : callable, optional
        Called with (files done, files in all).

    Raises
    ------
    UserError
        If it is no zip archive, holds a path outside its folder, a link, an encrypted file or one path twice (then
        nothing is unpacked), or what it holds cannot be written.
    """
    archive, to = Path(archive).expanduser(), Path(to).expanduser()
    try:
        with zipfile.ZipFile(archive) as opened:
            members = list(_checked(archive, opened))
            with explained(to):
                to.mkdir(parents=True, exist_ok=True)
            check_space(to, sum(info.file_size for info in members), f"the files of {archive.name}")
            outcome = Unpacked(folder=to)
            for done, info in enumerate(members, 1):
                _unpack_one(opened, info, to, outcome)
                if progress:
                    progress(done, len(members))
            return outcome
    except FileNotFoundError:
        raise UserError(f"{archive} is not there") from None
    except zipfile.BadZipFile as error:
        raise UserError(f"{archive} is no zip archive, or is cut short ({error}); fetch it again") from None
    except OSError as error:
        raise UserError(f"{archive} cannot be read: {error.strerror or error}") from None


def _checked(archive: Path, opened: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    """The archive's files, all of them looked at before one is written."""
    seen: set[str] = set()
    for info in opened.infolist():
        path = PurePosixPath(info.filename)
        # On Windows a backslash divides and a colon names a disk; no publisher has either in a name.
        if path.is_absolute() or ".." in path.parts or "\\" in info.filename or ":" in info.filename:
            raise UserError(f"{archive} holds a path outside its folder: {info.filename!r}; do not trust it")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise UserError(f"{archive} holds a link: {info.filename!r}; do not trust it")
        if info.flag_bits & 1:
            raise UserError(f"{archive}: {info.filename!r} is encrypted; unpack it by hand")
        if info.is_dir():
            continue
        if path.as_posix().lower() in seen:
            raise UserError(f"{archive} holds {info.filename!r} twice; do not trust it")
        seen.add(path.as_posix().lower())
        yield info


def _unpack_one(opened: zipfile.ZipFile, info: zipfile.ZipInfo, to: Path, outcome: Unpacked) -> None:
    path = to / info.filename
    if _is_there(path, info):
        outcome.there += 1
        return

    def write(temporary: Path) -> None:
        with opened.open(info) as source, open(temporary, "wb") as out:
            while piece := source.read(PIECE):  # the last one compares the CRC-32
                out.write(piece)

    try:
        write_atomic(path, write)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        outcome.failed[info.filename] = first_line(error)
        return
    outcome.written += 1


def _is_there(path: Path, info: zipfile.ZipInfo) -> bool:
    if not path.is_file() or os.path.getsize(path) != info.file_size:
        return False
    found = 0
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            found = zlib.crc32(piece, found)
    return found == info.CRC
