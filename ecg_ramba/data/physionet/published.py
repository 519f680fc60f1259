"""What PhysioNet publishes: where each data set's files are, and the checksums that say what they should be."""

import re
from dataclasses import dataclass

from ecg_ramba.errors import UserError, unknown_name

PHYSIONET = "https://physionet.org/files"
SUMS = "SHA256SUMS.txt"
CITATION = "LICENCE_AND_CITATION.txt"
OURS = (SUMS, CITATION)
"""Files that the download itself writes beside the publisher's."""

_LINE = re.compile(r"([0-9a-fA-F]{64})[ \t]+\*?(\S.*)")


@dataclass(frozen=True, kw_only=True)
class Published:
    """A data set on PhysioNet.

    Parameters
    ----------
    slug, version : str
        Its address is ``https://physionet.org/files/SLUG/VERSION/``.
    record_bytes : int
        About what a record takes on a disk in blocks of 4 KiB, all its files together.
    below : str
        Only the files below this folder belong to it ("" is all); the folder itself is not kept.
    """

    slug: str
    version: str
    record_bytes: int
    below: str = ""


# Ten seconds of 12 leads at 500 Hz in 16 bits are 120,000 bytes, at 100 Hz 24,000; a header is one block. CPSC-2021's
# records differ in length: some 860 MB in 1,436 records.
PUBLISHED = {
    "chapman": Published(slug="ecg-arrhythmia", version="1.0.0", record_bytes=127_000),
    "cpsc2021": Published(slug="cpsc2021", version="1.0.0", record_bytes=600_000),
    "ptbxl": Published(slug="ptb-xl", version="1.0.3", record_bytes=156_000),
    "georgia": Published(slug="challenge-2021", version="1.0.3", record_bytes=127_000, below="training/georgia/"),
    "ludb": Published(slug="ludb", version="1.0.1", record_bytes=176_000),
}
"""What can be downloaded, by the name of the data set."""


def published(name: str) -> Published:
    """The entry of a data set.

    Raises
    ------
    UserError
        When it cannot be downloaded; the message names the nearest that can.
    """
    if name not in PUBLISHED:
        raise unknown_name("data set to download", name, PUBLISHED)
    return PUBLISHED[name]


def parse_sums(content: bytes, where: str, below: str = "") -> dict[str, str]:
    """A publisher's list of checksums: path -> SHA-256 (hex, lower case).

    Parameters
    ----------
    content : bytes
        Lines of a checksum and a path.
    where : str
        Address of the list, for error messages.
    below : str
        Keep the files below this folder alone; their paths are relative to it.

    Raises
    ------
    UserError
        For a line that is something else, a path that could leave the folder it is written to or hide what it is, and
        a path with two checksums. The message names the line.
    """
    found: dict[str, str] = {}
    for number, raw in enumerate(content.split(b"\n"), 1):
        line = raw.removesuffix(b"\r").decode("utf-8", "backslashreplace")
        if not line:
            continue
        match = _LINE.fullmatch(line)
        wrong = _wrong_path(match[2]) if match else "is not a checksum and a path"
        if wrong:
            raise UserError(
                f"{where}, line {number} {wrong}: {line[:160]!a}; this is no list of PhysioNet's: a proxy or a "
                "login page may have answered, or the mirror is not to be trusted"
            )
        path, sha256 = match[2], match[1].lower()
        if not path.startswith(below):
            continue
        path = path[len(below) :]
        if path in OURS:
            continue
        if found.setdefault(path, sha256) != sha256:
            raise UserError(f"{where}, line {number}: {path} has two checksums: a damaged list, try another mirror")
    if not found:
        raise UserError(f"{where} lists no files{f' below {below}' if below else ''}; check the mirror's address")
    return found


def _wrong_path(path: str) -> str:
    """Why a path is not taken, "" where it is."""
    parts = path.split("/")
    if not path.isprintable() or path != path.strip():
        return "has a path with control characters or spaces around it"
    if "\\" in path or ":" in path:
        return "has a path with a drive letter or a backslash"
    if any(part in ("", ".", "..") for part in parts):
        return "has a path that is absolute or leaves its folder"
    # Names that the download uses for itself: its state, its lock, partial files.
    if any(part.startswith(".download") for part in parts) or path.endswith(".part"):
        return "has a path that is reserved"
    return ""
