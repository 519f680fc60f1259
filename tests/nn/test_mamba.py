"""The Mamba-2 mixer against a step-by-step reference written from the published equations, and the block's symmetry."""

import math

import pytest
import torch
import torch.nn.functional as F

from ecg_ramba.nn.mamba import BiMambaBlock, Mamba2
from tests.nn.scans import needs_native

native = pytest.param("native", marks=needs_native)


def reference(state, u, headdim):
    """One sequence (L, D) through the mixer, position by position in plain Python loops over time."""
    A = -torch.exp(state["A_log"])
    heads, inner = len(A), len(A) * headdim
    n = (state["in_proj.weight"].shape[0] - 2 * inner - heads) // 2
    weight, bias = state["conv1d.weight"][:, 0], state["conv1d.bias"]
    taps = weight.shape[1]
    history = [torch.zeros(inner + 2 * n, dtype=u.dtype)] * taps
    h = torch.zeros(heads, headdim, n, dtype=u.dtype)
    out = []
    for u_t in u:
        projected = state["in_proj.weight"] @ u_t
        z, xBC, dt = projected[:inner], projected[inner : 2 * inner + 2 * n], projected[2 * inner + 2 * n :]
        history = [*history[1:], xBC]
        xBC = F.silu(sum(weight[:, k] * history[k] for k in range(taps)) + bias)
        x, B, C = xBC[:inner].view(heads, headdim), xBC[inner : inner + n], xBC[inner + n :]
        dt = torch.log1p(torch.exp(dt + state["dt_bias"]))
        y = torch.empty(heads, headdim, dtype=u.dtype)
        for head in range(heads):
            h[head] = torch.exp(dt[head] * A[head]) * h[head] + dt[head] * torch.outer(x[head], B)
            y[head] = h[head] @ C + state["D"][head] * x[head]
        y = y.flatten() * F.silu(z)
        y = y / torch.sqrt((y**2).mean() + 1e-5) * state["norm.weight"]
        out.append(state["out_proj.weight"] @ y)
    return torch.stack(out)


@pytest.mark.parametrize("length", [1, 3, 40, 140])
def test_mixer_equals_a_step_by_step_reference(length):
    torch.manual_seed(0)
    mixer = Mamba2(8, d_state=6, headdim=4).double()
    with torch.no_grad():
        mixer.norm.weight.uniform_(0.5, 2)
        mixer.D.uniform_(-1, 1)
    u = torch.randn(2, length, 8, dtype=torch.float64)
    expected = torch.stack([reference(mixer.state_dict(), row, 4) for row in u])
    torch.testing.assert_close(mixer(u), expected, rtol=1e-9, atol=1e-11)


def test_parameter_names_and_shapes_are_those_of_mamba_ssm():
    mixer = Mamba2(384)
    shapes = {name: tuple(p.shape) for name, p in mixer.state_dict().items()}
    assert shapes == {
        "dt_bias": (12,),
        "A_log": (12,),
        "D": (12,),
        "in_proj.weight": (2 * 768 + 2 * 64 + 12, 384),
        "conv1d.weight": (768 + 128, 1, 4),
        "conv1d.bias": (768 + 128,),
        "norm.weight": (768,),
        "out_proj.weight": (384, 768),
    }


def test_initialisation():
    torch.manual_seed(0)
    mixer = Mamba2(2048)
    A, dt = mixer.A_log.exp(), F.softplus(mixer.dt_bias)
    assert 1 <= A.min() < 3
    assert 14 < A.max() <= 16
    assert 0.999e-3 <= dt.min() < 3e-3
    assert 0.05 < dt.max() <= 0.1001
    assert abs(dt.log().mean() - (math.log(1e-3) + math.log(0.1)) / 2) < 0.6
    assert torch.equal(mixer.D, torch.ones_like(mixer.D))


def test_no_weight_decay_marks():
    marked = {name for name, p in Mamba2(16, headdim=8).named_parameters() if getattr(p, "_no_weight_decay", False)}
    assert marked == {"A_log", "D", "dt_bias"}


def test_block_commutes_with_a_flip_when_its_directions_are_exchanged():
    torch.manual_seed(0)
    block = BiMambaBlock(16, headdim=8, d_state=4).double().eval()
    swapped = BiMambaBlock(16, headdim=8, d_state=4).double().eval()
    state = block.state_dict()
    exchange = {"fwd": "bwd", "bwd": "fwd"}
    state = {".".join([exchange.get(k.split(".")[0], k.split(".")[0]), *k.split(".")[1:]]): v for k, v in state.items()}
    # z is exchanged for 1 - z: the gate's two halves are swapped and its sign turned
    weight = state["gate.0.weight"]
    state["gate.0.weight"] = -torch.cat([weight[:, 16:], weight[:, :16]], 1)
    state["gate.0.bias"] = -state["gate.0.bias"]
    swapped.load_state_dict(state)
    x = torch.randn(2, 21, 16, dtype=torch.float64)
    torch.testing.assert_close(swapped(x.flip(1)).flip(1), block(x))
    assert not torch.allclose(block(x.flip(1)).flip(1), block(x))


def test_block_reads_both_directions():
    torch.manual_seed(0)
    block = BiMambaBlock(16, headdim=8).eval()
    x = torch.randn(1, 20, 16)
    later, earlier = x.clone(), x.clone()
    later[:, 15] = torch.randn(16)
    earlier[:, 5] = torch.randn(16)
    assert not torch.allclose(block(later)[:, 5], block(x)[:, 5], atol=1e-7)
    assert not torch.allclose(block(earlier)[:, 15], block(x)[:, 15], atol=1e-7)


@pytest.mark.parametrize("length", [1, 20, 150])
def test_padded_block_equals_the_short_one(length):
    """A tail of padding, whatever it holds, is seen by neither direction."""
    torch.manual_seed(0)
    block = BiMambaBlock(16, headdim=8).double().eval()
    x = torch.randn(2, length, 16, dtype=torch.float64)
    padded = torch.cat([x, torch.full((2, 30, 16), 1e6, dtype=torch.float64)], 1)
    valid = torch.arange(length + 30).expand(2, -1) < length
    torch.testing.assert_close(block(padded, valid)[:, :length], block(x))
    assert not torch.allclose(block(padded)[:, :length], block(x))


@pytest.mark.parametrize("backend", ["torch", native])
def test_equals_the_layer_of_transformers_with_the_same_weights(backend):
    """Its names are the same too: the state is loaded as it is, strictly."""
    from transformers import Mamba2Config
    from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

    torch.manual_seed(0)
    mixer = Mamba2(64, d_state=16, headdim=16, backend=backend).double()
    with torch.no_grad():
        mixer.norm.weight.uniform_(0.5, 2)
        mixer.D.uniform_(-1, 1)
    sizes = {"num_heads": 8, "head_dim": 16, "state_size": 16, "n_groups": 1, "expand": 2, "chunk_size": 32}
    other = Mamba2Mixer(Mamba2Config(hidden_size=64, **sizes), layer_idx=0).double()
    other.load_state_dict(mixer.state_dict())
    u = torch.randn(2, 150, 64, dtype=torch.float64, requires_grad=True)
    y, expected = mixer(u), other(u)
    # parts of it are computed in float32 whatever the weights are
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
    (grad,), (expected_grad,) = (torch.autograd.grad(v.square().sum(), u) for v in (y, expected))
    torch.testing.assert_close(grad, expected_grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("backend", ["torch", native])
def test_the_state_moves_between_backends(backend):
    torch.manual_seed(0)
    mixer, other = Mamba2(32, headdim=8, backend=backend), Mamba2(32, headdim=8, backend="recurrent")
    other.load_state_dict(mixer.state_dict())
    u = torch.randn(1, 300, 32)
    torch.testing.assert_close(mixer(u), other(u), rtol=1e-4, atol=1e-5)


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match="multiple of headdim"):
        Mamba2(20, headdim=64)
    mixer = Mamba2(16, headdim=8)
    with pytest.raises(ValueError, match="takes"):
        mixer(torch.zeros(3, 16))
    with pytest.raises(ValueError, match="takes"):
        mixer(torch.zeros(1, 3, 8))
    with pytest.raises(ValueError, match="length 0"):
        mixer(torch.zeros(1, 0, 16))
