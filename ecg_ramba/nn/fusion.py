"""Cross-attention fusion of two token sequences, in both directions.

Shape suffixes: B batch, L signal tokens, M morphology tokens, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ecg_ramba.nn.attention import Attention


class CrossAttentionFusion(nn.Module):
    """Each sequence attends to the other (pre-norm, residual); both are then put one after the other.

    Parameters
    ----------
    width, heads : int
        Width and attention heads.
    dropout : float
        On the attention weights.
    unused_gate : bool
        Hold the gate of the published checkpoints, which mixes means that nothing there reads.
    """

    def __init__(self, width: int, heads: int = 8, dropout: float = 0.0, unused_gate: bool = False):
        super().__init__()
        self.m2r = Attention(width, heads, dropout)
        self.r2m = Attention(width, heads, dropout)
        self.n1, self.n2, self.n3, self.n4 = (nn.LayerNorm(width) for _ in range(4))
        if unused_gate:
            self.gate = nn.Sequential(nn.Linear(2 * width, width), nn.Sigmoid())

    def forward(self, signal_BLD: Tensor, morphology_BMD: Tensor, valid_BL: Tensor | None = None) -> Tensor:
        """(B, L, width), (B, M, width) -> (B, L + M, width); padded signal tokens are not attended to."""
        signal = signal_BLD + self.m2r(self.n1(signal_BLD), self.n2(morphology_BMD))
        morphology = morphology_BMD + self.r2m(self.n3(morphology_BMD), self.n4(signal_BLD), valid_BL)
        return torch.cat([signal, morphology], dim=1)
