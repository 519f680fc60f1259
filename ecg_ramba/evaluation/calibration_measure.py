"""Calibration figures of one class for several sets of its scores, with bootstrap draws: means over training seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecg_ramba.evaluation.calibration import CLIP, brier_terms, equal_mass, equal_width, log_loss, reliability
from ecg_ramba.evaluation.calibration_draws import class_draws
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.intervals import spread, widened
from ecg_ramba.evaluation.logistic import Line, calibration_line, line_draws
from ecg_ramba.evaluation.measure import TaskContext
from ecg_ramba.evaluation.thresholds import cells, rates

AS_PREDICTED = "as predicted"
"""The set of scores that no map has touched; only its calibration line has draws."""
LINE = ("intercept", "slope", "in_the_large")
TERMS = ("reliability", "resolution", "uncertainty", "within_variance", "within_covariance")


@dataclass(frozen=True)
class Figures:
    """One class and set of scores: ``value`` by name; ``draws`` by name, (D,) each, empty where none were wanted.

    ``reason``: why the calibration line has no number, or what it is.
    """

    value: dict[str, float]
    draws: dict[str, np.ndarray]
    reason: str = ""


def measure_sets(
    context: TaskContext, k: int, sets: Mapping[str, np.ndarray], wanted: bool, config: EvaluationConfig
) -> dict[str, Figures]:
    """Figures of one class for each set of scores.

    Parameters
    ----------
    context : TaskContext
    k : int
        Column of the class.
    sets : mapping of str to (n_seeds, n) array
        Scores of its scored units by set; :data:`AS_PREDICTED` is one of them.
    wanted : bool
        Whether draws are.
    config : EvaluationConfig
    """
    units, at = context.units, context.support[context.task.scores[k].name].scored
    positive, subject, size = units.positive[at, k], units.subject[at], len(units.subjects)
    points: dict[str, list[dict[str, float]]] = {name: [] for name in sets}
    drawn: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in sets}
    reasons = dict.fromkeys(sets, "")
    for seed in range(len(sets[AS_PREDICTED])):
        own = {name: of[seed] for name, of in sets.items()}
        lines = {name: calibration_line(positive, score) for name, score in own.items()}
        for name, score in own.items():
            points[name].append(_points(positive, score, lines[name], config))
            reasons[name] = reasons[name] or lines[name].reason
        if not wanted:
            continue
        made = class_draws(own, positive, subject, size, context.draws, config.bins, config.threshold)
        line = lines[AS_PREDICTED]
        if not line.reason:
            of = line_draws(positive, own[AS_PREDICTED], subject, size, context.draws, line)
            made[AS_PREDICTED] |= dict(zip(LINE, of, strict=True))
        for name, figures in made.items():
            drawn[name].append(figures)
    # A mean over seeds is NaN where one of them has no number: seeds must not choose their own figure.
    values = {n: {key: float(np.mean([p[key] for p in of])) for key in of[0]} for n, of in points.items()}
    factor, out = context.spread(context.task.scores[k].name), {}
    for name in sets:
        shared = _over_seeds(drawn[name], context.draws.seeds)
        out[name] = Figures(values[name], _spread(shared, values[name], factor), reasons[name])
    return out


def _spread(drawn: dict[str, np.ndarray], value: Mapping[str, float], factor: float) -> dict[str, np.ndarray]:
    """Draws spread for few subjects; those of a calibration error as they are, since its interval is another one."""
    out = {}
    for name, draws in drawn.items():
        if name not in ("ece", "ece_by_chance"):
            draws = (spread if name in LINE else widened)(draws, value[name], factor)
        out[name] = draws
    return out


def _points(positive: np.ndarray, score: np.ndarray, line: Line, config: EvaluationConfig) -> dict[str, float]:
    slot = equal_width(score, config.bins)
    by = reliability(positive, score, slot, config.bins)
    terms = brier_terms(positive, score, slot, config.bins)
    mass = reliability(positive, score, equal_mass(score, config.bins), config.bins)
    made = {"mean_score": float(score.mean()), "ece": by.ece, "ece_equal_mass": mass.ece}
    made |= {"mce": by.mce, "brier": terms.score}
    made |= {name: getattr(terms, name) for name in TERMS} | {"log_loss": log_loss(positive, score)}
    made |= {name: getattr(line, name) for name in LINE}
    made["clipped"] = float(((score < CLIP) | (score > 1 - CLIP)).sum())
    return made | {k: float(v) for k, v in rates(cells(positive, score, config.threshold).sum(1)).items()}


def _over_seeds(drawn: list[dict[str, np.ndarray]], shares: np.ndarray) -> dict[str, np.ndarray]:
    """Mean over seeds of each figure's draws, with each draw's own shares; without what a seed has no draws of.

    Some figures have the first draws only.
    """
    if not drawn:
        return {}
    names = [n for n in drawn[0] if all(n in d for d in drawn)]
    return {n: sum(share[: len(d[n])] * d[n] for share, d in zip(shares, drawn, strict=True)) for n in names}


def average(figures: Sequence[Figures], wanted: bool) -> Figures:
    """Mean over classes of points and of draws, where they are wanted and every class has them.

    Of the calibration line only the median of the slopes is kept, over classes that have one.
    """
    value = {n: float(np.mean([f.value[n] for f in figures])) for n in figures[0].value}
    slopes = [f.value["slope"] for f in figures if math.isfinite(f.value["slope"])]
    value |= dict.fromkeys(LINE, math.nan) | {"slope": float(np.median(slopes)) if slopes else math.nan}
    reason = f"slope: median of {len(slopes)} of {len(figures)} classes"
    if not wanted or not all(f.draws for f in figures):
        return Figures(value, {}, reason)
    names = ("ece", "ece_by_chance", "brier")
    return Figures(value, {n: np.mean([f.draws[n] for f in figures], axis=0) for n in names}, reason)
