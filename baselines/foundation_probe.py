"""A linear probe on a frozen foundation model: L2-regularised logistic regression, one a class, on its embeddings.

The foundation model is the user's own file (``--foundation FILE.toml``, see ``ecg_ramba.harness.foundation``) and is
never trained here; the probe is, on each fold's training part alone, as every other estimator. Deterministic.

Reference: Alain and Bengio 2016, "Understanding intermediate layers using linear classifier probes", arXiv:1610.01644.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from baselines.linear import LogisticModel
from baselines.profiles import check_profile
from ecg_ramba.features.embedding import Embedder, check_unchanged
from ecg_ramba.models import InputShape, ModelSpec, Windows


@dataclass(frozen=True, kw_only=True)
class FoundationProbeConfig(Embedder):
    """The frozen model, and ``strength``: inverse strength of the probe's regularisation (scikit-learn's ``C``).

    Stronger than for the other linear baselines: an embedding often has more values than a small source has subjects.
    """

    strength: float = 0.01


class FoundationProbe(LogisticModel):
    """Logistic regression on embeddings, each value divided by its standard deviation."""

    def __init__(self, config: FoundationProbeConfig, shape: InputShape):
        super().__init__(embedding_inputs, scale="column", strength=config.strength, classes=shape.classes)
        self.config, self.features = config, shape.embedding

    def parameters(self) -> int:
        """Weights and intercepts of the probe; those of the frozen model are not counted."""
        return self.parameter_count(self.features)

    def load(self, state: dict[str, np.ndarray]) -> None:
        """Inverse of ``state``; refused unless the frozen model's file is there and is the same."""
        check_unchanged(self.config)
        super().load(state)


def embedding_inputs(windows: Windows) -> np.ndarray:
    """The embeddings, (N, D) float32."""
    return windows.embedding


def profile(name: str) -> FoundationProbeConfig:
    """The same in both profiles, and without a frozen model: that one comes from the user's description."""
    check_profile("foundation_probe", name)
    return FoundationProbeConfig()


SPEC = ModelSpec(
    name="foundation_probe",
    title="foundation model, linear probe",
    reference="Alain and Bengio 2016, arXiv:1610.01644; needs --foundation FILE.toml",
    kind="estimator",
    profile=profile,
    streams=lambda config: frozenset({"embedding"}),
    build=FoundationProbe,
)
