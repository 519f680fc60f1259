"""mamba_ssm's and causal_conv1d's kernels on a GPU, against the recurrence and the portable layer; skipped without one.

How they are called is tested anywhere, against stand-ins that hold their arguments to the published interfaces.
"""

import sys
import types

import pytest
import torch
import torch.nn.functional as F

from ecg_ramba.nn import backends, depthwise, ssd
from ecg_ramba.nn.mamba import BiMambaBlock, Mamba2
from tests.nn.scans import NAMES, inputs, relative


def lacking() -> str:
    if not torch.cuda.is_available():
        return "no CUDA GPU here"
    return backends.unusable("mamba_ssm", "cuda")


on_gpu = pytest.mark.skipif(bool(lacking()), reason=f"mamba_ssm: {lacking()}")
TOLERANCE = {torch.float32: 5e-3, torch.bfloat16: 4e-2}
"""The kernels multiply float32 in TF32."""


def results(tensors, **options):
    y = ssd.ssd(*tensors, **options)
    cotangent = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)
    return y, torch.autograd.grad(y, tensors, cotangent)


def assert_near(tensors, **options):
    """Value and gradients on the GPU against the recurrence in float64 on the CPU, of the same numbers."""
    dtype = tensors[0].dtype
    y, found = results([t.detach().cuda().requires_grad_() for t in tensors], backend="mamba_ssm", **options)
    exact = [t.detach().double().requires_grad_() for t in tensors]
    valid = options.get("valid_BL")
    expected, targets = results(exact, backend="recurrent", **({} if valid is None else {"valid_BL": valid.cpu()}))
    assert y.dtype == dtype
    if valid is not None:
        y, expected = y[valid], expected[valid.cpu()]
    assert relative(y.cpu().double(), expected) < TOLERANCE[dtype]
    for name, value, target in zip(NAMES, found, targets, strict=True):
        assert relative(value.cpu().double(), target) < 2 * TOLERANCE[dtype], name


@on_gpu
@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 255, 256, 257, 625, 5000])
def test_equals_the_recurrence(length, dtype):
    assert_near(inputs(1 if length > 1000 else 3, length, 4, 64, 64, dtype=dtype, dt_scale=0.2))


@on_gpu
@pytest.mark.parametrize("dt_scale", [1e-6, 100.0, 1e4])
def test_extreme_steps_stay_finite_and_near(dt_scale):
    assert_near(inputs(2, 130, 4, 64, 64, dtype=torch.float32, dt_scale=dt_scale))


@on_gpu
def test_padding_is_as_if_it_were_not_there():
    valid = (torch.arange(200).expand(2, -1) < torch.tensor([[200], [77]])).cuda()
    assert_near(inputs(2, 200, 4, 64, 64, dtype=torch.float32), valid_BL=valid)


@on_gpu
def test_non_contiguous_inputs():
    x, dt, A, B, C, D = (t.detach().cuda() for t in inputs(2, 90, 4, 64, 64, dtype=torch.float32))
    strange = [torch.stack([t, t], -1)[..., 0] for t in (x, dt, A, B, C, D)]
    expected = ssd.ssd(x, dt, A, B, C, D, backend="mamba_ssm")
    assert torch.equal(ssd.ssd(*strange, backend="mamba_ssm"), expected)


@on_gpu
@pytest.mark.parametrize("length", [5, 64, 700])
def test_the_layer_is_that_of_mamba_ssm_with_the_same_weights(length):
    from mamba_ssm import Mamba2 as Theirs

    torch.manual_seed(0)
    ours = Mamba2(384, backend="mamba_ssm").cuda()
    theirs = Theirs(384, d_state=64, headdim=64, device="cuda")
    theirs.load_state_dict(ours.state_dict())
    u = torch.randn(2, length, 384, device="cuda")
    assert relative(ours(u), theirs(u)) < TOLERANCE[torch.float32]


@on_gpu
@pytest.mark.parametrize("mixed", [False, True])
def test_a_block_is_that_of_the_cpu(mixed):
    torch.manual_seed(0)
    block = BiMambaBlock(128, headdim=32, dropout=0.0).eval()
    u = torch.randn(2, 150, 128)
    expected = block(u)
    with torch.autocast("cuda", torch.bfloat16, enabled=mixed):
        found = block.cuda()(u.cuda())
    assert relative(found.float().cpu(), expected) < TOLERANCE[torch.bfloat16 if mixed else torch.float32]


@on_gpu
@pytest.mark.skipif(bool(lacking()) or bool(backends.without_causal_conv1d("cuda")), reason="causal_conv1d fails")
@pytest.mark.parametrize("silu", [True, False])
def test_causal_convolution(silu):
    x, weight, bias = torch.randn(2, 90, 64), torch.randn(64, 1, 4), torch.randn(64)
    found = depthwise.depthwise_conv(x.cuda(), weight.cuda(), bias.cuda(), 3, silu, "mamba_ssm")
    assert relative(found.cpu(), depthwise.depthwise_conv(x, weight, bias, 3, silu)) < 1e-4


def stand_in_scan(x, dt, A, B, C, chunk_size, D=None):
    """``mamba_chunk_scan_combined`` of ``mamba_ssm.ops.triton.ssd_combined`` as it is documented, by the recurrence."""
    batch, length, heads, _ = x.shape
    assert dt.shape == (batch, length, heads)
    assert A.shape == (heads,)
    assert B.shape == C.shape == (batch, length, 1, B.shape[-1])
    assert B.dtype == C.dtype == x.dtype
    assert chunk_size & (chunk_size - 1) == 0
    return ssd.ssd_recurrent(x, dt, A, B[:, :, 0], C[:, :, 0], D)


def stand_in_convolution(x, weight, bias=None, activation=None):
    """``causal_conv1d.causal_conv1d_fn`` as its documentation has it: (batch, channels, length), (channels, taps)."""
    channels, taps = weight.shape
    assert x.shape[1] == channels
    assert 2 <= taps <= 4
    assert x.stride(2) == 1 or (x.stride(1) == 1 and channels % 8 == 0)
    y = F.conv1d(x, weight[:, None], bias, padding=taps - 1, groups=channels)[..., : x.shape[-1]]
    return {None: y, "silu": F.silu(y)}[activation]


@pytest.fixture
def stand_ins(monkeypatch):
    """Modules of both names, and calls of each; a CPU that counts as their GPU."""
    calls = []

    def module(name, **functions):
        made = types.ModuleType(name)
        for key, function in functions.items():
            setattr(made, key, lambda *a, _f=function, **k: (calls.append(_f.__name__), _f(*a, **k))[1])
        monkeypatch.setitem(sys.modules, name, made)

    for name in ("mamba_ssm", "mamba_ssm.ops", "mamba_ssm.ops.triton"):
        module(name)
    module("mamba_ssm.ops.triton.ssd_combined", mamba_chunk_scan_combined=stand_in_scan)
    module("causal_conv1d", causal_conv1d_fn=stand_in_convolution)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: None)
    monkeypatch.setattr(ssd, "resolve", lambda name, device: "mamba_ssm")
    monkeypatch.setattr(depthwise, "_by_causal_conv1d", lambda backend, *_: backend == "mamba_ssm")
    return calls


def test_the_layer_by_both_kernels_is_the_layer(stand_ins):
    torch.manual_seed(0)
    ours, plain = (Mamba2(32, d_state=8, headdim=8, backend=b).double() for b in ("mamba_ssm", "recurrent"))
    plain.load_state_dict(ours.state_dict())
    u = torch.randn(2, 70, 32, dtype=torch.float64)
    y = ours(u)
    assert stand_ins == ["stand_in_convolution", "stand_in_scan"]
    torch.testing.assert_close(y, plain(u))


def test_the_probes_call_the_kernels(stand_ins):
    assert backends._probe_mamba_ssm("cpu") == ""
    backends.without_causal_conv1d.cache_clear()
    assert backends.without_causal_conv1d("cpu") == ""
    assert backends.explain("mamba_ssm", "cpu") == "mamba_ssm with causal_conv1d"
    assert stand_ins == ["stand_in_scan", "stand_in_convolution"]
    backends.without_causal_conv1d.cache_clear()


def test_a_kernel_that_fails_is_a_reason(stand_ins, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("no kernel image is available for execution on the device")

    monkeypatch.setattr(sys.modules["mamba_ssm.ops.triton.ssd_combined"], "mamba_chunk_scan_combined", fails)
    assert backends._probe_mamba_ssm("cpu") == (
        "mamba_ssm fails: RuntimeError: no kernel image is available for execution on the device"
    )
    monkeypatch.setattr(sys.modules["causal_conv1d"], "causal_conv1d_fn", fails)
    backends.without_causal_conv1d.cache_clear()
    assert backends.explain("mamba_ssm", "cpu") == (
        "mamba_ssm (its convolution in torch: causal_conv1d fails: RuntimeError: no kernel image is available for "
        "execution on the device)"
    )
    backends.without_causal_conv1d.cache_clear()


@pytest.mark.parametrize(
    ("backend", "device", "left", "taps", "channels"),
    [("torch", "cuda", 3, 4, 8), ("mamba_ssm", "cpu", 3, 4, 8), ("auto", "meta", 3, 4, 8)],
)
def test_who_takes_no_kernel_of_causal_conv1d(backend, device, left, taps, channels):
    x = types.SimpleNamespace(device=torch.device(device), dtype=torch.float32)
    assert not depthwise._by_causal_conv1d(backend, x, torch.zeros(channels, 1, taps), left)


@pytest.mark.parametrize(
    ("left", "taps", "channels", "taken"),
    [(3, 4, 8, True), (1, 4, 8, False), (6, 7, 8, False), (0, 1, 8, False), (3, 4, 12, False)],
)
def test_what_causal_conv1d_can_do(monkeypatch, left, taps, channels, taken):
    monkeypatch.setattr(depthwise, "resolve", lambda *_: "mamba_ssm")
    monkeypatch.setattr(depthwise, "without_causal_conv1d", lambda _: "")
    x = types.SimpleNamespace(device=torch.device("cuda"), dtype=torch.float32)
    assert depthwise._by_causal_conv1d("auto", x, torch.zeros(channels, 1, taps), left) is taken
