"""Decision curves: the net benefit of calling by a score, against the threshold probability at which one would act.

Vickers and Elkin 2006, "Decision curve analysis: a novel method for evaluating prediction models". Acting at a
threshold probability p says that a false call costs p / (1 - p) of what a true one is worth; net benefit is in true
positives a unit.
"""

import numpy as np

THRESHOLDS = np.round(np.concatenate([np.arange(0.01, 0.1, 0.01), np.arange(0.1, 0.96, 0.025)]), 3)
"""Threshold probabilities of the curves."""


def _odds(thresholds: np.ndarray) -> np.ndarray:
    thresholds = np.asarray(thresholds, np.float64)
    if not ((thresholds > 0) & (thresholds < 1)).all():
        raise ValueError("a threshold probability lies between 0 and 1, both left out")
    return thresholds / (1 - thresholds)


def net_benefit(positive: np.ndarray, score: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> np.ndarray:
    """Net benefit of acting where ``score >= threshold``: true positives - false positives x odds, a unit.

    Parameters
    ----------
    positive : (n,) bool array
    score : (n,) array
    thresholds : (T,) array
        Between 0 and 1, both left out.

    Returns
    -------
    (T,) float64 array
        NaN without units. Acting on nobody has a net benefit of 0.
    """
    positive, score, odds = np.asarray(positive, bool), np.asarray(score), _odds(thresholds)
    n = len(score)
    if not n:
        return np.full(len(odds), np.nan)
    found, false = (np.sort(score[m]) for m in (positive, ~positive))
    tp, fp = (len(s) - np.searchsorted(s, thresholds, side="left") for s in (found, false))
    return tp / n - fp / n * odds


def treat_all(prevalence: float, thresholds: np.ndarray = THRESHOLDS) -> np.ndarray:
    """Net benefit (T,) of acting on everybody."""
    return prevalence - (1 - prevalence) * _odds(thresholds)
