"""Placebo streams: nobody gets their own figures, what is held out never enters a training part, labels are lost."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecg_ramba.errors import UserError
from ecg_ramba.features.transform import RhythmTransform
from ecg_ramba.harness.checkpoint import load_fold_model
from ecg_ramba.harness.config import InputConfig, Variant
from ecg_ramba.harness.features import window_source
from ecg_ramba.harness.inputs import window_table
from ecg_ramba.harness.placebo import noise_tokens, other_subjects


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


def test_noise_has_the_moments_of_principal_components():
    tokens = noise_tokens(4000, (2, 3), np.random.default_rng(0))
    assert tokens.shape == (4000, 2, 3)
    assert not tokens[:, 0, 2:].any()
    used = np.concatenate([tokens[:, 0, :2], tokens[:, 1]], axis=1)
    assert np.abs(used.mean(0)).max() < 0.07
    assert np.abs(np.cov(used.T) - np.eye(5)).max() < 0.1


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


def test_settings_of_a_variant_are_checked(tiny):
    assert tiny.changed({"budget.loss": "bce"}).budget.loss == "bce"
    for wrong in ({"budget.colour": 1}, {"signal.low": 1.0}, {"folds": 3}):
        with pytest.raises(UserError, match="a variant cannot set"):
            tiny.changed(wrong)
    with pytest.raises(UserError, match="is own or others"):
        tiny.changed({"inputs.rhythm": "none"})


def test_placebos_train_and_are_scored_with_placebos(run_tiny, tmp_path, monkeypatch):
    import tests.conftest as shared

    known = shared.all_variants()
    extra = {
        "others": Variant(name="others", title="x", settings={"inputs.rhythm": "others"}),
        "noise": Variant(name="noise", title="x", settings={"inputs.morphology": "noise", "budget.lead_dropout": 0.0}),
    }
    monkeypatch.setattr(shared, "all_variants", lambda: known | extra)
    result = run_tiny(tmp_path, ("ecg_ramba", "others", "noise"))
    assert not result.failures
    scores = {}
    for name in ("ecg_ramba", "others", "noise"):
        path = tmp_path / "cells" / result.cells[name][0]["key"][:24] / "model.pt"
        model = load_fold_model(path)
        assert model.inputs == InputConfig(**{
            "others": {"rhythm": "others"}, "noise": {"morphology": "noise"},
        }.get(name, {}))  # fmt: skip
        scores[name] = pd.read_parquet(result.folder / f"variants/{name}/windows.parquet")["AF"].to_numpy()
        assert np.isfinite(scores[name]).all()
    assert len({cell["key"] for cells in result.cells.values() for cell in cells}) == 6
    assert not np.array_equal(scores["others"], scores["ecg_ramba"])
    assert not np.array_equal(scores["noise"], scores["ecg_ramba"])
