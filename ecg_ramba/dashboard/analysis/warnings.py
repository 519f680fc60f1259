"""What is wrong with a recording's signal, each with the rule that says so.

``quality_warnings`` comes first on the page: a prediction of a bad signal is no better than the signal.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.signal import butter, sosfiltfilt

from ecg_ramba.dashboard.analysis.beats import aligned, alive_leads, band, likeness, twelve
from ecg_ramba.dashboard.analysis.swaps import swap_warnings
from ecg_ramba.data.base import quality_of
from ecg_ramba.data.leads import LEADS
from ecg_ramba.data.record import Record
from ecg_ramba.errors import RecordError
from ecg_ramba.features.rhythm import r_peaks
from ecg_ramba.harness.checkpoint import FoldModel
from ecg_ramba.signal import SignalConfig

NOISE_DB = 10.0
"""Signal from 0.5 to 40 Hz over what is above 40 Hz; the robustness study's stresses are of 20, 10 and 5 dB."""

LIKENESS = 0.5
"""Median correlation of a lead's beats with their mean."""

FLAT_SECONDS, FLAT_RUNS = 0.02, 3
"""A lead is clipped where it stays at its own extreme for so long, so often."""

EINTHOVEN = 0.1
"""Standard deviation of I + III - II as a part of that of II, all filtered; rounding gives about a hundredth."""

JUDGED_SECONDS = 60.0
"""Noise, clipping and swaps are looked for in the first minute, and in as long a stretch from the middle."""


def quality_warnings(record: Record, models: Sequence[FoldModel] | None = None) -> list[dict]:
    """Warnings in the page's form, the gravest kinds first.

    Parameters
    ----------
    record : Record
    models : sequence of FoldModel, optional
        With them, whether the recording is unlike their training data (its first 30 s).
    """
    stretch = _stretch(record)
    found = [*_dead(record), *_missing(record), *_gaps(record), *_noise(stretch), *_clipping(stretch)]
    found += [*swap_warnings(stretch), *_einthoven(stretch), *_short(record), *_rate(record)]
    if models:
        from ecg_ramba.dashboard.analysis.training_range import training_warnings

        try:
            found += training_warnings(models, record)
        except RecordError as error:
            found.append(_warning("unlike_training", f"The models cannot read its first 30 s: {error.cause}."))
    return sorted(found, key=lambda w: w["severity"] != "warning")


def _warning(kind: str, text: str, severity: str = "warning") -> dict:
    return {"kind": kind, "text": text, "severity": severity}


def _stretch(record: Record) -> Record:
    """The part that is judged by its shape: all of a short recording, else its first minute and one from the middle."""
    import dataclasses

    n, samples = int(JUDGED_SECONDS * record.rate), record.signal.shape[1]
    if samples <= 2 * n:
        return record
    middle = samples // 2
    return dataclasses.replace(
        record, signal=np.concatenate([record.signal[:, :n], record.signal[:, middle : middle + n]], axis=1)
    )


def _dead(record: Record) -> list[dict]:
    alive = alive_leads(record)
    dead = [n for n in LEADS if n in record.leads and n not in alive]
    if not dead:
        return []
    return [_warning("dead_lead", f"Flat: lead{'s' * (len(dead) > 1)} {', '.join(dead)}. Taken as not recorded.")]


def _missing(record: Record) -> list[dict]:
    status = dict(zip(LEADS, twelve(_first(record))[1], strict=True))
    derived = [n for n in LEADS if status[n] == "derived"]
    missing = [n for n in LEADS if n not in record.leads and n not in derived]
    found = []
    if missing:
        found.append(_warning("missing_leads", f"Not recorded: {', '.join(missing)}. The model sees them as absent."))
    if derived:
        text = f"Computed from I and II: {', '.join(derived)} (Einthoven, Goldberger)."
        found.append(_warning("missing_leads", text, "info"))
    return found


def _first(record: Record) -> Record:
    import dataclasses

    return dataclasses.replace(record, signal=record.signal[:, : int(JUDGED_SECONDS * record.rate) + 1])


def _gaps(record: Record) -> list[dict]:
    with_gaps = [n for n, row in zip(record.leads, record.signal, strict=True) if not np.isfinite(row).all()]
    if not with_gaps:
        return []
    text = f"Samples that are not numbers in lead{'s' * (len(with_gaps) > 1)} {', '.join(with_gaps)}: "
    return [_warning("noise", text + "bridged by straight lines for measuring; the model does not read them.")]


def _noise(record: Record) -> list[dict]:
    """High-frequency noise against the signal, and beats that are not like each other."""
    noisy, unlike = [], []
    for name in alive_leads(record):
        row = _finite(record, name)
        level = _decibels(row, record.rate)
        if level < NOISE_DB:
            noisy.append(f"{name} ({level:.0f} dB)")
            continue
        lead = band(row, record.rate)
        like = likeness(aligned(lead, r_peaks(lead, record.rate), record.rate))
        if like < LIKENESS:
            unlike.append(f"{name} ({like:.2f})")
    found = []
    if noisy:
        rule = f"what is above 40 Hz is less than {NOISE_DB:g} dB below what is within 0.5 to 40 Hz"
        found.append(_warning("noise", f"Noise in {', '.join(noisy)}: {rule}."))
    if unlike:
        rule = f"beats whose median correlation with their mean is below {LIKENESS:g}"
        found.append(_warning("noise", f"No constant beat in {', '.join(unlike)}: {rule}."))
    return found


def _decibels(row: np.ndarray, rate: float) -> float:
    """Power from 0.5 to 40 Hz over the power above; infinite where the rate holds nothing above."""
    config = SignalConfig()
    if rate <= 2.2 * config.high:
        return float("inf")
    above = sosfiltfilt(butter(4, config.high, "highpass", fs=rate, output="sos"), row)
    noise, signal = float(above.std()), float(band(row, rate).std())
    return 20 * np.log10(signal / noise) if noise > 0 and signal > 0 else float("inf")


def _clipping(record: Record) -> list[dict]:
    clipped = [name for name in alive_leads(record) if _flat_runs(_finite(record, name), record.rate) >= FLAT_RUNS]
    if not clipped:
        return []
    rule = f"it stays at its own highest or lowest value for {1000 * FLAT_SECONDS:g} ms or longer, {FLAT_RUNS} times"
    return [_warning("clipping", f"Clipped: lead{'s' * (len(clipped) > 1)} {', '.join(clipped)}: {rule} or more.")]


def _flat_runs(row: np.ndarray, rate: float) -> int:
    least = max(3, round(FLAT_SECONDS * rate))
    runs = 0
    for extreme in (row.max(), row.min()):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], row == extreme, [False]]).astype(np.int8)))
        runs += int(((edges[1::2] - edges[::2]) >= least).sum())
    return runs


def _einthoven(record: Record) -> list[dict]:
    if not {"I", "II", "III"} <= set(alive_leads(record)) or not np.isfinite(record.signal).all():
        return []
    names = ("I", "II", "III")
    limb = np.array([band(_finite(record, n), record.rate) for n in names])  # baselines wander lead by lead in some
    off = quality_of(limb, names, record.units).einthoven
    if not off > EINTHOVEN:
        return []
    text = f"I + III is not II (off by {100 * off:.0f} % of II; limit {100 * EINTHOVEN:g} %): a limb lead has another "
    return [_warning("swap", text + "name, sign or gain, or the leads were not recorded together.")]


def _short(record: Record) -> list[dict]:
    seconds = record.seconds
    if seconds < 5:
        return [_warning("short", f"{seconds:.2f} s: the model reads windows of 5 s, so there is no prediction.")]
    if seconds < 10:
        text = f"{seconds:.1f} s, shorter than the 10 s that the model was trained on: the rest is padded."
        return [_warning("short", text)]
    return []


def _rate(record: Record) -> list[dict]:
    if record.rate < 80:
        text = f"{record.rate:g} samples per second cannot hold the 40 Hz that the model reads: no prediction."
        return [_warning("rate", text)]
    if record.rate < 250:
        text = f"{record.rate:g} samples per second: intervals are coarse (500 are recommended; Kligfield et al. 2007)."
        return [_warning("rate", text)]
    if record.rate != 500:
        return [_warning("rate", f"{record.rate:g} samples per second, resampled to 500 for the model.", "info")]
    return []


def _finite(record: Record, name: str) -> np.ndarray:
    row = record.signal[record.leads.index(name)].astype(np.float64)
    return row[np.isfinite(row)]
