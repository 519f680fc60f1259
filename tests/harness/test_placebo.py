"""Placebo streams: nobody gets their own figures, what is held out never enters a training part, labels are lost."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecg_ramba.errors import UserError
from ecg_ramba.features.rhythm import RHYTHM_NAMES
from ecg_ramba.features.standardise import RhythmTransform
from ecg_ramba.harness.checkpoint import load_fold_model
from ecg_ramba.harness.config import InputConfig, Variant
from ecg_ramba.harness.executors.local import local
from ecg_ramba.harness.features import window_source
from ecg_ramba.harness.inputs import window_table
from ecg_ramba.harness.placebo import other_subjects
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import run_suite
from ecg_ramba.harness.variants import all_variants

NOISE = InputConfig(morphology="noise")


@given(st.lists(st.integers(0, 6), min_size=2, max_size=60), st.integers(0, 99))
def test_nobody_is_given_their_own(subjects, seed):
    subject = np.array([f"s{i}" for i in subjects])
    rng = np.random.default_rng(seed)
    counts = np.unique(subject, return_counts=True)[1]
    if len(counts) < 2:
        with pytest.raises(UserError, match="one subject only"):
            other_subjects(subject, rng)
        return
    taken = other_subjects(subject, rng)
    assert (subject[taken] != subject).all()
    if counts.max() * 2 <= len(subject):
        assert sorted(taken) == list(range(len(subject))), "a permutation"


def test_noise_has_the_moments_of_principal_components(prepared_toy):
    data = prepared_toy([set()] * 400)
    table = window_table(data)
    fitted = SimpleNamespace(components=(2, 3))
    rows = table.of_records(np.arange(1, 400))
    made = window_source(data, table, rows, frozenset({"morphology"}), fitted, None, None, NOISE)
    tokens = made.windows(np.arange(len(rows)), np.zeros(len(rows), bool)).morphology
    assert tokens.shape == (len(rows), 2, 3)
    assert not tokens[:, 0, 2:].any()
    used = np.concatenate([tokens[:, 0, :2], tokens[:, 1]], axis=1)
    assert np.abs(used.mean(0)).max() < 0.07
    assert np.abs(np.cov(used.T) - np.eye(5)).max() < 0.1
    assert not made.morphology[:3].any()


@pytest.mark.parametrize("part", [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9]])
def test_figures_come_from_the_same_part_of_the_data_set(prepared_toy, part):
    data = prepared_toy([set()] * 10, subjects=[0, 0, 1, 1, 2, 2, 3, 3, 4, 4], n_segments=[2] * 10)
    table = window_table(data)
    rows = table.of_records(np.array(part))
    plain = RhythmTransform.fit(data.rhythm)
    made = window_source(data, table, rows, frozenset({"rhythm"}), None, plain, None, InputConfig(rhythm="others"))
    own = window_source(data, table, rows, frozenset({"rhythm"}), None, plain, None, InputConfig())
    at = np.unique(table.at[rows])
    record = np.repeat(np.arange(10), 2)
    subject = data.records["subject"].to_numpy()[record]
    for i in at:
        (source,) = np.flatnonzero((own.rhythm == made.rhythm[i]).all(1))
        assert subject[source] != subject[i]
        assert record[source] in part
    assert not made.rhythm_valid[np.setdiff1d(np.arange(20), at)].any()


def test_heart_rate_alone_is_one_figure(prepared_toy):
    data = prepared_toy([set()] * 4)
    table = window_table(data)
    plain = RhythmTransform.fit(data.rhythm)
    made = window_source(
        data,
        table,
        table.of_records(np.arange(4)),
        frozenset({"rhythm"}),
        None,
        plain,
        None,
        InputConfig(rhythm="rate"),
    )
    at = RHYTHM_NAMES.index("mean_hr")
    assert made.rhythm_valid.sum(0).tolist() == [4 * (i == at) for i in range(len(RHYTHM_NAMES))]
    assert np.array_equal(made.rhythm[:, at], plain.transform(data.rhythm)[0][:, at])


def test_settings_of_a_variant_are_checked(tiny):
    assert tiny.changed({"budget.loss": "bce"}).budget.loss == "bce"
    for wrong in ({"budget.colour": 1}, {"signal.colour": 1.0}, {"folds": 3}):
        with pytest.raises(UserError, match="a variant cannot set"):
            tiny.changed(wrong)
    with pytest.raises(UserError, match="is one of own, others, rate, slots, raw_slots"):
        tiny.changed({"inputs.rhythm": "none"})


PLACEBOS = {
    "others": Variant(name="others", title="x", settings={"inputs.rhythm": "others"}),
    "noise": Variant(name="noise", title="x", settings={"inputs.morphology": "noise", "budget.lead_dropout": 0.0}),
}


@pytest.fixture(scope="module")
def run_placebos(tiny, tmp_path_factory):
    """Runs the reference and two placebos on a cohort: ``run_placebos(data)`` returns (out, result)."""

    def run(data):
        out = tmp_path_factory.mktemp("placebo")
        variants = [all_variants()["ecg_ramba"], *PLACEBOS.values()]
        return out, run_suite(tiny, variants, data, out, local(1), Progress())

    return run


@pytest.fixture(scope="module")
def finished(run_placebos, cohort):
    return run_placebos(cohort)


def fold_model(out, result, name, fold):
    (cell,) = (c for c in result.cells[name] if c["fold"] == fold)
    return load_fold_model(out / "cells" / cell["key"][:24] / "model.pt")


def test_placebos_train_and_are_scored_with_placebos(finished):
    out, result = finished
    assert not result.failures
    scores = {}
    for name in ("ecg_ramba", *PLACEBOS):
        expected = {"others": {"rhythm": "others"}, "noise": {"morphology": "noise"}}.get(name, {})
        assert fold_model(out, result, name, 1).inputs == InputConfig(**expected)
        scores[name] = pd.read_parquet(result.folder / f"variants/{name}/windows.parquet")["AF"].to_numpy()
        assert np.isfinite(scores[name]).all()
    assert len({cell["key"] for cells in result.cells.values() for cell in cells}) == 6
    for name in PLACEBOS:
        assert not np.array_equal(scores[name], scores["ecg_ramba"])


@pytest.mark.slow
def test_what_is_held_out_never_enters_a_placebo_of_the_training_part(
    finished, run_placebos, cohort, tmp_path, replace_by_noise
):
    out, result = finished
    folds = json.loads((result.folder / "splits.json").read_text())["held_out_fold"]
    noisy = tmp_path / "noisy"
    shutil.copytree(cohort, noisy)
    assert replace_by_noise(noisy, lambda p: p.parent.name != "synthetic-source" or folds[p.stem] == 1) > 12
    changed_out, changed = run_placebos(noisy)
    for name in PLACEBOS:
        for fold, expected in ((1, True), (2, False)):  # fold 2 trains on what was replaced
            one = fold_model(out, result, name, fold).weights()
            other = fold_model(changed_out, changed, name, fold).weights()
            assert all(np.array_equal(one[k], other[k]) for k in one) == expected, (name, fold)
