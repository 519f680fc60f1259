"""Main effects and interactions of a factorial design, from variants whose factors are named.

A factor's effect is the mean, over all pairs of variants that differ in that factor alone, of the difference of their
headline scores; an interaction is the mean over all squares of the difference of differences. All differences are
taken on the same bootstrap draws, so the intervals are paired. A design need not be complete: what has no pair has no
effect, and the number of pairs is given.
"""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

import numpy as np

from ecg_ramba.evaluation.intervals import interval

K = TypeVar("K", bound=Hashable)
Cell = tuple[tuple[str, str], ...]
"""The levels of one variant: ((factor, level), …), sorted by factor."""


@dataclass(frozen=True)
class Scored:
    """A variant's headline score and its bootstrap draws, (D,), or None where no interval may be given."""

    value: float
    draws: np.ndarray | None


def combine(weights: Mapping[K, float], scored: Mapping[K, Scored]) -> Scored:
    """A weighted sum of scores, draw by draw; without draws where one of them has none.

    Parameters
    ----------
    weights : mapping
        Which scores, each with its weight; at least one.
    scored : mapping
        Scores of one task, so that their draws are the same subjects.
    """
    value = sum(w * scored[k].value for k, w in weights.items())
    if any(scored[k].draws is None for k in weights):
        return Scored(value, None)
    return Scored(value, np.sum([w * scored[k].draws for k, w in weights.items()], axis=0))


@dataclass(frozen=True)
class Effect:
    """One line of the factorial table.

    Parameters
    ----------
    name : str
        ``rhythm: on - off``, or ``rhythm x backbone: (on - off) at mamba - attention``.
    order : int
        1 for a main effect, 2 for an interaction of two factors.
    contrasts : int
        Pairs (or squares) that it is the mean of.
    value, low, high : float
        In units of ROC-AUC; the bounds are NaN without an interval.
    """

    name: str
    order: int
    contrasts: int
    value: float
    low: float
    high: float


def effects(cells: Mapping[Cell, Scored], level: float) -> list[Effect]:
    """All main effects and two-factor interactions of a design.

    Parameters
    ----------
    cells : mapping of Cell to Scored
        One scored variant a combination of levels. Cells that name other factors have no pair with each other.
    level : float
        Coverage of the intervals.

    Returns
    -------
    list of Effect
        Main effects first. A factor of several levels has one line a pair of levels.
    """
    levels: dict[str, list[str]] = {}
    for cell in cells:
        for factor, name in cell:
            if name not in levels.setdefault(factor, []):
                levels[factor].append(name)
    pairs = [(factor, *two) for factor, names in sorted(levels.items()) for two in combinations(names, 2)]
    out = []
    for factor, a, b in pairs:
        rows = [{with_a: 1.0, with_b: -1.0} for with_a, with_b in _pairs(cells, factor, a, b)]
        out.append(_effect(f"{factor}: {a} - {b}", 1, rows, cells, level))
    for (f, a, b), (g, c, d) in combinations(pairs, 2):
        if f == g:
            continue
        rows = []
        for at_a, at_b in _pairs(cells, f, a, b):
            if dict(at_a).get(g) != c:
                continue
            other_a, other_b = _replace(at_a, g, d), _replace(at_b, g, d)
            if other_a in cells and other_b in cells:
                rows.append({at_a: 1.0, at_b: -1.0, other_a: -1.0, other_b: 1.0})
        out.append(_effect(f"{f} x {g}: ({a} - {b}) at {c} - {d}", 2, rows, cells, level))
    return [e for e in out if e.contrasts]


def _replace(cell: Cell, factor: str, level: str) -> Cell:
    return tuple(sorted((dict(cell) | {factor: level}).items()))


def _pairs(cells: Mapping[Cell, Scored], factor: str, a: str, b: str) -> list[tuple[Cell, Cell]]:
    """Cells at level ``a`` with their neighbours at level ``b``, all else equal."""
    found = [(cell, _replace(cell, factor, b)) for cell in cells if dict(cell).get(factor) == a]
    return [(one, other) for one, other in found if other in cells]


def _effect(name: str, order: int, rows: list[dict[Cell, float]], cells: Mapping[Cell, Scored], level: float) -> Effect:
    weights: dict[Cell, float] = {}
    for row in rows:
        for cell, weight in row.items():
            weights[cell] = weights.get(cell, 0.0) + weight / len(rows)
    made = combine(weights, cells) if rows else Scored(math.nan, None)
    return Effect(name, order, len(rows), made.value, *interval(made.draws, level))
