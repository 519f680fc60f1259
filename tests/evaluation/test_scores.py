"""Unit scores against loops over records, and the order of ensemble, class operation and pooling."""

import numpy as np
import pytest

from ecg_ramba.evaluation.pooling import Pooling
from ecg_ramba.evaluation.predictions import read_predictions
from ecg_ramba.evaluation.scores import class_scores, nan_mean, unit_scores
from ecg_ramba.evaluation.suite import Score, read_suite
from ecg_ramba.evaluation.units import task_units


def load(suite, task_name, rule, variant="ecg_ramba", allowed=frozenset()):
    read = read_suite(suite.folder)
    task = next(t for t in read.tasks if t.name == task_name)
    units = task_units(read, task)
    held_out = dict(zip(units.record, units.fold, strict=True)) if task.source else None
    path = f"variants/{variant}/windows.parquet"
    predictions = read_predictions(read, path, task.dataset, held_out, allowed)
    return task, units, unit_scores(predictions, task, units, rule, path)


def power(values, q):
    return float(np.mean(np.asarray(values, float) ** q) ** (1 / q))


def test_class_operations():
    p = np.array([[0.2, 0.7, np.nan], [np.nan, np.nan, np.nan]])
    made = class_scores(p, ("a", "b", "c"), (Score("x", "max", ("a", "b")), Score("y", "1-max", ("b", "c"))))
    assert made[0] == pytest.approx([0.7, 0.3])
    assert np.isnan(made[1]).all()


def test_nan_mean_warns_of_nothing_and_skips_nan(recwarn):
    assert np.array_equal(nan_mean(np.array([[1.0, np.nan], [3.0, np.nan]])), [2.0, np.nan], equal_nan=True)
    assert not len(recwarn)


def test_source_scores_by_hand(fake_suite):
    suite = fake_suite(n=20)
    suite.write()
    _, units, scores = load(suite, "source", Pooling(q=3))
    frame = suite.windows["ecg_ramba"]
    frame = frame[frame["dataset"] == "synthetic-source"]
    for i, record in enumerate(units.record):
        rows = frame[frame["record"] == record]
        assert scores.headline[0, i, 0] == round(power(rows["AF"], 3), 9)
        either = rows[["AF", "AFL"]].max(axis=1)
        assert scores.headline[0, i, -1] == pytest.approx(power(either, 3), abs=1e-9)


def test_target_scores_by_hand(fake_suite):
    """Mean over fold models per class, then the class operation per window, then one pooling."""
    suite = fake_suite(n=20)
    suite.write()
    task, units, scores = load(suite, "synthetic-third-superclass", Pooling(rule="mean"))
    frame = suite.windows["ecg_ramba"]
    frame = frame[frame["dataset"] == "synthetic-third"]
    names = [s.name for s in task.scores]
    for i, record in enumerate(units.record):
        rows = frame[frame["record"] == record]
        window = rows.groupby("start")[["LBBB", "IAVB"]].mean().max(axis=1)
        assert scores.headline[0, i, names.index("CD")] == pytest.approx(window.mean(), abs=1e-7)
        assert scores.headline[0, i, names.index("NORM*")] == pytest.approx(1 - window.mean(), abs=1e-7)
        own = rows[rows["fold"] == 2][["LBBB", "IAVB"]].max(axis=1).mean()
        assert scores.folds[0, 1, i, names.index("CD")] == pytest.approx(own, abs=1e-7)


def test_segments_hold_their_own_windows_and_records_all(fake_suite):
    suite = fake_suite(n=20)
    suite.write()
    frame = suite.windows["ecg_ramba"]
    frame = frame[frame["dataset"] == "synthetic-rhythm"]
    mean = frame.groupby(["record", "segment", "start"])[["AF", "AFL"]].mean().max(axis=1)
    for name in ("synthetic-rhythm-window", "synthetic-rhythm-record"):
        _, units, scores = load(suite, name, Pooling(rule="max"))
        for i in range(len(units)):
            key = (units.record[i], units.segment[i]) if units.segment[i] >= 0 else units.record[i]
            assert scores.headline[0, i, 0] == pytest.approx(mean.loc[key].max(), abs=1e-7)


def test_untrained_folds_are_left_out_of_the_ensemble(fake_suite):
    suite = fake_suite(n=20)
    frame = suite.windows["ecg_ramba"]
    frame.loc[frame["fold"] == 3, "AF"] = np.nan
    suite.write()
    _, units, scores = load(suite, "synthetic-third", Pooling(rule="mean"), allowed={(3, "AF")})
    rows = frame[(frame["dataset"] == "synthetic-third") & (frame["record"] == units.record[4])]
    expected = rows[rows["fold"] != 3].groupby("start")["AF"].mean().mean()
    assert scores.headline[0, 4, 0] == pytest.approx(expected, abs=1e-7)
    assert np.isnan(scores.folds[0, 2, :, 0]).all()
    assert np.isfinite(scores.folds[0, 2, :, -1]).all(), "AF|AFL falls back on AFL"


def test_row_order_does_not_matter(fake_suite):
    suite = fake_suite(n=20)
    suite.write()
    before = load(suite, "synthetic-third", Pooling())[2]
    suite.windows["ecg_ramba"] = suite.windows["ecg_ramba"].sample(frac=1, random_state=0)
    suite.labels = suite.labels.sample(frac=1, random_state=1)
    suite.write()
    after = load(suite, "synthetic-third", Pooling())[2]
    assert np.array_equal(before.headline, after.headline)
    assert np.array_equal(before.folds, after.folds)
