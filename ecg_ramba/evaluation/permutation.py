"""Paired permutation test of two models: for each subject a coin decides whether their predictions are exchanged.

Were the two models equally good, it would not matter which of the two predicted a subject. So the predictions of each
subject, all its units, windows and seeds together, are exchanged with probability 1/2, and the difference of the metric
is taken again; the p value is the share of exchanges that make it as large as it was (Good 2005, *Permutation,
Parametric and Bootstrap Tests of Hypotheses*, chapter 3; Phipson and Smyth 2010 for the one that is added).

An exchange mixes scores of two models in one ranking, and two models need not mean the same by 0.3. So ROC-AUC and
average precision are taken on the ranks that each model gives the units, ties averaged: both models then have one
scale, and neither metric of an unmixed model changes, since both depend on the order alone.

ROC-AUC is linear in the exchanges. Let both models' scores of all units stand in one list, K(p, q) be one where the
positive p is above the negative q (one half at a tie), and w be one where an entry belongs to the model after the
exchange, zero where it belongs to the other one. The difference of the two areas is a sum over K (w_p w_q -
(1 - w_p)(1 - w_q)) = K (w_p + w_q - 1), so each subject adds a number of its own, with the sign of its toss. All
exchanges of a macro average over classes, folds and seeds are then one product of signs and these numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from ecg_ramba.evaluation.config import RANKING_METRICS
from ecg_ramba.evaluation.metrics import cumulate, wins
from ecg_ramba.evaluation.parallel import each
from ecg_ramba.keys import seed_for

PERMUTATIONS = 10_000
"""Exchanges that are drawn, unless all there are be fewer."""
TOLERANCE = 1e-12
"""Two differences this near to each other are the same one, added up in another order."""
_BLOCK = 512
"""Patterns at a time, where their counts have room; a multiple of eight."""
_CELLS = 1 << 21
"""Counts in one table of a block, about: a few such tables are in memory for each core."""


@dataclass(frozen=True)
class Pair:
    """Two models' scores of units that are ranked together: one class of one fold (or ensemble) and seed.

    Parameters
    ----------
    positive : (n,) bool array
        Of both outcomes.
    subject : (n,) int array
        Column of the exchanges that each unit goes with.
    variant, reference : (n,) arrays
        Finite scores.
    weight : float
        Share of this ranking in the figure that is tested.
    """

    positive: np.ndarray
    subject: np.ndarray
    variant: np.ndarray
    reference: np.ndarray
    weight: float = 1.0


@dataclass(frozen=True)
class Exchanges:
    """Which subjects' predictions are exchanged: ``patterns`` times a coin for each subject, or every pattern there is.

    Made from names alone, so that all variants of a task meet the same ones; they are drawn again, block by block,
    whenever they are asked for.
    """

    subjects: int
    patterns: int
    exhaustive: bool
    seed: int

    @classmethod
    def of(cls, axes: tuple[str, ...], subjects: int, permutations: int, seed: int) -> "Exchanges":
        """For so many subjects, from named axes.

        Parameters
        ----------
        axes : tuple of str
            Name of the task and of its data set.
        subjects : int
            One at least.
        permutations : int
            Drawn, unless the subjects have no more patterns than that: then all of them are taken.
        seed : int
            Of the evaluation.
        """
        if subjects < 1 or permutations < 1:
            raise ValueError(f"{subjects} subjects and {permutations} permutations are no test")
        every = 2 ** int(subjects) <= permutations
        drawn = seed_for(seed, "permutation", "subjects", *axes)
        return cls(int(subjects), 2 ** int(subjects) if every else permutations, every, drawn)

    @property
    def smallest(self) -> float:
        """Smallest p value that the test can give.

        Of all patterns, the one that exchanges nobody and the one that exchanges everybody are always as extreme as
        what was seen.
        """
        return 2 / self.patterns if self.exhaustive else 1 / (1 + self.patterns)

    def packed(self) -> np.ndarray:
        """All patterns, eight a byte: (subjects, bytes) uint8, see :meth:`unpack`.

        Of all patterns, the one that exchanges nobody comes first.
        """
        if self.exhaustive:
            return np.packbits(np.arange(self.patterns) >> np.arange(self.subjects)[:, None] & 1, axis=1)
        words = -(-self.patterns // 64)
        rng = np.random.Generator(np.random.PCG64(self.seed))
        return rng.integers(0, 2**64, (self.subjects, words), dtype=np.uint64).view(np.uint8)

    def unpack(self, packed: np.ndarray, start: int, width: int) -> np.ndarray:
        """Patterns from ``start`` on, (subjects, b) uint8: one where a subject is exchanged, else zero.

        ``start`` is a multiple of eight; b is ``width``, or what is left at the end.
        """
        width = min(width, self.patterns - start)
        return np.unpackbits(packed[:, start // 8 : -(-(start + width) // 8)], axis=1, count=width)

    def p_value(self, observed: float, differences: np.ndarray) -> float:
        """Two-sided p: the share of patterns whose difference is as far from zero as the one that was observed.

        Drawn patterns count the observed one besides, so that no p is zero.
        """
        count = int((np.abs(differences) >= abs(observed) - TOLERANCE).sum())
        return count / self.patterns if self.exhaustive else (1 + count) / (1 + self.patterns)


@dataclass(frozen=True)
class Tested:
    """A difference (variant minus reference) and its two-sided p value."""

    difference: float
    p: float


def ranks(score: np.ndarray) -> np.ndarray:
    """Ranks of scores from 1 up, ties averaged."""
    _, at, count = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - 0.5 * (count - 1))[at]


def auc_parts(pair: Pair, subjects: int) -> np.ndarray:
    """What each subject adds to the difference in ROC-AUC, variant minus reference; with a minus sign when exchanged.

    Returns
    -------
    (subjects,) float64 array
        Their sum is the difference itself, and their sum with any signs what it is after that exchange, exactly.
    """
    own, other = ranks(pair.variant), ranks(pair.reference)
    both, labels = np.concatenate([own, other]), np.tile(pair.positive, 2)
    gained = wins(pair.positive, own, labels, both) - wins(pair.positive, other, labels, both)
    positives = int(pair.positive.sum())
    pairs = positives * (len(own) - positives)
    return np.bincount(pair.subject, gained, subjects) / (2 * pairs)


class PrecisionDifference:
    """Difference in average precision of a :class:`Pair` under many exchanges at once.

    Average precision is not linear in them: for each, the entries of both models are counted down their common ranking.
    Tied entries enter together. Counts are whole numbers, so that no order of addition changes a difference.
    """

    def __init__(self, pair: Pair, subjects: int):
        n = len(pair.positive)
        rank = np.concatenate([ranks(pair.variant), ranks(pair.reference)])
        order = np.argsort(-rank, kind="stable")
        rank, positive = rank[order], np.tile(pair.positive, 2)[order]
        subject, own = np.tile(pair.subject, 2)[order], order < n
        # A step ends with the last of the entries that tie with a positive; entries below the last step do not count.
        below = -rank
        ends = np.unique(np.searchsorted(below, below[positive], side="right"))
        self.steps, self.positives = len(ends), int(pair.positive.sum())
        true_ends = np.cumsum(positive)[ends - 1]
        self.above = _Counts(subject[: ends[-1]], own[: ends[-1]], ends, subjects)
        self.true = _Counts(subject[positive], own[positive], true_ends, subjects)

    def __call__(self, exchanged: np.ndarray) -> np.ndarray:
        """Differences, variant minus reference, (b,), for a block of exchanges, (subjects, b) uint8."""
        found = self.true(exchanged)
        true, above = cumulate(found.copy()), cumulate(self.above(exchanged))
        difference = self._precision(found, true, above)
        for counts, of in ((found, self.true.each), (true, self.true.ends), (above, self.above.ends)):
            np.subtract(of[:, None], counts, out=counts)  # what is not the variant's is the reference's
        return difference - self._precision(found, true, above)

    def _precision(self, found: np.ndarray, true: np.ndarray, above: np.ndarray) -> np.ndarray:
        share = np.divide(true, above, out=np.zeros_like(true), where=above > 0)
        return np.einsum("gd,gd->d", found, share) / self.positives


class _Counts:
    """How many entries of each step are the variant's after an exchange: (steps, b) float64.

    An entry of its own is so unless its subject is exchanged, one of the reference's if it is: a constant and a sparse
    product. ``each``: entries of each step; ``ends``: down to its end.
    """

    def __init__(self, subject: np.ndarray, own: np.ndarray, ends: np.ndarray, subjects: int):
        starts = np.concatenate([[0], ends]).astype(np.int32)
        self.ends, self.each = ends.astype(np.float64), np.diff(starts).astype(np.float64)
        self.own = np.add.reduceat(own.astype(np.float64), starts[:-1])
        self.dtype = np.int16 if self.each.max() < 1 << 15 else np.int32
        sign = np.where(own, -1, 1).astype(self.dtype)
        self.matrix = csr_array((sign, subject.astype(np.int32), starts), shape=(len(ends), subjects))

    def __call__(self, exchanged: np.ndarray) -> np.ndarray:
        return (self.matrix @ exchanged.astype(self.dtype)) + self.own[:, None]


def exchange_test(pairs: Sequence[Pair], exchanges: Exchanges) -> dict[str, Tested]:
    """Test the difference in ROC-AUC and in average precision of a figure that is a weighted sum over rankings.

    Parameters
    ----------
    pairs : sequence of Pair
        Every class, fold and seed of the figure, with its weight; a subject is exchanged in all of them at once.
    exchanges : Exchanges

    Returns
    -------
    dict
        "roc_auc" and "average_precision" -> :class:`Tested`.
    """
    parts = np.sum(each(lambda p: p.weight * auc_parts(p, exchanges.subjects), pairs), axis=0)
    counters = each(lambda p: PrecisionDifference(p, exchanges.subjects), pairs)
    weights, packed = np.array([p.weight for p in pairs]), exchanges.packed()

    def differences(exchanged: np.ndarray) -> np.ndarray:  # (subjects, b) -> (2, b)
        areas = parts.sum() - 2 * (parts @ exchanged)
        return np.stack([areas, weights @ np.stack([count(exchanged) for count in counters])])

    room = _CELLS // max(c.steps for c in counters)
    width = min(_BLOCK, max(64, room - room % 8))
    starts = range(0, exchanges.patterns, width)
    blocks = each(lambda start: differences(exchanges.unpack(packed, start, width)), starts)
    found = np.concatenate(blocks, axis=1)
    observed = differences(np.zeros((exchanges.subjects, 1), np.uint8))[:, 0]
    return {
        name: Tested(float(value), exchanges.p_value(value, of))
        for name, value, of in zip(RANKING_METRICS, observed, found, strict=True)
    }
