"""WFDB recordings (PhysioNet): a text header and the signal files that it names, by the project's own reader."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from ecg_ramba.dashboard.formats.leads import lead_of
from ecg_ramba.dashboard.formats.reading import FormatError, Reading, checked_channels, checked_rate
from ecg_ramba.dashboard.formats.units import unit_of
from ecg_ramba.dashboard.formats.wfdb_segments import has_segments, put_together, segments_of
from ecg_ramba.data.leads import LEADS
from ecg_ramba.data.wfdb_header import read_header
from ecg_ramba.data.wfdb_io import read_waveform
from ecg_ramba.errors import RecordError

LONGEST_HEADER = 1 << 20


def named_files(header: bytes) -> list[str]:
    """The signal files that a header names, each once, in order; [] for what is no header of a recording.

    A cheap look, for grouping files: reading the header properly comes later, and says what is wrong with it.
    """
    lines = [line.strip() for line in header[:LONGEST_HEADER].decode("utf-8", "replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    first = lines[0].split() if lines else []
    if len(first) < 2 or not first[1].isdecimal():
        return []
    return list(dict.fromkeys(line.split()[0] for line in lines[1 : 1 + min(int(first[1]), 1000)]))


def read_wfdb(files: Mapping[str, Path], name: str) -> Reading:
    """Read a recording.

    Parameters
    ----------
    files : mapping of str to Path
        The header (its name ends in ``.hea``) and its signal files; of a record of segments its header first, then
        theirs and their signal files: the names that they were sent under, and where they lie. The names are looked
        up, never opened.
    name : str
        What the recording is called in messages.

    Raises
    ------
    FormatError
        With the cause.
    """
    header = next((path for sent, path in files.items() if sent.lower().endswith(".hea")), None)
    if header is None:
        raise AssertionError(f"no header among {list(files)}")
    try:
        content = _header(header)
        segments = segments_of(content)
        if segments is None:
            return _read_one(header.parent, content, files)
        return put_together(segments, lambda segment: _read_segment(header.parent, segment, files))
    except RecordError as error:
        raise FormatError(f"{name}.hea is a WFDB header, but: {error.cause}") from None


def _header(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(LONGEST_HEADER)


def _read_segment(parent: Path, name: str, files: Mapping[str, Path]) -> Reading:
    if f"{name}.hea" not in files:
        raise FormatError("it was not sent with the record's header; drop all its files together")
    content = _header(files[f"{name}.hea"])
    if has_segments(content):
        raise FormatError("it consists of segments itself, which is not read")
    try:
        return _read_one(parent, content, files)
    except RecordError as error:
        raise FormatError(error.cause) from None


def _read_one(parent: Path, content: bytes, files: Mapping[str, Path]) -> Reading:
    with tempfile.TemporaryDirectory(dir=parent) as scratch:
        return _read(Path(scratch), content, files)


def _read(scratch: Path, content: bytes, files: Mapping[str, Path]) -> Reading:
    """Read from a folder in which the signal files have names of ours, and the header names those."""
    (scratch / "recording.hea").write_bytes(content)
    header = read_header(scratch / "recording.hea")
    checked_channels(len(header.signals), "the header")
    places = {}
    for i, sent in enumerate(dict.fromkeys(s.file for s in header.signals)):
        if sent not in files:
            raise FormatError(f"its signal file {sent!r} was not sent with it; drop both together")
        places[sent] = f"signal{i}{'.mat' if PurePosixPath(sent).suffix == '.mat' else '.dat'}"
        (scratch / places[sent]).hardlink_to(files[sent])
    rate = checked_rate(header.rate, "the header's rate")
    rows = [s for s in header.signals if lead_of(s.name)]
    if not rows or len({lead_of(s.name) for s in rows}) < len(rows):
        # The reader wants standard names; which leads these are is asked later.
        rows = [s for s in header.signals if unit_of(s.units)][: len(LEADS)]
    if not rows:
        units = ", ".join(sorted({s.units for s in header.signals}))
        raise FormatError(f"its {len(header.signals)} signals are in {units}: none is a potential")
    stand_ins = {id(s): lead_of(s.name) for s in rows}
    if None in stand_ins.values() or len(set(stand_ins.values())) < len(rows):
        stand_ins = {id(s): lead for s, lead in zip(rows, LEADS, strict=False)}
    names = [stand_ins.get(id(s), f"other{i}") for i, s in enumerate(header.signals)]
    (scratch / "recording.hea").write_text(_renamed(content, places, names), encoding="utf-8")
    wave = read_waveform(
        read_header(scratch / "recording.hea"), leads=tuple(dict.fromkeys(stand_ins.values())), gaps=True
    )
    if wave.units != "mV":
        raise FormatError("its units are standard deviations (SD): the millivolts are lost, and an ECG needs them")
    notes = [w for w in (*header.warnings, *wave.warnings) if not w.startswith("further leads left out")]
    others = [s.name for s in header.signals if id(s) not in stand_ins]
    if others:
        notes.append(f"signals that are none of the twelve leads are left out: {', '.join(others)}")
    for ours, sent in ((v, k) for k, v in places.items()):
        notes = [note.replace(ours, sent) for note in notes]
    return Reading(
        format="WFDB",
        signal=wave.signal,
        names=tuple(s.name for s in rows),
        units=("mV",) * len(rows),
        rate=rate,
        notes=tuple(dict.fromkeys(notes)),
    )


def _renamed(content: bytes, places: Mapping[str, str], names: Sequence[str]) -> str:
    """A header that was read, with the files' names and the signals' replaced; all else stays."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = [line.strip() for line in text.splitlines()]
    first, *signals = [line for line in lines if line and not line.startswith("#")]
    made = [" ".join(["recording", *first.split()[1:]])]
    for line, name in zip(signals, names, strict=True):
        words = line.split(maxsplit=8)
        made.append(" ".join([places[words[0]], *words[1:8], name]))
    return "\n".join(made) + "\n"
