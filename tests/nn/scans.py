"""Inputs of a scan and how far two results are apart: what the tests of all backends share."""

import pytest
import torch

from ecg_ramba.nn.backends import unusable

NAMES = ("x", "dt", "A", "B", "C", "D")
needs_native = pytest.mark.skipif(bool(unusable("native")), reason=f"native backend: {unusable('native')}")


def inputs(batch, length, heads, width, state, *, seed=0, dtype=torch.float64, dt_scale=1.0):
    g = torch.Generator().manual_seed(seed)

    def normal(*sizes):
        return torch.randn(*sizes, generator=g, dtype=torch.float64).to(dtype)

    dt = torch.nn.functional.softplus(normal(batch, length, heads) - 2) * dt_scale
    A = -torch.empty(heads, dtype=torch.float64).uniform_(1, 16, generator=g).to(dtype)
    tensors = [normal(batch, length, heads, width), dt, A, normal(batch, length, state), normal(batch, length, state)]
    return [t.detach().requires_grad_() for t in [*tensors, normal(heads)]]


def relative(value, expected):
    return ((value - expected).abs().max() / expected.abs().max().clamp_min(1e-12)).item()
