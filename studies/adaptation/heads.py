"""The last linear layer of a trained network, found as it computes, and what the frozen rest says of every window.

Nothing is assumed of an architecture: the layer is the last ``nn.Linear`` with one output a class that runs, once, on
one vector a window, and whose output is what the network returns. Where there is none, the reason is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from ecg_ramba.data.store import Prepared
from ecg_ramba.errors import UserError
from ecg_ramba.files import fetched, sha256_file
from ecg_ramba.harness.cells import Cell, Context, cell_key
from ecg_ramba.harness.checkpoint import FoldModel, load_fold_model
from ecg_ramba.harness.embeddings import with_embedding
from ecg_ramba.harness.features import window_source
from ecg_ramba.harness.inputs import WindowTable, to_batch, window_table
from ecg_ramba.harness.probabilities import PREDICTED
from ecg_ramba.keys import digest
from studies.pieces import piece_folder, read_piece, write_piece

if TYPE_CHECKING:
    from torch import nn

    from ecg_ramba.models import Batch

KIND = "activations"
"""Folder of these pieces."""
ATTENTION = (
    "no head to adapt: the network also says how much each window counts, two outputs a class; calibration alone"
)


@dataclass(frozen=True)
class Head:
    """A fold model's last linear layer, and what stands in front of it for the windows of one target.

    Parameters
    ----------
    classes : tuple of str
        The model's outputs.
    trained : (C,) bool array
        Those it was trained on.
    weight, bias : (C, D), (C,) float64 arrays
    activations : (windows, D) float32 array
        In the order of the model's own window table.
    samples : int
        Length of its windows.
    tolerance : float
        How far its probabilities may be apart by rounding.
    """

    classes: tuple[str, ...]
    trained: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    activations: np.ndarray
    samples: int
    tolerance: float

    def logits(self, rows: np.ndarray, c: int) -> np.ndarray:
        """Logits (n,) float64 of these windows for class number ``c``, by the source's weights."""
        return self.activations[rows].astype(np.float64) @ self.weight[c] + self.bias[c]


def find_head(network: nn.Module, batch: Batch, classes: int) -> nn.Linear:
    """The last linear layer of a network in evaluation mode.

    Raises
    ------
    UserError
        Why there is none.
    """
    import torch
    from torch.nn import Linear

    ran: list[tuple[Linear, torch.Tensor, torch.Tensor]] = []
    hooks = [
        m.register_forward_hook(lambda module, inputs, output: ran.append((module, inputs[0], output)))
        for m in network.modules()
        if isinstance(m, Linear) and m.out_features == classes
    ]
    try:
        with torch.inference_mode():
            logits = network(batch)
    finally:
        for hook in hooks:
            hook.remove()
    name = type(network).__name__
    if not ran:
        raise UserError(f"no head to adapt: {name} has no linear layer with {classes} outputs, one a class")
    module, inputs, output = ran[-1]
    if sum(m is module for m, _, _ in ran) > 1 or inputs.ndim != 2:
        raise UserError(f"no head to adapt: the last linear layer of {name} does not read one vector a window")
    if output is not logits and not torch.equal(output, logits):
        raise UserError(f"no head to adapt: what {name} returns is not the output of its last linear layer")
    return module


def read_head(model: FoldModel, data: Prepared, table: WindowTable, cache: Path | None, device: str = "cpu") -> Head:
    """Run the frozen network over all windows of a data set and keep what its last linear layer reads.

    Parameters
    ----------
    model : FoldModel
    data, table : Prepared, WindowTable
        The data set, and its windows of the model's own length.
    cache : Path or None
        Of features.
    device : str

    Raises
    ------
    UserError
        If the model is no network or has no such layer.
    """
    import torch

    from ecg_ramba.harness.precision import SAME, computing

    if model.spec.kind != "network":
        raise UserError(f"no head to adapt: {model.spec.title} is no network; calibration alone")
    if model.attention:
        raise UserError(ATTENTION)
    rows = np.arange(len(table))
    source = window_source(data, table, rows, model.streams, model.morphology, model.rhythm, cache, model.inputs)
    if "embedding" in model.streams:
        source = with_embedding(source, model.config, cache, device)
    network, size, precision = model.fitted.to(device).eval(), PREDICTED[table.samples], model.facts["precision"]
    heard: list[torch.Tensor] = []
    parts, logits, head, hook = [], [], None, None
    try:
        for begin in range(0, len(rows), size):
            which = np.arange(begin, min(begin + size, len(rows)))
            batch = to_batch(source.windows(which, np.zeros(len(which), bool)), device)
            with torch.inference_mode(), computing(device, precision):
                if head is None:
                    head = find_head(network, batch, len(model.classes))
                    hook = head.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0]))
                logits.append(network(batch).float().cpu().numpy())
            parts.append(heard.pop().float().cpu().numpy())
    finally:
        if hook is not None:
            hook.remove()
    bias = np.zeros(len(model.classes)) if head.bias is None else head.bias.detach().cpu().numpy().astype(np.float64)
    weight = head.weight.detach().cpu().numpy().astype(np.float64)
    made = Head(
        classes=model.classes,
        trained=model.trained,
        weight=weight,
        bias=bias,
        activations=np.concatenate(parts),
        samples=table.samples,
        tolerance=SAME[precision],
    )
    again = expit(made.activations @ weight.T + bias)
    if not np.allclose(again, expit(np.concatenate(logits).astype(np.float64)), atol=made.tolerance):
        raise UserError(f"no head to adapt: the last linear layer of {model.spec.title} does not give its answers")
    return made


@dataclass(frozen=True)
class HeadJob:
    """A cell's network on target number ``place`` of the suite."""

    cell: Cell
    place: int


def head_folder(context: Context, job: HeadJob) -> Path:
    """Where the head and activations of a job are kept."""
    view = context.of(job.cell)
    key = digest([cell_key(context, job.cell), view.targets[job.place].digest, sha256_file(Path(__file__))])
    return piece_folder(context.out, KIND, key)


def head_job(context: Context, job: HeadJob) -> None:
    """Compute and keep a head with its activations (in a worker)."""
    view = context.of(job.cell)
    data, table = view.targets[job.place], view.target_tables[job.place]
    folder = context.out / "cells" / cell_key(context, job.cell)[:24]
    model = load_fold_model(fetched(folder) / "model.pt", view.suite.backend)
    if model.shape.samples != table.samples:
        table = window_table(data, model.shape.samples)
    made = read_head(model, data, table, context.cache, view.suite.device)
    arrays = {name: getattr(made, name) for name in ("trained", "weight", "bias", "activations")}
    arrays |= {
        "classes": np.array(made.classes),
        "samples": np.array(made.samples),
        "tolerance": np.array(made.tolerance),
    }
    write_piece(head_folder(context, job), arrays)


def stored_head(folder: Path) -> Head:
    """A head that :func:`head_job` kept."""
    found = read_piece(folder)
    return Head(
        classes=tuple(found["classes"].tolist()),
        trained=found["trained"],
        weight=found["weight"],
        bias=found["bias"],
        activations=found["activations"],
        samples=int(found["samples"]),
        tolerance=float(found["tolerance"]),
    )
