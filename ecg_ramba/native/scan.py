"""The selective scan of :func:`ecg_ramba.nn.ssd.ssd` in C++, with its gradients; kernel.h describes the method."""

from __future__ import annotations

import torch
from torch import Tensor

from ecg_ramba.native.library import SIZES, Problem
from ecg_ramba.native.torch_calls import call, contiguous_rows


def _groups(batch: int, heads: int) -> int:
    """Groups of heads that a sequence is split into: up to four for a single sequence, by the sizes alone."""
    return next(g for g in range(min(heads, -(-4 // batch)), 0, -1) if heads % g == 0)


def _run(tensors: dict[str, Tensor], out: dict[str, Tensor], gradients: bool, groups: int, instructions: str) -> None:
    x = tensors["x"]
    batch, length, heads, width = x.shape
    sizes = dict(zip(SIZES, (batch, length, heads, width, tensors["B"].shape[-1], groups), strict=True))
    strides = {}
    for name in ("x", "dt", "B", "C", "dy"):
        if name in tensors:
            axes = ("batch", "step") if name in "BC" else ("batch", "step", "head")
            strides |= {f"{name}_{axis}": tensors[name].stride(i) for i, axis in enumerate(axes)}
    pointers = {name: t.data_ptr() for name, t in (tensors | out).items()}
    call("ssd", Problem(**sizes, **strides, **pointers), x.dtype, int(gradients), instructions)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, dt, A, B, C, D, instructions):
        tensors = {"x": contiguous_rows(x), "dt": dt, "A": A.contiguous()}
        tensors |= {"B": contiguous_rows(B), "C": contiguous_rows(C), "D": D.contiguous()}
        ctx.save_for_backward(*tensors.values())
        ctx.instructions = instructions
        y = torch.empty_like(x, memory_format=torch.contiguous_format)
        _run(tensors, {"y": y}, False, _groups(x.shape[0], x.shape[2]), instructions)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        tensors = dict(zip(("x", "dt", "A", "B", "C", "D"), ctx.saved_tensors, strict=True))
        x, A, B = (tensors[name] for name in ("x", "A", "B"))
        batch, length, heads, _ = x.shape
        groups = _groups(batch, heads)
        out = {"dx": torch.empty(x.shape, dtype=x.dtype), "ddt": x.new_empty(batch, heads, length)}
        out |= {name: x.new_empty(groups, batch, length, B.shape[-1]) for name in ("dB", "dC")}
        out |= {name: torch.empty(batch, heads, dtype=torch.float64) for name in ("dA", "dD")}
        _run(tensors | {"dy": contiguous_rows(dy)}, out, True, groups, ctx.instructions)
        dB, dC = (out[name].sum(0) if groups > 1 else out[name][0] for name in ("dB", "dC"))
        dA, dD = (out[name].sum(0).to(A.dtype) for name in ("dA", "dD"))
        return out["dx"], out["ddt"].transpose(1, 2), dA, dB, dC, dD, None


def ssd_native(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, instructions: str = "") -> Tensor:
    """The scan of :func:`ecg_ramba.nn.ssd.ssd` on tensors of one dtype, float32 or float64, on the CPU.

    Parameters
    ----------
    x, dt, A, B, C, D : Tensor
        (batch, length, heads, width), (batch, length, heads), (heads,), (batch, length, state) twice, (heads,).
    instructions : str
        One of :data:`LEVELS` in place of the best that there is (the processor must have it).

    Returns
    -------
    Tensor
        As ``x``. It does not depend on the number of threads.
    """
    return _Scan.apply(x, dt, A, B, C, D, instructions)
