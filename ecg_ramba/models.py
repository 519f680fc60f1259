"""What a model is to this suite: one signature for ECG-RAMBA, every baseline and every plug-in.

A model is a :class:`ModelSpec`. There are two kinds:

``network``
    ``build(config, shape)`` returns a ``torch.nn.Module`` whose ``forward(batch)`` maps a :class:`Batch` to logits
    of shape (B, n_classes), float32. The harness trains all networks alike.
``estimator``
    ``build(config, shape)`` returns an object with ``fit(windows, y, known, seed)``, ``predict_proba(windows)``,
    ``parameters()``, ``state()`` and ``load(state)`` (see :class:`Estimator`); the harness calls ``fit`` once a fold.

A new model is one file with a ``SPEC`` and one entry point in the group ``ecg_ramba.models``. This module imports no
torch, so that lists and ``--help`` stay instant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from ecg_ramba.errors import UserError, first_line, unknown_name

if TYPE_CHECKING:
    import torch

STREAMS = ("signal", "morphology", "rhythm", "embedding")
"""Inputs a model may use: the filtered signal, MiniRocket tokens, heart-rate variability, a frozen model's embedding.

A configuration that reads ``embedding`` is an :class:`ecg_ramba.features.embedding.Embedder`, which says whose.
"""

PROFILES = ("small", "full")
"""``small``: for two CPU cores. ``full``: the paper's sizes."""


@dataclass(frozen=True, kw_only=True)
class InputShape:
    """Sizes of one window's inputs and of the output.

    ``components`` holds the number of principal components of each MiniRocket dilation group; the batch's morphology
    array is padded with zeros to ``max(components)``. ``rhythm`` counts HRV values (their validity flags come in a
    second array of the same size), ``embedding`` the values of an embedding.
    """

    leads: int = 12
    samples: int = 2500
    components: tuple[int, ...] = ()
    rhythm: int = 0
    embedding: int = 0
    classes: int = 24


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Inputs of N windows as numpy arrays; streams that the model does not use are None.

    signal (N, 12, 2500) float32, z-scored, zero where absent; leads (N, 12) bool, lead present; valid (N, 2500) bool,
    sample inside the recording; morphology (N, groups, max components) float32; rhythm (N, R) float32, standardised,
    zero where not measurable; rhythm_valid (N, R) bool; embedding (N, D) float32, as the frozen model gave it.
    """

    leads: np.ndarray
    signal: np.ndarray | None = None
    valid: np.ndarray | None = None
    morphology: np.ndarray | None = None
    rhythm: np.ndarray | None = None
    rhythm_valid: np.ndarray | None = None
    embedding: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.leads)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The same as :class:`Windows`, as torch tensors on one device."""

    leads: torch.Tensor
    signal: torch.Tensor | None = None
    valid: torch.Tensor | None = None
    morphology: torch.Tensor | None = None
    rhythm: torch.Tensor | None = None
    rhythm_valid: torch.Tensor | None = None
    embedding: torch.Tensor | None = None


class Estimator(Protocol):
    """What ``build`` of an ``estimator`` returns."""

    def fit(self, windows: Windows, y: np.ndarray, known: np.ndarray, seed: int) -> None:
        """Fit on windows with labels ``y`` (N, classes) in {0, 1}; only entries with ``known`` count."""

    def predict_proba(self, windows: Windows) -> np.ndarray:
        """Probabilities (N, classes), float32."""

    def parameters(self) -> int:
        """Number of weights, as tables give it."""

    def state(self) -> dict[str, np.ndarray]:
        """Everything fitted, as arrays."""

    def load(self, state: dict[str, np.ndarray]) -> None:
        """Inverse of :meth:`state`."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """One model: its name, where it comes from, what it reads, how it is configured and built.

    Parameters
    ----------
    name : str
        As typed on the command line.
    title : str
        As printed in tables.
    reference : str
        Paper or standard, in one line.
    kind : {"network", "estimator"}
        How the harness trains it.
    profile : callable
        ``profile("small" | "full")`` returns the frozen configuration dataclass.
    streams : callable
        ``streams(config)`` returns the subset of :data:`STREAMS` that this configuration reads; no other is computed.
    build : callable
        ``build(config, shape)``; see the module's text.
    search_space : callable, optional
        ``search_space(trial, config)`` returns a configuration with hyper-parameters drawn from an Optuna trial.
    """

    name: str
    title: str
    reference: str
    kind: Literal["network", "estimator"]
    profile: Callable[[str], Any]
    streams: Callable[[Any], frozenset[str]]
    build: Callable[[Any, InputShape], Any]
    search_space: Callable[[Any, Any], Any] | None = None

    def __post_init__(self):
        if self.kind not in ("network", "estimator"):
            raise UserError(f"its kind is {self.kind!r}; use network or estimator")


def estimator_parameters(spec: ModelSpec, estimator: Estimator) -> int:
    """Its number of weights.

    Raises
    ------
    UserError
        If the estimator does not say.
    """
    if not callable(getattr(estimator, "parameters", None)):
        raise UserError(f"the estimator of model {spec.name!r} lacks parameters(), which returns its number of weights")
    return int(estimator.parameters())


def model_names() -> list[str]:
    """Names of all registered models, without importing any of them."""
    return sorted({ep.name for ep in entry_points(group="ecg_ramba.models")})


def model_spec(name: str) -> ModelSpec:
    """The registered model of that name.

    Raises
    ------
    UserError
        If no model has that name, two have it, or it cannot be imported.
    """
    found = {ep.value: ep for ep in entry_points(group="ecg_ramba.models", name=name)}
    if not found:
        raise unknown_name("model", name, model_names())
    if len(found) > 1:
        raise UserError(f"two models are called {name!r}: {' and '.join(sorted(found))}; uninstall or rename one")
    (ep,) = found.values()
    try:
        spec = ep.load()
    except (Exception, SystemExit) as error:  # a plug-in's module may fail in any way
        raise UserError(f"model {name!r} ({ep.value}) cannot be imported: {first_line(error)}") from error
    if not isinstance(spec, ModelSpec):
        raise UserError(f"model {name!r} ({ep.value}) is a {type(spec).__name__}; name a ModelSpec there")
    if spec.name != name:
        raise UserError(f"model {name!r} ({ep.value}) calls itself {spec.name!r}; make the two names the same")
    return spec
