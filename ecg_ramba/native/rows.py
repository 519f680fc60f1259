"""What a Mamba-2 layer does row by row beside its scan, in C++, with gradients: convolution and gated norm."""

from __future__ import annotations

import torch
from torch import Tensor

from ecg_ramba.native.library import Rows
from ecg_ramba.native.torch_calls import call, contiguous_rows
from ecg_ramba.nn.backends import resolve

CONVOLUTION, CONVOLUTION_GRADIENTS, NORM, NORM_GRADIENTS = range(4)
"""Passes over rows, by the library's numbers."""


def _parts(batch: int, length: int) -> int:
    """Parts that a sequence's rows are split into, by the sizes alone: some sixteen pieces of 32 rows or more."""
    return max(1, min(-(-16 // batch), length // 32))


def _pass(
    which: int, tensors: dict[str, Tensor], out: dict[str, Tensor], parts: int, instructions: str, **more
) -> None:
    x = tensors["x"]
    batch, length, width = x.shape
    strides = {}
    for name in ("x", "z", "dy"):
        if name in tensors:
            strides |= {f"{name}_batch": tensors[name].stride(0), f"{name}_step": tensors[name].stride(1)}
    pointers = {name: t.data_ptr() for name, t in (tensors | out).items()}
    problem = Rows(batch=batch, length=length, width=width, parts=parts, **more, **strides, **pointers)
    call("rows", problem, x.dtype, which, instructions)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, left, silu, instructions):
        tensors = {"x": contiguous_rows(x), "weight": weight.contiguous(), "bias": bias.contiguous()}
        ctx.save_for_backward(*tensors.values())
        ctx.instructions = instructions
        ctx.sizes = {"taps": weight.shape[0], "left": left, "silu": int(silu)}
        y = torch.empty(x.shape, dtype=x.dtype)
        _pass(CONVOLUTION, tensors, {"y": y}, _parts(*x.shape[:2]), instructions, **ctx.sizes)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        tensors = dict(zip(("x", "weight", "bias"), ctx.saved_tensors, strict=True))
        x, weight = tensors["x"], tensors["weight"]
        parts = _parts(*x.shape[:2])
        out = {"dx": torch.empty(x.shape, dtype=x.dtype), "dweight": x.new_zeros(len(x) * parts, *weight.shape)}
        out["dbias"] = x.new_zeros(len(x) * parts, x.shape[-1])
        tensors["dy"] = contiguous_rows(dy)
        _pass(CONVOLUTION_GRADIENTS, tensors, out, parts, ctx.instructions, **ctx.sizes)
        return out["dx"], out["dweight"].sum(0), out["dbias"].sum(0), None, None, None


class _GatedNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, z, weight, eps, instructions):
        tensors = {"x": contiguous_rows(x), "z": contiguous_rows(z), "weight": weight.contiguous()}
        ctx.save_for_backward(*tensors.values())
        ctx.eps, ctx.instructions = eps, instructions
        y = torch.empty(x.shape, dtype=x.dtype)
        _pass(NORM, tensors, {"y": y}, _parts(*x.shape[:2]), instructions, eps=eps)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        tensors = dict(zip(("x", "z", "weight"), ctx.saved_tensors, strict=True))
        x = tensors["x"]
        parts = _parts(*x.shape[:2])
        out = {name: torch.empty(x.shape, dtype=x.dtype) for name in ("dx", "dz")}
        out["dweight"] = x.new_zeros(len(x) * parts, x.shape[-1])
        _pass(NORM_GRADIENTS, tensors | {"dy": contiguous_rows(dy)}, out, parts, ctx.instructions, eps=ctx.eps)
        return out["dx"], out["dz"], out["dweight"].sum(0), None, None


def convolve(x: Tensor, weight: Tensor, bias: Tensor, left: int, silu: bool, instructions: str = "") -> Tensor:
    """A depthwise convolution, on tensors of one dtype, float32 or float64, on the CPU; with SiLU, its SiLU.

    Parameters
    ----------
    x, weight, bias : Tensor
        (batch, length, channels), (taps, channels), (channels,).
    left : int
        Zeros put before the sequence, from 0 to taps - 1, which makes it causal; the others come after it.
    silu : bool
        Whether SiLU follows.
    instructions : str
        As for :func:`ecg_ramba.native.scan.ssd_native`.

    Returns
    -------
    Tensor
        (batch, length, channels).

    Raises
    ------
    ValueError
        If ``left`` is outside.
    """
    if not 0 <= left < len(weight):
        raise ValueError(f"{left} zeros before the sequence: 0 to {len(weight) - 1} for {len(weight)} taps")
    return _Convolution.apply(x, weight, bias, left, silu, instructions)


def gated_norm(x: Tensor, z: Tensor, weight: Tensor, eps: float, instructions: str = "") -> Tensor:
    """Root-mean-square norm of ``x silu(z)`` over the last axis, times ``weight``; dtypes as for :func:`convolve`.

    Parameters
    ----------
    x, z, weight : Tensor
        (batch, length, width) twice, (width,).
    eps : float
        Added to the mean square.
    instructions : str
        As for :func:`ecg_ramba.native.scan.ssd_native`.

    Returns
    -------
    Tensor
        (batch, length, width).
    """
    return _GatedNorm.apply(x, z, weight, eps, instructions)


def taken(backend: str, x: Tensor, weight: Tensor) -> bool:
    """Whether these run under a model's ``backend``: where its scan is native, in the precision of the weights."""
    if backend not in ("auto", "native") or x.dtype != weight.dtype or x.dtype not in (torch.float32, torch.float64):
        return False
    return not torch.compiler.is_exporting() and resolve(backend, str(x.device)) == "native"
