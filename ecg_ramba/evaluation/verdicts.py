"""What a paired difference decides: whether what the reference has, and the variant lacks, helps."""

import numpy as np

from ecg_ramba.evaluation.config import PROTOCOL_SUPPORT, EvaluationConfig

HELPS, HURTS, EQUIVALENT, UNDECIDED = "helps", "hurts", "equivalent", "not decidable"
SEEDS = 3
"""Fewest training runs for a verdict: with fewer, how much another seed moves a score is not in the draws."""


def verdict(draws: np.ndarray | None, support: str, seeds: int, config: EvaluationConfig) -> str:
    """One of helps, hurts, equivalent and not decidable; "" with fewer than three seeds.

    Equivalent comes first: two one-sided tests on the draws, each at 5 % for a level of 95 %, reject a difference of
    ``config.margin`` either way (Schuirmann 1987), whether or not the difference is also told from zero. Below
    protocol support nothing is decidable.

    Parameters
    ----------
    draws : (D,) array or None
        Of the reference's score minus the variant's; None without an interval.
    support : str
        As in the column of that name.
    seeds : int
        Training runs of each variant.
    config : EvaluationConfig
    """
    if seeds < SEEDS:
        return ""
    finite = draws[np.isfinite(draws)] if draws is not None and support == PROTOCOL_SUPPORT else np.zeros(0)
    if not len(finite):
        return UNDECIDED
    tail = 1 - config.level
    low, high = np.quantile(finite, [tail, 1 - tail])
    if -config.margin < low and high < config.margin:
        return EQUIVALENT
    low, high = np.quantile(finite, [tail / 2, 1 - tail / 2])
    return HELPS if low > 0 else HURTS if high < 0 else UNDECIDED
