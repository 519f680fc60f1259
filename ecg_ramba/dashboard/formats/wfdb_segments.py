"""WFDB records of several segments: a header that names records, which follow one another in time.

The format is PhysioNet's (header(5), "multi-segment records"). A segment called ``~`` is a gap; where the first one has
no samples it only describes the signals (variable layout), and a segment may lack some of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ecg_ramba.dashboard.formats.leads import lead_of
from ecg_ramba.dashboard.formats.reading import FormatError, Reading, checked_channels

GAP = "~"
MOST_SEGMENTS = 10_000


@dataclass(frozen=True)
class Segment:
    """A line of the header: a record, or a gap, and how many samples it has."""

    name: str
    samples: int


def segments_of(header: bytes) -> list[Segment] | None:
    """The segments that a header names, in order of time; None for a header of an ordinary record.

    Raises
    ------
    FormatError
        If it counts segments and does not list them.
    """
    lines = _lines(header)
    name, slash, count = _record_name(lines).partition("/")
    if not slash:
        return None
    listed = [line.split() for line in lines[1:]]
    right = count.isdecimal() and len(listed) == int(count) > 0 and len(listed) <= MOST_SEGMENTS
    if not right or not all(len(words) == 2 and words[1].isdecimal() and len(words[1]) < 13 for words in listed):
        raise FormatError(
            f"it is the header of a record of {count[:10] or 'several'} segments ({name[:40]}), and does not list them"
        )
    return [Segment(words[0], int(words[1])) for words in listed]


def has_segments(header: bytes) -> bool:
    """Whether a header is one of a record of segments, whatever it makes of them."""
    return "/" in _record_name(_lines(header))


def _lines(header: bytes) -> list[str]:
    lines = [line.strip() for line in header.decode("utf-8", "replace").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _record_name(lines: Sequence[str]) -> str:
    return lines[0].split()[0] if lines else ""


def needed(segments: Sequence[Segment]) -> list[str]:
    """Records of which files are needed, each once."""
    return list(dict.fromkeys(s.name for s in segments if s.name != GAP and s.samples))


def put_together(segments: Sequence[Segment], read: Callable[[str], Reading]) -> Reading:
    """One recording of all segments: NaN in gaps, and where a segment lacks a lead.

    Parameters
    ----------
    segments : sequence of Segment
    read : callable
        Reads a segment by its name, in mV.

    Raises
    ------
    FormatError
        If a segment cannot be read, is not as long as the header says, or has another rate or channels without names.
    """
    readings = {name: _checked(name, read) for name in needed(segments)}
    if not readings:
        raise FormatError("it is a record of segments that are all gaps: there is no signal")
    rates = sorted({reading.rate for reading in readings.values()})
    if len(rates) > 1:
        raise FormatError(
            f"its segments have different rates ({', '.join(f'{r:g}' for r in rates)}), which is not read"
        )
    names = list(dict.fromkeys(_named(n) for reading in readings.values() for n in reading.names))
    checked_channels(len(names), "the record of segments")
    signal = np.full((len(names), sum(s.samples for s in segments)), np.nan, np.float32)
    at, lost = 0, 0
    for segment in segments:
        reading = readings.get(segment.name)
        if reading is None:
            lost += segment.samples
        else:
            if reading.signal.shape[1] != segment.samples:
                raise FormatError(
                    f"its segment {segment.name!r} has {reading.signal.shape[1]} samples, and the header says "
                    f"{segment.samples}"
                )
            for name, row in zip(reading.names, reading.signal, strict=True):
                signal[names.index(_named(name)), at : at + segment.samples] = row
        at += segment.samples
    count = sum(s.samples > 0 and s.name != GAP for s in segments)
    notes = [f"{count} segment{'s' * (count != 1)} put together"]
    if lost:
        notes.append(f"gaps between segments make {lost / rates[0]:.1f} s without a sample")
    notes += dict.fromkeys(note for reading in readings.values() for note in reading.notes)
    units = ("mV",) * len(names)
    return Reading(format="WFDB", signal=signal, names=tuple(names), units=units, rate=rates[0], notes=tuple(notes))


def _checked(name: str, read: Callable[[str], Reading]) -> Reading:
    try:
        reading = read(name)
    except FormatError as error:
        raise FormatError(f"its segment {name[:60]!r}: {error}") from None
    named = [_named(n) for n in reading.names]
    if "" in named or len(set(named)) < len(named):
        raise FormatError(
            f"its segment {name[:60]!r} has channels called {', '.join(reading.names[:12])}, which cannot be told apart"
        )
    return reading


def _named(name: str) -> str:
    return lead_of(name) or name.strip()
