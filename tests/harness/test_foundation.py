"""Foundation models: what they are given, what must be stated of them, and what becomes of those that fail."""

import dataclasses
import io
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console
from scipy.signal import resample_poly
from scipy.special import expit

from ecg_ramba.data.leads import LEADS
from ecg_ramba.errors import CheckpointError, UserError
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.report import write_report
from ecg_ramba.evaluation.terminal import print_summary
from ecg_ramba.harness.checkpoint import load_fold_model
from ecg_ramba.harness.embeddings import embedding_array, with_embedding
from ecg_ramba.harness.executors.local import local
from ecg_ramba.harness.foundation import foundation_variants
from ecg_ramba.harness.inputs import WindowSource, window_table
from ecg_ramba.harness.probabilities import probabilities
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import cache_dir, run_suite
from ecg_ramba.harness.trained import evaluation_folder
from ecg_ramba.harness.variants import all_variants
from ecg_ramba.signal import SignalConfig

DATA = ("synthetic-source", "synthetic-third")
LEAD_ORDER = ("V6", "II", "I", "aVF")
WEIGHT = np.random.default_rng(3).normal(size=(2 * len(LEAD_ORDER), 5)).astype(np.float32)
NONE = dict.fromkeys(DATA, "none")


class Moments(torch.nn.Module):
    """Mean and spread of each lead, times a fixed matrix; ``fault`` spoils it."""

    def __init__(self, fault="", weight=WEIGHT):
        super().__init__()
        self.fault = fault
        self.register_buffer("weight", torch.from_numpy(weight))

    def forward(self, x):
        e = torch.cat([x.mean(2), x.std(2, correction=0)], 1) @ self.weight
        if self.fault == "nan":
            return e / (x.abs().sum(2).min(1, keepdim=True).values > 0)
        if self.fault == "batch":
            return e - e.mean(0)
        return e


def torchscript(path, module, samples=1300):
    example = torch.randn(3, len(LEAD_ORDER), samples)
    torch.jit.trace(module, example, check_trace=False).save(str(path))
    return path


def described(folder, name="tiny", overlap=NONE, leave=(), **changes):
    """A description of the model above; its file is written unless one is named."""
    content = {
        "name": name, "title": "Tiny", "reference": "this test", "rate": 250, "leads": list(LEAD_ORDER),
        "samples": 1300, "pad": True, "units": "z-score", "weights": f"{name}.ts",
    } | changes  # fmt: skip
    lines = [f"{k} = {json.dumps(v)}" for k, v in content.items() if k not in leave]
    if overlap is not None:
        lines += ["[overlap]", *(f"{k} = {json.dumps(v)}" for k, v in overlap.items())]
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines))
    if "weights" not in changes and "weights" not in leave and not (folder / f"{name}.ts").exists():
        torchscript(folder / f"{name}.ts", Moments())
    return path


def embedder(path):
    return foundation_variants([path], DATA)[0].configuration("small")


def oracle(data, table, limb=False):
    """The same embeddings, window by window and lead by lead."""
    out, length = [], table.samples
    for at, start in zip(table.at, table.start, strict=True):
        moments = {}
        for lead in LEAD_ORDER:
            x = data.segments[at, LEADS.index(lead), start : start + length].astype(np.float64)
            x = resample_poly(np.zeros(length) if limb and lead.startswith("V") else x, 1, 2)
            assert len(x) == length // 2
            x = np.concatenate([x, np.zeros(50)])
            moments[lead] = x.mean(), np.sqrt(((x - x.mean()) ** 2).mean())
        out.append([moments[lead][0] for lead in LEAD_ORDER] + [moments[lead][1] for lead in LEAD_ORDER])
    return np.array(out) @ WEIGHT


@pytest.fixture(scope="module")
def run(tiny, cohort, tmp_path_factory):
    """Runs descriptions beside one cheap variant: ``run(paths, out=…, data=…, workers=…)``."""
    shared = tmp_path_factory.mktemp("foundation")

    def go(*paths, out=None, data=None, workers=1, targets=DATA[1:], beside=("hrv_logistic",)):
        suite = dataclasses.replace(tiny, targets=targets)
        variants = [*(all_variants()[n] for n in beside), *foundation_variants(paths, (suite.source, *targets))]
        return run_suite(suite, variants, data or cohort, out or shared / "runs", local(workers), Progress())

    return go


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("descriptions")


@pytest.fixture(scope="module")
def finished(run, place):
    """A finished run: its target was in the pretraining, by its own statement."""
    overlap = {"synthetic-source": "none", "synthetic-third": "pretraining: half | of it", "elsewhere": "unknown"}
    path = described(place, overlap=overlap)
    return run(path), path


def weights(result, fold, variant="tiny"):
    (cell,) = (c for c in result.cells[variant] if c["fold"] == fold)
    return load_fold_model(result.context.out / "cells" / cell["key"][:24] / "model.pt")


def stored(result, variant="tiny"):
    return pd.read_parquet(result.folder / f"variants/{variant}/windows.parquet")


def test_a_model_of_ten_seconds_reads_whole_segments(run, place):
    path = described(place, name="long", seconds=10, samples=2550)
    result = run(path)
    assert not result.failures
    data = result.context.targets[0]
    table = window_table(data, 5000)
    found = embedding_array(data, table, embedder(path), False, cache_dir(result.context.out), "cpu")
    np.testing.assert_allclose(found, oracle(data, table), atol=2e-4)
    model = weights(result, 1, "long")
    state, rows = model.fitted.state(), stored(result, "long")
    p = expit((found - state["mean"]) / state["deviation"] @ state["weights"] + state["intercepts"])
    rows = rows[(rows["dataset"] == data.name) & (rows["fold"] == 1)]
    record = dict(zip(data.records["record"], range(len(data.records)), strict=True))
    at = data.records["first_segment"].to_numpy()[[record[r] for r in rows["record"]]] + rows["segment"].to_numpy()
    c = int(np.flatnonzero(model.trained & ~state["constant"])[0])
    np.testing.assert_allclose(rows[model.classes[c]], p[table.of_segments(at), c], atol=1e-5)


def test_embeddings_are_mapped_from_the_cache_and_are_the_windows_own(finished):
    result, path = finished
    for data in (result.context.source, result.context.targets[0]):
        table = window_table(data)
        found = embedding_array(data, table, embedder(path), False, None, "cpu")
        np.testing.assert_allclose(found, oracle(data, table), atol=2e-4)
        cached = embedding_array(data, table, embedder(path), False, cache_dir(result.context.out), "cpu")
        assert isinstance(cached, np.memmap)
        np.testing.assert_array_equal(cached, found)


def test_training_windows_that_lose_v1_to_v6_have_the_embedding_without_them(finished):
    result, path = finished
    data, table = result.context.source, result.context.source_table
    plain = WindowSource(data, table, np.arange(4, len(table)), frozenset({"embedding"}))
    source = with_embedding(plain, embedder(path), None, "cpu", augmented=True)
    limb = np.array([True, False, True])
    found = source.windows(np.array([3, 0, 1]), limb).embedding
    whole, without = oracle(data, table), oracle(data, table, limb=True)
    np.testing.assert_allclose(found, [without[7], whole[4], without[5]], atol=2e-4)
    assert np.abs(whole - without).max() > 0.1


def test_a_fold_is_a_linear_probe_on_them(finished):
    result, _ = finished
    data, table = result.context.targets[0], result.context.target_tables[0]
    frame = stored(result)
    for fold in (1, 2):
        model = weights(result, fold)
        s = model.weights()
        assert s["weights"].shape == (5, len(model.classes))
        logit = (oracle(data, table) - s["mean"]) / s["deviation"] @ s["weights"] + s["intercepts"]
        own = frame[(frame["dataset"] == data.name) & (frame["fold"] == fold)]
        c = [n for n, k in zip(model.classes, s["constant"], strict=True) if not k and own[n].notna().all()]
        assert len(c) > 3
        at = [model.classes.index(n) for n in c]
        np.testing.assert_allclose(own[c].to_numpy(), expit(logit)[:, at], atol=1e-4)
    row = json.loads((result.folder / "variants.json").read_text())[1]
    assert row["parameters"] == 6 * len(model.classes)


def test_the_statement_stands_wherever_its_numbers_do(finished):
    result, _ = finished
    row = json.loads((result.folder / "variants.json").read_text())[1]
    assert row["overlap"] == {"synthetic-source": "none", "synthetic-third": "pretraining"}
    assert "synthetic-source none; synthetic-third pretraining (half | of it), so not zero-shot there" in row["note"]
    made = evaluate(result.folder)
    own = made.summary[made.summary["variant"] == "tiny"].drop_duplicates("dataset").set_index("dataset")
    assert own["title"].to_dict() == {
        "synthetic-source": "Tiny, linear probe",
        "synthetic-third": "Tiny, linear probe [NOT ZERO-SHOT]",
    }
    assert own["overlap"].to_dict() == row["overlap"]
    assert set(made.summary.loc[made.summary["variant"] == "hrv_logistic", "overlap"]) == {""}
    files = write_report(made, result.folder)
    report = files[0].read_text()
    assert "| Tiny, linear probe [NOT ZERO-SHOT] |" in report
    assert f"- Tiny, linear probe: {row['note']}." in report
    console = Console(width=200, record=True, file=io.StringIO())
    print_summary(made, console)
    text = console.export_text()
    assert "Tiny, linear probe [NOT ZERO-SHOT]" in text
    assert "so not zero-shot there" in text.replace("\n", " ")


def test_a_source_that_was_in_the_pretraining_is_not_held_out(finished, run, place):
    path = described(place, "seen", {"synthetic-source": "unknown", "synthetic-third": "none"}, weights="tiny.ts")
    rows = evaluate(run(path).folder).summary
    titles = rows[rows["variant"] == "seen"].groupby("role")["title"].agg(set).to_dict()
    assert titles == {"source": {"Tiny, linear probe [NOT HELD OUT]"}, "target": {"Tiny, linear probe"}}


FAULTS = {
    "nan": "returns NaN or infinity for .* windows; some of them have leads that are absent",
    "batch": "says something else of a window when others are beside it",
}


def test_a_model_that_fails_is_a_row_with_its_reason_and_the_others_go_on(finished, run, tmp_path):
    _, path = finished
    paths = [described(tmp_path, fault) for fault in FAULTS]
    for fault, p in zip(FAULTS, paths, strict=True):
        torchscript(p.with_suffix(".ts"), Moments(fault))
    damaged = described(tmp_path, "damaged")
    damaged.with_suffix(".ts").write_bytes((tmp_path / "nan.ts").read_bytes()[:-200])
    result = run(path, *paths, damaged)
    rows = {r["name"]: r for r in json.loads((result.folder / "variants.json").read_text())}
    assert {n for n, r in rows.items() if r["status"] == "ok"} == {"hrv_logistic", "tiny"}
    for name, message in (FAULTS | {"damaged": ".*damaged.ts cannot be loaded"}).items():
        reason = f"embeddings of synthetic-source.*: foundation model '{name}':? {message}"
        assert re.match(reason, rows[name]["reason"])
        assert name not in result.cells
        assert not list(cache_dir(result.context.out).glob("embeddings/.*")), "nothing half-done stays"
    assert set(evaluate(result.folder).failures) == {*FAULTS, "damaged"}
    logs = [p.name for p in (result.context.out / "failures").iterdir()]
    assert logs
    assert all(name.endswith(("-synthetic-source.log", "-synthetic-third.log")) for name in logs), "no cell was tried"


def test_nothing_is_computed_twice_and_a_new_target_adds_its_own_alone(run, place, tmp_path):
    path = described(place, "again", dict.fromkeys((*DATA, "synthetic-rhythm"), "none"), weights="tiny.ts")
    first = run(path, out=tmp_path)

    def files():
        return {p: p.stat().st_mtime_ns for p in cache_dir(tmp_path).glob("embeddings/*/embeddings.npy")}

    before = files()
    assert len(before) == 3, "the source with and without V1-V6, and the target"
    second = run(path, out=tmp_path)
    assert second.key == first.key
    assert all(c["reused"] for c in second.cells["again"])
    third = run(path, out=tmp_path, targets=("synthetic-third", "synthetic-rhythm"))
    assert {c["key"] for c in third.cells["again"]} == {c["key"] for c in first.cells["again"]}
    assert {p: t for p, t in files().items() if p in before} == before
    assert len(files()) == 4


@pytest.mark.slow
def test_the_same_bits_whatever_the_workers_and_wherever_the_weights_lie(finished, run, tmp_path):
    result, path = finished
    shutil.copy(path.with_suffix(".ts"), tmp_path / "tiny.ts")
    shutil.copytree(cache_dir(result.context.out) / "prepared", cache_dir(tmp_path / "out") / "prepared")
    other = run(described(tmp_path), out=tmp_path / "out", workers=2)
    pd.testing.assert_frame_equal(stored(other), stored(result), check_exact=True)
    assert embedder(described(tmp_path)).key == embedder(path).key


def test_other_weights_are_another_model(finished, run, tmp_path):
    result, path = finished
    torchscript(tmp_path / "tiny.ts", Moments(weight=WEIGHT[:, ::-1].copy() * 2))
    other = run(described(tmp_path))
    assert embedder(described(tmp_path)).key != embedder(path).key
    assert {c["key"] for c in other.cells["tiny"]}.isdisjoint(c["key"] for c in result.cells["tiny"])
    assert other.key != result.key


def test_non_interference(finished, run, cohort, tmp_path, replace_by_noise):
    """Replace every target and every held-out recording by noise: what fold 1 fits is the same to the last bit."""
    result, path = finished
    folds = json.loads((result.folder / "splits.json").read_text())["held_out_fold"]
    noisy = tmp_path / "noisy"
    shutil.copytree(cohort, noisy)
    replace_by_noise(noisy, lambda p: p.parent.name != "synthetic-source" or folds[p.stem] == 1)
    changed = run(path, out=tmp_path / "out", data=noisy)

    def same(fold):
        a, b = weights(changed, fold).weights(), weights(result, fold).weights()
        return all(np.array_equal(a[k], b[k]) for k in a)

    assert same(1)
    assert not same(2), "fold 2 trains on what was replaced"
    assert (stored(changed)["AF"].to_numpy() != stored(result)["AF"].to_numpy()).mean() > 0.5


def test_a_checkpoint_predicts_again_while_its_weights_are_the_same(finished, run, tmp_path):
    path = described(tmp_path)
    result = run(path, out=tmp_path / "out")
    context, file = result.context, tmp_path / "tiny.ts"
    model = weights(result, 1)
    p = probabilities(
        model, context.targets[0], context.target_tables[0], np.arange(len(context.target_tables[0])), None
    )
    frame = stored(result)
    own = frame[(frame["dataset"] == "synthetic-third") & (frame["fold"] == 1)]
    np.testing.assert_array_equal(p, own[list(model.classes)].to_numpy())
    made = evaluate(evaluation_folder([model], None, context.targets, tmp_path, cache_dir(tmp_path), "test"))
    assert made.suite.variants[0].overlap == (("synthetic-third", "none"),)
    stranger = dataclasses.replace(context.targets[0], name="stranger")
    with pytest.raises(UserError, match=r"foundation model 'tiny': does not state what the .* saw of stranger"):
        evaluation_folder([model], None, [stranger], tmp_path, cache_dir(tmp_path), "test")
    whole = file.read_bytes()
    torchscript(file, Moments(weight=WEIGHT + 1))
    with pytest.raises(CheckpointError, match=r"model.pt: foundation model 'tiny': .*tiny.ts has the SHA-256"):
        weights(result, 1)
    with pytest.raises(CheckpointError, match="has the SHA-256"):
        probabilities(model, context.targets[0], context.target_tables[0], np.arange(3), None)
    file.unlink()
    with pytest.raises(CheckpointError, match=r"tiny\.ts cannot be read .*; put it back"):
        weights(result, 1)
    file.write_bytes(whole)
    weights(result, 1)


def test_the_probe_without_a_model_says_what_it_needs(tiny, cohort, tmp_path):
    variant = dataclasses.replace(all_variants()["hrv_logistic"], name="bare", model="foundation_probe")
    with pytest.raises(UserError, match="describe that: nox -s ablations -- --foundation FILE"):
        run_suite(tiny, [variant], cohort, tmp_path, local(1), Progress())
    weights = torchscript(tmp_path / "t.ts", Moments())
    unstated = dataclasses.replace(variant, changes={"weights": str(weights)})
    with pytest.raises(UserError, match="variant 'bare': does not state"):
        run_suite(tiny, [unstated], cohort, tmp_path, local(1), Progress())
    stated = dataclasses.replace(unstated, changes=unstated.changes | {"overlap": NONE})
    millivolts = dataclasses.replace(tiny, targets=DATA[1:], signal=SignalConfig(normalise="none"))
    with pytest.raises(UserError, match="variant 'bare': its model is given z-scores"):
        run_suite(millivolts, [stated], cohort, tmp_path, local(1), Progress())
