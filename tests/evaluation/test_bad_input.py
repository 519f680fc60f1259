"""Predictions and suite files that are wrong, and leaks: a named row or a named file, never a number."""

import numpy as np
import pandas as pd
import pytest

from ecg_ramba.cli import main
from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate

QUICK = EvaluationConfig(draws=50)


def corrupt(frame, how):
    frame = frame.copy()
    if how == "nan":
        frame.loc[frame["fold"] == 1, "AF"] = np.nan
    elif how == "nan in one row":
        frame.loc[5, "AF"] = np.nan
    elif how == "above one":
        frame.loc[5, "AF"] = 1.5
    elif how == "infinite":
        frame.loc[5, "AF"] = np.inf
    elif how == "doubled":
        frame = pd.concat([frame, frame.iloc[[7]]])
    elif how == "missing record":
        frame = frame[frame["record"] != "r00003"]
    elif how == "missing fold of a window":
        drop = (frame["dataset"] == "synthetic-third") & (frame["record"] == "r00003") & (frame["fold"] == 2)
        frame = frame[~drop]
    elif how == "missing class":
        frame = frame.drop(columns="AF")
    elif how == "leak":
        at = (frame["dataset"] == "synthetic-source") & (frame["record"] == "r00003")
        frame.loc[at, "fold"] = frame.loc[at, "fold"] % 5 + 1
    elif how == "no target":
        frame = frame[frame["dataset"] != "synthetic-third"]
    return frame


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("nan", "NaN in fold 1"),
        ("nan in one row", "NaN in fold"),
        ("above one", "outside 0 to 1"),
        ("infinite", "outside 0 to 1"),
        ("doubled", "twice"),
        ("missing record", "no prediction"),
        ("missing fold of a window", "same windows"),
        ("missing class", "no column for AF"),
        ("leak", "trained on it"),
        ("no target", "no predictions for synthetic-third"),
    ],
)
def test_bad_predictions_fail_their_variant_alone(fake_suite, how, words):
    suite = fake_suite(n=40, rhythm=False)
    suite.windows["no_hrv"] = corrupt(suite.windows["no_hrv"], how)
    made = evaluate(suite.write(), QUICK)
    assert set(made.failures) == {"no_hrv"}
    assert words in made.failures["no_hrv"]
    assert "windows.parquet" in made.failures["no_hrv"]
    failed = made.summary[made.summary["variant"] == "no_hrv"]
    assert set(failed["task"]) == set(made.summary["task"])
    assert (failed["status"] == "failed").all()
    assert failed["value"].isna().all()
    assert made.summary[made.summary["variant"] == "ecg_ramba"]["value"].notna().any()


def test_a_failed_reference_leaves_scores_without_differences(fake_suite):
    suite = fake_suite(n=40, rhythm=False)
    suite.windows["ecg_ramba"] = corrupt(suite.windows["ecg_ramba"], "doubled")
    made = evaluate(suite.write(), QUICK)
    assert set(made.failures) == {"ecg_ramba", "pool_max", "pool_mean"}
    assert made.notes[0] == "The reference has no numbers in this run, so no differences are given."
    rest = made.summary[made.summary["variant"] == "no_hrv"]
    assert rest["value"].notna().any()
    assert rest["diff"].isna().all()


def test_a_variant_that_failed_in_training_is_a_row_with_its_reason(fake_suite):
    suite = fake_suite(n=40, rhythm=False)
    suite.variants[1] |= {"status": "failed", "reason": "loss became NaN", "windows": None, "parameters": None}
    made = evaluate(suite.write(), QUICK)
    assert set(made.summary[made.summary["variant"] == "no_hrv"]["reason"]) == {"loss became NaN"}


def test_truncated_predictions_fail_their_variant(fake_suite):
    suite = fake_suite(n=40, rhythm=False)
    path = suite.write() / "variants" / "no_hrv" / "windows.parquet"
    path.write_bytes(path.read_bytes()[:200])
    assert "cannot be read" in evaluate(suite.folder, QUICK).failures["no_hrv"]


def test_leaks_in_the_labels_are_refused(fake_suite):
    suite = fake_suite(n=40, rhythm=False)
    good = suite.labels.copy()
    suite.labels.loc[suite.labels["task"] == "synthetic-third", "fold"] = 1
    with pytest.raises(LeakageError, match="target task synthetic-third"):
        evaluate(suite.write(), QUICK)
    suite.labels = good
    suite.labels.loc[(good["task"] == "source") & (good["record"] == "r00000"), "subject"] = "s00001"
    with pytest.raises(LeakageError, match="two folds"):
        evaluate(suite.write(), QUICK)


def test_a_target_that_is_the_source_is_refused(fake_suite):
    suite = fake_suite(n=40, rhythm=False)
    suite.tasks[1]["dataset"] = "synthetic-source"
    with pytest.raises(UserError, match="trained on"):
        evaluate(suite.write(), QUICK)


@pytest.mark.parametrize("file", ["suite.json", "tasks.json", "variants.json", "labels.parquet"])
def test_missing_or_damaged_suite_files_are_named(fake_suite, file):
    folder = fake_suite(n=20, rhythm=False).write()
    (folder / file).write_bytes(b"{")
    with pytest.raises(UserError, match=file):
        evaluate(folder, QUICK)
    (folder / file).unlink()
    with pytest.raises(UserError, match=file):
        evaluate(folder, QUICK)


def test_a_missing_key_is_named(fake_suite):
    suite = fake_suite(n=20, rhythm=False)
    del suite.info["mapping_digest"]
    with pytest.raises(UserError, match="mapping_digest"):
        evaluate(suite.write(), QUICK)


def test_labels_given_twice_are_refused(fake_suite):
    suite = fake_suite(n=20, rhythm=False)
    suite.labels = pd.concat([suite.labels, suite.labels.iloc[[3]]])
    with pytest.raises(UserError, match="twice"):
        evaluate(suite.write(), QUICK)


def test_no_such_folder(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        evaluate(tmp_path / "nothing")


def test_a_report_is_not_replaced_when_its_predictions_are_lost(fake_suite, capsys):
    suite = fake_suite(n=40, rhythm=False)
    (suite.write() / "variants" / "no_hrv" / "windows.parquet").write_bytes(b"damaged")
    report = suite.folder / "report" / "report.md"
    report.parent.mkdir()
    report.write_text("as it was")
    assert main(["report", str(suite.folder)]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert report.read_text() == "as it was"
