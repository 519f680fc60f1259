"""Unit scores under several poolings from one pass over the stored windows, and what they are taken over."""

from collections.abc import Sequence

import numpy as np

from ecg_ramba.evaluation.config import NO_SUPPORT, EvaluationConfig
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.measure import TaskContext
from ecg_ramba.evaluation.pooling import Pooling, pool
from ecg_ramba.evaluation.predictions import Predictions
from ecg_ramba.evaluation.rows import MACRO
from ecg_ramba.evaluation.scores import DECIMALS, class_scores, nan_mean, window_units
from ecg_ramba.evaluation.suite import Task, Variant
from ecg_ramba.evaluation.units import Units

POOLINGS = (Pooling(rule="geometric"), *(Pooling(q=q) for q in (1.0, 2.0, 3.0, 5.0, 8.0)), Pooling(rule="max"))
"""In order of their exponents; Q = 1 is the mean."""
DEFAULT = Pooling()
"""The protocol's."""


def label(pooling: Pooling) -> str:
    """A short name, as on the axis of a figure."""
    return {"geometric": "geometric", "max": "max"}.get(pooling.rule, f"Q = {pooling.exponent:g}")


def pooled_scores(
    predictions: Predictions, task: Task, units: Units, poolings: Sequence[Pooling], where: str
) -> list[np.ndarray]:
    """Headline scores of every unit under several poolings, from one pass over the windows.

    Parameters
    ----------
    predictions : Predictions
        Of the task's data set.
    task, units : Task, Units
    poolings : sequence of Pooling
    where : str
        File name, for messages.

    Returns
    -------
    list of (n_seeds, n_units, K) float64 arrays
        As ``scores.unit_scores(…).headline`` gives them, one a pooling.
    """
    order, starts = window_units(predictions, task, units, where)
    per_seed = []
    for p in predictions.probability[:, :, order]:
        windows = class_scores(p[0] if task.source else nan_mean(p), predictions.classes, task.scores)
        per_seed.append([np.round(pool(windows, starts, rule), DECIMALS) for rule in poolings])
    return [np.stack(of) for of in zip(*per_seed, strict=True)]


def own_windows(evaluation: Evaluation) -> list[Variant]:
    """Variants with windows of their own and numbers, the reference first: other poolings of the same windows go."""
    found = [v for v in evaluation.suite.variants if v.kind != "pooling" and v.name not in evaluation.failures]
    return sorted(found, key=lambda v: not v.reference)


def figures_of(context: TaskContext, config: EvaluationConfig) -> list[tuple[str, tuple[str, ...], str]]:
    """A task's headline figures: (class or macro, classes, support); none where it has no figure."""
    head = context.head
    if head.support == NO_SUPPORT:
        return []
    if head.macro:
        return [(MACRO, head.classes, head.support)]
    levels = [(c, (c,), context.support[c].level(config)) for c in head.classes]
    return [made for made in levels if made[2] != NO_SUPPORT]
