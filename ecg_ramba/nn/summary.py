"""A model's parts with their parameters, FLOPs and output shapes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from ecg_ramba.models import InputShape, ModelSpec, estimator_parameters
from ecg_ramba.nn.backends import with_backend
from ecg_ramba.nn.flops import count_flops
from ecg_ramba.nn.inputs import example_batch
from ecg_ramba.nn.morphology import GROUPS

COMPONENTS = {"small": 108, "full": 3072}
"""Principal components assumed in a summary; a real number follows from the size of the training part."""


@dataclass(frozen=True)
class Part:
    """One row: name, parameters, forward FLOPs of one window (None where unknown), output shape without the batch."""

    name: str
    parameters: int
    flops: int | None
    output: tuple[int, ...] | None


def typical_shape(profile: str, classes: int = 24) -> InputShape:
    """Input sizes of a profile, for summaries made without data."""
    from ecg_ramba.features.rhythm import RHYTHM_NAMES

    each, more = divmod(COMPONENTS[profile], GROUPS)
    components = tuple(each + (g < more) for g in range(GROUPS))
    return InputShape(components=components, rhythm=len(RHYTHM_NAMES), classes=classes)


def summarise(spec: ModelSpec, config, shape: InputShape) -> list[Part]:
    """Rows of a model's parts, and their total in a last row named ``total``.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    config
        Its configuration.
    shape : InputShape
        Sizes of the inputs.

    Returns
    -------
    list of Part
        One row for each direct part of a network in the order of the data, repeated layers one by one; for an
        estimator the total alone.
    """
    model = spec.build(with_backend(config, "torch"), shape)
    if spec.kind != "network":
        return [Part("total", estimator_parameters(spec, model), None, (shape.classes,))]
    parts = _parts(model)
    outputs: dict[str, tuple[int, ...]] = {}
    order: list[str] = []

    def remember(name: str):
        def hook(module, inputs, output):
            if name not in order:
                order.append(name)
            first = output[0] if isinstance(output, tuple) else output
            outputs[name] = tuple(first.shape[1:])

        return hook

    handles = [
        part.register_forward_hook(remember(name)) for name, part in parts.items() if isinstance(part, nn.Module)
    ]
    flops = count_flops(model, example_batch(shape, spec.streams(config)))
    for handle in handles:
        handle.remove()
    rows = []
    for name in [*(n for n in parts if n not in order), *order]:
        part = parts[name]
        if isinstance(part, nn.Module):
            rows.append(Part(name, _count(part), flops.get(name, 0), outputs.get(name)))
        else:
            rows.append(Part(name, part.numel(), 0, tuple(part.shape[1:])))
    rows.append(Part("total", _count(model), flops[""], (shape.classes,)))
    return rows


def print_summary(spec: ModelSpec, profile: str, console) -> None:
    """Print :func:`summarise` of a profile at :func:`typical_shape` on a ``rich.console.Console``."""
    from rich.table import Table

    shape = typical_shape(profile)
    config = spec.profile(profile)
    table = Table(title=f"{spec.title}, {profile}: {spec.reference}")
    for column in ("part", "output", "parameters", "MFLOPs a window"):
        table.add_column(column, justify="left" if column in ("part", "output") else "right")
    for part in summarise(spec, config, shape):
        output = "" if part.output is None else " x ".join(map(str, part.output))
        flops = "" if part.flops is None else f"{part.flops / 1e6:.2f}"
        table.add_row(part.name, output, f"{part.parameters:,}", flops, style="bold" if part.name == "total" else None)
    console.print(table)
    streams = ", ".join(sorted(spec.streams(config))) or "none"
    console.print(
        f"streams: {streams}; {shape.samples} samples, {sum(shape.components)} morphology components in "
        f"{len(shape.components)} groups, {shape.rhythm} rhythm values, {shape.classes} classes."
    )
    if spec.kind == "network":
        console.print("FLOPs: forward, one window, products, convolutions and attention; a multiply-add counts two.")


def _parts(model: nn.Module) -> dict[str, nn.Module | torch.Tensor]:
    """Direct parameters, direct children, and the members of direct lists."""
    parts: dict[str, nn.Module | torch.Tensor] = dict(model.named_parameters(recurse=False))
    for name, child in model.named_children():
        if isinstance(child, nn.ModuleList):
            parts |= {f"{name}.{i}": member for i, member in enumerate(child)}
        else:
            parts[name] = child
    return parts


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
