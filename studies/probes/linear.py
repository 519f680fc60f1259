"""Linear probes: how well a linear map reads something from a representation, fitted on training units alone.

A probe says what can be read linearly from a representation, not what the network uses (Alain and Bengio 2016,
arXiv:1610.01644; Belinkov 2022, "Probing classifiers"). Its strength is fixed, not tuned: tuned probes would compare
their tuning. What is fitted takes training units and nothing else; scoring takes what was fitted.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

STRENGTH = 0.1
"""scikit-learn's ``C`` of every logistic regression: log loss against an L2 penalty on standardised values."""

ALPHAS = tuple(float(a) for a in 10.0 ** np.arange(-2, 6))
"""Penalties of the ridge regressions, of which leave-one-out on the training units takes one."""

CLIP = 10.0
"""Standardised values are cut off here, as the networks' own rhythm figures are: one outlier is not a probe."""

STEPS = 2000
"""Most iterations of a logistic regression."""


@dataclass(frozen=True, eq=False)
class LinearMap:
    """A fitted linear map: values standardised as in its training, times ``weight`` (d, k), plus ``intercept`` (k,).

    ``converged``: the optimiser ended by itself.
    """

    mean: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    intercept: np.ndarray
    converged: bool = True

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """(n, d) values, NaN where not measurable -> (n, k)."""
        return standardised(raw, self.mean, self.scale) @ self.weight + self.intercept


def standardised(raw: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(n, d) float64 in standard deviations of training, cut off at CLIP; 0 where missing or constant in training."""
    raw = np.asarray(raw, dtype=np.float64)
    usable = np.isfinite(raw) & (scale > 0)
    values = (np.where(usable, raw, 0) - mean) / np.where(scale > 0, scale, 1)
    return np.where(usable, np.clip(values, -CLIP, CLIP), 0.0)


@dataclass(frozen=True, eq=False)
class Design:
    """Training units, standardised once for all probes that are fitted on them.

    With more columns than units the units are written in an orthonormal basis of their span: the L2 penalty does not
    change under rotation, and the best weights lie in that span, so the fit is the same and smaller.

    Parameters
    ----------
    mean, scale : (d,) arrays
        Over the finite training values; ``scale`` 0 where constant.
    x : (n, r) array
        The units.
    basis : (d, r) array or None
        Orthonormal columns; None for the columns as they are.
    """

    mean: np.ndarray
    scale: np.ndarray
    x: np.ndarray
    basis: np.ndarray | None

    @classmethod
    def of(cls, raw: np.ndarray) -> Design:
        """From the training units (n, d), NaN where not measurable."""
        raw = np.asarray(raw, dtype=np.float64)
        finite = np.isfinite(raw)
        count = np.maximum(finite.sum(0), 1)
        mean = np.where(finite, raw, 0).sum(0) / count
        scale = np.sqrt((np.where(finite, raw - mean, 0) ** 2).sum(0) / count)
        scale = np.where(scale <= 1e-9 * np.maximum(np.abs(mean), 1e-9), 0.0, scale)
        x, basis = standardised(raw, mean, scale), None
        if x.shape[1] > x.shape[0]:
            basis, triangle = np.linalg.qr(x.T)
            x = np.ascontiguousarray(triangle.T)
        return cls(mean, scale, x, basis)

    def _map(self, weight: np.ndarray, intercept: np.ndarray, converged: bool = True) -> LinearMap:
        weight = weight if self.basis is None else self.basis @ weight
        return LinearMap(self.mean, self.scale, weight, np.asarray(intercept, dtype=np.float64), converged)

    def logistic(self, y: np.ndarray, weight: np.ndarray, rows: np.ndarray | None = None) -> LinearMap:
        """Multinomial logistic regression; k is 1 for two classes, else one column a class, in sorted order.

        Parameters
        ----------
        y : (m,) array
            Labels, two kinds at least.
        weight : (m,) array
            Weights of the units; only their proportions count.
        rows : (m,) int array, optional
            Which training units these are; by default all.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        x = self.x if rows is None else self.x[rows]
        model = LogisticRegression(C=STRENGTH, max_iter=STEPS, tol=1e-5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # counted, and said where it happens
            model.fit(x, y, sample_weight=weight * (len(weight) / weight.sum()))
        return self._map(model.coef_.T, model.intercept_, bool(np.max(model.n_iter_) < STEPS))

    def ridge(self, y: np.ndarray, rows: np.ndarray | None = None) -> LinearMap:
        """Ridge regression of ``y`` (m,), its penalty chosen by leave-one-out among :data:`ALPHAS`."""
        from sklearn.linear_model import RidgeCV

        model = RidgeCV(ALPHAS).fit(self.x if rows is None else self.x[rows], y)
        return self._map(model.coef_[:, None], np.array([model.intercept_]))


def balanced(y: np.ndarray, _rows: np.ndarray | None = None) -> np.ndarray:
    """Weights (n,) under which every class counts alike, whatever its number; rows are not looked at."""
    _, code = np.unique(y, return_inverse=True)
    return 1 / np.bincount(code)[code]


def other_subjects_rows(subject: np.ndarray, rng: np.random.Generator, within: np.ndarray | None = None) -> np.ndarray:
    """For each unit the unit whose label it gets when subjects' labels are permuted: subjects move whole.

    A subject with more units than the one whose labels it gets takes them again from the first.

    Parameters
    ----------
    subject : (n,) array
    rng : numpy.random.Generator
    within : (n,) array, optional
        Subjects are exchanged only where this (a subject's first value) is the same.
    """
    _, first, code = np.unique(subject, return_index=True, return_inverse=True)
    order = np.argsort(code, kind="stable")
    start = np.searchsorted(code[order], np.arange(len(first)))
    size = np.bincount(code)
    taken = np.arange(len(first))
    block = np.zeros(len(first), dtype=int) if within is None else np.unique(within[first], return_inverse=True)[1]
    for b in range(block.max(initial=-1) + 1):
        members = np.flatnonzero(block == b)
        taken[members] = members[rng.permutation(len(members))]
    place = np.empty(len(code), dtype=int)
    place[order] = np.arange(len(code)) - start[code[order]]
    donor = taken[code]
    return order[start[donor] + place % size[donor]]


def p_value(observed: float, permuted: np.ndarray) -> float:
    """Share of permutations that score as high, the observed one among them; NaN without any (Phipson and Smyth 2010).

    The smallest that n permutations reach is 1 / (n + 1).
    """
    permuted = permuted[np.isfinite(permuted)]
    if not len(permuted) or not np.isfinite(observed):
        return float("nan")
    return float((1 + (permuted >= observed - 1e-12).sum()) / (1 + len(permuted)))


def combined_p(values: Sequence[float]) -> float:
    """One p-value of several that may depend on each other: twice their mean (Vovk and Wang 2020, Biometrika)."""
    finite = [v for v in values if np.isfinite(v)]
    return float(min(1.0, 2 * np.mean(finite))) if finite else float("nan")
