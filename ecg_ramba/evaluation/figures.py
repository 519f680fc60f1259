"""Forest plots: per task each variant's ROC-AUC, and its paired difference from the reference."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.tables import SYNTHETIC, Block, banner, blocks, bracketed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colour-blind-safe palette; kinds differ in shape as well.
_STYLES = {
    "reference": {"color": "#000000", "marker": "D"},
    "trained": {"color": "#0072B2", "marker": "o"},
    "pooling": {"color": "#D55E00", "marker": "s"},
}
_GREY = "#767676"
_REACH = 0.25
_LABELS = {
    "reference": "reference",
    "trained": "retrained",
    "pooling": "the reference's stored windows, pooled otherwise",
}


def _style(row: dict) -> str:
    if row["reference"]:
        return "reference"
    return "pooling" if row["kind"] == "pooling" else "trained"


def _positions(rows: list[dict]) -> tuple[list[dict], list[float]]:
    """Rows from top to bottom, retrained ones first, a half line of air between the two kinds."""
    trained = [r for r in rows if r["kind"] != "pooling"]
    pooled = [r for r in rows if r["kind"] == "pooling"]
    heights = [-float(i) for i in range(len(trained))]
    heights += [-(len(trained) + 0.6 + i) for i in range(len(pooled))]
    return trained + pooled, heights


def _point(axis, row: dict, y: float, values: tuple[float, float, float], limits: tuple[float, float]) -> None:
    """A marker with its interval; an arrow at the edge where the value or an end of the interval lies beyond it."""
    style = _STYLES[_style(row)]
    color = style["color"]
    value, low, high = values
    if not math.isfinite(value):
        return
    ends = [end for end in (value, low, high) if math.isfinite(end)]
    for edge, mark, beyond in ((limits[0], "<", min(ends) < limits[0]), (limits[1], ">", max(ends) > limits[1])):
        if beyond:
            axis.plot([edge], [y], mark, markersize=6, color=color, clip_on=False, zorder=3)
    if not limits[0] <= value <= limits[1]:
        return
    bounded = math.isfinite(low)
    if bounded:
        axis.plot([low, high], [y, y], color=color, linewidth=1.8, solid_capstyle="butt", zorder=2)
    face = color if bounded else "white"
    axis.plot([value], [y], style["marker"], markersize=6.5, markerfacecolor=face, markeredgecolor=color, zorder=3)


def _panel(axis, block: Block, difference: bool) -> None:
    rows, heights = _positions(block.rows)
    keys = ("diff", "diff_lo", "diff_hi") if difference else ("value", "lo", "hi")
    limits = _limits(rows, keys, difference)
    axis.set_xlim(*limits)
    side = axis.get_yaxis_transform()
    for row, y in zip(rows, heights, strict=True):
        values = tuple(row[k] for k in keys)
        _point(axis, row, y, values, limits)
        if row["status"] == "failed":
            text = "failed" if not difference else ""
        elif difference and row["reference"]:
            text = "reference"
        else:
            text = bracketed(*values, sign=difference)
        axis.text(1.02, y, text, transform=side, va="center", fontsize=8.5, family="DejaVu Sans Mono")
    axis.axvline(0 if difference else 0.5, color=_GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    reference = next((r["value"] for r in rows if r["reference"]), math.nan)
    if not difference and math.isfinite(reference):
        axis.axvline(reference, color=_GREY, linewidth=0.6, zorder=1)
    axis.set_yticks(
        heights, [r["title"].replace(" [", "\n[") for r in rows] if not difference else [""] * len(rows), fontsize=9.5
    )
    axis.set_ylim(min(heights) - 0.7, 0.7)
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=9)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.grid(axis="x", color="#E6E6E6", linewidth=0.7, zorder=0)
    axis.set_axisbelow(True)
    name = "difference in ROC-AUC from the reference (paired)" if difference else "ROC-AUC (0.5 = chance)"
    axis.set_xlabel(name, fontsize=9.5)


def _limits(rows: list[dict], keys: tuple[str, ...], difference: bool) -> tuple[float, float]:
    """x limits around the intervals, chance (or no difference) among them.

    Differences beyond a quarter become arrows at the edge: a constant model must not squeeze what is worth seeing.
    """
    found = [r[k] for r in rows for k in keys if math.isfinite(r[k])] + [0.0 if difference else 0.5]
    if difference:
        reach = min(_REACH, max(abs(f) for f in found) * 1.1 + 0.005)
        return -reach, reach
    return max(-0.02, min(found) - 0.03), min(1.02, max(found) + 0.03)


def _notes(evaluation: Evaluation, block: Block) -> str:
    row = block.counts
    c = evaluation.config
    text = f"{c.level:.0%} intervals: {c.draws:,} bootstrap draws of subjects; {row['how_sure']}."
    if row["reason"] and any(math.isfinite(r["value"]) and not math.isfinite(r["lo"]) for r in block.rows):
        text += f" Hollow: {row['reason']}."
    if any(abs(r[k]) > _REACH for r in block.rows for k in ("diff", "diff_lo", "diff_hi")):
        text += f" Arrow: a difference, or an end of its interval, beyond {_REACH}."
    classes = "" if row["classes"] == block.cls else f"Classes: {row['classes']}."
    return f"{text}\n{classes}".strip()


def _title(evaluation: Evaluation, task: str) -> str:
    source = evaluation.suite.info["source"]
    if evaluation.contexts[task].task.source:
        return f"{task}: {source}, out-of-fold"
    return f"{task}: trained on {source}, zero-shot"


def forest(evaluation: Evaluation, task: str) -> Figure:
    """Draw one task's forest plot: each variant's ROC-AUC and its difference from the reference."""
    import textwrap

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    shown = blocks(evaluation, task)
    rows_high = (len(shown[0].rows) + 1.2) * 0.27
    top, bottom, between = 1.3, 1.1, 1.0
    height = top + bottom + len(shown) * rows_high + (len(shown) - 1) * between
    figure = Figure(figsize=(13, height), dpi=150)
    FigureCanvasAgg(figure)
    outer = figure.add_gridspec(
        len(shown),
        2,
        left=0.2,
        right=0.83,
        top=1 - top / height,
        bottom=bottom / height,
        wspace=0.62,
        hspace=between / rows_high,
    )
    for i, block in enumerate(shown):
        left = figure.add_subplot(outer[i, 0])
        right = figure.add_subplot(outer[i, 1])
        _panel(left, block, False)
        _panel(right, block, True)
        prevalence = f"prevalence {block.counts['prevalence']:.2f}" if math.isfinite(block.counts["prevalence"]) else ""
        head = f"{block.subject}   ({block.size}; {prevalence})"
        left.set_title(head, loc="left", fontsize=10.5, x=0, pad=8)
    derived = " (derived signals: stands apart)" if evaluation.contexts[task].task.derived else ""
    kind = f"{SYNTHETIC}: " if evaluation.suite.synthetic else ""
    figure.text(
        0.012, 1 - 0.22 / height, f"{kind}{_title(evaluation, task)}{derived}", fontsize=13, weight="bold", va="top"
    )
    color = "#A50F15" if evaluation.suite.synthetic else _GREY
    figure.text(0.012, 1 - 0.52 / height, banner(evaluation), fontsize=9.5, color=color, va="top")
    note = "\n".join(textwrap.fill(line, 190) for line in _notes(evaluation, shown[-1]).splitlines())
    figure.text(0.012, 0.1 / height, note, fontsize=8.5, color="#444444", va="bottom")
    kinds = list(dict.fromkeys(_style(r) for r in shown[0].rows))
    handles = [Line2D([], [], linestyle="-", **_STYLES[k], markersize=6, label=_LABELS[k]) for k in kinds]
    figure.legend(
        handles=handles,
        loc="upper right",
        ncols=len(kinds),
        frameon=False,
        fontsize=9,
        bbox_to_anchor=(0.995, 1 - 0.42 / height),
    )
    return figure
