"""The chunked form of the scan whose products all heads share, with gradients of its own.

The decay exp(s_q - s_s) inside a chunk is split into exp(s_q - m) exp(m - s_s), m the running sum of dt A at its
middle. What is quadratic is then the same for all heads: one matrix product in place of one a head, and no array of
heads x chunk x chunk. A position's own part is added apart, so that the gradient of the decay is not drowned in terms
that cancel.

Shape suffixes: B batch, K chunks, Q positions in a chunk (S: the same, as the source of a product), H heads, P head
width, N state size, F = H P features; J = K - 1 chunks with another before or after them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SHARED_CHUNK = 128
"""Positions in a chunk, which holds one array of chunk x chunk for all heads."""

REACH = 60.0
"""How far from a chunk's middle the sums of dt A may go: the factors stay below exp(60)."""


def ssd_factorised(
    x_BLHP: Tensor, dt_BLH: Tensor, a_BLH: Tensor, B_BLN: Tensor, C_BLN: Tensor, D_H: Tensor | None, chunk: int
) -> Tensor | None:
    """The scan of :func:`ecg_ramba.nn.ssd.ssd`, with ``a`` = dt A; None where a factor would overflow.

    That is where a sum is further than :data:`REACH` from its chunk's middle.
    """
    batch, length, heads, width = x_BLHP.shape
    chunk = min(chunk, length)
    chunks = -(-length // chunk)
    if chunks * chunk - length:
        # a padded position decays nothing (a = 0) and adds nothing (x = 0)
        pad = chunks * chunk - length
        x_BLHP = F.pad(x_BLHP, (0, 0, 0, 0, 0, pad))
        dt_BLH, a_BLH, B_BLN, C_BLN = (F.pad(v, (0, 0, 0, pad)) for v in (dt_BLH, a_BLH, B_BLN, C_BLN))
    sums_BKQH = a_BLH.reshape(batch, chunks, chunk, heads).double().cumsum(2)
    since_mid_BKQH = sums_BKQH - sums_BKQH[:, :, chunk // 2, None]
    with torch.no_grad():
        if not since_mid_BKQH[:, :, [0, -1]].abs().max() <= REACH:
            return None
    dtype = x_BLHP.dtype
    dt_BKQH = dt_BLH.reshape(batch, chunks, chunk, heads).to(dtype)
    B_BKQN, C_BKQN = (v.reshape(batch, chunks, chunk, -1) for v in (B_BLN, C_BLN))
    own_BKQH = (B_BKQN * C_BKQN).sum(-1, keepdim=True) * dt_BKQH
    if D_H is not None:
        own_BKQH = own_BKQH + D_H.to(dtype)
    y_BKQHP = _Shared.apply(
        x_BLHP.reshape(batch, chunks, chunk, heads, width),
        dt_BKQH * since_mid_BKQH.neg().exp().to(dtype),
        since_mid_BKQH.exp().to(dtype),
        own_BKQH,
        B_BKQN,
        C_BKQN,
        *(v.exp().to(dtype) for v in (since_mid_BKQH[:, :, -1], sums_BKQH[:, :, -1], sums_BKQH[:, :, chunk // 2])),
    )
    return y_BKQHP.reshape(batch, chunks * chunk, heads, width)[:, :length]


class _Shared(torch.autograd.Function):
    """``y = up (tril(C B^T, -1) w + C state) + own x`` with ``w = down x``, chunk by chunk.

    The state that enters a chunk, relative to its middle, is ``mid`` times what the chunk before ends with: ``end``
    times what it has added itself, and ``whole`` times what came to it. Written by hand, the backward pass does without
    the copies that slices, pads and concatenations cost in the recorded one.
    """

    @staticmethod
    def forward(ctx, x_BKQHP, down_BKQH, up_BKQH, own_BKQH, B_BKQN, C_BKQN, end_BKH, whole_BKH, mid_BKH):
        heads, width = x_BKQHP.shape[3:]
        w_BKQF = (x_BKQHP * down_BKQH[..., None]).flatten(3)
        scores_BKQS = (C_BKQN @ B_BKQN.transpose(2, 3)).tril_(-1)
        z_BKQF = scores_BKQS @ w_BKQF
        ended_BJNF = added_BJNF = None
        if x_BKQHP.shape[1] > 1:
            added_BJNF = B_BKQN[:, :-1].transpose(2, 3) @ w_BKQF[:, :-1]
            ended_BJNF = added_BJNF * _features(end_BKH[:, :-1], width)
            for k in range(1, ended_BJNF.shape[1]):
                ended_BJNF[:, k].addcmul_(_features(whole_BKH[:, k], width), ended_BJNF[:, k - 1])
            z_BKQF[:, 1:] += C_BKQN[:, 1:] @ (ended_BJNF * _features(mid_BKH[:, 1:], width))
        z_BKQHP = z_BKQF.unflatten(3, (heads, width))
        ctx.save_for_backward(
            x_BKQHP, down_BKQH, up_BKQH, own_BKQH, B_BKQN, C_BKQN, end_BKH, whole_BKH, mid_BKH,
            scores_BKQS, z_BKQHP, added_BJNF, ended_BJNF,
        )  # fmt: skip
        return torch.addcmul(z_BKQHP * up_BKQH[..., None], x_BKQHP, own_BKQH[..., None])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy_BKQHP):
        x_BKQHP, down_BKQH, up_BKQH, own_BKQH, B_BKQN, C_BKQN, end_BKH, whole_BKH, mid_BKH = ctx.saved_tensors[:9]
        scores_BKQS, z_BKQHP, added_BJNF, ended_BJNF = ctx.saved_tensors[9:]
        heads, width = x_BKQHP.shape[3:]
        dup_BKQH, d_own_BKQH = ((dy_BKQHP * v).sum(-1) for v in (z_BKQHP, x_BKQHP))
        dz_BKQF = (dy_BKQHP * up_BKQH[..., None]).flatten(3)
        w_BKQF = (x_BKQHP * down_BKQH[..., None]).flatten(3)
        dscores_BKQS = (dz_BKQF @ w_BKQF.transpose(2, 3)).tril_(-1)
        dw_BKQF = scores_BKQS.transpose(2, 3) @ dz_BKQF
        dC_BKQN, dB_BKQN = dscores_BKQS @ B_BKQN, dscores_BKQS.transpose(2, 3) @ C_BKQN
        dend_BKH, dwhole_BKH, dmid_BKH = (torch.zeros_like(v) for v in (end_BKH, whole_BKH, mid_BKH))
        if ended_BJNF is not None:
            mid_BJ1F = _features(mid_BKH[:, 1:], width)
            dC_BKQN[:, 1:] += dz_BKQF[:, 1:] @ (ended_BJNF * mid_BJ1F).transpose(2, 3)
            dended_BJNF = C_BKQN[:, 1:].transpose(2, 3) @ dz_BKQF[:, 1:]
            dmid_BKH[:, 1:] = _heads(dended_BJNF * ended_BJNF, heads)
            dended_BJNF *= mid_BJ1F
            for k in range(dended_BJNF.shape[1] - 2, -1, -1):
                dended_BJNF[:, k].addcmul_(_features(whole_BKH[:, k + 1], width), dended_BJNF[:, k + 1])
            dwhole_BKH[:, 1:-1] = _heads(dended_BJNF[:, 1:] * ended_BJNF[:, :-1], heads)
            dend_BKH[:, :-1] = _heads(dended_BJNF * added_BJNF, heads)
            dended_BJNF *= _features(end_BKH[:, :-1], width)
            dB_BKQN[:, :-1] += w_BKQF[:, :-1] @ dended_BJNF.transpose(2, 3)
            dw_BKQF[:, :-1] += B_BKQN[:, :-1] @ dended_BJNF
        dw_BKQHP = dw_BKQF.unflatten(3, (heads, width))
        ddown_BKQH = (dw_BKQHP * x_BKQHP).sum(-1)
        dx_BKQHP = torch.addcmul(dw_BKQHP * down_BKQH[..., None], dy_BKQHP, own_BKQH[..., None])
        return dx_BKQHP, ddown_BKQH, dup_BKQH, d_own_BKQH, dB_BKQN, dC_BKQN, dend_BKH, dwhole_BKH, dmid_BKH


def _features(each_H: Tensor, width: int) -> Tensor:
    """One value a head, (..., H), repeated over the head's features, with an axis for the state: (..., 1, F)."""
    return each_H.repeat_interleave(width, dim=-1).unsqueeze(-2)


def _heads(each_NF: Tensor, heads: int) -> Tensor:
    """Summed over the state and each head's features, (..., N, F) -> (..., H)."""
    return each_NF.sum(-2).unflatten(-1, (heads, -1)).sum(-1)
