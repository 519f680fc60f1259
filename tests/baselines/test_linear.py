"""The joint logistic regression against scikit-learn's, class by class, and classes that cannot be learnt."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from baselines import linear
from baselines.linear import LogisticModel, fit_logistic, prevalence


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 6)).astype(np.float32)
    logits = x @ rng.normal(size=(6, 3)) + np.array([0.0, -2.0, 1.0])
    y = (rng.random((300, 3)) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    known = rng.random((300, 3)) < 0.7
    return x, y, known


@pytest.mark.parametrize("strength", [0.01, 1.0, 50.0])
def test_equals_scikit_learn_on_the_known_windows(problem, strength, monkeypatch):
    x, y, known = problem
    monkeypatch.setattr(linear, "ROWS", 77)
    weights, intercepts = fit_logistic(x, y, known, strength)
    for c in range(3):
        rows = known[:, c]
        theirs = LogisticRegression(C=strength, tol=1e-10, max_iter=5000).fit(x[rows].astype(float), y[rows, c])
        np.testing.assert_allclose(weights[:, c], theirs.coef_[0], atol=2e-4)
        np.testing.assert_allclose(intercepts[c], theirs.intercept_[0], atol=2e-4)


def test_unknown_labels_do_not_count(problem):
    x, y, known = problem
    turned = np.where(known, y, 1 - y)
    np.testing.assert_array_equal(fit_logistic(x, y, known, 1.0)[0], fit_logistic(x, turned, known, 1.0)[0])
    assert not np.allclose(fit_logistic(x, y, known, 1.0)[0], fit_logistic(x, y, np.ones_like(known), 1.0)[0])


def test_prevalence():
    y = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 0]])
    known = np.array([[True, True, False], [True, True, False], [False, True, False]])
    assert prevalence(y, known).tolist() == [0.5, 0.0, 0.5]


def test_classes_with_one_label_or_none_answer_with_their_prior(problem):
    x, y, known = problem
    y, known = y.copy(), known.copy()
    y[:, 0], y[:, 1], known[:, 2] = 0, 1, False
    model = LogisticModel(lambda windows: windows, scale="column", strength=1.0, classes=3)
    model.fit(x, y, known, seed=0)
    assert np.array_equal(model.predict_proba(x), np.tile(np.float32([0, 1, 0.5]), (300, 1)))


def test_global_scale_keeps_relative_variance(problem):
    x, y, known = problem
    x = x * np.array([10, 1, 1, 1, 1, 1], np.float32)
    deviation = {}
    for scale in ("column", "global"):
        model = LogisticModel(lambda windows: windows, scale=scale, strength=1.0, classes=3)
        model.fit(x, y, known, seed=0)
        deviation[scale] = model.state()["deviation"]
    assert np.ptp(deviation["global"]) == 0
    np.testing.assert_allclose(deviation["column"], x.std(0), rtol=1e-5)


def test_mistakes_are_refused(problem):
    x, y, known = problem
    with pytest.raises(ValueError, match="positive"):
        LogisticModel(lambda w: w, scale="column", strength=0, classes=3)
    model = LogisticModel(lambda w: w, scale="column", strength=1, classes=3)
    with pytest.raises(ValueError, match="not been fitted"):
        model.predict_proba(x)
    with pytest.raises(ValueError, match="shape"):
        model.fit(x, y[:, :2], known[:, :2], seed=0)
