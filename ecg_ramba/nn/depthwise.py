"""Depthwise 1-D convolution on channels-last sequences.

A kernel of K taps is K multiply-adds of shifted sequences; done in place, without the two transposes that
``torch.nn.functional.conv1d`` needs, this is up to twice as fast in training on a CPU and keeps nothing but its input.

Shape suffixes: B batch, L length, C channels, K taps.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ecg_ramba.native import rows
from ecg_ramba.nn.backends import resolve, without_causal_conv1d


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x_BLC: Tensor, weight_KC: Tensor, bias_C: Tensor, left: int) -> Tensor:
        ctx.save_for_backward(x_BLC, weight_KC)
        ctx.left = left
        y_BLC = torch.empty_like(x_BLC, memory_format=torch.contiguous_format).copy_(bias_C.to(x_BLC.dtype))
        for k, to, of in _taps(weight_KC.shape[0], x_BLC.shape[1], left):
            y_BLC[:, to].addcmul_(x_BLC[:, of], weight_KC[k].to(x_BLC.dtype))
        return y_BLC

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_BLC: Tensor):
        x_BLC, weight_KC = ctx.saved_tensors
        grad_x_BLC = torch.zeros_like(grad_BLC, memory_format=torch.contiguous_format)
        grad_weight_KC = torch.zeros_like(weight_KC)
        for k, to, of in _taps(weight_KC.shape[0], x_BLC.shape[1], ctx.left):
            grad_x_BLC[:, of].addcmul_(grad_BLC[:, to], weight_KC[k].to(grad_BLC.dtype))
            grad_weight_KC[k] = (grad_BLC[:, to] * x_BLC[:, of]).sum((0, 1))
        return grad_x_BLC, grad_weight_KC, grad_BLC.sum((0, 1)).to(weight_KC.dtype), None


def depthwise_conv(
    x_BLC: Tensor, weight_C1K: Tensor, bias_C: Tensor, left: int, silu: bool = False, backend: str = "torch"
) -> Tensor:
    """Convolve every channel with its own kernel; the length stays.

    Parameters
    ----------
    x_BLC : Tensor
        (batch, length, channels).
    weight_C1K, bias_C : Tensor
        As a depthwise ``torch.nn.Conv1d`` holds them.
    left : int
        Zeros put before the sequence: K - 1 makes it causal, K // 2 centred.
    silu : bool
        Whether SiLU follows.
    backend : str
        Where it is native, or ``auto`` finds that, this runs in C++ too; where it is mamba_ssm, a causal convolution
        runs by the kernel of causal_conv1d if that works there.

    Returns
    -------
    Tensor
        (batch, length, channels), equal to ``conv1d`` with that padding.
    """
    if rows.taken(backend, x_BLC, weight_C1K):
        return rows.convolve(x_BLC, weight_C1K[:, 0].t(), bias_C, left, silu)
    if _by_causal_conv1d(backend, x_BLC, weight_C1K, left):
        from causal_conv1d import causal_conv1d_fn

        activation = "silu" if silu else None
        return causal_conv1d_fn(x_BLC.transpose(1, 2), weight_C1K[:, 0], bias_C, activation=activation).transpose(1, 2)
    y_BLC = _portable(x_BLC, weight_C1K, bias_C, left)
    return F.silu(y_BLC) if silu else y_BLC


def _by_causal_conv1d(backend: str, x_BLC: Tensor, weight_C1K: Tensor, left: int) -> bool:
    """Whether the kernel of causal_conv1d is taken: it has 2 to 4 taps, and channels in eights where they lie last."""
    channels, _, taps = weight_C1K.shape
    if backend not in ("auto", "mamba_ssm") or x_BLC.device.type != "cuda" or torch.compiler.is_exporting():
        return False
    if left != taps - 1 or not 2 <= taps <= 4 or channels % 8 or x_BLC.dtype == torch.float64:
        return False
    device = str(x_BLC.device)
    return resolve(backend, device) == "mamba_ssm" and not without_causal_conv1d(device)


def _portable(x_BLC: Tensor, weight_C1K: Tensor, bias_C: Tensor, left: int) -> Tensor:
    if torch.compiler.is_exporting():  # what is written in place is not exported faithfully
        x_BCL = F.pad(x_BLC.transpose(1, 2), (left, weight_C1K.shape[-1] - 1 - left))
        return F.conv1d(x_BCL, weight_C1K, bias_C, groups=weight_C1K.shape[0]).transpose(1, 2)
    return _Depthwise.apply(x_BLC, weight_C1K[:, 0].t(), bias_C, left)


def _taps(kernel: int, length: int, left: int):
    """For each tap, which outputs it feeds and from which inputs."""
    for k in range(kernel):
        shift = k - left
        first, last = max(0, -shift), min(length, length - shift)
        if first < last:
            yield k, slice(first, last), slice(first + shift, last + shift)
