"""Mamba-2 against attention: the cores, and a bidirectional layer against an encoder layer, forward and backward.

``pytest --benchmark-only bench/bench_layers.py``; add ``-k "mamba and L625 and layer"`` and the like (a file
name without either competitor keeps ``-k`` able to choose). Groups are by length, part
and direction, so that the two competitors stand side by side. The layers have equal width, not equal parameters:
both counts are in ``extra_info``.
"""

import platform

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ecg_ramba.nn.attention import EncoderBlock
from ecg_ramba.nn.flops import count_flops
from ecg_ramba.nn.mamba import BiMambaBlock
from ecg_ramba.nn.ssd import ssd

BATCH, WIDTH, HEADS, STATE = 8, 384, 6, 64
INNER_HEADS = 2 * WIDTH // 64
LENGTHS = (64, 625)


class MambaCore(nn.Module):
    """The scan alone, at Mamba-2's sizes for this width (12 heads of 64, state 64)."""

    def forward(self, x, dt, A, B, C):
        """Inputs as in :func:`ecg_ramba.nn.ssd.ssd`."""
        return ssd(x, dt, A, B, C)


class AttentionCore(nn.Module):
    """Scaled dot-product attention alone, at as many features as the scan has (12 heads of 64)."""

    def forward(self, q, k, v):
        """Queries, keys and values, (batch, heads, length, 64)."""
        return F.scaled_dot_product_attention(q, k, v)


def case(part: str, kind: str, length: int) -> tuple[nn.Module, list[torch.Tensor]]:
    """The module and its inputs, all of which want gradients."""
    torch.manual_seed(0)
    if part == "layer":
        module = BiMambaBlock(WIDTH) if kind == "mamba" else EncoderBlock(WIDTH, HEADS)
        return module, [torch.randn(BATCH, length, WIDTH, requires_grad=True)]
    if kind == "attention":
        return AttentionCore(), [torch.randn(BATCH, INNER_HEADS, length, 64, requires_grad=True) for _ in range(3)]
    tensors = [
        torch.randn(BATCH, length, INNER_HEADS, 64),
        F.softplus(torch.randn(BATCH, length, INNER_HEADS) - 3),
        -torch.empty(INNER_HEADS).uniform_(1, 16),
        torch.randn(BATCH, length, STATE),
        torch.randn(BATCH, length, STATE),
    ]
    return MambaCore(), [t.requires_grad_() for t in tensors]


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("length", LENGTHS, ids=[f"L{n}" for n in LENGTHS])
@pytest.mark.parametrize("kind", ["mamba", "attention"])
@pytest.mark.parametrize("part", ["core", "layer"])
def test_time(benchmark, part, kind, length, direction):
    """One forward pass, or one with its backward pass."""
    module, inputs = case(part, kind, length)
    wanted = [*inputs, *module.parameters()]

    def forward():
        with torch.no_grad():
            return module(*inputs)

    def backward():
        out = module(*inputs)
        return torch.autograd.grad(out, wanted, torch.ones_like(out))

    benchmark.group = f"L{length} {part} {direction}"
    benchmark.extra_info |= {
        "batch": BATCH,
        "width": WIDTH,
        "dtype": "float32",
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.processor() or platform.machine(),
        "parameters": sum(p.numel() for p in module.parameters()),
        "forward_flops": count_flops(module, *inputs)[""],
    }
    function = forward if direction == "forward" else backward
    result = benchmark.pedantic(function, warmup_rounds=0 if benchmark.disabled else 3, rounds=15, iterations=1)
    outputs = [result] if direction == "forward" else result
    assert all(torch.isfinite(t).all() for t in outputs)
