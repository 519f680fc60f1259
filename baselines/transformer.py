"""Patch Transformer on the raw 12-lead signal.

Non-overlapping patches of all leads become tokens, with learned or sinusoidal positions; pre-norm encoder blocks;
patches outside the recording are masked; mean over the valid tokens; one linear layer.

References: Vaswani et al. 2017, arXiv:1706.03762; Dosovitskiy et al. 2021, arXiv:2010.11929 (patches).

Parameters for 24 classes: 400,536 (small), 64,066,776 (full).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.profiles import check_profile
from ecg_ramba.errors import UserError
from ecg_ramba.models import Batch, InputShape, ModelSpec
from ecg_ramba.nn.attention import EncoderBlock, sinusoidal_positions
from ecg_ramba.nn.dropout import Dropout
from ecg_ramba.nn.inputs import PatchEmbedding, masked_mean
from ecg_ramba.nn.side import side_streams, side_tokens


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Sizes: samples of a patch, width, encoder blocks, attention heads, hidden width of the feed-forward layers (0:
    four times the width), dropout; positions: ``learned``, a parameter for each token and channel, or ``sinusoidal``,
    without any; and whether MiniRocket tokens and a token of heart-rate variability follow the patches."""

    patch: int = 25
    width: int = 576
    layers: int = 16
    heads: int = 9
    feedforward: int = 0
    dropout: float = 0.1
    positions: str = "learned"
    use_morphology: bool = False
    use_rhythm: bool = False

    def __post_init__(self):
        if self.positions not in ("learned", "sinusoidal"):
            raise UserError(f"positions is one of learned, sinusoidal, not {self.positions!r}")


class PatchTransformer(nn.Module):
    """Patches, positions, encoder blocks, mean, linear."""

    def __init__(self, config: TransformerConfig, shape: InputShape):
        super().__init__()
        self.patches = PatchEmbedding(shape.leads, shape.samples, config.patch, config.width)
        self.side = side_tokens(shape, config.width, config)
        if config.positions == "learned":
            self.positions = nn.Parameter(torch.randn(1, self.patches.tokens, config.width) * 0.02)
        else:
            fixed = sinusoidal_positions(self.patches.tokens, config.width)
            self.register_buffer("positions", fixed[None], persistent=False)
        self.layers = nn.ModuleList(
            EncoderBlock(config.width, config.heads, feedforward=config.feedforward or None, dropout=config.dropout)
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Sequential(Dropout(config.dropout), nn.Linear(config.width, shape.classes))

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, classes)."""
        x, valid = self.patches(batch)
        x = x + self.positions
        if self.side is not None:
            x = torch.cat([x, self.side(batch)], dim=1)
            valid = None if valid is None else F.pad(valid, (0, sum(self.side.sizes)), value=True)
        for layer in self.layers:
            x = layer(x, valid)
        return self.head(masked_mean(self.norm(x), valid))


def profile(name: str) -> TransformerConfig:
    """``full`` has about as many parameters as the Mamba backbone of ECG-RAMBA's paper, ``small`` is for two cores."""
    check_profile("transformer", name)
    return TransformerConfig() if name == "full" else TransformerConfig(patch=50, width=96, layers=3, heads=6)


def search_space(trial, config: TransformerConfig) -> TransformerConfig:
    """Patch, depth and dropout."""
    return replace(
        config,
        patch=trial.suggest_categorical("patch", [25, 50]),
        layers=trial.suggest_int("layers", max(1, config.layers // 2), config.layers + config.layers // 2),
        dropout=trial.suggest_float("dropout", 0.0, 0.4),
    )


SPEC = ModelSpec(
    name="transformer",
    title="Patch Transformer",
    reference="Vaswani et al. 2017, arXiv:1706.03762; Dosovitskiy et al. 2021, arXiv:2010.11929",
    kind="network",
    profile=profile,
    streams=side_streams,
    build=PatchTransformer,
    search_space=search_space,
)
