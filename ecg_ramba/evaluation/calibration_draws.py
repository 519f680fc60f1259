"""Bootstrap draws of one class's calibration error, Brier score and decision rates, for several sets of scores at once.

Each of them is a function of sums over units, so all draws of all sets are one matrix product.
"""

from collections.abc import Mapping

import numpy as np

from ecg_ramba.evaluation.calibration import equal_width
from ecg_ramba.evaluation.intervals import Draws
from ecg_ramba.evaluation.thresholds import cells, rates


def class_draws(
    sets: Mapping[str, np.ndarray],
    positive: np.ndarray,
    subject: np.ndarray,
    n_subjects: int,
    draws: Draws,
    bins: int,
    threshold: float,
) -> dict[str, dict[str, np.ndarray]]:
    """Draws of what sums decide.

    Parameters
    ----------
    sets : mapping of str to (n,) array
        Scores of the same units by name: as predicted, recalibrated.
    positive : (n,) bool array
    subject : (n,) int array
        Row of the draws that each unit belongs to.
    n_subjects : int
    draws : Draws
    bins : int
        Equal-width bins of the calibration error.
    threshold : float

    Returns
    -------
    dict of str to dict of str to (D,) float64 array
        Set -> ``ece``, ``brier`` and the rates of :mod:`ecg_ramba.evaluation.thresholds`; and ``ece_by_chance``, what
        calibrated scores would show: the error of each draw when every bin's mean residual is taken out of it.
    """
    positive = np.asarray(positive, bool)
    height = bins + 5
    sums = np.empty((1 + height * len(sets), n_subjects), np.float32)
    sums[0] = np.bincount(subject, minlength=n_subjects)
    for i, score in enumerate(sets.values()):
        part = sums[1 + i * height : 1 + (i + 1) * height]
        place = equal_width(score, bins) * n_subjects + subject
        part[:bins] = np.bincount(place, positive - score, bins * n_subjects).reshape(bins, n_subjects)
        part[bins] = np.bincount(subject, (positive - score) ** 2, n_subjects)
        part[bins + 1 :] = [np.bincount(subject, c, n_subjects) for c in cells(positive, score, threshold)]
    drawn = draws.apply(lambda weights: sums @ weights).astype(np.float64)
    count, out = drawn[0], {}
    for i, name in enumerate(sets):
        part = drawn[1 + i * height : 1 + (i + 1) * height]
        centred = part[:bins] - part[:bins].mean(axis=1, keepdims=True)
        errors = np.stack([np.abs(part[:bins]).sum(0), np.abs(centred).sum(0), part[bins]])
        ece, chance, brier = np.divide(errors, count, out=np.full_like(errors, np.nan), where=count > 0)
        out[name] = {"ece": ece, "ece_by_chance": chance, "brier": brier, **rates(part[bins + 1 :])}
    return out


def ece_interval(
    value: float, draws: np.ndarray | None, by_chance: np.ndarray | None, level: float
) -> tuple[float, float]:
    """Interval of a calibration error, bias taken out; (NaN, NaN) without draws.

    A sample's calibration error is biased upwards, a resample's twice (it holds the sample's noise and its own), so
    percentiles of the draws lie too high, often above the truth altogether. The basic bootstrap reflects them at the
    value (Davison and Hinkley 1997, *Bootstrap Methods*, section 5.2). The interval begins at 0 where calibrated scores
    would show an error as large as the value in more than ``(1 - level) / 2`` of the samples. It may lie below the
    value, which keeps its bias.

    Parameters
    ----------
    value : float
    draws, by_chance : (D,) arrays or None
        ``ece`` and ``ece_by_chance`` of :func:`class_draws`.
    level : float
    """
    if draws is None or by_chance is None:
        return float("nan"), float("nan")
    finite = draws[np.isfinite(draws)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    limit = np.quantile(by_chance[np.isfinite(by_chance)], (1 + level) / 2)
    return 0.0 if value <= limit else max(0.0, float(2 * value - high)), max(0.0, float(2 * value - low))
