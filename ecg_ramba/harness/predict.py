"""Prediction of single recordings with trained models, exactly as a target is scored."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_ramba.data.base import lone_record
from ecg_ramba.data.leads import LEADS, canonical_lead
from ecg_ramba.data.record import Record
from ecg_ramba.data.store import prepared_from_record
from ecg_ramba.data.wfdb_header import read_header
from ecg_ramba.data.wfdb_io import read_waveform
from ecg_ramba.errors import RecordError
from ecg_ramba.evaluation.pooling import Pooling, pool
from ecg_ramba.harness.checkpoint import FoldModel
from ecg_ramba.harness.inputs import window_table
from ecg_ramba.harness.probabilities import probabilities


@dataclass(frozen=True)
class Prediction:
    """What fold models say of one recording.

    Parameters
    ----------
    classes : DataFrame
        One row a class: ``class``, ``probability``, ``fold_min``, ``fold_max`` (the fold models' own pooled values),
        ``folds`` (how many were trained on the class).
    leads : tuple of str
        Leads that were read: measured or derived, and alive.
    windows : int
        Windows of 5 s, each predicted by itself.
    """

    classes: pd.DataFrame
    leads: tuple[str, ...]
    windows: int


def predict_record(models: Sequence[FoldModel], record: Record, pooling: Pooling = Pooling()) -> Prediction:
    """Probabilities of one recording, exactly as a target is scored: fold ensemble per window, then pooled once.

    Raises
    ------
    RecordError
        If the recording is too short or has no usable signal.
    """
    data = prepared_from_record(record, models[0].signal)
    table = window_table(data)
    if not len(table):
        raise RecordError(record.record, "it has no window that is at least half inside the recording")
    stack = np.stack([probabilities(m, data, table, np.arange(len(table)), None) for m in models])
    trained = np.isfinite(stack).all(1)
    rows = []
    for c, name in enumerate(models[0].classes):
        of = np.flatnonzero(trained[:, c])
        if not len(of):
            rows.append({"class": name, "probability": np.nan, "fold_min": np.nan, "fold_max": np.nan, "folds": 0})
            continue
        each = np.array([pool(stack[f, :, c], [0], pooling)[0] for f in of])
        together = pool(stack[of, :, c].mean(0), [0], pooling)[0]
        rows.append(
            {"class": name, "probability": together, "fold_min": each.min(), "fold_max": each.max(), "folds": len(of)}
        )
    leads = tuple(lead for lead, there in zip(LEADS, data.leads.any(0), strict=True) if there)
    return Prediction(pd.DataFrame(rows), leads, len(table))


def read_recording(path: Path) -> Record:
    """A single WFDB recording, whatever its data set: FILE, FILE.hea, FILE.mat or FILE.dat.

    Raises
    ------
    RecordError
        If the file is missing or cannot be used.
    """
    if path.is_dir():
        raise RecordError(path, "it is a folder; name its recordings, for example with *.hea")
    header_path = path if path.suffix == ".hea" else path.with_suffix(".hea")
    if not header_path.is_file():
        raise RecordError(
            path, f"no WFDB header {header_path.name} there; name a recording with its .hea beside the signal"
        )
    header = read_header(header_path)
    names = {canonical_lead(s.name) for s in header.signals}
    present = tuple(lead for lead in LEADS if lead in names)
    if not present:
        raise RecordError(header_path, f"none of its leads is one of {', '.join(LEADS)}")
    wave = read_waveform(header, leads=present)
    name, rest = header_path.stem, {"units": wave.units, "warnings": wave.warnings}
    return lone_record("file", name, wave.signal, wave.leads, header.rate, **rest)


def prediction_json(prediction: Prediction, path: Path, models: Sequence[FoldModel]) -> str:
    """The same as one line of JSON; what a fold did not train is null."""
    facts = models[0].facts
    return json.dumps(
        {
            "file": str(path),
            "model": models[0].spec.name,
            "folds": [m.facts["fold"] for m in models],
            "trained_on": facts["source"],
            "synthetic_trained": bool(facts["synthetic"]),
            "leads": list(prediction.leads),
            "windows": prediction.windows,
            "classes": json.loads(prediction.classes.to_json(orient="records")),
        }
    )


def prediction_table(prediction: Prediction, path: Path, models: Sequence[FoldModel]):
    """The probabilities as a terminal table, most likely first, with what the models were trained on."""
    from rich.markup import escape
    from rich.table import Table

    facts, table, n = models[0].facts, prediction.classes, len(models)
    kind = "SYNTHETIC recordings: says nothing of patients" if facts["synthetic"] else f"{facts['source']}"
    title = f"{path.name}: {n} fold model{'s' * (n != 1)} of {models[0].title}, trained on {kind}"
    made = Table("class", "probability", "fold models", "trained folds", title=escape(title))
    for row in table.sort_values("probability", ascending=False, na_position="last").to_dict("records"):
        if row["folds"]:
            spread = f"{row['fold_min']:.3f} to {row['fold_max']:.3f}"
            made.add_row(row["class"], f"{row['probability']:.3f}", spread, str(row["folds"]))
    leads, w = prediction.leads, prediction.windows
    made.caption = f"{w} window{'s' * (w != 1)} of 5 s; {len(leads)} of {len(LEADS)} leads: {', '.join(leads)}."
    untrained = table["class"][table["folds"] == 0]
    if len(untrained):
        made.caption += f" Not trained (too few subjects): {', '.join(untrained)}."
    made.caption += " A research tool, not a medical device."
    return made
