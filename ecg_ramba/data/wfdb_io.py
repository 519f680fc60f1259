"""The signal of a WFDB record in physical units, checked against its header.

Format 16 (all the releases this project knows), in ``.dat`` files and behind the 24 bytes of a MATLAB v4 ``.mat``, is
read here with numpy, equal to the wfdb package on every sample; any other format goes through wfdb.
"""

import struct
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from ecg_ramba.data.leads import LEADS, canonical_lead
from ecg_ramba.data.wfdb_header import Header, SignalLine, read_bytes
from ecg_ramba.errors import RecordError

_MAT4_BYTES = 24
_INT16 = 30  # the type word of a MATLAB v4 matrix of little-endian int16
_INVALID = -32768  # format 16's mark of a sample that was not recorded
_MOST_SAMPLES_A_BYTE = 64  # no format packs more, FLAC of an all but silent recording included
_MILLIVOLTS = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "v": 1e3}


@dataclass(frozen=True, kw_only=True)
class Waveform:
    """A recording's signal.

    ``signal`` is (n_leads, n_samples) float32 in ``units`` (``mV`` or ``SD``); ``warnings`` are the repairs, each as
    ``kind: detail``.
    """

    signal: np.ndarray
    leads: tuple[str, ...]
    units: str
    warnings: tuple[str, ...]


def read_waveform(
    header: Header,
    *,
    leads: tuple[str, ...] = LEADS,
    legacy_gains: Collection[float] = (),
    right_gain: float = 1000.0,
    gaps: bool = False,
) -> Waveform:
    """Read a record's signal.

    Parameters
    ----------
    header : Header
        As read by :func:`ecg_ramba.data.wfdb_header.read_header`.
    leads : tuple of str
        The leads that the data set's records have; a record without one of them is refused.
    legacy_gains : collection of float
        Gains that early releases of the data set state wrongly; ``right_gain`` takes their place.
    right_gain : float
        ADC units per millivolt.
    gaps : bool
        Samples that are not valid stay, as NaN, and a recording without a lead that is not constant is read, where
        such recordings are refused otherwise.

    Raises
    ------
    RecordError
        Naming the file and the cause: a signal file that is missing, empty, truncated, a Git LFS pointer or longer
        than its header says; leads that are missing; samples that are not valid; no lead that is not constant.
    """
    header, warnings = _with_right_gains(header, legacy_gains, right_gain)
    rows, names = _choose_leads(header, leads, warnings)
    units = _units(header, rows)
    if all(s.format == 16 and s.samples_per_frame == 1 and s.skew == 0 for s in header.signals):
        physical = _read_format16(header, rows, warnings)
    else:
        physical = _read_by_wfdb(header, rows)
    scale = [_MILLIVOLTS[header.signals[r].units.lower()] for r in rows] if units == "mV" else [1.0]
    if any(one != 1.0 for one in scale):
        physical *= np.array(scale)[:, None]
    signal = physical.astype(np.float32, copy=False)
    low, high = signal.min(axis=1), signal.max(axis=1)
    if gaps:
        signal[~np.isfinite(signal)] = np.nan
    elif not (np.isfinite(low).all() and np.isfinite(high).all()):  # which a sample that is not finite makes so
        bad = ~np.isfinite(signal)
        counts = {name: int(n) for name, n in zip(names, bad.sum(axis=1), strict=True) if n}
        raise RecordError(header.path, f"samples that are not valid, of {signal.shape[1]} a lead: {counts}")
    if not gaps and np.all(low == high):
        raise RecordError(header.path, "every lead is constant: there is no signal")
    return Waveform(signal=signal, leads=names, units=units, warnings=tuple(warnings))


def _with_right_gains(header: Header, legacy: Collection[float], right: float) -> tuple[Header, list[str]]:
    warnings = list(header.warnings)
    wrong = sorted({s.gain for s in header.signals} & set(legacy))
    if wrong:
        stated = ", ".join(f"{gain:g}" for gain in wrong)
        warnings.append(f"legacy gain: {stated} per mV stated, {right:g} is right")
        signals = tuple(s._replace(gain=right) if s.gain in wrong else s for s in header.signals)
        header = replace(header, signals=signals)
    return header, warnings


def _choose_leads(header: Header, wanted: tuple[str, ...], warnings: list[str]) -> tuple[list[int], tuple[str, ...]]:
    """Rows to read and their standard names, in the file's order."""
    named = [(row, canonical_lead(s.name)) for row, s in enumerate(header.signals)]
    known = [(row, name) for row, name in named if name in wanted]
    names = tuple(name for _, name in known)
    if len(set(names)) < len(names):
        raise RecordError(header.path, f"a lead occurs twice: {', '.join(s.name for s in header.signals)}")
    missing = [name for name in wanted if name not in names]
    if missing:
        raise RecordError(
            header.path, f"{len(names)} of the {len(wanted)} leads of this data set: {', '.join(missing)} missing"
        )
    extra = [s.name for s in header.signals if canonical_lead(s.name) not in wanted]
    if extra:
        warnings.append(f"further leads left out: {', '.join(extra)}")
    return [row for row, _ in known], names


def _units(header: Header, rows: list[int]) -> str:
    units = {header.signals[row].units for row in rows}
    if all(unit.lower() in _MILLIVOLTS for unit in units):
        return "mV"
    if units == {"SD"}:
        return "SD"
    raise RecordError(header.path, f"unknown units {', '.join(sorted(units))}: mV, uV, V or SD are known")


def _read_format16(header: Header, rows: list[int], warnings: list[str]) -> np.ndarray:
    """(len(rows), n_samples) float32 or float64, in the header's units; invalid samples NaN."""
    blocks = []
    for file, group in groupby(header.signals, key=lambda s: s.file):
        blocks.append(_read_file16(header, file, list(group), warnings))
    if len({len(block) for block in blocks}) > 1:
        raise RecordError(header.path, "the signal files differ in length")
    digital = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
    if rows != list(range(digital.shape[1])):
        digital = digital[:, rows]
    digital = digital.T
    gain, baseline = np.array([(header.signals[row].gain, header.signals[row].baseline) for row in rows], float).T
    # Whole numbers below 2**24 and such gains are exact in float32, and a quotient is then rounded once: to what the
    # quotient in float64, rounded to float32, is as well. Not so where it is multiplied afterwards.
    exact = (gain == gain.astype(np.float32)).all() and (np.abs(baseline) < 2**23).all()
    exact &= all(_MILLIVOLTS.get(units.lower(), 1.0) == 1.0 for units in {s.units for s in header.signals})
    physical = digital.astype(np.float32 if exact else np.float64, order="C")
    if baseline.any():
        physical -= baseline.astype(physical.dtype)[:, None]
    physical /= gain.astype(physical.dtype)[:, None]
    if digital.size and digital.min() == _INVALID:
        physical[digital == _INVALID] = np.nan
    return physical


def _read_file16(header: Header, file: str, lines: list[SignalLine], warnings: list[str]) -> np.ndarray:
    """(n_samples, n_signals of this file) int16, its length settled against the header and the checksums."""
    path = header.path.parent / file
    content = read_bytes(path, "signal file")
    offset = _data_offset(path, content, lines, warnings)
    frames, rest = divmod(max(len(content) - offset, 0), 2 * len(lines))
    available = np.frombuffer(content, dtype="<i2", count=frames * len(lines), offset=min(offset, len(content)))
    available = available.reshape(frames, len(lines))
    stated = frames if header.n_samples is None else header.n_samples
    if stated == frames and frames and not rest:
        wrong = [s.name for s, ok in zip(lines, _checksums_agree(available, lines), strict=True) if not ok]
        if wrong:
            warnings.append(f"checksum: the samples of {', '.join(wrong)} do not add up to the header's")
        return available
    # The lengths differ. One of them is right, and the checksums say which; without their word the record is refused.
    for length in (stated, frames):
        if 0 < length <= frames and all(_checksums_agree(available[:length], lines)):
            warnings.append(f"length: the header says {stated} samples, {file} holds {frames}, checksums fit {length}")
            return available[:length]
    kind = "truncated" if frames < stated else "longer than its header says"
    raise RecordError(path, f"{kind}: the header says {stated} samples a lead, the file holds {frames}")


def _checksums_agree(samples: np.ndarray, lines: list[SignalLine]) -> list[bool]:
    """Whether each signal adds up to its checksum modulo 65536: signed in some releases, unsigned in others."""
    # 64 long rows at once, then what is left: adding up 5,000 rows of twelve numbers takes ten times as long.
    whole = len(samples) // 64 * 64
    blocks = samples[:whole].reshape(64, -1) if whole else samples[:0]
    parts = np.add.reduce(blocks.view(np.uint16), axis=0, dtype=np.uint16).reshape(-1, len(lines))
    sums = np.concatenate([parts, samples[whole:].view(np.uint16)]).sum(axis=0, dtype=np.int64)
    return [(int(total) - line.checksum) % 65536 == 0 for total, line in zip(sums, lines, strict=True)]


def _data_offset(path: Path, content: bytes, lines: list[SignalLine], warnings: list[str]) -> int:
    """Bytes before the first sample: as stated, or the 24 of a MATLAB v4 matrix where the header forgets them."""
    offsets = {line.offset for line in lines}
    if len(offsets) > 1:
        raise RecordError(path, f"its signals state different byte offsets: {sorted(offsets)}")
    offset = offsets.pop()
    if path.suffix != ".mat":
        return offset
    if content.startswith(b"MATLAB 5.0"):
        raise RecordError(path, "a MATLAB v5 file, where the header describes MATLAB v4")
    if len(content) < _MAT4_BYTES:
        raise RecordError(path, f"truncated: {len(content)} bytes, less than a MATLAB v4 header")
    kind, rows, _, imaginary, name_bytes = struct.unpack("<5i", content[:20])
    if (kind, rows, imaginary, name_bytes) != (_INT16, len(lines), 0, 4):
        raise RecordError(path, f"not a MATLAB v4 matrix of {len(lines)} int16 rows")
    if offset != _MAT4_BYTES:
        warnings.append(f"offset: {offset} bytes stated, the MATLAB v4 header has {_MAT4_BYTES}")
    return _MAT4_BYTES


def _read_by_wfdb(header: Header, rows: list[int]) -> np.ndarray:
    """(len(rows), n_samples) float64 by the wfdb package, for formats other than plain 16."""
    import wfdb
    from wfdb.io.header import HeaderSyntaxError

    files = dict.fromkeys(s.file for s in header.signals)
    held = sum(len(read_bytes(header.path.parent / file, "signal file")) for file in files)
    stated = (header.n_samples or 0) * sum(s.samples_per_frame for s in header.signals)
    if stated > _MOST_SAMPLES_A_BYTE * held:
        # wfdb would make room for all of them before it looks.
        raise RecordError(header.path, f"truncated: the header says {stated} samples, its files have {held} bytes")
    try:
        record = wfdb.rdrecord(str(header.path)[: -len(".hea")])
    except (ValueError, IndexError, KeyError, TypeError, OSError, RuntimeError, HeaderSyntaxError) as error:
        raise RecordError(header.path, f"wfdb cannot read it: {error}") from error
    # The gains may have been put right since wfdb read the header: undo its, apply ours.
    used = np.array([record.adc_gain[row] for row in rows])
    right = np.array([header.signals[row].gain for row in rows])
    return np.ascontiguousarray((record.p_signal[:, rows] * (used / right)).T, dtype=np.float64)
