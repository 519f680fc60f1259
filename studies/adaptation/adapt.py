"""Head fine-tuning with the labels of a few target subjects: the last linear layer of every fold's network changes.

A window's label is its record's; where a data set annotates rhythm episodes it is its segment's: inside, outside, or
unknown where the segment crosses a border. The frozen rest of the network is run once. The adapted fold models'
probabilities are averaged over folds and pooled once, as zero-shot ones are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from ecg_ramba.data.index import episodes_of
from ecg_ramba.data.labels import LabelSpace, cpsc2021_labels
from ecg_ramba.data.store import Prepared
from ecg_ramba.data.tasks import in_af, truth_of
from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.measure import TaskContext
from ecg_ramba.evaluation.pooled import pooled_scores
from ecg_ramba.evaluation.pooling import Pooling
from ecg_ramba.evaluation.predictions import Predictions
from ecg_ramba.harness.inputs import WindowTable
from ecg_ramba.signal import SEGMENT, WINDOW
from studies.adaptation.fit import equal_votes, fit_change, lacking, outcomes
from studies.adaptation.heads import Head
from studies.adaptation.split import TargetSplit

HEAD_COLUMNS = ("share", "draw", "cls", "windows", "positive_subjects", "negative_subjects", "reason")


@dataclass(frozen=True)
class WindowLabels:
    """Labels of a target's windows in the classes of a model: ``y``, ``known`` (windows, C) bool; ``subject``, ``row``
    (windows,): its group and its recording in the split."""

    classes: tuple[str, ...]
    y: np.ndarray
    known: np.ndarray
    subject: np.ndarray
    row: np.ndarray


def window_labels(data: Prepared, table: WindowTable, space: LabelSpace, split: TargetSplit) -> WindowLabels:
    """Labels of every window of a target, see the module's text."""
    if data.records["record"].tolist() != split.record.tolist():
        raise AssertionError(f"the split of {split.name} is of other recordings")
    truth = truth_of(data, space)
    y, known = truth.y[table.record], truth.known[table.record]
    if data.records["episodes"].notna().any():
        y, known = _of_episodes(data, table, space, known)
    return WindowLabels(space.classes, y & known, known, split.group[table.record], table.record)


def _of_episodes(data: Prepared, table: WindowTable, space: LabelSpace, known) -> tuple[np.ndarray, np.ndarray]:
    """AF and flutter by the segment, from the episodes; of any other class nothing is known of a part of a record."""
    state = np.full((len(data.valid), len(space.classes)), -1, np.int8)
    segments, first = np.unique(table.at, return_index=True)
    columns = [(c, space.index(c)) for c in ("AF", "AFL") if c in space.classes]
    episodes = [episodes_of(text) or () for text in data.records["episodes"]]
    for at, record in zip(segments, table.record[first], strict=True):
        begin, end = data.start[at], data.start[at] + data.valid[at] / (SEGMENT / 10)
        for name, c in columns:
            own = tuple(e for e in episodes[record] if name in space.merge(cpsc2021_labels((e.rhythm,))))
            inside = in_af(begin, end, own)
            state[at, c] = -1 if inside is None else inside
    of_windows = state[table.at]
    return of_windows == 1, known & (of_windows >= 0)


def window_rows(predictions: Predictions, data: Prepared, table: WindowTable) -> np.ndarray:
    """For each predicted window its row in a model's own table: itself, or the segment that it lies in.

    Raises
    ------
    UserError
        If the table lacks one.
    """
    names = data.records["record"].to_numpy(str)[table.record]
    keys, wanted = [names, table.segment], [predictions.record.astype(str), predictions.segment]
    if table.samples == WINDOW:
        keys, wanted = [*keys, table.start], [*wanted, predictions.start]
    rows = pd.MultiIndex.from_arrays(keys).get_indexer(pd.MultiIndex.from_arrays(wanted))
    if (rows < 0).any():
        raise UserError(f"{data.name}: the stored predictions name windows that are not there; run the suite again")
    return rows


@dataclass(frozen=True)
class HeadFits:
    """Changes of one fold's layer: ``change`` (conditions, C, D + 1), ``fitted`` (conditions, C) bool, else zero."""

    change: np.ndarray
    fitted: np.ndarray


def adaptable(
    labels: WindowLabels, split: TargetSplit, conditions: Sequence[tuple[float, int]], wanted: Sequence[int]
) -> tuple[list[dict[int, np.ndarray]], list[dict]]:
    """Which windows each condition may fit each class on.

    Returns
    -------
    rows : list of dict
        For each condition: class -> rows of windows; no entry where the class keeps its weights.
    notes : list of dict
        As :data:`HEAD_COLUMNS`, with a reason where it does.
    """
    rows, notes = [], []
    for share, draw in conditions:
        found: dict[int, np.ndarray] = {}
        adapting = split.adapting(share, draw)[labels.row] if share else np.zeros(len(labels.row), bool)
        for c in wanted if share else ():
            at = np.flatnonzero(adapting & labels.known[:, c])
            y, subject = labels.y[at, c], labels.subject[at]
            yes, no = outcomes(y, subject)
            reason = lacking(y, subject)
            facts = {"share": share, "draw": draw, "cls": labels.classes[c], "windows": len(at), "reason": reason}
            notes.append(facts | {"positive_subjects": yes, "negative_subjects": no})
            if not reason:
                found[c] = at
        rows.append(found)
    return rows, notes


def fit_head(head: Head, labels: WindowLabels, rows: Sequence[dict[int, np.ndarray]]) -> HeadFits:
    """Fit one fold's layer for each condition; a class that the fold was not trained on has no weights to begin with.

    Parameters
    ----------
    head : Head
    labels : WindowLabels
    rows : sequence of dict
        As :func:`adaptable` gives them: nothing else of the target is read.
    """
    width = head.activations.shape[1]
    change = np.zeros((len(rows), len(head.classes), width + 1))
    fitted = np.zeros((len(rows), len(head.classes)), bool)
    for a, of in enumerate(rows):
        for c, at in of.items():
            if head.trained[c]:
                y, weight = labels.y[at, c], equal_votes(labels.subject[at])
                change[a, c] = fit_change(head.activations[at], head.logits(at, c), y, weight)
                fitted[a, c] = True
    return HeadFits(change, fitted)


def adapted_probability(
    head: Head, fits: HeadFits, rows: np.ndarray, members: Sequence[Sequence[int]], stored: np.ndarray, where: str
) -> Iterator[np.ndarray]:
    """Window probabilities of one fold model under each condition.

    Parameters
    ----------
    head : Head
    fits : HeadFits
    rows : (n,) int array
        Row of each window in the model's own table.
    members : sequence of K sequences
        The model's outputs that make up each class: of several the largest counts.
    stored : (n, K) float32 array
        As predicted zero-shot; a class without an adapted output keeps them to the last bit.
    where : str
        File name, for messages.

    Yields
    ------
    (n, K) float32 array
        One a condition.

    Raises
    ------
    UserError
        If the stored probabilities are not this model's.
    """
    x = head.activations[rows].astype(np.float64)
    logits = x @ head.weight.T + head.bias

    def of(change: np.ndarray, k: int) -> np.ndarray:
        own = [c for c in members[k] if head.trained[c]]
        moved = [expit(logits[:, c] + x @ change[c, :-1] + change[c, -1]) for c in own]
        return np.maximum.reduce(moved).astype(np.float32)

    trained = [k for k, own in enumerate(members) if head.trained[list(own)].any()]
    nothing = np.zeros_like(fits.change[0])
    for k in trained:
        if not np.allclose(of(nothing, k), stored[:, k], atol=head.tolerance):
            raise UserError(
                f"{where}: the stored probabilities are not those of the trained models; run the suite again"
            )
    for change, fitted in zip(fits.change, fits.fitted, strict=True):
        out = stored.copy()
        for k in trained:
            if fitted[list(members[k])].any():
                out[:, k] = of(change, k)
        yield out


@dataclass
class Ensemble:
    """The mean over fold models of window probabilities, added up model by model, for each condition of one seed."""

    total: np.ndarray
    count: np.ndarray

    @classmethod
    def of(cls, conditions: int, windows: int, classes: int) -> "Ensemble":
        """Empty."""
        return cls(np.zeros((conditions, windows, classes)), np.zeros((conditions, windows, classes), np.int16))

    def add(self, a: int, probability: np.ndarray) -> None:
        """Add one model's (windows, classes) under condition ``a``; NaN: not trained."""
        there = np.isfinite(probability)
        self.total[a] += np.where(there, probability, 0)
        self.count[a] += there

    def mean(self, a: int) -> np.ndarray:
        """(windows, classes) float64; NaN where no fold was trained."""
        return np.divide(
            self.total[a], self.count[a], out=np.full(self.total[a].shape, np.nan), where=self.count[a] > 0
        )


def unit_scores_of(
    ensemble: Ensemble, predictions: Predictions, contexts: Sequence[TaskContext], pooling: Pooling, where: str
) -> list[np.ndarray]:
    """Scores of the units of each task under each condition: list of (conditions, n_units, K) arrays.

    ``predictions`` names the windows and classes of the ensemble; ``contexts`` hold the test units.
    """
    out: list[list[np.ndarray]] = [[] for _ in contexts]
    for a in range(len(ensemble.total)):
        made = Predictions(
            classes=predictions.classes,
            record=predictions.record,
            segment=predictions.segment,
            start=predictions.start,
            fold=None,
            folds=(0,),
            probability=ensemble.mean(a)[None, None],
        )
        for scores, context in zip(out, contexts, strict=True):
            scores.append(pooled_scores(made, context.task, context.units, (pooling,), where)[0][0])
    return [np.stack(scores) for scores in out]
