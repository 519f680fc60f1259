import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from ecg_ramba.features import components
from ecg_ramba.features.components import GroupedMoments, allocate

GROUPS = (slice(0, 20), slice(20, 26), slice(26, 60))


@pytest.fixture(scope="module")
def rows():
    """Correlated proportions between 0 and 1 (synthetic)."""
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(150, 60)) @ rng.normal(size=(60, 60)) * 0.2
    return (1 / (1 + np.exp(-mixed))).astype(np.float32)


def fitted(rows, batch=40):
    moments = GroupedMoments(GROUPS, rows.shape[1], len(rows))
    for i in range(0, len(rows), batch):
        moments.add(rows[i : i + batch])
    return moments


def test_equals_sklearns_whitened_pca_up_to_sign(rows):
    number = (4, 2, 7)
    moments = fitted(rows)
    np.testing.assert_allclose(moments.mean, rows.astype(float).mean(axis=0), atol=1e-12)
    basis = moments.components(number)
    assert basis.shape == (60, 7)
    for group, k in zip(GROUPS, number, strict=True):
        theirs = PCA(k, whiten=True, svd_solver="full").fit_transform(rows[:, group].astype(float))
        theirs *= np.sqrt(len(rows) / (len(rows) - 1))  # sklearn divides by n - 1
        ours = (rows[:, group] - moments.mean[group]) @ basis[group]
        np.testing.assert_allclose(np.abs(ours[:, :k]), np.abs(theirs), atol=2e-4)
        assert not ours[:, k:].any()
        largest = np.abs(basis[group, :k]).argmax(axis=0)
        assert (basis[group, :k][largest, np.arange(k)] > 0).all()


def test_components_are_of_unit_variance_and_uncorrelated(rows):
    moments = fitted(rows)
    basis = moments.components((4, 2, 7))
    for group, k in zip(GROUPS, (4, 2, 7), strict=True):
        tokens = (rows[:, group] - moments.mean[group]) @ basis[group, :k]
        np.testing.assert_allclose(np.cov(tokens.T, ddof=0), np.eye(k), atol=1e-4)


def test_batches_do_not_matter(rows):
    small, whole = (fitted(rows, batch).components((3, 3, 3)) for batch in (7, 150))
    np.testing.assert_allclose(small, whole, atol=1e-5)


def test_few_components_of_a_large_group_are_the_same_without_the_whole_decomposition(rows, monkeypatch):
    whole = fitted(rows).components((2, 1, 3))
    monkeypatch.setattr(components, "LARGE_GROUP", 20)
    few = fitted(rows).components((2, 1, 3))
    np.testing.assert_allclose(few, whole, atol=1e-5)
    assert np.array_equal(few, fitted(rows).components((2, 1, 3))), "the same bits again"


def test_beyond_the_rank_there_is_nothing(rows):
    basis = fitted(rows[:4]).components((6, 6, 6))
    for group in GROUPS:
        assert (np.abs(basis[group]).sum(axis=0) > 0).tolist() == [True] * 3 + [False] * 3
    constant = fitted(np.full((5, 60), 0.25, dtype=np.float32)).components((1, 1, 1))
    assert not constant.any()


@given(
    sizes=st.lists(st.integers(1, 1300), min_size=1, max_size=30), total=st.integers(0, 4000), cap=st.integers(1, 2000)
)
def test_allocation_is_proportional_complete_and_never_empty(sizes, total, cap):
    sizes = np.array(sizes)
    limit = np.minimum(sizes, cap)
    given = allocate(sizes, total, limit)
    assert (given >= 1).all()
    assert (given <= limit).all()
    assert given.sum() == min(max(total, len(sizes)), limit.sum())
    if total <= limit.sum() and (limit == sizes).all() and (sizes / sizes.sum() * total >= 1).all():
        assert (np.abs(given - sizes / sizes.sum() * total) < 1 + 1e-9).all()
