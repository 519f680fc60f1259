"""What is computed of a recording, as files in its folder: measurements, predictions, saliency, the PDF.

Runs in the process that has the models loaded (:mod:`ecg_ramba.dashboard.model_process`).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_ramba.dashboard.analysis.poolings import DEFAULT_POOLING, POOLINGS
from ecg_ramba.dashboard.levels import read_lead
from ecg_ramba.data.base import lone_record, quality_of
from ecg_ramba.data.record import Quality, Record
from ecg_ramba.errors import UserError
from ecg_ramba.files import read_json, write_atomic, write_text

Report = Callable[[str, int, int], None]

MOST_SALIENCIES = 100
"""Kept with a recording, those that were computed last."""


@dataclass(frozen=True)
class Loaded:
    """Fold models, and what is said of them."""

    models: Sequence
    facts: Mapping


def record_of(folder: Path, name: str) -> Record:
    """A recording as the project's other parts take it: the leads that were measured, in millivolts."""
    facts = read_json(folder / "signal.json")
    leads = tuple(lead["name"] for lead in facts["leads"] if lead["status"] in ("measured", "dead"))
    signal = np.stack([read_lead(folder / f"{lead}.lead", facts["samples"]) for lead in leads])
    whole = np.isfinite(signal).all()
    quality = quality_of(signal, leads) if whole else Quality()
    return lone_record("uploaded", name, signal, leads, facts["rate"], quality=quality)


def analyse(loaded: Loaded | None, folder: str, name: str, report: Report) -> dict:
    """Measure a recording, and predict it if there are models.

    Returns
    -------
    dict
        ``summary`` of the item, and ``error``: why it has no prediction though there are models ("" if it has).

    Raises
    ------
    UserError
        If it cannot be measured either.
    """
    from ecg_ramba.dashboard.analysis.measurements import measure
    from ecg_ramba.dashboard.analysis.warnings import quality_warnings

    place = Path(folder)
    report("measuring", 0, 1)
    record = record_of(place, name)
    measured = measure(record)
    measured["warnings"] = quality_warnings(record)
    _write(place / "measurements.json", measured)  # they can be read while it is predicted
    prediction, error = None, ""
    forget_predictions(place)
    if loaded:
        report("predicting", 0, 1)
        try:
            prediction = _predict(loaded, record, place, report)
        except UserError as refused:
            error = f"no prediction: {getattr(refused, 'cause', refused)}"
        else:  # of these, what the models say of the whole recording, as they read it
            measured["warnings"] += prediction["warnings"]
            _write(place / "measurements.json", measured)
    return {"summary": summary_of(measured, prediction), "error": error}


def summary_of(measured: Mapping, prediction: Mapping | None) -> dict:
    """A recording in a line of the worklist."""
    summary = {
        "group": None,
        "probability": None,
        "heart_rate": measured["heart_rate"]["mean"],
        "warnings": sum(w["severity"] == "warning" for w in measured["warnings"]),
    }
    known = [g for g in prediction["groups"] if g["probability"] is not None] if prediction else []
    if known:
        highest = max(known, key=lambda g: g["probability"])
        summary |= {"group": highest["group"], "probability": highest["probability"]}
    return summary


def forget_predictions(folder: Path) -> None:
    """Remove what models have said of a recording before: it may have been others, and saliencies do not say which."""
    for pattern in ("prediction-*.json", "windows.json", "saliency-*.json"):
        for path in folder.glob(pattern):
            path.unlink()


def _predict(loaded: Loaded, record: Record, folder: Path, report: Report) -> dict:
    """Predict, and keep what each pooling makes of it; the windows, which are the same for all, once."""
    from ecg_ramba.dashboard.analysis.inference import infer

    found = infer(loaded.models, record, report, dict(loaded.facts))
    default = None
    for name, pooling in POOLINGS.items():
        answer = found.json(pooling)
        default = default or answer
        windows = answer.pop("windows")
        if name == DEFAULT_POOLING:
            _write(folder / "windows.json", windows)
        _write(folder / f"prediction-{name}.json", answer)
    return default


def prediction_of(folder: Path, pooling: str) -> dict | None:
    """A stored prediction as the page gets it; None where there is none."""
    if not (folder / f"prediction-{pooling}.json").is_file():
        return None
    return read_json(folder / f"prediction-{pooling}.json") | {"windows": read_json(folder / "windows.json")}


def saliency(loaded: Loaded | None, folder: str, name: str, asked: Mapping) -> dict:
    """Compute a saliency and keep it.

    Parameters
    ----------
    asked : mapping
        ``cls``, ``method`` and ``window``, checked by the caller.
    """
    from ecg_ramba.dashboard.analysis import saliency as method

    if not loaded:
        raise UserError("there are no models whose saliency could be shown")
    found = method.saliency(
        loaded.models, record_of(Path(folder), name), asked["cls"], asked["method"], asked["window"]
    )
    _write(saliency_path(Path(folder), **asked), found)
    kept = sorted(Path(folder).glob("saliency-*.json"), key=lambda path: path.stat().st_mtime_ns)
    for path in kept[:-MOST_SALIENCIES]:
        path.unlink()
    return found


def saliency_path(folder: Path, cls: str, method: str, window: int) -> Path:
    """Where a saliency is kept; the names are those of classes and methods that exist."""
    return folder / f"saliency-{cls}-{method}-{window}.json"


def document(loaded: Loaded | None, folder: str, name: str, pooling: str) -> None:
    """Write ``report.pdf``, with what ``facts.json`` says of where the recording comes from."""
    from ecg_ramba.dashboard.analysis.document import write_pdf

    place = Path(folder)
    record, prediction = record_of(place, name), prediction_of(place, pooling)
    measured, facts = read_json(place / "measurements.json"), read_json(place / "facts.json")
    write_atomic(place / "report.pdf", lambda p: write_pdf(p, record, name, measured, prediction, facts))


def _write(path: Path, value) -> None:
    write_text(path, json.dumps(value, allow_nan=False))
