"""Which units of a task stressed windows can be scored on, and the task with these alone."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.intervals import Draws
from ecg_ramba.evaluation.measure import TaskContext, short_draws
from ecg_ramba.evaluation.predictions import Predictions
from ecg_ramba.evaluation.suite import untrained
from ecg_ramba.evaluation.support import class_support, headline
from ecg_ramba.evaluation.units import Units
from studies.robustness.data import Recording


def scored_units(
    context: TaskContext, windows: Predictions, recordings: Iterable[Recording], moved: float
) -> np.ndarray:
    """Which units of a task stressed windows can be scored on.

    Parameters
    ----------
    context : TaskContext
    windows : Predictions
        Under the stress.
    recordings : iterable of Recording
        Those of the data set that were chosen.
    moved : float
        Seconds by which recordings begin later.

    Returns
    -------
    (n_units,) bool array
        Of a task that scores recordings: those of which every segment was predicted, since the label of a whole
        recording need not hold of a part. Of one that scores segments: those that were predicted; where recordings
        begin later, only those whose next segment (after the last comes the first) has the same labels, since part of
        that has moved in.
    """
    units = context.units
    pairs = pd.MultiIndex.from_arrays([windows.record.astype(str), windows.segment]).unique()
    size = {r.name: r.segments for r in recordings}
    if context.task.unit == "record":
        counts = pairs.get_level_values(0).value_counts().to_dict()
        return np.array([counts.get(r, 0) == size.get(r, -1) for r in units.record], dtype=bool)
    there = pd.MultiIndex.from_arrays([units.record.astype(str), units.segment]).isin(pairs)
    if moved:
        wraps = {r.name for r in recordings if not r.tail}
        place = {pair: i for i, pair in enumerate(zip(units.record, units.segment.tolist(), strict=True))}
        after = np.array([place.get((r, 0 if s + 1 == size.get(r) and r in wraps else s + 1), -1) for r, s in place])
        same = (units.positive[after] == units.positive).all(1) & (units.known[after] == units.known).all(1)
        there &= same & (after >= 0)
    return there


def restricted(evaluation: Evaluation, context: TaskContext, mask: np.ndarray) -> TaskContext:
    """A task with some of its units: support, headline and draws as the evaluation makes them, of these alone.

    With all units it is the evaluation's own: the same draws of subjects, to the bit.
    """
    suite, config, task, u = evaluation.suite, evaluation.config, context.task, context.units
    who, subject = np.unique(u.subject[mask], return_inverse=True)
    units = Units(
        record=u.record[mask],
        segment=u.segment[mask],
        subject=subject,
        subjects=u.subjects[who],
        fold=u.fold[mask],
        positive=u.positive[mask],
        known=u.known[mask],
        paced=u.paced[mask],
    )
    support = class_support(task, units, suite.folds, untrained(suite))
    head = headline(task, support, config)
    draws = Draws.of((task.name, task.dataset), units.strata, suite.n_seeds, config.draws, config.seed)
    wanted = {s.name for s in support if s.meets(1, config.interval_subjects)} | set(head.classes)
    short = {s.name: short_draws(units, k, s, draws, False) for k, s in enumerate(support)}
    by_name = {s.name: s for s in support}
    return TaskContext(task, units, by_name, head, draws, frozenset(wanted), frozenset(), short, level=config.level)


def counts(context: TaskContext, classes: tuple[str, ...]) -> dict[str, int]:
    """Units, subjects, positives (summed over classes) and subjects that are positive for any of the classes."""
    units, names = context.units, [s.name for s in context.task.scores]
    chosen = [context.support[c] for c in classes]
    scored = np.any([s.scored for s in chosen], axis=0)
    positive = np.any([s.scored & units.positive[:, names.index(s.name)] for s in chosen], axis=0)
    return {
        "units": int(scored.sum()),
        "subjects": len(np.unique(units.subject[scored])),
        "positives": sum(s.positives for s in chosen),
        "positive_subjects": len(np.unique(units.subject[positive])),
    }
