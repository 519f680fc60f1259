"""L2-regularised logistic regression, one independent model a class, all classes in one pass over the data.

For class c: minimise ``strength * sum over known windows of logloss + 0.5 |w_c|^2``, the intercept free; the form
that scikit-learn calls ``C``. L-BFGS in float64 from zero: deterministic.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

ROWS = 8192
"""Windows converted to float64 at a time, so that memory does not grow with their number."""


def prevalence(y: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Share of positives among the known windows of each class, (classes,) float64; 0.5 where nothing is known."""
    n = known.sum(0)
    positive = ((y > 0) & known).sum(0)
    return np.where(n > 0, positive / np.maximum(n, 1), 0.5)


def fit_logistic(x: np.ndarray, y: np.ndarray, known: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights and intercepts of all classes.

    Parameters
    ----------
    x : ndarray (N, F)
        Features, standardised by the caller.
    y, known : ndarray (N, classes)
        Labels in {0, 1} and which of them count.
    strength : float
        Inverse strength of the regularisation, as scikit-learn's ``C``.

    Returns
    -------
    weights (F, classes), intercepts (classes,) : ndarray of float64
        A class with one label only, or none, has zero weights; its intercept is 0 and the caller predicts the prior.
    """
    features, classes = x.shape[1], y.shape[1]
    share = prevalence(y, known)
    learnable = (share > 0) & (share < 1) & known.any(0)
    weights, intercepts = np.zeros((features, classes)), np.zeros(classes)
    if not learnable.any():
        return weights, intercepts
    y, known = (y[:, learnable] > 0).astype(np.float64), known[:, learnable]
    count = int(learnable.sum())

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(features + 1, count)
        value, grad = 0.5 * float((w[:-1] ** 2).sum()), np.zeros_like(w)
        grad[:-1] = w[:-1]
        for first in range(0, len(x), ROWS):
            rows = slice(first, first + ROWS)
            block = np.asarray(x[rows], np.float64)
            logits = block @ w[:-1] + w[-1]
            value += strength * float(((np.logaddexp(0, logits) - y[rows] * logits) * known[rows]).sum())
            residual = strength * (expit(logits) - y[rows]) * known[rows]
            grad[:-1] += block.T @ residual
            grad[-1] += residual.sum(0)
        return value, grad.ravel()

    start = np.zeros((features + 1, count))
    start[-1] = np.log(share[learnable] / (1 - share[learnable]))
    options = {"maxiter": 1000, "maxfun": 2000, "ftol": 1e-10, "gtol": 1e-4}
    fitted = minimize(objective, start.ravel(), jac=True, method="L-BFGS-B", options=options).x
    fitted = fitted.reshape(features + 1, count)
    weights[:, learnable], intercepts[learnable] = fitted[:-1], fitted[-1]
    return weights, intercepts


class LogisticModel:
    """Standardise, fit one logistic regression a class, predict; a class that cannot be learnt gets its prior.

    Parameters
    ----------
    inputs : callable
        Maps :class:`ecg_ramba.models.Windows` to features (N, F) float32.
    scale : {"column", "global"}
        Divide each column by its own standard deviation, or all by one root mean square (which keeps the relative
        variance of principal components).
    strength : float
        Inverse strength of the regularisation.
    classes : int
        Number of classes.
    """

    def __init__(self, inputs, *, scale: str, strength: float, classes: int):
        if strength <= 0:
            raise ValueError(f"the strength of a logistic regression is positive, got {strength}")
        self.inputs, self.scale, self.strength, self.classes = inputs, scale, strength, classes
        self._state: dict[str, np.ndarray] = {}

    def fit(self, windows, y: np.ndarray, known: np.ndarray, seed: int) -> None:
        """Fit; ``seed`` is not used, there is nothing random."""
        y, known = np.asarray(y), np.asarray(known, bool)
        if y.shape != (len(windows), self.classes) or known.shape != y.shape:
            raise ValueError(f"labels have the shape {(len(windows), self.classes)}, got {y.shape} and {known.shape}")
        x = self.inputs(windows)
        mean = x.mean(0, dtype=np.float64)
        deviation = x.std(0, dtype=np.float64)
        if self.scale == "global":
            deviation = np.full_like(deviation, np.sqrt((deviation**2).mean()))
        deviation[deviation < 1e-8] = 1.0
        x = ((x - mean) / deviation).astype(np.float32)
        weights, intercepts = fit_logistic(x, y, known, self.strength)
        prior = prevalence(y, known)
        # the intercept of a class with one label only cannot be finite: such a class answers with its prior
        constant = (prior == 0) | (prior == 1) | ~known.any(0)
        self._state = {
            "mean": mean,
            "deviation": deviation,
            "weights": weights,
            "intercepts": intercepts,
            "prior": prior,
            "constant": constant,
        }

    def predict_proba(self, windows) -> np.ndarray:
        """Probabilities (N, classes), float32."""
        s = self._state
        if not s:
            raise ValueError("the model has not been fitted")
        out = np.empty((len(windows), self.classes), np.float32)
        x = self.inputs(windows)
        for first in range(0, len(x), ROWS):
            rows = slice(first, first + ROWS)
            out[rows] = expit((x[rows] - s["mean"]) / s["deviation"] @ s["weights"] + s["intercepts"])
        return np.where(s["constant"], s["prior"], out).astype(np.float32)

    def state(self) -> dict[str, np.ndarray]:
        """Everything fitted, as arrays."""
        return dict(self._state)

    def load(self, state: dict[str, np.ndarray]) -> None:
        """Inverse of :meth:`state`."""
        self._state = {name: np.asarray(value) for name, value in state.items()}

    def parameter_count(self, features: int) -> int:
        """Weights and intercepts for so many features."""
        return (features + 1) * self.classes
