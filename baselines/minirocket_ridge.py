"""MiniRocket and ridge, the classifier its authors recommend: all features, penalty chosen by leave-one-out.

Run as the variant ``minirocket_ridge``, which gives it all 9,996 features in place of principal components. Features
are standardised, each class is regressed on -1 and 1 by scikit-learn's ``RidgeCV``, and the leave-one-out predictions
of the training windows turn its answers into probabilities (a rising logistic curve a class; Platt 1999). Leaving out
single windows chooses a smaller penalty than leaving out recordings would: windows of one recording overlap.

Reference: Dempster, Schmidt and Webb 2021, "MiniRocket", KDD, arXiv:2012.08791, which recommends ridge up to about
10,000 training examples: of more windows a random part is used.

Parameters for 24 classes: 2,664 (small), 73,800 (full) of 108 and 3,072 features (of all 9,996 features 239,976).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from baselines.linear import ROWS, fit_logistic, prevalence
from baselines.profiles import check_profile
from ecg_ramba.models import InputShape, ModelSpec, Windows

FLATTEST = 1e-2
"""Least slope of a class's curve: a class that ridge cannot learn keeps its order of windows, close to its prior."""


@dataclass(frozen=True, kw_only=True)
class MiniRocketRidgeConfig:
    """``alphas``: penalties to choose from, for each class; ``most``: training windows used at most."""

    alphas: tuple[float, ...] = tuple(float(a) for a in np.logspace(-3, 3, 10))
    most: int = 10_000


class MiniRocketRidge:
    """Ridge regression of each class on all features, made a probability."""

    def __init__(self, config: MiniRocketRidgeConfig, shape: InputShape):
        self.config, self.components, self.classes = config, shape.components, shape.classes
        self._state: dict[str, np.ndarray] = {}

    def _features(self, windows: Windows, rows: np.ndarray | slice) -> np.ndarray:
        tokens = windows.morphology[rows]
        return np.concatenate([tokens[:, g, :size] for g, size in enumerate(self.components)], axis=1).astype(float)

    def fit(self, windows: Windows, y: np.ndarray, known: np.ndarray, seed: int) -> None:
        """Fit; ``seed`` chooses the windows where there are more than ``most``."""
        y, known = np.asarray(y) > 0, np.asarray(known, bool)
        rows = np.sort(np.random.default_rng(seed).permutation(len(windows))[: self.config.most])
        x, y, known = self._features(windows, rows), y[rows], known[rows]
        mean, deviation = x.mean(0), x.std(0)
        deviation[deviation < 1e-8] = 1.0
        x = (x - mean) / deviation
        prior = prevalence(y, known)
        constant = (prior == 0) | (prior == 1) | ~known.any(0)
        weights, intercepts = np.zeros((x.shape[1], self.classes)), np.zeros(self.classes)
        slopes, offsets = np.zeros(self.classes), np.zeros(self.classes)
        for of, there in _alike(known, ~constant):
            ridge, left_out = self._ridge(x[there], np.where(y[there][:, of], 1.0, -1.0))
            weights[:, of], intercepts[of] = ridge.coef_.reshape(len(of), -1).T, ridge.intercept_
            for column, c in enumerate(of):
                curve = fit_logistic(left_out[:, [column]], y[there][:, [c]], np.ones((len(left_out), 1), bool), 1e3)
                slopes[c], offsets[c] = curve[0].item(), curve[1].item()
                if slopes[c] < FLATTEST:  # what is left out of noise is predicted the wrong way round
                    slopes[c], offsets[c] = FLATTEST, logit(prior[c])
        self._state = {
            "mean": mean,
            "deviation": deviation,
            "weights": weights,
            "intercepts": intercepts,
            "slopes": slopes,
            "offsets": offsets,
            "prior": prior,
            "constant": constant,
        }

    def _ridge(self, x: np.ndarray, targets: np.ndarray):
        """Fitted regression, and its leave-one-out predictions (n, classes) at the chosen penalties."""
        from sklearn.linear_model import RidgeCV

        alphas = np.array(self.config.alphas)
        ridge = RidgeCV(
            alphas=alphas, alpha_per_target=True, scoring="neg_mean_squared_error", store_cv_results=True
        ).fit(x, targets)
        results = ridge.cv_results_.reshape(len(x), targets.shape[1], len(alphas))
        chosen = np.searchsorted(alphas, np.atleast_1d(ridge.alpha_))
        return ridge, np.take_along_axis(results, chosen[None, :, None], axis=2)[..., 0]

    def predict_proba(self, windows: Windows) -> np.ndarray:
        """Probabilities (N, classes), float32."""
        s = self._state
        if not s:
            raise ValueError("the model has not been fitted")
        out = np.empty((len(windows), self.classes), np.float32)
        for first in range(0, len(windows), ROWS):
            rows = slice(first, first + ROWS)
            answer = (self._features(windows, rows) - s["mean"]) / s["deviation"] @ s["weights"] + s["intercepts"]
            out[rows] = expit(s["slopes"] * answer + s["offsets"])
        return np.where(s["constant"], s["prior"], out).astype(np.float32)

    def parameters(self) -> int:
        """Weights and intercepts, and the two figures of each class's curve."""
        return (sum(self.components) + 3) * self.classes

    def state(self) -> dict[str, np.ndarray]:
        """Everything fitted, as arrays."""
        return dict(self._state)

    def load(self, state: dict[str, np.ndarray]) -> None:
        """Inverse of :meth:`state`."""
        self._state = {name: np.asarray(value) for name, value in state.items()}


def _alike(known: np.ndarray, learnable: np.ndarray):
    """Learnable classes that are known on the same windows, together, and these windows."""
    patterns, which = np.unique(known[:, learnable], axis=1, return_inverse=True)
    columns = np.flatnonzero(learnable)
    for i in range(patterns.shape[1]):
        yield columns[which.ravel() == i], np.flatnonzero(patterns[:, i])


def profile(name: str) -> MiniRocketRidgeConfig:
    """The same in both profiles."""
    check_profile("minirocket_ridge", name)
    return MiniRocketRidgeConfig()


SPEC = ModelSpec(
    name="minirocket_ridge",
    title="MiniRocket, ridge",
    reference="Dempster, Schmidt and Webb 2021, arXiv:2012.08791; ridge on all features, leave-one-out penalty",
    kind="estimator",
    profile=profile,
    streams=lambda config: frozenset({"morphology"}),
    build=MiniRocketRidge,
)
