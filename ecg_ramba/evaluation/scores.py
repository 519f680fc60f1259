"""Window probabilities -> one score a unit and task class, for the source and for targets."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.pooling import Pooling, pool
from ecg_ramba.evaluation.predictions import Predictions
from ecg_ramba.evaluation.suite import Score, Task, grouped_starts
from ecg_ramba.evaluation.units import Units

DECIMALS = 9
"""Pooled scores are rounded before ranking, so that a constant model scores exactly 0.5 whatever its pooling."""


@dataclass(frozen=True)
class UnitScores:
    """Scores of a task's units.

    Parameters
    ----------
    headline : (n_seeds, n_units, K) float64 array
        Source: the held-out fold's model. Target: window probabilities averaged over the fold models, then pooled once.
    folds : (n_seeds, n_folds, n_units, K) float64 array or None
        Targets: each fold model's own score; None at the source.
    """

    headline: np.ndarray
    folds: np.ndarray | None


def nan_mean(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Mean over what is not NaN along an axis; NaN where nothing is."""
    finite = np.isfinite(values)
    n = finite.sum(axis=axis)
    total = np.where(finite, values, 0).sum(axis=axis, dtype=np.float64)
    return np.divide(total, n, out=np.full(n.shape, np.nan), where=n > 0)


def class_scores(probability: np.ndarray, classes: tuple[str, ...], scores: tuple[Score, ...]) -> np.ndarray:
    """Task scores of windows: ``max`` or ``1 - max`` over model classes, leaving untrained (NaN) ones out.

    Parameters
    ----------
    probability : (..., C) array
    classes : tuple of C str
    scores : tuple of K Score

    Returns
    -------
    (..., K) float64 array; NaN where none of a score's classes was trained.
    """
    out = np.empty((*probability.shape[:-1], len(scores)))
    for k, score in enumerate(scores):
        columns = [classes.index(c) for c in score.of]
        value = np.fmax.reduce(probability[..., columns].astype(np.float64), axis=-1)
        out[..., k] = 1 - value if score.op == "1-max" else value
    return out


def window_units(predictions: Predictions, task: Task, units: Units, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Windows that belong to the task's units, in unit order, and where each unit starts among them.

    Raises
    ------
    UserError
        If a unit has no window.
    """
    records, unit_code = np.unique(units.record, return_inverse=True)
    code = pd.Index(records).get_indexer(predictions.record)
    if task.unit == "record":
        unit = code
    else:
        span = max(units.segment.max(), predictions.segment.max()) + 1
        unit = pd.Index(unit_code * span + units.segment).get_indexer(code * span + predictions.segment)
        unit = np.where(code < 0, -1, unit)
    order = np.argsort(unit, kind="stable")
    order = order[unit[order] >= 0]
    missing = np.setdiff1d(np.arange(len(units)), unit)
    if len(missing):
        raise UserError(
            f"{where}: {len(missing)} {task.unit}s of task {task.name} have no prediction, "
            f"{units.record[missing[0]]} among them; run the suite again"
        )
    return order, grouped_starts(unit[order])


def unit_scores(predictions: Predictions, task: Task, units: Units, pooling: Pooling, where: str) -> UnitScores:
    """Scores of every unit of a task.

    Parameters
    ----------
    predictions : Predictions
        Of the task's data set.
    task, units : Task, Units
    pooling : Pooling
    where : str
        File name, for messages.
    """
    unknown = sorted({c for s in task.scores for c in s.of} - set(predictions.classes))
    if unknown:
        raise UserError(
            f"{where}: no column for {', '.join(unknown)}, which task {task.name} scores; run the suite again"
        )
    order, starts = window_units(predictions, task, units, where)

    def pooled(windows: np.ndarray) -> np.ndarray:  # (W, C) -> (n_units, K)
        return np.round(pool(class_scores(windows, predictions.classes, task.scores), starts, pooling), DECIMALS)

    probability = predictions.probability[:, :, order]
    if task.source:
        return UnitScores(np.stack([pooled(p[0]) for p in probability]), None)
    headline = np.stack([pooled(nan_mean(p)) for p in probability])
    return UnitScores(headline, np.stack([[pooled(fold) for fold in p] for p in probability]))
