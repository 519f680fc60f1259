"""Subgroups of a task by sex, age band, hospital and device: their units, their support, and how well they rank."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.config import NO_SUPPORT, EvaluationConfig
from ecg_ramba.evaluation.intervals import Draws, widened, widening, withheld
from ecg_ramba.evaluation.measure import TaskContext, short_draws
from ecg_ramba.evaluation.metrics import Ranking
from ecg_ramba.evaluation.scores import nan_mean

ATTRIBUTES = ("sex", "age", "hospital", "device")
AGES = {"<40": 0.0, "40-59": 40.0, "60-79": 60.0, ">=80": 80.0}
"""Age band -> the age in years that it begins at."""
UNKNOWN = "unknown"


def age_band(age: np.ndarray) -> np.ndarray:
    """(n,) band of each age as in :data:`AGES`; unknown where it is not a number of 0 or more."""
    age = np.asarray(age, np.float64)
    names = np.array([UNKNOWN, *AGES], object)
    return names[np.where(age >= 0, np.searchsorted(list(AGES.values()), age, side="right"), 0)]


def attributes_of(people: pd.DataFrame, context: TaskContext, where: str) -> dict[str, np.ndarray]:
    """Attribute -> its value for each unit of a task, (n_units,) str; without attributes that have one value only.

    Raises
    ------
    UserError
        If a record of the task is not among the recordings.
    """
    rows = people[people["dataset"] == context.task.dataset]
    place = pd.Index(rows["record"].astype(str)).get_indexer(context.units.record)
    if (place < 0).any():
        record = context.units.record[np.argmax(place < 0)]
        raise UserError(f"{where}: no row for {context.task.dataset} record {record}; run the suite again")
    rows = rows.iloc[place]
    out = {}
    for name in ATTRIBUTES:
        if name == "age":
            values = age_band(rows["age"].to_numpy())
        else:
            text = rows[name].fillna("").astype(str).str.strip()
            values = np.where(text == "", UNKNOWN, text).astype(object)
        if len(set(values)) > 1:
            out[name] = values
    return out


@dataclass(frozen=True)
class Part:
    """The scored units of one class that lie in a subgroup, or outside it: the same for all models.

    ``rankings``: units ranked together, (n_units,) bool each: one at a target, one a source fold with both outcomes.
    ``reason``: why there is no interval, or no figure.
    """

    k: int
    scored: np.ndarray
    counts: dict[str, float]
    rankings: tuple[np.ndarray, ...]
    reason: str


def part_of(context: TaskContext, k: int, inside: np.ndarray, draws: Draws, config: EvaluationConfig) -> Part:
    """One class within the units ``inside``, (n_units,) bool."""
    units, support = context.units, context.support[context.task.scores[k].name]
    scored, positive = support.scored & inside, units.positive[:, k]
    masks = [scored & (units.fold == f) for f in np.unique(units.fold[scored])] if context.task.source else [scored]
    rankings = tuple(m for m in masks if (m & positive).any() and (m & ~positive).any())
    people = [len(np.unique(units.subject[m])) for m in (scored, scored & positive, scored & ~positive)]
    n, yes = int(scored.sum()), int((scored & positive).sum())
    counts = dict(zip(("subjects", "positive_subjects", "negative_subjects"), people, strict=True))
    counts |= {"units": n, "positives": yes, "prevalence": yes / n if n else math.nan}
    if not rankings:
        return Part(k, scored, counts, (), "no figure: one outcome only" if n else "no figure: no labelled unit")
    reason = withheld(*people[1:], 0.0, config.interval_subjects, config.max_missing)
    if not reason:
        missing = float(short_draws(units, k, replace(support, scored=scored), draws, context.task.source).mean())
        reason = withheld(*people[1:], missing, config.interval_subjects, config.max_missing)
    return Part(k, scored, counts, rankings, reason)


@dataclass(frozen=True)
class Group:
    """A subgroup, its complement within the same attribute, and the classes of its macro average ("" for none)."""

    attribute: str
    value: str
    inside: dict[str, Part]
    outside: dict[str, Part]
    macro: tuple[str, ...]
    macro_reason: str


def groups_of(
    context: TaskContext, attributes: Mapping[str, np.ndarray], draws: Draws, config: EvaluationConfig
) -> list[Group]:
    """All subgroups of a task. A macro average is over headline classes with intervals on both sides, three or more."""
    names = {s.name: k for k, s in enumerate(context.task.scores)}
    names = {n: k for n, k in names.items() if context.support[n].level(config) != NO_SUPPORT}
    out = []
    for attribute, values in attributes.items():
        order = list(AGES) if attribute == "age" else sorted(set(values) - {UNKNOWN})
        for value in [v for v in (*order, UNKNOWN) if (values == v).any()]:
            inside, outside = (
                {n: part_of(context, k, m, draws, config) for n, k in names.items()}
                for m in (values == value, values != value)
            )
            both = tuple(c for c in context.head.classes if not (inside[c].reason or outside[c].reason))
            enough = len(both) >= config.macro_classes
            reason = f"no macro figure: {len(both)} classes with intervals on both sides, {config.macro_classes} needed"
            out.append(Group(attribute, value, inside, outside, both if enough else (), "" if enough else reason))
    return out


@dataclass(frozen=True)
class Ranked:
    """ROC-AUC and AP of one part: ``value`` (2,), and ``draws`` (2, D), or None where there is no interval."""

    value: np.ndarray
    draws: np.ndarray | None


def rank_part(part: Part, context: TaskContext, scores: np.ndarray, draws: Draws, level: float) -> Ranked:
    """Headline estimate within a part: at the source the mean over folds; several seeds: their mean.

    Parameters
    ----------
    part : Part
    context : TaskContext
    scores : (n_seeds, n_units) array
        Of the part's class.
    draws : Draws
        Shared by all parts and models, so a subject that is on both sides of a comparison is drawn for both.
    level : float
        Of the intervals that the draws are for; where there are few subjects they are spread for it.
    """
    units, points, drawn = context.units, [], []
    for score in scores:
        made = [
            Ranking(units.positive[at, part.k], score[at], units.subject[at], len(units.subjects))
            for at in part.rankings
        ]
        points += [np.ravel(r()) for r in made]
        if not part.reason:
            drawn.append(nan_mean(np.stack([draws.apply(r) for r in made])))
    value = nan_mean(np.array(points)) if points else np.full(2, np.nan)
    if not drawn:
        return Ranked(value, None)
    shared = sum(share * d for share, d in zip(draws.seeds, drawn, strict=True))
    factor = widening(min(part.counts["positive_subjects"], part.counts["negative_subjects"]), level)
    return Ranked(value, widened(shared, value[:, None], factor))
