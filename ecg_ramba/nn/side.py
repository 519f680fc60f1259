"""Morphology and rhythm as extra inputs of an encoder that reads the signal.

Shape suffixes: B batch, G dilation groups, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ecg_ramba.models import Batch, InputShape
from ecg_ramba.nn.inputs import visible_rhythm
from ecg_ramba.nn.perceiver import GroupProjection


class SideTokens(nn.Module):
    """One token a MiniRocket dilation group and one of heart-rate variability, of the streams that are asked for.

    The projections are those of ECG-RAMBA, so that encoders differ in what they do with the streams alone.

    Parameters
    ----------
    shape : InputShape
        Sizes of the inputs.
    width : int
        Width of a token.
    morphology, rhythm : bool
        Which of the two streams there are.
    """

    def __init__(self, shape: InputShape, width: int, morphology: bool, rhythm: bool):
        super().__init__()
        self.morphology = GroupProjection(shape.components, width) if morphology else None
        self.rhythm = nn.Sequential(nn.Linear(2 * shape.rhythm, width), nn.GELU()) if rhythm else None
        self.sizes = [len(shape.components)] * morphology + [1] * rhythm

    def forward(self, batch: Batch) -> Tensor:
        """Morphology tokens, then the rhythm token, as far as there are any: (B, sum(sizes), D)."""
        made = []
        if self.morphology is not None:
            made.append(self.morphology(batch.morphology))
        if self.rhythm is not None:
            made.append(self.rhythm(visible_rhythm(batch))[:, None])
        return torch.cat(made, dim=1)

    def means(self, batch: Batch) -> Tensor:
        """The mean of each stream's tokens, side by side: (B, streams x D)."""
        return torch.cat([tokens.mean(1) for tokens in self(batch).split(self.sizes, dim=1)], dim=1)


def side_tokens(shape: InputShape, width: int, config) -> SideTokens | None:
    """What ``config.use_morphology`` and ``config.use_rhythm`` ask for; None for neither."""
    if not (config.use_morphology or config.use_rhythm):
        return None
    return SideTokens(shape, width, config.use_morphology, config.use_rhythm)


def side_streams(config) -> frozenset[str]:
    """The streams of a signal encoder whose configuration has ``use_morphology`` and ``use_rhythm``."""
    extra = {"morphology": config.use_morphology, "rhythm": config.use_rhythm}
    return frozenset({"signal", *(name for name, on in extra.items() if on)})
