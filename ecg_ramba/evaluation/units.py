"""Labels of one task as arrays: its units (records or segments), their subjects, and what is known of each class."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.evaluation.suite import Suite, Task


@dataclass(frozen=True)
class Units:
    """The units of a task, sorted by record and segment.

    Parameters
    ----------
    record : (n,) str array
    segment : (n,) int array
        -1 where the unit is the record.
    subject : (n,) int array
        Index into ``subjects``.
    subjects : (S,) str array
        Sorted names.
    fold : (n,) int array
        Held-out fold of the source; -1 at targets.
    positive, known : (n, K) bool arrays
        Columns in the order of the task's scores; ``positive`` is False where unknown.
    paced : (n,) bool array
    """

    record: np.ndarray
    segment: np.ndarray
    subject: np.ndarray
    subjects: np.ndarray
    fold: np.ndarray
    positive: np.ndarray
    known: np.ndarray
    paced: np.ndarray

    def __len__(self) -> int:
        return len(self.record)

    @property
    def strata(self) -> np.ndarray:
        """(S,) fold of each subject."""
        out = np.full(len(self.subjects), -1)
        out[self.subject] = self.fold
        return out


def _label_class(name: str, labelled: set[str]) -> str:
    """The label a task class is scored against: a second score of a class (``NORM*``) shares the class's labels."""
    return name if name in labelled or not name.endswith("*") else name.rstrip("*")


def task_units(suite: Suite, task: Task) -> Units:
    """Arrays of one task from the suite's labels.

    Raises
    ------
    UserError
        If a unit's subject, fold or data set contradicts itself; LeakageError if a subject is in two folds, or a
        target record claims a training fold.
    """
    path = suite.path / "labels.parquet"
    rows = suite.labels[suite.labels["task"] == task.name]
    if set(rows["dataset"].unique()) != {task.dataset}:
        raise UserError(
            f"{path}: task {task.name} is of {task.dataset} but has rows of other data sets; run the suite again"
        )
    record_code, records = pd.factorize(rows["record"].astype(str), sort=True)
    segment = rows["segment"].to_numpy(np.int64)
    if (segment < 0).any() != (task.unit == "record") or ((segment < 0) != (segment < 0).any()).any():
        raise UserError(f"{path}: task {task.name} scores {task.unit}s, but its segment column says otherwise")
    span = segment.max() + 2
    keys, unit = np.unique(record_code * span + segment + 1, return_inverse=True)
    first = np.full(len(keys), len(rows))
    np.minimum.at(first, unit, np.arange(len(rows)))
    subject_code, subjects = pd.factorize(rows["subject"].astype(str), sort=True)
    fold = rows["fold"].to_numpy(np.int64)
    paced = rows["paced"].to_numpy(bool)
    for name, values in (("subject", subject_code), ("fold", fold)):
        if (values != values[first][unit]).any():
            raise UserError(f"{path}: task {task.name}: a {task.unit} has two values of {name}; run the suite again")
    _no_leak(path, task, subject_code, subjects, fold)
    labelled = set(rows["cls"].unique())
    names = [_label_class(s.name, labelled) for s in task.scores]
    positive, known = np.zeros((2, len(keys), len(names)), bool)
    cls = rows["cls"].to_numpy()
    for k, name in enumerate(names):
        of = np.flatnonzero(cls == name)
        known[unit[of], k] = rows["known"].to_numpy(bool)[of]
        positive[unit[of], k] = rows["positive"].to_numpy(bool)[of]
    return Units(
        record=np.asarray(records, object)[keys // span],
        segment=keys % span - 1,
        subject=subject_code[first],
        subjects=np.asarray(subjects, object),
        fold=fold[first],
        positive=positive & known,
        known=known,
        paced=paced[first],
    )


def _no_leak(path, task: Task, subject: np.ndarray, subjects, fold: np.ndarray) -> None:
    if not task.source:
        if (fold != -1).any():
            raise LeakageError(
                f"{path}: target task {task.name} has records in training folds; they must not be scored"
            )
        return
    if (fold < 0).any():
        raise UserError(f"{path}: source task {task.name} has records without a held-out fold; run the suite again")
    low, high = np.full(len(subjects), np.iinfo(np.int64).max), np.full(len(subjects), -1)
    np.minimum.at(low, subject, fold)
    np.maximum.at(high, subject, fold)
    if (low != high).any():
        raise LeakageError(f"{path}: subject {subjects[np.argmax(low != high)]} is in two folds; make the splits again")
