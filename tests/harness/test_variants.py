"""Which variants run: default, by name, by group; ensembles of what others predicted."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.harness.config import Variant
from ecg_ramba.harness.executors.local import local
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import run_suite
from ecg_ramba.harness.variants import REFERENCE, all_variants, choose_variants
from ecg_ramba.keys import digest
from ecg_ramba.models import InputShape, model_spec
from ecg_ramba.nn.inputs import example_batch


def names(*only, everything=False):
    return [v.name for v in choose_variants(only, everything)]


def test_groups():
    known = all_variants()
    default = names()
    assert default[0] == REFERENCE
    assert {v.group for n, v in known.items() if n in default} == {"default"}
    assert names(everything=True) == list(known)
    streams = {"placebo_hrv", "placebo_minirocket", "placebo_both"}
    encoders = {"learned_encoder", "kernels_0", "kernels_25", "kernels_100"}
    assert set(names("placebos")) == {REFERENCE} | streams | encoders
    assert set(names("ensemble")) == {"ensemble", *known["ensemble"].mean_of}
    with pytest.raises(UserError, match="no variant or group is called 'placebo'; did you mean placebos"):
        names("placebo")


def test_the_factorial_is_whole():
    design = [all_variants()[n] for n in names("factorial")]
    levels = {tuple(sorted(v.factors.items())) for v in design}
    assert len(levels) == len(design) == 7 + 7 + 4 + 4
    for v in design:
        config = v.configuration("small")
        present = {name for name in ("signal", "morphology", "rhythm") if v.factors[name] == "on"}
        assert model_spec(v.model).streams(config) == present
        assert getattr(config, "backbone", v.factors["backbone"]) == v.factors["backbone"]


SHAPE = InputShape(components=(3, 2, 4), rhythm=5, classes=4)


def shape_of(config):
    """Its inputs: the released structure reads MiniRocket as one token."""
    return dataclasses.replace(SHAPE, components=(9,)) if getattr(config, "released", False) else SHAPE


TRAINED = [n for n, v in all_variants().items() if v.trained]


@pytest.mark.parametrize("name", all_variants())
def test_every_variant_says_what_it_is_and_its_settings_fit(name, tiny):
    variant = all_variants()[name]
    assert variant.title
    assert variant.claim
    assert tiny.changed(variant.settings) != tiny or not variant.settings


@pytest.mark.parametrize("name", [n for n in TRAINED if model_spec(all_variants()[n].model).kind == "network"])
def test_every_network_trains_two_steps_saves_loads_and_predicts_the_same(name):
    variant = all_variants()[name]
    spec, config = model_spec(variant.model), variant.configuration("small")
    torch.manual_seed(0)
    shape = shape_of(config)
    network = spec.build(config, shape)
    batch = example_batch(shape, spec.streams(config), 4)
    y = (torch.arange(16).reshape(4, 4) % 3 == 0).float()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(2):
        optimiser.zero_grad()
        loss = F.binary_cross_entropy_with_logits(network.train()(batch), y)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    untouched = {n.rsplit(".", 1)[0] for n, p in network.named_parameters() if p.grad is None}
    published = {"cross_fusion.gate.0"} if shape != SHAPE else set()  # nothing reads it there either
    assert untouched == published, "parameters that nothing uses"
    other = spec.build(config, shape)
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert torch.equal(other.eval()(batch), network.eval()(batch))


DIFFERENT = {
    digest([v.model, v.configuration("small")]): n
    for n, v in reversed(all_variants().items())
    if v.trained and model_spec(v.model).kind == "network"
}
"""One name for each network; variants that differ in settings alone train the same one."""


@pytest.mark.parametrize("name", sorted(DIFFERENT.values()))
def test_every_network_overfits_eight_windows(name):
    """Short windows, so that it takes a second; learning rate and clipping are the protocol's."""
    variant = all_variants()[name]
    spec, config = model_spec(variant.model), variant.configuration("small")
    config = dataclasses.replace(config, **{f.name: 0.0 for f in dataclasses.fields(config) if "dropout" in f.name})
    shape = dataclasses.replace(shape_of(config), samples=640)
    torch.manual_seed(0)
    network = spec.build(config, shape).train()
    batch = example_batch(shape, spec.streams(config), 8)
    y = (torch.arange(32).reshape(8, 4) * 7 % 5 < 2).float()
    optimiser = torch.optim.AdamW(network.parameters(), lr=9e-4)
    for _ in range(100):
        logits = network(batch)
        if (right := ((logits > 0) == (y > 0)).float().mean()) > 0.97:
            break
        optimiser.zero_grad()
        F.binary_cross_entropy_with_logits(logits, y).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
    assert right > 0.97


def test_an_ensemble_is_the_mean_of_its_members_windows(tiny, cohort, tmp_path):
    members = ("hrv_logistic", "class_prior")
    known = all_variants()
    mean = Variant(name="both", title="both", mean_of=members)
    lacking = Variant(name="lacking", title="lacking", mean_of=("hrv_logistic", "gone"))
    variants = [*(known[n] for n in members), mean, lacking]
    result = run_suite(
        dataclasses.replace(tiny, targets=("synthetic-third",)), variants, cohort, tmp_path, local(1), Progress()
    )
    frames = [pd.read_parquet(result.folder / f"variants/{n}/windows.parquet") for n in (*members, "both")]
    keys = ["dataset", "record", "segment", "start", "fold", "seed"]
    one, other, both = (f.set_index(keys).sort_index() for f in frames)
    assert list(both.columns) == list(one.columns)
    assert np.allclose(both, (one.astype(float) + other) / 2, atol=1e-7, equal_nan=True)
    assert both.notna().any(axis=None)
    evaluation = evaluate(result.folder)
    rows = evaluation.summary[evaluation.summary["metric"] == "roc_auc"].drop_duplicates(["task", "variant"])
    assert rows[rows["variant"] == "both"]["value"].notna().any()
    assert evaluation.failures == {"lacking": "gone failed, and with it the mean"}
