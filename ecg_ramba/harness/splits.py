"""Splits in which nobody stands on both sides: five folds on subjects, and targets cleared of the source.

Recordings with the same samples share a group even when their patient ids differ (PTB-XL has such pairs).
"""

from collections import Counter

import numpy as np
import pandas as pd

from ecg_ramba.errors import LeakageError, UserError

MIN_SUBJECTS = 5
"""A class with fewer positive subjects than this is neither stratified on, nor trained, nor scored."""


def groups_of(records: pd.DataFrame) -> np.ndarray:
    """One group number a recording: the same subject or the same samples, transitively, share a group.

    Returns
    -------
    (n,) int array
        Numbered by first appearance.
    """
    parent = np.arange(len(records))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for column in ("subject", "signal_digest"):
        first: dict[str, int] = {}
        for i, value in enumerate(records[column]):
            j = first.setdefault(value, i)
            a, b = find(i), find(j)
            parent[max(a, b)] = min(a, b)
    roots = np.array([find(i) for i in range(len(records))])
    return pd.factorize(roots)[0]


def rarest_label(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Each recording's stratum: its rarest label by count in the source, ties by class order; -1 without a label.

    Parameters
    ----------
    labels : (n, classes) bool array
        Merged labels in class order.
    groups : (n,) int array
        Labels of fewer than :data:`MIN_SUBJECTS` groups are skipped.
    """
    subjects = np.array([len(np.unique(groups[column])) for column in labels.T])
    counts = np.where(subjects >= MIN_SUBJECTS, labels.sum(0), np.iinfo(int).max)
    order = np.argsort(counts, kind="stable")
    order = order[subjects[order] >= MIN_SUBJECTS]
    stratum = np.full(len(labels), -1)
    for c in order[::-1]:
        stratum[labels[:, c]] = c
    return stratum


def make_folds(records: pd.DataFrame, labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Held-out fold (1 to ``folds``) of each recording.

    StratifiedGroupKFold (scikit-learn) on :func:`groups_of`, stratified on :func:`rarest_label`, shuffled by seed.

    Raises
    ------
    UserError
        With fewer groups than folds, or fewer recordings of every label.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    groups = groups_of(records)
    subjects = int(groups.max()) + 1 if len(groups) else 0
    if folds < 2:
        raise UserError(f"--folds {folds}: a held-out score needs at least 2 folds")
    if subjects < folds:
        raise UserError(f"{subjects} subjects cannot be split into {folds} folds; use more records or fewer --folds")
    strata = rarest_label(labels, groups)
    largest = int(np.unique(strata, return_counts=True)[1].max())
    if largest < folds:
        raise UserError(f"no label has {folds} recordings (the most frequent has {largest}); use fewer --folds")
    fold = np.zeros(len(records), dtype=np.int16)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for k, (_, held_out) in enumerate(_quiet(splitter.split(np.zeros(len(strata)), strata, groups)), start=1):
        fold[held_out] = k
    check_folds(records, fold)
    if set(fold) != set(range(1, folds + 1)):
        raise UserError(f"{subjects} subjects of very unequal size leave a fold empty; use fewer --folds")
    return fold


def _quiet(splits):
    """scikit-learn warns of strata smaller than the number of folds; here they are expected (rare diagnoses)."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        yield from splits


def check_folds(records: pd.DataFrame, fold: np.ndarray) -> None:
    """Refuse folds that share a subject or a signal.

    Raises
    ------
    LeakageError
        Naming the subject or the recordings.
    """
    for column, what in (("subject", "subject"), ("signal_digest", "signal")):
        table = pd.DataFrame({"key": records[column].to_numpy(), "fold": fold})
        spread = table.groupby("key")["fold"].nunique()
        if (spread > 1).any():
            key = spread.index[spread > 1][0]
            names = ", ".join(records["record"][(records[column] == key).to_numpy()])
            raise LeakageError(f"folds share a {what} (records {names}); the split must be made again")


def overlap_with_source(target: pd.DataFrame, source: pd.DataFrame) -> np.ndarray:
    """Which target recordings must go because their signal, identity or subject is in the source.

    A subject is compared only within one publisher and only where it is known on both sides.

    Returns
    -------
    (n_target,) bool array
    """

    def keys(table: pd.DataFrame, *columns: str) -> pd.Series:
        return table[list(columns)].astype(str).agg("\x1f".join, axis=1)

    signal = target["signal_digest"].isin(set(source["signal_digest"]))
    identity = keys(target, "publisher", "publisher_id").isin(set(keys(source, "publisher", "publisher_id")))
    known = source[source["subject_known"]]
    subject = keys(target, "publisher", "subject").isin(set(keys(known, "publisher", "subject")))
    return (signal | identity | (subject & target["subject_known"])).to_numpy()


def inner_split(records: pd.DataFrame, labels: np.ndarray, seed: int) -> np.ndarray:
    """Inner validation for choosing hyper-parameters: one fifth of a training part's subjects.

    Returns
    -------
    (n,) bool array
        True for the inner validation part.
    """
    return make_folds(records, labels, folds=5, seed=seed) == 1


def positive_subjects(labels: np.ndarray, known: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Number of groups with at least one known positive, per class."""
    return np.array([len(set(groups[y & k])) for y, k in zip(labels.T, known.T, strict=True)])


def describe(fold: np.ndarray) -> str:
    """Sizes of the folds in one line."""
    counts = Counter(int(f) for f in fold)
    return ", ".join(f"fold {k}: {counts[k]}" for k in sorted(counts))
