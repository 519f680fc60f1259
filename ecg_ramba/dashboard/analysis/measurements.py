"""What is measured on a recording, at its own rate: beats, rate, RR, heart-rate variability, intervals.

Beats and variability are the suite's own (:mod:`ecg_ramba.features.rhythm`); intervals are in
:mod:`ecg_ramba.dashboard.analysis.intervals`.
"""

from __future__ import annotations

import numpy as np

from ecg_ramba.dashboard.analysis.beats import Lead, measured_lead, rhythm_lead
from ecg_ramba.dashboard.analysis.intervals import delineated, interval_rows, no_delineation
from ecg_ramba.data.record import Record
from ecg_ramba.features.rhythm import PLAUSIBLE_MS, VARIABILITY_NAMES, variability

ABNORMAL_SHARE = 0.2
"""An RR interval that differs by more from the one before is marked (Malik et al. 1989, Eur Heart J 10:1060)."""

HRV = {
    "mean_nn": ("mean NN", "ms"),
    "sdnn": ("SDNN", "ms"),
    "rmssd": ("RMSSD", "ms"),
    "sdsd": ("SDSD", "ms"),
    "median_nn": ("median NN", "ms"),
    "iqr_nn": ("IQR of NN", "ms"),
    "pnn50": ("pNN50", "%"),
    "pnn20": ("pNN20", "%"),
    "cvnn": ("CVNN", ""),
    "cvsd": ("CVSD", ""),
    "sd1": ("SD1", "ms"),
    "sd2": ("SD2", "ms"),
    "sd1_sd2": ("SD1/SD2", ""),
    "ellipse": ("ellipse area", "ms²"),
}
"""The figures that are shown, their names and units; computed from RR intervals as they are, like the model's own."""


def measure(record: Record) -> dict:
    """Everything that is measured, in the page's form; what cannot be is None, with the reason beside it.

    Parameters
    ----------
    record : Record
        At any rate; samples that are not numbers are bridged, and no beat is taken from them.
    """
    name = rhythm_lead(record)
    if name is None or record.seconds < 1:
        why = "no lead has a signal" if name is None else f"the recording lasts {record.seconds:.2f} s"
        return _nothing(why, record)
    lead = measured_lead(record, name)
    rr, across = rr_intervals(lead, record.rate)
    nn = rr[~across]
    found = delineated(record, lead)
    return {
        "beats": _beats(lead, rr, across, record.rate),
        "rhythm_lead": name,
        "heart_rate": _rates(nn),
        "rr": _rr_table(nn),
        "hrv": hrv_rows(nn, record.seconds, int(_abnormal(rr, across).sum())),
        "intervals": interval_rows(found),
        "delineation": found.json(),
        "warnings": [],
    }


def rr_intervals(lead: Lead, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Intervals between neighbouring beats in ms, and whether a gap in the signal lies between the two."""
    rr = np.diff(lead.peaks) / rate * 1000
    if not lead.gap.any():
        return rr, np.zeros(len(rr), dtype=bool)
    lost = np.concatenate([[0], np.cumsum(lead.gap)])
    across = lost[lead.peaks[1:]] > lost[lead.peaks[:-1]]
    return rr, across


def hrv_rows(nn: np.ndarray, seconds: float, abnormal: int) -> list[dict]:
    """The rows of the HRV table; the note says how far each can be trusted."""
    values = dict(zip(VARIABILITY_NAMES, variability(nn), strict=True))
    note = _length_note(seconds)
    if abnormal:
        note += f"; {abnormal} marked RR interval{'s' * (abnormal != 1)} included, so it is no measure of sinus rhythm"
    rows = []
    for name, (title, unit) in HRV.items():
        value = float(values[name])
        why = note if np.isfinite(value) else f"not measurable from {len(nn)} RR interval{'s' * (len(nn) != 1)}"
        rows.append({"name": title, "value": _number(value), "unit": unit, "note": why})
    for title in ("LF/HF", "SDANN"):
        why = "not given: needs recordings of minutes (Task Force 1996: 2 to 5 minutes for LF, 24 hours for SDANN)"
        rows.append({"name": title, "value": None, "unit": "" if title == "LF/HF" else "ms", "note": why})
    return rows


def _length_note(seconds: float) -> str:
    """Task Force of the ESC and NASPE 1996, Circulation 93:1043: 5 minutes or 24 hours; length matters."""
    if seconds < 60:
        return f"recording of {seconds:.0f} s: ultra-short, not to be compared with norms of 5 minutes"
    if seconds < 300:
        return f"recording of {seconds:.0f} s: shorter than the 5 minutes that norms are made for"
    return f"over {seconds / 60:.0f} minutes: to be compared with recordings of that length only"


def _beats(lead: Lead, rr: np.ndarray, across: np.ndarray, rate: float) -> list[dict]:
    times = (lead.peaks / rate).tolist()
    abnormal = _abnormal(rr, across)
    rows = [{"time": round(t, 4), "rr_ms": None, "abnormal_rr": False} for t in times]
    for row, value, gap, odd in zip(rows[1:], rr.tolist(), across, abnormal, strict=True):
        if not gap:
            row["rr_ms"], row["abnormal_rr"] = round(value, 1), bool(odd)
    return rows


def _abnormal(rr: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Implausible by the suite's limits, or more than a fifth from the one before."""
    odd = (rr < PLAUSIBLE_MS[0]) | (rr > PLAUSIBLE_MS[1])
    if len(rr) > 1:
        odd[1:] |= (np.abs(rr[1:] - rr[:-1]) > ABNORMAL_SHARE * rr[:-1]) & ~across[:-1]
    return odd & ~across


def _rates(nn: np.ndarray) -> dict:
    if not len(nn):
        return {"mean": None, "min": None, "max": None}
    rates = (60_000 / nn.mean(), 60_000 / nn.max(), 60_000 / nn.min())
    return dict(zip(("mean", "min", "max"), (round(float(r), 1) for r in rates), strict=True))


def _rr_table(nn: np.ndarray) -> dict:
    some = len(nn) > 0
    return {
        "count": len(nn),
        "mean_ms": _number(nn.mean()) if some else None,
        "sd_ms": _number(nn.std(ddof=1)) if len(nn) > 1 else None,
        "min_ms": _number(nn.min()) if some else None,
        "max_ms": _number(nn.max()) if some else None,
    }


def _number(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def _nothing(why: str, record: Record) -> dict:
    nothing = no_delineation(why)
    return {
        "beats": [],
        "rhythm_lead": None,
        "heart_rate": {"mean": None, "min": None, "max": None},
        "rr": _rr_table(np.empty(0)),
        "hrv": hrv_rows(np.empty(0), record.seconds, 0),
        "intervals": interval_rows(nothing),
        "delineation": nothing.json(),
        "warnings": [],
    }
