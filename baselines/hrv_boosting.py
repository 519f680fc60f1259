"""Gradient boosting on heart-rate variability: what rhythm alone can tell, without a straight line.

scikit-learn's histogram gradient boosting, one model a class; a figure that is not measurable is missing. The fitted
trees are kept as plain arrays, so that a checkpoint holds no code. Deterministic: nothing is drawn.

References: Friedman 2001, Annals of Statistics; Ke et al. 2017 (LightGBM), NeurIPS.

Parameters for 24 classes: 69,600 (small), 69,600 (full) at most.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from baselines.linear import prevalence
from baselines.profiles import check_profile
from ecg_ramba.models import InputShape, ModelSpec, Windows

_NODES = ("value", "feature_idx", "num_threshold", "missing_go_to_left", "left", "right", "is_leaf")


@dataclass(frozen=True, kw_only=True)
class HrvBoostingConfig:
    """Trees of a class, their learning rate and leaves, and the fewest windows of a leaf."""

    trees: int = 100
    learning_rate: float = 0.1
    leaves: int = 15
    leaf_windows: int = 10


class HrvBoosting:
    """One boosted model a class; a class with one label only answers with its prior.

    Fitted state: ``start`` (classes,) log-odds each sum begins with; ``owner`` (trees,) class of each tree; ``first``
    (trees,) its first node; the nodes of all trees one after the other, a column of each of scikit-learn's fields;
    ``prior`` and ``constant`` (classes,).
    """

    def __init__(self, config: HrvBoostingConfig, shape: InputShape):
        self.config, self.classes = config, shape.classes
        self._state: dict[str, np.ndarray] = {}

    def fit(self, windows: Windows, y: np.ndarray, known: np.ndarray, seed: int) -> None:
        """Fit; ``seed`` is passed on, though nothing is drawn without subsampling."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        x, y, known = rhythm_with_gaps(windows), np.asarray(y) > 0, np.asarray(known, bool)
        prior = prevalence(y, known)
        constant = (prior == 0) | (prior == 1) | ~known.any(0)
        start, owner, first, nodes = np.zeros(self.classes), [], [], []
        for c in np.flatnonzero(~constant):
            of = x[known[:, c]]
            of[:, np.isnan(of).all(0)] = (
                0  # a figure that no window has: nothing to split by, and scikit-learn stumbles
            )
            model = HistGradientBoostingClassifier(
                max_iter=self.config.trees,
                learning_rate=self.config.learning_rate,
                max_leaf_nodes=self.config.leaves,
                min_samples_leaf=self.config.leaf_windows,
                early_stopping=False,
                random_state=seed,
            ).fit(of, y[known[:, c], c])
            start[c] = model._baseline_prediction.item()
            for (tree,) in model._predictors:
                owner.append(c)
                first.append(first[-1] + len(nodes[-1]) if first else 0)
                nodes.append(tree.nodes)
        together = np.concatenate(nodes) if nodes else np.zeros(0, [(n, "f8") for n in _NODES])
        self._state = {
            "start": start,
            "owner": np.array(owner, np.int64),
            "first": np.array(first, np.int64),
            **{name: together[name].astype(np.float64) for name in _NODES},
            "prior": prior,
            "constant": constant,
        }

    def predict_proba(self, windows: Windows) -> np.ndarray:
        """Probabilities (N, classes), float32."""
        s = self._state
        if not s:
            raise ValueError("the model has not been fitted")
        x = rhythm_with_gaps(windows)
        raw = np.tile(s["start"], (len(x), 1))
        for c, first in zip(s["owner"], s["first"], strict=True):
            raw[:, c] += self._tree(x, int(first))
        return np.where(s["constant"], s["prior"], expit(raw)).astype(np.float32)

    def _tree(self, x: np.ndarray, first: int) -> np.ndarray:
        """One tree's value of each window: all windows go down together, a level at a time."""
        s, at = self._state, np.full(len(x), first)
        while not (leaf := s["is_leaf"][at] > 0).all():
            go = np.flatnonzero(~leaf)
            node = at[go]
            value = x[go, s["feature_idx"][node].astype(int)]
            left = np.where(np.isnan(value), s["missing_go_to_left"][node] > 0, value <= s["num_threshold"][node])
            at[go] = first + np.where(left, s["left"][node], s["right"][node]).astype(int)
        return s["value"][at]

    def parameters(self) -> int:
        """A threshold a split and a value a leaf, at the most."""
        return self.classes * self.config.trees * (2 * self.config.leaves - 1)

    def state(self) -> dict[str, np.ndarray]:
        """Everything fitted, as arrays."""
        return dict(self._state)

    def load(self, state: dict[str, np.ndarray]) -> None:
        """Inverse of :meth:`state`."""
        self._state = {name: np.asarray(value) for name, value in state.items()}


def rhythm_with_gaps(windows: Windows) -> np.ndarray:
    """Rhythm values, NaN where not measurable, (N, R) float64."""
    return np.where(windows.rhythm_valid, windows.rhythm, np.nan).astype(np.float64)


def profile(name: str) -> HrvBoostingConfig:
    """The same in both profiles."""
    check_profile("hrv_boosting", name)
    return HrvBoostingConfig()


def search_space(trial, config: HrvBoostingConfig) -> HrvBoostingConfig:
    """Trees, rate and leaves."""
    return replace(
        config,
        trees=trial.suggest_int("trees", 20, 300),
        learning_rate=trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
        leaves=trial.suggest_int("leaves", 4, 31),
    )


SPEC = ModelSpec(
    name="hrv_boosting",
    title="HRV gradient boosting",
    reference="Friedman 2001; Ke et al. 2017 (LightGBM); HRV as in hrv_logistic",
    kind="estimator",
    profile=profile,
    streams=lambda config: frozenset({"rhythm"}),
    build=HrvBoosting,
    search_space=search_space,
)
