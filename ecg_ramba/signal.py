"""From a recording to filtered, standardised 10 s segments: one path for source and targets, training and prediction.

In this order, on the whole recording, so that no filter edge falls inside: millivolts; minus each lead's median;
500 Hz; missing limb leads; 0.5 to 40 Hz; z-score per lead; cut. Nothing here is fitted on more than one recording.
"""

import mmap
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from scipy.signal import butter, resample_poly, sosfiltfilt

from ecg_ramba.data.leads import LEADS, PRECORDIAL, to_twelve
from ecg_ramba.data.record import Record
from ecg_ramba.errors import RecordError

SEGMENT = 5000
"""Samples of a segment: 10 s at 500 Hz."""

WINDOW = 2500
"""Samples of a window: 5 s at 500 Hz."""

STRIDE = 1250
"""Samples between the starts of two windows of a segment."""

DEAD_MV = 1e-4
"""A lead whose filtered signal has a smaller standard deviation, in millivolts, is absent."""

DEAD_SD = 1e-6
"""The same for signals in units of a standard deviation, where only a constant lead is dead."""


@dataclass(frozen=True, kw_only=True)
class SignalConfig:
    """How a recording is filtered and scaled.

    Parameters
    ----------
    rate : float
        Samples per second after resampling; segments are counted in samples, so only 500 is accepted.
    low, high : float
        Pass band in Hz.
    order : int
        Order of the Butterworth filter, which runs forward and backward.
    filter : {"band-pass", "none"}
        Without it a recording keeps its wander and noise, as what the published release was tested on abroad.
    normalise : {"record", "segment", "none"}
        z-score per lead over the recording (the protocol), over each segment, or millivolts as they are.
    missing : {"derive", "zero"}
        Leads that a recording lacks: limb leads follow from I and II, the others are absent (the protocol); or all of
        them are zero and count as present, as in the published release.
    """

    rate: float = 500.0
    low: float = 0.5
    high: float = 40.0
    order: int = 4
    filter: Literal["band-pass", "none"] = "band-pass"
    normalise: Literal["record", "segment", "none"] = "record"
    missing: Literal["derive", "zero"] = "derive"

    def __post_init__(self):
        if self.rate != 500:
            raise ValueError(f"rate is {self.rate}: segments of {SEGMENT} samples are 10 s at 500 Hz only")
        if not 0 < self.low < self.high < self.rate / 2:
            raise ValueError(f"the pass band {self.low} to {self.high} Hz does not fit below {self.rate / 2} Hz")
        if self.filter not in ("band-pass", "none"):
            raise ValueError(f"filter is {self.filter!r}; use band-pass or none")
        if self.normalise not in ("record", "segment", "none"):
            raise ValueError(f"normalise is {self.normalise!r}; use record, segment or none")
        if self.missing not in ("derive", "zero"):
            raise ValueError(f"missing is {self.missing!r}; use derive or zero")


@dataclass(frozen=True, kw_only=True)
class Segments:
    """A recording cut into segments.

    Parameters
    ----------
    signal : (S, 12, 5000) float32 array
        Standard lead order; zero where a lead is absent and after the recording's end.
    leads : (12,) bool array
        Lead measured or derived, and alive.
    valid : (S,) int32 array
        Samples inside the recording: 5000, or 2500 to 4999 for a padded tail.
    start : (S,) float64 array
        Seconds from the recording's first sample.
    dropped_tail_s : float
        Seconds at the end that were too short for a segment.
    """

    signal: np.ndarray
    leads: np.ndarray
    valid: np.ndarray
    start: np.ndarray
    dropped_tail_s: float


def preprocess(record: Record, config: SignalConfig = SignalConfig()) -> Segments:
    """Filter, standardise and cut a recording.

    Parameters
    ----------
    record : Record
        Potentials in millivolts, or in standard deviations (then limb leads are not derived).
    config : SignalConfig
        Filter and scaling.

    Returns
    -------
    Segments

    Raises
    ------
    RecordError
        If the recording is shorter than 5 s, has samples that are not numbers, has no lead that is alive, or is
        standardised already where millivolts are asked for.
    """
    name = f"{record.source}/{record.record}"
    _check(record, name, config)
    signal = record.signal.astype(np.float64)
    signal -= np.median(signal, axis=1, keepdims=True)
    signal = resample(signal, record.rate, config.rate)
    if signal.shape[1] < WINDOW:
        raise RecordError(name, f"{record.seconds:.2f} s is shorter than the 5 s a window needs")
    twelve, present = _standard_leads(signal, record, config.missing == "derive")
    if config.filter == "band-pass":
        twelve[present] = band_pass(twelve[present], config)
    present &= twelve.std(axis=1) >= (DEAD_MV if record.units == "mV" else DEAD_SD)
    if not present.any():
        raise RecordError(name, "every lead is flat")
    twelve[~present] = 0
    if config.normalise == "record":
        twelve[present] = _z_score(twelve[present])
    return _cut(twelve, present, config)


def resample(signal: np.ndarray, rate: float, to: float) -> np.ndarray:
    """Polyphase resampling of (leads, samples) by the exact ratio of the two rates.

    Rates are taken as fractions with a denominator up to 1000, so 257 Hz becomes 500 Hz by 500/257.
    """
    ratio = Fraction(to).limit_denominator(1000) / Fraction(rate).limit_denominator(1000)
    if ratio == 1:
        return signal
    return resample_poly(signal, ratio.numerator, ratio.denominator, axis=1)


def band_pass(signal: np.ndarray, config: SignalConfig) -> np.ndarray:
    """Zero-phase Butterworth band-pass of (leads, samples), float64."""
    band = [config.low, config.high]
    sos = butter(config.order, band, btype="bandpass", fs=config.rate, output="sos")
    return sosfiltfilt(sos, signal, axis=1)


def window_starts(valid: int) -> tuple[int, ...]:
    """Starts of a segment's windows, of 0, 1250 and 2500, that lie at least half inside the ``valid`` samples."""
    return tuple(s for s in range(0, SEGMENT - WINDOW + 1, STRIDE) if min(valid - s, WINDOW) >= WINDOW / 2)


class WindowView:
    """Windows of stored segments as one array-like of shape (N, 12, samples), read only when indexed.

    Parameters
    ----------
    segments : (S, 12, 5000) array or memory map
        Segments of a store.
    segment : (N,) int array
        Row of ``segments`` of each window.
    start : (N,) int array
        First sample of each window within its segment.
    samples : int
        Length of a window.
    """

    def __init__(self, segments: np.ndarray, segment: np.ndarray, start: np.ndarray, samples: int = WINDOW):
        self.segments, self.samples = segments, samples
        self.segment = np.asarray(segment, dtype=np.int64)
        self.start = np.asarray(start, dtype=np.int64)
        if self.segment.shape != self.start.shape or self.segment.ndim != 1:
            raise ValueError(f"{self.segment.shape} segments and {self.start.shape} starts: one of each a window")
        if self.start.size and not (self.start.min() >= 0 and self.start.max() <= segments.shape[2] - samples):
            raise ValueError(f"a window starts outside 0 to {segments.shape[2] - samples}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, leads, samples)."""
        return len(self.segment), self.segments.shape[1], self.samples

    def __len__(self) -> int:
        return len(self.segment)

    def __getitem__(self, index) -> np.ndarray:
        """A copy, float32: (n, 12, samples) for a slice or array of indices or mask, (12, samples) for an integer."""
        if isinstance(index, (int, np.integer)):
            return self[np.array([index])][0]
        segment, start = self.segment[index], self.start[index]
        self._ask_for(segment)
        out = np.empty((len(segment), self.segments.shape[1], self.samples), dtype=np.float32)
        for i, (row, first) in enumerate(zip(segment, start, strict=True)):
            out[i] = self.segments[row, :, first : first + self.samples]
        return out

    def _ask_for(self, rows: np.ndarray) -> None:
        """Where segments are mapped, ask the system for all of these at once: else each would wait for the disk."""
        mapped = getattr(self.segments, "base", None)
        if not isinstance(mapped, mmap.mmap) or not hasattr(mmap, "MADV_WILLNEED"):
            return
        size = self.segments.strides[0]
        for row in np.unique(rows).tolist():
            begin = self.segments.offset + row * size
            page = begin // mmap.PAGESIZE * mmap.PAGESIZE
            mapped.madvise(mmap.MADV_WILLNEED, page, begin + size - page)


def without_precordial(windows: np.ndarray) -> np.ndarray:
    """A copy of windows (N, 12, T) with V1 to V6 zero: what a limb-lead recording looks like."""
    out = np.array(windows, dtype=np.float32)
    out[:, PRECORDIAL] = 0
    return out


def _check(record: Record, name: str, config: SignalConfig) -> None:
    if record.units not in ("mV", "SD"):
        raise RecordError(name, f"its units are {record.units!r}; a reader gives mV or SD")
    if record.units == "SD" and config.normalise == "none":
        raise RecordError(name, "its signal is standardised, so millivolts are not known; use normalise='record'")
    if not record.rate > 0:
        raise RecordError(name, f"its rate is {record.rate} samples per second")
    if record.rate < 2 * config.high:
        raise RecordError(
            name,
            f"{record.rate:g} samples per second cannot hold the {config.high:g} Hz that are read; "
            f"{2 * config.high:g} are needed",
        )
    if record.signal.ndim != 2 or len(record.leads) != len(record.signal):
        raise RecordError(name, f"{len(record.leads)} lead names for a signal of shape {record.signal.shape}")
    if record.seconds < WINDOW / config.rate:
        raise RecordError(name, f"{record.seconds:.2f} s is shorter than the 5 s a window needs")
    broken = [lead for lead, row in zip(record.leads, record.signal, strict=True) if not np.isfinite(row).all()]
    if broken:
        raise RecordError(name, f"samples that are not numbers in lead {', '.join(broken)}")


def _standard_leads(signal: np.ndarray, record: Record, derive: bool) -> tuple[np.ndarray, np.ndarray]:
    """Twelve leads in order, the limb leads derived where that is exact: from potentials in mV, I and II both alive."""
    twelve, present = to_twelve(signal, record.leads)
    alive = {lead for lead, row in zip(record.leads, signal, strict=True) if np.ptp(row) > 0}
    if not derive or record.units != "mV" or not {"I", "II"} <= alive:
        measured = np.array([lead in record.leads for lead in LEADS])
        twelve[~measured] = 0
        present &= measured
    return twelve, present


def _z_score(signal: np.ndarray) -> np.ndarray:
    return (signal - signal.mean(axis=-1, keepdims=True)) / signal.std(axis=-1, keepdims=True)


def _cut(twelve: np.ndarray, present: np.ndarray, config: SignalConfig) -> Segments:
    """Tile from 0 s; a tail of 5 s or more is padded, a shorter one dropped."""
    whole, tail = divmod(twelve.shape[1], SEGMENT)
    valid = [SEGMENT] * whole + ([tail] if tail >= WINDOW else [])
    signal = np.zeros((len(valid), len(LEADS), SEGMENT), dtype=np.float32)
    for i, n in enumerate(valid):
        part = twelve[:, i * SEGMENT : i * SEGMENT + n]
        if config.normalise == "segment":
            alive = part.std(axis=1) >= DEAD_SD
            signal[i, alive, :n] = _z_score(part[alive])
        else:
            signal[i, :, :n] = part
    return Segments(
        signal=signal,
        leads=present if config.missing == "derive" else np.ones(len(LEADS), dtype=bool),
        valid=np.array(valid, dtype=np.int32),
        start=np.arange(len(valid)) * (SEGMENT / config.rate),
        dropped_tail_s=0.0 if tail >= WINDOW else tail / config.rate,
    )
