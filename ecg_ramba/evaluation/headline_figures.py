"""The headline figures of a task, as what tests are made of: rankings, paired draws, and influences of subjects."""

from dataclasses import dataclass

import numpy as np

from ecg_ramba.evaluation.config import NO_SUPPORT, EvaluationConfig
from ecg_ramba.evaluation.measure import TaskContext, headline_draws, ranked_together
from ecg_ramba.evaluation.parallel import each
from ecg_ramba.evaluation.permutation import Pair
from ecg_ramba.evaluation.rows import MACRO
from ecg_ramba.evaluation.seed_variance import influence, influence_table


@dataclass(frozen=True)
class HeadlineFigure:
    """One headline figure of a task: a macro average over ``classes``, or a class by itself.

    ``column``: (subjects of the task,) place of each subject among the ``subjects`` that the figure is taken over, -1
    elsewhere. ``parts``: for each class the units that are ranked together. ``reason``: why it cannot be tested.
    """

    cls: str
    classes: tuple[str, ...]
    ks: tuple[int, ...]
    support: str
    column: np.ndarray
    subjects: int
    parts: tuple[list[np.ndarray], ...]
    reason: str


def figures_of(context: TaskContext, config: EvaluationConfig) -> list[HeadlineFigure]:
    """The headline figures of a task; one without classes and with a reason where there is none."""
    head, names = context.head, [s.name for s in context.task.scores]
    if head.macro or not head.classes:
        wanted = [(MACRO, head.classes, head.support)]
    else:
        wanted = [(c, (c,), context.support[c].level(config)) for c in head.classes]
    out = []
    for cls, classes, support in wanted:
        ks = tuple(names.index(c) for c in classes) if support != NO_SUPPORT else ()
        parts = tuple(ranked_together(context, k) for k in ks)
        members = np.unique(context.units.subject[np.concatenate([at for of in parts for at in of])]) if ks else []
        column = np.full(len(context.units.subjects), -1)
        column[members] = np.arange(len(members))
        reason = "" if ks else head.reason or "not both positives and negatives"
        out.append(HeadlineFigure(cls, classes, ks, support, column, len(members), parts, reason))
    return out


def pairs_of(figure: HeadlineFigure, context: TaskContext, own: np.ndarray, other: np.ndarray) -> list[Pair]:
    """The rankings of a figure, classes, folds and seeds, each with its share in it.

    ``own`` and ``other`` are (n_seeds, n_units, K) headline scores of the variant and the reference.
    """
    units, seeds, out = context.units, len(own), []
    for k, parts in zip(figure.ks, figure.parts, strict=True):
        share = 1 / (len(figure.ks) * seeds * len(parts))
        for at in parts:
            y, subject = units.positive[at, k], figure.column[units.subject[at]]
            out += [Pair(y, subject, own[t, at, k], other[t, at, k], share) for t in range(seeds)]
    return out


def paired_draws(figure: HeadlineFigure, context: TaskContext, own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(2, D) draws of a figure's difference in ROC-AUC and average precision, on the evaluation's own bootstrap draws.

    ``own`` and ``other`` as for :func:`pairs_of`.
    """

    def difference(k: int) -> np.ndarray:
        return headline_draws(context, own[:, :, k], k) - headline_draws(context, other[:, :, k], k)

    return np.mean(each(difference, figure.ks), axis=0)


def influences_of(figure: HeadlineFigure, context: TaskContext, scores: np.ndarray) -> np.ndarray:
    """(subjects, seeds) table of a figure's ROC-AUC, as :func:`ecg_ramba.evaluation.seed_variance.components` takes it.

    ``scores``: (n_seeds, n_units, K) headline scores.
    """
    units = context.units
    values, influences = np.zeros(len(scores)), np.zeros((len(scores), figure.subjects))
    for k, parts in zip(figure.ks, figure.parts, strict=True):
        for at in parts:
            y, subject, share = units.positive[at, k], figure.column[units.subject[at]], len(figure.ks) * len(parts)
            for t, of_seed in enumerate(scores):
                auc, moved = influence(y, of_seed[at, k], subject, figure.subjects)
                values[t] += auc / share
                influences[t] += moved / share
    return influence_table(values, influences)
