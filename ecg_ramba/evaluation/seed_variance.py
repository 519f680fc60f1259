"""How much of a score's uncertainty comes from the subjects it was measured on, and how much from the training seed.

A ROC-AUC is, to first order, a mean over subjects: to the subject's units belong structural components (DeLong et al.
1988; summed by subject, Obuchowski 1997, "Nonparametric analysis of clustered ROC curve data"), whose sum is that
subject's influence. With S subjects and T seeds, y[j, t] = AUC of seed t + S x influence of subject j on it is a
balanced two-way table whose column means are the seeds' scores. Its model is crossed and random: y = mean + subject +
seed + rest. Variances are those of the analysis of variance (method of moments), which for balanced data are also those
of restricted maximum likelihood as long as none is negative (Searle, Casella and McCulloch 1992, *Variance Components*,
chapter 4); a negative one is set to zero, and said.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from ecg_ramba.evaluation.metrics import wins

ROUNDING = 1e-24
"""A variance below this is that of the last digits of numbers around one."""


def influence(positive: np.ndarray, score: np.ndarray, subject: np.ndarray, subjects: int) -> tuple[float, np.ndarray]:
    """ROC-AUC of units that are ranked together, and how much each subject moves it.

    Parameters
    ----------
    positive : (n,) bool array
        Of both outcomes.
    score : (n,) array
    subject : (n,) int array
        Index below ``subjects``.
    subjects : int

    Returns
    -------
    float
        The ROC-AUC.
    (subjects,) float64 array
        Influences, which sum to zero; the sum of their squares is about the variance of the ROC-AUC.
    """
    won = wins(positive, score, positive, score)
    positives = int(positive.sum())
    negatives = len(positive) - positives
    auc = won[positive].sum() / (positives * negatives)
    parts = np.where(positive, (won / negatives - auc) / positives, (won / positives - auc) / negatives)
    return float(auc), np.bincount(subject, parts, subjects)


@dataclass(frozen=True)
class Components:
    """Variance of the mean over S subjects and T seeds, split by where it comes from.

    Parameters
    ----------
    subjects, seeds : int
    value : float
        The score: mean over subjects and seeds.
    by_subjects, by_seeds, by_both : float
        Variance of ``value`` that other subjects, other seeds, and the chance of how they meet would bring. Not
        negative.
    seed_sd, seed_low, seed_high : float
        How far one training run's score lies from another's on these subjects (standard deviation), with the 95 %
        interval of the chi-square distribution.
    subject_sd : float
        The same of one training run on as many other subjects.
    negative : tuple of str
        Components that came out negative and were set to zero.
    """

    subjects: int
    seeds: int
    value: float
    by_subjects: float
    by_seeds: float
    by_both: float
    seed_sd: float
    seed_low: float
    seed_high: float
    subject_sd: float
    negative: tuple[str, ...]

    @property
    def shares(self) -> tuple[float, float, float]:
        """Shares of the three in the variance of the score; NaN where there is none beyond rounding."""
        parts = np.array([self.by_subjects, self.by_seeds, self.by_both])
        total = parts.sum()
        return tuple(parts / total) if total > ROUNDING else (float("nan"),) * 3


def components(table: np.ndarray) -> Components:
    """Variance components of a balanced table of subjects by seeds.

    Parameters
    ----------
    table : (S, T) array
        Two subjects and two seeds at least.
    """
    s, t = table.shape
    if s < 2 or t < 2:
        raise ValueError(f"{s} subjects and {t} seeds have no variance components")
    mean, by_subject, by_seed = table.mean(), table.mean(axis=1), table.mean(axis=0)
    rest = table - by_subject[:, None] - by_seed + mean
    of_subjects = t * ((by_subject - mean) ** 2).sum() / (s - 1)
    of_seeds = s * ((by_seed - mean) ** 2).sum() / (t - 1)
    of_rest = (rest**2).sum() / ((s - 1) * (t - 1))
    found = {"subjects": (of_subjects - of_rest) / t, "seeds": (of_seeds - of_rest) / s}
    subject, seed = (max(0.0, v) for v in found.values())
    low, high = np.sqrt((t - 1) * of_seeds / s / chdtri(t - 1, [0.025, 0.975]))
    return Components(
        subjects=s,
        seeds=t,
        value=float(mean),
        by_subjects=subject / s,
        by_seeds=seed / t,
        by_both=float(of_rest) / (s * t),
        seed_sd=float(np.sqrt(of_seeds / s)),
        seed_low=float(low),
        seed_high=float(high),
        subject_sd=float(np.sqrt((subject + of_rest) / s)),
        negative=tuple(name for name, v in found.items() if v < 0),
    )


def influence_table(values: Sequence[float], influences: np.ndarray) -> np.ndarray:
    """(S, T) table from each seed's score and its influences, (T, S)."""
    return np.asarray(values) + influences.shape[1] * np.asarray(influences).T
