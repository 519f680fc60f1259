"""Where in the signal a prediction comes from: Grad-CAM over time, integrated gradients by lead.

Both look at the signal stream alone: MiniRocket's components and HRV stay as they are, so what those say of the same
stretch is in neither map. Both explain the logit of one class, averaged over the fold models trained on it.

Grad-CAM (Selvaraju et al. 2017, ICCV) on the tokenizer's tokens: over time only, its first convolution mixes leads.
Integrated gradients (Sundararajan et al. 2017, ICML) by captum, from a signal of zeros (every lead at its mean) with
the same leads present: attributions add up to the difference of the two logits, and ``completeness`` says how nearly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ecg_ramba.dashboard.analysis.pieces import piece_of_window
from ecg_ramba.data.leads import LEADS
from ecg_ramba.data.record import Record
from ecg_ramba.errors import UserError
from ecg_ramba.harness.checkpoint import FoldModel
from ecg_ramba.harness.inputs import to_batch
from ecg_ramba.harness.probabilities import model_source

if TYPE_CHECKING:
    import torch

    from ecg_ramba.models import Batch

METHODS = {
    "gradcam": "Grad-CAM on the tokenizer, signal stream only, over time only",
    "integrated_gradients": "integrated gradients by lead, signal stream only",
}

BIN_SECONDS = 0.05
"""Attributions are summed in bins of this length."""

STEPS = (64, 256)
"""Points on the path; the second number where the first leaves more than :data:`TOLERANCE` of the sum unexplained."""

TOLERANCE = 0.05
_AT_ONCE = 16


def explains(model: FoldModel) -> bool:
    """Whether there is a saliency of this model: a network that reads the signal."""
    return not why_not(model)


def why_not(model: FoldModel) -> str:
    """Why a model has no saliency; "" if it has."""
    if model.spec.kind != "network":
        return f"{model.title} is no network: it has no gradients to follow"
    if "signal" not in model.streams:
        return f"{model.title} does not read the signal stream, so there is nothing over time to show"
    return ""


def saliency(models: Sequence[FoldModel], record: Record, cls: str, method: str, window: int) -> dict:
    """A map of one window for one class, in the page's form.

    Parameters
    ----------
    models : sequence of FoldModel
    record : Record
    cls : str
        A class that at least one of them was trained on.
    method : {"gradcam", "integrated_gradients"}
    window : int
        Number of the window, as in the prediction's list.

    Raises
    ------
    UserError
        If the models have no saliency, or for an unknown class, method or window; the message says what is there.
    """
    if method not in METHODS:
        raise UserError(f"no saliency is called {method!r}; there are: {', '.join(METHODS)}")
    if reason := why_not(models[0]):
        raise UserError(f"no saliency: {reason}")
    if cls not in models[0].classes:
        raise UserError(f"no class is called {cls!r}; there are: {', '.join(models[0].classes)}")
    column = models[0].classes.index(cls)
    trained = [m for m in models if m.trained[column]]
    if not trained:
        raise UserError(f"no saliency: no fold was trained on {cls} (too few subjects)")
    if method == "gradcam" and not hasattr(trained[0].fitted, "tok"):
        raise UserError(f"no Grad-CAM: {trained[0].title} has no tokenizer; integrated gradients work")
    piece = piece_of_window(record, models[0].signal, window)
    data, table = piece.prepared(models[0].signal)
    row = window - piece.first
    batches = []
    for model in trained:
        source, of = model_source(model, data, table, np.arange(len(table)), None)
        at = row if of is None else int(of[row])
        batches.append(to_batch(source.windows(np.array([at]), np.zeros(1, dtype=bool)), "cpu"))
    first, samples = (int(table.start[row]), table.samples) if of is None else (0, model.shape.samples)
    inside = min(int(data.valid[table.at[row]]) - first, samples) / models[0].signal.rate
    begin = piece.start + float(data.start[table.at[row]]) + first / models[0].signal.rate
    about = {
        "class": cls,
        "method": method,
        "title": METHODS[method],
        "window": window,
        "start": round(begin, 3),
        "stop": round(begin + inside, 3),
    }
    made = _gradcam if method == "gradcam" else _integrated
    return about | made(trained, batches, column, begin, inside, samples / models[0].signal.rate)


def _gradcam(models, batches, column: int, begin: float, inside: float, seconds: float) -> dict:
    maps = [grad_cam(m.fitted, b, column) for m, b in zip(models, batches, strict=True)]
    lengths = {len(m) for m in maps}
    if len(lengths) > 1:
        raise UserError("the fold models have different numbers of tokens")
    mean = np.mean([_to_one(m) for m in maps], axis=0)
    centres = (np.arange(len(mean)) + 0.5) * seconds / len(mean)
    shown = centres <= inside
    empty = sum(not m.any() for m in maps)
    note = "Mean over the fold models of each one's map, scaled to its own maximum. 1 is the highest of this window: "
    note += "maps of two windows or classes are not to be compared by height."
    if empty:
        note += f" {empty} of {len(maps)} fold models have nothing in favour of the class here."
    return {
        "times": np.round(begin + centres[shown], 4).tolist(),
        "values": np.round(_to_one(mean)[shown], 5).tolist(),
        "completeness": None,
        "note": note,
    }


def grad_cam(network, batch: Batch, column: int) -> np.ndarray:
    """Grad-CAM of one window on the tokens of ``network.tok``: (tokens,) float, zero or above.

    Channels are weighted by the mean gradient of the class's logit over the tokens, and what is below zero is cut off.
    """
    import torch

    kept = {}

    def keep(_, __, output):
        output.retain_grad()
        kept["tokens"] = output

    handle = network.tok.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            network(batch)[:, column].sum().backward(inputs=list(network.tok.parameters()))
    finally:
        handle.remove()
        network.zero_grad(set_to_none=True)
    tokens, gradient = kept["tokens"].detach(), kept["tokens"].grad
    weight = gradient.mean(1, keepdim=True)
    return torch.relu((tokens * weight).sum(-1))[0].double().numpy()


def _integrated(models, batches, column: int, begin: float, inside: float, seconds: float) -> dict:
    total, explained, difference = 0.0, 0.0, 0.0
    for model, batch in zip(models, batches, strict=True):
        attributions, gap = integrated_gradients(model.fitted, batch, column)
        total = total + attributions / len(models)
        explained += float(attributions.sum())
        difference += gap
    rate = total.shape[1] / seconds
    size = round(BIN_SECONDS * rate)
    bins = np.add.reduceat(np.abs(total), np.arange(0, total.shape[1], size), axis=1)
    scaled = _to_one(bins)
    centres = (np.arange(bins.shape[1]) + 0.5) * size / rate
    shown = centres <= inside
    there = batches[0].leads[0].numpy()
    note = (
        f"Mean over the fold models, absolute values summed in bins of {1000 * BIN_SECONDS:g} ms, leads on one scale. "
        f"Baseline: zeros (each lead's mean). The logit is {difference / len(models):+.2f} from the baseline's."
    )
    return {
        "times": np.round(begin + centres[shown], 4).tolist(),
        "leads": {n: np.round(scaled[i, shown], 5).tolist() for i, n in enumerate(LEADS) if there[i]},
        "completeness": round(explained / difference, 4) if abs(difference) > 1e-2 else None,
        "note": note,
    }


def integrated_gradients(network, batch: Batch, column: int) -> tuple[np.ndarray, float]:
    """Attributions (leads, samples) float64 of a class's logit, and how far it is from the baseline's."""
    from captum.attr import IntegratedGradients

    method = IntegratedGradients(_logit(network, batch, column))
    signal = batch.signal.clone()
    for steps in STEPS:
        found, error = method.attribute(
            signal,
            baselines=0.0,
            n_steps=steps,
            method="gausslegendre",
            internal_batch_size=_AT_ONCE,
            return_convergence_delta=True,
        )
        attributions, error = found[0].detach().double().numpy(), float(error[0])
        difference = float(attributions.sum()) - error
        if abs(error) <= TOLERANCE * abs(difference):
            break
    return attributions, difference


def _logit(network, batch: Batch, column: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """The class's logit as a function of signals (n, leads, samples), the window's other inputs as they are."""

    def logit(signal):
        many = {
            f.name: None if (v := getattr(batch, f.name)) is None else v.expand(len(signal), *v.shape[1:])
            for f in dataclasses.fields(batch)
        }
        return network(dataclasses.replace(batch, **many | {"signal": signal}))[:, column]

    return logit


def _to_one(values: np.ndarray) -> np.ndarray:
    """Divided by the largest; zeros stay zeros."""
    top = values.max(initial=0.0)
    return values / top if top > 0 else values
