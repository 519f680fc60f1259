"""Predictions from elsewhere: held to the same windows, folds and values as everybody's."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.harness.executors.local import local
from ecg_ramba.harness.external import external_variants, read_external
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import run_suite
from ecg_ramba.harness.variants import all_variants

KEYS = ["dataset", "record", "segment", "start", "fold", "seed"]


@pytest.fixture(scope="module")
def run(tiny, cohort, tmp_path_factory):
    """Runs one cheap variant and models from elsewhere: ``run(variants)``."""
    out = tmp_path_factory.mktemp("external")
    suite = dataclasses.replace(tiny, targets=("synthetic-third",))

    def go(*variants):
        return run_suite(suite, [all_variants()["hrv_logistic"], *variants], cohort, out, local(1), Progress())

    return go


@pytest.fixture(scope="module")
def windows(run):
    """What the cheap variant predicted, and the run's classes."""
    result = run()
    return pd.read_parquet(result.folder / "variants/hrv_logistic/windows.parquet"), result.context.truth.space.classes


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_the_same_predictions_give_the_same_scores(run, windows, tmp_path, form):
    frame, _ = windows
    path = tmp_path / f"mine.{form}"
    mine = frame.sample(frac=1, random_state=0).dropna(axis=1, how="all")
    mine.to_csv(path, index=False) if form == "csv" else mine.to_parquet(path)
    result = run(*external_variants([f"mine={path}"]))
    summary = evaluate(result.folder).summary
    value = {v: summary[summary["variant"] == v]["value"].to_numpy() for v in ("mine", "hrv_logistic")}
    assert np.isfinite(value["mine"]).any()
    np.testing.assert_allclose(value["mine"], value["hrv_logistic"], atol=1e-6)


def test_a_file_that_changes_is_another_run(run, windows, tmp_path):
    frame, _ = windows
    path = tmp_path / "mine.parquet"
    frame.to_parquet(path)
    first = run(*external_variants([f"mine={path}"])).folder
    frame.assign(AF=frame["AF"].where(frame["AF"].isna(), 0.5)).to_parquet(path)
    assert run(*external_variants([f"mine={path}"])).folder != first


def damaged(frame, how):
    frame = frame.copy()
    if how == "missing record":
        return frame[frame["record"] != frame["record"].iloc[-1]]
    if how == "missing window":
        return frame.iloc[1:]
    if how == "doubled":
        return pd.concat([frame, frame.iloc[:1]])
    if how == "no fold":
        return frame.drop(columns="fold")
    if how == "no class":
        return frame.drop(columns="AF")
    if how == "too large":
        frame.loc[frame["AF"].first_valid_index(), "AF"] = 1.5
    if how == "a gap":
        frame.loc[frame["AF"].first_valid_index(), "AF"] = np.nan
    if how == "another fold":
        home = frame["dataset"] == "synthetic-source"
        frame.loc[home, "fold"] = 3 - frame.loc[home, "fold"]
    return frame


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("missing record", UserError, "windows are missing, the first of synthetic-third record"),
        ("missing window", UserError, "1 of .* windows are missing"),
        ("doubled", UserError, "has a window twice"),
        ("no fold", UserError, "lacks the columns fold"),
        ("no class", UserError, "lacks the columns AF"),
        ("too large", UserError, "no probabilities"),
        ("a gap", UserError, "no probabilities"),
        ("another fold", LeakageError, "must be predicted by fold"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_and_is_its_row(run, windows, tmp_path, how, error, message):
    frame, classes = windows
    path = tmp_path / "mine.parquet"
    damaged(frame, how).to_parquet(path)
    with pytest.raises(error, match=message):
        read_external(path, frame, classes)
    if how == "another fold":
        found = evaluate(run(*external_variants([f"mine={path}"])).folder)
        assert "must be predicted by fold" in found.failures["mine"]


def test_names_and_files(tmp_path):
    (tmp_path / "a.csv").write_text("")
    for text, message in (("mine", "write NAME=FILE"), ("mine=nowhere.csv", "is not there")):
        with pytest.raises(UserError, match=message):
            external_variants([text])
    with pytest.raises(UserError, match="given twice"):
        external_variants([f"a={tmp_path}/a.csv", f"a={tmp_path}/a.csv"])
    with pytest.raises(UserError, match="cannot be read"):
        read_external(tmp_path / "a.csv", pd.DataFrame(), ())
