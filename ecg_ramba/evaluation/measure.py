"""The metrics of one variant on one task, class by class: points, and bootstrap draws where they are wanted."""

from dataclasses import dataclass, field

import numpy as np

from ecg_ramba.evaluation.challenge import Challenge
from ecg_ramba.evaluation.config import (
    CHALLENGE,
    CHALLENGE_SCORE,
    ENSEMBLE,
    FOLD_MEAN,
    FOLD_MODELS,
    POOLED_OOF,
    RANKING_METRICS,
    SUBJECT_WEIGHTED,
    EvaluationConfig,
)
from ecg_ramba.evaluation.intervals import Draws, widened, widening
from ecg_ramba.evaluation.metrics import Ranking, brier, calibration_error, decision
from ecg_ramba.evaluation.parallel import each
from ecg_ramba.evaluation.scores import UnitScores, nan_mean
from ecg_ramba.evaluation.suite import Task
from ecg_ramba.evaluation.support import ClassSupport, Headline
from ecg_ramba.evaluation.units import Units


@dataclass(frozen=True)
class TaskContext:
    """Everything about a task that is the same for all models.

    ``with_draws``: classes whose draws are wanted; ``gap_classes``: those that the source scores in the same way.
    ``short``: class -> (D,) bool, draws that lack an outcome of the class (at the source: in some fold).
    ``level``: of the intervals, which decides how far the draws of few subjects are spread.
    ``challenge``: for the challenge's score, None where there is none; ``challenge_note``: over what, or why not.
    """

    task: Task
    units: Units
    support: dict[str, ClassSupport]
    head: Headline
    draws: Draws
    with_draws: frozenset[str]
    gap_classes: frozenset[str]
    short: dict[str, np.ndarray]
    level: float = EvaluationConfig().level
    challenge: Challenge | None = None
    challenge_note: str = ""
    cache: dict = field(default_factory=dict, repr=False, compare=False)

    def spread(self, cls: str) -> float:
        """How far a class's draws are spread, see :func:`ecg_ramba.evaluation.intervals.widening`."""
        support = self.support[cls]
        return widening(min(support.positive_subjects, support.negative_subjects), self.level)

    @property
    def estimate(self) -> str:
        """The headline's estimate."""
        return FOLD_MEAN if self.task.source else ENSEMBLE


@dataclass
class Measured:
    """Values and draws by (estimate, metric); draws are (D,) arrays, absent where none were wanted."""

    value: dict[tuple[str, str], float] = field(default_factory=dict)
    draws: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)


def short_draws(units: Units, k: int, support: ClassSupport, draws: Draws, source: bool) -> np.ndarray:
    """(D,) bool: draws without a positive or without a negative subject, at the source in any fold that has both."""
    out = np.zeros(draws.counts.shape[1], bool)
    positive = units.positive[:, k]
    for fold in np.unique(units.fold) if source else [None]:
        inside = support.scored & (units.fold == fold) if source else support.scored
        yes, no = (np.unique(units.subject[inside & m]) for m in (positive, ~positive))
        if len(yes) and len(no):
            out |= draws.short(yes) | draws.short(no)
        elif not source:
            out[:] = True
    return out


def _points(y, score, config: EvaluationConfig, weight=None) -> dict[str, float]:
    """All threshold and probability metrics of one set of scores."""
    made = decision(y, score, threshold=config.threshold, weight=weight)
    made["brier"] = brier(y, score, weight=weight)
    made["ece"] = calibration_error(y, score, bins=config.bins, weight=weight)
    return {name: float(v[0]) for name, v in made.items()}


def _mean(dicts: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(nan_mean(np.array([d[name] for d in dicts]))) for name in dicts[0]} if dicts else {}


def _ranked(rankings: list[Ranking], precision: bool = True) -> dict[str, float]:
    """Mean over rankings of the point values."""
    values = np.array([[v[0] for v in r(precision=precision)] for r in rankings])
    return dict(zip(RANKING_METRICS, (float(v) for v in nan_mean(values)), strict=False)) if len(values) else {}


def _put(
    out: Measured, estimate: str, values: dict[str, float], draws: np.ndarray | None = None, spread: float = 1.0
) -> None:
    out.value |= {(estimate, name): v for name, v in values.items()}
    if draws is not None:
        named = zip(RANKING_METRICS, draws, strict=False)
        out.draws |= {(estimate, name): widened(d, values[name], spread) for name, d in named}


def ranked_together(context: TaskContext, k: int) -> list[np.ndarray]:
    """Indices of the units that class ``k``'s headline ranks together: those of each held-out fold, or of the target.

    A fold with one outcome only is left out for all models alike, and counted in the support.
    """
    units, scored = context.units, context.support[context.task.scores[k].name].scored
    if not context.task.source:
        return [np.flatnonzero(scored)] if scored.any() else []
    parts = [np.flatnonzero(scored & (units.fold == fold)) for fold in np.unique(units.fold[scored])]
    return [at for at in parts if len(np.unique(units.positive[at, k])) == 2]


def headline_draws(context: TaskContext, scores: np.ndarray, k: int) -> np.ndarray | None:
    """Bootstrap draws of the headline's ROC-AUC and average precision of class ``k``, spread as its interval wants.

    Parameters
    ----------
    context : TaskContext
    scores : (n_seeds, n_units) array
        Of that class.
    k : int

    Returns
    -------
    (2, D) float64 array, or None where no units are ranked.
    """
    units, parts = context.units, ranked_together(context, k)
    rankings = [
        [Ranking(units.positive[at, k], s[at], units.subject[at], len(units.subjects)) for at in parts] for s in scores
    ]
    draws = _drawn(context, rankings)
    if draws is None:
        return None
    points, spread = _ranked([r for of in rankings for r in of]), _spread(context, k)
    return np.stack([widened(d, points[name], spread) for name, d in zip(RANKING_METRICS, draws, strict=True)])


def _spread(context: TaskContext, k: int) -> float:
    return context.spread(context.task.scores[k].name)


def _drawn(context: TaskContext, rankings: list[list[Ranking]]) -> np.ndarray | None:
    """(2, D) draws of the mean over each seed's rankings, and over the seeds with each draw's own shares of them."""
    if not rankings or not rankings[0]:
        return None
    per_seed = [nan_mean(np.stack([context.draws.apply(r) for r in of])) for of in rankings]
    return _over_seeds(per_seed, context.draws.seeds)


def _over_seeds(per_seed: list[np.ndarray], shares: np.ndarray) -> np.ndarray:
    """(k, D) draws of each seed -> their mean with each draw's own shares of the seeds."""
    return sum(share * draws for share, draws in zip(shares, per_seed, strict=True))


def measure(context: TaskContext, scores: UnitScores, config: EvaluationConfig) -> dict[str, Measured]:
    """All metrics of every class of a task.

    Parameters
    ----------
    context : TaskContext
    scores : UnitScores
    config : EvaluationConfig

    Returns
    -------
    dict of class name -> Measured
        And ``CHALLENGE`` -> the challenge's score, where the task has it.
    """
    one = _source_class if context.task.source else _target_class
    found = each(lambda k: one(context, scores, k, config), range(len(context.task.scores)))
    out = {score.name: of for score, of in zip(context.task.scores, found, strict=True)}
    return out | ({CHALLENGE: _challenge(context, scores, config)} if context.challenge else {})


def _source_class(context: TaskContext, scores: UnitScores, k: int, config: EvaluationConfig) -> Measured:
    units, support = context.units, context.support[context.task.scores[k].name]
    size, parts = len(units.subjects), ranked_together(context, k)
    by_seed, points, pooled = [], [], []
    for seed_scores in scores.headline[:, :, k]:
        by_seed.append([Ranking(units.positive[at, k], seed_scores[at], units.subject[at], size) for at in parts])
        points += [_points(units.positive[at, k], seed_scores[at], config) for at in parts]
        if parts:
            pooled.append(Ranking(units.positive[support.scored, k], seed_scores[support.scored]))
    out = Measured()
    draws = _drawn(context, by_seed) if support.name in context.with_draws else None
    _put(out, FOLD_MEAN, _ranked([r for of in by_seed for r in of]) | _mean(points), draws, _spread(context, k))
    _put(out, POOLED_OOF, _ranked(pooled))
    return out


def _target_class(context: TaskContext, scores: UnitScores, k: int, config: EvaluationConfig) -> Measured:
    units, support = context.units, context.support[context.task.scores[k].name]
    at, size = support.scored, len(context.units.subjects)
    out = Measured()
    if not at.any():
        return out
    y, subject = units.positive[at, k], units.subject[at]
    wanted = support.name in context.with_draws
    weights = {ENSEMBLE: None}
    if context.task.unit == "segment":
        weights[SUBJECT_WEIGHTED] = 1 / np.bincount(subject)[subject]
    for estimate, weight in weights.items():
        rankings = [Ranking(y, s[at, k], subject, size, weight) for s in scores.headline]
        points = [_points(y, s[at, k], config, weight) for s in scores.headline]
        draws = _drawn(context, [[r] for r in rankings]) if wanted else None
        _put(out, estimate, _ranked(rankings) | _mean(points), draws, _spread(context, k))
    per_seed, everyone = [], []
    for seed_scores in scores.folds[:, :, at, k]:
        models = [Ranking(y, s, subject, size) for s in seed_scores if np.isfinite(s).all()]
        everyone += models
        if wanted and support.name in context.gap_classes and models:
            each = [context.draws.apply(lambda w, r=r: r(w, precision=False)) for r in models]
            per_seed.append(np.mean(each, axis=0))
    draws = _over_seeds(per_seed, context.draws.seeds) if per_seed else None
    _put(out, FOLD_MODELS, _ranked(everyone, precision=False), draws, _spread(context, k))
    return out


def _challenge(context: TaskContext, scores: UnitScores, config: EvaluationConfig) -> Measured:
    """The challenge's score of the headline: the mean over folds at the source, the ensemble's at a target."""
    units = context.units
    points, per_seed = [], []
    for seed_scores in scores.headline:
        parts = context.challenge.scores(seed_scores, units.subject, len(units.subjects), config.threshold)
        points += [part()[0] for part in parts]
        per_seed.append(nan_mean(np.stack([context.draws.apply(part) for part in parts])))
    out, key = Measured(), (context.estimate, CHALLENGE_SCORE)
    out.value[key] = float(nan_mean(np.concatenate(points)))
    out.draws[key] = _over_seeds(per_seed, context.draws.seeds)[0]
    return out


def macro(measured: dict[str, Measured], classes: tuple[str, ...]) -> Measured:
    """Unweighted mean over classes, of the points and of each draw.

    A draw in which one of the classes has no value at all has no macro value either.
    """
    if len(classes) == 1:
        return measured[classes[0]]
    out = Measured()
    for key in measured[classes[0]].value if classes else ():
        out.value[key] = sum(measured[c].value.get(key, float("nan")) for c in classes) / len(classes)
    for key in measured[classes[0]].draws if classes else ():
        if all(key in measured[c].draws for c in classes):
            out.draws[key] = np.mean([measured[c].draws[key] for c in classes], axis=0)
    return out
