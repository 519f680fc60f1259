"""McNemar's test of two models' decisions on the same units, several of them of one subject.

Obuchowski 1998, "On the comparison of correlated proportions for clustered data", Statistics in Medicine 17,
1495-1507. With n_k units of subject k, x_k of them right by one model and y_k by the other, and N units of K subjects
in all, the variance of a proportion p is that of a ratio, K/(K-1) sum (x_k - n_k p)^2 / N^2, and so is the covariance
of two. If the models are equally often right, both proportions are estimated by their mean. In var(x) + var(y) -
2 cov(x, y) the n_k p then cancel, and with d_k = x_k - y_k

    chi2 = (sum d_k)^2 / (K/(K-1) sum d_k^2)

on one degree of freedom. With one unit a subject it is McNemar's statistic without continuity correction, but for the
factor (K-1)/K.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

LEAST = 10
"""Fewest discordant subjects: below, the chi-square distribution is no guide to the p value."""
NO_MCNEMAR = "no McNemar test"
"""How the reason begins where there is no p value."""


@dataclass(frozen=True)
class McNemar:
    """Result of the test; ``chi2`` and ``p`` are NaN where ``reason`` says why.

    ``discordant``: subjects in whom the models are not equally often right; ``better`` of them are for the variant.
    """

    subjects: int
    discordant: int
    better: int
    chi2: float
    p: float
    reason: str


def clustered_mcnemar(variant: np.ndarray, reference: np.ndarray, subject: np.ndarray) -> McNemar:
    """Test whether two models are equally often right.

    Parameters
    ----------
    variant, reference : (n,) arrays
        Whether each unit was decided rightly; with several seeds how often.
    subject : (n,) array
        Whose unit it is.
    """
    _, code = np.unique(subject, return_inverse=True)
    d = np.bincount(code, np.asarray(variant, float) - np.asarray(reference, float))
    subjects, discordant, better = len(d), int((d != 0).sum()), int((d > 0).sum())
    if discordant < LEAST:
        reason = f"{NO_MCNEMAR}: {discordant} discordant subject{'s' * (discordant != 1)}, {LEAST} needed"
        return McNemar(subjects, discordant, better, float("nan"), float("nan"), reason)
    statistic = float(d.sum() ** 2 / (subjects / (subjects - 1) * (d**2).sum()))
    return McNemar(subjects, discordant, better, statistic, float(chdtrc(1, statistic)), "")
