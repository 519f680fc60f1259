"""Rows of the robustness study: what one stress does to one variant on one task, in every metric."""

import math
from dataclasses import dataclass

import numpy as np

from ecg_ramba.evaluation.config import METRICS, NO_SUPPORT, RANKING_METRICS, EvaluationConfig
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.intervals import interval, widening
from ecg_ramba.evaluation.measure import Measured, TaskContext, macro
from ecg_ramba.evaluation.metrics import totals
from ecg_ramba.evaluation.rows import MACRO, how_sure, no_interval
from ecg_ramba.evaluation.scores import nan_mean
from ecg_ramba.evaluation.suite import Variant
from ecg_ramba.evaluation.verdicts import verdict
from studies.robustness.stresses import Stress
from studies.robustness.units import counts

SHIFT, MOVED, FLIPPED = "mean_shift", "mean_absolute_shift", "flipped"
LABEL_FREE = (SHIFT, MOVED, FLIPPED)
"""Mean of stressed minus clean probability, mean of its absolute value, and share of decisions at the threshold that
change, over units and classes. They need no labels."""
NO_LABELS = "no labels needed"


@dataclass(frozen=True)
class Found:
    """A variant's clean and stressed measurements on the same units, and the label-free figures of the two."""

    clean: dict[str, Measured]
    stressed: dict[str, Measured]
    label_free: dict[str, tuple[float, np.ndarray]]


def base_row(evaluation: Evaluation, full: TaskContext, stress: Stress, v: Variant) -> dict:
    """What every row of a variant on a task under a stress says."""
    numbers = ("clean", "stressed", "diff", "lo", "hi", "excess", "excess_lo", "excess_hi")
    sizes = ("units", "subjects", "positives", "positive_subjects", "recordings")
    return {
        **dict.fromkeys(numbers, math.nan),
        **dict.fromkeys(sizes, 0),
        "task": full.task.name,
        "dataset": full.task.dataset,
        "stress": stress.name,
        "group": stress.group,
        "family": stress.family,
        "level": stress.level,
        "variant": v.name,
        "title": v.title_on(full.task),
        "reference": v.reference,
        "status": "ok",
        "cls": "",
        "support": NO_SUPPORT,
        "classes": "",
        "metric": "roc_auc",
        "verdict": "",
        "seeds": evaluation.suite.n_seeds,
        "how_sure": how_sure(evaluation.suite.n_seeds),
        "reason": "",
    }


def label_free(context: TaskContext, clean: np.ndarray, now: np.ndarray, config: EvaluationConfig) -> dict:
    """Each of :data:`LABEL_FREE`, with its draws (D,), over the classes of the headline (without one: of the macro).

    Draws are spread for few subjects as those of scores are (:func:`ecg_ramba.evaluation.intervals.widening`).

    Parameters
    ----------
    context : TaskContext
    clean, now : (n_seeds, n_units, K) arrays
        Pooled scores; NaN where no model was trained on a class, which is then left out.
    config : EvaluationConfig
    """
    names = [s.name for s in context.task.scores]
    columns = [names.index(c) for c in context.head.classes or context.task.macro]
    a, b = clean[:, :, columns], now[:, :, columns]
    flipped = np.where(np.isfinite(a), (a >= config.threshold) != (b >= config.threshold), np.nan)
    units, size, out = context.units.subject, len(context.units.subjects), {}
    spread = widening(size, config.level)
    for name, each in zip(LABEL_FREE, (b - a, np.abs(b - a), flipped), strict=True):
        per_unit = nan_mean(each, axis=2)  # (n_seeds, n_units)
        drawn = []
        for seed in per_unit:
            values = np.stack([seed, np.ones_like(seed)])
            total, count = context.draws.apply(lambda w, v=values: totals(v, units, size, w, None))
            drawn.append(np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0))
        value = float(per_unit.mean())
        draws = sum(share * d for share, d in zip(context.draws.seeds, drawn, strict=True))
        out[name] = value, np.clip(value + spread * (draws - value), -1 if name == SHIFT else 0, 1)
    return out


def figures(
    evaluation: Evaluation, context: TaskContext, base: dict, found: Found, reference: Found | None
) -> list[dict]:
    """Rows of one variant on one task under one stress: the headline, every class, and what needs no labels."""
    head, rows = context.head, []
    base = base | {"recordings": len(np.unique(context.units.record.astype(str)))}
    if head.macro and head.support != NO_SUPPORT:
        own = base | {"cls": MACRO, "support": head.support}
        rows += _metric_rows(evaluation, context, own, head.classes, METRICS, found, reference)
    elif head.macro:
        rows.append(base | {"cls": MACRO, "reason": head.reason, "classes": "; ".join(context.task.macro)})
    for cls, support in context.support.items():
        own = base | {"cls": cls, "support": support.level(evaluation.config)}
        if own["support"] != NO_SUPPORT:
            metrics = RANKING_METRICS if head.macro or cls not in head.classes else METRICS
            rows += _metric_rows(evaluation, context, own, (cls,), metrics, found, reference)
        elif cls in head.classes:
            rows.append(base | {"cls": cls, "classes": cls, "reason": "positives or negatives are missing"})
    return rows + _label_free_rows(evaluation, context, base, found, reference)


def _label_free_rows(evaluation, context: TaskContext, base: dict, found: Found, reference: Found | None) -> list[dict]:
    config, rows = evaluation.config, []
    size = {"units": len(context.units), "subjects": len(context.units.subjects)}
    few = size["subjects"] < config.interval_subjects
    why = f"no interval: {size['subjects']} subjects, {config.interval_subjects} needed" if few else ""
    classes = "; ".join(context.head.classes or context.task.macro)
    for metric, (value, draws) in found.label_free.items():
        row = base | size | {"cls": MACRO, "support": NO_LABELS, "classes": classes, "metric": metric, "diff": value}
        row["lo"], row["hi"] = interval(None if few else draws, config.level)
        if reference is not None:
            other, paired = reference.label_free[metric]
            row["excess"] = value - other
            row["excess_lo"], row["excess_hi"] = interval(None if few else draws - paired, config.level)
        rows.append(row | {"reason": why})
    return rows


def _metric_rows(evaluation, context: TaskContext, base: dict, classes, metrics, found: Found, reference) -> list[dict]:
    config, rows = evaluation.config, []
    clean, now = macro(found.clean, classes), macro(found.stressed, classes)
    other = None if reference is None else (macro(reference.clean, classes), macro(reference.stressed, classes))
    why = no_interval(context, classes, config)
    base = base | counts(context, classes) | {"classes": "; ".join(classes)}
    for metric in metrics:
        key = (context.estimate, metric)
        row = base | {"metric": metric, "clean": clean.value[key], "stressed": now.value[key]}
        row["diff"], draws = _difference(now, clean, key)
        draws = None if why else draws
        row["lo"], row["hi"] = interval(draws, config.level)
        if other is not None:
            value, paired = _difference(other[1], other[0], key)
            paired = None if draws is None or paired is None else draws - paired
            row["excess"] = row["diff"] - value
            row["excess_lo"], row["excess_hi"] = interval(paired, config.level)
            if metric == "roc_auc":
                against = None if paired is None else -paired
                row["verdict"] = verdict(against, base["support"], evaluation.suite.n_seeds, config)
        rows.append(row | {"reason": why if metric in RANKING_METRICS else ""})
    return rows


def _difference(a: Measured, b: Measured, key) -> tuple[float, np.ndarray | None]:
    draws = a.draws[key] - b.draws[key] if key in a.draws and key in b.draws else None
    return a.value[key] - b.value[key], draws
