"""What each model costs beside how well it scores: parameters, FLOPs, latency, throughput, memory, training time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ecg_ramba.document import Figure, Section, Table, Text
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.suite import Variant
from ecg_ramba.evaluation.tables import SYNTHETIC, amount, banner, bracketed, duration, kind_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

COSTS = {"parameters": "parameters", "flops": "FLOPs a window", "latency_ms": "latency, ms a window"}
"""Axes of the figure."""
HOW = (
    "Parameters: of one fold's model. FLOPs: of one window forward, the network alone, the scan in its portable form. "
    "Latency: median time of the model for one window by itself; throughput: windows a second in batches of 256; both "
    "without features, of the first fold's model, on one thread in the worker that had trained it, so what else the "
    "machine did moves them. Training: wall time of all folds and seeds, in workers beside each other. Memory: peak of "
    "a worker, with everything that it holds. Every model but the raw networks also needs its features: "
    "`python -m bench` times those."
)
_SHOWN = 4
"""Tasks in the figure."""


def cost_section(evaluation: Evaluation) -> Section:
    """Table and Pareto figure of the trained variants that finished."""
    kind = kind_of(evaluation)
    variants = trained(evaluation)
    tasks = [name for name in evaluation.contexts if name in evaluation.headlines]
    frame = cost_frame(evaluation, variants, tasks)
    header = ["Model", "parameters", "FLOPs", "latency", "windows/s", "peak memory", "training", *tasks[:_SHOWN]]
    rows = []
    for v in variants:
        scores = [_score(evaluation, v, task) for task in tasks[:_SHOWN]]
        cells = [amount(v.parameters), amount(v.flops), _milliseconds(v.latency_ms), amount(v.windows_per_second)]
        memory = f"{v.peak_mb:.0f} MB" if math.isfinite(v.peak_mb) else "–"
        rows.append([v.title, *cells, memory, duration(v.seconds), *scores])
    parts: list = [Text(HOW), Table("cost", f"{kind}Cost beside headline ROC-AUC [95 %]", header, rows)]
    if tasks and variants:
        caption = (
            f"{kind}Headline ROC-AUC against parameters, FLOPs and latency; the line joins the models that no other "
            "model beats at the same cost or less"
        )
        parts.append(Figure("pareto", caption, lambda: pareto_figure(evaluation, frame, tasks[:_SHOWN])))
    return Section(f"{kind}Cost", tuple(parts), {"cost": frame})


def trained(evaluation: Evaluation) -> list[Variant]:
    """Variants that were trained, and finished."""
    return [v for v in evaluation.suite.variants if v.kind == "trained" and v.name not in evaluation.failures]


def cost_frame(evaluation: Evaluation, variants: list[Variant], tasks: list[str]) -> pd.DataFrame:
    """One row a task and variant: its costs, its headline ROC-AUC, and for each cost whether it is on the front."""
    data = "synthetic" if evaluation.suite.synthetic else "real"
    rows = []
    for task in tasks:
        for v in variants:
            row = {"data": data, "task": task, "variant": v.name, "parameters": v.parameters, "flops": v.flops}
            row |= {"latency_ms": v.latency_ms, "windows_per_second": v.windows_per_second, "peak_mb": v.peak_mb}
            scored = evaluation.headlines[task].get(v.name)
            rows.append(row | {"seconds": v.seconds, "roc_auc": scored.value if scored else math.nan})
    columns = ["data", "task", "variant", *COSTS, "windows_per_second", "peak_mb", "seconds", "roc_auc"]
    frame = pd.DataFrame(rows, columns=columns)
    for cost in COSTS:
        frame[f"front_{cost}"] = False
        for _, of in frame.groupby("task", sort=False):
            frame.loc[of.index, f"front_{cost}"] = front(of[cost].to_numpy(float), of["roc_auc"].to_numpy(float))
    return frame


def front(cost: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Which points no other point beats: none is at least as good in both, and better in one.

    Parameters
    ----------
    cost, score : (n,) arrays
        Less cost and more score are better; a point without one of them (NaN) is not on the front.

    Returns
    -------
    (n,) bool array
    """
    known = np.isfinite(cost) & np.isfinite(score)
    cheaper, better = cost[:, None] <= cost, score[:, None] >= score
    strictly = (cost[:, None] < cost) | (score[:, None] > score)
    beaten = (cheaper & better & strictly & known[:, None]).any(0)
    return known & ~beaten


def _score(evaluation: Evaluation, variant: Variant, task: str) -> str:
    row = evaluation.summary
    context = evaluation.contexts[task]
    row = row[(row["task"] == task) & (row["variant"] == variant.name) & (row["metric"] == "roc_auc")]
    row = row[row["estimate"] == context.estimate]
    return bracketed(*row.iloc[0][["value", "lo", "hi"]]) if len(row) else "–"


def _milliseconds(value: float) -> str:
    return f"{value:.3g} ms" if math.isfinite(value) else "–"


def pareto_figure(evaluation: Evaluation, frame: pd.DataFrame, tasks: list[str]) -> Drawing:
    """Small multiples: a row a task, a column a cost, points numbered as in the key below."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    names = list(dict.fromkeys(frame["variant"]))
    title = {v.name: v.title for v in evaluation.suite.variants}
    reference = next((v.name for v in evaluation.suite.variants if v.reference), None)
    lines = -(-len(names) // 3)
    costs = {cost: label for cost, label in COSTS.items() if np.isfinite(frame[cost]).any()}
    height = 1.1 + 2.5 * len(tasks) + 0.2 * lines
    figure = Canvas(figsize=(11, height), dpi=150)
    FigureCanvasAgg(figure)
    bottom, top = (0.55 + 0.2 * lines) / height, 1 - 0.85 / height
    axes = figure.subplots(len(tasks), len(costs), squeeze=False, sharey="row", sharex="col")
    figure.subplots_adjust(left=0.08, right=0.985, bottom=bottom, top=top, wspace=0.07, hspace=0.3)
    for line, task in zip(axes, tasks, strict=True):
        of = frame[frame["task"] == task]
        for axis, (cost, label) in zip(line, costs.items(), strict=True):
            _panel(axis, of, cost, names, reference)
            if task == tasks[-1]:
                axis.set_xlabel(label, fontsize=9)
        line[0].set_ylabel("ROC-AUC", fontsize=9)
        line[0].set_title(task, loc="left", fontsize=9.5)
    kind = f"{SYNTHETIC}: " if evaluation.suite.synthetic else ""
    figure.text(0.01, 1 - 0.1 / height, f"{kind}cost and headline ROC-AUC", fontsize=12, weight="bold", va="top")
    figure.text(0.01, 1 - 0.34 / height, banner(evaluation), fontsize=8.5, color="#A50F15", va="top")
    for i, name in enumerate(names):
        x, y = 0.02 + 0.33 * (i % 3), (0.1 + 0.2 * (lines - 1 - i // 3)) / height
        figure.text(x, y, f"{i + 1}  {title[name]}", fontsize=8.5)
    return figure


def _panel(axis, of: pd.DataFrame, cost: str, names: list[str], reference: str | None) -> None:
    from matplotlib.ticker import NullFormatter

    known = of[np.isfinite(of[cost]) & np.isfinite(of["roc_auc"])]
    best = known[known[f"front_{cost}"]].sort_values(cost)
    axis.plot(best[cost], best["roc_auc"], color="#009E73", linewidth=1.4, linestyle="--", zorder=1)
    for row in known.to_dict("records"):
        is_reference = row["variant"] == reference
        color, marker = ("#000000", "D") if is_reference else ("#0072B2", "o")
        face = color if row[f"front_{cost}"] else "white"
        axis.plot(row[cost], row["roc_auc"], marker, color=color, markerfacecolor=face, markersize=5, zorder=2)
        at = (row[cost], row["roc_auc"])
        axis.annotate(str(names.index(row["variant"]) + 1), at, xytext=(4, 3), textcoords="offset points", fontsize=7.5)
    if len(known):
        axis.set_xscale("log")
        axis.xaxis.set_minor_formatter(NullFormatter())
    axis.axhline(0.5, color="#767676", linewidth=0.8, linestyle=(0, (4, 3)))
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="#E6E6E6", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8)
