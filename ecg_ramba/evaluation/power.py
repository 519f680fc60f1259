"""What the subjects at hand could have shown: the smallest difference they would detect, and how many more it takes.

From the standard error of the paired bootstrap draws, by the normal approximation: a true difference of
(z_0.975 + z_0.8) standard errors is found in 80 of 100 studies of this size by a two-sided test at 5 %.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

POWER, ALPHA = 0.8, 0.05
REACH = NormalDist().inv_cdf(1 - ALPHA / 2) + NormalDist().inv_cdf(POWER)
"""Standard errors in the smallest difference that is detected."""


@dataclass(frozen=True)
class Power:
    """What a paired difference could show; all NaN without draws.

    Parameters
    ----------
    error : float
        Standard error of the difference.
    detectable : float
        Smallest true difference found with a power of 80 %.
    growth : float
        By how many times the subjects would have to grow for that to be the margin, if all of the error shrank with
        them; what comes from the training seed does not.
    equivalence : float
        p value of the two one-sided tests (Schuirmann 1987) that the difference lies within the margin either way: the
        larger share of draws beyond it, one draw added to each.
    """

    error: float = math.nan
    detectable: float = math.nan
    growth: float = math.nan
    equivalence: float = math.nan


def power(draws: np.ndarray | None, margin: float) -> Power:
    """Power of a paired difference.

    Parameters
    ----------
    draws : (D,) array or None
        Bootstrap draws of the difference; NaN where a draw lacks a class.
    margin : float
    """
    finite = draws[np.isfinite(draws)] if draws is not None else np.zeros(0)
    if len(finite) < 2:
        return Power()
    error = float(finite.std(ddof=1))
    beyond = max(int((finite <= -margin).sum()), int((finite >= margin).sum()))
    return Power(error, REACH * error, (REACH * error / margin) ** 2, (1 + beyond) / (1 + len(finite)))
