"""Recalibration fitted on the source alone: maps from a score to a probability, by class and seed.

At the source, a fold is mapped by what the other folds' out-of-fold scores taught; at targets, by what all of them
did. The fit sees a :class:`SourceScores`, which only a source task can make: nothing of a target can reach a map.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import expit

from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.evaluation.calibration import logit
from ecg_ramba.evaluation.logistic import fit
from ecg_ramba.evaluation.measure import TaskContext
from ecg_ramba.evaluation.scores import UnitScores
from ecg_ramba.evaluation.suite import Score


@dataclass(frozen=True)
class Platt:
    """``expit(intercept + slope * logit(score))``."""

    intercept: float
    slope: float

    def __call__(self, score: np.ndarray) -> np.ndarray:
        """Mapped scores."""
        return expit(self.intercept + self.slope * logit(score))


@dataclass(frozen=True)
class Isotonic:
    """Linear between the steps of an isotonic regression, level outside: ``score`` and ``value`` (m,) arrays."""

    score: np.ndarray
    value: np.ndarray

    def __call__(self, score: np.ndarray) -> np.ndarray:
        """Mapped scores."""
        return np.interp(score, self.score, self.value)


Map = Platt | Isotonic


def _both(positive: np.ndarray) -> np.ndarray:
    positive = np.asarray(positive, bool)
    if positive.all() or not positive.any():
        which = "positives" if len(positive) and positive.all() else "negatives"
        raise UserError(f"no map: {len(positive)} units, {which} only" if len(positive) else "no map: no units")
    return positive


def fit_platt(positive: np.ndarray, score: np.ndarray) -> Platt:
    """Logistic regression on the logit of the score, not penalised, with Platt's targets in place of 0 and 1.

    Platt 1999, "Probabilistic outputs for support vector machines": positives count as (N+ + 1) / (N+ + 2), negatives
    as 1 / (N- + 2), so that scores without overlap have a finite map too.

    Raises
    ------
    UserError
        With one outcome only, or one score only: there is nothing to map.
    """
    positive = _both(positive)
    x = logit(score)
    if x.min() == x.max():
        raise UserError(f"no map: all {len(x)} units have the same score")
    yes = int(positive.sum())
    target = np.where(positive, (yes + 1) / (yes + 2), 1 / (len(x) - yes + 2))
    (intercept,), (slope,) = fit(x, np.ones((len(x), 1)), np.array([target.sum()]), np.array([target @ x]))
    if not np.isfinite(slope):
        raise UserError("no map: Platt's logistic regression did not converge")
    return Platt(float(intercept), float(slope))


def fit_isotonic(positive: np.ndarray, score: np.ndarray) -> Isotonic:
    """Isotonic regression of the label on the score (Zadrozny and Elkan 2002), level outside the scores seen.

    Raises
    ------
    UserError
        With one outcome only.
    """
    positive = _both(positive)
    steps, at, count = np.unique(np.asarray(score, np.float64), return_inverse=True, return_counts=True)
    share = np.bincount(at, positive) / count
    return Isotonic(steps, isotonic_regression(share, weights=count).x)


METHODS: dict[str, Callable[[np.ndarray, np.ndarray], Map]] = {"Platt": fit_platt, "isotonic": fit_isotonic}


@dataclass(frozen=True)
class SourceScores:
    """All that a map may be fitted on.

    Parameters
    ----------
    classes : tuple of K Score
    score : (n_seeds, n, K) float64 array
        Out-of-fold scores.
    positive, scored : (n, K) bool arrays
    fold : (n,) int array
        Held-out fold.
    """

    classes: tuple[Score, ...]
    score: np.ndarray
    positive: np.ndarray
    scored: np.ndarray
    fold: np.ndarray

    @classmethod
    def of(cls, context: TaskContext, scores: UnitScores) -> "SourceScores":
        """Of the source task.

        Raises
        ------
        LeakageError
            For any other task.
        """
        if not context.task.source:
            raise LeakageError(f"a recalibration map was to be fitted on the target task {context.task.name}")
        scored = np.stack([context.support[s.name].scored for s in context.task.scores], axis=1)
        return cls(context.task.scores, scores.headline, context.units.positive, scored, context.units.fold)


@dataclass(frozen=True)
class ClassMaps:
    """Maps of one class and seed.

    ``by_fold``: source fold -> map fitted on the other folds; ``everywhere``: fitted on all folds, for targets; either
    may be the reason why there is none. ``units``, ``positives``: what ``everywhere`` was fitted on.
    """

    by_fold: dict[int, Map] | str
    everywhere: Map | str
    units: int
    positives: int


Maps = dict[Score, list[ClassMaps]]
"""A task score of the source -> its maps, one a seed."""


def fit_maps(source: SourceScores, method: str) -> Maps:
    """Maps of every class and seed, from the source's out-of-fold scores and labels alone."""
    make = METHODS[method]
    return {
        cls: [_class_maps(source, k, scores[:, k], make) for scores in source.score]
        for k, cls in enumerate(source.classes)
    }


def _class_maps(source: SourceScores, k: int, score: np.ndarray, make) -> ClassMaps:
    at = source.scored[:, k]
    positive, fold, score = source.positive[at, k], source.fold[at], score[at]

    def fitted(chosen: np.ndarray) -> Map:
        return make(positive[chosen], score[chosen])

    by_fold: dict[int, Map] | str
    try:
        by_fold = {int(f): fitted(fold != f) for f in np.unique(fold)}
    except UserError as error:
        by_fold = f"{error} outside a fold"
    try:
        everywhere: Map | str = fitted(np.ones(len(score), bool))
    except UserError as error:
        everywhere = str(error)
    return ClassMaps(by_fold, everywhere, len(score), int(positive.sum()))


def no_maps(context: TaskContext, cls: Score, maps: Maps) -> str:
    """Why a task's class has no map; "" where it has one for every seed."""
    if cls not in maps:
        same = [s.name for s in maps if (s.op, s.of) == (cls.op, cls.of)]
        if same:
            return f"no map: the source has this score as {same[0]}, with labels of another meaning"
        return f"no map: the source has no score {cls.op}({', '.join(cls.of)}) with labels of {cls.name}"
    kind = "by_fold" if context.task.source else "everywhere"
    reasons = [of for m in maps[cls] if isinstance(of := getattr(m, kind), str)]
    if not reasons and context.task.source and not maps[cls][0].by_fold:
        return "no map: no labelled unit, or no model trained on it"
    return reasons[0] if reasons else ""


def recalibrated(context: TaskContext, cls: Score, scores: np.ndarray, maps: Maps) -> np.ndarray:
    """A class's scores mapped, seed by seed.

    Parameters
    ----------
    context : TaskContext
    cls : Score
        Of which :func:`no_maps` has no reason.
    scores : (n_seeds, n_units) array
        Scores of all units of the task; those that are not scored become NaN.
    maps : Maps

    Returns
    -------
    (n_seeds, n_units) float64 array
    """
    scored, fold = context.support[cls.name].scored, context.units.fold
    out = np.full(scores.shape, np.nan)
    for mapped, score, own in zip(out, scores, maps[cls], strict=True):
        if not context.task.source:
            mapped[scored] = own.everywhere(score[scored])
            continue
        for f, of_fold in own.by_fold.items():
            at = scored & (fold == f)
            mapped[at] = of_fold(score[at])
    return out
