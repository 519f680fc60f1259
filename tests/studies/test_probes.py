"""Probes are scikit-learn's, similarities those of the definitions, permutations and splits move subjects whole."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from studies.probes.cross_validation import ClassScores, CrossValidated, grouped_split
from studies.probes.linear import ALPHAS, CLIP, STRENGTH, Design, balanced, combined_p, other_subjects_rows, p_value
from studies.representation.similarity import cka, gram, hsic


def drawn(n, d, seed=0):
    """Columns of unlike scales, the first of which the label depends on; weights that differ."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * rng.uniform(0.1, 30, d) + rng.normal(0, 50, d)
    return rng, x, rng.uniform(0.2, 3, n)


def scaled(x):
    return np.clip((x - x.mean(0)) / x.std(0), -CLIP, CLIP)


@pytest.mark.parametrize("shape", [(60, 7), (30, 200)], ids=["units", "columns"])
@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_probe_is_scikit_learns_with_or_without_the_smaller_basis(shape, classes):
    rng, x, weight = drawn(*shape)
    y = (x[:, 0] > np.quantile(x[:, 0], 0.4)).astype(int) + (classes == 3) * (rng.random(shape[0]) > 0.6)
    design = Design.of(x)
    assert (design.basis is not None) == (shape[1] > shape[0])
    found = design.logistic(y, weight)
    direct = LogisticRegression(C=STRENGTH, tol=1e-10, max_iter=20_000)
    direct.fit(scaled(x), y, sample_weight=weight / weight.mean())
    other = x + rng.normal(size=x.shape)
    expected = direct.decision_function(np.clip((other - x.mean(0)) / x.std(0), -CLIP, CLIP)).reshape(shape[0], -1)
    np.testing.assert_allclose(found(other), expected, atol=2e-3)
    assert found.converged
    assert np.abs(expected).max() > 0.1, "else anything would agree"


def test_only_the_proportions_of_weights_count_and_rows_are_those_units_alone():
    _, x, weight = drawn(50, 6)
    y = (x[:, 1] > np.median(x[:, 1])).astype(int)
    design, rows = Design.of(x), np.arange(5, 45)
    a, b = design.logistic(y, weight), design.logistic(y, 7 * weight)
    np.testing.assert_allclose(a.weight, b.weight, atol=1e-6)
    some = design.logistic(y[rows], weight[rows], rows)
    direct = LogisticRegression(C=STRENGTH, tol=1e-10, max_iter=20_000)
    direct.fit(scaled(x)[rows], y[rows], sample_weight=weight[rows] / weight[rows].mean())
    np.testing.assert_allclose(some.weight[:, 0], direct.coef_[0], atol=1e-3)


@pytest.mark.parametrize("shape", [(60, 7), (30, 200)], ids=["units", "columns"])
def test_ridge_probe_is_scikit_learns(shape):
    rng, x, _ = drawn(*shape)
    y = 300 + x[:, 0] + rng.normal(0, 0.1, shape[0])
    found, direct = Design.of(x).ridge(y), RidgeCV(ALPHAS).fit(scaled(x), y)
    np.testing.assert_allclose(found(x)[:, 0], direct.predict(scaled(x)), rtol=1e-6)


def test_missing_values_and_constant_columns_say_nothing():
    _, x, weight = drawn(40, 5)
    y = (x[:, 0] > np.median(x[:, 0])).astype(int)
    x[:, 4] = 3.0
    holes = x.copy()
    holes[::7, 2] = np.nan
    found = Design.of(holes).logistic(y, weight)
    assert found.scale[4] == 0
    assert found.weight[4, 0] == 0
    np.testing.assert_allclose(found.mean[2], np.nanmean(holes[:, 2]))
    filled = holes.copy()
    filled[::7, 2] = found.mean[2]
    np.testing.assert_allclose(found(holes), found(filled), rtol=1e-12)
    other = holes.copy()
    other[:, 4] = 1e9
    np.testing.assert_array_equal(found(other), found(holes), "what was constant in training is not looked at")


def test_a_fit_sees_its_own_units_only():
    rng, x, _ = drawn(60, 8)
    y, subject = rng.integers(0, 3, 60), np.arange(60) // 2
    part = grouped_split(y, subject, 5, 0)
    before = CrossValidated(x, part).fits(y, balanced)
    for k in before:
        noisy = x.copy()
        noisy[part == k] = rng.normal(0, 1e3, (np.sum(part == k), 8))
        after = CrossValidated(noisy, part).fits(y, balanced)
        for name in ("mean", "scale", "weight", "intercept"):
            np.testing.assert_array_equal(getattr(before[k], name), getattr(after[k], name))
            others = [j for j in before if j != k]
            assert any((getattr(before[j], name) != getattr(after[j], name)).any() for j in others), name


def test_parts_share_no_subject_and_every_unit_is_predicted_once():
    rng = np.random.default_rng(0)
    subject = rng.integers(0, 25, 80)
    y = subject % 3
    part = grouped_split(y, subject, 5, 1)
    assert set(part) == set(range(5))
    assert all(len(set(part[subject == s])) == 1 for s in set(subject))
    x = np.eye(3)[y] + rng.normal(0, 0.1, (80, 3))
    p = CrossValidated(x, part).probabilities(y, balanced, 3)
    np.testing.assert_allclose(p.sum(1), 1)
    assert balanced_accuracy_score(y, p.argmax(1)) == 1.0


def test_a_planted_signal_is_found_and_noise_is_not():
    rng = np.random.default_rng(3)
    y, subject = np.arange(120) % 2, np.arange(120)
    part = grouped_split(y, subject, 5, 0)
    noise = rng.normal(size=(120, 20))
    scores = {}
    for name, x in (("noise", noise), ("planted", noise + 2.0 * y[:, None] * (np.arange(20) == 7))):
        validated = CrossValidated(x, part)
        observed = roc_auc_score(y, validated.probabilities(y, balanced, 2)[:, 1])
        permuted = []
        for i in range(40):
            other = y[other_subjects_rows(subject, np.random.default_rng(i))]
            permuted.append(roc_auc_score(other, validated.probabilities(other, balanced, 2)[:, 1]))
        scores[name] = observed, np.mean(permuted), p_value(observed, np.array(permuted))
    assert scores["planted"][0] > 0.85
    assert scores["planted"][2] == pytest.approx(1 / 41)
    assert scores["noise"][2] > 0.05
    assert all(abs(s[1] - 0.5) < 0.06 for s in scores.values())
    others = [CrossValidated(rng.normal(size=(120, 20)), part).probabilities(y, balanced, 2)[:, 1] for _ in range(12)]
    assert abs(np.mean([roc_auc_score(y, p) for p in others]) - 0.5) < 0.06


def test_class_scores_are_scikit_learns_under_any_weights():
    rng = np.random.default_rng(0)
    y, cluster = rng.integers(0, 3, 90), rng.integers(0, 30, 90)
    p = np.round(rng.dirichlet(np.ones(3), 90) + 0.3 * np.eye(3)[y], 1)
    p /= p.sum(1, keepdims=True)
    own, counts = rng.uniform(0.5, 2, 90), rng.integers(0, 3, (30, 6)).astype(np.float32)
    right, auc = ClassScores(y, p, cluster, 30, own)(counts)
    for d in range(6):
        w = counts[cluster, d] * own
        assert right[d] == pytest.approx(balanced_accuracy_score(y, p.argmax(1), sample_weight=w))
        each = [roc_auc_score(y == k, p[:, k], sample_weight=w) for k in range(3)]
        assert auc[d] == pytest.approx(np.mean(each), abs=1e-6)
    plain = ClassScores(y, p, cluster, 30)()
    assert plain[0][0] == pytest.approx(balanced_accuracy_score(y, p.argmax(1)))
    part = np.arange(90) % 4
    part[y == 2] %= 3  # one part without a class
    by_part = [
        np.mean([roc_auc_score(y[at] == k, p[at, k], sample_weight=own[at]) for k in range(3)])
        for at in (np.flatnonzero(part == i) for i in range(3))
    ]
    assert ClassScores(y, p, cluster, 30, own, part)()[1][0] == pytest.approx(np.mean(by_part))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 8), min_size=1, max_size=40), st.integers(0, 100))
def test_permuted_labels_move_with_their_subject(subjects, seed):
    subject = np.array(subjects)
    rows = other_subjects_rows(subject, np.random.default_rng(seed))
    donors = {}
    for s in set(subjects):
        own = np.flatnonzero(subject == s)
        came = set(subject[rows[own]])
        assert len(came) == 1, "all labels of a subject come from one"
        donors[s] = came.pop()
        donor = np.flatnonzero(subject == donors[s])
        np.testing.assert_array_equal(rows[own], donor[np.arange(len(own)) % len(donor)])
    assert sorted(donors.values()) == sorted(set(subjects)), "every subject gives its labels once"
    within = subject % 2
    held = other_subjects_rows(subject, np.random.default_rng(seed), within)
    np.testing.assert_array_equal(subject[held] % 2, within)


def test_permutations_differ():
    rows = {tuple(other_subjects_rows(np.arange(12), np.random.default_rng(i))) for i in range(20)}
    assert len(rows) == 20


def test_p_values_by_hand():
    assert p_value(0.9, np.array([0.1, 0.9, 0.95, np.nan])) == pytest.approx(3 / 4)
    assert p_value(0.9, np.full(99, 0.5)) == pytest.approx(0.01)
    assert np.isnan(p_value(0.9, np.zeros(0)))
    assert np.isnan(p_value(np.nan, np.full(9, 0.5)))
    assert combined_p([0.01, 0.03]) == pytest.approx(0.04)
    assert combined_p([0.9, 0.8]) == 1.0
    assert np.isnan(combined_p([np.nan]))


def test_every_class_counts_alike():
    y = np.array([0, 0, 0, 1, 2, 2])
    np.testing.assert_allclose([balanced(y)[y == k].sum() for k in range(3)], 1)


def test_a_probe_of_nothing_is_exactly_at_chance_whatever_the_parts():
    y, subject = np.repeat([0, 1], [13, 29]), np.arange(42)
    p = CrossValidated(np.ones((42, 2)), grouped_split(y, subject, 5, 0)).probabilities(y, balanced, 2)
    assert [v[0] for v in ClassScores(y, p, subject, 42)()] == [0.5, 0.5]


def by_definition(k, l, w):
    """Unbiased HSIC as the mean over all ordered tuples of different units, each with the product of its weights."""
    means = []
    for size, term in ((2, lambda i, j: k[i, j] * l[i, j]),
                       (3, lambda i, j, q: k[i, j] * l[i, q]),
                       (4, lambda i, j, q, r: k[i, j] * l[q, r])):  # fmt: skip
        of = list(permutations(range(len(k)), size))
        weights = [np.prod(w[list(t)]) for t in of]
        means.append(np.dot(weights, [term(*t) for t in of]) / np.sum(weights))
    return means[0] - 2 * means[1] + means[2]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 7))
def test_hsic_is_that_of_the_definition_under_any_weights(seed, n):
    rng = np.random.default_rng(seed)
    k, l = (gram(rng.normal(size=(n, d))) for d in (3, 5))
    weights = rng.integers(0, 3, (n, 5)).astype(float)
    weights[:, 0] = 1
    found = hsic(k, l, weights)
    for d in range(5):
        if (weights[:, d] > 0).sum() < 4:
            assert np.isnan(found[d])
        else:
            assert found[d] == pytest.approx(by_definition(k, l, weights[:, d]), abs=1e-9)
    assert hsic(k, l)[0] == pytest.approx(found[0])


def test_hsic_without_weights_is_song_and_others_equation_5():
    rng = np.random.default_rng(0)
    k, l = gram(rng.normal(size=(20, 4))), gram(rng.normal(size=(20, 3)))
    n, one = 20, np.ones(20)
    expected = np.trace(k @ l) + one @ k @ one * (one @ l @ one) / ((n - 1) * (n - 2))
    expected = (expected - 2 / (n - 2) * (one @ k @ l @ one)) / (n * (n - 3))
    assert hsic(k, l)[0] == pytest.approx(expected, rel=1e-9)


def test_cka_is_1_under_rotation_and_scale_and_0_on_average_for_unrelated_streams():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 6))
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    assert cka(x, 5 * x @ rotation + 3)[0] == pytest.approx(1)
    wide = [cka(rng.normal(size=(12, 64)), rng.normal(size=(12, 64)))[0] for _ in range(200)]
    plain = []
    for _ in range(20):  # the biased one: centred Gram matrices as they are
        a, b = (rng.normal(size=(12, 64)) for _ in range(2))
        a, b = (m - m.mean(0) for m in (a, b))
        plain.append(np.sum((a @ a.T) * (b @ b.T)) / np.linalg.norm(a @ a.T) / np.linalg.norm(b @ b.T))
    assert abs(np.mean(wide)) < 0.05
    assert np.mean(plain) > 0.5, "which is why it is debiased"
    assert np.isnan(cka(x, np.ones((40, 2)))[0])


def test_a_bootstrap_draw_does_not_make_streams_alike():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(40, 8)), rng.normal(size=(40, 8))
    counts = np.stack([np.bincount(rng.integers(0, 40, 40), minlength=40) for _ in range(300)], axis=1)
    assert abs(cka(x, y, counts).mean() - cka(x, y)[0]) < 0.05
    at = np.repeat(np.arange(40), counts[:, 0])
    assert cka(x[at], y[at])[0] > cka(x, y, counts[:, :1])[0] + 0.1, "copies that meet do"
