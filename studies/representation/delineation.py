"""Heart rate, QRS duration and QT interval of a segment, measured on lead II: what regressions are asked for.

Waves are delineated by neurokit2 (Makowski et al., Behavior Research Methods 53, 2021), by peak prominence (Emrich et
al. 2024), on the filtered, standardised lead; one figure a segment, the median over its beats. They are measurements of
a filtered single lead by an algorithm, not a cardiologist's. Against the marks of LUDB's cardiologists (135 recordings,
lead II, medians over beats) QT intervals differ by 16 ms on average (r 0.76), and QRS durations are 27 ms too short (r
0.43); neurokit2's wavelet method does worse on both (29 ms, r 0.73; 24 ms, r 0.33) at ten times the cost.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_ramba.data.leads import LEADS
from ecg_ramba.data.store import Prepared
from ecg_ramba.features.rhythm import RHYTHM_NAMES, r_peaks
from ecg_ramba.keys import array_digest, digest
from studies.pieces import piece_folder, write_piece

VERSION = 1
FIGURES = ("heart rate", "QRS duration", "QT interval")
"""In beats per minute, ms, ms."""
UNITS = {"heart rate": "beats per minute", "QRS duration": "ms", "QT interval": "ms"}
PLAUSIBLE_MS = {"QRS duration": (40.0, 240.0), "QT interval": (200.0, 700.0)}
"""A beat outside is a wave that was missed or invented."""
BEATS = 3
"""Fewest beats whose waves are found, for a figure."""
PART = 200
"""Segments of one piece."""

_LEAD_II = LEADS.index("II")
_HEART_RATE = RHYTHM_NAMES.index("mean_hr")


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """Segments ``at`` (rows of the store) of a data set, to be measured; the piece goes to ``folder``."""

    data: Prepared
    at: np.ndarray
    folder: Path


def measuring_jobs(data: Prepared, at: np.ndarray, out: Path) -> list[Measured]:
    """The jobs that measure segments of a data set, some at a time."""
    jobs = []
    for begin in range(0, len(at), PART):
        part = at[begin : begin + PART]
        key = digest([VERSION, data.digest, array_digest(part)])
        jobs.append(Measured(data=data, at=part, folder=piece_folder(out, "delineation", key)))
    return jobs


def measuring_job(_, job: Measured) -> None:
    """Measure some segments and keep the figures (in a worker)."""
    found = [intervals(job.data.segments[at], job.data.leads[at], int(job.data.valid[at])) for at in job.at]
    rate = job.data.rhythm[job.at, _HEART_RATE]
    write_piece(job.folder, {"figures": np.column_stack([rate, np.array(found).reshape(-1, 2)])})


def intervals(segment: np.ndarray, leads: np.ndarray, valid: int, rate: float = 500.0) -> tuple[float, float]:
    """QRS duration and QT interval of a segment in ms, medians over its beats; NaN where they cannot be measured.

    Parameters
    ----------
    segment : (12, samples) array
        Standard lead order.
    leads : (12,) bool array
        Leads present; without lead II there is no figure.
    valid : int
        Samples inside the recording.
    rate : float
        Samples per second.
    """
    from neurokit2 import ecg_delineate

    nothing = (float("nan"), float("nan"))
    if not leads[_LEAD_II]:
        return nothing
    signal = np.asarray(segment[_LEAD_II, :valid], dtype=np.float64)
    peaks = r_peaks(signal, rate)
    if len(peaks) < BEATS:
        return nothing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of empty stretches inside neurokit2, which give NaN
        try:
            _, waves = ecg_delineate(signal, peaks, sampling_rate=int(rate), method="prominence")
        except (IndexError, ValueError, KeyError):  # a beat without room for its waves
            return nothing
    onset, offset, end = (
        np.array(waves[name], dtype=float) for name in ("ECG_R_Onsets", "ECG_R_Offsets", "ECG_T_Offsets")
    )
    if not len(onset) == len(offset) == len(end):
        return nothing
    return tuple(
        _median_ms(last - onset, rate, PLAUSIBLE_MS[name])
        for name, last in (("QRS duration", offset), ("QT interval", end))
    )


def _median_ms(samples: np.ndarray, rate: float, plausible: tuple[float, float]) -> float:
    ms = samples / rate * 1000
    ms = ms[(ms >= plausible[0]) & (ms <= plausible[1])]
    return float(np.median(ms)) if len(ms) >= BEATS else float("nan")
