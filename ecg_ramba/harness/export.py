"""A fold's network as an ONNX file: one window's signal, MiniRocket components and HRV in, probabilities out.

Features are computed outside, by the checkpoint's own transforms. The selective scan is exported in its portable
chunked form. The file carries the classes, which of them were trained, and the order of the leads.
"""

import contextlib
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ecg_ramba.data.leads import LEADS
from ecg_ramba.errors import UserError
from ecg_ramba.files import write_atomic
from ecg_ramba.harness.checkpoint import FoldModel, load_fold_model
from ecg_ramba.models import Batch
from ecg_ramba.nn.inputs import example_batch

INPUTS = {
    "signal": ("signal", "valid"),
    "morphology": ("morphology",),
    "rhythm": ("rhythm", "rhythm_valid"),
    "embedding": ("embedding",),
}
"""Tensors of each stream, as in :class:`ecg_ramba.models.Batch`; ``leads`` always comes first."""

TOLERANCE = 1e-4
"""How far the file's probabilities may be from the network's."""


class _Probabilities(nn.Module):
    """The network with its inputs one by one, and probabilities in place of logits."""

    def __init__(self, network: nn.Module, names: tuple[str, ...]):
        super().__init__()
        self.network, self.names = network, names

    def forward(self, *tensors: Tensor) -> Tensor:
        return torch.sigmoid(self.network(Batch(**dict(zip(self.names, tensors, strict=True)))).float())


def input_names(model: FoldModel) -> tuple[str, ...]:
    """Names of the file's inputs, in order."""
    return ("leads", *(name for stream, names in INPUTS.items() if stream in model.streams for name in names))


def export_onnx(checkpoint: Path, path: Path) -> float:
    """Write a checkpoint's network as ONNX and compare it with the network in onnxruntime.

    Parameters
    ----------
    checkpoint : Path
        Of one fold.
    path : Path
        File to write, whole or not at all.

    Returns
    -------
    float
        The largest difference of a probability, on noise, on windows with absent leads and on padded ones.

    Raises
    ------
    UserError
        If the packages onnx, onnxscript and onnxruntime are not there, the model is no network of single windows, or
        the file says anything else than the network.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  torch.onnx needs it
    except ImportError as error:
        raise UserError(f"{error.name} is not installed; pip install -e .[onnx]") from None
    model = load_fold_model(checkpoint, backend="chunked")
    if model.spec.kind != "network" or model.attention:
        raise UserError(f"{checkpoint}: {model.spec.name} is no network of single windows and cannot be exported")
    names = input_names(model)
    wrapped = _Probabilities(model.fitted, names).eval()
    batch = torch.export.Dim("windows", min=1)
    given = _examples(model, 4)
    arguments = tuple(getattr(given, name) for name in names)
    with _quiet():
        program = torch.onnx.export(
            wrapped,
            arguments,
            input_names=list(names),
            output_names=["probabilities"],
            dynamic_shapes=(tuple({0: batch} for _ in names),),
            dynamo=True,
            verbose=False,
        )
    kept = ("source", "synthetic", "fold", "folds", "seed", "label_space")
    about = {
        "classes": json.dumps(model.classes),
        "trained": json.dumps(model.trained.tolist()),
        "leads": json.dumps(LEADS),
        "facts": json.dumps({k: model.facts[k] for k in kept}),
    }
    made = program.model_proto
    onnx.helper.set_model_props(made, about)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    difference = 0.0
    for windows in (1, 5):
        given = _examples(model, windows)
        feed = {name: getattr(given, name).numpy() for name in names}
        (found,) = session.run(None, feed)
        with torch.no_grad():
            expected = wrapped(*(getattr(given, name) for name in names)).numpy()
        difference = max(difference, float(np.abs(found - expected).max()))
    if not difference <= TOLERANCE:
        raise UserError(f"the ONNX file's probabilities are {difference:.2g} from the network's; it is not written")
    write_atomic(path, lambda p: onnx.save(made, p))
    return difference


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on its own passes; what it makes is compared with the network afterwards."""
    log = logging.getLogger("onnxscript")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _examples(model: FoldModel, windows: int) -> Batch:
    """Noise in which one window lacks V1-V6 and another is half padding."""
    batch = example_batch(model.shape, model.streams, windows)
    batch.leads[0, 6:] = False
    if batch.valid is not None:
        batch.valid[-1, model.shape.samples // 2 :] = False
    return batch
