"""Reliability diagrams and decision curves of one task, a panel a headline class."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.shown import GREY, GRID, STYLES, shown_variants
from ecg_ramba.evaluation.tables import SYNTHETIC, banner

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

COLUMNS = 4
_TOP, _BOTTOM, _WIDTH = 1.45, 0.75, 3.0


def reliability_figure(evaluation: Evaluation, task: str, bins: pd.DataFrame) -> Figure:
    """Observed share of positives against mean score by bin, the number of units in each bin below.

    Parameters
    ----------
    evaluation : Evaluation
    task : str
    bins : DataFrame
        The frame ``reliability`` of :func:`ecg_ramba.evaluation.calibration_rows.calibration_frames`.
    """
    rows = bins[(bins["task"] == task) & bins["headline"] & (bins["binning"] == "equal width")]
    classes = [c for c in evaluation.contexts[task].head.classes if (rows["cls"] == c).any()]
    figure, cells = _panels(evaluation, f"{task}: reliability", classes, 3.5, _reliability_note(evaluation))
    variants = shown_variants(evaluation)
    for cls, cell in zip(classes, cells, strict=True):
        upper, lower = cell.subgridspec(2, 1, height_ratios=[3, 1], hspace=0.12).subplots(sharex=True)
        upper.plot([0, 1], [0, 1], color=GREY, linewidth=1, zorder=1)
        for variant, style in zip(variants, STYLES, strict=False):
            own = rows[(rows["cls"] == cls) & (rows["variant"] == variant.name)].sort_values("bin")
            upper.plot(own["bin_score"], own["bin_observed"], markersize=4, linewidth=1.3, zorder=3, **style)
            middle = (own["bin"] - 0.5) / evaluation.config.bins
            lower.plot(middle, own["bin_units"], drawstyle="steps-mid", linewidth=1.3, markersize=2.5, **style)
        support = evaluation.contexts[task].support[cls]
        upper.set_title(f"{cls} ({support.positives:,} of {support.units:,})", fontsize=9.5, loc="left")
        upper.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        lower.set_yscale("log")
        lower.minorticks_off()
        lower.set_xticks([0, 0.5, 1])
        for axis in (upper, lower):
            _plain(axis)
        lower.set_xlabel("score", fontsize=8.5)
        if cell.colspan.start == 0:
            upper.set_ylabel("share of positives", fontsize=8.5)
            lower.set_ylabel("units", fontsize=8.5)
    return figure


def decision_figure(evaluation: Evaluation, task: str, curves: pd.DataFrame) -> Figure:
    """Net benefit against threshold probability, with acting on everybody and on nobody.

    Parameters
    ----------
    evaluation : Evaluation
    task : str
    curves : DataFrame
        The frame ``decision`` of :func:`ecg_ramba.evaluation.calibration_rows.calibration_frames`.
    """
    rows = curves[(curves["task"] == task) & curves["headline"]]
    classes = [c for c in evaluation.contexts[task].head.classes if (rows["cls"] == c).any()]
    note = "Solid grey: act on everybody; the line at 0: act on nobody. Scores as predicted, not recalibrated."
    figure, cells = _panels(evaluation, f"{task}: decision curves", classes, 2.7, note)
    variants = shown_variants(evaluation)
    for cls, cell in zip(classes, cells, strict=True):
        axis = cell.subgridspec(1, 1).subplots()
        of = rows[rows["cls"] == cls]
        everybody = of[of["variant"] == variants[0].name].sort_values("threshold")
        axis.axhline(0, color=GREY, linewidth=1, zorder=1)
        axis.plot(everybody["threshold"], everybody["treat_all"], color="#B0B0B0", linewidth=2.5, zorder=1)
        for variant, style in zip(variants, STYLES, strict=False):
            own = of[of["variant"] == variant.name].sort_values("threshold")
            every = max(1, len(own) // 6)
            axis.plot(
                own["threshold"], own["net_benefit"], markersize=4, markevery=every, linewidth=1.3, zorder=3, **style
            )
        support = evaluation.contexts[task].support[cls]
        top = 1.15 * max(of["net_benefit"].max(), support.prevalence, 1e-3)
        axis.set(xlim=(0, 1), ylim=(-0.25 * top, top))
        axis.set_title(f"{cls} ({support.positives:,} of {support.units:,})", fontsize=9.5, loc="left")
        _plain(axis)
        axis.set_xlabel("threshold probability", fontsize=8.5)
        if cell.colspan.start == 0:
            axis.set_ylabel("net benefit", fontsize=8.5)
    return figure


def _reliability_note(evaluation: Evaluation) -> str:
    seeds = " Seeds are counted together." if evaluation.suite.n_seeds > 1 else ""
    return (
        f"{evaluation.config.bins} bins of equal width, empty ones left out; the line from corner to corner is perfect "
        f"calibration. Below: units in each bin, log scale. Bins of few units scatter.{seeds}"
    )


def _plain(axis) -> None:
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color=GRID, linewidth=0.7, zorder=0)
    axis.set_axisbelow(True)


def _panels(
    evaluation: Evaluation, title: str, classes: Sequence[str], height: float, note: str
) -> tuple[Figure, list]:
    """A titled figure with a legend, and one cell of its grid for each class."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = min(COLUMNS, max(2, len(classes)))
    lines = max(1, math.ceil(len(classes) / columns))
    width, tall = columns * _WIDTH + 0.6, _TOP + _BOTTOM + lines * height
    figure = Figure(figsize=(width, tall), dpi=150)
    FigureCanvasAgg(figure)
    kind = f"{SYNTHETIC}: " if evaluation.suite.synthetic else ""
    characters = int(15 * width)
    head = textwrap.fill(f"{kind}{title}", int(9 * width))
    figure.text(0.02, 1 - 0.12 / tall, head, fontsize=12, weight="bold", va="top")
    color = "#A50F15" if evaluation.suite.synthetic else GREY
    figure.text(0.02, 1 - 0.5 / tall, textwrap.fill(banner(evaluation), characters), fontsize=9, color=color, va="top")
    handles = [
        Line2D([], [], markersize=5, label=textwrap.shorten(v.title, 40, placeholder="…"), **style)
        for v, style in zip(shown_variants(evaluation), STYLES, strict=False)
    ]
    place = {"loc": "upper left", "bbox_to_anchor": (0.015, 1 - 0.7 / tall)}
    figure.legend(handles=handles, ncols=2, frameon=False, fontsize=9, **place)
    figure.text(0.02, 0.08 / tall, textwrap.fill(note, characters), fontsize=8.5, color="#444444", va="bottom")
    grid = figure.add_gridspec(
        lines,
        columns,
        left=0.62 / width,
        right=1 - 0.12 / width,
        top=1 - (_TOP + 0.1) / tall,
        bottom=(_BOTTOM + 0.3) / tall,
        wspace=0.3,
        hspace=0.36 if height > 3 else 0.55,
    )
    return figure, [grid[i // columns, i % columns] for i in range(len(classes))]
