"""How scores move with the pooling of windows: geometric mean, power means from Q = 1 (the mean) to 8, maximum.

Pooling acts at inference alone, so every curve is a function of the stored windows: nothing is trained again, and each
variant's windows are read once. All poolings of a variant are compared with the power mean with Q = 3, the protocol's,
on the same bootstrap draws of subjects. The exponent is fixed in advance; a best one read off these curves would have
been chosen on the very data it is scored on.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecg_ramba.document import Figure, Section, Table, Text
from ecg_ramba.evaluation.config import NO_SUPPORT, PROTOCOL_SUPPORT
from ecg_ramba.evaluation.drawn import DrawnMetrics
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.factorial import combine
from ecg_ramba.evaluation.intervals import interval
from ecg_ramba.evaluation.measure import TaskContext
from ecg_ramba.evaluation.pooled import DEFAULT, POOLINGS, figures_of, label, own_windows, pooled_scores
from ecg_ramba.evaluation.pooling_burden import BurdenScores, burden_rows
from ecg_ramba.evaluation.pooling_burden_text import burden_section
from ecg_ramba.evaluation.pooling_figures import draw_curves
from ecg_ramba.evaluation.rows import MACRO, how_sure, no_interval
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.evaluation.scores import window_units
from ecg_ramba.evaluation.suite import Variant
from ecg_ramba.evaluation.tables import bracketed, kind_of, slug

METRICS = ("roc_auc", "average_precision", "f1", "sensitivity", "specificity", "brier")
TITLES = {
    "roc_auc": "ROC-AUC",
    "average_precision": "AP",
    "f1": "F1 at 0.5",
    "sensitivity": "sensitivity at 0.5",
    "specificity": "specificity at 0.5",
    "brier": "Brier",
}
COLUMNS = (
    *("data", "task", "dataset", "role", "unit", "windows_a_unit", "variant", "title", "reference", "pooling"),
    *("exponent", "cls", "classes", "support", "metric", "value", "lo", "hi", "diff", "diff_lo", "diff_hi"),
    *("seeds", "how_sure", "reason"),
)
HOW = (
    "The same stored window probabilities, pooled in seven ways: the power mean's exponent Q runs from the geometric "
    "mean (Q to 0) over the mean (Q = 1) to the maximum (Q to infinity). Nothing is trained again. Differences are "
    "from the protocol's power mean with Q = 3, on the same bootstrap draws of subjects. Q = 3 was fixed in advance: "
    "a better one read off these curves would be chosen on the data it is scored on, so none is recommended here. "
    "Where a unit has three windows, as a 10 s segment has, little can move; records of many windows come first."
)


@dataclass(frozen=True)
class Curves:
    """All that the section shows: ``table`` as :data:`COLUMNS`; ``windows``: task -> median windows a unit."""

    table: pd.DataFrame
    burden: BurdenScores
    windows: dict[str, float]


def curves(
    evaluation: Evaluation,
    reader: ScoreReader,
    progress: Callable[[int, int], None] | None = None,
    most: int | None = None,
) -> Curves:
    """Score the variants of a suite under every pooling of :data:`POOLINGS`.

    Parameters
    ----------
    evaluation : Evaluation
    reader : ScoreReader
        Of the same suite.
    progress : callable, optional
        Called with (variants done, variants in all).
    most : int, optional
        Variants at most, the reference first; by default all.
    """
    rows, windows, burdens = [], {}, BurdenScores()
    variants = own_windows(evaluation)[:most]
    for done, variant in enumerate(variants, 1):
        where = str(evaluation.suite.path / variant.windows)
        for name, context in evaluation.contexts.items():
            predictions = reader.windows(variant, context.task)
            pooled = pooled_scores(predictions, context.task, context.units, POOLINGS, where)
            if name not in windows:
                order, starts = window_units(predictions, context.task, context.units, where)
                windows[name] = float(np.median(np.diff(np.append(starts, len(order)))))
            base = _identity(evaluation, variant, context) | {"windows_a_unit": windows[name]}
            rows += _curve_rows(evaluation, context, base, pooled)
            burdens.add(burden_rows(evaluation, variant, context, pooled))
        if progress:
            progress(done, len(variants))
    return Curves(pd.DataFrame(rows, columns=list(COLUMNS)), burdens, windows)


def _identity(evaluation: Evaluation, variant: Variant, context: TaskContext) -> dict:
    task, seeds = context.task, evaluation.suite.n_seeds
    return {
        "data": "synthetic" if evaluation.suite.synthetic else "real",
        "task": task.name,
        "dataset": task.dataset,
        "role": task.role,
        "unit": task.unit,
        "variant": variant.name,
        "title": variant.title_on(task),
        "reference": variant.reference,
        "seeds": seeds,
        "how_sure": how_sure(seeds),
        "reason": "",
    }


def _curve_rows(evaluation: Evaluation, context: TaskContext, base: dict, pooled: list[np.ndarray]) -> list[dict]:
    """Rows of one variant on one task."""
    config, rows = evaluation.config, []
    drawn = DrawnMetrics(context, config)
    for cls, classes, support in figures_of(context, config):
        reason = no_interval(context, classes, config)
        made = {rule: drawn.figure(s, classes, not reason) for rule, s in zip(POOLINGS, pooled, strict=True)}
        for rule, of in made.items():
            row = base | {"pooling": label(rule), "exponent": rule.exponent, "cls": cls, "classes": "; ".join(classes)}
            row |= {"support": support, "reason": reason}
            for metric in METRICS:
                scored = of[metric]
                low, high = interval(scored.draws, config.level)
                apart = combine({"own": 1.0, "default": -1.0}, {"own": scored, "default": made[DEFAULT][metric]})
                bounds = interval(apart.draws, config.level)
                values = {"value": scored.value, "lo": low, "hi": high}
                rows.append(
                    row | {"metric": metric, **values, "diff": apart.value, "diff_lo": bounds[0], "diff_hi": bounds[1]}
                )
    if not rows:
        reason = context.head.reason or "no class with enough of both outcomes"
        rows.append(base | {"cls": MACRO, "support": NO_SUPPORT, "metric": "roc_auc", "reason": reason})
    return rows


def section(
    evaluation: Evaluation,
    reader: ScoreReader,
    progress: Callable[[int, int], None] | None = None,
    most: int | None = None,
) -> Section:
    """The pooling curves of a suite, tasks of many windows a unit first, and AF burden against the pooled score.

    Parameters
    ----------
    evaluation : Evaluation
    reader : ScoreReader
        Of the same suite.
    progress : callable, optional
        Called with (variants done, variants in all).
    most : int, optional
        Variants at most, the reference first; by default all.
    """
    made, kind = curves(evaluation, reader, progress, most), kind_of(evaluation)
    title = f"{kind}Pooling of windows"
    if made.table.empty:
        return Section(title, (Text("No variant has numbers, so nothing can be pooled."),))
    frames = {"pooling_curve": made.table} | made.burden.frames()
    tasks = sorted(made.windows, key=lambda name: -made.windows[name])
    parts = [Text(HOW), *burden_section(evaluation, made.burden, kind)]
    parts += [_task_section(evaluation, name, made, kind) for name in tasks]
    if (more := len(own_windows(evaluation)) - made.table["variant"].nunique()) > 0:
        parts.insert(1, Text(f"{more} more variants: `nox -s studies -- pooling` takes all, or those of `--only`."))
    if evaluation.failures:
        lines = [f"- `{name}`: {reason}" for name, reason in evaluation.failures.items()]
        parts.insert(1, Text("Without numbers:\n\n" + "\n".join(lines)))
    return Section(title, tuple(parts), frames)


def _task_section(evaluation: Evaluation, task: str, made: Curves, kind: str) -> Section:
    context, rows = evaluation.contexts[task], made.table[made.table["task"] == task]
    where = "out-of-fold on the source" if context.task.source else f"zero-shot on {context.task.dataset}"
    unit = context.task.unit
    parts = [Text(f"{where[0].upper()}{where[1:]}; {made.windows[task]:g} windows a {unit} in the median.")]
    for cls, of in rows[rows["support"] != NO_SUPPORT].groupby("cls", sort=False):
        stem = f"{slug(task)}-{slug(cls)}"
        mark = "" if (support := of["support"].iloc[0]) == PROTOCOL_SUPPORT else f", {support.upper()}"
        over = f"over {of['classes'].iloc[0]}" if cls == MACRO else cls
        about = f"{kind}{task}, {over}{mark}; {of['how_sure'].iloc[0]}"
        caption = f"{about}: six metrics against the exponent of the pooling, one line a variant."
        parts.append(
            Figure(f"pooling-curve-{stem}", caption, lambda o=of, c=cls: draw_curves(evaluation, task, c, o, TITLES))
        )
        parts += _tables(of, stem, about)
        parts += [Text(f"{r[0].upper()}{r[1:]}.") for r in dict.fromkeys(of["reason"]) if r]
    for reason in dict.fromkeys(rows.loc[rows["support"] == NO_SUPPORT, "reason"]):
        parts.append(Text(f"No figure: {reason}."))
    return Section(f"{kind}{task}: pooling", tuple(parts))


def _tables(rows: pd.DataFrame, stem: str, about: str) -> list[Table]:
    """The reference's metrics and their differences from Q = 3 by pooling; every variant's ROC-AUC by pooling."""
    names = list(dict.fromkeys(rows["variant"]))
    first = rows[rows["variant"] == names[0]]
    of, poolings = first["title"].iloc[0], list(dict.fromkeys(first["pooling"]))
    header = ["pooling", *(TITLES[m] for m in METRICS)]
    tables = []
    for name, keys, what in (
        ("values", ("value", "lo", "hi"), "[95 %] by pooling"),
        ("differences", ("diff", "diff_lo", "diff_hi"), "difference [95 %] from Q = 3, by pooling"),
    ):
        cells = [[p, *(_cell(first, p, m, keys) for m in METRICS)] for p in poolings]
        if keys[0] == "diff":
            cells = [row if row[0] != label(DEFAULT) else [row[0], *["the default"] * len(METRICS)] for row in cells]
        tables.append(Table(f"pooling-{name}-{stem}", f"{about}: {of}, {what}.", header, cells))
    cells = []
    for variant in names:
        own = rows[rows["variant"] == variant]
        each = [_cell(own, p, "roc_auc", ("value", "lo", "hi")) for p in poolings]
        cells.append([own["title"].iloc[0], *each])
    caption = f"{about}: ROC-AUC [95 %] of every variant by pooling."
    return [*tables, Table(f"pooling-variants-{stem}", caption, ["Model", *poolings], cells)]


def _cell(rows: pd.DataFrame, pooling: str, metric: str, keys: tuple[str, str, str]) -> str:
    row = rows[(rows["pooling"] == pooling) & (rows["metric"] == metric)].iloc[0]
    return bracketed(*(row[k] for k in keys), sign=keys[0] == "diff")
