"""Reading a recording, from the files that were sent to leads on disk: runs in a limited process.

First the file is read as it is; what is not known becomes questions, and its values wait in ``raw.f32``. With every
answer there, the twelve leads are written in millivolts, each with its levels of detail.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ecg_ramba.dashboard.formats.reading import Reading
from ecg_ramba.dashboard.formats.sniff import read_files
from ecg_ramba.dashboard.formats.understand import LEFT_OUT, Understood, understand
from ecg_ramba.dashboard.levels import levels_of, read_lead, write_lead
from ecg_ramba.data.leads import LEADS
from ecg_ramba.files import read_json, write_atomic, write_json

DERIVED = {"III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}
"""What follows from I and II, as in :func:`ecg_ramba.data.leads.to_twelve`: one lead at a time, for long recordings."""

PREVIEW_S = 10.0
PREVIEW_PAIRS = 300


def read(files: Mapping[str, str], name: str, kind: str, folder: str, answers: Mapping, hours: float) -> dict:
    """Read what was sent.

    Parameters
    ----------
    files : mapping
        The names that files were sent under, and where they lie.
    name : str
        Of the recording, for messages.
    kind : str
        The format, as :func:`ecg_ramba.dashboard.formats.sniff.kind_of` told it.
    folder : str
        The recording's own folder.
    answers : mapping
        As far as a person gave them already.
    hours : float
        Longest recording that is taken.

    Returns
    -------
    dict
        ``format``, ``understood``, ``questions``, ``preview`` of an item.
    """
    reading = read_files({sent: Path(path) for sent, path in files.items()}, name, kind)
    return _settle(reading, Path(folder), answers, hours, stored=False)


def answer(folder: str, answers: Mapping, hours: float) -> dict:
    """The same for a recording whose questions have been answered: from its values as they were read."""
    facts = read_json(Path(folder) / "raw.json")
    shape = (len(facts["names"]), facts["samples"])
    reading = Reading(
        format=facts["format"],
        signal=np.memmap(Path(folder) / "raw.f32", dtype="<f4", mode="r", shape=shape),
        names=tuple(facts["names"]),
        units=tuple(facts["units"]),
        rate=facts["rate"],
        notes=tuple(facts["notes"]),
    )
    return _settle(reading, Path(folder), answers, hours, stored=True)


def _settle(reading: Reading, folder: Path, answers: Mapping, hours: float, stored: bool) -> dict:
    understood = understand(reading, answers, hours)
    if understood.questions:
        if not stored:
            _keep_raw(reading, folder)
    else:
        _write_leads(reading, understood, folder)
    return {
        "format": reading.format,
        "understood": understood.json(),
        "questions": understood.questions_json(),
        "preview": _preview(reading, understood),
    }


def _keep_raw(reading: Reading, folder: Path) -> None:
    values = np.ascontiguousarray(reading.signal, dtype="<f4")
    write_atomic(folder / "raw.f32", values.tofile)
    facts = {"format": reading.format, "names": reading.names, "units": reading.units, "rate": reading.rate}
    write_json(folder / "raw.json", facts | {"notes": reading.notes, "samples": values.shape[1]})


def _write_leads(reading: Reading, understood: Understood, folder: Path) -> None:
    """Twelve leads in millivolts, those that follow from I and II included; notes on what is missing."""
    status = dict.fromkeys(LEADS, "missing")
    for i, lead in enumerate(understood.leads):
        if lead != LEFT_OUT:
            values = reading.signal[i].astype(np.float32)
            values *= np.float32(understood.scale[i])
            status[lead] = _write_measured(values, lead, understood, folder)
    if status["I"] == status["II"] == "measured":
        one, two = (read_lead(folder / f"{lead}.lead", understood.samples) for lead in ("I", "II"))
        for lead, (of_one, of_two) in DERIVED.items():
            if status[lead] == "missing":
                write_lead(folder / f"{lead}.lead", np.float32(of_one) * one + np.float32(of_two) * two)
                status[lead] = "derived"
    derived = [lead for lead in LEADS if status[lead] == "derived"]
    if derived:
        understood.notes.append(f"{', '.join(derived)} derived from I and II")
    signal = {
        "leads": [{"name": lead, "status": status[lead]} for lead in LEADS],
        "rate": understood.rate,
        "samples": understood.samples,
        "seconds": understood.samples / understood.rate,
        "levels": levels_of(understood.samples),
    }
    write_json(folder / "signal.json", signal)


def _write_measured(values: np.ndarray, lead: str, understood: Understood, folder: Path) -> str:
    """Write a lead; what became of it."""
    values[~np.isfinite(values)] = np.nan
    gaps = int(np.isnan(values).sum())
    if gaps == len(values):
        understood.notes.append(f"{lead} has no sample that is a number")
        return "missing"
    if gaps:
        understood.notes.append(f"{lead}: {gaps} of {len(values)} samples are missing")
    write_lead(folder / f"{lead}.lead", values)
    return "dead" if np.nanmin(values) == np.nanmax(values) else "measured"


def _preview(reading: Reading, understood: Understood) -> dict:
    """A few hundred values of one lead's first seconds, in the units of the file: low and high of each stretch."""
    leads = understood.leads
    row = leads.index("II") if "II" in leads else next((i for i, lead in enumerate(leads) if lead != LEFT_OUT), 0)
    samples = understood.samples
    if understood.rate:
        samples = min(samples, max(2, round(PREVIEW_S * understood.rate)))
    else:
        samples = min(samples, 5000)
    values = np.asarray(reading.signal[row, :samples], dtype=np.float64)
    if samples > 2 * PREVIEW_PAIRS:
        edges = np.linspace(0, samples, PREVIEW_PAIRS + 1).astype(int)
        low = np.fmin.reduceat(values, edges[:-1])
        high = np.fmax.reduceat(values, edges[:-1])
        rising = values[edges[:-1]] <= values[edges[1:] - 1]
        pairs = np.where(rising[:, None], np.stack([low, high], 1), np.stack([high, low], 1))
        values = pairs.ravel()
    name = leads[row] if leads[row] != LEFT_OUT else reading.names[row] or "1"
    return {
        "lead": name,
        "seconds": samples / understood.rate if understood.rate else None,
        "values": [float(f"{v:.4g}") if np.isfinite(v) else None for v in values],
    }
