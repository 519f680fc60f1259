"""ECG-RAMBA: parts present and absent, sizes as published, nothing absent or padded ever seen."""

import itertools
from dataclasses import replace

import pytest
import torch

from ecg_ramba.errors import UserError
from ecg_ramba.models import InputShape
from ecg_ramba.nn.inputs import example_batch
from ecg_ramba.nn.mamba import BiMambaBlock
from ecg_ramba.nn.model import SPEC, EcgRamba, EcgRambaConfig

SHAPE = InputShape(samples=600, components=(3, 2, 4), rhythm=5, classes=4)
TINY = EcgRambaConfig(
    d_model=24, layers=2, tokens=30, latents=6, heads=4, d_state=8, headdim=8, gate_width=4, attention_dropout=0.0
)


def network(config=TINY, seed=0):
    torch.manual_seed(seed)
    return EcgRamba(config, SHAPE)


SUBSETS = [flags for flags in itertools.product([True, False], repeat=3) if any(flags)]


@pytest.mark.parametrize("sequence", ["latents", "tokens"])
@pytest.mark.parametrize("flags", SUBSETS)
def test_absent_streams_have_no_parameters_and_are_not_read(flags, sequence):
    use = dict(zip(("use_signal", "use_morphology", "use_rhythm"), flags, strict=True))
    config = replace(TINY, backbone_sequence=sequence, **use)
    model = network(config)
    modules = {name.split(".")[0] for name, _ in model.named_parameters()}
    assert ("tok" in modules) == ("spatial_attn" in modules) == use["use_signal"]
    assert ("rocket_perceiver" in modules) == use["use_morphology"]
    assert ("hrv_proj" in modules) == use["use_rhythm"]
    assert ("cross_fusion" in modules) == (use["use_signal"] and use["use_morphology"])
    assert ("final_latents" in modules) == (sequence == "latents")
    streams = SPEC.streams(config)
    assert streams == {name.removeprefix("use_") for name, on in use.items() if on}
    # the batch holds None for all other streams: reading one would fail
    logits = model(example_batch(SHAPE, streams, 3))
    assert logits.shape == (3, 4)
    assert torch.isfinite(logits).all()


def test_module_names_are_those_of_the_published_checkpoints():
    names = {name.split(".")[0] for name in network().state_dict()}
    final = {"final_latents", "final_cross_attn", "final_self_attn", "final_norm1", "final_norm2", "final_norm3"}
    parts = {"spatial_attn", "tok", "rocket_perceiver", "hrv_proj", "cross_fusion", "feature_proj", "final_ffn"}
    assert names == final | parts | {"layers", "norm", "head"}
    block = {name.split(".")[2] for name in network().state_dict() if name.startswith("layers.0.")}
    assert block == {"norm1", "norm2", "fwd", "bwd", "gate", "ffn"}


@pytest.mark.parametrize("sequence", ["latents", "tokens"])
def test_padding_and_absent_leads_and_unmeasured_rhythm_are_never_seen(sequence):
    model = network(replace(TINY, backbone_sequence=sequence)).eval()
    batch = example_batch(SHAPE, SPEC.streams(TINY), 2)
    batch.leads[0, 6:] = False
    batch.valid[1, 400:] = False
    batch.rhythm_valid[1, 3] = False
    other = replace(batch, signal=batch.signal.clone(), rhythm=batch.rhythm.clone())
    other.signal[0, 6:] = torch.nan
    other.signal[1, :, 400:] = torch.nan
    other.rhythm[1, 3] = torch.nan
    expected = model(batch)
    assert torch.equal(model(other), expected)
    seen = replace(batch, signal=batch.signal.clone())
    seen.signal[:, 1, 100:200] += 1
    assert not torch.allclose(model(seen), expected)


def test_masks_are_information():
    """Zeros in an absent lead are not the same as zeros in a lead that is present."""
    model = network().eval()
    batch = example_batch(SHAPE, SPEC.streams(TINY), 1)
    batch.signal[:, 6:] = 0
    absent = replace(batch, leads=batch.leads.clone())
    absent.leads[:, 6:] = False
    assert not torch.allclose(model(batch), model(absent))


def test_order_of_tokens_matters_to_a_backbone_over_tokens_only():
    """Latents read a set; a backbone over tokens reads a sequence."""
    changes = {}
    for sequence in ("latents", "tokens"):
        model = network(replace(TINY, backbone_sequence=sequence, lead_gate=False)).eval()
        batch = example_batch(SHAPE, SPEC.streams(TINY), 2)
        tokens = model.tok(batch.signal)
        expected = model(batch)
        model.tok.forward = lambda x, valid, gate, tokens=tokens: tokens.flip(1)
        changes[sequence] = (model(batch) - expected).abs().max().item()
    assert changes["latents"] < 1e-5
    assert changes["tokens"] > 1e-4


def parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("sequence", ["latents", "tokens"])
@pytest.mark.parametrize("name", ["small", "full"])
def test_backbones_are_of_one_size(name, sequence):
    config = replace(SPEC.profile(name), backbone_sequence=sequence)
    with torch.device("meta"):
        sizes = {b: parameters(EcgRamba(replace(config, backbone=b), SHAPE)) for b in ("mamba", "forward", "attention")}
    assert sizes["forward"] == sizes["mamba"]
    assert abs(sizes["attention"] / sizes["mamba"] - 1) < 0.02


def test_a_backbone_that_reads_forwards_sees_nothing_of_what_follows():
    torch.manual_seed(0)
    x = torch.randn(2, 9, 16)
    later = x.clone()
    later[:, 6:] = torch.randn(2, 3, 16)
    for flip in (True, False):
        block = BiMambaBlock(16, d_state=4, headdim=8, flip=flip).eval()
        difference = (block(later) - block(x)).abs().amax((0, 2))
        assert (difference[:6].max() > 1e-4) == flip
        assert difference[6:].min() > 1e-4


def test_attention_over_tokens_knows_their_places_and_over_latents_needs_none():
    with_places = network(replace(TINY, backbone="attention", backbone_sequence="tokens", lead_gate=False)).eval()
    assert network(replace(TINY, backbone="attention")).positions is None
    batch = example_batch(SHAPE, SPEC.streams(TINY), 2)
    tokens, expected = with_places.tok(batch.signal), with_places(batch)
    with_places.tok.forward = lambda x, valid, gate: tokens.flip(1)
    assert (with_places(batch) - expected).abs().max() > 1e-4
    torch.nn.init.zeros_(with_places.positions)
    flipped = with_places(batch)
    with_places.tok.forward = lambda x, valid, gate: tokens
    assert torch.allclose(with_places(batch), flipped, atol=1e-5)


def test_shuffled_tokens_are_the_same_tokens_in_one_other_order():
    tokens = replace(TINY, backbone_sequence="tokens", lead_gate=False, backbone_tokens=10)
    model, shuffled = network(tokens).eval(), network(replace(tokens, token_order="shuffled")).eval()
    shuffled.load_state_dict(model.state_dict())
    batch = example_batch(SHAPE, SPEC.streams(TINY), 2)
    assert sorted(shuffled.order.tolist()) == list(range(10))
    assert not torch.allclose(shuffled(batch), model(batch))
    average = model._average
    model._average = lambda x: average(x)[:, shuffled.order]
    assert torch.allclose(shuffled(batch), model(batch), atol=1e-6)
    batch.valid[0, 300:] = False
    hidden = replace(batch, signal=batch.signal.clone())
    hidden.signal[0, :, 300:] = torch.nan
    assert torch.equal(shuffled(hidden), shuffled(batch))


def test_parts_of_the_structure_come_and_go():
    modules = {name.split(".")[0] for name, _ in network(replace(TINY, fusion="concatenate")).named_parameters()}
    assert "cross_fusion" not in modules
    single = network(replace(TINY, scales=("medium",)))
    assert {n.split(".")[1] for n, _ in single.named_parameters() if n.startswith("tok.")} == {
        *("medium", "proj", "blocks"),
    }  # fmt: skip
    assert single.tok.proj.weight.shape == network().tok.proj.weight.shape
    assert not list(network(replace(TINY, layers=0)).layers.parameters())
    for config in (replace(TINY, fusion="concatenate"), replace(TINY, scales=("medium",)), replace(TINY, layers=0)):
        assert network(config)(example_batch(SHAPE, SPEC.streams(TINY), 2)).shape == (2, 4)


def test_whole_segment_as_one_input():
    model = network().eval()
    assert model(example_batch(replace(SHAPE, samples=1200), SPEC.streams(TINY), 2)).shape == (2, 4)


def test_mistakes_are_refused():
    with pytest.raises(UserError, match="at least one stream"):
        EcgRambaConfig(use_signal=False, use_morphology=False, use_rhythm=False)
    with pytest.raises(UserError, match="backbone_sequence"):
        EcgRambaConfig(backbone_sequence="latent")
    with pytest.raises(UserError, match="backbone is one of"):
        EcgRambaConfig(backbone="lstm")
    with pytest.raises(UserError, match="scales are some of"):
        EcgRambaConfig(scales=("huge",))
    with pytest.raises(UserError, match="'shuffled' needs"):
        EcgRambaConfig(token_order="shuffled")
    with pytest.raises(UserError, match="profile"):
        SPEC.profile("medium")
