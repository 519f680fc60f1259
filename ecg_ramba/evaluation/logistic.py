"""Calibration slope and intercept: logistic regression of the label on the logit of the score, and its bootstrap.

Cox 1958, "Two further applications of a model for binary regression"; Van Calster and others 2016, "A calibration
hierarchy for risk models was defined". A slope of 1 and an intercept of 0 are perfect; a slope below 1: scores too
extreme. Calibration in the large is the intercept with the slope held at 1: above 0, scores are too low on average.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.special import expit

from ecg_ramba.evaluation.calibration import logit
from ecg_ramba.evaluation.intervals import Draws

NODES = 256
"""Bootstrap draws see the logits on a grid of this many points, unless fewer values occur. Points do not."""
DRAWS = 500
"""At most this many of the bootstrap draws, the task's first ones, are fitted: each is an iteration of its own."""
_STEPS = 100
_LONGEST = 4.0
_TOLERANCE = 1e-9
_FAR = 100.0
"""No intercept lies further: clipped logits end at 14, and a share of one in 1e20 units adds 46."""
_CHUNK = 64

SEPARATED = "no slope: the scores part positives from negatives without overlap, so it has no finite estimate"
ONE_OUTCOME = "no slope: units of one outcome only"
ONE_SCORE = "no slope: every unit has the same score"
NOT_FOUND = "no slope: the fit did not converge"


@dataclass(frozen=True)
class Line:
    """Logistic recalibration of one set of scores; NaN where ``reason`` says why there is no number."""

    intercept: float
    slope: float
    in_the_large: float
    reason: str = ""


def fit(x: np.ndarray, mass: np.ndarray, hits: np.ndarray, moments: np.ndarray, start=(0.0, 1.0), near=_TOLERANCE):
    """Weighted logistic regressions on one covariate, many at once, by Newton's method.

    Parameters
    ----------
    x : (n,) array
        The covariate.
    mass : (n, D) array
        Weight of each value in each regression.
    hits, moments : (D,) arrays
        Sums over units of weight x label, and of weight x label x covariate. Labels may be fractions.
    start : (intercept, slope)
    near : float
        The last step is shorter than this, the error about its square, in units of one standard deviation of ``x``.

    Returns
    -------
    intercept, slope : (D,) float64 arrays
        NaN where there is no finite estimate.
    """
    x, hits, moments = (np.asarray(v, np.float64) for v in (x, hits, moments))
    total = mass.sum()
    middle = float((mass.sum(1) @ x) / total) if total else 0.0
    spread = float(np.sqrt(mass.sum(1) @ (x - middle) ** 2 / total)) if total else 0.0
    if not spread > 0:
        return np.full((2, len(hits)), np.nan)
    # Centred and scaled, the two parameters are nearly independent and Newton's steps are of order one.
    z, moments = (x - middle) / spread, (moments - middle * hits) / spread
    at = np.repeat([[start[0] + start[1] * middle], [start[1] * spread]], len(hits), axis=1)
    step, promised = np.zeros_like(at), np.full(len(hits), np.inf)
    going, lost, restarted = np.arange(len(hits)), np.zeros(len(hits), bool), np.zeros(len(hits), bool)
    for _ in range(_STEPS):
        w = mass[:, going]
        p = expit(at[0, going] + z[:, None] * at[1, going])
        expected = w * p
        ascent = np.stack([hits[going] - expected.sum(0), moments[going] - z @ expected])
        # A step that went far past the best point of its line is taken back by half (the likelihood is concave).
        past = np.einsum("pd,pd->d", ascent, step[:, going]) < -0.5 * promised[going]
        back, on = going[past], going[~past]
        step[:, back] /= 2
        promised[back] /= 2
        at[:, back] -= step[:, back]
        v, ascent = expected[:, ~past] * (1 - p[:, ~past]), ascent[:, ~past]
        h00, h01, h11 = v.sum(0), z @ v, (z * z) @ v
        det = h00 * h11 - h01**2
        flat = ~(det > 1e-12 * np.maximum(h00 * h11, 1e-200))
        det = np.where(flat, np.inf, det)
        full = np.stack([h11 * ascent[0] - h01 * ascent[1], h00 * ascent[1] - h01 * ascent[0]]) / det
        longest = np.abs(full).max(0)
        full *= np.minimum(1.0, _LONGEST / np.maximum(longest, 1e-300))
        step[:, on], promised[on] = full, np.einsum("pd,pd->d", ascent, full)
        at[:, on] += full
        # No curvature: every unit is at 0 or 1 from there, or the covariate does not vary. Begin again at nought, once.
        again = on[flat & ~restarted[on]]
        lost[on[flat & restarted[on]]] = True
        restarted[again], at[:, again], step[:, again], promised[again] = True, 0, 0, np.inf
        going = np.sort(np.concatenate([back, again, on[~flat & (longest > near)]]))
        if not len(going):
            break
    lost[going] = True
    slope = np.where(lost, np.nan, at[1] / spread)
    return np.stack([np.where(lost, np.nan, at[0]) - slope * middle, slope])


def fit_in_the_large(x: np.ndarray, mass: np.ndarray, hits: np.ndarray, start: float = 0.0) -> np.ndarray:
    """Intercepts with the slope held at 1, parameters as of :func:`fit` -> (D,); NaN with one outcome only."""
    hits = np.asarray(hits, np.float64)
    none = (hits <= 0) | (hits >= mass.sum(0))
    a = np.where(none, np.nan, float(start))
    low, high = np.full((2, len(hits)), [[-_FAR], [_FAR]])
    going = np.flatnonzero(~none)
    for _ in range(_STEPS):
        if not len(going):
            return a
        w = mass[:, going]
        p = expit(a[going] + x[:, None])
        missing = hits[going] - (w * p).sum(0)  # falls as the intercept rises
        low[going], high[going] = (
            np.where(missing > 0, a[going], low[going]),
            np.where(missing < 0, a[going], high[going]),
        )
        step = missing / np.maximum((w * p * (1 - p)).sum(0), 1e-300)
        made, there = a[going] + step, np.abs(step) <= _TOLERANCE
        inside = there | ((made > low[going]) & (made < high[going]))
        a[going] = np.where(inside, made, (low[going] + high[going]) / 2)
        going = going[~there]
    a[going] = np.nan
    return a


def no_line(positive: np.ndarray, x: np.ndarray) -> str:
    """Why labels have no logistic regression on ``x``; "" where they have one."""
    if positive.all() or not positive.any():
        return ONE_OUTCOME
    if x.min() == x.max():
        return ONE_SCORE
    yes, no = x[positive], x[~positive]
    return SEPARATED if yes.min() >= no.max() or yes.max() <= no.min() else ""


def calibration_line(positive: np.ndarray, score: np.ndarray) -> Line:
    """Intercept and slope of the label on the logit of the score, and the intercept with the slope held at 1.

    Parameters
    ----------
    positive : (n,) bool array
    score : (n,) array
        Clipped as in :data:`ecg_ramba.evaluation.calibration.CLIP`.
    """
    positive, nan = np.asarray(positive, bool), float("nan")
    if not len(positive):
        return Line(nan, nan, nan, ONE_OUTCOME)
    x, mass, hits = logit(score), np.ones((len(positive), 1)), np.array([positive.sum()])
    large = float(fit_in_the_large(x, mass, hits)[0])
    reason = no_line(positive, x)
    if reason:
        return Line(nan, nan, large, reason)
    (intercept,), (slope,) = fit(x, mass, hits, np.array([x[positive].sum()]))
    return Line(float(intercept), float(slope), large, "" if np.isfinite(slope) else NOT_FOUND)


def line_draws(
    positive: np.ndarray, score: np.ndarray, subject: np.ndarray, n_subjects: int, draws: Draws, line: Line
) -> np.ndarray:
    """Bootstrap draws of a calibration line, :data:`DRAWS` at most.

    Each draw is fitted on the logits of all its units put on :data:`NODES` points: a unit between two points counts
    for both, in such shares that sums of the logit stay exact (linear binning, Fan and Marron 1994).

    Parameters
    ----------
    positive, score : (n,) arrays
    subject : (n,) int array
        Row of the draws that each unit belongs to.
    n_subjects : int
    draws : Draws
    line : Line
        Of all units: where the fits begin.

    Returns
    -------
    (3, min(D, DRAWS)) float64 array
        Intercept, slope and calibration in the large of each draw. Intercept and slope are NaN where a draw has one
        outcome only or separates.
    """
    positive, x = np.asarray(positive, bool), logit(score)
    nodes, entries = _on_nodes(x, subject, n_subjects)
    sums = np.stack([np.bincount(subject, v, n_subjects) for v in (positive, positive * x)])
    counts = np.ascontiguousarray(draws.counts[:, :DRAWS])
    weights = counts.astype(np.float32)
    mass = (entries @ weights).astype(np.float64)
    hits, moments = sums @ weights
    out = np.full((3, counts.shape[1]), np.nan)
    out[2] = fit_in_the_large(nodes, mass, hits, line.in_the_large)
    at = np.flatnonzero(~_separated(positive, x, subject, counts))
    out[:2, at] = fit(nodes, mass[:, at], hits[at], moments[at], (line.intercept, line.slope), 1e-4)
    return out


def _on_nodes(x: np.ndarray, subject: np.ndarray, n_subjects: int) -> tuple[np.ndarray, csr_array]:
    """Grid points (G,), and how much each subject's units weigh on each of them, (G, n_subjects)."""
    nodes = np.unique(x)
    if len(nodes) > NODES:
        nodes = np.linspace(x.min(), x.max(), NODES)
    left = np.clip(np.searchsorted(nodes, x, side="right") - 1, 0, len(nodes) - 2)
    share = (x - nodes[left]) / (nodes[left + 1] - nodes[left])
    rows, columns = np.concatenate([left, left + 1]), np.concatenate([subject, subject])
    entries = np.concatenate([1 - share, share]).astype(np.float32)
    return nodes, csr_array((entries, (rows, columns)), shape=(len(nodes), n_subjects))


def _separated(positive: np.ndarray, x: np.ndarray, subject: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(D,) bool: draws whose positives and negatives do not overlap, or that lack one of them."""
    yes, no = positive, ~positive
    low_yes, low_no = (_lowest(x[m], subject[m], counts) for m in (yes, no))
    high_yes, high_no = (-_lowest(-x[m], subject[m], counts) for m in (yes, no))
    return ~((low_yes < high_no) & (high_yes > low_no))


def _lowest(x: np.ndarray, subject: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(D,) lowest value among the subjects of each draw; NaN where none of them was drawn."""
    order = np.argsort(x, kind="stable")
    _, first = np.unique(subject[order], return_index=True)
    order = order[np.sort(first)]  # a subject's lowest unit decides
    out = np.full(counts.shape[1], np.nan)
    going = np.arange(counts.shape[1])
    for start in range(0, len(order), _CHUNK):
        chunk = order[start : start + _CHUNK]
        drawn = counts[subject[chunk]][:, going] > 0
        found = drawn.any(axis=0)
        out[going[found]] = x[chunk[drawn.argmax(axis=0)[found]]]
        going = going[~found]
        if not len(going):
            break
    return out
