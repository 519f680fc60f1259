"""Limb electrodes that seem to be exchanged, from the signs of the mean beat.

Right and left arm: lead I is upside down (P and QRS negative) while the left chest is not. In dextrocardia both are
(Kors and van Herpen 2001, J Electrocardiol 34 Suppl:69; Batchvarov et al. 2007, Europace 9:1081). Right arm and left
leg: lead II is upside down, and aVR is upright. Exchanges that leave P upright, such as left arm and left leg, are not
looked for: one recording does not show them.
"""

from __future__ import annotations

import numpy as np

from ecg_ramba.dashboard.analysis.beats import BEFORE, aligned, band, rhythm_lead, twelve
from ecg_ramba.data.leads import LEADS
from ecg_ramba.data.record import Record
from ecg_ramba.features.rhythm import r_peaks

LEAST_QRS = 0.15
"""Millivolts of net QRS (maximum plus minimum) below which a sign is not read."""

LEAST_P = 0.03
"""The same of the P wave."""


def swap_warnings(record: Record) -> list[dict]:
    """At most one warning of kind ``swap``; of signals in millivolts without gaps only."""
    name = rhythm_lead(record)
    if name is None or record.units != "mV" or not np.isfinite(record.signal).all():
        return []
    signal, status = twelve(record)
    there = {n for n, s in zip(LEADS, status, strict=True) if s in ("measured", "derived")}
    filtered = {n: band(signal[LEADS.index(n)], record.rate) for n in there}
    peaks = r_peaks(filtered[name], record.rate)
    beats = {n: aligned(row, peaks, record.rate) for n, row in filtered.items()}
    if len(beats[name]) < 3:
        return []
    mean = {n: np.median(rows, axis=0) for n, rows in beats.items()}
    centre = _centre(mean.values(), record.rate)
    waves = {n: _waves(beat, centre, record.rate) for n, beat in mean.items()}
    text = _right_arm_leg(waves) or _arms(waves)
    return [{"kind": "swap", "text": text, "severity": "warning"}] if text else []


def _arms(waves: dict) -> str:
    chest = next((n for n in ("V6", "V5") if n in waves), None)
    if "I" not in waves or not _upside_down(waves["I"]):
        return ""
    if chest is None:
        return "Arm electrodes exchanged, or dextrocardia: P and QRS of lead I are negative (no V5, V6 to tell)."
    if waves[chest][1] > LEAST_QRS and waves[chest][0] > -LEAST_P:
        return f"Arm electrodes seem exchanged: P and QRS of lead I are negative, those of {chest} are not."
    return ""


def _right_arm_leg(waves: dict) -> str:
    if not {"II", "aVR"} <= set(waves) or not _upside_down(waves["II"]) or not waves["aVR"][0] > LEAST_P:
        return ""
    return "Electrodes of right arm and left leg seem exchanged: P and QRS of II are negative, and P of aVR is upright."


def _upside_down(wave: tuple[float, float]) -> bool:
    return wave[0] < -LEAST_P and wave[1] < -LEAST_QRS


def _centre(mean, rate: float) -> int:
    """Sample of the mean beats at which the leads together are farthest from their level: in an inverted lead the peak
    that was found is a small wave beside the complex."""
    size = sum(np.abs(beat - np.median(beat)) for beat in mean)
    first, last = round((BEFORE - 0.1) * rate), round((BEFORE + 0.1) * rate)
    return first + int(size[first:last].argmax())


def _waves(beat: np.ndarray, centre: int, rate: float) -> tuple[float, float]:
    """Net P wave and net QRS of a mean beat: maximum plus minimum, from the level before each."""

    def part(begin: float, end: float) -> np.ndarray:
        return beat[max(0, centre + round(begin * rate)) : centre + round(end * rate)]

    p, qrs = part(-0.25, -0.06), part(-0.06, 0.08)
    p = p - np.linspace(p[0], p[-1], len(p))
    level = np.median(part(-0.1, -0.05))
    return float(p.max() + p.min()), float(qrs.max() + qrs.min() - 2 * level)
