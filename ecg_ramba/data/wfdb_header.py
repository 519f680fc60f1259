"""WFDB headers as they are found, with the repairs that real releases need.

The format is PhysioNet's (header(5) of the WFDB Applications Guide). Parsed here and not by the wfdb package because
some real headers are refused there, and because a release has tens of thousands of them.
"""

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ecg_ramba.errors import RecordError

_LFS = b"version https://git-lfs"
_WHOLE = re.compile(r"\d{1,15}", re.ASCII)
_FORMAT = re.compile(r"(\d{1,4})(?:x(\d{1,4}))?(?::(\d{1,6}))?(?:\+(\d{1,15}))?", re.ASCII)
_GAIN = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?:\(([-+]?\d{1,15})\))?(?:/(\S+))?", re.ASCII)
_RATE = re.compile(r"((?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?:/.*)?")
_FIELD = re.compile(r"\s*<?\s*([A-Za-z][A-Za-z ]*?)\s*>?\s*:\s*(.*?)\s*")

DEFAULT_GAIN = 200.0
"""ADC units per millivolt where a header states none (the format's default: uncalibrated)."""


class SignalLine(NamedTuple):
    """One signal's line.

    ``offset`` is in bytes, ``baseline`` in ADC units, ``gain`` in ADC units per ``units``; where the header states no
    gain, ``calibrated`` is False and the gain is the format's default.
    """

    file: str
    format: int
    samples_per_frame: int
    skew: int
    offset: int
    gain: float
    calibrated: bool
    baseline: int
    units: str
    checksum: int
    name: str


@dataclass(frozen=True, kw_only=True)
class Header:
    """A header: where it is, what it states, and the repairs made (``kind: detail``)."""

    path: Path
    rate: float
    n_samples: int | None
    signals: tuple[SignalLine, ...]
    comments: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def name(self) -> str:
        """The record's name: that of the header file, since the record line's is not always right."""
        return self.path.name[: -len(".hea")]

    def fields(self) -> dict[str, str]:
        """Comments of the form ``key: value`` (``#Age: 85``, ``# Age: 85``, ``#<age>: 51``), keys in lower case."""
        found = {}
        for comment in self.comments:
            match = _FIELD.fullmatch(comment)
            if match:
                found.setdefault(match[1].lower(), match[2])
        return found


def read_bytes(path: Path, what: str) -> bytes:
    """A file's content, or a :class:`RecordError` that says why not: absent, unreadable, empty, a Git LFS pointer."""
    try:
        with open(path, "rb", buffering=0) as file:
            content = file.readall()
    except FileNotFoundError:
        raise RecordError(path, f"the {what} is missing") from None
    except OSError as error:
        raise RecordError(path, f"the {what} cannot be read: {error.strerror}") from None
    if not content:
        raise RecordError(path, f"the {what} is empty (0 bytes)")
    if content.startswith(_LFS):
        raise RecordError(path, f"the {what} is a Git LFS pointer, not the file: fetch it with `git lfs pull`")
    return content


def _record_line(path: Path, line: str) -> tuple[int, float, int | None, list[str]]:
    """Number of signals, rate, samples a signal (None: not stated), repairs."""
    words = line.split()
    if len(words) < 2 or not _WHOLE.fullmatch(words[1]):
        raise RecordError(path, f"not a WFDB header: its record line is '{line[:60]}'")
    repairs = []
    name = words[0]
    if name.endswith((".mat", ".dat")):
        repairs.append(f"record line repaired: it names the file {name} in place of the record")
    elif "/" in name:
        raise RecordError(path, "a record of several segments, which this reader does not know")
    rate = _RATE.fullmatch(words[2]) if len(words) > 2 else None
    if rate is None or not 0 < float(rate[1]) < 1e6:
        raise RecordError(path, f"the record line states no usable sampling rate: '{line[:60]}'")
    n_samples = None
    if len(words) > 3:
        if not _WHOLE.fullmatch(words[3]):
            raise RecordError(path, f"the record line states no usable length: '{line[:60]}'")
        n_samples = int(words[3]) or None
    return int(words[1]), float(rate[1]), n_samples, repairs


# The same few texts stand in all lines of all headers.
_format = lru_cache(maxsize=1024)(_FORMAT.fullmatch)
_gain = lru_cache(maxsize=1024)(_GAIN.fullmatch)


def _signal_line(path: Path, line: str) -> SignalLine:
    words = line.split(maxsplit=8)
    layout = _format(words[1]) if len(words) > 1 else None
    gain = _gain(words[2]) if len(words) > 2 else None
    if layout is None or gain is None or len(words) < 9:
        raise RecordError(path, f"unreadable signal line '{line[:60]}'")
    if "/" in words[0] or "\\" in words[0]:
        raise RecordError(path, f"the signal file '{words[0]}' is not beside the header")
    try:
        adc_zero, checksum = int(words[4]), int(words[6])
    except ValueError:
        raise RecordError(path, f"unreadable signal line '{line[:60]}'") from None
    stated = float(gain[1])
    if not math.isfinite(stated):
        raise RecordError(path, f"unreadable signal line '{line[:60]}'")
    return SignalLine(
        file=words[0],
        format=int(layout[1]),
        samples_per_frame=int(layout[2] or 1),
        skew=int(layout[3] or 0),
        offset=int(layout[4] or 0),
        gain=stated or DEFAULT_GAIN,
        calibrated=stated != 0,
        baseline=int(gain[2]) if gain[2] else adc_zero,
        units=gain[3] or "mV",
        checksum=checksum,
        name=words[8].strip(),
    )


def read_header(path: Path) -> Header:
    """Read a WFDB header, with the repairs of real releases noted.

    Raises
    ------
    RecordError
        When there is no such file, it is no header, or it does not describe the signals it counts.
    """
    path = Path(path)
    content = read_bytes(path, "header")
    if b"\0" in content:
        raise RecordError(path, "not a WFDB header: it holds zero bytes")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines, comments = [], []
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("#"):
            comments.append(line[1:].strip())
        elif line:
            lines.append(line)
    if not lines:
        raise RecordError(path, "not a WFDB header: it has no record line")
    n_signals, rate, n_samples, repairs = _record_line(path, lines[0])
    if n_signals == 0 or len(lines) - 1 != n_signals:
        raise RecordError(path, f"the header counts {n_signals} signals and describes {len(lines) - 1}")
    signals = tuple(_signal_line(path, line) for line in lines[1:])
    if not all(s.calibrated for s in signals):
        repairs.append(f"gain: not stated for every lead, the format's {DEFAULT_GAIN:g} per mV assumed")
    return Header(
        path=path,
        rate=rate,
        n_samples=n_samples,
        signals=signals,
        comments=tuple(comments),
        warnings=tuple(repairs),
    )


def parse_age(text: str) -> float:
    """Age in years; NaN where it is not stated (``NaN``, empty, ``Unknown``) or impossible."""
    try:
        age = float(text)
    except ValueError:
        return float("nan")
    # PTB-XL writes 300 for anybody over 89, to protect them: the age is not known.
    return age if 0 <= age <= 120 else float("nan")


def parse_sex(text: str) -> str:
    """``male``, ``female``, or "" where it is not stated."""
    return {"m": "male", "male": "male", "f": "female", "female": "female"}.get(text.strip().lower(), "")
