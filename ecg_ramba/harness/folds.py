"""One fold of a source: which recordings train, which are held out, which classes have enough subjects to train."""

from dataclasses import dataclass

import numpy as np

from ecg_ramba.data.labels import LabelSpace
from ecg_ramba.data.store import Prepared, records_digest
from ecg_ramba.data.tasks import Truth, truth_of
from ecg_ramba.errors import UserError
from ecg_ramba.harness.inputs import WindowTable
from ecg_ramba.harness.splits import MIN_SUBJECTS, groups_of, make_folds, positive_subjects
from ecg_ramba.keys import array_digest, digest


@dataclass(frozen=True)
class Fold:
    """A training part: ``train`` and ``held_out`` are rows of the source's recordings.

    ``trained`` (classes,) bool: classes with at least five positive subjects in the training part; the others are
    neither trained nor scored in this fold. ``subjects`` (classes,) int counts them. ``digest`` covers the training
    part alone, so nothing outside it can change what is fitted; ``signals`` its recordings without their labels, which
    is what features are fitted on.
    """

    number: int
    train: np.ndarray
    held_out: np.ndarray
    trained: np.ndarray
    subjects: np.ndarray
    digest: str
    signals: str


def make_source_folds(
    source: Prepared, space: LabelSpace, folds: int, seed: int
) -> tuple[Truth, np.ndarray, list[Fold]]:
    """Labels, each recording's held-out fold, and the folds.

    Raises
    ------
    UserError
        If no fold has a class to train, or there are fewer subjects than folds.
    """
    truth = truth_of(source, space)
    number = make_folds(source.records, truth.y, folds, seed)
    made = [
        training_part(source, truth, np.flatnonzero(number != k), np.flatnonzero(number == k), k)
        for k in range(1, folds + 1)
    ]
    if not any(f.trained.any() for f in made):
        raise UserError(
            f"{source.name} has no class with {MIN_SUBJECTS} positive subjects in a training part; "
            "it cannot be a source. Use more records or another --source"
        )
    return truth, number, made


def training_part(
    source: Prepared,
    truth: Truth,
    train: np.ndarray,
    held_out: np.ndarray,
    number: int,
    trained: np.ndarray | None = None,
) -> Fold:
    """One fold from its rows; ``held_out`` may be an inner validation part.

    ``trained``: the classes to train, where something else than their number of subjects decides.
    """
    groups = groups_of(source.records)[train]
    y, known = truth.y[train], truth.known[train]
    subjects = positive_subjects(y, known, groups)
    negatives = positive_subjects(known & ~y, known, groups)
    if trained is None:
        trained = (subjects >= MIN_SUBJECTS) & (negatives >= MIN_SUBJECTS)
    records = source.records.iloc[train]
    key = digest([records_digest(records), array_digest(y, known, trained), truth.space.name])
    signals = digest(records[["signal_digest", "store_key", "n_segments"]].astype(str).to_numpy().tolist())
    return Fold(number, train, held_out, trained, subjects, key, signals)


def window_labels(
    truth: Truth, table: WindowTable, rows: np.ndarray, trained: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and weights (windows, classes) float32 of some windows: the recording's labels, 0 weight where unknown."""
    record = table.record[rows]
    weight = truth.known[record] & trained
    return truth.y[record].astype(np.float32), weight.astype(np.float32)
