"""What a fold's model makes of segments: the means of its streams before and after fusion, and its embedding.

A segment has the mean over its windows (and over tokens, as the models' own heads take it).

=============  ====================================================================================================
stream         what it is
=============  ====================================================================================================
``rhythm``     the projection of heart-rate variability
``morphology`` the projection of MiniRocket's components: the Perceiver's latents, or the tokens of a side stream
``signal``     the tokenizer's tokens of the raw signal, before fusion; padding left out
``fused``      all streams' tokens after fusion, in front of the backbone; padding left out
``embedding``  what the last linear layer reads
``components`` MiniRocket's principal components themselves, on the fold's basis
=============  ====================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecg_ramba.errors import UserError
from ecg_ramba.files import building, fetched
from ecg_ramba.harness.cells import Cell, Context, cell_key
from ecg_ramba.harness.checkpoint import FoldModel, load_fold_model
from ecg_ramba.harness.embeddings import with_embedding
from ecg_ramba.harness.features import window_source
from ecg_ramba.harness.inputs import WindowSource, to_batch, window_table
from ecg_ramba.harness.probabilities import PREDICTED
from ecg_ramba.keys import array_digest, digest, seed_for
from ecg_ramba.nn.backends import with_backend
from studies.pieces import piece_folder
from studies.probes.listener import Listener

if TYPE_CHECKING:
    from torch import nn

VERSION = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Wanted:
    """Activations of one fold model on some segments of one data set.

    Parameters
    ----------
    cell : Cell
        Variant, fold and seed.
    place : int
        0 is the source, 1, 2, … the targets.
    at : (m,) int array
        Segments, by row of the store, each once.
    limb : bool
        With V1 to V6 absent in every stream.
    untrained : bool
        The same architecture with the weights it begins with: a control.
    """

    cell: Cell
    place: int
    at: np.ndarray
    limb: bool = False
    untrained: bool = False


def activation_folder(context: Context, wanted: Wanted) -> Path:
    """Where these activations are kept."""
    view = context.of(wanted.cell)
    data = (view.source, *view.targets)[wanted.place]
    key = [VERSION, cell_key(context, wanted.cell), data.digest, array_digest(wanted.at)]
    return piece_folder(context.out, "activations", digest([*key, wanted.limb, wanted.untrained]))


def activation_job(context: Context, wanted: Wanted) -> None:
    """Compute and keep activations (in a worker): a file (m, d) float32 for each stream there is."""
    view = context.of(wanted.cell)
    key = cell_key(context, wanted.cell)
    model = load_fold_model(fetched(context.out / "cells" / key[:24]) / "model.pt", view.suite.backend)
    network = untrained_network(model, view.suite, wanted.cell) if wanted.untrained else model.fitted
    data = (view.source, *view.targets)[wanted.place]
    found = segment_activations(model, network, data, wanted.at, wanted.limb, context.cache, view.suite.device)
    with building(activation_folder(context, wanted)) as temporary:
        for name, values in found.items():
            np.save(temporary / f"{name}.npy", values)


def load_activations(folder: Path) -> dict[str, np.ndarray]:
    """Stream -> (m, d) float32, memory-mapped, in the order of the segments asked for."""
    return {path.stem: np.load(path, mmap_mode="r") for path in sorted(fetched(folder).glob("*.npy"))}


def untrained_network(model: FoldModel, suite, cell: Cell) -> nn.Module:
    """A network of the same architecture and sizes with random weights, in evaluation mode."""
    from ecg_ramba.harness.train import reproducible

    if model.spec.kind != "network":
        raise UserError(f"model {model.spec.name!r} is no network: it has no activations")
    with reproducible(seed_for(suite.base_seed, cell.seed, cell.fold, "untrained")):
        return model.spec.build(with_backend(model.config, suite.backend), model.shape).eval()


def segment_activations(
    model: FoldModel, network: nn.Module, data, at: np.ndarray, limb: bool, cache: Path | None, device: str = "cpu"
) -> dict[str, np.ndarray]:
    """Activations of segments, as means over their windows.

    Parameters
    ----------
    model : FoldModel
        Whose transforms and inputs are used.
    network : nn.Module
        Its network, or another of the same shape.
    data : Prepared
    at : (m,) int array
        Segments, by row of the store, each once.
    limb : bool
        With V1 to V6 absent.
    cache, device
        As for predictions.

    Returns
    -------
    dict of str to (m, d) float32 array

    Raises
    ------
    UserError
        If the model is no network, or its last layer is not linear.
    """
    import torch

    from ecg_ramba.harness.precision import computing

    if model.spec.kind != "network":
        raise UserError(f"model {model.spec.name!r} is no network: it has no activations")
    table = window_table(data, model.shape.samples)
    place = np.full(len(data.valid), -1)
    place[at] = np.arange(len(at))
    rows = np.flatnonzero(place[table.at] >= 0)
    source = segment_source(model, data, table, rows, limb, cache, device)
    network = network.to(device)
    sums: dict[str, np.ndarray] = {}
    count = np.bincount(place[table.at[rows]], minlength=len(at))[:, None]
    size = PREDICTED[model.shape.samples]
    with Listener(network, model.shape.classes) as listener, torch.no_grad():
        for begin in range(0, len(rows), size):
            which = np.arange(begin, min(begin + size, len(rows)))
            windows = source.windows(which, np.full(len(which), limb))
            batch = to_batch(windows, device)
            with computing(device, model.facts["precision"]):
                found = listener.read(batch)
            if windows.morphology is not None:
                found["components"] = columns(source, rows[which], limb)
            for name, values in found.items():
                out = sums.setdefault(name, np.zeros((len(at), values.shape[1])))
                np.add.at(out, place[table.at[rows[which]]], values)
    return {name: (total / count).astype(np.float32) for name, total in sums.items()}


def segment_source(model: FoldModel, data, table, rows: np.ndarray, limb: bool, cache, device: str) -> WindowSource:
    """Windows as the model reads them; with ``limb`` those without V1 to V6 as well."""
    source = window_source(
        data, table, rows, model.streams, model.morphology, model.rhythm, cache, model.inputs, augmented=limb
    )
    if "embedding" in model.streams:
        source = with_embedding(source, model.config, cache, device, augmented=limb)
    return source


def columns(source: WindowSource, rows: np.ndarray, limb: bool) -> np.ndarray:
    """MiniRocket's components (n, k) of windows of a source, by row of its table."""
    of = rows if source.morphology_row is None else source.morphology_row[rows]
    return np.asarray((source.morphology_limb if limb else source.morphology)[of], dtype=np.float64)


def networks_of(cells: Sequence[Cell], failures: Mapping[str, str]) -> tuple[list[Cell], dict[str, str]]:
    """The cells of networks that did not fail; and why each other variant has no activations."""
    from ecg_ramba.models import model_spec

    reasons = dict(failures)
    for cell in cells:
        spec = model_spec(cell.model)
        if spec.kind != "network":
            reasons.setdefault(cell.variant, f"{spec.title} is no network: it has no activations")
    return [c for c in cells if c.variant not in reasons], reasons
