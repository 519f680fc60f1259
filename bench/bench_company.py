"""Torch beside numba: an encoder layer's training step before and after a MiniRocket transform in the same process.

The two should take the same time; with numba's OpenMP layer the second was ten times as slow.
"""

import numpy as np
import pytest
import torch

from bench.machine import facts
from ecg_ramba.features.minirocket import MiniRocket
from ecg_ramba.nn.attention import EncoderBlock


@pytest.mark.parametrize("when", ["before", "after"])
def test_step(benchmark, when):
    """The order of the two is theirs in this file: once numba's threads run they stay."""
    if when == "after":
        windows = np.random.default_rng(0).normal(size=(32, 12, 500)).astype(np.float32)
        MiniRocket.fit(windows, seed=0, num_kernels=336).transform(windows, threads=2)
    torch.manual_seed(0)
    block, x = EncoderBlock(384, 6), torch.randn(8, 313, 384)

    def step():
        loss = block(x).square().mean()
        return torch.autograd.grad(loss, list(block.parameters()))

    benchmark.group = "torch before and after numba"
    benchmark.extra_info |= facts()
    rounds = 1 if benchmark.disabled else 15
    found = benchmark.pedantic(step, warmup_rounds=0 if benchmark.disabled else 2, rounds=rounds, iterations=1)
    assert all(torch.isfinite(g).all() for g in found)
