"""Every form of the scan against the plain recurrence in float64: values and all gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_ramba.errors import UserError
from ecg_ramba.nn.ssd import ssd, ssd_recurrent
from tests.nn.scans import NAMES, inputs, needs_native, relative

PORTABLE = [("quadratic", 64), ("chunked", 64), ("chunked", 16), ("factorised", 64), ("factorised", 16)]
native = pytest.param("native", 64, marks=needs_native)
FORMS = [*PORTABLE, native]
BACKENDS = [pytest.param(b.values[0], marks=b.marks) if hasattr(b, "marks") else b[0] for b in FORMS]


def both(tensors, oracle, **options):
    """(value, gradients) of the scan under test and of the oracle, for one random cotangent."""
    results = []
    for function, kwargs in ((ssd, options), (oracle, {})):
        y = function(*tensors, **kwargs)
        cotangent = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(y.dtype)
        results.append((y, torch.autograd.grad(y, tensors, cotangent)))
    return results


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 63, 64, 65, 128, 129, 157])
@pytest.mark.parametrize(("backend", "chunk"), FORMS)
def test_equals_the_recurrence_in_float64(backend, chunk, length):
    (y, grads), (expected, expected_grads) = both(
        inputs(2, length, 3, 4, 5), ssd_recurrent, backend=backend, chunk=chunk
    )
    assert relative(y, expected) < 1e-11
    for name, value, target in zip(NAMES, grads, expected_grads, strict=True):
        assert relative(value, target) < 1e-10, name


@pytest.fixture(scope="module")
def five_thousand():
    """Inputs of 5000 steps; value and gradients by the recurrence, whose graph takes some seconds."""
    tensors = inputs(1, 5000, 1, 2, 3, dt_scale=0.1)
    y = ssd_recurrent(*tensors)
    return tensors, y.detach(), torch.autograd.grad(y.sum(), tensors)


@pytest.mark.parametrize(("backend", "chunk"), FORMS[1:])
def test_five_thousand_steps(five_thousand, backend, chunk):
    tensors, expected, expected_grads = five_thousand
    y = ssd(*tensors, backend=backend, chunk=chunk)
    assert relative(y, expected) < 1e-11
    for name, value, target in zip(NAMES, torch.autograd.grad(y.sum(), tensors), expected_grads, strict=True):
        assert relative(value, target) < 1e-10, name


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 3),
    length=st.integers(1, 70),
    heads=st.integers(1, 4),
    width=st.integers(1, 5),
    state=st.integers(1, 6),
    chunk=st.integers(1, 20),
    form=st.sampled_from(["auto", "torch", "quadratic", "chunked", "factorised"]),
    seed=st.integers(0, 1000),
)
def test_equals_the_recurrence_for_any_shape(batch, length, heads, width, state, chunk, form, seed):
    tensors = inputs(batch, length, heads, width, state, seed=seed)
    (y, grads), (expected, expected_grads) = both(tensors, ssd_recurrent, backend=form, chunk=chunk)
    assert relative(y, expected) < 1e-10
    for name, value, target in zip(NAMES, grads, expected_grads, strict=True):
        assert relative(value, target) < 1e-8, name


@pytest.mark.parametrize("dt_scale", [1e-6, 1.0, 100.0, 1e4, 1e30])
@pytest.mark.parametrize(("backend", "chunk"), FORMS)
def test_float32_with_extreme_steps_stays_finite_and_near(backend, chunk, dt_scale):
    tensors = inputs(2, 130, 2, 4, 5, dtype=torch.float32, dt_scale=dt_scale)
    double = [t.detach().double().requires_grad_() for t in tensors]
    y = ssd(*tensors, backend=backend, chunk=chunk)
    expected = ssd_recurrent(*double)
    grads = torch.autograd.grad(y.mean(), tensors)
    expected_grads = torch.autograd.grad(expected.mean(), double)
    assert relative(y.double(), expected) < 2e-5
    for name, value, target in zip(NAMES, grads, expected_grads, strict=True):
        assert torch.isfinite(value).all(), name
        if target.abs().max() > 1e-20:
            # native takes the decay's gradient from two passes whose rounding does not cancel: seen here alone
            tolerance = 1e-3 if (backend, name) == ("native", "A") else 2e-4
            assert relative(value.double(), target) < tolerance, name


@pytest.mark.parametrize(("backend", "chunk"), FORMS)
def test_small_steps_after_huge_ones_keep_their_precision(backend, chunk):
    """Running sums in the thousands must not blur the decay between two later neighbours."""
    tensors = inputs(1, 64, 1, 2, 3, dtype=torch.float32)
    dt = torch.full((1, 64, 1), 20.0)
    dt[:, 40:] = 0.01
    tensors[1], tensors[2] = dt, torch.tensor([-5.0])
    expected = ssd_recurrent(*(t.detach().double() for t in tensors))
    assert relative(ssd(*tensors, backend=backend, chunk=chunk)[:, 41:].double(), expected[:, 41:]) < 1e-5


@pytest.mark.parametrize(("backend", "chunk"), [("quadratic", 64), ("chunked", 3), ("factorised", 3), native])
def test_gradcheck(backend, chunk):
    tensors = inputs(1, 7, 2, 2, 2)
    assert torch.autograd.gradcheck(lambda *t: ssd(*t, backend=backend, chunk=chunk), tensors)


@pytest.mark.parametrize(("backend", "chunk"), FORMS)
def test_non_contiguous_inputs(backend, chunk):
    x, dt, A, B, C, D = (t.detach() for t in inputs(2, 33, 3, 4, 5))
    strided = [
        x.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
        dt.transpose(1, 2).contiguous().transpose(1, 2),
        torch.stack([A, A], 1)[:, 0],
        torch.cat([B, B], -1)[..., : B.shape[-1]],
        C.transpose(0, 2).contiguous().transpose(0, 2),
        torch.stack([D, D], 1)[:, 1],
    ]
    assert not strided[0].is_contiguous()
    torch.testing.assert_close(ssd(*strided, backend=backend, chunk=chunk), ssd_recurrent(x, dt, A, B, C, D))


@pytest.mark.parametrize("backend", ["recurrent", *BACKENDS])
def test_padding_is_as_if_it_were_not_there(backend):
    """Any pattern of padding: valid positions get what the sequence without the padded ones gives."""
    x, dt, A, B, C, D = (t.detach() for t in inputs(1, 90, 2, 3, 4))
    valid = torch.rand(1, 90, generator=torch.Generator().manual_seed(3)) > 0.4
    poisoned = [v.clone() for v in (x, dt, B, C)]
    for v in poisoned[:3]:
        v[~valid] = torch.nan
    y = ssd(poisoned[0], poisoned[1], A, poisoned[2], poisoned[3], D, valid_BL=valid, backend=backend, chunk=16)
    kept = [v[valid][None] for v in (x, dt, B, C)]
    torch.testing.assert_close(y[valid][None], ssd_recurrent(kept[0], kept[1], A, kept[2], kept[3], D))
    unmasked = ssd(x, dt, A, B, C, D, backend=backend, chunk=16)
    assert not torch.allclose(unmasked[valid], y[valid])


@pytest.mark.parametrize("backend", BACKENDS)
def test_is_causal(backend):
    x, dt, A, B, C, D = (t.detach() for t in inputs(1, 50, 2, 3, 4))
    y = ssd(x, dt, A, B, C, D, backend=backend, chunk=16)
    x[:, 30:] += 1
    changed = ssd(x, dt, A, B, C, D, backend=backend, chunk=16)
    torch.testing.assert_close(changed[:, :30], y[:, :30], rtol=0, atol=0)
    assert not torch.allclose(changed[:, 30:], y[:, 30:])


@pytest.mark.parametrize(("backend", "chunk"), FORMS)
def test_bfloat16_keeps_dtype_and_value(backend, chunk):
    tensors = [t.detach() for t in inputs(1, 100, 2, 8, 8, dtype=torch.float32)]
    expected = ssd_recurrent(*tensors)
    x, dt, A, B, C, D = tensors
    y = ssd(x.bfloat16(), dt, A, B.bfloat16(), C.bfloat16(), D, backend=backend, chunk=chunk)
    assert y.dtype == torch.bfloat16
    assert relative(y.float(), expected) < 0.05


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_not_a_number_is_never_hidden(backend):
    x, dt, A, B, C, D = (t.detach() for t in inputs(1, 150, 2, 3, 4))
    x[0, 70, 0, 1] = torch.nan
    y = ssd(x, dt, A, B, C, D, backend=backend)
    assert torch.isnan(y[0, 70:72, 0, 1]).all()


def test_a_backend_that_cannot_be_used_is_refused_and_never_replaced():
    tensors = [t.detach() for t in inputs(1, 5, 1, 2, 2)]
    with pytest.raises(UserError, match="mamba_ssm of the scan cannot be used here: it runs on a CUDA GPU, not on cpu"):
        ssd(*tensors, backend="mamba_ssm")


def test_mistakes_are_refused():
    x, dt, A, B, C, D = (t.detach() for t in inputs(2, 5, 3, 4, 5))
    with pytest.raises(ValueError, match="length 0"):
        ssd(x[:, :0], dt[:, :0], A, B[:, :0], C[:, :0], D)
    with pytest.raises(ValueError, match="x has the shape"):
        ssd(x[0], dt, A, B, C, D)
    with pytest.raises(ValueError, match="dt has the shape"):
        ssd(x, dt[:, :4], A, B, C, D)
    with pytest.raises(ValueError, match="B and C"):
        ssd(x, dt, A, B, C[..., :4], D)
    with pytest.raises(ValueError, match="A and D"):
        ssd(x, dt, A[:2], B, C, D)
    with pytest.raises(ValueError, match="valid is bool"):
        ssd(x, dt, A, B, C, D, valid_BL=torch.ones(2, 5))
    with pytest.raises(ValueError, match="backend"):
        ssd(x, dt, A, B, C, D, backend="quickest")
    with pytest.raises(ValueError, match="chunk"):
        ssd(x, dt, A, B, C, D, chunk=0)
