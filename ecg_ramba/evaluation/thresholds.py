"""What a decision at a fixed threshold gets right: sensitivity, specificity, predictive values, F1, calls."""

import numpy as np

RATES = ("sensitivity", "specificity", "ppv", "npv", "f1")


def cells(positive: np.ndarray, score: np.ndarray, threshold: float) -> np.ndarray:
    """Confusion matrix of ``score >= threshold`` by unit -> (4, n) float64: true and false positives, then negatives.

    In the order true positive, false positive, false negative, true negative.
    """
    positive, called = np.asarray(positive, bool), np.asarray(score) >= threshold
    return np.stack([positive & called, ~positive & called, positive & ~called, ~positive & ~called]).astype(float)


def rates(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Rates of confusion matrices.

    Parameters
    ----------
    counts : (4, ...) array
        As summed over units from :func:`cells`.

    Returns
    -------
    dict of str to (...) array
        :data:`RATES`, and ``called``, the number called positive. NaN where nothing is counted below the line: no
        predictive value without a call of its kind, and no F1 without a positive.
    """
    tp, fp, fn, tn = np.asarray(counts, np.float64)

    def ratio(part, whole):
        return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)

    return {
        "sensitivity": ratio(tp, tp + fn),
        "specificity": ratio(tn, tn + fp),
        "ppv": ratio(tp, tp + fp),
        "npv": ratio(tn, tn + fn),
        "f1": np.where(tp + fn > 0, ratio(2 * tp, 2 * tp + fp + fn), np.nan),
        "called": tp + fp,
    }
