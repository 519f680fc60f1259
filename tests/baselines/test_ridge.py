"""MiniRocket and ridge against scikit-learn, class by class."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from baselines.minirocket_ridge import MiniRocketRidge, MiniRocketRidgeConfig
from ecg_ramba.models import InputShape, Windows

SHAPE = InputShape(components=(5, 8), classes=4)


@pytest.fixture(scope="module")
def problem():
    """Windows with two groups of features, labels, and which are known; class 3 has one label only."""
    rng = np.random.default_rng(0)
    tokens = np.zeros((60, 2, 8), dtype=np.float32)
    tokens[:, 0, :5], tokens[:, 1] = rng.normal(size=(60, 5)), rng.normal(size=(60, 8))
    x = np.concatenate([tokens[:, 0, :5], tokens[:, 1]], axis=1)
    y = (x @ rng.normal(size=(13, 4)) + rng.normal(size=(60, 4)) > 0).astype(np.float32)
    known = np.ones((60, 4), bool)
    known[:15, 2] = False
    y[:, 3] = 0
    return Windows(leads=np.ones((60, 12), bool), morphology=tokens), x.astype(float), y, known


def fitted(windows, y, known, **config):
    model = MiniRocketRidge(MiniRocketRidgeConfig(**config), SHAPE)
    model.fit(windows, y, known, seed=3)
    return model


def test_equals_scikit_learn_class_by_class(problem):
    windows, x, y, known = problem
    p = fitted(windows, y, known).predict_proba(windows)
    z = (x - x.mean(0)) / x.std(0)
    for c in range(3):
        rows = known[:, c]
        target = np.where(y[rows, c] > 0, 1.0, -1.0)
        theirs = RidgeCV(alphas=np.logspace(-3, 3, 10)).fit(z[rows], target)
        left_out = cross_val_predict(Ridge(alpha=theirs.alpha_), z[rows], target, cv=LeaveOneOut())
        curve = LogisticRegression(C=1e3, tol=1e-10).fit(left_out[:, None], y[rows, c])
        wanted = expit(curve.coef_[0, 0] * theirs.predict(z) + curve.intercept_[0])
        np.testing.assert_allclose(p[:, c], wanted, atol=2e-3)
    assert (p[:, 3] == 0).all(), "a class with one label answers with its prior"


def test_unknown_labels_and_padding_do_not_count(problem):
    windows, _, y, known = problem
    turned = np.where(known, y, 1 - y)
    padded = windows.morphology.copy()
    padded[:, 0, 5:] = 9
    other = Windows(leads=windows.leads, morphology=padded)
    np.testing.assert_array_equal(
        fitted(windows, y, known).predict_proba(windows), fitted(other, turned, known).predict_proba(other)
    )


def test_saved_and_loaded(problem):
    windows, _, y, known = problem
    model = fitted(windows, y, known)
    other = MiniRocketRidge(MiniRocketRidgeConfig(), SHAPE)
    with pytest.raises(ValueError, match="not been fitted"):
        other.predict_proba(windows)
    other.load(model.state())
    np.testing.assert_array_equal(model.predict_proba(windows), other.predict_proba(windows))
    assert model.parameters() == (13 + 3) * 4


def test_labels_that_are_noise_do_not_turn_the_answers_round(problem):
    windows, *_ = problem
    for seed in range(5):
        y = (np.random.default_rng(seed).random((60, 4)) < 0.5).astype(np.float32)
        model = fitted(windows, y, np.ones((60, 4), bool))
        assert (model.state()["slopes"] > 0).all()
        p = model.predict_proba(windows)
        assert all(roc_auc_score(y[:, c], p[:, c]) > 0.5 for c in range(4))


def test_of_many_windows_a_part_is_used(problem):
    windows, _, y, known = problem
    part = fitted(windows, y, known, most=40)
    assert not np.allclose(part.predict_proba(windows), fitted(windows, y, known).predict_proba(windows))
    again = fitted(windows, y, known, most=40)
    np.testing.assert_array_equal(part.predict_proba(windows), again.predict_proba(windows))
