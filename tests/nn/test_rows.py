"""Convolution and gated norm in C++ against torch's own operations, values and all gradients."""

import pytest
import torch
import torch.nn.functional as F

from ecg_ramba.native import rows
from ecg_ramba.native.library import LEVELS, level
from ecg_ramba.native.rows import convolve, gated_norm
from ecg_ramba.nn.mamba import Mamba2
from tests.nn.scans import needs_native, relative

pytestmark = needs_native
SIZES = [(1, 1, 1), (2, 70, 37), (3, 5, 96), (1, 700, 16)]


def normal(*sizes, seed=0, scale=1.0):
    return scale * torch.randn(*sizes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_conv(x, weight, bias, left=3, silu=True):
    padded = F.pad(x.transpose(1, 2), (left, len(weight) - 1 - left))
    y = F.conv1d(padded, weight.t()[:, None], bias, groups=len(bias)).transpose(1, 2)
    return F.silu(y) if silu else y


def conv_silu(x, weight, bias, instructions=""):
    return convolve(x, weight, bias, len(weight) - 1, True, instructions)


def plain_norm(x, z, weight):
    gated = x * F.silu(z)
    return gated / torch.sqrt((gated**2).mean(-1, keepdim=True) + 1e-5) * weight


def both(function, plain, tensors, dtype, *rest):
    """Value and gradients of each, of inputs that are parts of longer rows."""
    results = []
    for f, kind, more in ((function, dtype, rest), (plain, torch.float64, ())):
        given = [t.to(kind).requires_grad_() for t in tensors]
        y = f(given[0][..., 3:-2], *given[1:], *more)
        cotangent = normal(*y.shape, seed=9).to(kind)
        results.append([y, *torch.autograd.grad(y, given, cotangent)])
    return zip(*results, strict=True)


@pytest.mark.parametrize("instructions", LEVELS)
@pytest.mark.parametrize(("batch", "length", "width"), SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-6)])
def test_convolution(instructions, batch, length, width, dtype, tolerance):
    if LEVELS.index(instructions) > LEVELS.index(level()):
        pytest.skip(f"this processor has no {instructions}")
    tensors = [normal(batch, length, width + 5, scale=3), normal(4, width, seed=1), normal(width, seed=2)]
    for value, expected in both(conv_silu, plain_conv, tensors, dtype, instructions):
        assert relative(value.double(), expected) < tolerance


@pytest.mark.parametrize("instructions", LEVELS)
@pytest.mark.parametrize(("batch", "length", "width"), SIZES[1:])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-6)])
def test_gated_norm(instructions, batch, length, width, dtype, tolerance):
    if LEVELS.index(instructions) > LEVELS.index(level()):
        pytest.skip(f"this processor has no {instructions}")
    tensors = [normal(batch, length, width + 5), normal(batch, length, width, scale=4), normal(width, seed=2)]
    for value, expected in both(gated_norm, plain_norm, tensors, dtype, 1e-5, instructions):
        assert relative(value.double(), expected) < tolerance


def test_gradients_by_differences():
    x, weight, bias = (t.requires_grad_() for t in (normal(2, 40, 3), normal(4, 3, seed=1), normal(3, seed=2)))
    assert torch.autograd.gradcheck(conv_silu, (x, weight, bias))
    z, gain = normal(2, 40, 3, seed=3).requires_grad_(), normal(3, seed=4).requires_grad_()
    assert torch.autograd.gradcheck(lambda *t: gated_norm(*t, 1e-5), (x, z, gain))


@pytest.mark.parametrize("silu", [True, False])
@pytest.mark.parametrize(("taps", "left"), [(1, 0), (2, 1), (7, 6), (7, 3), (7, 0), (4, 1)])
@pytest.mark.parametrize("length", [1, 2, 5, 90])
def test_other_taps_and_paddings(taps, left, silu, length):
    tensors = [normal(2, length, 13), normal(taps, 8, seed=1), normal(8, seed=2)]
    ours = lambda x, w, b: convolve(x, w, b, left, silu)  # noqa: E731
    plain = lambda x, w, b: plain_conv(x, w, b, left, silu)  # noqa: E731
    for value, expected in both(ours, plain, tensors, torch.float64):
        assert relative(value, expected) < 1e-13
    with pytest.raises(ValueError, match=f"{taps} zeros before the sequence: 0 to {taps - 1}"):
        convolve(*tensors[:1], *tensors[1:], taps, silu)


def test_every_float_through_the_exponential():
    """SiLU from -200 to 200, and of what is not a number."""
    x = torch.linspace(-200, 200, 40_001)[None, :, None]
    zero, one = torch.zeros(1, 1), torch.ones(1)
    y = conv_silu(x, zero + 1, one * 0)
    expected = F.silu(x.double())
    error = (y.double() - expected).abs() / expected.abs().clamp_min(1e-30)
    assert error[x > -85].max() < 3e-7
    assert y[x < -85].abs().max() < 2e-35
    assert conv_silu(torch.full((1, 3, 9), torch.nan), torch.ones(4, 9), torch.zeros(9)).isnan().all()


def test_the_number_of_threads_changes_no_bit():
    x, weight, bias, found = normal(3, 900, 24).float(), normal(4, 24).float(), normal(24).float(), []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            given = [t.clone().requires_grad_() for t in (x, weight, bias)]
            y = gated_norm(conv_silu(*given), given[0], given[2], 1e-5)
            found.append([y, *torch.autograd.grad(y.square().sum(), given)])
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(other, found[0], strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_mixer_is_the_same_with_and_without_them(dtype, monkeypatch):
    torch.manual_seed(0)
    mixer = Mamba2(24, headdim=8, d_state=5, backend="native").to(dtype)
    u = normal(2, 130, 24).to(dtype).requires_grad_()
    valid = torch.arange(130).expand(2, -1) < torch.tensor([[130], [77]])
    results = []
    for fused in (True, False):
        if not fused:
            monkeypatch.setattr(rows, "taken", lambda *_: False)
        y = mixer(u, valid)[valid]
        results.append([y, *torch.autograd.grad(y.square().sum(), [u, *mixer.parameters()])])
    for value, expected in zip(*results, strict=True):
        assert relative(value, expected) < (1e-10 if dtype == torch.float64 else 1e-4)
