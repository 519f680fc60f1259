"""The table of subgroups: headline ROC-AUC and AP of every variant in each, and against everybody else."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ecg_ramba.evaluation.config import RANKING_METRICS, EvaluationConfig
from ecg_ramba.evaluation.intervals import Draws, interval
from ecg_ramba.evaluation.measure import TaskContext
from ecg_ramba.evaluation.parallel import each
from ecg_ramba.evaluation.people import FILE
from ecg_ramba.evaluation.rows import MACRO, how_sure, identity
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.evaluation.subgroups import Group, Part, Ranked, attributes_of, groups_of, rank_part

if TYPE_CHECKING:
    from ecg_ramba.evaluation.evaluate import Evaluation

DRAWS = 500
"""At most this many of the bootstrap draws, the task's first ones: there are many subgroups, each with a complement."""
_KEYS = ("data", "task", "dataset", "role", "derived", "variant", "title", "kind", "reference")


def subgroup_frame(
    evaluation: "Evaluation",
    reader: ScoreReader,
    people: pd.DataFrame,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """One row a task, variant, subgroup and class (or macro average), unrounded.

    Parameters
    ----------
    evaluation : Evaluation
    reader : ScoreReader
        Of the same suite.
    people : DataFrame
        Of :func:`ecg_ramba.evaluation.people.read_people`.
    progress : callable, optional
        Called with (variants done, variants in all).

    Returns
    -------
    DataFrame
        ``roc_auc`` and ``average_precision`` with ``_lo``, ``_hi``; ``_elsewhere``, the same of everybody else;
        ``_diff``, subgroup minus everybody else, with bounds. Reasons where there is no number.
    """
    where, config = str(evaluation.suite.path / FILE), evaluation.config
    tasks = {}
    for name, context in evaluation.contexts.items():
        few = min(DRAWS, config.draws)
        draws = Draws(np.ascontiguousarray(context.draws.counts[:, :few]), context.draws.seeds[:, :few])
        groups = groups_of(context, attributes_of(people, context, where), draws, config)
        tasks[name] = (context, draws, groups)
    finished = [v for v in evaluation.suite.variants if v.name not in evaluation.failures]
    made: dict[tuple[str, str], list[dict]] = {}
    for done, variant in enumerate(sorted(finished, key=lambda v: v.windows), 1):
        for name, (context, draws, groups) in tasks.items():
            scores = reader.scores(variant, context.task).headline if groups else None
            made[name, variant.name] = _variant_rows(evaluation, variant, context, draws, groups, scores)
        if progress:
            progress(done, len(finished))
    return pd.DataFrame([row for name in tasks for v in finished for row in made[name, v.name]])


def _variant_rows(evaluation, variant, context: TaskContext, draws: Draws, groups: list[Group], scores) -> list[dict]:
    made = identity(evaluation.suite, variant, context)
    base = {k: made[k] for k in _KEYS} | {"estimate": context.estimate}
    seeds = evaluation.suite.n_seeds
    closing = {"draws": draws.counts.shape[1], "seeds": seeds, "how_sure": how_sure(seeds)}
    # The complement of one sex is the other: each part is ranked once.
    parts = {_key(p): p for g in groups for side in (g.inside, g.outside) for p in side.values()}
    level = evaluation.config.level
    found = each(lambda p: rank_part(p, context, scores[:, :, p.k], draws, level), parts.values())
    ranked = dict(zip(parts, found, strict=True))
    rows = []
    for group in groups:
        own = base | {"attribute": group.attribute, "group": group.value}
        sides = {c: (ranked[_key(group.inside[c])], ranked[_key(group.outside[c])]) for c in group.inside}
        if context.head.macro:
            counts = _macro_counts(context, group) if group.macro else {}
            of = own | {"cls": MACRO, "headline": True, "classes": "; ".join(group.macro)} | counts
            both = [_average([sides[c][i] for c in group.macro]) for i in (0, 1)]
            rows.append(of | _figures(*both, evaluation.config) | closing | {"reason": group.macro_reason})
        for c, (inside, outside) in sides.items():
            part, rest = group.inside[c], group.outside[c]
            of = own | {"cls": c, "headline": c in context.head.classes, "classes": c} | part.counts
            reason = {"reason": part.reason, "elsewhere_reason": rest.reason}
            rows.append(of | _figures(inside, outside, evaluation.config) | closing | reason)
    return rows


def _key(part: Part) -> tuple[int, bytes]:
    return part.k, np.packbits(part.scored).tobytes()


def _average(ranked: list[Ranked]) -> Ranked:
    if not ranked:
        return Ranked(np.full(2, np.nan), None)
    return Ranked(np.mean([r.value for r in ranked], axis=0), np.mean([r.draws for r in ranked], axis=0))


def _macro_counts(context: TaskContext, group: Group) -> dict[str, float]:
    """Units and subjects over the classes together, as the report's headline counts them."""
    units, parts = context.units, [group.inside[c] for c in group.macro]
    scored = np.any([p.scored for p in parts], axis=0)
    positive = np.any([p.scored & units.positive[:, p.k] for p in parts], axis=0)
    return {
        "units": int(scored.sum()),
        "subjects": len(np.unique(units.subject[scored])),
        "positives": sum(p.counts["positives"] for p in parts),
        "positive_subjects": len(np.unique(units.subject[positive])),
        "negative_subjects": min(p.counts["negative_subjects"] for p in parts),
        "prevalence": float(np.mean([p.counts["prevalence"] for p in parts])),
    }


def _figures(inside: Ranked, outside: Ranked, config: EvaluationConfig) -> dict[str, float]:
    out = {}
    for i, metric in enumerate(RANKING_METRICS):
        bounds = interval(None if inside.draws is None else inside.draws[i], config.level)
        out[metric], (out[f"{metric}_lo"], out[f"{metric}_hi"]) = float(inside.value[i]), bounds
        out[f"{metric}_elsewhere"] = float(outside.value[i])
        out[f"{metric}_diff"] = float(inside.value[i] - outside.value[i])
        apart = None if inside.draws is None or outside.draws is None else inside.draws[i] - outside.draws[i]
        out[f"{metric}_diff_lo"], out[f"{metric}_diff_hi"] = interval(apart, config.level)
    return out
