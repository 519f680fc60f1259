"""Clustered McNemar against statsmodels, against the paper's variances, and under the null."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from ecg_ramba.evaluation.mcnemar import LEAST, clustered_mcnemar


def draw(rng, subjects, shared=0.0, units=4):
    """Right decisions of two equally good models; a share of them is decided by the subject."""
    subject = np.repeat(np.arange(subjects), units)
    own = rng.normal(0, 1, (2, subjects))[:, subject]
    noise = np.sqrt(shared) * own + np.sqrt(1 - shared) * rng.normal(0, 1, (2, len(subject)))
    return *(noise > -0.5), subject


def test_one_unit_a_subject_is_mcnemars_test_but_for_a_factor():
    rng = np.random.default_rng(0)
    a, b, subject = draw(rng, 300, units=1)
    table = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
    expected = mcnemar(table, exact=False, correction=False)
    made = clustered_mcnemar(a, b, subject)
    assert made.chi2 == pytest.approx(expected.statistic * 299 / 300)
    assert made.p == pytest.approx(stats.chi2.sf(expected.statistic * 299 / 300, 1))
    assert (made.subjects, made.discordant, made.better) == (300, (a ^ b).sum(), (a & ~b).sum())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_it_is_the_papers_statistic(seed):
    """Both variances and the covariance written out, with the proportions pooled under the null."""
    rng = np.random.default_rng(seed)
    a, b, subject = draw(rng, 60, 0.5)
    keep = rng.random(len(a)) < 0.7  # unequal clusters
    a, b, subject = a[keep], b[keep], subject[keep]
    _, code = np.unique(subject, return_inverse=True)
    n, x, y = (np.bincount(code, v.astype(float)) for v in (np.ones(len(a)), a, b))
    pooled, k = (x.sum() + y.sum()) / (2 * n.sum()), len(n)
    u, v = x - n * pooled, y - n * pooled
    variance = k / (k - 1) / n.sum() ** 2 * ((u**2).sum() + (v**2).sum() - 2 * (u * v).sum())
    expected = (x.sum() / n.sum() - y.sum() / n.sum()) ** 2 / variance
    assert clustered_mcnemar(a, b, subject).chi2 == pytest.approx(expected)
    assert clustered_mcnemar(b, a, subject).chi2 == pytest.approx(expected)


def test_its_size_is_right_for_clusters_and_that_of_independent_units_is_not():
    rng, clustered, independent = np.random.default_rng(1), [], []
    for _ in range(600):
        a, b, subject = draw(rng, 80, shared=0.8)
        clustered.append(clustered_mcnemar(a, b, subject).p)
        independent.append(clustered_mcnemar(a, b, np.arange(len(a))).p)
    assert 0.03 < np.mean(np.array(clustered) < 0.05) < 0.075
    assert np.mean(np.array(independent) < 0.05) > 0.12


def test_too_few_discordant_subjects_have_a_reason_and_no_p():
    a, b = np.zeros(50, bool), np.zeros(50, bool)
    a[: LEAST - 1] = True
    made = clustered_mcnemar(a, b, np.arange(50))
    assert np.isnan([made.chi2, made.p]).all()
    assert made.reason == "no McNemar test: 9 discordant subjects, 10 needed"
    a[LEAST - 1] = True
    made = clustered_mcnemar(a, b, np.arange(50))
    assert made.reason == ""
    assert made.p < 0.01
    assert "0 discordant subjects" in clustered_mcnemar(a, a, np.arange(50)).reason


def test_seeds_of_a_subject_stay_together():
    """Doubled decisions, as of two seeds that agree, change nothing."""
    a, b, subject = draw(np.random.default_rng(2), 60, 0.3)
    assert clustered_mcnemar(2 * a, 2 * b, subject).chi2 == pytest.approx(clustered_mcnemar(a, b, subject).chi2)
