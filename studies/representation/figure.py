"""The study of representation in figures: what each stream holds of each label, and how alike the streams are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ecg_ramba.evaluation.tables import SYNTHETIC, WARNING, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_map(table: pd.DataFrame, streams: Sequence[str], labels: Sequence[str], title: str, synthetic: bool) -> Figure:
    """Streams by labels: ROC-AUC minus control, its interval below; a thick line between rhythm and morphology.

    Parameters
    ----------
    table : DataFrame
        Rows of one variant and place, columns as in :data:`studies.representation.probe_tables.COLUMNS`.
    streams, labels : sequence of str
        Rows and columns, in order, rhythm labels first.
    title : str
    synthetic : bool
    """
    by = table.set_index(["stream", "label"])
    value, text = np.full((len(streams), len(labels)), np.nan), {}
    for i, stream in enumerate(streams):
        for j, label in enumerate(labels):
            row = by.loc[(stream, label)]
            value[i, j] = row["difference"]
            bounds = f"\n[{_two(row['diff_lo'])}, {_two(row['diff_hi'])}]" if math.isfinite(row["diff_lo"]) else ""
            text[i, j] = f"{_two(row['difference'])}{bounds}" if math.isfinite(row["difference"]) else "–"
    groups = [by.loc[(streams[0], label), "group"] for label in labels]
    figure, axis = _heat(value, text, streams, labels, (-0.5, 0.5), title, synthetic)
    if "rhythm" in groups and "morphology" in groups:
        axis.axvline(groups.index("morphology") - 0.5, color="black", linewidth=3)
    for group in dict.fromkeys(groups):
        places = [j for j, g in enumerate(groups) if g == group]
        axis.text(np.mean(places), -0.62, group, ha="center", va="bottom", fontsize=10, weight="bold")
    return figure


def _two(value: float) -> str:
    """Two decimals with a sign, and no minus before a zero."""
    text = f"{value:+.2f}"
    return "0.00" if float(text) == 0 else text


def draw_similarity(table: pd.DataFrame, names: Sequence[str], title: str, synthetic: bool) -> Figure:
    """Debiased CKA of every pair of streams, its interval below.

    Parameters
    ----------
    table : DataFrame
        Rows of one variant and place: ``a``, ``b``, ``value``, ``lo``, ``hi``.
    names : sequence of str
        Streams, in order.
    title : str
    synthetic : bool
    """
    value, text = np.full((len(names), len(names)), np.nan), {}
    for row in table.to_dict("records"):
        if row["a"] in names and row["b"] in names:
            i, j = sorted((names.index(row["a"]), names.index(row["b"])), reverse=True)
            value[i, j] = row["value"]
            bounds = f"\n[{row['lo']:.2f}, {row['hi']:.2f}]" if math.isfinite(row["lo"]) else ""
            text[i, j] = f"{row['value']:.2f}{bounds}" if math.isfinite(row["value"]) else number(math.nan)
    shown = {at: t for at, t in text.items() if at[0] > 0}
    figure, _ = _heat(value[1:, :-1], {(i - 1, j): t for (i, j), t in shown.items()}, names[1:], names[:-1],
                      (0, 1), title, synthetic)  # fmt: skip
    return figure


def _heat(
    value: np.ndarray, text: dict, rows: Sequence[str], columns: Sequence[str], limits, title: str, synthetic: bool
):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = (2.6 + 1.06 * len(columns), 1.9 + 0.52 * len(rows))
    figure = Figure(figsize=(max(6.5, size[0]), size[1]), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    image = axis.imshow(np.ma.masked_invalid(value), vmin=limits[0], vmax=limits[1], cmap="cividis", aspect="auto")
    middle = sum(limits) / 2
    for (i, j), said in text.items():
        dark = math.isfinite(value[i, j]) and value[i, j] < middle + 0.1 * (limits[1] - limits[0])
        axis.text(j, i, said, ha="center", va="center", fontsize=7.5, color="white" if dark else "black")
    axis.set_xticks(range(len(columns)), columns, rotation=30, ha="right", fontsize=9)
    axis.set_yticks(range(len(rows)), rows, fontsize=9)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    bar = figure.colorbar(image, ax=axis, pad=0.02)
    bar.ax.tick_params(labelsize=8)
    head = f"{SYNTHETIC}: {WARNING}\n{title}" if synthetic else title
    figure.suptitle(head, fontsize=11, color="#A50F15" if synthetic else "black")
    return figure, axis
