"""R peaks of a recording of any length, and how like each other a lead's beats are.

The peaks are those of :func:`ecg_ramba.features.rhythm.r_peaks`, on the lead as the suite filters it (0.5 to 40 Hz,
zero phase), at the recording's own rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, sosfiltfilt

from ecg_ramba.data.leads import LEADS, to_twelve
from ecg_ramba.data.record import Record
from ecg_ramba.features.rhythm import r_peaks
from ecg_ramba.signal import DEAD_MV, DEAD_SD, SignalConfig

PIECE_SECONDS = 600.0
"""Seconds in which peaks are looked for at a time; longer recordings are filtered and searched in pieces."""

_OVERLAP = 10.0
BEFORE, AFTER = 0.25, 0.45
"""Seconds of a beat around its R peak."""
LIKENESS_BEATS = 60
"""Most beats that are compared with their mean."""


@dataclass(frozen=True)
class Lead:
    """One lead, filtered for measuring.

    Parameters
    ----------
    name : str
    signal : (samples,) float64 array
        0.5 to 40 Hz; gaps are bridged by straight lines.
    peaks : (n,) int array
        R peaks, none of them in a gap.
    gap : (samples,) bool array
        Samples that were not numbers.
    """

    name: str
    signal: np.ndarray
    peaks: np.ndarray
    gap: np.ndarray


def alive_leads(record: Record) -> list[str]:
    """Leads of the recording that are neither constant nor all gaps, in standard order."""
    limit = DEAD_MV if record.units == "mV" else DEAD_SD
    there = []
    for name in sorted(record.leads, key=LEADS.index):
        row = record.signal[record.leads.index(name)]
        row = row if np.isfinite(row).all() else row[np.isfinite(row)]
        if len(row) and row.std(dtype=np.float64) >= limit:
            there.append(name)
    return there


def rhythm_lead(record: Record) -> str | None:
    """The lead whose beats are counted: II, else I, as for the model's HRV; else the first other that is alive."""
    alive = alive_leads(record)
    return next((n for n in ("II", "I", *alive) if n in alive), None)


def measured_lead(record: Record, name: str) -> Lead:
    """A lead, filtered, with its R peaks."""
    row = record.signal[record.leads.index(name)]
    gap = ~np.isfinite(row)
    rate, samples = record.rate, len(row)
    size, more = int(PIECE_SECONDS * rate), int(_OVERLAP * rate)
    out, peaks = np.empty(samples), []
    for begin in range(0, max(samples - more, 1), size):
        end = samples if begin + size >= samples - more else begin + size
        first, last = max(0, begin - more), min(samples, end + more)
        part = band(_bridged(row[first:last]), rate)
        out[begin:end] = part[begin - first : end - first]
        found = r_peaks(part, rate) + first
        peaks.append(found[(found >= begin) & (found < end)])
        if end == samples:
            break
    found = np.concatenate(peaks)
    return Lead(name, out, found[~gap[found]], gap)


def band(row: np.ndarray, rate: float) -> np.ndarray:
    """0.5 to 40 Hz, zero phase, as in :func:`ecg_ramba.signal.band_pass`; at low rates up to 0.45 of the rate."""
    config = SignalConfig()
    high = min(config.high, 0.45 * rate)
    if high <= 2 * config.low:
        return row - row.mean()
    sos = butter(config.order, [config.low, high], btype="bandpass", fs=rate, output="sos")
    pad = min(3 * (2 * len(sos) + 1), len(row) - 1)
    return sosfiltfilt(sos, row - np.median(row), padlen=max(pad, 0))


def _bridged(row: np.ndarray) -> np.ndarray:
    """Float64, gaps bridged by straight lines; zero if there is nothing but a gap."""
    row = row.astype(np.float64)
    known = np.isfinite(row)
    if known.all():
        return row
    if not known.any():
        return np.zeros(len(row))
    return np.interp(np.arange(len(row)), np.flatnonzero(known), row[known])


def aligned(signal: np.ndarray, peaks: np.ndarray, rate: float, most: int = LIKENESS_BEATS) -> np.ndarray:
    """Beats cut out around their R peaks, 0.25 s before to 0.45 s after: (beats, samples), evenly spread if many."""
    before, after = round(BEFORE * rate), round(AFTER * rate)
    inside = peaks[(peaks >= before) & (peaks + after <= len(signal))]
    if len(inside) > most:
        inside = inside[np.linspace(0, len(inside) - 1, most).astype(int)]
    return np.array([signal[p - before : p + after] for p in inside]).reshape(len(inside), before + after)


def likeness(beats: np.ndarray) -> float:
    """Median correlation of beats with the mean (median, sample by sample) of all; NaN for fewer than three."""
    if len(beats) < 3:
        return float("nan")
    middle = np.median(beats, axis=0)
    if np.ptp(middle) == 0:
        return 0.0
    centred, middle = beats - beats.mean(1, keepdims=True), middle - middle.mean()
    size = np.linalg.norm(centred, axis=1) * np.linalg.norm(middle)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(size > 0, centred @ middle / size, 0.0)
    return float(np.median(found))


def twelve(record: Record) -> tuple[np.ndarray, list[str]]:
    """The recording's signal in standard order with derived limb leads, and each lead's status.

    ``measured``, ``derived``, ``dead`` or ``missing``. Limb leads follow from I and II where both are measured in
    millivolts and alive; of standardised leads none does.
    """
    signal, present = to_twelve(record.signal, record.leads)
    alive = set(alive_leads(record))
    derivable = record.units == "mV" and {"I", "II"} <= alive
    status = []
    for i, name in enumerate(LEADS):
        if name in record.leads:
            status.append("measured" if name in alive else "dead")
        elif present[i] and derivable:
            status.append("derived")
        else:
            status.append("missing")
            signal[i] = 0
    return signal, status
