"""Measured values -> tidy rows: one row a task, variant, class (or macro), estimate and metric."""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from ecg_ramba.evaluation.config import (
    BELOW_SUPPORT,
    CHALLENGE,
    CHALLENGE_SCORE,
    FOLD_MEAN,
    FOLD_MODELS,
    METRICS,
    NO_SUPPORT,
    PROTOCOL_SUPPORT,
    RANKING_METRICS,
    EvaluationConfig,
)
from ecg_ramba.evaluation.intervals import interval, withheld
from ecg_ramba.evaluation.measure import Measured, TaskContext, macro
from ecg_ramba.evaluation.suite import Suite, Variant
from ecg_ramba.evaluation.verdicts import verdict

MACRO = "macro"
COLUMNS = (
    *("data", "task", "dataset", "role", "derived", "variant", "title", "kind", "pooling", "reference", "status"),
    "overlap",
    *("cls", "support", "classes", "estimate", "metric", "value", "lo", "hi", "diff", "diff_lo", "diff_hi"),
    *("gap", "gap_lo", "gap_hi", "gap_diff", "gap_diff_lo", "gap_diff_hi", "gap_classes", "gap_reason"),
    *("verdict", "gap_verdict"),
    *("units", "subjects", "positives", "positive_subjects", "negative_subjects", "prevalence", "paced", "folds"),
    *("folds_left_out", "draws", "draws_short", "seeds", "how_sure", "parameters", "flops", "seconds", "peak_mb"),
    "reason",
)
_NUMBERS = COLUMNS[COLUMNS.index("value") : COLUMNS.index("gap_classes")]
_COUNTS = COLUMNS[COLUMNS.index("units") : COLUMNS.index("seeds")]


def how_sure(seeds: int) -> str:
    """What the intervals do and do not cover, in words."""
    if seeds == 1:
        return "single training run"
    return f"{seeds} training runs, seeds {'resampled' if seeds >= 3 else 'not resampled'}"


@dataclass(frozen=True)
class Compared:
    """One variant's measurements on a task and its source, beside the reference's (None where it has none)."""

    own: dict[str, Measured]
    reference: dict[str, Measured] | None
    own_source: dict[str, Measured] | None
    reference_source: dict[str, Measured] | None


def identity(suite: Suite, variant: Variant, context: TaskContext) -> dict:
    """The columns that say which variant and which task a row is about."""
    task = context.task
    return {
        **dict.fromkeys(_NUMBERS, math.nan),
        **dict.fromkeys(_COUNTS, 0),
        "data": "synthetic" if suite.synthetic else "real",
        "task": task.name,
        "dataset": task.dataset,
        "role": task.role,
        "derived": task.derived,
        "variant": variant.name,
        "title": variant.title_on(task),
        "overlap": dict(variant.overlap).get(task.dataset, ""),
        "kind": variant.kind,
        "pooling": variant.pooling.title,
        "reference": variant.reference,
        "status": "ok",
        "gap_classes": "",
        "gap_reason": "",
        "verdict": "",
        "gap_verdict": "",
        "seeds": suite.n_seeds,
        "how_sure": how_sure(suite.n_seeds),
        "parameters": variant.parameters,
        "flops": variant.flops,
        "seconds": variant.seconds,
        "peak_mb": variant.peak_mb,
        "reason": "",
        "prevalence": math.nan,
    }


def _counts(context: TaskContext, classes: tuple[str, ...], config: EvaluationConfig) -> dict:
    """Support of a class, or of the classes of a macro together; the same for all models, so worked out once."""
    if classes not in context.cache:
        context.cache[classes] = _count(context, classes, config)
    return context.cache[classes]


def _count(context: TaskContext, classes: tuple[str, ...], config: EvaluationConfig) -> dict:
    chosen = [context.support[c] for c in classes]
    units, k = context.units, [s.name for s in context.task.scores]
    positive = np.zeros(len(units), bool)
    scored = np.zeros(len(units), bool)
    for s in chosen:
        positive |= s.scored & units.positive[:, k.index(s.name)]
        scored |= s.scored
    short = [context.short[s.name] for s in chosen]
    return {
        "units": int(scored.sum()),
        "subjects": len(np.unique(units.subject[scored])),
        "positives": sum(s.positives for s in chosen),
        "positive_subjects": len(np.unique(units.subject[positive])),
        "negative_subjects": min((s.negative_subjects for s in chosen), default=0),
        "prevalence": float(np.mean([s.prevalence for s in chosen])) if chosen else math.nan,
        "paced": int((scored & units.paced).sum()),
        "folds": min((s.folds for s in chosen), default=0),
        "folds_left_out": max((s.left_out for s in chosen), default=0),
        "draws": config.draws,
        "draws_short": int(np.any(short, axis=0).sum()) if short else 0,
    }


def _worst_short(context: TaskContext, classes: tuple[str, ...]) -> float:
    """Largest share of draws that lack one of the classes."""
    return max((float(context.short[c].mean()) for c in classes), default=1.0)


def no_interval(context: TaskContext, classes: tuple[str, ...], config: EvaluationConfig) -> str:
    """Why a figure over these classes has no interval ("" where it has one).

    Subjects count over the classes together (positive for any of them); draws that lack a class count for the class
    that lacks most.
    """
    counts = _counts(context, classes, config)
    missing = _worst_short(context, classes)
    negative = counts["negative_subjects"] if len(classes) == 1 else counts["subjects"]
    return withheld(counts["positive_subjects"], negative, missing, config.interval_subjects, config.max_missing)


def _difference(a: Measured, b: Measured, key) -> tuple[float, np.ndarray | None]:
    value = a.value.get(key, math.nan) - b.value.get(key, math.nan)
    return value, a.draws[key] - b.draws[key] if key in a.draws and key in b.draws else None


def _gap(own: Measured, source: Measured) -> tuple[float, np.ndarray | None]:
    """Source out-of-fold minus target, fold models on both sides; the draws of the two sides are independent."""
    at_source, at_target = (FOLD_MEAN, "roc_auc"), (FOLD_MODELS, "roc_auc")
    value = source.value.get(at_source, math.nan) - own.value.get(at_target, math.nan)
    if at_source in source.draws and at_target in own.draws:
        return value, source.draws[at_source] - own.draws[at_target]
    return value, None


def _gap_columns(
    context: TaskContext, source: TaskContext, c: Compared, classes, config, is_reference: bool, judge
) -> dict:
    """Transfer gap over ``classes`` and its paired difference from the reference's; ``judge`` gives a verdict."""
    if not classes or c.own_source is None:
        return {}

    def gap(own, at_source):
        return _gap(macro(own, classes), macro(at_source, classes))

    out = {"gap_classes": "; ".join(classes)}
    reason = no_interval(context, classes, config) or no_interval(source, classes, config)
    if reason:
        out["gap_reason"] = reason
    out["gap"], draws = gap(c.own, c.own_source)
    out["gap_lo"], out["gap_hi"] = interval(None if reason else draws, config.level)
    if c.reference is not None and not is_reference:
        value, other = gap(c.reference, c.reference_source)
        out["gap_diff"] = out["gap"] - value
        paired = None if reason or draws is None or other is None else draws - other
        out["gap_diff_lo"], out["gap_diff_hi"] = interval(paired, config.level)
        out["gap_verdict"] = judge(paired)
    return out


def figure_rows(suite, variant, context, source, compared, classes, config, headline: bool, support: str) -> list[dict]:
    """All rows of one figure: a class by itself, or a macro average over ``classes``.

    Parameters
    ----------
    suite, variant : Suite, Variant
    context : TaskContext
    source : TaskContext or None
        The source task's, where there is one.
    compared : Compared
    classes : tuple of str
    config : EvaluationConfig
    headline : bool
        Whether this is a macro average.
    support : str
        As printed in the column of that name.
    """
    base = identity(suite, variant, context) | _counts(context, classes, config)
    base |= {"cls": MACRO if headline else classes[0], "support": support, "classes": "; ".join(classes)}
    own = macro(compared.own, classes)
    reference = macro(compared.reference, classes) if compared.reference is not None and not variant.reference else None
    reason = no_interval(context, classes, config)
    judge = partial(verdict, support=support, seeds=suite.n_seeds, config=config)
    rows = []
    for estimate in dict.fromkeys(e for e, _ in own.value):
        for metric in METRICS:
            key = (estimate, metric)
            if key not in own.value:
                continue
            row = base | {"estimate": estimate, "metric": metric, "value": own.value[key]}
            if metric in RANKING_METRICS:
                row["reason"] = reason
                row["lo"], row["hi"] = interval(None if reason else own.draws.get(key), config.level)
            if reference is not None:
                row["diff"], paired = _difference(own, reference, key)
                paired = None if reason else paired
                row["diff_lo"], row["diff_hi"] = interval(paired, config.level)
                if metric in RANKING_METRICS:
                    row["verdict"] = judge(None if paired is None else -paired)
            if key == (context.estimate, "roc_auc") and source is not None and not context.task.source:
                both = tuple(
                    c for c in classes if c in context.gap_classes and _source_support(source, c, support, config)
                )
                row |= _gap_columns(context, source, compared, both, config, variant.reference, judge)
            rows.append(row)
    return rows


def challenge_row(suite, variant, context: TaskContext, compared: Compared, config: EvaluationConfig) -> dict:
    """The row of the challenge's score, which has no verdict and no transfer gap: the margins are of ROC-AUC."""
    c, key = context.challenge, (context.estimate, CHALLENGE_SCORE)
    positive = c.counts["positive_subjects"]
    enough = c.counts["positives"] >= config.min_positives and positive >= config.min_subjects
    row = identity(suite, variant, context) | c.counts | {"cls": CHALLENGE, "classes": "; ".join(c.classes)}
    row |= {"support": PROTOCOL_SUPPORT if enough else BELOW_SUPPORT, "estimate": key[0], "metric": key[1]}
    missing = float(c.short.mean())
    reason = withheld(positive, c.counts["subjects"], missing, config.interval_subjects, config.max_missing)
    own = compared.own[CHALLENGE]
    row |= {"value": own.value[key], "reason": reason}
    row["lo"], row["hi"] = interval(None if reason else own.draws[key], config.level)
    if compared.reference is not None and not variant.reference:
        row["diff"], paired = _difference(own, compared.reference[CHALLENGE], key)
        row["diff_lo"], row["diff_hi"] = interval(None if reason else paired, config.level)
    return row


def _source_support(source: TaskContext, cls: str, support: str, config: EvaluationConfig) -> bool:
    """Whether the source knows the class well enough for a gap at this level of support."""
    s = source.support[cls]
    if support in (BELOW_SUPPORT, NO_SUPPORT):
        return s.meets(config.explore_positives, config.explore_subjects)
    return s.meets(config.min_positives, config.min_subjects)


def empty_row(suite, variant, context, cls: str, config: EvaluationConfig, reason: str, status: str = "ok") -> dict:
    """A row without a number that says why."""
    row = identity(suite, variant, context)
    classes = context.head.classes if cls == MACRO else (cls,)
    row |= _counts(context, classes, config)
    row |= {"cls": cls, "support": NO_SUPPORT, "classes": "; ".join(classes), "estimate": context.estimate}
    return row | {"metric": "roc_auc", "status": status, "reason": reason}
