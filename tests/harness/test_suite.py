"""Whole suites on a small synthetic cohort: nothing twice, nothing lost, nothing leaked, the same bits again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.harness.checkpoint import load_fold_model
from ecg_ramba.harness.variants import choose_variants

NAMES = ("ecg_ramba", "pool_max", "hrv_logistic", "class_prior")


@pytest.fixture(scope="module")
def finished(run_tiny, tmp_path_factory):
    """A finished suite, run once for this module."""
    out = tmp_path_factory.mktemp("runs")
    return run_tiny(out, NAMES), out


def windows(result, name="ecg_ramba"):
    return pd.read_parquet(result.folder / "variants" / name / "windows.parquet")


def weights(result, fold, variant="ecg_ramba"):
    (cell,) = (c for c in result.cells[variant] if c["fold"] == fold)
    model = load_fold_model(result.context.out / "cells" / cell["key"][:24] / "model.pt")
    morphology = {f"morphology.{k}": v for k, v in model.morphology.state().items()} if model.morphology else {}
    rhythm = {f"rhythm.{k}": v for k, v in model.rhythm.state().items()} if model.rhythm else {}
    return model.weights() | morphology | rhythm


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def test_every_recording_is_predicted_once_at_home_and_by_every_fold_abroad(finished):
    result, _ = finished
    frame = windows(result)
    home = frame[frame["dataset"] == "synthetic-source"]
    assert len(home) == 24 * 3
    assert not home.duplicated(["record", "segment", "start"]).any()
    folds = json.loads((result.folder / "splits.json").read_text())["held_out_fold"]
    assert (home["fold"] == home["record"].map(folds)).all()
    abroad = frame[frame["dataset"] == "synthetic-third"]
    assert set(abroad["fold"]) == {1, 2}
    assert len(abroad) == 12 * 3 * 2
    classes = ["AF", "LBBB", "TInv", "QAb"]
    assert ((frame[classes] >= 0) & (frame[classes] <= 1)).all(axis=None)
    assert frame["LAD"].isna().all()  # the synthetic sites never annotate it


def test_nothing_is_done_twice(finished, run_tiny):
    result, out = finished
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.pt")}
    again = run_tiny(out, NAMES)
    assert all(c["reused"] for cells in again.cells.values() for c in cells)
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.pt")} == before
    assert again.key == result.key


def test_a_damaged_cell_is_found_and_made_again_bit_for_bit(finished, run_tiny):
    result, out = finished
    expected = windows(result)
    cell = result.cells["ecg_ramba"][0]
    model = out / "cells" / cell["key"][:24] / "model.pt"
    expected_weights = weights(result, cell["fold"])
    model.write_bytes(model.read_bytes()[:-100])
    shutil.rmtree(out / "predictions")
    again = run_tiny(out, NAMES)
    assert not next(c for c in again.cells["ecg_ramba"] if c["fold"] == cell["fold"])["reused"]
    pd.testing.assert_frame_equal(windows(again), expected, check_exact=True)
    assert same(weights(again, cell["fold"]), expected_weights)


def test_a_new_target_trains_nothing_again(run_tiny, tmp_path):
    first = run_tiny(tmp_path, ("ecg_ramba",), targets=("synthetic-third",))
    second = run_tiny(tmp_path, ("ecg_ramba",))
    assert {c["key"] for c in first.cells["ecg_ramba"]} == {c["key"] for c in second.cells["ecg_ramba"]}
    assert len(list((tmp_path / "cells").iterdir())) == 2


def test_same_seed_same_bits_whatever_the_workers_and_another_seed_others(finished, run_tiny, tmp_path):
    result, _ = finished
    two = run_tiny(tmp_path / "two", ("ecg_ramba",), workers=2)
    pd.testing.assert_frame_equal(windows(two), windows(result), check_exact=True)
    other = run_tiny(tmp_path / "two", ("ecg_ramba",), base_seed=1)
    assert {c["key"] for c in other.cells["ecg_ramba"]}.isdisjoint(c["key"] for c in two.cells["ecg_ramba"])
    merged = windows(two).merge(windows(other), on=["dataset", "record", "segment", "start", "fold"])
    assert (merged["AF_x"] != merged["AF_y"]).mean() > 0.9


def test_non_interference(finished, run_tiny, cohort, tmp_path, replace_by_noise):
    """Replace every target and every held-out recording by noise: what fold 1 fits is the same to the last bit."""
    result, _ = finished
    folds = json.loads((result.folder / "splits.json").read_text())["held_out_fold"]
    noisy = tmp_path / "noisy"
    shutil.copytree(cohort, noisy)
    assert replace_by_noise(noisy, lambda p: p.parent.name != "synthetic-source" or folds[p.stem] == 1) > 12
    changed = run_tiny(tmp_path / "out", NAMES, data=noisy)
    for variant in ("ecg_ramba", "hrv_logistic", "class_prior"):
        assert same(weights(changed, 1, variant), weights(result, 1, variant)), variant
        keys = [{c["key"] for c in r.cells[variant] if c["fold"] == 1} for r in (changed, result)]
        assert keys[0] == keys[1], variant
    # the negative control: fold 2 trains on what was replaced, and the predictions follow
    assert not same(weights(changed, 2), weights(result, 2))
    assert (windows(changed)["AF"].to_numpy() != windows(result)["AF"].to_numpy()).mean() > 0.5


def test_a_variant_that_fails_is_a_row_with_its_reason(run_tiny, tmp_path, monkeypatch):
    from baselines import class_prior

    def broken(self, windows):
        raise MemoryError("no memory left")

    monkeypatch.setattr(class_prior.ClassPrior, "predict_proba", broken)
    result = run_tiny(tmp_path, ("ecg_ramba", "class_prior"))
    rows = {r["name"]: r for r in json.loads((result.folder / "variants.json").read_text())}
    assert rows["ecg_ramba"]["status"] == "ok"
    assert rows["class_prior"]["status"] == "failed"
    assert "MemoryError: no memory left" in rows["class_prior"]["reason"]
    assert list((tmp_path / "failures").glob("*.log"))
    found = evaluate(result.folder)
    assert "class_prior" in set(found.summary["variant"])


@pytest.mark.parametrize("bad", ["nan", "range", "shape"])
def test_values_that_are_no_probabilities_fail_the_cell(run_tiny, tmp_path, monkeypatch, bad):
    from baselines import class_prior

    right = class_prior.ClassPrior.predict_proba

    def wrong(self, windows):
        p = right(self, windows)
        return {"nan": p * np.nan, "range": p + 1, "shape": p[:, :-1]}[bad]

    monkeypatch.setattr(class_prior.ClassPrior, "predict_proba", wrong)
    result = run_tiny(tmp_path, ("class_prior",))
    assert "returned" in result.failures["class_prior"]


def test_a_mistyped_variant_is_named_with_its_neighbour():
    with pytest.raises(UserError, match="did you mean no_minirocket"):
        choose_variants(["no_minirokcet"])


def test_the_reference_comes_along():
    assert [v.name for v in choose_variants(["pool_max"])] == ["ecg_ramba", "pool_max"]
    assert len(choose_variants([])) == 18


KILLED = """
import dataclasses, sys
from pathlib import Path
from ecg_ramba.features.transform import FeatureConfig
from ecg_ramba.harness.config import Budget, SuiteConfig
from ecg_ramba.harness.executors.local import local
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import run_suite
from ecg_ramba.harness.variants import all_variants
if __name__ == "__main__":
    config = SuiteConfig(
        source="synthetic-source", targets=("synthetic-rhythm", "synthetic-third"), folds=2,
        features=FeatureConfig(num_kernels=336), budget=Budget(epochs=2, min_steps=6),
    )
    variants = [all_variants()[n] for n in ("ecg_ramba", "no_hrv", "hrv_logistic")]
    run_suite(config, variants, Path(sys.argv[1]), Path(sys.argv[2]), local(2), Progress())
"""


@pytest.mark.slow
def test_kill_in_the_middle_then_the_same_command_again(run_tiny, cohort, tmp_path):
    script = tmp_path / "run.py"
    script.write_text(KILLED)
    out = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, str(script), str(cohort), str(out)], start_new_session=True)
    cells = out / "cells"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        if cells.is_dir() and any((c / "done.json").is_file() for c in cells.iterdir() if not c.name.startswith(".")):
            break
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {c.name: (c / "model.pt").stat().st_mtime_ns for c in cells.iterdir() if (c / "done.json").is_file()}
    assert kept
    names = ("ecg_ramba", "no_hrv", "hrv_logistic")
    resumed = run_tiny(out, names)
    assert {n: (cells / n / "model.pt").stat().st_mtime_ns for n in kept} == kept
    whole = run_tiny(tmp_path / "whole", names)
    for name in names:
        pd.testing.assert_frame_equal(windows(resumed, name), windows(whole, name), check_exact=True)
    cost = ["seconds", "peak_mb"]  # measured, so never twice the same
    tables = [evaluate(r.folder).summary.drop(columns=cost) for r in (resumed, whole)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
