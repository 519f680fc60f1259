"""The score of the PhysioNet/CinC Challenge 2021, over those of its classes that a task can score.

A record with labels L and outputs O earns the sum of ``w[l, o]`` over its labels and outputs, divided by
``max(1, |L or O|)``. The sum over records is scaled so that answering sinus rhythm alone every time scores 0 and
answering the labels scores 1. Reyna et al. 2021, "Will Two Do? Varying Dimensions in Electrocardiography: The
PhysioNet/Computing in Cardiology Challenge 2021", Computing in Cardiology 48; definition as evaluated by
physionetchallenges/evaluation-2021. Its table of weights is not part of this suite: the user names a copy.

Labels are this suite's (``labels.toml``). Two things differ, both because a class that a publisher never annotates is
unknown here and not negative: it counts neither as label nor as output of that publisher's records, and a record whose
sinus rhythm is unknown is left out.
"""

from dataclasses import dataclass

import numpy as np

from ecg_ramba.evaluation.challenge_weights import SINUS, Weights
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.intervals import Draws
from ecg_ramba.evaluation.metrics import totals
from ecg_ramba.evaluation.suite import Task
from ecg_ramba.evaluation.support import ClassSupport
from ecg_ramba.evaluation.units import Units


def credit(weights: np.ndarray, labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """What each record earns before scaling.

    Parameters
    ----------
    weights : (K, K) array
        Row: label, column: output.
    labels, outputs : (n, K) bool arrays

    Returns
    -------
    (n,) float64 array
    """
    size = np.maximum(1, (labels | outputs).sum(1))
    return ((labels @ weights) * outputs).sum(1) / size


class ChallengeScore:
    """The score of one set of outputs, ready to be weighted by subject.

    Parameters
    ----------
    weights : (K, K) array
        Row: label, column: output.
    normal : int
        Place of sinus rhythm among the classes.
    labels, outputs : (n, K) bool arrays
    known : (n, K) bool array, optional
        Where False, a class is neither a label nor an output of that record; sinus rhythm must be known throughout.
    cluster : (n,) int array, optional
        Row of the weight matrix each record belongs to; by default its own.
    n_clusters : int, optional
        Rows of the weight matrix.
    """

    def __init__(self, weights, normal, labels, outputs, known=None, cluster=None, n_clusters=None):
        labels, outputs = np.asarray(labels, bool), np.asarray(outputs, bool)
        if known is not None:
            labels, outputs = labels & known, outputs & known
        inactive = np.zeros_like(labels)
        inactive[:, normal] = True
        least = credit(weights, labels, inactive)
        # Differences, not sums, are added up: a record without anything but sinus rhythm then adds exactly nothing.
        self.earned = np.stack([credit(weights, labels, o) - least for o in (outputs, labels)])
        self.cluster, self.n_clusters = cluster, n_clusters

    def __call__(self, weights: np.ndarray | None = None) -> tuple[np.ndarray]:
        """The score for each column of ``weights`` (n_clusters, D), by default one of ones.

        Returns
        -------
        tuple of one (D,) float64 array
            NaN where the labels earn no more than sinus rhythm alone: 0 / 0, for which the published code gives 0.
        """
        own, best = totals(self.earned, self.cluster, self.n_clusters, weights, None)
        return (np.divide(own, best, out=np.full(best.shape, np.nan), where=best > 0),)


@dataclass(frozen=True)
class Challenge:
    """What the score needs of a task, the same for all models.

    Parameters
    ----------
    classes : tuple of K str
        Those classes of the table that the task scores.
    columns : tuple of K int arrays
        Columns of the task's scores that count as each.
    weights : (K, K) float64 array
    known, labels : (n_units, K) bool arrays
    parts : tuple of int arrays
        Units that are scored together: a held-out fold of the source each, all units of a target.
    short : (D,) bool array
        Draws in which a part has no class but sinus rhythm.
    counts : dict
        Support, by the columns of the tables; positive is a record with a class besides sinus rhythm.
    """

    classes: tuple[str, ...]
    columns: tuple[np.ndarray, ...]
    weights: np.ndarray
    known: np.ndarray
    labels: np.ndarray
    parts: tuple[np.ndarray, ...]
    short: np.ndarray
    counts: dict

    def scores(self, score: np.ndarray, subject: np.ndarray, size: int, threshold: float) -> list[ChallengeScore]:
        """The score of each part, from the task's ``score`` (n_units, classes of the task); NaN is no output."""
        outputs = np.stack([(score[:, c] >= threshold).any(1) for c in self.columns], axis=1)
        normal = self.classes.index(SINUS)
        return [
            ChallengeScore(self.weights, normal, self.labels[at], outputs[at], self.known[at], subject[at], size)
            for at in self.parts
        ]


def challenge_of(
    table: Weights, task: Task, units: Units, support: list[ClassSupport], draws: Draws, config: EvaluationConfig
) -> tuple[Challenge | None, str]:
    """What the score needs of a task, and what a reader must know of it; None and the reason where it has none.

    A task has the score where its unit is a record and its classes, sinus rhythm among them, are the suite's own.
    """
    if task.unit != "record":
        return None, "no challenge score: its units are segments, not records"
    own = {s.name: k for k, s in enumerate(task.scores) if (s.op, s.of) == ("max", (s.name,)) and support[k].units}
    columns = [np.array([own[c] for c in own if c in members], int) for members in table.members]
    inside = [k for k, c in enumerate(columns) if len(c)]
    if not inside:
        return None, "no challenge score: its classes are not the challenge's"
    names = tuple(table.names[k] for k in inside)
    if SINUS not in names:
        return None, "no challenge score: sinus rhythm, which it is relative to, is not annotated there or not trained"
    scored = np.stack([s.scored for s in support], axis=1)
    known = np.stack([scored[:, columns[k]].any(1) for k in inside], axis=1)
    labels = np.stack([(scored & units.positive)[:, columns[k]].any(1) for k in inside], axis=1)
    normal = names.index(SINUS)
    other = known[:, normal] & np.delete(labels, normal, axis=1).any(1)
    folds = np.unique(units.fold[known[:, normal]])
    parts = [np.flatnonzero(known[:, normal] & (units.fold == f)) for f in folds]
    parts = tuple(at for at in parts if other[at].any())
    if not parts:
        return None, "no challenge score: no record has a class besides sinus rhythm"
    short = np.any([draws.short(np.unique(units.subject[at[other[at]]])) for at in parts], axis=0)
    counts = _counts(units, known[:, normal], other)
    counts |= {"folds": len(parts) if task.source else support[own[SINUS]].folds}
    counts |= {"folds_left_out": len(folds) - len(parts), "draws": config.draws, "draws_short": int(short.sum())}
    weights = table.values[np.ix_(inside, inside)]
    made = Challenge(names, tuple(columns[k] for k in inside), weights, known, labels, parts, short, counts)
    without = [n for n in table.names if n not in names]
    note = f"challenge score over {len(names)} of the {len(table.names)} classes of {table.file}"
    note += f", without {', '.join(without)}" if without else ""
    return made, f"{note}: the challenge's definition on other recordings, not one of its own figures"


def _counts(units: Units, scored: np.ndarray, other: np.ndarray) -> dict:
    subjects, positive, negative = (len(np.unique(units.subject[m])) for m in (scored, other, scored & ~other))
    return {
        "units": int(scored.sum()),
        "subjects": subjects,
        "positives": int(other.sum()),
        "positive_subjects": positive,
        "negative_subjects": negative,
        "prevalence": float(other.sum() / scored.sum()),
        "paced": int((scored & units.paced).sum()),
    }
