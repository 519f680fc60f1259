"""Classes told out of parts: every part of the units by a probe that was fitted on the others, and how well it did."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from ecg_ramba.evaluation.metrics import Ranking, totals
from ecg_ramba.evaluation.scores import DECIMALS, nan_mean
from studies.probes.linear import Design, LinearMap

Weigh = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Labels of some units and their rows -> their weights."""


def grouped_split(y: np.ndarray, subject: np.ndarray, splits: int, seed: int) -> np.ndarray:
    """Held-out part (0, 1, …) of each unit: scikit-learn's StratifiedGroupKFold, so that no subject is in two."""
    from sklearn.model_selection import StratifiedGroupKFold

    part = np.zeros(len(y), dtype=int)
    splitter = StratifiedGroupKFold(splits, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for k, (_, held_out) in enumerate(splitter.split(np.zeros(len(y)), y, subject)):
            part[held_out] = k
    return part


class CrossValidated:
    """Units in parts; of each part the probabilities come from a probe fitted on the other parts.

    Parameters
    ----------
    raw : (n, d) array
        NaN where not measurable.
    part : (n,) int array
        As from :func:`grouped_split`.
    """

    def __init__(self, raw: np.ndarray, part: np.ndarray):
        self.raw = np.asarray(raw, dtype=np.float64)
        self.part = np.asarray(part)
        self.designs = {int(k): Design.of(self.raw[self.part != k]) for k in np.unique(self.part)}

    def fits(self, y: np.ndarray, weigh: Weigh) -> dict[int, LinearMap]:
        """The probe of each part, which saw none of its units; ``weigh`` is given the labels and rows that it sees.

        Weights made of all units together would tell a fit what is held out: the class that it has more of.
        """
        out = {}
        for k, design in self.designs.items():
            train = np.flatnonzero(self.part != k)
            if len(np.unique(y[train])) > 1:
                out[k] = design.logistic(y[train], weigh(y[train], train))
        return out

    def probabilities(self, y: np.ndarray, weigh: Weigh, classes: int) -> np.ndarray:
        """(n, classes), out of the parts; labels are 0 to classes - 1. What a fit never saw has probability 0."""
        out = np.zeros((len(y), classes))
        for k, found in self.fits(y, weigh).items():
            held_out = self.part == k
            values = found(self.raw[held_out])
            if values.shape[1] == 1:
                values = np.concatenate([np.zeros_like(values), values], axis=1)
            values = np.exp(values - values.max(1, keepdims=True))
            out[np.ix_(held_out, np.unique(y[~held_out]))] = values / values.sum(1, keepdims=True)
        return np.round(out, DECIMALS)


class ClassScores:
    """Balanced accuracy and macro one-vs-rest ROC-AUC of class probabilities, under many weightings of subjects.

    The ROC-AUC is taken within each part and then averaged: probes of different parts are not on one scale, and pooled
    they would score below 0.5 where there is nothing to find (Forman and Scholz 2010). A part that lacks a class is
    left out.

    Parameters
    ----------
    y : (n,) int array
        True classes, 0 to K - 1.
    probability : (n, K) array
    cluster : (n,) int array
        Row of the weight matrix of each unit: its subject.
    n_clusters : int
    weight : (n,) array, optional
        Of a unit within its cluster.
    part : (n,) array, optional
        Whose probabilities come from one probe; by default all.
    """

    def __init__(self, y, probability, cluster, n_clusters, weight=None, part=None):
        y, called, cluster = np.asarray(y), probability.argmax(1), np.asarray(cluster)
        weight = np.ones(len(y)) if weight is None else np.asarray(weight, np.float64)
        part = np.zeros(len(y)) if part is None else np.asarray(part)
        self.facts = (cluster, n_clusters, weight)
        classes = range(probability.shape[1])
        self.cells = np.stack([*((y == k) & (called == k) for k in classes), *(y == k for k in classes)]).astype(float)
        self.rankings = [
            [Ranking(y[at] == k, probability[at, k], cluster[at], n_clusters, weight[at]) for k in classes]
            for at in (np.flatnonzero(part == p) for p in np.unique(part))
        ]

    def __call__(self, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Balanced accuracy and ROC-AUC, (D,) each; NaN where a class is lacking."""
        cluster, size, weight = self.facts
        right, all_of = np.split(totals(self.cells, cluster, size, weights, weight), 2)
        recall = np.divide(right, all_of, out=np.full(right.shape, np.nan), where=all_of > 0)
        by_part = [np.mean([r(weights, precision=False)[0] for r in of], axis=0) for of in self.rankings]
        return recall.mean(0), nan_mean(np.stack(by_part))
