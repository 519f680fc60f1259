"""Bootstrap over subjects: the draws, shared by all models, and the intervals read off them.

Subjects, not records, are drawn: records of one person are not independent. Draws are made once for a task, from its
name and data set alone, so every model meets the same ones and differences are paired.
"""

import threading
import weakref
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from ecg_ramba.keys import seed_for

_CACHE_CELLS = 1 << 24
"""Draw matrices up to this size are kept as float32; larger ones stay bytes and are widened in blocks of draws."""
_KEPT_CELLS = 1 << 27
"""Blocks of a matrix up to this size are kept until another one is asked for."""
_BLOCK = 1000


def subject_draws(strata: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Multiplicity of each subject in each bootstrap draw.

    Parameters
    ----------
    strata : (n_subjects,) int array
        Subjects are resampled within their stratum (the source: the held-out fold; a target: one stratum).
    draws : int
        Number of draws.
    seed : int
        Seed of a PCG64 generator.

    Returns
    -------
    (n_subjects, draws) uint8 array
        Each stratum's column sums equal its number of subjects.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    out = np.zeros((len(strata), draws), np.uint8)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        n = len(members)
        picks = rng.integers(0, n, size=(draws, n)) + n * np.arange(draws)[:, None]
        counts = np.bincount(picks.ravel(), minlength=n * draws).reshape(draws, n)
        if counts.max() > np.iinfo(np.uint8).max:
            raise AssertionError("a subject was drawn more often than a byte can count")
        out[members] = counts.T
    return out


class _Last:
    """The widened blocks of the draws that were used last: a task's rankings are scored one after the other."""

    def __init__(self):
        self.lock = threading.Lock()
        self.forget()

    def forget(self, _=None) -> None:
        self.whose, self.blocks = None, []

    def of(self, draws: "Draws", widened: Iterable[np.ndarray]) -> list[np.ndarray]:
        """Blocks of ``draws``, made from ``widened`` unless they are there."""
        with self.lock:
            if self.whose is None or self.whose() is not draws:
                self.forget()
                self.whose, self.blocks = weakref.ref(draws, self.forget), list(widened)
            return self.blocks


_last = _Last()


@dataclass(frozen=True)
class Draws:
    """The bootstrap draws of one task: ``counts`` (n_subjects, D) uint8, ``seeds`` (n_seeds, D) shares summing to 1."""

    counts: np.ndarray
    seeds: np.ndarray

    def __post_init__(self):
        object.__setattr__(self, "_wide", self.counts.astype(np.float32) if self.counts.size <= _CACHE_CELLS else None)

    @classmethod
    def of(cls, axes: tuple[str, ...], strata: np.ndarray, n_seeds: int, draws: int, seed: int) -> "Draws":
        """Draws from named axes. With three training seeds or more, seeds are resampled too; below, all count alike.

        The seeds' draws have no axis: a transfer gap compares the same trained models at the source and at a target.
        """
        counts = subject_draws(strata, draws, seed_for(seed, "bootstrap", "subjects", *axes))
        shares = np.full((n_seeds, draws), 1 / n_seeds)
        if n_seeds >= 3:
            rng = np.random.Generator(np.random.PCG64(seed_for(seed, "bootstrap", "seeds")))
            shares = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=draws).T / n_seeds
        return cls(counts, shares)

    def apply(self, metric) -> np.ndarray:
        """``metric(weights)``, an array or tuple of arrays over columns, over all draws -> (k, D)."""
        if self._wide is not None:
            return np.stack(metric(self._wide))
        return np.concatenate([np.stack(metric(block)) for block in self._blocks()], axis=1)

    def _blocks(self) -> Iterable[np.ndarray]:
        starts = range(0, self.counts.shape[1], _BLOCK)
        widened = (self.counts[:, i : i + _BLOCK].astype(np.float32) for i in starts)
        return widened if self.counts.size > _KEPT_CELLS else _last.of(self, widened)

    def short(self, members: np.ndarray) -> np.ndarray:
        """(D,) bool: draws that hold none of these subjects."""
        return ~self.counts[members].any(axis=0)


def widening(subjects: int, level: float) -> float:
    """How far draws have to be spread about their point, for an interval that holds the truth often enough.

    Of few subjects a bootstrap's spread is too small, by ``sqrt((n - 1) / n)``, and a normal quantile stands where a t
    quantile is due: percentiles of the draws hold the truth too seldom (Hesterberg 2015, "What teachers should know
    about the bootstrap", expanded percentiles). ``python -m studies coverage`` measures both, for subjects drawn from
    one part; that the source's are drawn within folds is not allowed for.

    Parameters
    ----------
    subjects : int
        The fewer of the positive and the negative ones.
    level : float
        Of the interval.

    Returns
    -------
    float
        At least 1; 1 for fewer than two subjects, which have no interval anyway.
    """
    if subjects < 2:
        return 1.0
    upper = (1 + level) / 2
    return float(np.sqrt(subjects / (subjects - 1)) * stdtrit(subjects - 1, upper) / ndtri(upper))


def spread(draws: np.ndarray, point: float, factor: float) -> np.ndarray:
    """Draws spread about their point by a factor (:func:`widening`)."""
    return point + factor * (draws - point)


def widened(draws: np.ndarray, point: float, factor: float) -> np.ndarray:
    """Draws of a metric between 0 and 1, spread about their point by a factor, and kept between 0 and 1."""
    return np.clip(spread(draws, point, factor), 0, 1)


def interval(draws: np.ndarray | None, level: float) -> tuple[float, float]:
    """Percentile interval of the finite draws; (NaN, NaN) without any."""
    if draws is None:
        return float("nan"), float("nan")
    finite = draws[np.isfinite(draws)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def withheld(positive_subjects: int, negative_subjects: int, missing: float, least: int, most: float) -> str:
    """Why no interval may be given, in words; empty where one may."""
    if positive_subjects < least or negative_subjects < least:
        few, kind = min((positive_subjects, "positive"), (negative_subjects, "negative"))
        return f"no interval: {few} {kind} subject{'s' * (few != 1)}, {least} needed"
    if missing > most:
        return f"no interval: {missing:.1%} of the draws lack the class, at most {most:.0%} may"
    return ""
