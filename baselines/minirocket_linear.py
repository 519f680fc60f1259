"""MiniRocket-linear: a linear model on the very morphology tokens that the networks receive.

The input is not the raw MiniRocket vector but the principal components of each dilation group, fitted on the same
training fold, exactly as ECG-RAMBA gets them: so the two differ in the model alone. L2-regularised logistic
regression, one a class; the components are divided by one common scale, which keeps their relative variance (and so
equals a ridge penalty on the centred features that the components span). Deterministic.

Reference: Dempster, Schmidt and Webb 2021, "MiniRocket", KDD, arXiv:2012.08791.

Parameters for 24 classes: 2,616 (small), 73,752 (full) of 108 and 3,072 principal components.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from baselines.linear import LogisticModel
from baselines.profiles import check_profile
from ecg_ramba.models import InputShape, ModelSpec, Windows


@dataclass(frozen=True, kw_only=True)
class MiniRocketLinearConfig:
    """``strength``: inverse strength of the regularisation (scikit-learn's ``C``)."""

    strength: float = 0.1


class MiniRocketLinear(LogisticModel):
    """Logistic regression on the morphology components."""

    def __init__(self, config: MiniRocketLinearConfig, shape: InputShape):
        components = shape.components

        def inputs(windows: Windows) -> np.ndarray:
            tokens = windows.morphology
            return np.concatenate([tokens[:, g, :size] for g, size in enumerate(components)], axis=1)

        super().__init__(inputs, scale="global", strength=config.strength, classes=shape.classes)
        self.features = sum(components)

    def parameters(self) -> int:
        """Weights and intercepts."""
        return self.parameter_count(self.features)


def profile(name: str) -> MiniRocketLinearConfig:
    """The same in both profiles."""
    check_profile("minirocket_linear", name)
    return MiniRocketLinearConfig()


def search_space(trial, config: MiniRocketLinearConfig) -> MiniRocketLinearConfig:
    """The regularisation."""
    return replace(config, strength=trial.suggest_float("strength", 1e-5, 1e1, log=True))


SPEC = ModelSpec(
    name="minirocket_linear",
    title="MiniRocket, linear",
    reference="Dempster, Schmidt and Webb 2021, arXiv:2012.08791; L2 logistic regression on the fold's components",
    kind="estimator",
    profile=profile,
    streams=lambda config: frozenset({"morphology"}),
    build=MiniRocketLinear,
    search_space=search_space,
)
