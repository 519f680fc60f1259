"""Raw Mamba: a patch embedding and a bidirectional Mamba-2 over the ordered tokens, nothing else.

The backbone blocks are ECG-RAMBA's own; there is no tokenizer, no lead gate, no other stream. No positions are
added: the scan knows the order. Padding is seen from neither direction.

References: Dao and Gu 2024, arXiv:2405.21060; Nguyen and Tran 2025, arXiv:2512.23347 (the baseline of that name).

Parameters for 24 classes: 394,236 (small), 63,442,712 (full).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from baselines.profiles import check_profile
from ecg_ramba.models import Batch, InputShape, ModelSpec
from ecg_ramba.nn.dropout import Dropout
from ecg_ramba.nn.inputs import PatchEmbedding, masked_mean
from ecg_ramba.nn.mamba import BiMambaBlock


@dataclass(frozen=True, kw_only=True)
class RawMambaConfig:
    """Sizes: samples of a patch, width, blocks, state, head width, dropout, backend of the scan."""

    patch: int = 25
    width: int = 384
    layers: int = 16
    d_state: int = 64
    headdim: int = 64
    dropout: float = 0.1
    backend: str = "auto"


class RawMamba(nn.Module):
    """Patches, bidirectional Mamba-2 blocks, mean, linear."""

    def __init__(self, config: RawMambaConfig, shape: InputShape):
        super().__init__()
        self.patches = PatchEmbedding(shape.leads, shape.samples, config.patch, config.width)
        self.layers = nn.ModuleList(
            BiMambaBlock(
                config.width,
                dropout=config.dropout,
                d_state=config.d_state,
                headdim=config.headdim,
                backend=config.backend,
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Sequential(Dropout(config.dropout), nn.Linear(config.width, shape.classes))

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, classes)."""
        x, valid = self.patches(batch)
        for layer in self.layers:
            x = layer(x, valid)
        return self.head(masked_mean(self.norm(x), valid))


def profile(name: str) -> RawMambaConfig:
    """``full`` has the blocks of ECG-RAMBA's paper, ``small`` those of its small profile."""
    check_profile("raw_mamba", name)
    return RawMambaConfig() if name == "full" else RawMambaConfig(patch=50, width=64, layers=3, d_state=32)


def search_space(trial, config: RawMambaConfig) -> RawMambaConfig:
    """Patch, depth, state and dropout."""
    return replace(
        config,
        patch=trial.suggest_categorical("patch", [10, 25, 50]),
        layers=trial.suggest_int("layers", max(1, config.layers // 2), config.layers + config.layers // 2),
        d_state=trial.suggest_categorical("d_state", [16, 32, 64]),
        dropout=trial.suggest_float("dropout", 0.0, 0.4),
    )


SPEC = ModelSpec(
    name="raw_mamba",
    title="Raw Mamba",
    reference="Dao and Gu 2024, arXiv:2405.21060; Nguyen and Tran 2025, arXiv:2512.23347",
    kind="network",
    profile=profile,
    streams=lambda config: frozenset({"signal"}),
    build=RawMamba,
    search_space=search_space,
)
