"""Class prior: every window gets the training part's prevalence of each class. The floor: ROC-AUC 0.5.

Parameters for 24 classes: 24 (small), 24 (full).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from baselines.linear import prevalence
from baselines.profiles import check_profile
from ecg_ramba.models import InputShape, ModelSpec


@dataclass(frozen=True, kw_only=True)
class ClassPriorConfig:
    """Nothing to configure."""


class ClassPrior:
    """Prevalence of each class among the known training windows; 0.5 where nothing is known."""

    def __init__(self, config: ClassPriorConfig, shape: InputShape):
        self.classes = shape.classes
        self._prior = np.full(shape.classes, 0.5)

    def fit(self, windows, y: np.ndarray, known: np.ndarray, seed: int) -> None:
        """Count; ``seed`` is not used."""
        self._prior = prevalence(np.asarray(y), np.asarray(known, bool))

    def predict_proba(self, windows) -> np.ndarray:
        """The prior, once a window, (N, classes) float32."""
        return np.tile(self._prior.astype(np.float32), (len(windows), 1))

    def state(self) -> dict[str, np.ndarray]:
        """The prior."""
        return {"prior": self._prior.copy()}

    def load(self, state: dict[str, np.ndarray]) -> None:
        """Inverse of :meth:`state`."""
        self._prior = np.asarray(state["prior"], np.float64)

    def parameters(self) -> int:
        """One number a class."""
        return self.classes


def profile(name: str) -> ClassPriorConfig:
    """The same in both profiles."""
    check_profile("class_prior", name)
    return ClassPriorConfig()


SPEC = ModelSpec(
    name="class_prior",
    title="Class prior",
    reference="prevalence in the training part; the no-information baseline",
    kind="estimator",
    profile=profile,
    streams=lambda config: frozenset(),
    build=ClassPrior,
)
