"""Encoders in MiniRocket's place: loops as the oracle, what is frozen and what learns, sizes, nothing hidden seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ecg_ramba.errors import UserError
from ecg_ramba.models import InputShape
from ecg_ramba.nn.flops import count_flops
from ecg_ramba.nn.inputs import example_batch
from ecg_ramba.nn.kernels import STRIDE, KernelTokens
from ecg_ramba.nn.model import SPEC, EcgRamba, EcgRambaConfig
from ecg_ramba.nn.morphology import ConvolutionTokens, morphology_tokens, read_morphology
from ecg_ramba.nn.perceiver import GroupProjection, Perceiver
from ecg_ramba.nn.summary import COMPONENTS, summarise, typical_shape

SHAPE = InputShape(samples=600, rhythm=5, classes=4)
TINY = EcgRambaConfig(
    d_model=24, layers=1, tokens=30, latents=6, heads=4, d_state=8, headdim=8, gate_width=4, attention_dropout=0.0,
    nominal_components=40,
)  # fmt: skip
KERNELS = replace(TINY, morphology_encoder="kernels")
QUARTER = replace(KERNELS, trainable_kernels=0.25)
CONVOLUTION = replace(TINY, morphology_encoder="convolution")


def network(config, seed=0):
    torch.manual_seed(seed)
    return EcgRamba(config, SHAPE)


def batch_for(config, size=3):
    """With absent leads and padding."""
    batch = example_batch(SHAPE, SPEC.streams(config), size)
    batch.leads[0, 6:] = False
    batch.valid[1, 400:] = False
    return batch


def trained(config, steps=2):
    """The network before and after some steps, both in evaluation mode."""
    model, before = network(config), network(config)
    batch, y = batch_for(config), torch.eye(4)[:3]
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    for _ in range(steps):
        optimiser.zero_grad()
        F.binary_cross_entropy_with_logits(model.train()(batch), y).backward()
        optimiser.step()
    return before.eval(), model.eval()


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def proportions_by_hand(signal, dilations, weights, levels, leads):
    """Hard proportions of positive values of one window (leads, samples): loops over everything."""
    samples = signal.shape[1]
    out = np.zeros(levels.shape)
    for g, dilation in enumerate(dilations):
        for k, taps in enumerate(weights[g]):
            summed = signal[leads[g, k] > 0].sum(0)
            values = []
            for centre in range(0, samples, STRIDE):
                at = [centre + (n - 4) * dilation for n in range(9)]
                values.append(sum(w * summed[i] for w, i in zip(taps, at, strict=True) if 0 <= i < samples))
            values = np.array(values) / np.sqrt(np.mean(np.square(values)))
            for q, level in enumerate(levels[g, k]):
                out[g, k, q] = np.mean(values > level)
    return out


def test_proportions_equal_plain_loops():
    model = KernelTokens(12, 150, 8, 20, temperature=1e-7).double()
    assert model.dilations == (1, 2, 4, 8, 16)
    x = torch.randn(2, 12, 150, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours = model.proportions(x)
    parts = [t.numpy() for t in (model.frozen_weight, model.frozen_level, model.leads)]
    for window, made in zip(x.numpy(), ours, strict=True):
        expected = proportions_by_hand(window, model.dilations, *parts)
        np.testing.assert_allclose(made.numpy(), expected.reshape(5, -1), atol=1e-9)
    assert 0.25 < ours.std() < 0.35, "levels are spread over all proportions"


def test_a_low_temperature_is_the_limit_of_a_higher_one():
    x = torch.randn(4, 12, 600, generator=torch.Generator().manual_seed(0))
    soft, hard = (KernelTokens(12, 600, 8, 20, temperature=t).proportions(x) for t in (0.1, 1e-6))
    assert 0 < (soft - hard).abs().mean() < 0.01


def test_kernels_leads_and_levels_are_minirockets():
    model = KernelTokens(12, 2500, 8, 200)
    assert model.dilations == (1, 2, 4, 8, 16, 32, 64, 128, 256)
    assert (model.frozen_weight == model.frozen_weight[0]).all()
    kernels = {tuple(k) for k in model.frozen_weight[0].tolist()}
    assert len(kernels) == 84
    assert all(sorted(k) == [-1.0] * 6 + [2.0] * 3 for k in kernels)
    count = model.leads.sum(-1)
    assert (count.min(), count.max()) == (1, 9)
    assert count.median() < 4, "few leads more often than many"
    assert (model.leads.mean((0, 1)) > 0.2).all()
    noise = np.random.default_rng(0).laplace(scale=np.sqrt(0.5), size=20_000)
    above = np.sort([(noise > level).mean() for level in model.frozen_level.flatten().tolist()])
    np.testing.assert_allclose(above, np.linspace(0, 1, len(above)), atol=0.02)


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.25, 21), (1.0, 84)])
def test_the_share_is_exact_and_changes_nothing_before_training(share, count):
    torch.manual_seed(0)
    model = KernelTokens(12, 600, 8, 40, trainable=share)
    groups, levels = 7, 2
    learned = {n: tuple(p.shape) for n, p in model.named_parameters() if not n.startswith("tokens.")}
    assert learned == ({"weight": (groups, count, 9), "level": (groups, count, levels)} if count else {})
    frozen = {n: b.shape[1] for n, b in model.named_buffers() if n.startswith("frozen_")}
    assert frozen == ({"frozen_weight": 84 - count, "frozen_level": 84 - count} if count < 84 else {})
    assert parameters(model) == 40 * 8 + groups * count * (9 + levels)
    assert count != 21 or len({tuple(w.flatten().tolist()) for w in model.weight}) == groups, "others a dilation"
    torch.manual_seed(0)
    reference = KernelTokens(12, 600, 8, 40)
    batch = batch_for(KERNELS, 6)
    torch.testing.assert_close(model(batch), reference(batch), rtol=1e-3, atol=1e-4)


def test_frozen_kernels_stay_and_trainable_ones_move():
    before, after = (m.rocket_perceiver.input_proj for m in trained(QUARTER))
    for name in ("leads", "directions", "frozen_weight", "frozen_level"):
        assert torch.equal(getattr(before, name), getattr(after, name)), name
    for name in ("weight", "level"):
        assert (getattr(before, name) != getattr(after, name)).float().mean() > 0.95, name


@pytest.mark.parametrize("config", [replace(KERNELS, trainable_kernels=1.0), CONVOLUTION], ids=["kernels", "conv"])
def test_every_parameter_learns(config):
    before, after = trained(config)
    still = [n for (n, p), q in zip(before.named_parameters(), after.parameters(), strict=True) if torch.equal(p, q)]
    assert still == []


def test_padding_is_the_end_of_the_recording():
    """A padded window has the proportions of the window without its padding."""
    model = KernelTokens(12, 600, 8, 40, trainable=0.25)
    x = torch.randn(2, 12, 600, generator=torch.Generator().manual_seed(0))
    x[:, :, 400:] = 0
    valid = torch.arange(600).expand(2, -1) < 400
    expected = model.proportions(x[:, :, :400])
    torch.testing.assert_close(model.proportions(x, valid), expected)
    assert not torch.allclose(model.proportions(x), expected, atol=1e-2)


@pytest.mark.parametrize("signal", [True, False])
@pytest.mark.parametrize("config", [QUARTER, CONVOLUTION], ids=["kernels", "convolution"])
def test_nothing_hidden_is_seen_and_windows_are_read_one_by_one(config, signal):
    config = replace(config, use_signal=signal)
    _, model = trained(config)
    batch = batch_for(config)
    expected = model(batch)
    hidden = ~(batch.leads[:, :, None] & batch.valid[:, None])
    assert torch.equal(model(replace(batch, signal=batch.signal.masked_fill(hidden, torch.nan))), expected)
    seen = replace(batch, signal=batch.signal.clone())
    seen.signal[:, 1, 100:200] += 1
    assert (model(seen) - expected).abs().amax(1).min() > 1e-6
    for i in range(3):
        parts = {n: v if v is None else v[i : i + 1] for n, v in vars(batch).items()}
        torch.testing.assert_close(model(type(batch)(**parts))[0], expected[i], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("token", "changes"), [(3, [True, True, True]), (26, [True, False, True])])
def test_tokens_of_a_convolution_inside_padding_are_not_attended_to(token, changes):
    torch.manual_seed(0)
    perceiver = Perceiver(morphology_tokens(CONVOLUTION, SHAPE), 24, 6, 4).eval()
    batch = batch_for(CONVOLUTION)
    expected = read_morphology(perceiver, "convolution", batch)
    other = torch.zeros(27, 24)
    other[token] = torch.randn(24)
    perceiver.input_proj.register_forward_hook(lambda module, inputs, tokens: tokens + other)
    changed = read_morphology(perceiver, "convolution", batch)
    assert [not torch.equal(a, b) for a, b in zip(changed, expected, strict=True)] == changes


@pytest.mark.parametrize("config", [KERNELS, QUARTER, CONVOLUTION], ids=["frozen", "quarter", "convolution"])
def test_saved_and_loaded_it_says_the_same(config, tmp_path):
    _, model = trained(config)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    again = network(config, seed=9)
    for name, buffer in again.named_buffers():
        if buffer.is_floating_point():
            nn.init.normal_(buffer)  # whatever is fixed comes from the file, not from the code that draws it
        assert name in model.state_dict() or name.endswith("rows")
    again.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(again.eval()(batch_for(config)), model(batch_for(config)))


@pytest.mark.parametrize("sequence", ["latents", "tokens"])
@pytest.mark.parametrize("config", [KERNELS, CONVOLUTION], ids=["kernels", "convolution"])
def test_streams(config, sequence):
    config = replace(config, backbone_sequence=sequence)
    assert SPEC.streams(config) == {"signal", "rhythm"}
    assert SPEC.streams(replace(config, use_signal=False, use_rhythm=False)) == {"signal"}
    assert SPEC.streams(replace(config, use_morphology=False, use_signal=False)) == {"rhythm"}
    alone = replace(config, use_signal=False, use_rhythm=False)
    model = network(alone)
    assert {"tok", "spatial_attn", "cross_fusion"}.isdisjoint(n.split(".")[0] for n, _ in model.named_parameters())
    assert model(batch_for(alone)).shape == (3, 4)
    assert hasattr(network(config), "cross_fusion")


def test_a_batch_of_one_window_trains():
    model = network(QUARTER).train()
    batch = example_batch(SHAPE, SPEC.streams(QUARTER), 1)
    model(batch).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("nominal", [50, 108, 3072])
@pytest.mark.parametrize("name", ["small", "full"])
def test_encoders_are_of_the_size_of_what_they_replace(name, nominal):
    config = replace(SPEC.profile(name), nominal_components=nominal)
    # of the reference's 27 groups only the sum of the components matters
    wanted = parameters(GroupProjection((nominal - 26, *[1] * 26), config.d_model))
    kernels = morphology_tokens(replace(config, morphology_encoder="kernels"), InputShape())
    convolution = morphology_tokens(replace(config, morphology_encoder="convolution"), InputShape())
    assert parameters(kernels) == wanted
    assert abs(parameters(convolution) / wanted - 1) < 0.05


@pytest.mark.parametrize("name", ["small", "full"])
def test_the_nominal_number_is_that_of_summaries(name):
    assert SPEC.profile(name).nominal_components == COMPONENTS[name] == sum(typical_shape(name).components)


def test_whole_networks_are_of_one_size():
    shape, config = typical_shape("small"), SPEC.profile("small")
    size = parameters(EcgRamba(config, shape))
    changes = [{"morphology_encoder": "convolution"}]
    changes += [{"morphology_encoder": "kernels", "trainable_kernels": share} for share in (0.0, 0.25, 1.0)]
    for change in changes:
        assert abs(parameters(EcgRamba(replace(config, **change), replace(shape, components=()))) / size - 1) < 0.05


def test_operations_by_hand():
    batch = example_batch(SHAPE, frozenset({"signal"}))
    positions, groups, features, width = 600 // STRIDE, 7, 84 * 2, 8
    products = positions * 84 * (12 * 9) + positions * 84 * (1 + 2) + features * 5 + 5 * width
    model = KernelTokens(12, 600, width, 6 * groups)
    assert count_flops(model, batch)[""] == 2 * groups * products
    rows = {part.name: part for part in summarise(SPEC, KERNELS, SHAPE)}
    assert rows["rocket_perceiver"].output == (6, 24)
    assert sum(part.parameters for part in rows.values()) == 2 * rows["total"].parameters


def test_mistakes_are_refused():
    with pytest.raises(UserError, match="morphology_encoder is one of minirocket, kernels, convolution"):
        EcgRambaConfig(morphology_encoder="cnn")
    with pytest.raises(UserError, match="trainable_kernels is a share"):
        EcgRambaConfig(morphology_encoder="kernels", trainable_kernels=25)
    with pytest.raises(UserError, match="trainable_kernels needs"):
        EcgRambaConfig(trainable_kernels=0.25)
    with pytest.raises(UserError, match="nominal_components"):
        EcgRambaConfig(nominal_components=0)
    with pytest.raises(ValueError, match="at least 9"):
        KernelTokens(12, 8, 8, 40)
    with pytest.raises(ValueError, match="two a dilation"):
        KernelTokens(12, 2500, 8, 17)
    assert ConvolutionTokens(12, 8, 1).proj.in_features == 1
