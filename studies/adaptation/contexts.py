"""A task on its test subjects alone: units, support, headline and draws, the same for every model, share and draw."""

import dataclasses

import numpy as np

from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.intervals import Draws
from ecg_ramba.evaluation.measure import TaskContext, short_draws
from ecg_ramba.evaluation.suite import untrained
from ecg_ramba.evaluation.support import class_support, headline
from ecg_ramba.evaluation.units import Units
from studies.adaptation.calibrate import unit_rows
from studies.adaptation.split import TargetSplit


def some_units(units: Units, chosen: np.ndarray) -> Units:
    """These units (n,) bool, and their subjects alone."""
    rows = ("record", "segment", "fold", "positive", "known", "paced")
    subjects, subject = np.unique(units.subject[chosen], return_inverse=True)
    kept = {name: getattr(units, name)[chosen] for name in rows}
    return dataclasses.replace(units, **kept, subject=subject, subjects=units.subjects[subjects])


def on_test_subjects(evaluation: Evaluation, context: TaskContext, split: TargetSplit) -> TaskContext:
    """A target's task on the test subjects of its split; which classes lead is decided by their labels alone."""
    task, suite, config = context.task, evaluation.suite, evaluation.config
    units = some_units(context.units, split.test[unit_rows(context, split)])
    support = class_support(task, units, suite.folds, untrained(suite))
    draws = Draws.of((task.name, task.dataset, "adaptation"), units.strata, suite.n_seeds, config.draws, config.seed)
    return TaskContext(
        task=task,
        units=units,
        support={s.name: s for s in support},
        head=headline(task, support, config),
        draws=draws,
        with_draws=frozenset(),
        gap_classes=frozenset(),
        short={s.name: short_draws(units, k, s, draws, False) for k, s in enumerate(support)},
    )
