"""Hears what a network's parts give while it computes: forward hooks from outside, on parts found by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecg_ramba.errors import UserError
from ecg_ramba.models import Batch

if TYPE_CHECKING:
    from torch import Tensor, nn

PARTS = {
    "rhythm": ("hrv_proj", "side.rhythm"),
    "morphology": ("rocket_perceiver", "side.morphology"),
    "signal": ("tok",),
    "fused": ("feature_proj",),
}
"""Stream -> names of the parts that give it, of which a network has at most one."""
STREAMS = (*PARTS, "embedding")


class Listener:
    """Listens to a network's streams while it computes; a context manager, so that no hook stays behind.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    outputs : int
        Outputs of its last layer.

    Raises
    ------
    UserError
        If no linear layer has as many outputs, or it is not the last.
    """

    def __init__(self, network: nn.Module, outputs: int):
        from torch.nn import Linear

        self.network = network
        parts = dict(network.named_modules())
        last = [m for m in parts.values() if isinstance(m, Linear) and m.out_features == outputs]
        if not last:
            raise UserError(f"{type(network).__name__} has no last linear layer: it has no embedding to look at")
        self.last = last[-1]
        chosen = {stream: [parts[n] for n in names if n in parts] for stream, names in PARTS.items()}
        self.parts = {stream: found[0] for stream, found in chosen.items() if found}
        self.heard: dict[str, Tensor] = {}
        self.handles: list = []

    def __enter__(self) -> Listener:
        for stream, part in self.parts.items():
            self.handles.append(part.register_forward_hook(self._hear(stream)))
        self.handles.append(self.last.register_forward_hook(self._hear("last")))
        self.handles.append(
            self.last.register_forward_pre_hook(lambda _, inputs: self.heard.__setitem__("embedding", inputs[0]))
        )
        return self

    def __exit__(self, *_) -> None:
        for handle in self.handles:
            handle.remove()

    def _hear(self, stream: str):
        return lambda part, inputs, output: self.heard.__setitem__(stream, output)

    def read(self, batch: Batch) -> dict[str, np.ndarray]:
        """Streams (B, d) float64 of a batch of windows, tokens averaged."""
        self.heard.clear()
        logits = self.network(batch)
        if self.heard.get("last") is not logits:
            raise UserError(
                f"the last layer of {type(self.network).__name__} is not the linear one: no embedding to look at"
            )
        tokens = self.heard["signal"].shape[1] if "signal" in self.heard else 0
        return {
            stream: _averaged(self.heard[stream], batch, tokens if stream in ("signal", "fused") else 0)
            for stream in STREAMS
            if stream in self.heard
        }


def _averaged(values: Tensor, batch: Batch, tokens: int) -> np.ndarray:
    """Mean over a sequence whose first ``tokens`` are in the order of time: those of padding are left out."""
    import torch.nn.functional as F

    from ecg_ramba.nn.inputs import masked_mean, token_mask

    values = values.float()
    if values.ndim == 3:
        valid = token_mask(batch, tokens) if tokens else None
        if valid is not None:
            valid = F.pad(valid, (0, values.shape[1] - tokens), value=True)
        values = masked_mean(values, valid)
    return values.cpu().numpy().astype(np.float64)
