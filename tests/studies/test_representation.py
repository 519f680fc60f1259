"""Streams are what the network computes; probes see the training part alone; tables are those of scikit-learn."""

import dataclasses
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import logit
from sklearn.metrics import r2_score, roc_auc_score
from torch import nn

import studies.__main__
import studies.running
from ecg_ramba.data.labels import label_space
from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.intervals import subject_draws
from ecg_ramba.harness.cells import Cell, cell_key
from ecg_ramba.harness.checkpoint import load_fold_model
from ecg_ramba.harness.executors.local import InProcess, local
from ecg_ramba.harness.inputs import to_batch, window_table
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import run_suite
from ecg_ramba.harness.variants import all_variants
from ecg_ramba.nn.inputs import visible_rhythm
from studies.pieces import read_piece
from studies.probes.activations import segment_activations, segment_source, untrained_network
from studies.probes.listener import STREAMS, Listener
from studies.probes.samples import make_samples
from studies.representation.delineation import intervals
from studies.representation.figure_tables import explained_variance, figure_table, similarity_table
from studies.representation.probe_tables import PAIRS, Scored, contrast_table, grouped, label_table, over_models
from studies.representation.probing import (
    COMPONENTS,
    HRV,
    RAW,
    UNTRAINED,
    Place,
    ProbeJob,
    auc_of,
    probe_figures,
    probe_labels,
)
from studies.representation.study import MORPHOLOGY, NEITHER, RHYTHM, RepresentationConfig, probe_suite
from studies.representation.text import TITLE, representation_sections
from studies.shortcuts.study import planned

SPACE = label_space("merged24")
FEW = RepresentationConfig(permutations=4, draws=50)


@pytest.fixture(scope="module")
def suite(run_tiny, tmp_path_factory):
    result = run_tiny(tmp_path_factory.mktemp("representation"), ("ecg_ramba", "hrv_logistic"))
    return result, evaluate(result.folder)


@pytest.fixture(scope="module")
def probed(suite):
    return probe_suite(*suite, FEW, local(1), Progress())


def model_of(result, fold=1, variant="ecg_ramba"):
    """A cell of the suite and its fold model."""
    cells, _ = planned(result)
    cell = next(c for c in cells if c.variant == variant and c.fold == fold)
    key = cell_key(result.context, cell)
    return cell, load_fold_model(result.context.out / "cells" / key[:24] / "model.pt")


def test_the_lists_of_labels_share_none_and_hold_the_27_classes():
    names = [*RHYTHM, *MORPHOLOGY, *NEITHER]
    assert len(names) == len(set(names))
    assert set(names) - {"AF|AFL"} == set(label_space("paper27").classes)


def test_the_last_layer_of_the_embedding_is_the_prediction(suite):
    result = suite[0]
    cell, model = model_of(result)
    source = result.context.source
    held_out = result.context.folds[0].held_out
    at = source.records["first_segment"].to_numpy()[held_out]
    found = segment_activations(model, model.fitted, source, at, False, result.context.cache)
    head = model.fitted.head[-1]
    logits = found["embedding"] @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    place = next(c for c in result.cells["ecg_ramba"] if c["fold"] == cell.fold)["predictions"]["synthetic-source"]
    windows = pd.read_parquet(place).groupby("record")[list(SPACE.classes)].agg(lambda p: logit(p).mean())
    expected = windows.loc[source.records["record"].to_numpy()[held_out]].to_numpy()
    trained = np.isfinite(expected).all(0)
    assert trained.sum() >= 3
    np.testing.assert_allclose(logits[:, trained], expected[:, trained], atol=2e-3)


def test_streams_are_where_they_are_said_to_be_and_no_hook_stays(suite):
    result = suite[0]
    _, model = model_of(result)
    source, at = result.context.source, np.arange(4)
    found = segment_activations(model, model.fitted, source, at, False, result.context.cache)
    assert set(found) == {*STREAMS, "components"}
    width = model.config.d_model
    assert {name: v.shape for name, v in found.items() if name != "components"} == dict.fromkeys(STREAMS, (4, width))
    assert found["components"].shape == (4, sum(model.morphology.components))
    table = window_table(source)
    rows = np.flatnonzero(np.isin(table.at, at))
    windows = segment_source(model, source, table, rows, False, result.context.cache, "cpu")
    batch = to_batch(windows.windows(np.arange(len(rows)), np.zeros(len(rows), dtype=bool)), "cpu")
    by_hand = model.fitted.hrv_proj(visible_rhythm(batch)).detach().numpy()
    for i in at:
        np.testing.assert_allclose(found["rhythm"][i], by_hand[table.at[rows] == i].mean(0), atol=1e-5)
    latents = model.fitted.rocket_perceiver(batch.morphology).detach().numpy().mean(1)
    np.testing.assert_allclose(found["morphology"][2], latents[table.at[rows] == 2].mean(0), atol=1e-5)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.fitted.modules())


def test_activations_do_not_depend_on_what_else_is_asked_and_follow_the_order_of_asking(suite):
    result = suite[0]
    _, model = model_of(result)
    asked = np.array([7, 2, 5])
    found, alone = (
        segment_activations(model, model.fitted, result.context.source, at, False, result.context.cache)
        for at in (asked, np.array([2]))
    )
    for name in found:
        np.testing.assert_allclose(found[name][1], alone[name][0], atol=1e-4)
        assert np.abs(found[name][0] - found[name][2]).max() > 1e-3


def test_without_precordial_leads_two_lead_recordings_are_as_they_are_and_others_change(suite):
    result = suite[0]
    _, model = model_of(result)
    rhythm = result.context.targets[0]
    for data, same in ((rhythm, True), (result.context.source, False)):
        whole, limb = (
            segment_activations(model, model.fitted, data, np.arange(3), limb, result.context.cache)
            for limb in (False, True)
        )
        for name in ("signal", "embedding", "components"):
            assert np.allclose(whole[name], limb[name], atol=1e-4) == same, name
        np.testing.assert_allclose(whole["rhythm"], limb["rhythm"], atol=1e-6)


def test_padding_does_not_reach_the_means(suite):
    result = suite[0]
    _, model = model_of(result)
    data = result.context.source.subset(np.arange(2))
    short = dataclasses.replace(data, valid=data.valid.copy(), segments=np.array(data.segments[:2]), digest="short")
    short.valid[:2] = 4000
    noisy = dataclasses.replace(short, segments=short.segments.copy(), digest="noisy")
    noisy.segments[:, :, 4000:] = 50.0
    clean, dirty = (segment_activations(model, model.fitted, d, np.arange(2), False, None) for d in (short, noisy))
    for name in ("signal", "fused", "rhythm"):
        assert np.abs(clean[name] - dirty[name]).max() < np.inf
    np.testing.assert_allclose(clean["rhythm"], dirty["rhythm"], atol=1e-6)
    np.testing.assert_allclose(clean["signal"], dirty["signal"], atol=1e-4)


def test_untrained_networks_are_another_and_the_same_again(suite):
    result = suite[0]
    cell, model = model_of(result)
    one, again = (untrained_network(model, result.context.suite, cell) for _ in range(2))
    states = [n.state_dict() for n in (one, again, model.fitted)]
    assert all((states[0][k] == states[1][k]).all() for k in states[0])
    assert any((states[0][k] != states[2][k]).any() for k in states[0])
    assert not one.training
    other = untrained_network(model, result.context.suite, dataclasses.replace(cell, fold=2)).state_dict()
    assert any((states[0][k] != other[k]).any() for k in other)


def test_what_is_no_network_or_has_no_last_linear_layer_is_refused(suite):
    result = suite[0]
    cells, reasons = planned(result)
    assert {c.variant for c in cells} == {"ecg_ramba"}
    assert "is no network" in reasons["hrv_logistic"]
    with pytest.raises(UserError, match="no last linear layer"):
        Listener(nn.Sequential(nn.Conv1d(1, 1, 1)), 3)

    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(2, 3)

        def forward(self, x):
            return self.last(x) * 2

    with Listener(Other(), 3) as listener, pytest.raises(UserError, match="not the linear one"):
        listener.read(torch.zeros(1, 2))


def toy_job(prepared_toy, n=120, permutations=12):
    """A source of two folds and a target; AF and LBBB are independent coins."""
    rng = np.random.default_rng(0)
    places = []
    for name in ("home", "abroad"):
        coins = rng.random((n, 2)) < 0.5
        labels = [[c for c, has in zip(("AF", "LBBB"), row, strict=True) if has] for row in coins]
        data = prepared_toy(labels, name=name)
        fold = np.arange(n) % 2 + 1 if name == "home" else np.full(n, -1)
        units, _ = make_samples(data, SPACE, np.arange(n), fold, "task")
        firsts, _ = make_samples(data, SPACE, np.arange(n), fold, "first")
        figures = rng.normal(size=(n, 3))
        figures[::5, 1] = np.nan
        figures[:, 2] = np.nan
        places.append(Place(units=units, firsts=firsts, figures=figures, at=np.arange(n)))
    cell = Cell(variant="toy", model="toy", config=None, fold=1, seed=0)
    job = ProbeJob(cell=cell, places=tuple(places), trained=(), untrained=(), labels=("AF|AFL", "LBBB"),
                   permutations=permutations)  # fmt: skip
    return job, rng


def probe_stream(job, values):
    return probe_labels(job, values) | probe_figures(job, values)


def values_of(job, rng, signal):
    """Streams of noise, with what ``signal(place)`` (n,) says in one column, and the first figure in another."""
    out = []
    for place in job.places:
        x = rng.normal(size=(len(place.at), 8))
        x[:, 3] += signal(place)
        x[:, 5] += 2 * place.figures[:, 0]
        out.append(x)
    return out


def test_a_planted_label_is_found_in_its_stream_alone_and_permuted_labels_are_at_chance(prepared_toy):
    job, rng = toy_job(prepared_toy)
    af, lbbb = (job.places[0].units.classes.index(n) for n in job.labels)
    values = values_of(job, rng, lambda p: 3.0 * p.units.y[:, af])
    found = probe_stream(job, values)
    held_out = job.places[0].units.fold == 1
    for i, (place, own) in enumerate(zip(job.places, (held_out, slice(None)), strict=True)):
        score = found[f"score|{i}"]
        assert roc_auc_score(place.units.y[own, af], score[:, 0]) > 0.85
        assert 0.3 < roc_auc_score(place.units.y[own, lbbb], score[:, 1]) < 0.7
        assert r2_score(place.figures[own, 0], found[f"figure|{i}"][:, 0]) > 0.5
    assert found["permuted"].shape == (12, 2, 2)
    assert abs(found["permuted"].mean() - 0.5) < 0.06
    assert np.isnan(found["figure|0"][:, 2]).all(), "a figure that no segment has"
    assert found["weight"].shape == (2, 8)
    assert found["stopped"] == 0


def test_noise_in_place_of_held_out_and_target_units_changes_no_weight(prepared_toy):
    job, rng = toy_job(prepared_toy, permutations=2)
    values = values_of(job, rng, lambda p: p.units.y[:, -1])
    before = probe_stream(job, values)
    noisy = [v.copy() for v in values]
    held_out = job.places[0].units.fold == 1
    noisy[0][held_out] = rng.normal(0, 1e3, (held_out.sum(), 8))
    noisy[1][:] = rng.normal(0, 1e3, noisy[1].shape)
    after = probe_stream(job, noisy)
    for name in ("weight", "intercept", "figure_weight"):
        np.testing.assert_array_equal(before[name], after[name])
    assert (before["score|0"] != after["score|0"]).all()
    trained = [v.copy() for v in values]
    trained[0][np.flatnonzero(~held_out)[0]] += 1
    assert (probe_stream(job, trained)["weight"] != before["weight"]).any()


def test_a_target_without_precordial_leads_has_probes_fitted_without_them(prepared_toy):
    job, rng = toy_job(prepared_toy, permutations=2)
    values = values_of(job, rng, lambda p: 3.0 * p.units.y[:, -1])
    without = -values[0]  # what the source's segments would give without V1 to V6
    limb = dataclasses.replace(
        job, places=(job.places[0], dataclasses.replace(job.places[1], limb=True)), trained=("whole", "target", "limb")
    )
    whole, both = probe_stream(job, values), probe_stream(limb, [*values, without])
    np.testing.assert_array_equal(whole["weight"], both["weight"])
    np.testing.assert_array_equal(whole["score|0"], both["score|0"])
    mirrored = probe_stream(job, [values[0], -values[1]])
    np.testing.assert_allclose(both["score|1"], mirrored["score|1"], atol=1e-3)
    np.testing.assert_allclose(both["figure|1"], mirrored["figure|1"], atol=1e-6)
    assert roc_auc_score(job.places[1].units.y[:, -1], both["score|1"][:, 0]) < 0.1
    assert job.fit_for(1) == 0
    assert (limb.fit_for(0), limb.fit_for(1)) == (0, 1)


def test_labels_without_subjects_enough_have_no_probe(prepared_toy):
    job, rng = toy_job(prepared_toy)
    lbbb = job.places[0].units.classes.index("LBBB")
    job.places[0].units.y[:, lbbb] = False
    job.places[0].units.y[:8:2, lbbb] = True
    found = probe_stream(job, values_of(job, rng, lambda p: 0.0))
    assert np.isnan(found["score|1"][:, 1]).all()
    assert np.isfinite(found["score|1"][:, 0]).all()


def test_noise_in_place_of_what_is_held_out_changes_no_probe_of_a_whole_suite(
    suite, probed, tiny, cohort, tmp_path, replace_by_noise
):
    context = suite[0].context
    held_out = set(context.source.records["record"].iloc[context.folds[0].held_out])
    noisy = tmp_path / "noisy"
    shutil.copytree(cohort, noisy)
    replaced = replace_by_noise(noisy, lambda p: p.stem in held_out or p.parent.name != "synthetic-source")
    assert replaced > len(held_out)
    result = run_suite(tiny, [all_variants()["ecg_ramba"]], noisy, tmp_path / "out", local(1), Progress(), "test")
    changed = probe_suite(
        result, evaluate(result.folder), RepresentationConfig(permutations=1, draws=5), local(1), Progress()
    )
    folds = {}
    for found in (probed, changed):
        for job in found.probes:
            folds.setdefault(job.cell.fold, []).append(read_piece(job.folder(found.out)))
    for name in ("rhythm", "embedding", COMPONENTS, HRV, "signal" + UNTRAINED):
        for what in ("weight", "intercept"):
            np.testing.assert_array_equal(*(p[f"{name}|{what}"] for p in folds[1]))
            assert not np.array_equal(*(p[f"{name}|{what}"] for p in folds[2]), equal_nan=True)
        assert not np.array_equal(*(p[f"{name}|score|0"] for p in folds[1]), equal_nan=True)


def test_table_of_probes_is_scikit_learns_on_the_kept_scores(suite, probed):
    table, scored = label_table(probed, suite[1].config, True)
    assert set(table["data"]) == {"synthetic"}
    assert set(table["stream"]) == {*STREAMS, *RAW, *(s + UNTRAINED for s in STREAMS)}
    place = probed.places[0]
    pieces = {j.cell.fold: read_piece(j.folder(probed.out)) for j in probed.probes}
    k = probed.labels.index("LBBB")
    column = place.units.classes.index("LBBB")
    for stream in ("embedding", COMPONENTS):
        points, permuted = [], []
        for fold, piece in pieces.items():
            y = place.units.y[place.units.fold == fold, column]
            points.append(roc_auc_score(y, np.round(piece[f"{stream}|score|0"][:, k], 9)))
            permuted.append(piece[f"{stream}|permuted"][:, 0, k])
        at = (table["stream"] == stream) & (table["label"] == "LBBB") & (table["role"] == "source")
        row = table[at].iloc[0]
        assert row["value"] == pytest.approx(np.mean(points))
        assert row["control"] == pytest.approx(np.mean(permuted))
        assert row["difference"] == pytest.approx(row["value"] - row["control"])
        assert row["units"] == 24
        assert row["positives"] == place.units.y[:, column].sum()
        assert row["diff_lo"] <= row["difference"] <= row["diff_hi"]
        draws = scored["ecg_ramba", 0, stream, "LBBB"].draws
        np.testing.assert_allclose(np.nanquantile(draws, [0.025, 0.975]), [row["diff_lo"], row["diff_hi"]])
    missing = table[(table["label"] == "SB") & (table["stream"] == "rhythm")]
    assert missing["value"].isna().all()
    assert missing["reason"].str.contains("no fold model has both outcomes").all()


def test_contrasts_by_hand():
    labels, rng = ("AF|AFL", "AF", "SB", "PAC", "LBBB", "TInv", "TAb"), np.random.default_rng(0)
    scored = {
        ("v", 0, stream, label): Scored(rng.uniform(), rng.normal(size=200)) for pair in PAIRS for stream in pair
        for label in labels if label not in ("PAC", "TAb")
    }  # fmt: skip
    for stream in ("rhythm", "morphology"):
        scored["v", 0, stream, "PAC"] = Scored(0.9, None)
        scored["v", 1, stream, "PAC"] = Scored(0.3 if stream == "rhythm" else 0.1, None)
        scored["v", 1, stream, "TAb"] = Scored(0.2, rng.normal(size=200))
    fake = SimpleNamespace(cells=[SimpleNamespace(variant="v")], names=("home", "abroad"), labels=labels)
    table = contrast_table(fake, scored, EvaluationConfig(), False)
    row = table[(table["dataset"] == "home") & (table["contrast"] == "rhythm minus morphology")].iloc[0]
    assert (row["rhythm"], row["morphology"]) == ("AF|AFL; SB", "LBBB; TInv")

    def balance(what, stream):
        get = lambda n: getattr(scored["v", 0, stream, n], what)  # noqa: E731
        return (get("AF|AFL") + get("SB")) / 2 - (get("LBBB") + get("TInv")) / 2

    assert row["value"] == pytest.approx(balance("value", "rhythm") - balance("value", "morphology"))
    paired = balance("draws", "rhythm") - balance("draws", "morphology")
    assert (row["lo"], row["hi"]) == pytest.approx(tuple(np.quantile(paired, [0.025, 0.975])))
    effect = table[(table["dataset"] == "home") & (table["contrast"] == "streams minus features")].iloc[0]
    features = balance("value", HRV) - balance("value", COMPONENTS)
    assert effect["value"] == pytest.approx(row["value"] - features)
    abroad = table[table["dataset"] == "abroad"].set_index("contrast")
    few = abroad.loc["rhythm minus morphology"]
    assert (few["rhythm"], few["morphology"]) == ("PAC", "TAb"), "no label with an interval is of rhythm"
    assert few["value"] == pytest.approx(0.2)
    assert np.isnan(few["lo"])
    assert "no interval" in few["reason"]
    others = abroad.drop("rhythm minus morphology")
    assert others["value"].isna().all()
    assert others["reason"].str.contains("is scored from all streams").all()
    assert grouped(("AF", "AFL", "LBBB")) == (["AF", "AFL"], ["LBBB"])


def test_r2_is_scikit_learns_under_any_weights():
    rng = np.random.default_rng(0)
    y = rng.normal(400, 30, 50)
    predicted, cluster = y + rng.normal(0, 20, 50), rng.integers(0, 20, 50)
    counts = subject_draws(np.zeros(20, dtype=int), 5, 0).astype(np.float32)
    found = explained_variance(y, predicted, cluster, 20)(counts)[0]
    for d in range(5):
        weight = counts[cluster, d]
        assert found[d] == pytest.approx(r2_score(y, predicted, sample_weight=weight), abs=1e-6)
    assert explained_variance(y, predicted, cluster, 20)(None)[0][0] == pytest.approx(r2_score(y, predicted))


def test_seeds_are_averaged_after_folds_by_each_draws_shares():
    values = {(0, 1): np.array([1.0, 2.0]), (0, 2): np.array([3.0, np.nan]), (1, 1): np.array([5.0, 6.0])}
    shares = np.array([[0.5, 0.0], [0.5, 1.0]])
    np.testing.assert_allclose(over_models(values, shares), [0.5 * 2 + 0.5 * 5, 6.0])


def test_auc_leaves_out_what_is_not_known(prepared_toy):
    scores = np.array([[0.1, 0.2], [0.9, np.nan], [0.4, 0.3], [0.8, 0.1]])
    y = np.array([[0, 0], [1, 1], [1, 0], [1, 0]], dtype=bool)
    known = np.array([[1, 1], [1, 1], [1, 1], [0, 1]], dtype=bool)
    found = auc_of(scores, y, known)
    assert found[0] == 1.0
    assert np.isnan(found[1])


def test_wide_complexes_are_measured_wider_and_what_cannot_be_measured_has_no_figure(suite):
    source = suite[0].context.source
    wide = np.array(["LBBB" in labels for labels in source.records["labels"]])
    found = np.array([intervals(source.segments[i], source.leads[i], 5000) for i in range(len(wide))])
    assert np.isfinite(found).mean() > 0.5
    assert np.nanmedian(found[wide, 0]) > np.nanmedian(found[~wide, 0]) + 5
    assert ((found[:, 1] > found[:, 0]) | ~np.isfinite(found).all(1)).all(), "QT begins where QRS does, and ends later"
    without = source.leads[0].copy()
    without[1] = False
    assert np.isnan(intervals(source.segments[0], without, 5000)).all()
    assert np.isnan(intervals(np.zeros((12, 5000)), np.ones(12, dtype=bool), 5000)).all()
    rng = np.random.default_rng(0)
    assert len(intervals(rng.normal(size=(12, 5000)), np.ones(12, dtype=bool), 5000)) == 2


def test_figures_and_similarities_have_rows_for_every_stream_and_place(suite, probed):
    figures = figure_table(probed, suite[1].config, True)
    assert set(figures["dataset"]) == set(probed.names)
    rate = figures[(figures["figure"] == "heart rate") & (figures["role"] == "source")].set_index("stream")["value"]
    assert rate[HRV] > 0.9, "it is one of them"
    assert (figures["value"].notna() | (figures["reason"] != "")).all()
    assert set(probed.measured["dataset"]) == set(probed.names)
    alike = similarity_table(probed, suite[1].config, True)
    assert len(alike) == 3 * (7 * 6 // 2 + 5 * 4 // 2)
    assert set(alike["subjects"]) == {24, 12, 3}
    few = alike[alike["dataset"] == "synthetic-rhythm"]
    assert few["value"].isna().all()
    assert (few["reason"] != "").all()
    home = alike[(alike["dataset"] == "synthetic-source") & alike["value"].notna()]
    assert len(home)
    assert (home["lo"] <= home["hi"]).all()


def test_a_second_run_computes_nothing(suite, probed, monkeypatch):
    def refuse(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(InProcess, "run", refuse)
    again = probe_suite(*suite, FEW, local(1), Progress())
    assert [j.folder(again.out) for j in again.probes] == [j.folder(probed.out) for j in probed.probes]


def test_a_suite_without_a_network_says_why(suite, probed):
    _, evaluation = suite
    none = dataclasses.replace(probed, cells=(), probes=(), similarities=())
    sections = representation_sections(none, evaluation, FEW)
    assert [s.title for s in sections][1:] == ["Synthetic: Without figures", "Synthetic: What was probed"]
    assert sections[1].parts[0].rows[0][0] == "`hrv_logistic`"


def test_the_command_writes_the_study_and_says_what_a_probe_is(suite, probed, cohort, tiny, monkeypatch, capsys):
    out = suite[0].context.out  # cells that are there already are not run again
    original = studies.running.suite_config
    monkeypatch.setattr(studies.running, "write_report", lambda evaluation, folder, *_: [folder / "suite.json"] * 2)
    monkeypatch.setattr(
        studies.running,
        "suite_config",
        lambda o: dataclasses.replace(original(o), budget=tiny.budget, features=tiny.features),
    )
    argv = ["representation", "--data", str(cohort), "--source", "synthetic-source", "--target", "synthetic-rhythm"]
    argv += ["synthetic-third", "--folds", "2", "--workers", "1", "--permutations", "4", "--out", str(out)]
    assert studies.__main__.main([*argv, "--no-tracking"]) == 0
    (folder,) = out.glob("studies/representation-*")
    text = (folder / "representation.md").read_text()
    assert capsys.readouterr().out.startswith(text)
    assert text.startswith("# Synthetic: " + TITLE)
    assert "SYNTHETIC DATA: this tests the suite and says nothing of patients." in text
    assert "A probe says what can be read linearly from a stream, not what the network uses." in text
    assert all("Synthetic: " in line for line in text.splitlines() if line.startswith("#"))
    files = {f.name for f in folder.iterdir()}
    assert {"probes.csv", "contrasts.csv", "intervals.csv", "similarities.csv", "representation.html"} <= files
    assert "map-ecg_ramba-synthetic-source.png" in files
    table = pd.read_csv(folder / "probes.csv")
    assert set(table["data"]) == {"synthetic"}
