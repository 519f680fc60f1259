"""Dropout whose random numbers are cheap on a CPU.

Drawing one Bernoulli number an element costs a CPU more than the layers of a small network do. Here one byte of a
64-bit draw decides an element: eight times fewer draws. The probability is thereby rounded to a multiple of 1/256,
and what is kept is scaled by exactly that, so the expectation stays right.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LEVELS = 256


class Dropout(nn.Module):
    """Elementwise dropout; :class:`torch.nn.Dropout` everywhere but in training on a CPU.

    Parameters
    ----------
    p : float
        Probability of an element to be zeroed, in [0, 1).

    Raises
    ------
    ValueError
        If ``p`` is outside.
    """

    def __init__(self, p: float):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"a dropout probability is in [0, 1), got {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        if not self.training or self.p == 0:
            return x
        if x.device.type != "cpu":
            return nn.functional.dropout(x, self.p, training=True)
        dropped = min(max(round(self.p * _LEVELS), 1), _LEVELS - 1)
        draws = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        kept = draws.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped
        return x * (kept * x.new_tensor(_LEVELS / (_LEVELS - dropped)))

    def extra_repr(self) -> str:
        """Shown by ``print(model)``."""
        return f"p={self.p}"
