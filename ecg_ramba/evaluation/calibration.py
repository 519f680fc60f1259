"""Whether a score means what it says: reliability by bin, calibration errors, the Brier score's parts, log loss.

All of it for one class: labels of units, and their scores read as probabilities.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import logit as exact_logit

CLIP = 1e-6
"""Scores are kept this far from 0 and 1 wherever their logarithm is taken: log loss, logits. Nowhere else."""


def clipped(score: np.ndarray) -> np.ndarray:
    """Scores between :data:`CLIP` and 1 - :data:`CLIP`, float64."""
    return np.clip(np.asarray(score, np.float64), CLIP, 1 - CLIP)


def logit(score: np.ndarray) -> np.ndarray:
    """Log odds of clipped scores."""
    return exact_logit(clipped(score))


def log_loss(positive: np.ndarray, score: np.ndarray) -> float:
    """Mean negative log likelihood of the labels, of clipped scores; NaN without units."""
    if not len(score):
        return float("nan")
    p = clipped(score)
    return float(-np.mean(np.where(positive, np.log(p), np.log1p(-p))))


def equal_width(score: np.ndarray, bins: int) -> np.ndarray:
    """Bin of each unit among ``bins`` of equal width on [0, 1]; an edge belongs to the bin above it.

    The bins of :func:`ecg_ramba.evaluation.metrics.calibration_error`.
    """
    return np.minimum((np.asarray(score, np.float64) * bins).astype(np.intp), bins - 1)


def equal_mass(score: np.ndarray, bins: int) -> np.ndarray:
    """Bin of each unit among ``bins`` that hold as many units each as ties let them; ties are never parted."""
    score = np.asarray(score, np.float64)
    if not len(score):
        return np.zeros(0, np.intp)
    last = -(-len(score) * np.arange(1, bins) // bins) - 1  # rank of the highest score of each bin but the last
    return np.searchsorted(np.sort(score)[last], score, side="left")


@dataclass(frozen=True)
class Reliability:
    """Units by bin of their score.

    Parameters
    ----------
    count : (B,) float array
        Units in each bin.
    score, observed : (B,) float arrays
        Mean score, and share of positives; NaN in an empty bin.
    """

    count: np.ndarray
    score: np.ndarray
    observed: np.ndarray

    @property
    def _gaps(self) -> np.ndarray:
        return np.where(self.count > 0, np.abs(self.observed - self.score), 0.0)

    @property
    def ece(self) -> float:
        """Expected calibration error: mean over units of \\|observed - mean score\\| in their bin; NaN without units.

        Naeini, Cooper and Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning".
        """
        n = self.count.sum()
        return float((self._gaps * self.count).sum() / n) if n else float("nan")

    @property
    def mce(self) -> float:
        """Maximum calibration error: the largest \\|observed - mean score\\| of a bin that is not empty."""
        return float(self._gaps.max()) if self.count.any() else float("nan")


def reliability(positive: np.ndarray, score: np.ndarray, slot: np.ndarray, bins: int) -> Reliability:
    """Units by bin.

    Parameters
    ----------
    positive : (n,) bool array
    score : (n,) array
    slot : (n,) int array
        Bin of each unit, by :func:`equal_width` or :func:`equal_mass`.
    bins : int
    """
    count = np.bincount(slot, minlength=bins).astype(np.float64)

    def mean(values) -> np.ndarray:
        total = np.bincount(slot, np.asarray(values, np.float64), bins)
        return np.divide(total, count, out=np.full(bins, np.nan), where=count > 0)

    return Reliability(count, mean(score), mean(positive))


@dataclass(frozen=True)
class BrierTerms:
    """The Brier score in five terms, whose sum with their signs is the score itself, whatever the bins.

    Murphy 1973, "A new vector partition of the probability score", is exact only where all scores of a bin are equal;
    the last two terms make up for that: Stephenson, Coelho and Jolliffe 2008, "Two extra components in the Brier score
    decomposition".

    Parameters
    ----------
    reliability : float
        Mean squared difference of a bin's mean score and its share of positives; less is better.
    resolution : float
        Variance of the bins' shares of positives; more is better.
    uncertainty : float
        Variance of the labels: the score of the prevalence.
    within_variance, within_covariance : float
        Variance of the scores within their bins, and twice their covariance with the labels there.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within_variance: float
    within_covariance: float

    @property
    def score(self) -> float:
        """The Brier score: reliability - resolution + uncertainty + within variance - within covariance."""
        made = self.reliability - self.resolution + self.uncertainty
        return made + self.within_variance - self.within_covariance


def brier_terms(positive: np.ndarray, score: np.ndarray, slot: np.ndarray, bins: int) -> BrierTerms:
    """The Brier score's terms over bins; parameters as of :func:`reliability`. All are NaN without units."""
    y, score = np.asarray(positive, np.float64), np.asarray(score, np.float64)
    if not len(y):
        return BrierTerms(*[float("nan")] * 5)
    by = reliability(y, score, slot, bins)
    share, mean = by.observed[slot], by.score[slot]
    apart = score - mean
    return BrierTerms(
        reliability=float(np.mean((mean - share) ** 2)),
        resolution=float(np.mean((share - y.mean()) ** 2)),
        uncertainty=float(y.mean() * (1 - y.mean())),
        within_variance=float(np.mean(apart**2)),
        within_covariance=float(2 * np.mean(apart * (y - share))),
    )
