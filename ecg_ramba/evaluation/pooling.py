"""Windows -> unit: how the probabilities of a record's (or segment's) windows become one score.

The power mean with exponent q is ``(mean_i p_i^q)^(1/q)``: the mean at q = 1, the geometric mean as q -> 0 and the
maximum as q -> infinity (Bullen 2003, *Handbook of Means and Their Inequalities*, chapter III).
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ecg_ramba.errors import UserError

RULES = ("power", "max", "mean", "geometric")


@dataclass(frozen=True, kw_only=True)
class Pooling:
    """A pooling rule.

    Parameters
    ----------
    rule : {"power", "max", "mean", "geometric"}
        ``geometric`` is what the public release of ECG-RAMBA computes, whatever its Q.
    q : float
        Exponent of ``power``, above zero; ignored by the other rules.

    Raises
    ------
    UserError
        If the rule is unknown or its exponent is not positive.
    """

    rule: Literal["power", "max", "mean", "geometric"] = "power"
    q: float = 3.0

    def __post_init__(self):
        if self.rule not in RULES:
            raise UserError(f"pooling rule {self.rule!r} is unknown; choose one of {', '.join(RULES)}")
        if self.rule == "power" and not self.q > 0:
            raise UserError(f"a power mean needs an exponent above zero, not {self.q}; use 'geometric' for q -> 0")

    @property
    def exponent(self) -> float:
        """The exponent the rule amounts to: 0 for the geometric mean, 1 for the mean, infinity for the maximum."""
        return {"max": math.inf, "mean": 1.0, "geometric": 0.0}.get(self.rule, self.q)

    @property
    def title(self) -> str:
        """The rule as printed in tables."""
        return (
            f"power mean, Q = {self.q:g}"
            if self.rule == "power"
            else {"geometric": "geometric mean"}.get(self.rule, self.rule)
        )

    @property
    def burden_limit(self) -> float:
        """Smallest share of windows at probability 1, the others at 0, whose pooled score reaches 0.5."""
        e = self.exponent
        return 1.0 if e == 0 else (0.0 if math.isinf(e) else 0.5**e)


def pool(probability: np.ndarray, starts: np.ndarray, pooling: Pooling) -> np.ndarray:
    """Pool runs of consecutive windows.

    Parameters
    ----------
    probability : (n_windows, ...) array
        Probabilities, the windows of one unit next to each other. NaN stays NaN in its unit and column.
    starts : (n_units,) int array
        Index of each unit's first window, strictly increasing, the first one 0.
    pooling : Pooling
        The rule.

    Returns
    -------
    (n_units, ...) float64 array
        Pooled scores, between the least and the greatest probability of the unit's windows.
    """
    p = np.asarray(probability, np.float64)
    starts = np.asarray(starts, np.intp)
    if len(starts) == 0:
        return np.zeros((0, *p.shape[1:]))
    high = np.maximum.reduceat(p, starts, axis=0)
    exponent = pooling.exponent
    if math.isinf(exponent):
        return high
    sizes = np.diff(np.append(starts, len(p)))
    n = sizes.reshape(-1, *(1,) * (p.ndim - 1))
    if exponent == 1:
        pooled = np.add.reduceat(p, starts, axis=0) / n
    elif exponent == 0:
        with np.errstate(divide="ignore"):
            pooled = np.exp(np.add.reduceat(np.log(p), starts, axis=0) / n)
    else:
        # In units of the group's maximum every term is in [0, 1] and one of them is 1, so nothing under- or
        # overflows however large q is: (mean p^q)^(1/q) = high * (mean exp(q log(p / high)))^(1/q).
        scale = np.repeat(np.where(high > 0, high, 1.0), sizes, axis=0)
        with np.errstate(divide="ignore", under="ignore"):
            terms = np.exp(exponent * np.log(p / scale))
        mean = np.add.reduceat(terms, starts, axis=0) / n
        with np.errstate(divide="ignore"):
            pooled = high * np.exp(np.log(mean) / exponent)
    # Rounding may leave the interval by one unit in the last place; a mean never does.
    return np.clip(pooled, np.minimum.reduceat(p, starts, axis=0), high)
