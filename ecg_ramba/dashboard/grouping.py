"""Files of one upload become recordings: a header with its signal files, anything else by itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ecg_ramba.dashboard.formats.reading import FormatError
from ecg_ramba.dashboard.formats.sniff import kind_of
from ecg_ramba.dashboard.formats.wfdb import LONGEST_HEADER, named_files
from ecg_ramba.dashboard.formats.wfdb_segments import has_segments, needed, segments_of
from ecg_ramba.dashboard.uploads import Sent, stem

ACCOMPANY = frozenset((".atr", ".qrs", ".ann", ".ecg", ".xws", ".pdf", ".md5", ".html", ".htm", ".md"))
"""Endings of files that publishers put beside recordings and that hold no signal of their own."""

_NAMES = frozenset(("records", "sha256sums", "license", "licence", "readme", "annotators", "thumbs.db", ".ds_store"))


@dataclass(frozen=True)
class Group:
    """A recording to be: name, format, files by the name that they were sent under; or why it is refused."""

    name: str
    kind: str
    files: dict[str, Path]
    refused: str = ""


@dataclass
class Groups:
    """Recordings, and files that none of them is made of, each as a sentence."""

    recordings: list[Group] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def group(files: Sequence[Sent], unpack: Callable[[Sent], list[Sent]]) -> Groups:
    """Put files together.

    Parameters
    ----------
    files : sequence of Sent
        Of one upload.
    unpack : callable
        Unpacks an archive; raises :class:`FormatError` for one that is refused.
    """
    made = Groups()
    plain: list[tuple[Sent, bool]] = []
    for sent in files:
        if sent.path.stat().st_size and _head(sent.path)[:2] == b"PK" and _is_zip(sent):
            try:
                unpacked = unpack(sent)
            except FormatError as error:
                made.recordings.append(Group(stem(sent.name), "unknown", {sent.name: sent.path}, str(error)))
                continue
            if not unpacked:
                why = "the archive holds no file"
                made.recordings.append(Group(stem(sent.name), "unknown", {sent.name: sent.path}, why))
            plain += [(one, True) for one in unpacked]
        else:
            plain.append((sent, False))
    _group_plain(plain, made)
    return made


def _group_plain(files: Sequence[tuple[Sent, bool]], made: Groups) -> None:
    beside = {sent.name: sent for sent, _ in files}
    taken: set[str] = set()
    headers: dict[str, Group] = {}
    for sent, _ in files:
        if PurePosixPath(sent.name).suffix.lower() == ".hea":
            found = _with_files(sent, beside)
            headers[sent.name] = found
            taken.update(_full(sent.name, name) for name in found.files if name != PurePosixPath(sent.name).name)
    for sent, from_archive in files:
        if sent.name in taken:  # of another header, segments of a record among them
            continue
        if sent.name in headers:
            made.recordings.append(headers[sent.name])
        elif _accompanies(sent.name):
            made.skipped.append(f"{sent.name}: no recording, left out")
        else:
            name = PurePosixPath(sent.name).name
            try:
                kind = kind_of(_head(sent.path), name)
                if kind == "zip":
                    raise FormatError("it is an archive within an archive, which is not opened; unpack it")
            except FormatError as error:
                if from_archive:
                    made.skipped.append(f"{sent.name}: {error}")
                else:
                    made.recordings.append(Group(stem(name), "unknown", {name: sent.path}, str(error)))
                continue
            made.recordings.append(Group(stem(name), kind, {name: sent.path}))


def _with_files(header: Sent, beside: dict[str, Sent]) -> Group:
    """A header, and those of the files that it names that were sent: signals, or segments with theirs."""
    with open(header.path, "rb") as file:
        content = file.read(LONGEST_HEADER)
    name = PurePosixPath(header.name).name
    files = {name: header.path}
    try:
        segments = segments_of(content)
    except FormatError as error:
        return Group(stem(name), "WFDB", files, str(error))
    if segments is None:
        return _with_signals(header, content, beside)
    refused = ""
    for segment in needed(segments):
        own = f"{segment}.hea"
        found = beside.get(_full(header.name, own))
        if found is None:
            missing = f"the header names the segment {segment[:80]!r}, not sent with it; drop all its files together"
            refused = refused or missing
            continue
        with open(found.path, "rb") as file:
            content = file.read(LONGEST_HEADER)
        if has_segments(content):
            refused = refused or f"its segment {segment[:80]!r} consists of segments itself, which is not read"
            continue
        of_it = _with_signals(found, content, beside)
        files |= {own: found.path} | {n: path for n, path in of_it.files.items() if path != found.path}
        refused = refused or (of_it.refused and f"its segment {segment[:80]!r}: {of_it.refused}")
    for layout in (f"{segment.name}.hea" for segment in segments if not segment.samples):
        if found := beside.get(_full(header.name, layout)):
            files[layout] = found.path  # describes the signals, and is no recording of its own
    return Group(stem(name), "WFDB", files, refused)


def _with_signals(header: Sent, content: bytes, beside: dict[str, Sent]) -> Group:
    """A header and those of its signal files that were sent."""
    named = named_files(content)
    name = PurePosixPath(header.name).name
    files = {name: header.path}
    missing = []
    for signal in named:
        found = beside.get(_full(header.name, signal))
        if found is None:
            missing.append(signal)
        elif signal != name:
            files[signal] = found.path
    if missing:
        listed = ", ".join(repr(m[:80]) for m in missing[:5])
        why = (
            f"the header names the signal file{'s' * (len(missing) > 1)} {listed}, not sent with it; drop them together"
        )
        return Group(stem(name), "WFDB", files, why)
    if not named:
        size = header.path.stat().st_size
        said = "it is empty (0 bytes)" if not size else "it is no WFDB header of a recording (no signal described)"
        return Group(stem(name), "WFDB", files, said)
    return Group(stem(name), "WFDB", files)


def _full(header: str, name: str) -> str:
    """A signal file's name in the header's folder."""
    return (PurePosixPath(header).parent / name).as_posix()


def _accompanies(name: str) -> bool:
    path = PurePosixPath(name.lower())
    return (
        "__macosx" in path.parts
        or path.name.startswith("._")
        or path.suffix in ACCOMPANY
        or path.name in _NAMES
        or path.stem in _NAMES
    )


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(1024)


def _is_zip(sent: Sent) -> bool:
    try:
        return kind_of(_head(sent.path), sent.name) == "zip"
    except FormatError:
        return False
