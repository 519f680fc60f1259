"""State-space duality (SSD): the scan at the core of Mamba-2, in portable torch.

Per head, with a scalar decay rate A < 0 and a step size dt >= 0::

    h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t        (state, P x N)
    y_t = C_t h_t + D x_t

Here are its portable forms: :func:`ssd_recurrent`, the definition written as a loop (slow, the oracle of the tests); a
quadratic form, one masked matrix product, for short sequences; and a chunked form, quadratic inside a chunk and
recurrent between chunks, whose cost is linear in length. A factorised chunked form shares its products between heads
(:mod:`ecg_ramba.nn.factorised`) and is used as long as none of its factors can overflow. The other backends are named
in :mod:`ecg_ramba.nn.backends`.

Reference: Dao and Gu 2024, "Transformers are SSMs", arXiv:2405.21060.

Shape suffixes: B batch, L length, H heads, P head width, N state size, K chunks, Q positions in a chunk (S: the same
as Q, as the source of a product), F = H P features.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ecg_ramba.nn.backends import BACKENDS, resolve
from ecg_ramba.nn.factorised import SHARED_CHUNK, ssd_factorised

CHUNK = 64
"""Positions in a chunk of the chunked form, which holds an array of heads x chunk x chunk."""

QUADRATIC_LIMIT = 128
"""Up to this length the single quadratic form is as fast as anything."""

FORMS = ("quadratic", "chunked", "factorised", "recurrent")
"""Forms of the backend ``torch``, which takes the best by length and by how far the decay reaches."""


def ssd(
    x_BLHP: Tensor,
    dt_BLH: Tensor,
    A_H: Tensor,
    B_BLN: Tensor,
    C_BLN: Tensor,
    D_H: Tensor | None = None,
    *,
    valid_BL: Tensor | None = None,
    backend: str = "auto",
    chunk: int | None = None,
) -> Tensor:
    """The selective scan ``y = C h + D x``, ``h = exp(dt A) h + dt B x``.

    Parameters
    ----------
    x_BLHP : Tensor
        Input, (batch, length, heads, head width).
    dt_BLH : Tensor
        Step sizes, >= 0 (after the softplus).
    A_H : Tensor
        Decay rate of each head, < 0.
    B_BLN, C_BLN : Tensor
        Input and output projections of the state, shared by all heads (one group).
    D_H : Tensor, optional
        Skip weight of each head.
    valid_BL : Tensor of bool, optional
        False at padding: such a position neither decays the state nor adds to it, whatever it holds.
    backend : str
        ``auto``, one of :data:`ecg_ramba.nn.backends.BACKENDS`, or one of :data:`FORMS`.
    chunk : int, optional
        Chunk length of the chunked forms in place of :data:`CHUNK` and :data:`SHARED_CHUNK`.

    Returns
    -------
    Tensor
        y_BLHP in the dtype of ``x_BLHP``. At padding its value means nothing.

    Raises
    ------
    ValueError
        On a wrong rank, sizes that disagree, length 0 or an unknown backend.
    UserError
        If a backend is named that cannot be used on this device.
    """
    _check(x_BLHP, dt_BLH, A_H, B_BLN, C_BLN, D_H, valid_BL)
    if backend not in ("auto", *BACKENDS, *FORMS):
        raise ValueError(f"no SSD backend is called {backend!r}; there are: {', '.join(('auto', *BACKENDS, *FORMS))}")
    if chunk is not None and chunk < 1:
        raise ValueError(f"a chunk holds at least one position, got {chunk}")
    if valid_BL is not None:
        dt_BLH = dt_BLH.masked_fill(~valid_BL[..., None], 0.0)
        x_BLHP = x_BLHP.masked_fill(~valid_BL[..., None, None], 0.0)
        B_BLN = B_BLN.masked_fill(~valid_BL[..., None], 0.0)
    if backend not in FORMS:
        backend = resolve(backend, str(x_BLHP.device))
    if backend == "native":
        return _native(x_BLHP, dt_BLH, A_H, B_BLN, C_BLN, D_H)
    if backend == "mamba_ssm":
        return _mamba_ssm(x_BLHP, dt_BLH, A_H, B_BLN, C_BLN, D_H)
    if backend == "recurrent":
        return ssd_recurrent(x_BLHP, dt_BLH, A_H, B_BLN, C_BLN, D_H)
    # exp() underflows to 0 beyond this: the clamp changes no value and keeps sums finite and their rounding small
    floor = -750.0 if x_BLHP.dtype == torch.float64 else -104.0
    a_BLH = (dt_BLH * A_H).clamp_min(floor)
    if backend == "torch":
        backend = "quadratic" if x_BLHP.shape[1] <= QUADRATIC_LIMIT else "factorised"
    if backend == "factorised":
        y_BLHP = ssd_factorised(x_BLHP, dt_BLH, a_BLH, B_BLN, C_BLN, D_H, chunk or SHARED_CHUNK)
        if y_BLHP is not None:
            return y_BLHP
    xdt_BLHP = x_BLHP * dt_BLH[..., None].to(x_BLHP.dtype)
    if backend == "quadratic":
        y_BLHP = _quadratic(xdt_BLHP, a_BLH, B_BLN, C_BLN)
    else:
        y_BLHP = _chunked(xdt_BLHP, a_BLH, B_BLN, C_BLN, chunk or CHUNK)
    if D_H is not None:
        y_BLHP = torch.addcmul(y_BLHP, x_BLHP, D_H[:, None].to(x_BLHP.dtype))
    return y_BLHP.to(x_BLHP.dtype)


def ssd_recurrent(
    x_BLHP: Tensor, dt_BLH: Tensor, A_H: Tensor, B_BLN: Tensor, C_BLN: Tensor, D_H: Tensor | None = None
) -> Tensor:
    """The scan as its definition reads, one position after the other; any dtype. Slow; everything is tested against it.

    Parameters and result are those of :func:`ssd`.
    """
    batch, length, heads, width = x_BLHP.shape
    h_BHPN = x_BLHP.new_zeros(batch, heads, width, B_BLN.shape[-1])
    out = []
    for t in range(length):
        decay_BH = torch.exp(dt_BLH[:, t] * A_H)
        xdt_BHP = x_BLHP[:, t] * dt_BLH[:, t, :, None]
        h_BHPN = decay_BH[..., None, None] * h_BHPN + xdt_BHP[..., None] * B_BLN[:, t, None, None, :]
        out.append(torch.einsum("bhpn,bn->bhp", h_BHPN, C_BLN[:, t]))
    y_BLHP = torch.stack(out, dim=1)
    return y_BLHP if D_H is None else y_BLHP + x_BLHP * D_H[:, None]


class _Decay(torch.autograd.Function):
    """exp(s_q - s_s) for s <= q, else 0, from running sums s.

    The sums come in float64 and are split into a float32 value and its remainder, so that a small difference of two
    large sums stays exact without a quadratic array in float64. One quadratic array is kept for the backward pass.
    """

    @staticmethod
    def forward(ctx, sums_Q: Tensor, upper_QS: Tensor, dtype: torch.dtype) -> Tensor:
        high_Q = sums_Q.to(upper_QS.dtype)
        decay_QS = high_Q[..., :, None] - high_Q[..., None, :]
        if high_Q.dtype != sums_Q.dtype:
            rest_Q = (sums_Q - high_Q).to(high_Q.dtype)
            decay_QS.add_(rest_Q[..., :, None]).sub_(rest_Q[..., None, :])
        decay_QS = decay_QS.add_(upper_QS).exp_().to(dtype)
        ctx.save_for_backward(decay_QS)
        ctx.sums_dtype = sums_Q.dtype
        return decay_QS

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_QS: Tensor):
        (decay_QS,) = ctx.saved_tensors
        grad_QS = grad_QS * decay_QS
        # the diagonal is 1 whatever the sums: left in, it would only cancel, and drown the rest in its rounding
        grad_QS.diagonal(dim1=-2, dim2=-1).zero_()
        return (grad_QS.sum(-1) - grad_QS.sum(-2)).to(ctx.sums_dtype), None, None


def _native(x_BLHP: Tensor, dt_BLH: Tensor, A_H: Tensor, B_BLN: Tensor, C_BLN: Tensor, D_H: Tensor | None) -> Tensor:
    """In C++, computed in float64 where anything is, else in float32."""
    from ecg_ramba.native.scan import ssd_native

    if D_H is None:
        D_H = torch.zeros_like(A_H)
    tensors = (x_BLHP, dt_BLH, A_H, B_BLN, C_BLN, D_H)
    dtype = torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32
    return ssd_native(*(t.to(dtype) for t in tensors)).to(x_BLHP.dtype)


def _mamba_ssm(x_BLHP: Tensor, dt_BLH: Tensor, A_H: Tensor, B_BLN: Tensor, C_BLN: Tensor, D_H: Tensor | None) -> Tensor:
    """By mamba_ssm's Triton kernels; B and C get its axis of groups, of which there is one."""
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

    B_BLGN, C_BLGN = (v[:, :, None].to(x_BLHP.dtype) for v in (B_BLN, C_BLN))
    return mamba_chunk_scan_combined(x_BLHP, dt_BLH, A_H, B_BLGN, C_BLGN, chunk_size=256, D=D_H)


def _decay(sums_Q: Tensor, dtype: torch.dtype) -> Tensor:
    length = sums_Q.shape[-1]
    work = torch.float64 if dtype == torch.float64 else torch.float32
    upper_QS = torch.full((length, length), -torch.inf, dtype=work, device=sums_Q.device).triu_(1)
    return _Decay.apply(sums_Q, upper_QS, dtype)


def _quadratic(xdt_BLHP: Tensor, a_BLH: Tensor, B_BLN: Tensor, C_BLN: Tensor) -> Tensor:
    """One masked product: y = (decay * C B^T) (dt x)."""
    sums_BHL = a_BLH.transpose(1, 2).double().cumsum(-1)
    scores_BLS = C_BLN @ B_BLN.transpose(1, 2)
    weights_BHLS = _decay(sums_BHL, scores_BLS.dtype) * scores_BLS[:, None]
    return (weights_BHLS @ xdt_BLHP.transpose(1, 2).to(weights_BHLS.dtype)).transpose(1, 2)


def _chunked(xdt_BLHP: Tensor, a_BLH: Tensor, B_BLN: Tensor, C_BLN: Tensor, chunk: int) -> Tensor:
    """Quadratic inside chunks, a recurrence over one state a chunk between them."""
    batch, length, heads, width = xdt_BLHP.shape
    chunks = -(-length // chunk)
    pad = chunks * chunk - length
    if pad:
        # a padded position decays nothing (a = 0) and adds nothing (x = 0)
        xdt_BLHP = F.pad(xdt_BLHP, (0, 0, 0, 0, 0, pad))
        a_BLH, B_BLN, C_BLN = (F.pad(v, (0, 0, 0, pad)) for v in (a_BLH, B_BLN, C_BLN))
    xdt_BKQHP = xdt_BLHP.reshape(batch, chunks, chunk, heads, width)
    B_BKQN, C_BKQN = (v.reshape(batch, chunks, chunk, -1) for v in (B_BLN, C_BLN))
    sums_BKHQ = a_BLH.reshape(batch, chunks, chunk, heads).transpose(2, 3).double().cumsum(-1)
    dtype = xdt_BLHP.dtype

    scores_BKQS = C_BKQN @ B_BKQN.transpose(2, 3)
    weights_BKHQS = _decay(sums_BKHQ, scores_BKQS.dtype) * scores_BKQS[:, :, None]
    y_BKQHP = (weights_BKHQS @ xdt_BKQHP.transpose(2, 3).to(weights_BKHQS.dtype)).transpose(2, 3)
    if chunks > 1:
        # what a chunk adds to the state by its end, all heads in one product
        to_end_BKQH = (sums_BKHQ[..., -1:] - sums_BKHQ).exp().to(dtype).transpose(2, 3)
        weighted_BKQF = (xdt_BKQHP * to_end_BKQH[..., None]).flatten(3)
        added_BKNF = B_BKQN[:, :-1].transpose(2, 3) @ weighted_BKQF[:, :-1]
        whole_BKF = sums_BKHQ[..., -1].exp().to(dtype).repeat_interleave(width, dim=-1)
        state_BNF, states = added_BKNF[:, 0], []
        for k in range(1, chunks):
            states.append(state_BNF)
            if k < chunks - 1:
                state_BNF = torch.addcmul(added_BKNF[:, k], whole_BKF[:, k, None], state_BNF)
        carried_BKQF = C_BKQN[:, 1:] @ torch.stack(states, dim=1)
        since_start_BKQH = sums_BKHQ[:, 1:].exp().to(dtype).transpose(2, 3)
        carried_BKQHP = carried_BKQF.unflatten(3, (heads, width)) * since_start_BKQH[..., None]
        y_BKQHP = torch.cat([y_BKQHP[:, :1], y_BKQHP[:, 1:] + carried_BKQHP], dim=1)
    return y_BKQHP.reshape(batch, chunks * chunk, heads, width)[:, :length]


def _check(x, dt, A, B, C, D, valid) -> None:
    if x.ndim != 4:
        raise ValueError(f"x has the shape (batch, length, heads, head width), got {tuple(x.shape)}")
    batch, length, heads, _ = x.shape
    if length == 0:
        raise ValueError("a sequence of length 0 cannot be scanned")
    if dt.shape != (batch, length, heads):
        raise ValueError(f"dt has the shape {(batch, length, heads)}, got {tuple(dt.shape)}")
    if B.ndim != 3 or B.shape[:2] != (batch, length) or C.shape != B.shape:
        raise ValueError(f"B and C have the shape ({batch}, {length}, state), got {tuple(B.shape)}, {tuple(C.shape)}")
    if A.shape != (heads,) or (D is not None and D.shape != (heads,)):
        raise ValueError(f"A and D hold one value for each of {heads} heads")
    if valid is not None and (valid.shape != (batch, length) or valid.dtype != torch.bool):
        raise ValueError(f"valid is bool of shape {(batch, length)}, got {valid.dtype} {tuple(valid.shape)}")
