"""Mamba-2 mixer and the bidirectional block of ECG-RAMBA.

Parameter names and shapes of :class:`Mamba2` are those of ``mamba_ssm.Mamba2`` (one group), so that weights move
between the CUDA kernels and this portable implementation without conversion.

Reference: Dao and Gu 2024, "Transformers are SSMs", arXiv:2405.21060.

Shape suffixes: B batch, L length, D model width, I inner width (expand x D), H heads, P head width, N state size.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecg_ramba.native import rows
from ecg_ramba.nn.depthwise import depthwise_conv
from ecg_ramba.nn.dropout import Dropout
from ecg_ramba.nn.ssd import ssd


class GatedRMSNorm(nn.Module):
    """Root-mean-square norm of ``y * silu(z)`` over the last axis, with a learned weight."""

    def __init__(self, width: int, eps: float = 1e-5, backend: str = "auto"):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps, self.backend = eps, backend

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        """(batch, length, width), the same -> the same; computed in the weight's precision."""
        if rows.taken(self.backend, y, self.weight):
            return rows.gated_norm(y, z, self.weight, self.eps)
        gated = y * F.silu(z)
        return F.rms_norm(gated.to(self.weight.dtype), self.weight.shape, self.weight, self.eps).to(gated.dtype)


class Mamba2(nn.Module):
    """Selective state-space mixer (Mamba-2), portable.

    ``in_proj`` gives [z, x, B, C, dt]; a causal depthwise convolution and SiLU act on [x, B, C]; the SSD scan; a
    gated RMS norm; ``out_proj``. A starts uniform in 1..16, dt log-uniform in 1e-3..0.1. ``A_log``, ``D`` and
    ``dt_bias`` carry ``_no_weight_decay = True``.

    Parameters
    ----------
    d_model : int
        Width of input and output.
    d_state, d_conv, expand, headdim : int
        State size, convolution length, widening factor and head width.
    backend : str
        Of the scan, see :func:`ecg_ramba.nn.ssd.ssd`; where it is native, so are convolution and norm.

    Raises
    ------
    ValueError
        If ``expand * d_model`` is not a multiple of ``headdim``.
    """

    def __init__(
        self,
        d_model: int,
        *,
        d_state: int = 64,
        d_conv: int = 4,
        expand: int = 2,
        headdim: int = 64,
        backend: str = "auto",
    ):
        super().__init__()
        inner = expand * d_model
        if headdim < 1 or inner % headdim:
            raise ValueError(f"the inner width {expand} x {d_model} = {inner} is not a multiple of headdim {headdim}")
        heads = inner // headdim
        self.d_model, self.d_state, self.d_conv, self.headdim = d_model, d_state, d_conv, headdim
        self.inner, self.heads, self.backend = inner, heads, backend
        conv_width = inner + 2 * d_state
        self.in_proj = nn.Linear(d_model, 2 * inner + 2 * d_state + heads, bias=False)
        self.conv1d = nn.Conv1d(conv_width, conv_width, d_conv, groups=conv_width, padding=d_conv - 1)
        self.dt_bias = nn.Parameter(_inverse_softplus(_log_uniform(heads, 1e-3, 0.1)))
        self.A_log = nn.Parameter(torch.empty(heads).uniform_(1, 16).log())
        self.D = nn.Parameter(torch.ones(heads))
        self.norm = GatedRMSNorm(inner, backend=backend)
        self.out_proj = nn.Linear(inner, d_model, bias=False)
        for parameter in (self.dt_bias, self.A_log, self.D):
            parameter._no_weight_decay = True

    def forward(self, u_BLD: Tensor, valid_BL: Tensor | None = None) -> Tensor:
        """Mix along the sequence, causally.

        Parameters
        ----------
        u_BLD : Tensor
            (batch, length, d_model).
        valid_BL : Tensor of bool, optional
            False at padding, which then never reaches a valid position.

        Returns
        -------
        Tensor
            (batch, length, d_model); at padding its value means nothing.
        """
        if u_BLD.ndim != 3 or u_BLD.shape[-1] != self.d_model:
            raise ValueError(f"the mixer takes (batch, length, {self.d_model}), got {tuple(u_BLD.shape)}")
        if u_BLD.shape[1] == 0:
            raise ValueError("a sequence of length 0 cannot be mixed")
        if valid_BL is not None:
            u_BLD = u_BLD.masked_fill(~valid_BL[..., None], 0.0)
        z_BLI, xBC_BLC, dt_BLH = self.in_proj(u_BLD).split(
            [self.inner, self.inner + 2 * self.d_state, self.heads], dim=-1
        )
        xBC_BLC = depthwise_conv(
            xBC_BLC, self.conv1d.weight, self.conv1d.bias, left=self.d_conv - 1, silu=True, backend=self.backend
        )
        x_BLI, B_BLN, C_BLN = xBC_BLC.split([self.inner, self.d_state, self.d_state], dim=-1)
        y_BLHP = ssd(
            x_BLI.unflatten(-1, (self.heads, self.headdim)),
            F.softplus(dt_BLH + self.dt_bias),
            -torch.exp(self.A_log),
            B_BLN,
            C_BLN,
            self.D,
            valid_BL=valid_BL,
            backend=self.backend,
        )
        return self.out_proj(self.norm(y_BLHP.flatten(2), z_BLI))


class SwiGLU(nn.Module):
    """Gated feed-forward layer ``w3(silu(w1 x) * w2 x)``, widened ``expand`` times (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, width: int, expand: int = 4):
        super().__init__()
        self.w1 = nn.Linear(width, expand * width)
        self.w2 = nn.Linear(width, expand * width)
        self.w3 = nn.Linear(expand * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        return self.w3(F.silu(self.w1(x)) * self.w2(x))


class BiMambaBlock(nn.Module):
    """Bidirectional Mamba-2 block: two mixers with weights of their own, one on the flipped sequence.

    A gate z = sigmoid(Linear([fwd, bwd])) mixes them, ``x + drop(z fwd + (1 - z) bwd)``; then a SwiGLU feed-forward
    layer. Pre-norm, residual.

    Parameters
    ----------
    d_model : int
        Width.
    dropout : float
        On both residual branches.
    feedforward : int
        How many times the width the SwiGLU layer has.
    flip : bool
        False: both mixers read forwards, with the same parameters; then nothing sees what comes after it.
    **mixer
        Passed to :class:`Mamba2`.
    """

    def __init__(self, d_model: int, *, dropout: float = 0.0, feedforward: int = 4, flip: bool = True, **mixer):
        super().__init__()
        self.flip = flip
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.fwd = Mamba2(d_model, **mixer)
        self.bwd = Mamba2(d_model, **mixer)
        self.gate = nn.Sequential(nn.Linear(2 * d_model, d_model), nn.Sigmoid())
        self.ffn = SwiGLU(d_model, feedforward)
        self.drop = Dropout(dropout)

    def forward(self, x_BLD: Tensor, valid_BL: Tensor | None = None) -> Tensor:
        """(batch, length, width) -> the same; padding (``valid_BL`` False) is seen from neither side."""
        h_BLD = self.norm1(x_BLD)
        fwd_BLD = self.fwd(h_BLD, valid_BL)
        if self.flip:
            bwd_BLD = self.bwd(h_BLD.flip(1), None if valid_BL is None else valid_BL.flip(1)).flip(1)
        else:
            bwd_BLD = self.bwd(h_BLD, valid_BL)
        z_BLD = self.gate(torch.cat([fwd_BLD, bwd_BLD], dim=-1))
        x_BLD = x_BLD + self.drop(torch.lerp(bwd_BLD, fwd_BLD, z_BLD))
        return x_BLD + self.drop(self.ffn(self.norm2(x_BLD)))


def _log_uniform(n: int, low: float, high: float) -> Tensor:
    return torch.exp(torch.rand(n) * (math.log(high) - math.log(low)) + math.log(low))


def _inverse_softplus(value: Tensor) -> Tensor:
    return value + torch.log(-torch.expm1(-value))
