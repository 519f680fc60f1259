"""What every registered model promises, its plug-ins included."""

import importlib
import re
from dataclasses import fields, is_dataclass, replace

import numpy as np
import optuna
import pytest
import torch
import torch.nn.functional as F

from ecg_ramba.errors import UserError
from ecg_ramba.keys import digest
from ecg_ramba.models import PROFILES, STREAMS, Batch, InputShape, ModelSpec, Windows, model_names, model_spec
from ecg_ramba.nn.summary import typical_shape

SHAPE = InputShape(components=(4, 3, 2), rhythm=6, embedding=24, classes=5)
NAMES = model_names()
NETWORKS = [name for name in NAMES if model_spec(name).kind == "network"]
ESTIMATORS = [name for name in NAMES if model_spec(name).kind == "estimator"]


def windows(n, seed=0, streams=frozenset(STREAMS)):
    rng = np.random.default_rng(seed)
    leads = np.ones((n, 12), bool)
    leads[n // 2 :, 6:] = False
    valid = np.ones((n, 2500), bool)
    valid[0, 1800:] = False
    arrays = {
        "signal": {"signal": rng.normal(size=(n, 12, 2500)).astype(np.float32), "valid": valid},
        "morphology": {"morphology": rng.normal(size=(n, 3, 4)).astype(np.float32)},
        "rhythm": {"rhythm": rng.normal(size=(n, 6)).astype(np.float32), "rhythm_valid": rng.random((n, 6)) < 0.9},
        "embedding": {"embedding": rng.normal(size=(n, 24)).astype(np.float32)},
    }
    chosen = {key: value for name in STREAMS if name in streams for key, value in arrays[name].items()}
    return Windows(leads=leads, **chosen)


def tensors(w):
    return Batch(**{f.name: None if (v := getattr(w, f.name)) is None else torch.from_numpy(v) for f in fields(w)})


def labels(n, seed=1):
    return (np.random.default_rng(seed).random((n, SHAPE.classes)) < 0.5).astype(np.float32)


def built(name, seed=0, **changes):
    spec = model_spec(name)
    config = replace(spec.profile("small"), **changes)
    torch.manual_seed(seed)
    return spec, config, spec.build(config, SHAPE)


def train(name, steps, n=8, seed=0, rate=2e-3, without_dropout=False):
    """The network after some AdamW steps on a few windows, and its losses."""
    spec, config, model = built(name, seed)
    if without_dropout:
        config = replace(config, **{f.name: 0.0 for f in fields(config) if "dropout" in f.name})
        torch.manual_seed(seed)
        model = spec.build(config, SHAPE)
    batch, y = tensors(windows(n, streams=spec.streams(config))), torch.from_numpy(labels(n))
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = F.binary_cross_entropy_with_logits(model.train()(batch), y)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return model, batch, y, losses


@pytest.mark.parametrize("name", NAMES)
def test_spec(name):
    spec = model_spec(name)
    assert isinstance(spec, ModelSpec)
    assert spec.title
    assert len(spec.reference) > 10
    for profile in PROFILES:
        config = spec.profile(profile)
        assert is_dataclass(config)
        assert config.__dataclass_params__.frozen
        digest(config)
        assert spec.streams(config) <= set(STREAMS)
    with pytest.raises(UserError, match="profile"):
        spec.profile("huge")
    module = importlib.import_module(spec.profile.__module__)
    assert len(module.__doc__) > 40
    assert spec.profile.__doc__


@pytest.mark.parametrize(
    "name", [n for n in NAMES if "embedding" not in model_spec(n).streams(model_spec(n).profile("small"))]
)
def test_the_docstring_counts_the_parameters(name):
    spec = model_spec(name)
    said = re.search(
        r"Parameters for 24 classes: ([\d,]+) \(small\), ([\d,]+) \(full\)",
        importlib.import_module(spec.build.__module__).__doc__,
    )
    for profile, count in zip(PROFILES, said.groups(), strict=True):
        with torch.device("meta"):
            model = spec.build(spec.profile(profile), typical_shape(profile))
            network = spec.kind == "network"
            found = sum(p.numel() for p in model.parameters()) if network else model.parameters()
        assert f"{found:,}" == count, profile


@pytest.mark.parametrize("name", [name for name in NAMES if model_spec(name).search_space])
def test_search_space_gives_configurations_that_build(name):
    spec = model_spec(name)
    config = spec.profile("small")
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(sampler=sampler)
    keys = set()
    for _ in range(4):
        drawn = spec.search_space(study.ask(), config)
        assert type(drawn) is type(config)
        spec.build(drawn, SHAPE)
        keys.add(digest(drawn))
    assert len(keys) > 1


@pytest.mark.parametrize("name", NETWORKS)
def test_logits(name):
    spec, config, model = built(name)
    logits = model(tensors(windows(3, streams=spec.streams(config))))
    assert logits.shape == (3, SHAPE.classes)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_two_steps_move_every_parameter(name):
    _, _, fresh = built(name)
    before = {key: value.clone() for key, value in fresh.named_parameters()}
    model, *_ = train(name, 2)
    still = [key for key, value in model.named_parameters() if torch.equal(value, before[key])]
    assert still == []


@pytest.mark.parametrize("name", NETWORKS)
def test_overfits_eight_windows(name):
    model, batch, y, losses = train(name, 60, without_dropout=True)
    assert losses[-1] < 0.25 * losses[0]
    with torch.no_grad():
        right = ((model(batch) > 0) == (y > 0)).float().mean()
    assert right > 0.95


@pytest.mark.parametrize("name", NETWORKS)
def test_same_seed_same_weights_another_seed_others(name):
    first, second, other = (train(name, 2, seed=seed)[0].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", NETWORKS)
def test_state_round_trip(name, tmp_path):
    model, batch, *_ = train(name, 2)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    _, _, again = built(name, seed=5)
    again.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(again.eval()(batch), model.eval()(batch))


@pytest.mark.parametrize("name", NETWORKS)
def test_windows_do_not_see_each_other_in_evaluation(name):
    spec, config, model = built(name)
    batch = tensors(windows(4, streams=spec.streams(config)))
    one = Batch(**{f.name: None if (v := getattr(batch, f.name)) is None else v[1:2] for f in fields(batch)})
    model.eval()
    torch.testing.assert_close(model(one)[0], model(batch)[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_absent_leads_and_padding_are_never_seen(name):
    spec, config, model = built(name)
    if "signal" not in spec.streams(config):
        pytest.skip(f"{name} does not read the signal")
    model.eval()
    batch = tensors(windows(4, streams=spec.streams(config)))
    expected = model(batch)
    hidden = ~(batch.leads[:, :, None] & batch.valid[:, None])
    assert torch.equal(model(replace(batch, signal=batch.signal.masked_fill(hidden, 1e3))), expected)
    assert not torch.equal(model(replace(batch, signal=batch.signal.masked_fill(~hidden, 0.5))), expected)


@pytest.mark.parametrize("name", NAMES)
def test_undeclared_streams_are_never_read(name):
    spec, config, model = built(name)
    declared = spec.streams(config)
    full, only = windows(6), windows(6, streams=declared)
    if spec.kind == "network":
        model.eval()
        assert torch.equal(model(tensors(full)), model(tensors(only)))
    else:
        model.fit(full, labels(6), np.ones((6, 5), bool), seed=0)
        expected = model.predict_proba(only)
        model.fit(only, labels(6), np.ones((6, 5), bool), seed=0)
        np.testing.assert_array_equal(model.predict_proba(full), expected)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimator(name):
    spec, config, model = built(name)
    data, y = windows(40), labels(40)
    known = np.ones(y.shape, bool)
    streams = sorted(spec.streams(config))
    if streams:
        y[:, 0] = getattr(data, streams[0]).reshape(40, -1)[:, 0] > 0
    y[:, 3] = 0
    known[:, 4] = False
    model.fit(data, y, known, seed=0)
    p = model.predict_proba(data)
    assert p.shape == (40, 5)
    assert p.dtype == np.float32
    assert ((p >= 0) & (p <= 1)).all()
    assert (p[:, 3] == 0).all()
    _, _, again = built(name)
    again.load({key: np.array(value) for key, value in model.state().items()})
    np.testing.assert_array_equal(again.predict_proba(data), p)
    _, _, second = built(name)
    second.fit(data, y, known, seed=99)
    np.testing.assert_array_equal(second.predict_proba(data), p)
    assert second.parameters() > 0
    if streams:
        assert p[:, 0].std() > 0
        assert ((p[:, 0] > 0.5) == (y[:, 0] > 0)).mean() > 0.75
    else:
        np.testing.assert_allclose(p[0, :3], y[:, :3].mean(0), rtol=1e-6)
