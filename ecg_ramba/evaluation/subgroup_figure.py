"""Forest plot of subgroups: each one's ROC-AUC, and its difference from everybody else."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.rows import MACRO
from ecg_ramba.evaluation.shown import GREY, GRID, STYLES, shown_variants
from ecg_ramba.evaluation.tables import SYNTHETIC, banner

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def subgroups_figure(evaluation: Evaluation, task: str, rows: pd.DataFrame) -> Figure:
    """Draw one task.

    Parameters
    ----------
    evaluation : Evaluation
    task : str
    rows : DataFrame
        Rows of :func:`ecg_ramba.evaluation.subgroup_rows.subgroup_frame` to draw: of the task, with a ROC-AUC each.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    variants = shown_variants(evaluation)
    labels, places = _lines(rows)
    high = max(0.34, 0.13 * len(variants)) * (len(labels) + 1)
    top, bottom, width = 1.5, 1.15, 11.5
    tall = top + bottom + high
    figure = Figure(figsize=(width, tall), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(left=0.24, right=0.97, top=1 - top / tall, bottom=bottom / tall, wspace=0.1)
    for i, (variant, style) in enumerate(zip(variants, STYLES, strict=False)):
        own = rows[rows["variant"] == variant.name]
        shift = 0.16 * ((len(variants) - 1) / 2 - i)
        for r in own.to_dict("records"):
            y = -places[r["cls"], r["attribute"], r["group"]] + shift
            _point(axes[0], r, "roc_auc", y, style)
            _point(axes[1], r, "roc_auc_diff", y, style)
    axes[0].axvline(0.5, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes[1].axvline(0, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes[0].set_yticks([-i for i in range(len(labels))], labels, fontsize=9)
    axes[0].set_ylim(-len(labels) + 0.4, 0.6)
    axes[0].set_xlabel("ROC-AUC (0.5 = chance)", fontsize=9.5)
    axes[1].set_xlabel("difference from everybody else", fontsize=9.5)
    for axis in axes:
        axis.tick_params(axis="y", length=0)
        axis.tick_params(axis="x", labelsize=8.5)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.grid(axis="x", color=GRID, linewidth=0.7, zorder=0)
        axis.set_axisbelow(True)
    kind = f"{SYNTHETIC}: " if evaluation.suite.synthetic else ""
    figure.text(0.012, 1 - 0.15 / tall, f"{kind}{task}: subgroups", fontsize=12.5, weight="bold", va="top")
    color = "#A50F15" if evaluation.suite.synthetic else GREY
    figure.text(0.012, 1 - 0.45 / tall, banner(evaluation), fontsize=9, color=color, va="top")
    handles = [
        Line2D([], [], markersize=6, label=textwrap.shorten(v.title, 48, placeholder="…"), **style)
        for v, style in zip(variants, STYLES, strict=False)
    ]
    place = {"loc": "upper left", "bbox_to_anchor": (0.006, 1 - 0.66 / tall)}
    figure.legend(handles=handles, ncols=2, frameon=False, fontsize=9, **place)
    note = (
        f"{evaluation.config.level:.0%} intervals of {rows['draws'].iloc[0]:,} bootstrap draws of subjects; hollow: no "
        f"interval; {rows['how_sure'].iloc[0]}. A macro average is over the classes that both sides support, so it may "
        "be over other classes in another subgroup. Not corrected for the number of subgroups."
    )
    figure.text(0.012, 0.08 / tall, textwrap.fill(note, 150), fontsize=8.5, color="#444444", va="bottom")
    return figure


def _lines(rows: pd.DataFrame) -> tuple[list[str], dict[tuple[str, str, str], int]]:
    """Labels from top to bottom, and the line of each class, attribute and subgroup."""
    labels, places = [], {}
    first = rows.drop_duplicates(["cls", "attribute", "group"])
    for r in first.sort_values("cls", kind="stable").to_dict("records"):
        places[r["cls"], r["attribute"], r["group"]] = len(labels)
        cls = "" if r["cls"] == MACRO else f"{r['cls']}, "
        labels.append(f"{cls}{r['attribute']} {r['group']} ({r['subjects']:,.0f} subjects)")
    return labels, places


def _point(axis, row: dict, name: str, y: float, style: dict) -> None:
    low, high = row[f"{name}_lo"], row[f"{name}_hi"]
    bounded = low == low
    if bounded:
        axis.plot([low, high], [y, y], color=style["color"], linewidth=1.6, zorder=2)
    face = style["color"] if bounded else "white"
    axis.plot([row[name]], [y], style["marker"], color=style["color"], markersize=5.5, markerfacecolor=face, zorder=3)
