"""Zip archives of recordings: bounded, flat, nothing outside, nothing encrypted, no link, no archive within."""

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from ecg_ramba.dashboard.formats.reading import FormatError

PIECE = 1 << 20
HIGHEST_RATIO = 200
"""Of unpacked to packed bytes, of a member beyond a megabyte: text of an ECG packs ten times, silence a hundred."""


def unpack(path: str, folder: str, most_files: int, most_mb: int) -> list[dict]:
    """Unpack an archive into a folder under names of ours; runs in a limited process.

    Parameters
    ----------
    path, folder : str
        The archive; an empty folder.
    most_files, most_mb : int
        What is refused beyond, counted as it is unpacked, whatever the archive says.

    Returns
    -------
    list of dict
        ``name`` in the archive and ``path`` of each file.

    Raises
    ------
    FormatError
        If it is damaged, or holds what is refused; then nothing of it is used.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _checked(archive, most_files)
            left, made = most_mb * 2**20, []
            for i, info in enumerate(members):
                place = Path(folder) / str(i)
                left -= _unpack_one(archive, info, place, left, most_mb)
                made.append({"name": info.filename, "path": str(place)})
            return made
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError) as error:
        raise FormatError(f"the archive is damaged, or packed in a way that is not read ({error})") from None


def _checked(archive: zipfile.ZipFile, most_files: int) -> list[zipfile.ZipInfo]:
    members = [info for info in archive.infolist() if not info.is_dir()]
    if len(members) > most_files:
        raise FormatError(f"the archive holds {len(members)} files; at most {most_files} are taken at once")
    seen = set()
    for info in members:
        name = PurePosixPath(info.filename)
        shown = info.filename[:80]
        if name.is_absolute() or ".." in name.parts or "\\" in info.filename or ":" in info.filename:
            raise FormatError(f"the archive holds a path outside its folder ({shown!r}): do not trust it")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise FormatError(f"the archive holds a link or a device ({shown!r}): do not trust it")
        if info.flag_bits & 1:
            raise FormatError(f"the archive is encrypted ({shown!r}); unpack it and send its files")
        if name.suffix.lower() in (".zip", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz", ".tar"):
            raise FormatError(f"the archive holds another archive ({shown!r}); unpack that and send its files")
        if info.filename in seen:
            raise FormatError(f"the archive holds {shown!r} twice: do not trust it")
        seen.add(info.filename)
        _refuse_bomb(info.file_size, info.compress_size, shown)
    return members


def _refuse_bomb(unpacked: int, packed: int, shown: str) -> None:
    if unpacked > PIECE and unpacked > HIGHEST_RATIO * max(1, packed):
        raise FormatError(f"{shown!r} in the archive grows more than {HIGHEST_RATIO} times when unpacked: refused")


def _unpack_one(archive: zipfile.ZipFile, info: zipfile.ZipInfo, place: Path, left: int, most_mb: int) -> int:
    written = 0
    with archive.open(info) as source, open(place, "xb") as out:
        while piece := source.read(PIECE):  # the last one compares the CRC-32
            written += len(piece)
            if written > left:
                raise FormatError(f"the archive holds more than {most_mb} MB when unpacked: refused")
            _refuse_bomb(written, info.compress_size, info.filename[:80])
            out.write(piece)
    with open(place, "rb") as file:
        if file.read(4) in (b"PK\x03\x04", b"PK\x05\x06"):
            raise FormatError(f"the archive holds another archive ({info.filename[:80]!r}); unpack that")
    return written
