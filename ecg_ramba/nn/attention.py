"""Multi-head attention with the parameter names of ``torch.nn.MultiheadAttention``; an encoder block; positions.

Reference: Vaswani et al. 2017, arXiv:1706.03762; pre-norm: Xiong et al. 2020, arXiv:2002.04745.

Shape suffixes: B batch, L queries, S keys, D width, H heads.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecg_ramba.nn.dropout import Dropout


class Attention(nn.Module):
    """Scaled dot-product attention of queries over keys, which are also the values.

    Keys that ``valid`` marks False are never attended to; a row without one valid key attends to all of them, so that
    nothing becomes NaN.

    Parameters
    ----------
    width, heads : int
        ``heads`` divides ``width``.
    dropout : float
        On the attention weights, in training.

    Raises
    ------
    ValueError
        If ``heads`` does not divide ``width``.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0):
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"width {width} is not a multiple of {heads} heads")
        self.heads, self.dropout = heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, query_BLD: Tensor, key_BSD: Tensor | None = None, valid_BS: Tensor | None = None) -> Tensor:
        """(B, L, D) attending to (B, S, D), or to itself; (B, L, D)."""
        width = query_BLD.shape[-1]
        if key_BSD is None:
            q, k, v = F.linear(query_BLD, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        else:
            weight_q, weight_kv = self.in_proj_weight.split([width, 2 * width])
            bias_q, bias_kv = self.in_proj_bias.split([width, 2 * width])
            q = F.linear(query_BLD, weight_q, bias_q)
            k, v = F.linear(key_BSD, weight_kv, bias_kv).chunk(2, dim=-1)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        mask = None
        if valid_BS is not None:
            mask = (valid_BS | ~valid_BS.any(-1, keepdim=True))[:, None, None, :]
        dropout = self.dropout if self.training else 0.0
        out_BHLP = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return self.out_proj(out_BHLP.transpose(1, 2).flatten(2))


def sinusoidal_positions(length: int, width: int) -> Tensor:
    """Positions without parameters (Vaswani et al. 2017, section 3.5): (length, width) float32, between -1 and 1.

    Column 2i of row p is sin(p / 10000^(2i / width)), column 2i + 1 the cosine of the same.
    """
    place = torch.arange(length, dtype=torch.float64)[:, None]
    rate = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angle = place * rate
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :width].to(torch.float32)


class EncoderBlock(nn.Module):
    """Pre-norm Transformer encoder block: self-attention and a GELU feed-forward layer, both residual.

    Parameters
    ----------
    width, heads : int
        Width and number of heads.
    feedforward : int, optional
        Hidden width of the feed-forward layer, 4 x width by default.
    dropout : float
        On both residual branches.
    """

    def __init__(self, width: int, heads: int, *, feedforward: int | None = None, dropout: float = 0.0):
        super().__init__()
        hidden = feedforward or 4 * width
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.ffn = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.drop = Dropout(dropout)

    def forward(self, x_BLD: Tensor, valid_BL: Tensor | None = None) -> Tensor:
        """(B, L, width) -> the same; tokens that ``valid_BL`` marks False are not attended to."""
        x_BLD = x_BLD + self.drop(self.attn(self.norm1(x_BLD), valid_BS=valid_BL))
        return x_BLD + self.drop(self.ffn(self.norm2(x_BLD)))
