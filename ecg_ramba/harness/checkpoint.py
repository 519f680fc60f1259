"""A fold's model with everything it needs to run on raw recordings: weights, transforms, labels, configuration.

The file is a dictionary of tensors and one JSON text, written by ``torch.save`` and read with ``weights_only=True``:
no code is ever loaded from it.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecg_ramba import __version__
from ecg_ramba.data.labels import mapping_digest
from ecg_ramba.errors import CheckpointError, UserError
from ecg_ramba.features.standardise import RhythmTransform
from ecg_ramba.features.transform import FeatureConfig, MorphologyTransform
from ecg_ramba.files import write_atomic
from ecg_ramba.harness.config import InputConfig
from ecg_ramba.keys import canonical_json
from ecg_ramba.models import InputShape, ModelSpec, model_spec
from ecg_ramba.nn.backends import with_backend
from ecg_ramba.signal import SignalConfig

FORMAT = "ecg-ramba-fold-2"


@dataclass(frozen=True, kw_only=True)
class FoldModel:
    """A trained model and what was fitted with it on the same training part.

    ``fitted`` is the network (in evaluation mode, EMA weights) or the estimator. ``trained`` marks the classes it was
    trained on; the others come out as NaN. ``facts`` holds what a reader should know: source, fold, seed, synthetic,
    number of training recordings, package version.
    """

    spec: ModelSpec
    config: Any
    shape: InputShape
    fitted: Any
    classes: tuple[str, ...]
    trained: np.ndarray
    signal: SignalConfig
    features: FeatureConfig
    inputs: InputConfig
    morphology: MorphologyTransform | None
    rhythm: RhythmTransform | None
    facts: dict[str, Any]

    @property
    def streams(self) -> frozenset[str]:
        """The inputs it reads."""
        return self.spec.streams(self.config)

    @property
    def title(self) -> str:
        """As printed: the model's, and whether its weights are the published ones."""
        return f"{self.spec.title}, published weights" if "published" in self.facts else self.spec.title

    @property
    def attention(self) -> bool:
        """Whether it weighs a segment's windows against each other: it then has two outputs a class."""
        return self.shape.classes == 2 * len(self.classes)

    def weights(self) -> dict[str, np.ndarray]:
        """Weights or fitted arrays by name."""
        if self.spec.kind == "estimator":
            return self.fitted.state()
        return {k: v.detach().cpu().numpy() for k, v in self.fitted.state_dict().items()}

    def save(self, path: Path) -> None:
        """Write the checkpoint atomically."""
        import torch

        about = {
            "model": self.spec.name,
            "config": dataclasses.asdict(self.config),
            "shape": dataclasses.asdict(self.shape),
            "classes": list(self.classes),
            "signal": dataclasses.asdict(self.signal),
            "features": dataclasses.asdict(self.features),
            "inputs": dataclasses.asdict(self.inputs),
            "facts": self.facts | {"version": __version__, "mapping_digest": mapping_digest()},
        }
        content = {
            "format": FORMAT,
            "about": canonical_json(about),
            "trained": torch.from_numpy(self.trained.copy()),
            "weights": _tensors(self.weights()),
            "morphology": _tensors(self.morphology.state() if self.morphology else {}),
            "rhythm": _tensors(self.rhythm.state() if self.rhythm else {}),
        }
        write_atomic(path, lambda p: torch.save(content, p))


def _tensors(arrays: dict[str, np.ndarray]) -> dict:
    import torch

    return {k: torch.from_numpy(np.array(v, copy=True)) for k, v in arrays.items()}


def _arrays(tensors: dict) -> dict[str, np.ndarray]:
    return {k: v.numpy() for k, v in tensors.items()}


def load_fold_model(path: Path, backend: str = "auto") -> FoldModel:
    """Read a checkpoint on the CPU.

    ``backend`` runs the selective scan where the model leaves it open, whatever ran it in training.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, carries code, or is not this project's, or if the frozen foundation model that
        it was trained on is not there or has changed.
    """
    content = read_tensors(path, "train first: ecg-ramba train --data DIR")
    if is_published(content):
        raise CheckpointError(f"{path} is one of the published ECG-RAMBA; first: ecg-ramba model import {path}")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint of this suite (format {FORMAT}); made by another project?")
    try:
        return _restore(content, backend)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except (UserError, KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        first = str(error).split("\n")[0]
        raise CheckpointError(f"{path} does not fit this version of the suite ({first}); train again") from error


def read_tensors(path: Path, hint: str) -> Any:
    """What a file written by ``torch.save`` holds, without running any code of it.

    ``hint`` says what to do if it is missing.

    Raises
    ------
    CheckpointError
        If it is missing, damaged, or holds more than tensors and plain values.
    """
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist; {hint}") from None
    except pickle.UnpicklingError:
        # torch's own text ends by advising to load it without protection
        raise CheckpointError(f"{path} is refused: no checkpoint, or one that holds more than tensors") from None
    except PermissionError:
        raise CheckpointError(f"{path} may not be read by this user") from None
    except (RuntimeError, EOFError, OSError, ValueError, zipfile.BadZipFile, LookupError) as error:
        first = str(error).split("\n")[0] or "it is empty"
        raise CheckpointError(f"{path} is not a readable checkpoint ({first}); train again or copy it again") from None


def is_published(content: Any) -> bool:
    """Whether what a file holds looks like a published ECG-RAMBA checkpoint: see :mod:`ecg_ramba.harness.released`."""
    state = content.get("model", content) if isinstance(content, Mapping) else None
    return isinstance(state, Mapping) and {"final_latents", "hrv_proj.0.weight"} <= set(state)


def _restore(content: dict, backend: str) -> FoldModel:
    import torch

    about = json.loads(content["about"])
    spec = model_spec(about["model"])
    config = settings(type(spec.profile("small")), about["config"])
    shape = settings(InputShape, about["shape"])
    fitted = spec.build(with_backend(config, backend), shape)
    if spec.kind == "estimator":
        fitted.load(_arrays(content["weights"]))
    else:
        fitted.load_state_dict(content["weights"])
        fitted.eval()
        if not all(torch.isfinite(v).all() for v in content["weights"].values() if v.is_floating_point()):
            raise ValueError("its weights are not finite")
    if about["facts"]["mapping_digest"] != mapping_digest():
        raise ValueError("it was trained with other label tables")
    return FoldModel(
        spec=spec,
        config=config,
        shape=shape,
        fitted=fitted,
        classes=tuple(about["classes"]),
        trained=content["trained"].numpy(),
        signal=settings(SignalConfig, about["signal"]),
        features=settings(FeatureConfig, about["features"]),
        inputs=settings(InputConfig, about["inputs"]),
        morphology=MorphologyTransform.from_state(_arrays(content["morphology"])) if content["morphology"] else None,
        rhythm=RhythmTransform.from_state(_arrays(content["rhythm"])) if content["rhythm"] else None,
        facts=about["facts"],
    )


def settings(cls: type, values: dict) -> Any:
    """A frozen configuration from JSON values: lists become tuples, unknown settings are an error."""
    known = {f.name for f in dataclasses.fields(cls)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise UserError(f"{cls.__name__} has no setting {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
