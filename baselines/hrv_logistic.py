"""HRV logistic regression: what heart-rate variability alone can tell, linearly.

L2-regularised logistic regression, one a class, on the standardised rhythm values and their validity flags.
Deterministic: no random number is drawn.

Parameters for 24 classes: 1,464 (small), 1,464 (full).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from baselines.linear import LogisticModel
from baselines.profiles import check_profile
from ecg_ramba.models import InputShape, ModelSpec, Windows


@dataclass(frozen=True, kw_only=True)
class HrvLogisticConfig:
    """``strength``: inverse strength of the regularisation (scikit-learn's ``C``)."""

    strength: float = 1.0


class HrvLogistic(LogisticModel):
    """Logistic regression on rhythm values and flags."""

    def __init__(self, config: HrvLogisticConfig, shape: InputShape):
        super().__init__(rhythm_inputs, scale="column", strength=config.strength, classes=shape.classes)
        self.features = 2 * shape.rhythm

    def parameters(self) -> int:
        """Weights and intercepts."""
        return self.parameter_count(self.features)


def rhythm_inputs(windows: Windows) -> np.ndarray:
    """Values (zero where not measurable) and flags, (N, 2 R) float32."""
    values = np.where(windows.rhythm_valid, windows.rhythm, 0.0)
    return np.concatenate([values, windows.rhythm_valid], axis=1).astype(np.float32)


def profile(name: str) -> HrvLogisticConfig:
    """The same in both profiles."""
    check_profile("hrv_logistic", name)
    return HrvLogisticConfig()


def search_space(trial, config: HrvLogisticConfig) -> HrvLogisticConfig:
    """The regularisation."""
    return replace(config, strength=trial.suggest_float("strength", 1e-4, 1e2, log=True))


SPEC = ModelSpec(
    name="hrv_logistic",
    title="HRV logistic regression",
    reference="Task Force of the ESC and NASPE 1996 (time domain); Brennan 2001 (Poincare); L2 logistic regression",
    kind="estimator",
    profile=profile,
    streams=lambda config: frozenset({"rhythm"}),
    build=HrvLogistic,
    search_space=search_space,
)
