"""ROC-AUC, average precision, threshold metrics, Brier and calibration error under many weightings at once.

Weights come by *cluster* (subject): column d of an (n_clusters, D) matrix says how often each subject was drawn in
bootstrap draw d. A metric is prepared once for its scores and then applied to all columns as sparse matrix products,
so 2,000 draws cost about as much as a few sorts. Ties are exact: equal scores of a positive and a negative count one
half in the ROC-AUC, and enter the average precision together.
"""

import numpy as np
from scipy.sparse import csr_array


def cumulate(rows: np.ndarray) -> np.ndarray:
    """Running sum down the rows, in place (row additions are contiguous, which ``np.cumsum(axis=0)`` is not)."""
    for i in range(1, len(rows)):
        np.add(rows[i], rows[i - 1], out=rows[i])
    return rows


class Ranking:
    """ROC-AUC and average precision of one set of scores, ready to be weighted.

    Parameters
    ----------
    positive : (n,) bool array
        True labels.
    score : (n,) array
        Finite scores; higher means more likely positive.
    cluster : (n,) int array, optional
        Row of the weight matrix each unit belongs to; by default its own.
    n_clusters : int, optional
        Rows of the weight matrix.
    weight : (n,) array, optional
        Weight of a unit within its cluster; by default 1.
    """

    def __init__(self, positive, score, cluster=None, n_clusters=None, weight=None):
        positive = np.asarray(positive, bool)
        score = np.asarray(score)
        self.cluster = np.arange(len(score)) if cluster is None else np.asarray(cluster)
        self.n_clusters = int(n_clusters or (self.cluster.max() + 1 if len(score) else 0))
        self.weight = np.ones(len(score)) if weight is None else np.asarray(weight, np.float64)
        steps = np.unique(score[positive])
        self.groups = n = len(steps)
        # Groups are the distinct scores of positives, best first: rows 0 to n-1. Negatives fall into n+1 bins, rows n
        # to 2n: bin g lies below group g-1 and not below group g. Negatives that tie with a group have a row of their
        # own besides, after those.
        bins = n - np.searchsorted(steps, score, side="right")
        self.row = np.where(positive, bins, n + bins)
        tied = ~positive & (bins < n)
        tied[tied] = steps[n - 1 - bins[tied]] == score[tied]
        self.tied = np.flatnonzero(tied)
        self.tied_groups, self.tied_row = np.unique(bins[tied], return_inverse=True)

    def __call__(self, weights: np.ndarray | None = None, precision: bool = True) -> tuple[np.ndarray, ...]:
        """ROC-AUC and average precision for each column of ``weights``.

        Parameters
        ----------
        weights : (n_clusters, D) float array, optional
            float32 keeps whole-number weights exact up to 2^24 and is what draws use; by default one column of ones.
        precision : bool
            Without it only the ROC-AUC is computed.

        Returns
        -------
        roc_auc, average_precision : (D,) float64 arrays
            NaN where the weights leave no positive or no negative.
        """
        n = self.groups
        sums = self._sums(weights)
        columns = sums.shape[1]
        if n == 0:
            return (np.full(columns, np.nan),) * (1 + precision)
        positive, above, tied = sums[:n], cumulate(sums[n : 2 * n + 1]), sums[2 * n + 1 :]
        n_positive, n_negative = positive.sum(0, dtype=np.float64), above[-1].astype(np.float64)
        above = above[:-1]  # negatives scored at least as high as the group
        pairs = n_positive * n_negative
        wins = pairs - np.einsum("gd,gd->d", positive, above)
        if len(tied):
            wins += 0.5 * np.einsum("gd,gd->d", positive[self.tied_groups], tied)
        auc = np.divide(wins, pairs, out=np.full(columns, np.nan), where=pairs > 0)
        if not precision:
            return (auc,)
        tp = cumulate(positive.copy())
        above += tp
        np.divide(tp, above, out=tp, where=above > 0)
        found = np.einsum("gd,gd->d", positive, tp)
        return auc, np.divide(found, n_positive, out=np.full(columns, np.nan), where=pairs > 0)

    def _sums(self, weights: np.ndarray | None) -> np.ndarray:
        """Summed weights of each row (groups, bins, ties) -> (2 n + 1 + ties, D)."""
        row = np.concatenate([self.row, 2 * self.groups + 1 + self.tied_row])
        weight = np.concatenate([self.weight, self.weight[self.tied]])
        n_rows = 2 * self.groups + 1 + len(self.tied_groups)
        if weights is None:
            return np.bincount(row, weight, n_rows)[:, None]
        order = np.argsort(row, kind="stable")
        cluster = np.concatenate([self.cluster, self.cluster[self.tied]])
        indptr = np.zeros(n_rows + 1, np.int32)
        np.cumsum(np.bincount(row, minlength=n_rows), out=indptr[1:])
        entries = (weight[order].astype(weights.dtype), cluster[order].astype(np.int32), indptr)
        return csr_array(entries, shape=(n_rows, self.n_clusters)) @ weights


def wins(positive, score, among_positive, among_score) -> np.ndarray:
    """How many of the other outcome each unit is ranked rightly against, ties one half.

    Their sum over the positives, or over the negatives, is the Mann-Whitney statistic; divided by the number of the
    other outcome they are the structural components of DeLong et al. 1988 ("Comparing the areas under two or more
    correlated receiver operating characteristic curves").

    Parameters
    ----------
    positive : (n,) bool array
    score : (n,) array
    among_positive, among_score : (m,) arrays
        Labels and scores of those that they are ranked against; may be the units themselves.

    Returns
    -------
    (n,) float64 array
        Of a positive: negatives among them scored below it. Of a negative: positives among them scored above it.
    """
    among_positive, among_score = np.asarray(among_positive, bool), np.asarray(among_score)
    yes, no = np.sort(among_score[among_positive]), np.sort(among_score[~among_positive])
    below = 0.5 * (np.searchsorted(no, score, "left") + np.searchsorted(no, score, "right"))
    above = len(yes) - 0.5 * (np.searchsorted(yes, score, "left") + np.searchsorted(yes, score, "right"))
    return np.where(positive, below, above)


def roc_auc(positive, score, weight=None) -> float:
    """Area under the ROC curve (Mann-Whitney form, ties one half) of weighted units; NaN for one class only."""
    return float(Ranking(positive, score, weight=weight)()[0][0])


def average_precision(positive, score, weight=None) -> float:
    """Average precision (step-wise area under precision-recall, tied scores together); NaN for one class only."""
    return float(Ranking(positive, score, weight=weight)()[1][0])


def totals(values: np.ndarray, cluster, n_clusters, weights, weight) -> np.ndarray:
    """Weighted sums over units of each row of ``values`` (k, n) for each column of ``weights`` -> (k, D)."""
    n = values.shape[1]
    cluster = np.arange(n) if cluster is None else np.asarray(cluster)
    n_clusters = int(n_clusters or (cluster.max() + 1 if n else 0))
    values = values if weight is None else values * weight
    by_cluster = np.stack([np.bincount(cluster, row, n_clusters) for row in values])
    return by_cluster.sum(1, keepdims=True) if weights is None else by_cluster @ weights.astype(np.float64)


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=b > 0)


def decision(positive, score, *, threshold=0.5, cluster=None, n_clusters=None, weights=None, weight=None) -> dict:
    """F1, sensitivity and specificity of ``score >= threshold``.

    Returns
    -------
    dict of str to (D,) array
        One value a column of ``weights`` (one value without); NaN where the denominator is empty.
    """
    positive, called = np.asarray(positive, bool), np.asarray(score) >= threshold
    cells = np.stack([positive & called, ~positive & called, positive & ~called, ~positive & ~called]).astype(float)
    tp, fp, fn, tn = totals(cells, cluster, n_clusters, weights, weight)
    f1 = np.where(tp + fn > 0, _ratio(2 * tp, 2 * tp + fp + fn), np.nan)
    return {"f1": f1, "sensitivity": _ratio(tp, tp + fn), "specificity": _ratio(tn, tn + fp)}


def brier(positive, score, *, cluster=None, n_clusters=None, weights=None, weight=None) -> np.ndarray:
    """Brier score: mean squared difference of score and label, (D,)."""
    error = (np.asarray(score, float) - np.asarray(positive, bool)) ** 2
    total, count = totals(np.stack([error, np.ones_like(error)]), cluster, n_clusters, weights, weight)
    return _ratio(total, count)


def calibration_error(positive, score, *, bins=15, cluster=None, n_clusters=None, weights=None, weight=None):
    """Expected calibration error over equal-width bins, (D,): the mean over units of |observed - predicted| by bin.

    Naeini, Cooper and Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning".
    """
    score = np.asarray(score, float)
    slot = np.minimum((score * bins).astype(int), bins - 1)
    inside = slot == np.arange(bins)[:, None]
    residual = inside * (np.asarray(positive, bool) - score)
    gap = totals(residual, cluster, n_clusters, weights, weight)
    (count,) = totals(np.ones((1, len(score))), cluster, n_clusters, weights, weight)
    return _ratio(np.abs(gap).sum(0), count)
