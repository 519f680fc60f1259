"""Lead gate: one learned weight per lead and window, from attention over the leads that are present.

Shape suffixes: B batch, E leads, T samples, F features of a lead.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecg_ramba.nn.attention import Attention

_POOLED = (16, 4)


class LeadGate(nn.Module):
    """Summarise each lead by two strided convolutions, let the leads attend to each other, gate each with a sigmoid.

    An absent lead is no key of the attention and its gate is 0, so that nothing in its place reaches the output.

    Parameters
    ----------
    leads : int
        Number of leads.
    width : int
        Channels of the second convolution; a lead is summarised by ``4 * width`` values.
    heads : int
        Attention heads.
    """

    def __init__(self, leads: int = 12, width: int = 64, heads: int = 4):
        super().__init__()
        features = _POOLED[1] * width
        self.temporal_pool = nn.Sequential(
            nn.Conv1d(1, width // 2, kernel_size=50, stride=25),
            nn.GELU(),
            nn.AdaptiveAvgPool1d(_POOLED[0]),
            nn.Conv1d(width // 2, width, kernel_size=3, padding=1),
            nn.GELU(),
            nn.AdaptiveAvgPool1d(_POOLED[1]),
        )
        self.lead_embed = nn.Embedding(leads, features)
        self.attn = Attention(features, heads)
        self.scale_proj = nn.Linear(features, 1)

    def forward(self, x_BET: Tensor, leads_BE: Tensor) -> Tensor:
        """Signal (B, leads, T) -> its gates (B, leads), 0 where the lead is absent, else in (0, 1)."""
        x_BET = torch.where(leads_BE[..., None], x_BET, 0.0)
        first, *rest = self.temporal_pool
        # each lead is a sequence of one channel: its strided convolution is one product over unfolded patches
        (kernel,), (stride,) = first.kernel_size, first.stride
        patches = x_BET.unfold(-1, kernel, stride)
        h = F.linear(patches, first.weight[:, 0], first.bias).flatten(0, 1).transpose(1, 2)
        for layer in rest:
            h = layer(h)
        h_BEF = h.reshape(*leads_BE.shape, -1) + self.lead_embed.weight
        gate_BE = torch.sigmoid(self.scale_proj(self.attn(h_BEF, valid_BS=leads_BE)))[..., 0]
        return gate_BE.masked_fill(~leads_BE, 0.0)
