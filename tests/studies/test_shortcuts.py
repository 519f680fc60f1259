"""Sites are told apart where they differ and not where they do not; what a fold model was trained on takes no part."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mutual_info_score, roc_auc_score

import studies.__main__
import studies.running
from ecg_ramba.data.labels import label_space
from ecg_ramba.data.leads import LEADS
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.harness.executors.local import InProcess, local
from ecg_ramba.harness.progress import Progress
from studies.probes.activations import load_activations
from studies.probes.samples import CROSSING, TOO_SHORT, choose_records, joined, make_samples
from studies.shortcuts.hospitals import hospital_suites, hospital_table
from studies.shortcuts.questions import (
    DATA_SET,
    SiteConfig,
    explained,
    labels_from_sites,
    make_question,
    match_labels,
    matched_weights,
)
from studies.shortcuts.sites import SiteJob, Values, site_job, site_rows, tell_sites
from studies.shortcuts.study import find_shortcuts, site_question
from studies.shortcuts.text import TITLE, travel_table
from studies.shortcuts.values import COMPONENTS, CONTROLS, DURATION, HRV, LABELS, LEADS_THERE
from studies.shortcuts.views import AS_RECORDED, LABELS_MATCHED, MATCHED, MODES, View, make_views

SPACE = label_space("merged24")
FEW = SiteConfig(permutations=9)


@pytest.fixture(scope="module")
def suite(run_tiny, tmp_path_factory):
    """A tiny suite and its evaluation."""
    result = run_tiny(tmp_path_factory.mktemp("shortcuts"), ("ecg_ramba", "hrv_logistic"))
    return result, evaluate(result.folder)


@pytest.fixture(scope="module")
def found(suite):
    return find_shortcuts(*suite, 1000, FEW, local(1), Progress())


def row_of(table, **named):
    at = np.logical_and.reduce([table[k] == v for k, v in named.items()])
    assert at.sum() == 1, named
    return table[at].iloc[0]


def test_lengths_and_leads_that_are_the_same_tell_nothing_and_counts_are_those_of_the_sites(found):
    rows = found.sites
    assert set(rows["data"]) == {"synthetic"}
    matched = row_of(rows, question=DATA_SET, mode=MATCHED, representation=COMPONENTS, metric="roc_auc")
    assert matched["lo"] <= matched["value"] <= matched["hi"]
    assert 0.35 < matched["chance"] < 0.65
    assert matched["each"] == "synthetic-source: 24; synthetic-third: 12"
    assert matched["models"] == 2
    embedded = row_of(rows, question=DATA_SET, mode=MATCHED, representation="embedding of ecg_ramba", metric="roc_auc")
    assert np.isfinite(embedded["value"])
    duration = row_of(rows, question=DATA_SET, mode=AS_RECORDED, representation=DURATION, metric="roc_auc")
    assert duration["value"] == 0.5, "both sites record 10 s at 500 Hz"
    right = row_of(rows, question=DATA_SET, mode=AS_RECORDED, representation=DURATION, metric="balanced_accuracy")
    assert right["value"] == right["nominal"] == 0.5


def test_a_site_of_too_few_subjects_and_a_model_without_embedding_are_rows_with_a_reason(found):
    for mode in MODES:
        assert found.questions[DATA_SET, mode].left_out == {"synthetic-rhythm": "3 subjects, 10 needed"}
        row = row_of(found.sites, question=DATA_SET, mode=mode, representation="embedding of hrv_logistic")
        assert "is no network" in row["reason"]
        assert np.isnan(row["value"])


def test_every_mode_has_its_representations(found):
    rows = found.sites[found.sites["question"] == DATA_SET]
    by_mode = {mode: set(rows[rows["mode"] == mode]["representation"]) for mode in MODES}
    assert set(CONTROLS) <= by_mode[AS_RECORDED]
    assert not by_mode[MATCHED] & set(CONTROLS)
    assert by_mode[LABELS_MATCHED] & set(CONTROLS) == {LABELS}
    assert all({HRV, COMPONENTS, "embedding of ecg_ramba"} <= of for of in by_mode.values())


def test_matched_recordings_are_one_whole_segment_on_common_leads(suite):
    context = suite[0].context
    assert make_views(context, 1000, 10)[MATCHED].leads == LEADS, "too small a site restricts no others"
    views = make_views(context, 1000, 3)
    matched = views[MATCHED]
    assert matched.limb
    assert matched.leads == ("I", "II", "III", "aVR", "aVL", "aVF")
    for data, part in zip(matched.data, matched.parts, strict=True):
        assert len(part.at) == len(part) == len(set(part.record.tolist()))
        assert (data.valid[part.at] == 5000).all()
    recorded = views[AS_RECORDED]
    rhythm = recorded.parts[1]
    assert len(rhythm.at) > len(rhythm), "a long recording is the mean over its segments"
    for fold in (1, 2):
        trained_on = set(context.folds[fold - 1].train.tolist())
        units = recorded.units_of(0, fold)
        assert not trained_on & set(recorded.parts[0].record[units].tolist())
        assert len(recorded.units_of(1, fold)) == len(rhythm)


def test_a_second_run_computes_nothing_and_finds_the_same(suite, found, monkeypatch):
    def refuse(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(InProcess, "run", refuse)
    again = find_shortcuts(*suite, 1000, FEW, local(1), Progress())
    pd.testing.assert_frame_equal(again.sites, found.sites)
    pd.testing.assert_frame_equal(again.labels, found.labels)


def toy_view(prepared_toy, n=40, shift=0.0, seed=0):
    """Two targets and no source; values of noise, shifted at the second."""
    rng = np.random.default_rng(seed)
    labels = [["AF"] if i % 2 else ["LBBB"] for i in range(n)]
    data = [prepared_toy(labels, name=name, seed=s) for s, name in enumerate(("one", "two"))]
    parts = [make_samples(d, SPACE, np.arange(n), np.full(n, -1), "record")[0] for d in data]
    view = View(tuple(data), tuple(parts), joined(parts), False, ({}, {}))
    dataset = np.repeat(["one", "two"], n)
    question = make_question(DATA_SET, dataset, view.everything.subject, 10)
    x = [rng.normal(size=(n, 6)) + shift * place for place in range(2)]
    values = [Values(samples=p, units=view.units_of(i, 1), given=x[i], stream="toy") for i, p in enumerate(parts)]
    return view, question, values


@pytest.mark.parametrize(("shift", "low", "high"), [(0.0, 0.3, 0.7), (1.5, 0.9, 1.0)])
def test_noise_is_at_chance_and_a_shifted_site_is_found(prepared_toy, tmp_path, shift, low, high):
    view, question, values = toy_view(prepared_toy, shift=shift)
    config = SiteConfig(permutations=19)
    job = site_question((DATA_SET, MATCHED, "toy"), question, view, None, config, 1, 0, values)
    site_job(tmp_path, job)
    auc = next(
        r for r in site_rows([job], tmp_path, question, view.everything, EvaluationConfig()) if r["metric"] == "roc_auc"
    )
    assert low <= auc["value"] <= high
    assert auc["lo"] < auc["value"] < auc["hi"] or auc["value"] == 1
    assert abs(auc["chance"] - 0.5) < 0.1
    assert auc["p"] == pytest.approx(0.1) if shift else auc["p"] > 0.1
    found = tell_sites(np.concatenate([v.load() for v in values]), job)
    y, parts = (np.arange(80) >= 40).astype(int), [found["part"] == k for k in range(5)]
    assert auc["value"] == pytest.approx(np.mean([roc_auc_score(y[p], found["probability"][p, 1]) for p in parts]))
    assert auc["chance"] == pytest.approx(found["permuted"][:, 1].mean())


def test_two_fold_models_are_averaged_with_twice_their_mean_p(prepared_toy, tmp_path):
    view, question, values = toy_view(prepared_toy, shift=1.5)
    config = SiteConfig(permutations=9)
    jobs = [site_question((DATA_SET, MATCHED, "toy"), question, view, None, config, f, 0, values) for f in (1, 2)]
    singles = []
    for job in jobs:
        site_job(tmp_path, job)
        singles.append(site_rows([job], tmp_path, question, view.everything, EvaluationConfig())[1])
    both = site_rows(jobs, tmp_path, question, view.everything, EvaluationConfig())[1]
    assert both["value"] == pytest.approx(np.mean([s["value"] for s in singles]))
    assert both["p"] == pytest.approx(2 * 0.1)
    assert singles[0]["p"] == pytest.approx(2 * 0.1)


def test_too_few_subjects_of_a_site_in_a_fold_make_no_probe(prepared_toy):
    view, question, values = toy_view(prepared_toy)
    config = SiteConfig(subjects=41)
    assert site_question((DATA_SET, MATCHED, "toy"), question, view, None, config, 1, 0, values) is None


def test_what_is_asked_decides_the_key(prepared_toy, tmp_path):
    view, question, values = toy_view(prepared_toy)
    made = site_question((DATA_SET, MATCHED, "toy"), question, view, None, FEW, 1, 0, values)
    assert isinstance(made, SiteJob)
    same = made.folder(tmp_path)
    other = dataclasses.replace(values[0], given=values[0].given + 1)
    changes = [{"fold": 2}, {"config": SiteConfig()}, {"y": 1 - made.y}, {"values": (other, values[1])}]
    changes += [{"stratum": np.zeros(80, dtype=int)}, {"mode": AS_RECORDED}]
    folders = {dataclasses.replace(made, **change).folder(tmp_path) for change in changes}
    assert len(folders | {same}) == len(changes) + 1


def unequal(prepared_toy):
    """Two sites where AF is common at one and rare at the other, and a class that only one annotates."""
    one = [["AF"] if i < 30 else ["LBBB"] if i < 36 else ["SNR"] for i in range(40)]
    two = [["AF"] if i < 8 else ["LBBB"] if i < 20 else ["SNR"] for i in range(40)]
    data = [
        prepared_toy(one, name="one", annotated=("AF", "LBBB", "SNR", "TAb")),
        prepared_toy(two, name="two", seed=1, annotated=("AF", "LBBB", "SNR")),
    ]
    parts = [make_samples(d, SPACE, np.arange(40), np.full(40, -1), "record")[0] for d in data]
    everything = joined(parts)
    question = make_question(DATA_SET, np.repeat(["one", "two"], 40), everything.subject, 10)
    return everything, question


def test_matched_label_sets_have_one_share_at_every_site(prepared_toy):
    everything, question = unequal(prepared_toy)
    found = match_labels(question, everything, 5, FEW)
    assert set(found.classes) <= {"AF|AFL", "LBBB", "SNR"}
    assert "AF|AFL" in found.classes
    kept = found.stratum >= 0
    assert found.left_out == 80 - kept.sum()
    code, stratum = question.code[kept], found.stratum[kept]
    weight = matched_weights(code, stratum)
    for p in np.unique(stratum):
        shares = [weight[(code == s) & (stratum == p)].sum() / weight[code == s].sum() for s in (0, 1)]
        assert shares[0] == pytest.approx(shares[1])
        assert shares[0] == pytest.approx(np.mean(stratum == p))
    column = everything.classes.index("AF|AFL")
    y = everything.y[kept, column]
    assert abs(roc_auc_score(code, y) - 0.5) > 0.2
    assert roc_auc_score(code, y, sample_weight=weight) == pytest.approx(0.5)


def test_label_sets_that_cannot_be_matched_have_a_reason(prepared_toy):
    everything, question = unequal(prepared_toy)
    found = match_labels(question, everything, 5, SiteConfig(cell=25))
    assert not found.classes
    assert "no class has enough" in found.reason
    assert (found.stratum == -1).all()


def test_labels_from_the_sites_name_are_those_of_its_shares(prepared_toy):
    everything, question = unequal(prepared_toy)
    rows = {r["class"]: r for r in labels_from_sites(question, everything, 19, EvaluationConfig())}
    assert "TAb" not in rows, "one site alone annotates it"
    assert set(rows) == {"AF", "AF|AFL", "LBBB", "SNR"} & set(rows) | {"AF", "AF|AFL", "LBBB", "SNR"}
    y = np.concatenate([np.arange(40) < 30, np.arange(40) < 8])
    at_one = np.arange(80) < 40
    assert rows["AF"]["value"] == pytest.approx(roc_auc_score(y, at_one))
    assert rows["AF"]["p"] == pytest.approx(0.05)
    assert rows["AF"]["shares"] == "one: 0.750; two: 0.200"
    entropy = -sum(p * np.log(p) for p in (38 / 80, 42 / 80))
    assert rows["AF"]["explained"] == pytest.approx(mutual_info_score(y, at_one) / entropy)
    assert rows["AF"]["lo"] < rows["AF"]["value"] < rows["AF"]["hi"]
    assert rows["AF"]["chance"] < 0.65


def test_explained_is_nothing_for_equal_shares_and_all_for_a_label_that_is_the_site():
    code = np.repeat([0, 1], 20)
    assert explained(code, np.tile([True, False], 20)) == pytest.approx(0, abs=1e-12)
    assert explained(code, code == 1) == pytest.approx(1)
    assert np.isnan(explained(code, np.zeros(40, dtype=bool)))


def test_hospitals_of_one_data_set_are_a_question_of_their_own(prepared_toy):
    labels = [["AF"]] * 40
    data = prepared_toy(labels, hospitals=["north"] * 18 + ["south"] * 18 + ["west"] * 4)
    part = make_samples(data, SPACE, np.arange(40), np.full(40, -1), "record")[0]
    question = make_question("hospital in toy", part.hospital, part.subject, 10)
    assert question.sites == ("north", "south")
    assert question.left_out == {"west": "4 subjects, 10 needed"}
    assert np.bincount(question.code + 1).tolist() == [4, 18, 18]
    alone = make_question("hospital in toy", part.hospital, part.subject, 19)
    assert "fewer than two sites with 19 subjects" in alone.reason
    assert (alone.code == -1).all()


def test_records_are_drawn_with_their_subjects(prepared_toy):
    data = prepared_toy([["AF"]] * 60, subjects=np.repeat(np.arange(20), 3).tolist())
    rows = choose_records(data, 20, 0)
    assert len(rows) == 18
    subject = data.records["subject"].to_numpy()
    assert not set(subject[rows]) & set(np.delete(subject, rows))
    assert len(choose_records(data, 60, 0)) == 60
    assert choose_records(data, 20, 1).tolist() != rows.tolist()


def test_segments_take_their_own_rhythm_and_what_crosses_a_border_is_counted(prepared_toy):
    episodes = [[[10.0, 25.0, "AFIB"]], [], [[0.0, 40.0, "AFIB"]]]
    data = prepared_toy([["AF"], ["SNR"], ["AF"]], n_segments=[4, 4, 4], episodes=episodes)
    data.valid[0] = 3000
    samples, left_out = make_samples(data, SPACE, np.arange(3), np.full(3, -1), "task")
    assert left_out == {CROSSING: 1}
    assert samples.at.tolist() == [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert samples.y[:, -1].tolist() == [False, True, False, *[False] * 4, *[True] * 4]
    assert not samples.known[:, SPACE.index("AF")].any()
    firsts, _ = make_samples(data, SPACE, np.arange(3), np.full(3, -1), "first")
    assert firsts.at.tolist() == [1, 4, 8], "whole, and on one side of a border"
    data.valid[:] = 4000
    none, why = make_samples(data, SPACE, np.arange(3), np.full(3, -1), "first")
    assert len(none) == 0
    assert why == {TOO_SHORT: 3}


def test_means_leave_out_what_is_missing_and_taking_keeps_the_segments(prepared_toy):
    data = prepared_toy([["AF"]] * 3, n_segments=[2, 1, 3])
    samples, _ = make_samples(data, SPACE, np.arange(3), np.full(3, -1), "record")
    values = np.arange(12.0).reshape(6, 2)
    values[1, 0] = np.nan
    np.testing.assert_allclose(samples.mean(values), [[0, 2], [4, 5], [8, 9]])
    some = samples.take(np.array([2, 0]))
    assert some.record.tolist() == [2, 0]
    assert some.at.tolist() == [0, 1, 3, 4, 5]
    np.testing.assert_allclose(some.mean(values[some.at]), [[8, 9], [0, 2]])


def test_classes_that_do_not_travel_are_the_evaluations_own(suite):
    table = travel_table(suite[1])
    rows = suite[1].per_class
    assert len(table) == (rows["gap"].notna() & (rows["metric"] == "roc_auc")).sum() > 0
    assert set(table["data"]) == {"synthetic"}


def test_without_chapman_there_is_a_reason_and_not_a_suite(tiny, cohort, tmp_path):
    for place, said in ((None, "one hospital a site"), (cohort, "holds no recordings of chapman-shaoxing")):
        suites, reason = hospital_suites(tiny, [], place, tmp_path, local(1), Progress(), "test")
        assert suites == []
        assert said in reason
    assert hospital_table([]).empty


def test_the_command_writes_the_study_and_says_synthetic(suite, cohort, tiny, monkeypatch, capsys):
    out = suite[0].context.out  # cells that are there already are not run again
    original = studies.running.suite_config
    monkeypatch.setattr(studies.running, "write_report", lambda evaluation, folder, *_: [folder / "suite.json"] * 2)
    monkeypatch.setattr(
        studies.running,
        "suite_config",
        lambda o: dataclasses.replace(original(o), budget=tiny.budget, features=tiny.features),
    )
    argv = ["shortcuts", "--only", "ecg_ramba", "hrv_logistic", "--data", str(cohort), "--source", "synthetic-source"]
    argv += ["--target", "synthetic-rhythm", "synthetic-third", "--folds", "2", "--workers", "1", "--permutations", "9"]
    assert studies.__main__.main([*argv, "--out", str(out), "--no-tracking"]) == 0
    (folder,) = out.glob("studies/shortcuts-*")
    text = (folder / "shortcuts.md").read_text()
    assert capsys.readouterr().out.startswith(text)
    assert text.startswith("# Synthetic: " + TITLE)
    assert "SYNTHETIC DATA: this tests the suite and says nothing of patients." in text
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert all("Synthetic: " in line for line in headings)
    assert "Left out (matched): synthetic-rhythm, 3 subjects, 10 needed." in text
    assert "Whether it does is not shown here; whether it could is." in text
    assert "No figure: " in text
    assert LEADS_THERE in text
    table = pd.read_csv(folder / "sites.csv")
    assert set(table["data"]) == {"synthetic"}
    assert (folder / "shortcuts-data_set.png").read_bytes()[:4] == b"\x89PNG"
    assert {"classes.csv", "site_labels.csv", "shortcuts.html"} <= {f.name for f in folder.iterdir()}


def test_activations_lie_in_the_order_of_their_segments(suite):
    folders = sorted((suite[0].context.out / "pieces" / "activations").iterdir())
    assert folders
    for folder in folders:
        found = load_activations(folder)
        assert {"rhythm", "morphology", "signal", "fused", "embedding", "components"} <= set(found)
        assert len({len(v) for v in found.values()}) == 1
        assert all(np.isfinite(v).all() for v in found.values())
