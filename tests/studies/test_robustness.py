"""Robustness: the control is the suite to the bit, stresses reach the models, differences are those by hand."""

import dataclasses
import functools
import pickle
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

import studies.__main__
import studies.running
from ecg_ramba.data.leads import LEADS
from ecg_ramba.data.registry import dataset
from ecg_ramba.data.synthetic import CohortConfig, cohort_dir
from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.intervals import Draws, widening
from ecg_ramba.evaluation.measure import Measured
from ecg_ramba.evaluation.pooling import Pooling
from ecg_ramba.evaluation.predictions import Predictions
from ecg_ramba.evaluation.tables import number
from ecg_ramba.harness.checkpoint import load_fold_model
from ecg_ramba.harness.config import Variant
from ecg_ramba.harness.executors.local import InProcess, local
from ecg_ramba.harness.predict import predict_record
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import run_suite
from ecg_ramba.harness.variants import all_variants
from ecg_ramba.nn.backends import resolve
from ecg_ramba.render import markdown, write_document
from ecg_ramba.shared.places import shared_folder
from ecg_ramba.signal import SignalConfig
from studies.robustness import rows as robustness_rows
from studies.robustness import study as robustness
from studies.robustness.data import Part, Recording, stressed_data
from studies.robustness.figures import against_snr, heat_map
from studies.robustness.plan import choose_recordings, plan
from studies.robustness.rows import FLIPPED, LABEL_FREE, MOVED, SHIFT, label_free
from studies.robustness.scores import assess
from studies.robustness.stresses import CONTROL, STRESSES, choose_stresses, stressed
from studies.robustness.study import piece_facts, run_study
from studies.robustness.text import STEM, sections
from studies.robustness.units import restricted, scored_units
from studies.robustness.windows import Reader

RHYTHM, THIRD = "synthetic-rhythm", "synthetic-third"
NAMES = ("ecg_ramba", "pool_max", "hrv_logistic", "class_prior")
CHOSEN = choose_stresses(["white-5db", "lead-V1", "leads-limb", "arms-swapped", "shift-0.5s", "first-5s"])
KEYS = ["dataset", "record", "segment", "start", "fold", "seed"]


def nothing(done, total):
    pass


@pytest.fixture(scope="module")
def finished(run_tiny, tmp_path_factory):
    """A tiny suite and its evaluation."""
    out = tmp_path_factory.mktemp("robustness")
    result = run_tiny(out, NAMES)
    return result, evaluate(result.folder)


@pytest.fixture(scope="module")
def found(finished, cohort):
    """The study of the tiny suite: all recordings, all segments."""
    result, evaluation = finished
    study = plan(result, evaluation, cohort, 0, 0)
    failures = run_study(study, CHOSEN, local(1), Progress())
    assert not failures
    return assess(study, evaluation, result.variants, CHOSEN, failures, nothing)


def rows_of(found, **of):
    table = found.table
    for column, value in of.items():
        table = table[table[column] == value]
    return table


def row_of(found, **of):
    (row,) = rows_of(found, **of).to_dict("records")
    return row


def test_the_identity_stress_changes_no_prediction(finished, found):
    result, evaluation = finished
    for name in ("ecg_ramba", "hrv_logistic", "class_prior"):
        stored = pd.read_parquet(result.folder / "variants" / name / "windows.parquet")
        for data in (RHYTHM, THIRD):
            own = pd.read_parquet(found.study.piece((data, CONTROL), name) / "windows.parquet")
            expected = stored[stored["dataset"] == data].reset_index(drop=True)
            pd.testing.assert_frame_equal(own, expected, check_exact=True)
    assert set(found.control["variant"]) == {"ecg_ramba", "hrv_logistic", "class_prior"}
    assert (found.control["differ"] == 0).all()
    assert (found.control["predictions"] > 0).all()
    own = rows_of(found, stress=CONTROL)
    assert (own["diff"].dropna() == 0).all()
    for task in (f"{RHYTHM}-window", f"{RHYTHM}-record", THIRD):
        for row in rows_of(found, stress=CONTROL, task=task, metric="roc_auc").to_dict("records"):
            same = evaluation.per_class
            same = same[(same["task"] == task) & (same["variant"] == row["variant"]) & (same["metric"] == "roc_auc")]
            same = same[(same["cls"] == row["cls"]) & (same["estimate"] == "ensemble of fold models")]
            if len(same):
                assert row["clean"] == same["value"].item()
        full = evaluation.contexts[task]
        again = restricted(evaluation, full, np.ones(len(full.units), bool))
        assert (again.draws.counts == full.draws.counts).all(), "the evaluation's own draws"
        assert again.head == full.head


def test_another_stress_does_change_them(found):
    for stress in CHOSEN[1:]:
        place = (THIRD, stress.name)
        paths = [found.study.piece(p, "ecg_ramba") / "windows.parquet" for p in (place, (THIRD, CONTROL))]
        a, b = (pd.read_parquet(p).set_index(KEYS)["LBBB"] for p in paths)
        assert (a != b.loc[a.index]).mean() > 0.9, stress.name


def test_stressed_predictions_are_those_of_the_recordings_by_themselves(finished, found, cohort):
    """Read, stressed and predicted one at a time by what predicts single recordings."""
    result, _ = finished
    cells = result.cells["ecg_ramba"]
    models = [load_fold_model(result.context.out / "cells" / c["key"][:24] / "model.pt") for c in cells]
    part = found.study.parts[THIRD]
    for name in ("white-5db", "first-5s", "arms-swapped"):
        frame = pd.read_parquet(found.study.piece((THIRD, name), "ecg_ramba") / "windows.parquet")
        mean = frame.groupby(["record", "start"])["LBBB"].mean()
        for recording in part.recordings[:3]:
            record = stressed(STRESSES[name], dataset(THIRD).read(part.folder / recording.file), 0)
            alone = predict_record(models, record).classes.set_index("class").loc["LBBB", "probability"]
            q = Pooling().q
            pooled = np.mean(mean[recording.name].to_numpy(float) ** q) ** (1 / q)
            assert pooled == pytest.approx(alone, abs=1e-5)


def test_differences_are_those_by_hand(finished, found):
    """Clean, stressed and paired differences against scikit-learn on windows pooled by hand."""
    _, evaluation = finished
    context = evaluation.contexts[THIRD]
    k = [s.name for s in context.task.scores].index("TInv")
    y = dict(zip(context.units.record, context.units.positive[:, k], strict=True))
    pooled, probability = {}, {}
    for stress in (CONTROL, "white-5db"):
        for variant in ("ecg_ramba", "hrv_logistic"):
            frame = pd.read_parquet(found.study.piece((THIRD, stress), variant) / "windows.parquet")
            mean = frame.groupby(["record", "start"])["TInv"].mean().unstack()
            score = ((mean.astype(float) ** 3).mean(axis=1) ** (1 / 3)).round(9)
            truth = score.index.map(y).to_numpy(bool)
            pooled[variant, stress] = roc_auc_score(truth, score), average_precision_score(truth, score)
            probability[variant, stress] = score
    for i, metric in enumerate(("roc_auc", "average_precision")):
        of = {"task": THIRD, "stress": "white-5db", "cls": "TInv", "metric": metric}
        own, base = (row_of(found, variant=v, **of) for v in ("hrv_logistic", "ecg_ramba"))
        for variant, row in (("hrv_logistic", own), ("ecg_ramba", base)):
            assert row["clean"] == pytest.approx(pooled[variant, CONTROL][i], abs=1e-9)
            assert row["stressed"] == pytest.approx(pooled[variant, "white-5db"][i], abs=1e-9)
            assert row["diff"] == pytest.approx(row["stressed"] - row["clean"])
        assert own["excess"] == pytest.approx(own["diff"] - base["diff"])
        assert np.isnan(base["excess"]), "the reference has no difference from itself"


def test_what_needs_no_labels_is_that_by_hand(finished, found):
    _, evaluation = finished
    task = f"{RHYTHM}-window"
    context = evaluation.contexts[task]
    score = {}
    for stress in (CONTROL, "white-5db"):
        frame = pd.read_parquet(found.study.piece((RHYTHM, stress), "ecg_ramba") / "windows.parquet")
        each = frame.groupby(["record", "segment", "start"])[["AF", "AFL"]].mean().max(axis=1)
        pooled = (each.astype(float) ** 3).groupby(["record", "segment"]).mean() ** (1 / 3)
        score[stress] = pooled.loc[list(zip(context.units.record, context.units.segment, strict=True))].to_numpy()
    change = score["white-5db"] - score[CONTROL]
    flips = (score["white-5db"] >= 0.5) != (score[CONTROL] >= 0.5)
    of = {"task": task, "stress": "white-5db", "variant": "ecg_ramba"}
    for metric, expected in ((SHIFT, change.mean()), (MOVED, np.abs(change).mean()), (FLIPPED, flips.mean())):
        assert row_of(found, metric=metric, **of)["diff"] == pytest.approx(expected, abs=1e-7)
    assert row_of(found, metric=MOVED, **of)["diff"] > 0


def test_leads_that_are_taken_away_reach_the_models(found, cohort):
    study, part = found.study, found.study.parts[THIRD]

    def data(name, part, folder):
        folder.mkdir()
        return stressed_data(part, STRESSES[name], SignalConfig(), study.base_seed, folder)

    folder = cohort.parent / "scratch"
    folder.mkdir()
    only, refused = data("lead-V1", part, folder / "a")
    assert not refused
    assert (only.leads == (np.array(LEADS) == "V1")).all()
    assert not only.segments[:, np.array(LEADS) != "V1"].any()
    assert np.isnan(only.rhythm).all(), "heart-rate variability is read from leads I and II"
    clean, _ = data(CONTROL, part, folder / "b")
    np.testing.assert_array_equal(only.segments[:, 6], clean.segments[:, 6])
    limb, _ = data("leads-limb", part, folder / "c")
    assert (limb.leads == (np.arange(12) < 6)).all()
    np.testing.assert_array_equal(limb.segments[:, :6], clean.segments[:, :6])
    swapped, _ = data("arms-swapped", found.study.parts[RHYTHM], folder / "d")
    two, _ = data(CONTROL, found.study.parts[RHYTHM], folder / "e")
    assert (swapped.leads == (np.arange(12) < 6)).all(), "the others follow from I and II"
    np.testing.assert_allclose(swapped.segments[:, 0], -two.segments[:, 0], atol=1e-4)
    swapped, _ = data("arms-swapped", part, folder / "g")
    for new, old in ((1, 2), (2, 1), (3, 4), (4, 3), (5, 5), (6, 6), (11, 11)):
        np.testing.assert_array_equal(swapped.segments[:, new], clean.segments[:, old])
    none, refused = data("leads-limb", found.study.parts[RHYTHM], folder / "f")
    assert len(none.records) == len(none.segments) == 0
    assert {r["cause"] for r in refused} == {"it has no lead besides I to aVF"}
    shutil.rmtree(folder)


def test_a_recording_does_not_depend_on_the_others(found, tmp_path):
    part = found.study.parts[THIRD]
    one = dataclasses.replace(part, recordings=part.recordings[4:5])
    made = []
    for name, of in (("all", part), ("one", one)):
        (tmp_path / name).mkdir()
        made.append(stressed_data(of, STRESSES["white-5db"], SignalConfig(), 0, tmp_path / name)[0])
    every, alone = made
    at = int(every.records["first_segment"].iloc[4])
    np.testing.assert_array_equal(alone.segments[0], every.segments[at])
    np.testing.assert_array_equal(alone.rhythm[0], every.rhythm[at])


def test_what_does_not_apply_is_a_row_with_its_reason(found):
    for stress, why in (("lead-V1", "it has no lead V1"), ("leads-limb", "it has no lead besides I to aVF")):
        rows = rows_of(found, dataset=RHYTHM, stress=stress)
        assert set(rows["variant"]) == set(NAMES)
        assert set(rows["status"]) == {"left out"}
        assert set(rows["reason"]) == {f"{why} (6 recordings)"}
        assert rows["diff"].isna().all()
    rows = rows_of(found, task=f"{RHYTHM}-record", stress="first-5s")
    assert rows["reason"].str.contains("its label need not hold of a part").all()
    assert rows_of(found, task=f"{RHYTHM}-window", stress="first-5s")["diff"].notna().any()


def test_pooling_variants_pool_the_stressed_windows(found):
    of = {"task": THIRD, "stress": "white-5db", "metric": "roc_auc", "cls": "QAb"}
    rows = [row_of(found, variant=v, **of) for v in ("ecg_ramba", "pool_max")]
    assert all(np.isfinite(r["diff"]) for r in rows)
    assert rows_of(found, variant="pool_max")["title"].iloc[0] == "maximum pooling"
    free = [
        row_of(found, task=THIRD, stress="white-5db", metric=SHIFT, variant=v)["diff"]
        for v in ("ecg_ramba", "pool_max")
    ]
    assert free[0] != free[1]


@pytest.mark.drawn
def test_figures_say_what_they_show(finished, found):
    """Every number of the heat map is in it, bold where its interval leaves zero out; a line a model and noise."""
    _, evaluation = finished
    rows = rows_of(found, task=THIRD, metric="roc_auc")
    rows = rows[rows["cls"].isin(["macro", ""])]
    figure = heat_map(evaluation, rows, "what stresses do")
    assert "SYNTHETIC DATA" in figure.get_suptitle()
    axis = figure.axes[0]
    shown = [s for s in dict.fromkeys(rows["stress"]) if s != CONTROL]
    assert [t.get_text() for t in axis.get_yticklabels()] == [STRESSES[s].title for s in shown]
    cells = {t.get_position(): t for t in axis.texts}
    assert len(cells) == len(shown) * len(NAMES)
    for j, variant in enumerate(dict.fromkeys(rows["variant"])):
        for i, stress in enumerate(shown):
            row = row_of(SimpleNamespace(table=rows), variant=variant, stress=stress)
            assert cells[j, i].get_text() == number(row["diff"], sign=True)
            assert (cells[j, i].get_fontweight() == "bold") == (row["lo"] > 0 or row["hi"] < 0)
    noise = against_snr(evaluation, rows, "noise")
    (panel,) = (a for a in noise.axes if a.get_visible())
    assert panel.get_title() == "white noise"
    lines = {line.get_label(): line.get_ydata() for line in panel.lines}
    assert set(lines) == set(rows["title"])
    row = row_of(SimpleNamespace(table=rows), variant="hrv_logistic", stress="white-5db")
    np.testing.assert_allclose(lines[row["title"]], [row["clean"], row["stressed"]])


def test_a_task_that_no_stress_applies_to_says_so(found):
    table = found.table[found.table["stress"].isin([CONTROL, "lead-V1"]) & (found.table["dataset"] == RHYTHM)]
    said = markdown("title", "", sections(dataclasses.replace(found, table=table)))
    assert f"{RHYTHM}-window, AF|AFL: no figure. It has no lead V1 (6 recordings)." in said
    assert "![" not in said


def test_nothing_is_done_twice_and_a_damaged_piece_is_made_again_bit_for_bit(found, monkeypatch):
    study, place = found.study, (THIRD, "white-5db")
    asked = []
    original = robustness.prediction_frame
    monkeypatch.setattr(robustness, "prediction_frame", lambda *a: asked.append(a) or original(*a))
    assert run_study(study, CHOSEN, local(1), Progress()) == {}
    assert not asked
    piece = study.piece(place, "ecg_ramba") / "windows.parquet"
    before = piece.read_bytes()
    piece.write_bytes(before[:-50])
    assert run_study(study, CHOSEN, local(1), Progress()) == {}
    assert len(asked) == 2, "the two folds of one variant"
    pd.testing.assert_frame_equal(pd.read_parquet(piece), _frame(before, piece.parent), check_exact=True)
    assert not list((study.out / "robustness").glob(".stress-*"))


def _frame(content, folder):
    path = folder.parent / "before.parquet"
    path.write_bytes(content)
    frame = pd.read_parquet(path)
    path.unlink()
    return frame


def test_pieces_are_kept_under_all_that_decides_them(found):
    study, place = found.study, (THIRD, "white-5db")
    key = study.piece(place, "ecg_ramba")
    part = study.parts[THIRD]
    others = [
        study.piece((THIRD, "first-5s"), "ecg_ramba"),
        study.piece((RHYTHM, "white-5db"), "ecg_ramba"),
        study.piece(place, "hrv_logistic"),
        dataclasses.replace(study, base_seed=1).piece(place, "ecg_ramba"),
    ]
    for changed in (
        dataclasses.replace(part, segments=1),
        dataclasses.replace(part, recordings=part.recordings[1:]),
        dataclasses.replace(
            part, recordings=(dataclasses.replace(part.recordings[0], digest="x"), *part.recordings[1:])
        ),
    ):
        others.append(dataclasses.replace(study, parts={THIRD: changed}).piece(place, "ecg_ramba"))
    assert len({key, *others}) == 8
    moved = dataclasses.replace(study, parts={THIRD: dataclasses.replace(part, folder=part.folder / "elsewhere")})
    assert moved.piece(place, "ecg_ramba") == key


def test_a_model_whose_features_fail_is_a_row_with_its_reason(finished, found, cohort, monkeypatch, tmp_path):
    result, evaluation = finished
    from ecg_ramba.harness import features

    def broken(*_):
        raise MemoryError("no room for kernels")

    chosen = choose_stresses(["mains50"])[:2]
    monkeypatch.setattr(features, "morphology_columns", broken)
    failures = run_study(found.study, chosen, local(1), Progress())
    assert failures == {(d, "mains50-20db"): {"ecg_ramba": "MemoryError: no room for kernels"} for d in (RHYTHM, THIRD)}
    made = assess(found.study, evaluation, result.variants, chosen, failures, nothing)
    failed = rows_of(made, stress="mains50-20db", variant="ecg_ramba")
    assert set(failed["status"]) == {"failed"}
    assert set(failed["reason"]) == {"MemoryError: no room for kernels"}
    assert set(rows_of(made, stress="mains50-20db", variant="pool_max")["status"]) == {"failed"}
    others = rows_of(made, stress="mains50-20db", variant="class_prior")
    assert (others["status"] == "ok").all()
    assert others["excess"].isna().all(), "without the reference there is nothing to differ from"
    files = write_document("title", "", sections(made), tmp_path, STEM)
    assert "MemoryError: no room for kernels" in files[0].read_text()
    monkeypatch.undo()
    assert run_study(found.study, chosen, local(1), Progress()) == {}, "the same command again does what is missing"


def test_a_control_that_differs_takes_the_numbers_away(finished, found, monkeypatch):
    """As of a model that reads the recordings beside a recording."""
    result, evaluation = finished
    original = Reader._piece

    def shifted(self, place, name):
        p = original(self, place, name)
        if place == (THIRD, CONTROL) and name == "hrv_logistic":
            p = Predictions(**{**p.__dict__, "probability": p.probability * np.float32(0.99)})
        return p

    monkeypatch.setattr(Reader, "_piece", shifted)
    made = assess(found.study, evaluation, result.variants, CHOSEN[:2], {}, nothing)
    (row,) = made.control[made.control["status"] == "failed"].to_dict("records")
    assert (row["dataset"], row["variant"]) == (THIRD, "hrv_logistic")
    assert "the control changes its predictions by up to" in row["reason"]
    failed = rows_of(made, dataset=THIRD, variant="hrv_logistic")
    assert set(failed["status"]) == {"failed"}
    assert failed["diff"].isna().all()
    assert rows_of(made, dataset=RHYTHM, variant="hrv_logistic")["diff"].notna().any()


def test_a_file_that_has_changed_since_is_refused(found, cohort, tmp_path):
    part = found.study.parts[THIRD]
    stale = dataclasses.replace(part, recordings=(dataclasses.replace(part.recordings[0], digest="other"),))
    with pytest.raises(UserError, match=r"SYNT00001\.hea has changed since the suite was run"):
        stressed_data(stale, STRESSES[CONTROL], SignalConfig(), 0, tmp_path)


def test_a_view_has_its_own_path_and_an_ensemble_its_members(tiny, cohort, tmp_path):
    """Millivolts feel a gain that z-scores do not; the mean is of stressed members."""
    prior = all_variants()["hrv_logistic"]
    views = [
        dataclasses.replace(prior, name="ecg_ramba"),
        Variant(name="mv", title="mV", model="minirocket_linear", settings={"signal.normalise": "none"}),
        Variant(name="z", title="z", model="minirocket_linear"),
        Variant(name="mean", title="mean", mean_of=("mv", "z")),
    ]
    config = dataclasses.replace(tiny, targets=(THIRD,))
    result = run_suite(config, views, cohort, tmp_path, local(1), Progress())
    evaluation = evaluate(result.folder)
    study = plan(result, evaluation, cohort)
    chosen = choose_stresses(["gain-1.2"])
    failures = run_study(study, chosen, local(1), Progress())
    made = assess(study, evaluation, views, chosen, failures, nothing)
    assert not failures
    assert (made.control["differ"] == 0).all()
    moved = {
        v: row_of(made, stress="gain-1.2", metric=MOVED, variant=v)["diff"] for v in ("ecg_ramba", "mv", "z", "mean")
    }
    assert moved["mv"] > 1e-3
    assert moved["z"] < 1e-5
    assert moved["ecg_ramba"] < 1e-9
    assert 0 < moved["mean"] < moved["mv"]


def fake(task, n, positive, known=None, segment=None, unit="record", name="toy", subject=None, macro=("A", "B")):
    units = SimpleNamespace(
        record=np.array([f"r{i}" for i in n], object),
        segment=np.full(len(n), -1) if segment is None else np.array(segment),
        subject=subject,
        positive=np.array(positive, bool),
        known=np.ones_like(positive, bool) if known is None else np.array(known, bool),
    )
    made = SimpleNamespace(dataset=name, unit=unit, macro=macro, scores=[SimpleNamespace(name=c) for c in macro])
    return {task: SimpleNamespace(task=made, units=units, head=SimpleNamespace(classes=()))}


def test_recordings_are_drawn_so_that_classes_have_positives_and_negatives():
    rng, n = np.random.default_rng(0), 3000
    positive = np.stack([rng.random(n) < 0.01, rng.random(n) < 0.97], axis=1)
    evaluation = SimpleNamespace(contexts=fake("toy", range(n), positive))
    subjects = [f"s{i % 400}" for i in range(n)]
    records = pd.DataFrame({"record": [f"r{i}" for i in range(n)], "subject": subjects, "n_segments": 1})
    rows = choose_recordings(evaluation, "toy", records, 80, 6, 0)
    assert len(rows) == len(set(rows)) == 80
    assert (np.diff(rows) > 0).all()
    support = np.array([positive[rows].sum(0), (~positive[rows]).sum(0)])
    assert support.min() >= min(20, positive[:, 0].sum())
    assert np.array_equal(choose_recordings(evaluation, "toy", records, 80, 6, 0), rows)
    assert not np.array_equal(choose_recordings(evaluation, "toy", records, 80, 6, 1), rows)
    plain = positive[rng.permutation(n)[:80]]
    assert plain[:, 0].sum() < 5, "what a draw without labels would give"
    assert np.array_equal(choose_recordings(evaluation, "toy", records, 0, 6, 0), np.arange(n))
    assert np.array_equal(choose_recordings(evaluation, "toy", records[:50], 80, 6, 0), np.arange(50))
    everyone = SimpleNamespace(contexts=fake("toy", range(n), np.zeros((n, 2))))
    drawn = choose_recordings(everyone, "toy", records, 300, 6, 0)
    assert len({subjects[i] for i in drawn}) == 300, "every subject once before any a second time"


def test_only_what_will_be_scored_counts_for_the_draw():
    n = 60
    late = fake("w", np.repeat(range(n), 2), [[i % 2 == 1] for i in range(2 * n)], segment=np.tile([0, 9], n),
                unit="segment", macro=("A",))  # fmt: skip
    records = pd.DataFrame({"record": [f"r{i}" for i in range(n)], "subject": range(n), "n_segments": 10})
    columns = robustness_strata(late, records, 6)
    assert not columns[:, 0].any(), "positives beyond the segments that are predicted"
    assert columns[:, 1].all()
    whole = fake("r", range(n), [[True]] * n, macro=("A",))
    assert not robustness_strata(whole, records, 6).any()
    assert robustness_strata(whole, records, 0)[:, 0].all()


def robustness_strata(contexts, records, segments):
    from studies.robustness.plan import _strata

    return _strata(SimpleNamespace(contexts=contexts), "toy", records, segments)


def windows_of(pairs):
    record, segment = zip(*pairs, strict=True)
    n = len(pairs)
    return Predictions(
        ("A",), np.array(record, object), np.array(segment), np.zeros(n, int), None, (1,), np.zeros((1, 1, n, 1))
    )


def test_units_that_can_be_scored_by_hand():
    whole = fake("r", range(3), [[1]] * 3, macro=("A",))["r"]
    recordings = [Recording(f"r{i}", "", "", n, tail) for i, (n, tail) in enumerate([(1, 0.0), (3, 0.0), (2, 4.0)])]
    seen = windows_of([("r0", 0), ("r0", 0), ("r1", 0), ("r1", 1), ("r2", 0), ("r2", 1)])
    assert scored_units(whole, seen, recordings, 0).tolist() == [True, False, True]
    # r1: 0 and 1 alike, 2 another label, so that 1 takes in what is unlike, and so does 2 from the beginning
    labels = [1, 1, 1, 0, 1, 1]
    segments = fake(
        "w", [0, 1, 1, 1, 2, 2], [[x] for x in labels], segment=[0, 0, 1, 2, 0, 1], unit="segment", macro=("A",)
    )
    seen = windows_of([("r0", 0), ("r1", 0), ("r1", 1), ("r1", 2), ("r2", 0), ("r2", 1)])
    assert scored_units(segments["w"], seen, recordings, 0).all()
    moved = scored_units(segments["w"], seen, recordings, 0.5)
    assert moved.tolist() == [True, True, False, False, True, False], "r2's last takes in a tail that has no label"
    part = windows_of([("r0", 0), ("r1", 0)])
    assert scored_units(segments["w"], part, recordings, 0.5).tolist() == [True, True, False, False, False, False]


def test_label_free_intervals_are_those_of_resampled_subjects():
    rng, n = np.random.default_rng(0), 60
    subject = rng.integers(0, 20, n)
    _, subject = np.unique(subject, return_inverse=True)
    size = subject.max() + 1
    draws = Draws.of(("t",), np.full(size, -1), 3, 50, 0)
    task = SimpleNamespace(scores=[SimpleNamespace(name=c) for c in "ABC"], macro=("A", "B", "C"))
    head = SimpleNamespace(classes=("A", "C"))
    context = SimpleNamespace(
        task=task, head=head, draws=draws, units=SimpleNamespace(subject=subject, subjects=np.arange(size))
    )
    clean, now = rng.random((2, 3, n, 3))
    clean[:, :, 2] = now[:, :, 2] = np.nan  # no model was trained on C
    found = label_free(context, clean, now, EvaluationConfig())
    change = now[:, :, 0] - clean[:, :, 0]
    flips = (now[:, :, 0] >= 0.5) != (clean[:, :, 0] >= 0.5)
    for metric, each in zip(LABEL_FREE, (change, np.abs(change), flips.astype(float)), strict=True):
        value, drawn = found[metric]
        assert value == pytest.approx(each.mean())
        for d in range(0, 50, 7):
            rows = np.repeat(np.arange(n), draws.counts[subject, d])
            expected = (each[:, rows].mean(axis=1) * draws.seeds[:, d]).sum()
            wide = value + widening(size, 0.95) * (expected - value)
            assert drawn[d] == pytest.approx(max(wide, -1 if metric == SHIFT else 0), rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "said"), [(0.1, "helps"), (-0.1, "hurts"), (0.0, "equivalent"), (0.015, "not decidable")]
)
def test_a_verdict_says_whether_what_the_reference_has_makes_it_robust(finished, monkeypatch, loss, said):
    """The reference loses 0.01; the variant, which lacks something, loses ``loss`` more."""
    _, evaluation = finished
    rng = np.random.default_rng(0)
    context = evaluation.contexts[THIRD]
    key, noise = (context.estimate, "roc_auc"), lambda: rng.normal(0, 0.004, 2000)

    def measured(value):
        return {"LBBB": Measured({key: value}, {key: value + noise()})}

    monkeypatch.setattr(robustness_rows, "no_interval", lambda *_: "")
    reference = robustness_rows.Found(measured(0.9), measured(0.89), {})
    variant = robustness_rows.Found(measured(0.8), measured(0.79 - loss), {})
    three = SimpleNamespace(suite=SimpleNamespace(n_seeds=3), config=evaluation.config)
    asked = ({"support": "protocol"}, ("LBBB",), ("roc_auc",), variant, reference)
    (row,) = robustness_rows._metric_rows(three, context, *asked)
    assert row["verdict"] == said
    assert row["excess"] == pytest.approx(-loss, abs=1e-9)
    one = SimpleNamespace(suite=SimpleNamespace(n_seeds=1), config=evaluation.config)
    assert robustness_rows._metric_rows(one, context, *asked)[0]["verdict"] == ""


def test_a_study_can_be_sent_to_workers(found):
    again = pickle.loads(pickle.dumps(found.study))
    assert again == found.study
    assert again.piece((THIRD, "white-5db"), "ecg_ramba") == found.study.piece((THIRD, "white-5db"), "ecg_ramba")


def test_the_command_says_synthetic_what_was_left_out_and_goes_on(finished, cohort, tiny, monkeypatch, capsys):
    result, _ = finished
    out = result.context.out  # cells that are there already are not run again
    original, logged = studies.running.suite_config, []
    monkeypatch.setattr(
        studies.running,
        "suite_config",
        lambda o: dataclasses.replace(original(o), budget=tiny.budget, features=tiny.features),
    )
    monkeypatch.setattr(studies.running, "check_tracking", lambda uri: None)
    report = lambda evaluation, folder, *_: [folder / "suite.json"] * 2  # noqa: E731  the suite's own report is not looked at
    monkeypatch.setattr(studies.running, "write_report", report)
    monkeypatch.setattr(
        studies.running, "log_suite", lambda result, evaluation, files, *_: logged.extend(files) or "logged"
    )
    argv = ["robustness", "--only", "hrv_logistic", "--stress", "white-5db", "lead-V1", "shift-0.5s"]
    argv += ["--records", "5", "--segments", "2"]
    argv += ["--data", str(cohort), "--source", "synthetic-source", "--target", RHYTHM, THIRD, "--folds", "2"]
    argv += ["--workers", "1", "--out", str(out)]
    assert studies.__main__.main(argv) == 0
    (folder,) = out.glob("studies/robustness-*")
    text = (folder / "robustness.md").read_text()
    assert capsys.readouterr().out.startswith(text)
    assert text.startswith("# Synthetic: ")
    assert "SYNTHETIC DATA: this tests the suite and says nothing of patients." in text
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings
    assert all(line.startswith("## Synthetic: ") for line in headings)
    assert "5 of 12 recordings of synthetic-third" in text
    assert "of 5 of them the first 2 segments of 10 s alone" in text
    assert "prevalence is not that of the data set" in text
    assert "A recording of which a part was predicted is left out of tasks that score whole recordings." in text
    assert "Single training run: how far another would move them is in no interval" in text
    assert "Control: the identity stress changes" in text
    assert "no recording was predicted as a whole" in text
    table = pd.read_csv(folder / "robustness.csv")
    assert set(table["data"]) == {"synthetic"}
    assert set(table["stress"]) == {CONTROL, "white-5db", "lead-V1", "shift-0.5s"}
    assert table["verdict"].isna().all()
    names = {f.name for f in folder.iterdir()}
    assert {"robustness.html", "control.csv", f"noise-{RHYTHM}-window-AF_AFL.png"} <= names
    assert {f.name for f in logged} >= {"robustness.md", "robustness.csv", "suite.json"}
    control = pd.read_csv(folder / "control.csv")
    assert (control["largest"] <= control["allowed"]).all()
    assert set(control["status"]) == {"ok"}


def test_a_study_without_targets_is_refused(finished):
    result, evaluation = finished
    alone = dataclasses.replace(evaluation, contexts={n: c for n, c in evaluation.contexts.items() if c.task.source})
    with pytest.raises(UserError, match="no target of this suite is scored"):
        plan(result, alone, None)


def test_a_part_lists_its_recordings_in_the_suites_order(finished, cohort):
    result, evaluation = finished
    study = plan(result, evaluation, cohort, 0, 0)
    assert [r.name for r in study.parts[THIRD].recordings] == result.context.targets[1].records["record"].tolist()
    assert isinstance(study.parts[THIRD], Part)


class AnotherMachine:
    """Runs jobs in this process, as on a machine with a cache of its own, which sees nothing of the driver's."""

    workers = cores = here = 1
    apart = True

    def __init__(self, driver, own, monkeypatch):
        self.driver, self.own, self.monkeypatch = driver, own, monkeypatch
        monkeypatch.setenv("ECG_RAMBA_CACHE", str(driver))

    def run(self, function, shared, jobs, threads=1, gpu=False):
        sent = pickle.dumps((function, shared, list(jobs)))
        hidden = self.driver.rename(self.driver.with_name("hidden"))
        with self.monkeypatch.context() as there:
            there.setenv("ECG_RAMBA_CACHE", str(self.own))
            outcomes = list(InProcess().run(*pickle.loads(sent)))
        hidden.rename(self.driver)
        yield from outcomes


def test_machines_that_share_a_url_alone_fetch_the_synthetic_cohort(tiny, tmp_path, monkeypatch):
    small = functools.partial(cohort_dir, config=CohortConfig(source=24, third=12, subjects=3))
    monkeypatch.setattr("ecg_ramba.harness.contexts.cohort_dir", small)
    monkeypatch.setattr("studies.robustness.plan.cohort_dir", small)
    resolve("auto", "cpu")  # built in the user's own cache, once
    away = AnotherMachine(tmp_path / "driver", tmp_path / "node", monkeypatch)
    out = shared_folder(f"file://{tmp_path}/bucket/runs")
    variants = [all_variants()["hrv_logistic"]]
    config = dataclasses.replace(tiny, targets=(THIRD,))
    result = run_suite(config, variants, None, out, away, Progress())
    study = plan(result, evaluate(result.folder), None, 4, 0)
    assert run_study(study, CHOSEN[:2], away, Progress()) == {}
    assert list((tmp_path / "node").rglob("synthetic_cohort.json"))
    for stress in CHOSEN[:2]:
        assert piece_facts(study, (THIRD, stress.name), "hrv_logistic")["windows"] > 0
