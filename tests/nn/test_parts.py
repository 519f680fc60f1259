"""The smaller parts, each against torch's own or a definition written out."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ecg_ramba.models import Batch
from ecg_ramba.nn.attention import Attention
from ecg_ramba.nn.depthwise import depthwise_conv
from ecg_ramba.nn.dropout import Dropout
from ecg_ramba.nn.inputs import PatchEmbedding, masked_mean, token_mask, visible_rhythm, visible_signal
from ecg_ramba.nn.lead_gate import LeadGate
from ecg_ramba.nn.perceiver import GroupProjection
from ecg_ramba.nn.tokenizer import MultiScaleTokenizer, gated_conv


@settings(max_examples=30, deadline=None)
@given(length=st.integers(1, 20), kernel=st.integers(1, 8), data=st.data())
def test_depthwise_equals_conv1d(length, kernel, data):
    left = data.draw(st.integers(0, kernel - 1))
    g = torch.Generator().manual_seed(length * 10 + kernel)
    x, w, b = (torch.randn(s, generator=g, dtype=torch.float64) for s in ((2, length, 3), (3, 1, kernel), (3,)))
    tensors = [t.requires_grad_() for t in (x, w, b)]
    ours = depthwise_conv(*tensors, left)
    theirs = F.conv1d(F.pad(x.transpose(1, 2), (left, kernel - 1 - left)), w, b, groups=3).transpose(1, 2)
    torch.testing.assert_close(ours, theirs)
    cotangent = torch.randn(ours.shape, generator=g, dtype=torch.float64)
    for a, e in zip(
        torch.autograd.grad(ours, tensors, cotangent), torch.autograd.grad(theirs, tensors, cotangent), strict=True
    ):
        torch.testing.assert_close(a, e)


def test_attention_equals_torch_multihead_attention():
    torch.manual_seed(0)
    ours, theirs = Attention(16, 4).eval(), nn.MultiheadAttention(16, 4, batch_first=True).eval()
    theirs.load_state_dict(ours.state_dict())
    q, k = torch.randn(3, 5, 16), torch.randn(3, 7, 16)
    valid = torch.rand(3, 7) > 0.4
    valid[:, 0] = True
    torch.testing.assert_close(ours(q, k), theirs(q, k, k)[0])
    torch.testing.assert_close(ours(q), theirs(q, q, q)[0])
    torch.testing.assert_close(ours(q, k, valid), theirs(q, k, k, key_padding_mask=~valid)[0])


def test_attention_without_a_valid_key_stays_finite():
    attention = Attention(16, 4)
    x = torch.randn(2, 5, 16, requires_grad=True)
    y = attention(x, x, torch.zeros(2, 5, dtype=torch.bool))
    assert torch.isfinite(torch.autograd.grad(y.sum(), x)[0]).all()
    with pytest.raises(ValueError, match="heads"):
        Attention(10, 4)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5])
def test_dropout_rate_scale_and_switch(p):
    torch.manual_seed(0)
    drop, x = Dropout(p), torch.ones(1001, 333)
    y = drop(x)
    zeros = (y == 0).float()
    assert abs(zeros.mean() - p) < 0.005
    assert abs(y.mean() - 1) < 0.01
    # each of the eight bytes of a draw is as good as the others
    rates = zeros.flatten()[: 8 * 41000].view(-1, 8).mean(0)
    assert (rates - p).abs().max() < 0.02
    assert torch.equal(drop.eval()(x), x)
    with pytest.raises(ValueError):
        Dropout(1.0)


def test_dropout_follows_the_seed():
    drop, x = Dropout(0.5), torch.ones(100)
    torch.manual_seed(3)
    first, second = drop(x), drop(x)
    torch.manual_seed(3)
    assert torch.equal(drop(x), first)
    assert not torch.equal(first, second)


def test_group_projection_is_one_linear_map_a_group():
    torch.manual_seed(0)
    sizes = (3, 1, 4)
    projection = GroupProjection(sizes, 5)
    x = torch.randn(2, 3, 4)
    first = 0
    for g, size in enumerate(sizes):
        weight = projection.weight[first : first + size]
        torch.testing.assert_close(projection(x)[:, g], x[:, g, :size] @ weight + projection.bias[g])
        first += size
    assert projection.weight.numel() == sum(sizes) * 5
    with pytest.raises(ValueError, match="component"):
        GroupProjection((3, 0), 5)
    with pytest.raises(ValueError, match="morphology has the shape"):
        projection(x[:, :2])


def test_lead_gate_ignores_absent_leads():
    torch.manual_seed(0)
    gate = LeadGate(12, 16).eval()
    x = torch.randn(2, 12, 500)
    leads = torch.ones(2, 12, dtype=torch.bool)
    leads[:, 6:] = False
    other = x.clone()
    other[:, 6:] = torch.nan
    gates = gate(x, leads)
    assert torch.equal(gates, gate(other, leads))
    assert (gates[:, 6:] == 0).all()
    assert ((gates[:, :6] > 0) & (gates[:, :6] < 1)).all()
    assert not torch.allclose(gates[:, :6], gate(x, torch.ones_like(leads))[:, :6])


def test_lead_gate_patches_equal_its_convolution():
    torch.manual_seed(0)
    gate = LeadGate(12, 16).eval()
    x, leads = torch.randn(2, 12, 512), torch.ones(2, 12, dtype=torch.bool)
    h = gate.temporal_pool(x.reshape(24, 1, 512)).reshape(2, 12, -1) + gate.lead_embed.weight
    expected = torch.sigmoid(gate.scale_proj(gate.attn(h)))[..., 0]
    torch.testing.assert_close(gate(x, leads), expected)


@pytest.mark.parametrize(("taps", "stride", "padding"), [(3, 2, 1), (15, 8, 7), (4, 3, 0)])
def test_gated_convolution_equals_the_convolution_of_the_gated_signal(taps, stride, padding):
    torch.manual_seed(0)
    convolution = torch.nn.Conv1d(5, 6, taps, stride, padding).double()
    x = torch.randn(3, 5, 101, dtype=torch.float64, requires_grad=True)
    gate = torch.rand(3, 5, dtype=torch.float64, requires_grad=True)
    expected, result = convolution(x * gate[..., None]), gated_conv(x, gate, convolution)
    torch.testing.assert_close(result, expected)
    upstream = torch.randn_like(expected)
    wanted = [x, gate, *convolution.parameters()]
    for ours, theirs in zip(*(torch.autograd.grad(y, wanted, upstream) for y in (result, expected)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_tokenizer_gates_the_signal():
    torch.manual_seed(0)
    tokenizer, x, gate = MultiScaleTokenizer(12, 24, 20).eval(), torch.randn(2, 12, 500), torch.rand(2, 12)
    torch.testing.assert_close(tokenizer(x, gate_BE=gate), tokenizer(x * gate[..., None]))


@pytest.mark.parametrize("samples", [2500, 5000, 1300])
def test_tokenizer_length_is_fixed(samples):
    assert MultiScaleTokenizer(12, 24, 157).eval()(torch.randn(2, 12, samples)).shape == (2, 157, 24)


def test_token_mask_counts_halves():
    valid = torch.zeros(1, 100, dtype=torch.bool)
    valid[:, :55] = True
    batch = Batch(leads=torch.ones(1, 1, dtype=torch.bool), signal=torch.zeros(1, 1, 100), valid=valid)
    assert token_mask(batch, 10).tolist() == [[True] * 6 + [False] * 4]
    valid[:, 54] = False
    assert token_mask(batch, 10).tolist() == [[True] * 5 + [False] * 5]


def test_masked_mean():
    x = torch.tensor([[[1.0], [3.0], [torch.nan]], [[2.0], [4.0], [6.0]]])
    valid = torch.tensor([[True, True, False], [False, False, True]])
    assert masked_mean(x, valid).tolist() == [[2.0], [6.0]]
    assert masked_mean(x, torch.zeros(2, 3, dtype=torch.bool)).tolist() == [[0.0], [0.0]]


def test_patches_hold_all_samples():
    torch.manual_seed(0)
    embedding = PatchEmbedding(2, 10, 4, 3)
    batch = Batch(leads=torch.ones(1, 2, dtype=torch.bool), signal=torch.randn(1, 2, 10))
    tokens, valid = embedding(batch)
    assert valid is None
    padded = F.pad(batch.signal, (0, 2))
    for k in range(3):
        expected = embedding.proj(padded[:, :, 4 * k : 4 * k + 4].flatten(1))
        torch.testing.assert_close(tokens[:, k], expected)
    with pytest.raises(ValueError, match="patch"):
        PatchEmbedding(2, 10, 0, 3)


def test_visible_inputs_hide_what_is_absent():
    leads = torch.tensor([[True, False]])
    valid = torch.tensor([[True, True, False]])
    batch = Batch(
        leads=leads,
        signal=torch.tensor([[[1.0, 2.0, torch.nan], [torch.nan, 5.0, 6.0]]]),
        valid=valid,
        rhythm=torch.tensor([[7.0, torch.nan]]),
        rhythm_valid=torch.tensor([[True, False]]),
    )
    assert visible_signal(batch).tolist() == [[[1, 2, 0], [0, 0, 0]]]
    assert visible_rhythm(batch).tolist() == [[7, 0, 1, 0]]
