"""Variants with recordings prepared or labelled in another way: the same recordings and folds, another view of them."""

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from ecg_ramba.data.labels import PAPER27, label_space
from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.harness.checkpoint import load_fold_model
from ecg_ramba.harness.config import Variant
from ecg_ramba.harness.contexts import coarser
from ecg_ramba.harness.executors.local import local
from ecg_ramba.harness.probabilities import merged
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import run_suite

pytestmark = pytest.mark.slow
KEYS = ["dataset", "record", "segment", "start", "fold", "seed"]
NAMES = ("zero_filled", "segment_z_score", "millivolt", "paper27", "slots_36", "released")


@pytest.fixture(scope="module")
def result(run_tiny, tmp_path_factory):
    return run_tiny(tmp_path_factory.mktemp("views"), ("ecg_ramba", *NAMES))


def windows(result, name):
    return pd.read_parquet(result.folder / f"variants/{name}/windows.parquet")


def model(result, name, cell=0):
    key = result.cells[name][cell]["key"]
    return load_fold_model(result.context.out / "cells" / key[:24] / "model.pt")


@pytest.mark.parametrize("name", NAMES)
def test_the_same_windows_of_the_same_folds_and_other_predictions(result, name):
    assert not result.failures
    own, other = windows(result, "ecg_ramba"), windows(result, name)
    pd.testing.assert_frame_equal(own[KEYS], other[KEYS])
    classes = [c for c in own.columns if c not in KEYS]
    assert classes == [c for c in other.columns if c not in KEYS]
    assert (own[classes].isna() == other[classes].isna()).all(axis=None)
    assert not np.allclose(own[classes], other[classes], equal_nan=True)
    assert model(result, name).facts["training_signals"] == model(result, "ecg_ramba").facts["training_signals"]


def test_they_are_scored(result):
    summary = evaluate(result.folder).summary
    scored = summary[(summary["metric"] == "roc_auc") & summary["value"].notna()]
    assert {"ecg_ramba", *NAMES} <= set(scored["variant"])


def test_zero_filling_leaves_no_lead_out(result):
    suite = result.context.suite
    own = result.context.targets[0]
    view = next(v for v in result.context.views.values() if v.suite.signal.missing == "zero").targets[0]
    assert own.name == view.name == "synthetic-rhythm"
    assert view.leads.all()
    assert not own.leads[:, 6:].any()
    derived = own.segments[:, 2:6]
    assert np.abs(derived).max() > 0
    assert not view.segments[:, 2:].any()
    np.testing.assert_array_equal(view.segments[:, :2], own.segments[:, :2])
    assert suite.signal.missing == "derive"


def test_scales(result):
    by = {v.suite.signal.normalise: v for v in result.context.views.values() if v.suite.signal.missing == "derive"}
    z, mv, segment = (np.array(c.targets[1].segments[:8]) for c in (result.context, by["none"], by["segment"]))
    assert not np.allclose(mv.std(-1), 1, atol=0.2)
    np.testing.assert_allclose(
        (mv - mv.mean(-1, keepdims=True)) / mv.std(-1, keepdims=True), z, atol=1e-3
    )  # one segment a recording
    np.testing.assert_allclose(segment.std(-1), 1, atol=1e-4)


def test_labels_that_count_as_one_are_merged_by_the_largest():
    space = label_space("merged24")
    p = np.random.default_rng(0).random((5, 27)).astype(np.float32)
    column = {name: i for i, name in enumerate(PAPER27)}
    p[:, column["SA"]] = np.nan
    p[:, column["PVC"]] = np.nan
    out = merged(p, PAPER27, space)
    assert out.shape == (5, 24)
    for i, name in enumerate(space.classes):
        together = {"RBBB": ("RBBB", "CRBBB"), "PAC": ("PAC", "SVPB"), "PVC": ("PVC", "VPB")}.get(name, (name,))
        wanted = np.full(5, np.nan)
        for member in together:
            wanted = np.fmax(wanted, p[:, column[member]])
        np.testing.assert_array_equal(out[:, i], wanted)
    np.testing.assert_array_equal(merged(out, space.classes, space), out)
    assert len(coarser(label_space("paper27"), space)) == 27
    with pytest.raises(UserError, match="paper27 tell apart what merged24 takes as one"):
        coarser(space, label_space("paper27"))


def test_a_model_of_27_labels_is_one(result):
    made = model(result, "paper27")
    assert made.classes == PAPER27
    own = model(result, "ecg_ramba")
    merged_trained = {"RBBB", "PAC", "PVC"} & {c for c, t in zip(own.classes, own.trained, strict=True) if t}
    single = {c for c, t in zip(own.classes, own.trained, strict=True) if t} - merged_trained
    assert single <= {c for c, t in zip(made.classes, made.trained, strict=True) if t}


def test_a_view_that_cannot_be_had_is_a_row_with_its_reason(cohort, tiny, tmp_path, monkeypatch):
    from ecg_ramba.harness import contexts

    load = contexts.load_named

    def refuse(names, data_dir, cache, signal, workers, progress):
        data = load(names, data_dir, cache, signal, workers, progress)
        if signal.normalise == "none":
            data[0] = data[0].subset(np.arange(1, len(data[0].records)))
        return data

    monkeypatch.setattr(contexts, "load_named", refuse)
    prior = Variant(name="class_prior", title="prior", model="class_prior")
    broken = dataclasses.replace(prior, name="broken", settings={"signal.normalise": "none"})
    unlike = dataclasses.replace(prior, name="unlike", settings={"label_space": "merged24"})
    config = dataclasses.replace(tiny, targets=("synthetic-third",), label_space="paper27")
    result = run_suite(config, [prior, broken, unlike], cohort, tmp_path, local(1), Progress())
    assert "1 recordings of synthetic-source cannot be had with this setting" in result.failures["broken"]
    assert "tell apart what merged24 takes as one" in result.failures["unlike"]
    assert set(result.cells) == {"class_prior"}
    assert evaluate(result.folder).failures == result.failures


def test_a_variant_may_not_change_what_is_split_or_scored(tiny):
    with pytest.raises(UserError, match="a variant cannot set 'folds'"):
        tiny.changed({"folds": 3})
    with pytest.raises(UserError, match="no label space 'other'"):
        tiny.changed({"label_space": "other"})


def test_noise_in_place_of_what_is_held_out_changes_nothing_fitted(
    result, run_tiny, cohort, tmp_path, replace_by_noise
):
    folds = json.loads((result.folder / "splits.json").read_text())["held_out_fold"]
    noisy = tmp_path / "noisy"
    shutil.copytree(cohort, noisy)
    assert replace_by_noise(noisy, lambda p: p.parent.name != "synthetic-source" or folds[p.stem] == 1) > 12
    names = ("millivolt", "paper27", "released")
    changed = run_tiny(tmp_path / "out", names, data=noisy, targets=("synthetic-third",))
    for name in names:
        for cell, expected in ((0, True), (1, False)):  # the second fold trains on what was replaced
            one, other = model(result, name, cell), model(changed, name, cell)
            pairs = [(one.weights(), other.weights()), (one.morphology.state(), other.morphology.state())]
            if name != "released":  # which standardises no slot: nothing of them is fitted
                pairs.append((one.rhythm.state(), other.rhythm.state()))
            for a, b in pairs:
                assert all(np.array_equal(a[k], b[k]) for k in a if k != "asked") == expected, (name, cell)
