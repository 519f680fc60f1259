"""Splits against brute force: nobody on two sides, whatever the subjects and copies."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.harness.splits import (
    MIN_SUBJECTS,
    check_folds,
    groups_of,
    inner_split,
    make_folds,
    overlap_with_source,
    positive_subjects,
    rarest_label,
)


def table(subjects, signals=None, publisher="p", known=True):
    n = len(subjects)
    signals = signals or [f"signal{i}" for i in range(n)]
    return pd.DataFrame(
        {
            "record": [f"r{i}" for i in range(n)],
            "subject": [str(s) for s in subjects],
            "subject_known": known,
            "signal_digest": signals,
            "publisher": publisher,
            "publisher_id": [f"id{i}" for i in range(n)],
        }
    )


def brute_force_groups(subjects, signals):
    """Connected components by repeated merging: the slow, obvious way."""
    groups = [{i} for i in range(len(subjects))]
    merged = True
    while merged:
        merged = False
        for a in range(len(groups)):
            for b in range(a + 1, len(groups)):
                same = any(subjects[i] == subjects[j] or signals[i] == signals[j] for i in groups[a] for j in groups[b])
                if same:
                    groups[a] |= groups.pop(b)
                    merged = True
                    break
            if merged:
                break
    return {frozenset(g) for g in groups}


cases = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 12)), min_size=1, max_size=25)


@given(cases)
def test_groups_equal_brute_force(rows):
    subjects, signals = [f"s{a}" for a, _ in rows], [f"d{b}" for _, b in rows]
    numbers = groups_of(table([a for a, _ in rows], signals))
    subjects = [str(a) for a, _ in rows]
    found = {frozenset(np.flatnonzero(numbers == g).tolist()) for g in set(numbers)}
    assert found == brute_force_groups(subjects, signals)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**20), st.integers(2, 5))
def test_folds_share_no_subject_and_no_signal(seed, folds):
    rng = np.random.default_rng(seed)
    n = 60
    subjects = rng.integers(0, 30, n)
    signals = [f"d{i}" for i in rng.integers(0, 50, n)]
    records = table(subjects, signals)
    if groups_of(records).max() + 1 < folds * 3:
        return
    labels = rng.random((n, 4)) < [0.5, 0.3, 0.1, 0.02]
    try:
        fold = make_folds(records, labels, folds, seed % 1000)
    except UserError:
        return
    for column in ("subject", "signal_digest"):
        assert (pd.Series(fold).groupby(records[column]).nunique() == 1).all()
    assert set(fold) == set(range(1, folds + 1))


def test_folds_are_reproducible_and_seeded():
    labels = np.random.default_rng(0).random((80, 3)) < 0.4
    records = table(range(80))
    assert (make_folds(records, labels, 5, 1) == make_folds(records, labels, 5, 1)).all()
    assert (make_folds(records, labels, 5, 1) != make_folds(records, labels, 5, 2)).any()


def test_folds_are_stratified_on_the_rarest_label():
    labels = np.zeros((100, 2), dtype=bool)
    labels[:, 0] = True
    labels[::10, 1] = True
    fold = make_folds(table(range(100)), labels, 5, 0)
    assert [int(labels[fold == k, 1].sum()) for k in range(1, 6)] == [2] * 5


def test_rarest_label_skips_labels_of_few_subjects_and_breaks_ties_by_order():
    labels = np.zeros((20, 4), dtype=bool)
    labels[:10, 0] = labels[:10, 1] = True
    labels[:15, 2] = True
    labels[: MIN_SUBJECTS - 1, 3] = True
    stratum = rarest_label(labels, np.arange(20))
    assert stratum.tolist() == [0] * 10 + [2] * 5 + [-1] * 5


def test_a_split_that_leaks_is_refused():
    records = table([0, 0, 1, 2], ["a", "b", "c", "c"])
    check_folds(records, np.array([1, 1, 2, 2]))
    with pytest.raises(LeakageError, match="subject"):
        check_folds(records, np.array([1, 2, 2, 2]))
    with pytest.raises(LeakageError, match="signal"):
        check_folds(records, np.array([1, 1, 2, 1]))


@pytest.mark.parametrize(("subjects", "folds", "message"), [(3, 5, "3 subjects"), (10, 1, "at least 2 folds")])
def test_too_few_subjects_or_folds(subjects, folds, message):
    with pytest.raises(UserError, match=message):
        make_folds(table(range(subjects)), np.ones((subjects, 1), dtype=bool), folds, 0)


def test_more_folds_than_recordings_of_any_label():
    labels = np.repeat(np.eye(3, dtype=bool), 5, axis=0)
    with pytest.raises(UserError, match="no label has 6 recordings"):
        make_folds(table(range(15)), labels, 6, 0)
    assert set(make_folds(table(range(15)), labels, 5, 0)) == {1, 2, 3, 4, 5}


def test_target_loses_signals_identities_and_subjects_of_the_source():
    source = table([1, 2], ["a", "b"])
    target = table([7, 1, 8, 9], ["a", "c", "d", "e"])
    target["publisher_id"] = ["x", "y", "id1", "z"]
    assert overlap_with_source(target, source).tolist() == [True, True, True, False]
    other = target.assign(publisher="q")
    assert overlap_with_source(other, source).tolist() == [True, False, False, False]
    unknown = target.assign(subject_known=False)
    assert overlap_with_source(unknown, source).tolist() == [True, False, True, False]


def test_inner_part_is_a_fifth_of_the_subjects_and_shares_none():
    records = table(np.repeat(np.arange(50), 2))
    labels = np.random.default_rng(0).random((100, 3)) < 0.4
    inner = inner_split(records, labels, 3)
    validation, training = set(records["subject"][inner]), set(records["subject"][~inner])
    assert not validation & training
    assert 8 <= len(validation) <= 12


def test_positive_subjects_counts_people_not_recordings():
    labels = np.array([[1], [1], [1], [0]], dtype=bool)
    known = np.array([[1], [1], [0], [1]], dtype=bool)
    assert positive_subjects(labels, known, np.array([0, 0, 1, 2])).tolist() == [1]
