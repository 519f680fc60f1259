"""The study of shortcuts in a figure: how well sites are told from each representation, in each way of looking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ecg_ramba.evaluation.tables import SYNTHETIC, WARNING, bracketed
from studies.shortcuts.views import AS_RECORDED, LABELS_MATCHED, MATCHED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colour-blind-safe palette; ways of looking differ in marker as well.
_STYLES = {
    AS_RECORDED: {"color": "#000000", "marker": "D"},
    MATCHED: {"color": "#0072B2", "marker": "o"},
    LABELS_MATCHED: {"color": "#D55E00", "marker": "s"},
}
_GREY = "#767676"


def draw_sites(sites: pd.DataFrame, title: str, synthetic: bool) -> Figure:
    """Dots with intervals, a line a representation and way of looking; the permuted mean as a grey bar.

    Parameters
    ----------
    sites : DataFrame
        Rows of one question, columns as in :data:`studies.shortcuts.study.COLUMNS`.
    title : str
    synthetic : bool
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    rows = sites[(sites["metric"] == "roc_auc") & sites["value"].notna()].to_dict("records")
    names = list(dict.fromkeys(r["representation"] for r in rows))
    heights = {}
    for name in names:
        for row in (r for r in rows if r["representation"] == name):
            heights[name, row["mode"]] = -len(heights) * 0.62 - 0.5 * names.index(name)
    bottom = min(heights.values())
    figure = Figure(figsize=(9.5, 1.9 - 0.36 * bottom), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    side = axis.get_yaxis_transform()
    for row in rows:
        y, style = heights[row["representation"], row["mode"]], _STYLES[row["mode"]]
        axis.plot([row["lo"], row["hi"]], [y, y], color=style["color"], linewidth=1.8, solid_capstyle="butt")
        axis.plot([row["chance"]], [y], "|", color=_GREY, markersize=9, markeredgewidth=2.2)
        axis.plot([row["value"]], [y], style["marker"], color=style["color"], markersize=6, zorder=3)
        text = bracketed(row["value"], row["lo"], row["hi"])
        axis.text(1.02, y, text, transform=side, va="center", fontsize=8.5, family="DejaVu Sans Mono")
    axis.axvline(0.5, color=_GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    middle = [[y for (n, _), y in heights.items() if n == name] for name in names]
    axis.set_yticks([sum(m) / len(m) for m in middle], names, fontsize=9.5)
    axis.set_ylim(bottom - 0.6, 0.6)
    axis.set_xlim(min(0.3, *(r["lo"] for r in rows if r["lo"] == r["lo"])) - 0.02, 1.03)
    axis.tick_params(axis="y", length=0)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.grid(axis="x", color="#E6E6E6", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.set_xlabel(
        "macro one-vs-rest ROC-AUC (0.5 = sites cannot be told apart); grey bar: permuted sites", fontsize=9.5
    )
    used = [m for m in _STYLES if any(r["mode"] == m for r in rows)]
    handles = [Line2D([], [], linestyle="-", markersize=6, label=m, **_STYLES[m]) for m in used]
    axis.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(used), frameon=False, fontsize=9)
    head = f"{SYNTHETIC}: {WARNING}\n{title}" if synthetic else title
    figure.suptitle(head, fontsize=11.5, color="#A50F15" if synthetic else "black")
    return figure
