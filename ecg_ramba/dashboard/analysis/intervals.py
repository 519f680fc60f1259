"""PR, QRS, QT and QTc by neurokit2's delineation of the lead with the clearest beats.

P, T and the begin of QRS are found by peak prominence (Emrich et al. 2024), the duration of QRS by the discrete wavelet
transform (Martínez et al. 2004, IEEE TBME 51:570), without beats whose QRS would begin in the P wave or end in the T
wave. Against the cardiologists' marks of LUDB (134 recordings, lead II, medians over beats) PR differs by 11 ms on
average (r 0.86), QT by 17 ms (r 0.75), QRS by 19 ms (r 0.43); by wavelets alone 25, 43 and 24 ms. QRS is rough.

One lead, filtered to 0.5-40 Hz; no cardiologist looked at the result. Limits of
plausibility are set well outside the limits of normality (PR 120-200 ms, QRS up to 110 ms, QTc up to 450/460 ms:
Surawicz et al. 2009, JACC 53:976; Rautaharju et al. 2009, JACC 53:982): a beat beyond them is a wave that was missed or
invented, and is left out.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np

from ecg_ramba.dashboard.analysis.beats import Lead, aligned, alive_leads, likeness, measured_lead
from ecg_ramba.data.record import Record

PLAUSIBLE = {"PR": (80.0, 400.0), "QRS": (40.0, 240.0), "QT": (200.0, 700.0), "QTc": (200.0, 800.0)}
"""Milliseconds."""

MOST_SPREAD = {"PR": 60.0, "QRS": 60.0, "QT": 80.0, "QTc": 90.0}
"""Interquartile range over beats, in milliseconds, beyond which the marks are not of the same waves."""

IRREGULAR = 0.08
"""Median change from one RR interval to the next, as a part of their mean, beyond which no PR is given: in fast
fibrillation a T wave can stand where P is looked for."""

BEATS = 3
"""Fewest beats that give a figure."""

LEAST_LIKENESS = 0.6
"""Median correlation of a lead's beats with their mean below which no wave is looked for."""

LEAST_P_LIKENESS = 0.6
"""The same of the stretch before QRS where P waves lie: below, no constant P wave is there (as in fibrillation)."""

SECONDS = 120.0
"""Longest stretch that is delineated, from the recording's begin."""

LEAST_SHARE = {"PR": 0.5, "QRS": 0.25, "QT": 0.5, "QTc": 0.5}
"""Part of the beats that need both marks; fewer for QRS, whose wrong marks are known and left out."""

NAMES = ("PR", "QRS", "QT", "QTc (Bazett)", "QTc (Fridericia)")

_PREFERRED = ("II", "V5", "I", "V2", "V6", "V4", "V3", "V1", "aVF", "aVL", "III", "aVR")
_FIELDS = {
    "p_onsets": "ECG_P_Onsets",
    "p_peaks": "ECG_P_Peaks",
    "p_offsets": "ECG_P_Offsets",
    "qt_onsets": "ECG_R_Onsets",
    "t_peaks": "ECG_T_Peaks",
    "t_offsets": "ECG_T_Offsets",
}
"""By prominence; ``qt_onsets`` is where PR ends and QT begins."""

_QRS = {"qrs_onsets": "ECG_R_Onsets", "qrs_offsets": "ECG_R_Offsets"}
"""By the discrete wavelet transform."""

METHOD = "neurokit2: P, T and the begin of QRS by prominence, QRS by the discrete wavelet transform"


@dataclass(frozen=True)
class Delineation:
    """Marks of a lead's beats.

    Parameters
    ----------
    lead : str or None
    seconds : float
        How much of the recording was looked at.
    marks : dict of str to (beats,) float64 array
        Seconds from the begin, NaN where not found.
    rr : (beats,) float64 array
        Seconds from the beat before; NaN for the first.
    why : dict of str to str
        Why an interval is not measurable, by its name; ``""`` is for all of them.
    """

    lead: str | None
    seconds: float
    marks: dict[str, np.ndarray]
    rr: np.ndarray
    why: dict[str, str] = field(default_factory=dict)

    def json(self) -> dict:
        """As the page draws it; P marks are left out where no constant P wave is there."""
        shown = {n: _times(v) if "PR" not in self.why or n[0] != "p" else [] for n, v in self.marks.items()}
        return {"lead": self.lead, "seconds": self.seconds, "method": METHOD} | shown


def no_delineation(why: str) -> Delineation:
    """Nothing, and why."""
    return Delineation(None, 0.0, {n: np.empty(0) for n in (*_FIELDS, *_QRS)}, np.empty(0), {"": why})


def delineated(record: Record, rhythm: Lead) -> Delineation:
    """The marks on the lead whose beats are most alike, II where it is as good as any.

    Parameters
    ----------
    record : Record
    rhythm : Lead
        The lead whose R peaks are known.
    """
    rate = record.rate
    if rate < 100:
        return no_delineation(f"{rate:g} samples per second are too few for waves; 100 are needed")
    part = min(len(rhythm.signal), int(SECONDS * rate))
    lead, best = _best_lead(record, rhythm, part)
    if not best >= LEAST_LIKENESS:
        few = len(rhythm.peaks) < BEATS
        return no_delineation(
            f"{len(rhythm.peaks)} beats were found; {BEATS} are needed"
            if few
            else f"no lead has beats that are like each other (correlation with their mean {best:.2f}): noise?"
        )
    peaks = lead.peaks[lead.peaks < part]
    try:
        marks = _marks(lead.signal[:part], peaks, rate, "prominence", _FIELDS)
    except (IndexError, ValueError, KeyError, ZeroDivisionError) as error:
        return no_delineation(f"the delineation found no waves ({type(error).__name__} in neurokit2)")
    rr, why = np.concatenate([[np.nan], np.diff(peaks) / rate]), {}
    try:
        marks |= _complexes(lead.signal[:part], peaks, rate)
    except (IndexError, ValueError, KeyError, ZeroDivisionError) as error:
        marks |= {n: np.full(len(peaks), np.nan) for n in _QRS}
        why["QRS"] = f"its ends were not found ({type(error).__name__} in neurokit2)"
    p_like = p_likeness(lead.signal[:part], peaks, rate)
    if not p_like >= LEAST_P_LIKENESS:
        why["PR"] = (
            "no constant P wave: what comes before QRS differs from beat to beat "
            f"(correlation with its mean {p_like:.2f}), as in atrial fibrillation"
        )
    elif len(peaks) > BEATS and (step := _irregularity(rr[1:])) > IRREGULAR:
        why["PR"] = f"RR intervals change by {100 * step:.0f} % from beat to beat (median), as in atrial fibrillation"
    return Delineation(lead.name, part / rate, marks, rr, why)


def _irregularity(rr: np.ndarray) -> float:
    return float(np.median(np.abs(np.diff(rr))) / rr.mean())


def p_likeness(signal: np.ndarray, peaks: np.ndarray, rate: float) -> float:
    """Median correlation of the stretch from 250 to 60 ms before R, slope removed, with its mean over beats."""
    stretch = aligned(signal, peaks, rate)[:, : round(0.19 * rate)]
    if len(stretch) < BEATS:
        return float("nan")
    from scipy.signal import detrend

    return likeness(detrend(stretch, axis=1))


def interval_rows(found: Delineation) -> list[dict]:
    """The table of intervals: medians over beats, their number and spread (interquartile range), or why not."""
    qt = _ms(found.marks["qt_onsets"], found.marks["t_offsets"])
    with np.errstate(invalid="ignore"):
        values = {
            "PR": _ms(found.marks["p_onsets"], found.marks["qt_onsets"]),
            "QRS": _ms(found.marks["qrs_onsets"], found.marks["qrs_offsets"]),
            "QT": qt,
            "QTc (Bazett)": _kept(qt, PLAUSIBLE["QT"]) / np.sqrt(found.rr),
            "QTc (Fridericia)": _kept(qt, PLAUSIBLE["QT"]) / np.cbrt(found.rr),
        }
    return [_row(name, values[name], found) for name in NAMES]


def _row(name: str, values: np.ndarray, found: Delineation) -> dict:
    kind = name.split(" ")[0]
    limits = PLAUSIBLE[kind]
    good = values[(values >= limits[0]) & (values <= limits[1])]
    why = found.why.get("", "") or found.why.get(name, "")
    if not why and len(good) < BEATS:
        outside = int(np.isfinite(values).sum() - len(good))
        why = f"{len(good)} beats have both marks within {limits[0]:g} to {limits[1]:g} ms ({outside} outside); "
        why += f"{BEATS} are needed"
    if not why and len(good) < LEAST_SHARE[kind] * len(values):
        why = f"only {len(good)} of {len(values)} beats have both marks within {limits[0]:g} to {limits[1]:g} ms"
    row = {"name": name, "unit": "ms", "beats": len(good)}
    if not why:
        low, middle, high = np.percentile(good, [25, 50, 75]).tolist()
        most = MOST_SPREAD[kind]
        if high - low <= most:
            return row | {"value": round(middle, 1), "spread": round(high - low, 1), "why": ""}
        why = f"the marks differ too much from beat to beat (interquartile range {high - low:.0f} ms; limit {most:g})"
    return row | {"value": None, "spread": None, "why": f"not measurable: {why}"}


def _best_lead(record: Record, rhythm: Lead, part: int) -> tuple[Lead, float]:
    """The lead, and the likeness of its beats; II is taken if it is within 0.02 of the best."""
    import dataclasses

    first = dataclasses.replace(record, signal=record.signal[:, :part])
    best, score = rhythm, float("-inf")
    alive = alive_leads(first)
    for name in (n for n in _PREFERRED if n in alive):
        lead = rhythm if name == rhythm.name else measured_lead(first, name)
        if lead.gap[:part].any():
            continue
        found = likeness(aligned(lead.signal[:part], lead.peaks[lead.peaks < part], record.rate))
        if found > score + 0.02:
            best, score = lead, found
    return best, score


def _complexes(signal: np.ndarray, peaks: np.ndarray, rate: float) -> dict[str, np.ndarray]:
    """Begin and end of QRS; NaN where they are not between the P and the T wave that the same method finds."""
    others = {"p": "ECG_P_Offsets", "t": "ECG_T_Peaks"}
    found = _marks(signal, peaks, rate, "dwt", _QRS | others)
    onset, offset, at = found["qrs_onsets"], found["qrs_offsets"], peaks / rate
    with np.errstate(invalid="ignore"):
        wrong = (onset < found["p"]) | (onset >= at) | (offset <= at) | (offset >= found["t"])
    return {n: np.where(wrong, np.nan, found[n]) for n in _QRS}


def _marks(
    signal: np.ndarray, peaks: np.ndarray, rate: float, method: str, fields: dict[str, str]
) -> dict[str, np.ndarray]:
    """Seconds of the marks of each beat; a :class:`ValueError` where neurokit2 does not give one a beat."""
    from neurokit2 import ecg_delineate

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of beats without room for their waves, which come out as NaN
        _, waves = ecg_delineate(signal, peaks, sampling_rate=round(rate), method=method)
    marks = {}
    for name, key in fields.items():
        values = np.array(waves[key], dtype=np.float64) / rate
        if len(values) != len(peaks):
            raise ValueError(f"{len(values)} {key} for {len(peaks)} beats")
        marks[name] = values
    return marks


def _ms(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    return (last - first) * 1000


def _kept(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return np.where((values >= limits[0]) & (values <= limits[1]), values, np.nan)


def _times(values: np.ndarray) -> list[float]:
    return [round(float(v), 4) for v in values if np.isfinite(v)]
