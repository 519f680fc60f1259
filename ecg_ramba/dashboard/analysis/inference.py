"""Prediction of a recording, window by window and fold by fold, so that any pooling is one step away.

The window probabilities are those of :func:`ecg_ramba.harness.predict.predict_record`: for a recording up to
:data:`ecg_ramba.dashboard.analysis.pieces.WHOLE_SECONDS`, pooled figures are equal to its.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecg_ramba.dashboard.analysis.groups import group_distribution
from ecg_ramba.dashboard.analysis.pieces import WHOLE_SECONDS, Piece, piece_bounds, pieces
from ecg_ramba.dashboard.analysis.poolings import POOLINGS
from ecg_ramba.dashboard.analysis.streams import HOW, TITLES, removable, without
from ecg_ramba.data.labels import TITLES as CLASS_TITLES
from ecg_ramba.data.record import Record
from ecg_ramba.errors import RecordError
from ecg_ramba.evaluation.pooling import Pooling, pool
from ecg_ramba.features.standardise import state_digest
from ecg_ramba.harness.checkpoint import FoldModel
from ecg_ramba.harness.probabilities import checked_probabilities, model_source, predict_source
from ecg_ramba.keys import digest
from ecg_ramba.signal import WINDOW

THRESHOLD = 0.5
"""A class is called at this probability, as in the reports' F1; it is not tuned."""

STREAM_SEGMENTS = 90
"""Most segments (10 s) of a recording, evenly spread, on which streams are taken away: three more passes over each."""

SYNTHETIC = "trained on synthetic recordings: says nothing of patients"
RESEARCH = "a research tool, not a medical device"

Report = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True, kw_only=True)
class Inference:
    """Window probabilities of all fold models, with and without each stream.

    Parameters
    ----------
    facts : dict
        The model's (:func:`model_facts`), what was left out (``notes``), model-related ``warnings``.
    start, stop : (N,) float64 arrays
        Seconds of each window from the recording's begin; ``stop`` is not beyond its end.
    probability : (F, N, C) float32 array
        By fold model, window and class; NaN where a fold was not trained on a class.
    subset : (M,) int array
        Windows on which streams were taken away.
    removed : (S, F, M, C) float32 array
        Their probabilities without each of the ``streams`` of the facts, in that order.
    """

    facts: dict[str, Any]
    start: np.ndarray
    stop: np.ndarray
    probability: np.ndarray
    subset: np.ndarray
    removed: np.ndarray

    def json(self, pooling: Pooling = Pooling()) -> dict:
        """As the page and other programs get it."""
        model = self.facts["model"]
        names = model["classes"]
        trained = np.isfinite(self.probability).all(1)
        pooled = [_pooled(self.probability[:, :, c], trained[:, c], pooling) for c in range(len(names))]
        probability = {n: p and p["probability"] for n, p in zip(names, pooled, strict=True)}
        groups, rule = group_distribution(probability)
        return {
            "model": model,
            "pooling": next((n for n, p in POOLINGS.items() if p == pooling), pooling.title),
            "poolings": [{"name": n, "title": p.title} for n, p in POOLINGS.items()],
            "classes": [_class(n, p) for n, p in zip(names, pooled, strict=True)],
            "groups": groups,
            "rule": rule,
            "windows": self._windows(trained),
            "streams": self._streams(trained, pooling),
            "notes": self.facts["notes"],
            "warnings": self.facts["warnings"],
            "synthetic": model["synthetic"],
            "not_for_use": SYNTHETIC if model["synthetic"] else RESEARCH,
        }

    def _windows(self, trained: np.ndarray) -> list[dict]:
        names, some = self.facts["model"]["classes"], trained.any(0)
        mean = _fold_means(self.probability, trained)
        used = [(c, names[c]) for c in np.flatnonzero(some)]
        rows = np.round(mean.astype(float), 6).tolist()
        return [
            {"start": round(a, 3), "stop": round(b, 3), "probability": {name: row[c] for c, name in used}}
            for a, b, row in zip(self.start.tolist(), self.stop.tolist(), rows, strict=True)
        ]

    def _streams(self, trained: np.ndarray, pooling: Pooling) -> list[dict] | None:
        model = self.facts["model"]
        if not self.facts["removed"]:
            return None
        whole = self.probability[:, self.subset]
        said = []
        for name, lacking in zip(self.facts["removed"], self.removed, strict=True):
            change = {}
            for c, cls in enumerate(model["classes"]):
                before = _pooled(whole[:, :, c], trained[:, c], pooling)
                after = _pooled(lacking[:, :, c], trained[:, c], pooling)
                if before and after:
                    change[cls] = after["probability"] - before["probability"]
            said.append({"stream": name, "title": TITLES[name], "change": change, "how": HOW[name]})
        return said


def infer(models: Sequence[FoldModel], record: Record, report: Report = silent, facts: dict | None = None) -> Inference:
    """What the fold models say of every window, and what they say without each stream.

    Parameters
    ----------
    models : sequence of FoldModel
        As :func:`ecg_ramba.harness.trained.load_models` returns them.
    record : Record
    report : callable
        Called with ("predicting", steps done, steps in all).
    facts : dict, optional
        :func:`model_facts` of the models, where they are known already.

    Raises
    ------
    RecordError
        If the recording is too short, has samples that are not numbers, or has no usable signal.
    """
    from ecg_ramba.dashboard.analysis.training_range import TrainingRange

    facts = facts or model_facts(models)
    parts = list(pieces(record, models[0].signal))
    if not parts:
        raise RecordError(record.record, "no stretch of it can be read: samples that are no numbers, or flat leads")
    names = removable(models[0])
    step = -(-sum(p.windows for p in parts) // (3 * STREAM_SEGMENTS))
    steps, range_ = len(parts) * len(models), TrainingRange(models)
    found = []
    for number, part in enumerate(parts):
        data, table = part.prepared(models[0].signal)
        rows = np.arange(len(table))
        chosen = np.flatnonzero(table.at % step == 0) if names else rows[:0]
        whole, lacking = [], []
        for fold, model in enumerate(models):
            report("predicting", number * len(models) + fold, steps)
            source, of = model_source(model, data, table, rows, None)
            range_.add(fold, source)
            whole.append(_by_window(checked_probabilities(model, source), of))
            lacking.append([_without(model, source, of, chosen, name) for name in names])
        start = part.start + data.start[table.at] + table.start / models[0].signal.rate
        inside = np.minimum(data.valid[table.at] - table.start, WINDOW) / models[0].signal.rate
        shape = (len(names), len(models), len(chosen), len(models[0].classes))
        gone = np.array(lacking, np.float32).swapaxes(0, 1) if names else np.zeros(shape, np.float32)
        found.append((start, start + inside, np.stack(whole), part.first + chosen, gone))
    report("predicting", steps, steps)
    start, stop, probability, subset, removed = zip(*found, strict=True)
    return Inference(
        facts={
            "model": facts,
            "removed": names,
            "notes": _notes(record, parts, step if names else 1),
            "warnings": range_.warnings(record),
        },
        start=np.concatenate(start),
        stop=np.concatenate(stop),
        probability=np.concatenate(probability, axis=1),
        subset=np.concatenate(subset),
        removed=np.concatenate(removed, axis=2),
    )


def model_facts(models: Sequence[FoldModel], digest: str | None = None) -> dict:
    """What a reader should know of the models, as the page shows it.

    Parameters
    ----------
    models : sequence of FoldModel
    digest : str, optional
        Name of the models' content; by default :func:`models_digest`.
    """
    from ecg_ramba.dashboard.analysis.saliency import explains

    first = models[0]
    return {
        "name": first.title,
        "folds": len(models),
        "trained_on": first.facts["source"],
        "synthetic": bool(first.facts["synthetic"]),
        "digest": digest or models_digest(models),
        "classes": list(first.classes),
        "streams": removable(first),
        "threshold": THRESHOLD,
        "saliency": explains(first),
    }


def models_digest(models: Sequence[FoldModel]) -> str:
    """SHA-256 over everything fitted and every setting of the models, whatever files they came from."""
    return digest(
        [
            [
                state_digest(m.weights()),
                m.morphology.digest if m.morphology else "",
                m.rhythm.digest if m.rhythm else "",
                m.spec.name,
                m.config,
                m.signal,
                m.features,
                m.inputs,
                list(m.classes),
                m.trained.tolist(),
            ]
            for m in models
        ]
    )


def _by_window(p: np.ndarray, of: np.ndarray | None) -> np.ndarray:
    return p if of is None else p[of]


def _without(model: FoldModel, source, of: np.ndarray | None, chosen: np.ndarray, name: str) -> np.ndarray:
    """Probabilities (M, C) of some windows without a stream."""
    needed, back = (chosen, np.arange(len(chosen))) if of is None else np.unique(of[chosen], return_inverse=True)
    some = dataclasses.replace(without(source, name, model), rows=source.rows[needed])
    return predict_source(model, model.fitted, some)[back]


def _pooled(p: np.ndarray, trained: np.ndarray, pooling: Pooling) -> dict | None:
    """The fold ensemble's pooled probability, and the fold models' own; None where no fold was trained."""
    of = np.flatnonzero(trained)
    if not len(of):
        return None
    each = [float(pool(p[f], [0], pooling)[0]) for f in of]
    together = float(pool(p[of].mean(0), [0], pooling)[0])
    return {"probability": together, "fold_min": min(each), "fold_max": max(each), "folds": len(of)}


def _fold_means(p: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """(N, C): mean over the folds that were trained on a class; NaN for none."""
    out = np.full(p.shape[1:], np.nan, np.float32)
    for c in np.flatnonzero(trained.any(0)):
        out[:, c] = p[trained[:, c], :, c].mean(0)
    return out


def _class(name: str, pooled: dict | None) -> dict:
    about = {"class": name, "title": CLASS_TITLES[name], "threshold": THRESHOLD}
    if pooled is None:
        nothing = {"probability": None, "fold_min": None, "fold_max": None, "folds": 0, "positive": False}
        return about | nothing | {"why": "not trained: too few subjects"}
    return about | pooled | {"positive": pooled["probability"] >= THRESHOLD, "why": ""}


def _notes(record: Record, parts: list[Piece], step: int) -> list[str]:
    notes = []
    if len(piece_bounds(record)) > 1:
        minutes = WHOLE_SECONDS // 60
        notes.append(f"Read in pieces of {minutes} minutes, each filtered and scaled by itself.")
        read = sum(p.record.seconds for p in parts)
        if record.seconds - read > 1:
            lost = (record.seconds - read) / 60
            notes.append(
                f"{lost:.0f} minutes were left out: pieces with samples that are no numbers, or with flat leads only."
            )
    if step > 1:
        notes.append(f"Streams were taken away on one in {step} segments of 10 s, evenly spread.")
    return notes
