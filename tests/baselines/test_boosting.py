"""The stored trees give scikit-learn's own probabilities, missing figures included."""

from dataclasses import replace

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from baselines.hrv_boosting import HrvBoosting, HrvBoostingConfig, rhythm_with_gaps
from ecg_ramba.models import InputShape, Windows


def windows(n, seed):
    rng = np.random.default_rng(seed)
    return Windows(
        leads=np.ones((n, 12), bool),
        rhythm=rng.normal(size=(n, 5)).astype(np.float32),
        rhythm_valid=rng.random((n, 5)) < 0.8,
    )


def test_probabilities_are_those_of_scikit_learn():
    train, test = windows(300, 0), windows(200, 1)
    rng = np.random.default_rng(2)
    y = np.stack([train.rhythm[:, 0] * train.rhythm[:, 1] > 0, rng.random(300) < 0.3, np.zeros(300)], 1).astype(float)
    known = np.ones((300, 3), bool)
    known[:100, 1] = False
    config = HrvBoostingConfig(trees=30, leaves=7)
    model = HrvBoosting(config, InputShape(rhythm=5, classes=3))
    model.fit(train, y, known, 0)
    p = model.predict_proba(test)
    for c in range(2):
        own = HistGradientBoostingClassifier(
            max_iter=30, learning_rate=0.1, max_leaf_nodes=7, min_samples_leaf=10, early_stopping=False, random_state=0
        ).fit(rhythm_with_gaps(train)[known[:, c]], y[known[:, c], c])
        assert np.abs(own.predict_proba(rhythm_with_gaps(test))[:, 1] - p[:, c]).max() < 1e-6
    assert (p[:, 2] == 0).all(), "a class with one label only answers with its prior"
    seen = (p[:, 0] > 0.5) == (test.rhythm[:, 0] * test.rhythm[:, 1] > 0)
    whole = test.rhythm_valid[:, :2].all(1)
    assert seen[whole].mean() > 0.75, "a product of two figures, which no linear model finds"


def test_what_is_not_measurable_is_not_seen():
    data = windows(80, 3)
    y = (data.rhythm[:, :1] > 0).astype(float)
    model = HrvBoosting(HrvBoostingConfig(trees=10), InputShape(rhythm=5, classes=1))
    model.fit(data, y, np.ones((80, 1), bool), 0)
    other = replace(data, rhythm=np.where(data.rhythm_valid, data.rhythm, 99.0).astype(np.float32))
    assert np.array_equal(model.predict_proba(other), model.predict_proba(data))


def test_a_figure_that_no_training_window_has_is_left_alone():
    data = windows(80, 4)
    valid = data.rhythm_valid.copy()
    valid[:, 2] = False
    lacking = replace(data, rhythm_valid=valid)
    y = (data.rhythm[:, :1] > 0).astype(float)
    model = HrvBoosting(HrvBoostingConfig(trees=10), InputShape(rhythm=5, classes=1))
    model.fit(lacking, y, np.ones((80, 1), bool), 0)
    assert np.array_equal(model.predict_proba(data), model.predict_proba(lacking))
