"""The curves of pooling: metrics against the exponent, and AF burden against the pooled score."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ecg_ramba.evaluation.lines import GREY, line_styles, plain_axis
from ecg_ramba.evaluation.tables import SYNTHETIC, banner

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ecg_ramba.evaluation.evaluate import Evaluation

_BLUE, _ORANGE = "#0072B2", "#D55E00"


def _canvas(evaluation: Evaluation, title: str, height: float):
    """A figure with its title and banner above, room for panels in the middle and for notes below."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Every place is given: a solver's layout would differ in its last digits from one run to the next.
    figure = Figure(figsize=(13, height), dpi=150)
    FigureCanvasAgg(figure)
    head, body, foot = figure.subfigures(3, 1, height_ratios=[0.75 / height, 1 - 1.95 / height, 1.2 / height])
    kind = f"{SYNTHETIC}: " if evaluation.suite.synthetic else ""
    head.text(0.01, 0.88, f"{kind}{title}", fontsize=13, weight="bold", va="top")
    color = "#A50F15" if evaluation.suite.synthetic else GREY
    head.text(0.01, 0.35, banner(evaluation), fontsize=9.5, color=color, va="top")
    return figure, body, foot


def draw_curves(evaluation: Evaluation, task: str, cls: str, rows: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Metrics against the exponent, one line a variant; the reference's interval as a band.

    Parameters
    ----------
    evaluation : Evaluation
    task, cls : str
        What the rows are about.
    rows : DataFrame
        Of one figure, as ``pooling_curve.COLUMNS``.
    titles : mapping
        Metric -> title of its panel, in order.
    """
    poolings = list(dict.fromkeys(rows["pooling"]))
    figure, body, foot = _canvas(evaluation, f"{task}, {cls}: metrics by pooling of the windows", 8.6)
    names = list(dict.fromkeys(rows["variant"]))
    reference = next((n for n in names if rows.loc[rows["variant"] == n, "reference"].iloc[0]), names[0])
    styles = line_styles(names, reference)
    x = np.arange(len(poolings))
    places = {"left": 0.04, "right": 0.985, "top": 0.95, "bottom": 0.09, "wspace": 0.15, "hspace": 0.18}
    axes = body.subplots(2, 3, sharex=True, gridspec_kw=places).ravel()
    for axis, (metric, title) in zip(axes, titles.items(), strict=True):
        for name in names:
            of = rows[(rows["variant"] == name) & (rows["metric"] == metric)].set_index("pooling").loc[poolings]
            axis.plot(x, of["value"], markersize=5, label=of["title"].iloc[0], **styles[name])
            if name == reference and of["lo"].notna().any():
                axis.fill_between(x, of["lo"], of["hi"], color="#000000", alpha=0.1, linewidth=0)
        axis.axvline(poolings.index("Q = 3"), color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        axis.set_title(title, fontsize=10.5, loc="left")
        axis.set_xticks(x, [p.replace("Q = ", "") for p in poolings], fontsize=9)
        plain_axis(axis)
    for axis in axes[3:]:
        axis.set_xlabel("exponent Q of the power mean (dashed: the protocol's, 3)", fontsize=9.5)
    foot.legend(*axes[0].get_legend_handles_labels(), loc="upper center", ncols=5, frameon=False, fontsize=9)
    foot.text(0.01, 0.02, textwrap.fill(_note(evaluation, rows), 190), fontsize=8.5, color="#444444", va="bottom")
    return figure


def _note(evaluation: Evaluation, rows: pd.DataFrame) -> str:
    c, reason = evaluation.config, rows["reason"].iloc[0]
    sure = rows["how_sure"].iloc[0]
    band = reason or f"band: the reference's {c.level:.0%} interval, {c.draws:,} bootstrap draws of subjects"
    return f"{band[0].upper()}{band[1:]}; {sure}. The same stored windows pooled otherwise; nothing is trained again."


def draw_burden(evaluation: Evaluation, task: str, records: pd.DataFrame, figures: pd.DataFrame) -> Figure:
    """Each AF record's pooled score against its AF burden, one panel a pooling.

    Parameters
    ----------
    evaluation : Evaluation
    task : str
    records : DataFrame
        One variant's AF records, as in ``pooling_burden_records``.
    figures : DataFrame
        The same variant's rows of ``pooling_burden``.
    """
    poolings = list(dict.fromkeys(records["pooling"]))
    variant = figures["title"].iloc[0]
    figure, body, foot = _canvas(evaluation, f"{task}: AF burden and pooled score, {variant}", 7.6)
    columns = math.ceil(len(poolings) / 2)
    places = {"left": 0.05, "right": 0.985, "top": 0.95, "bottom": 0.11, "wspace": 0.08, "hspace": 0.32}
    axes = body.subplots(2, columns, sharex=True, sharey=True, gridspec_kw=places).ravel()
    for axis, pooling in zip(axes, poolings, strict=False):
        of, own = (f[f["pooling"] == pooling] for f in (records, figures))
        limit, called = own["least_burden"].iloc[0], of["score"] >= evaluation.config.threshold
        axis.plot(of["burden"][called], of["score"][called], "o", color=_BLUE, markersize=5, alpha=0.7)
        axis.plot(
            *(of[c][~called] for c in ("burden", "score")),
            "v",
            color=_ORANGE,
            markersize=5,
            alpha=0.7,
            fillstyle="none",
        )
        axis.axhline(evaluation.config.threshold, color=GREY, linewidth=1)
        axis.axvline(limit, color=GREY, linewidth=1.2, linestyle=(0, (4, 3)))
        rho = own.loc[own["band"].eq("all") & own["figure"].ne("sensitivity"), "value"].iloc[0]
        said = f"rho {rho:+.2f}" if math.isfinite(rho) else "no rho"
        axis.set_title(f"{pooling}: {said}, least burden {limit:.1%}", fontsize=9.5, loc="left")
        axis.set_xlim(-0.03, 1.03)
        axis.set_ylim(-0.03, 1.03)
        plain_axis(axis)
    for axis in axes[len(poolings) :]:
        axis.set_visible(False)
    for i, axis in enumerate(axes):
        if i % columns == 0:
            axis.set_ylabel("pooled score", fontsize=9.5)
        if i + columns >= len(poolings):
            axis.set_xlabel("AF burden of the record", fontsize=9.5)
            axis.tick_params(labelbottom=True)
    at = evaluation.config.threshold
    note = (
        f"{len(of)} AF records. Circles: found at {at:g}; hollow triangles: missed. Dashed: the least burden that an "
        "errorless window model could still find with this pooling. rho: Spearman's rank correlation."
    )
    foot.text(0.01, 0.5, textwrap.fill(note, 190), fontsize=8.5, color="#444444", va="center")
    return figure
