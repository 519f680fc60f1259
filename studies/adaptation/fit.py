"""The two fits: a map of a score, and a change of a linear layer. Deterministic, float64, from what they are given.

The map is Platt's (1999): an intercept and a slope on the logit of the score. The slope is left at 1, and the intercept
alone fitted, with fewer than :data:`LEAST` positive or negative subjects, or where the fitted slope would turn the
order of the scores round.

The change of the layer is a ridge-penalised logistic regression towards the weights of the source: with ``d`` the
change of a class's weights and bias, ``x`` the activations with a one appended, and weights ``w`` that give every
subject one vote however many windows it has::

    sum_i w_i logloss(y_i, z_i + x_i d)  +  PENALTY / 2 * mean_w |x|^2 * |d|^2

So, before any label is seen, the logit of a window is expected to move by about one (standard deviation
``1 / sqrt(PENALTY)``) whatever the width of the layer and the scale of its inputs. ``PENALTY`` was fixed at 1 before
any target was looked at, and is not tuned.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr, solve
from scipy.special import expit

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.calibration import logit
from ecg_ramba.evaluation.logistic import fit_in_the_large
from ecg_ramba.evaluation.recalibration import Platt, fit_platt

LEAST = 5
"""Positive, and negative, subjects that a slope takes."""
PENALTY = 1.0
BOTH, ALONE = "slope and intercept", "intercept alone"
_STEPS = 200


@dataclass(frozen=True)
class FittedMap:
    """A map of a class's scores, or the reason why there is none; ``kind``: :data:`BOTH` or :data:`ALONE`."""

    made: Platt | None
    kind: str
    reason: str = ""


def outcomes(positive: np.ndarray, subject: np.ndarray) -> tuple[int, int]:
    """Subjects with a positive, and subjects with a negative."""
    return len(np.unique(subject[positive])), len(np.unique(subject[~positive]))


def lacking(positive: np.ndarray, subject: np.ndarray) -> str:
    """Why a class cannot be adapted with these labels; "" where both outcomes are there."""
    yes, no = outcomes(positive, subject)
    if yes and no:
        return ""
    if not yes and not no:
        return "no labelled adaptation subject"
    which, those = ("positive", no) if not yes else ("negative", yes)
    return f"no {which} among {those} labelled adaptation subject{'s' * (those != 1)}"


def fit_map(positive: np.ndarray, score: np.ndarray, subject: np.ndarray) -> FittedMap:
    """A map of one class's scores from the adaptation units.

    Parameters
    ----------
    positive : (n,) bool array
    score : (n,) array
        Finite.
    subject : (n,) int array
    """
    positive = np.asarray(positive, bool)
    if reason := lacking(positive, subject):
        return FittedMap(None, "", reason)
    why = ""
    if min(outcomes(positive, subject)) >= LEAST:
        try:
            made = fit_platt(positive, score)
        except UserError as error:
            why = str(error).removeprefix("no map: ")
        else:
            if made.slope > 0:
                return FittedMap(made, BOTH)
            why = "the fitted slope turns the order of the scores round"
    yes = int(positive.sum())
    # Platt's targets, as in fit_platt: the intercept is finite and drawn towards one half.
    hits = yes * (yes + 1) / (yes + 2) + (len(positive) - yes) / (len(positive) - yes + 2)
    (intercept,) = fit_in_the_large(logit(score), np.ones((len(positive), 1)), np.array([hits]))
    return FittedMap(Platt(float(intercept), 1.0), ALONE, why)


def equal_votes(subject: np.ndarray) -> np.ndarray:
    """Weight (n,) of each window, so that those of one subject weigh one together."""
    _, of, count = np.unique(subject, return_inverse=True, return_counts=True)
    return 1 / count[of]


def fit_change(
    x: np.ndarray, offset: np.ndarray, y: np.ndarray, weight: np.ndarray, penalty: float = PENALTY
) -> np.ndarray:
    """The change of a class's weights and bias, see the module's text.

    Parameters
    ----------
    x : (n, D) array
        Activations in front of the layer.
    offset : (n,) array
        Logits that the source's weights give.
    y : (n,) array
        Labels, 0 or 1.
    weight : (n,) array
        Above zero.
    penalty : float
        Above zero.

    Returns
    -------
    (D + 1,) float64 array
        The change of the weights, then of the bias.
    """
    x = np.concatenate([np.asarray(x, np.float64), np.ones((len(x), 1))], axis=1)
    ridge = penalty * float(weight @ (x * x).sum(axis=1)) / float(weight.sum())
    basis = None
    if len(x) < x.shape[1]:
        # The change lies in the span of the rows: with fewer windows than weights the same problem is smaller there.
        basis, r = qr(x.T, mode="economic")
        x = r.T
    made = _newton(x, np.asarray(offset, np.float64), np.asarray(y, np.float64), weight, ridge)
    return made if basis is None else basis @ made


def _newton(x, offset, y, weight, ridge: float) -> np.ndarray:
    """Minimise the penalised loss by Newton's method with step halving; it is strictly convex."""

    def loss(d: np.ndarray) -> float:
        z = offset + x @ d
        return float(weight @ (np.logaddexp(0, z) - y * z)) + 0.5 * ridge * float(d @ d)

    d = np.zeros(x.shape[1])
    value = loss(d)
    for _ in range(_STEPS):
        p = expit(offset + x @ d)
        gradient = x.T @ (weight * (p - y)) + ridge * d
        curvature = (x * (weight * p * (1 - p))[:, None]).T @ x + ridge * np.eye(len(d))
        step = solve(curvature, gradient, assume_a="pos")
        gain = float(gradient @ step)
        if gain < 1e-12 * (1 + abs(value)):
            return d - step  # so near, a whole step squares the error, and the loss no longer shows it for rounding
        size = 1.0
        while (after := loss(d - size * step)) > value - 1e-4 * size * gain:
            size /= 2
        d, value = d - size * step, after
    raise AssertionError("Newton's method on a strictly convex loss did not end")
