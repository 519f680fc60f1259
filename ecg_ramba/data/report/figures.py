"""The report's figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ecg_ramba.data.report.facts import ARTEFACT_MV, EINTHOVEN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colour-blind-safe palette
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
_SEXES = {"female": "#CC79A7", "male": "#0072B2", "": "#999999"}


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(width, height), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def labels(counts: pd.DataFrame, annotated: dict[str, frozenset[str]]) -> Figure:
    """Records with each class (rows) at each place (columns), on a logarithmic scale; grey where the class is not
    annotated, so that its absence says nothing."""
    figure = _figure(2.2 + 1.1 * len(counts.columns), 1.2 + 0.27 * len(counts))
    axes = figure.subplots()
    values = counts.to_numpy(float)
    known = np.array([[name in annotated[place] for place in counts.columns] for name in counts.index])
    shown = np.ma.masked_where(~known & (values == 0), np.log10(values + 1))
    axes.set_facecolor("#dddddd")
    axes.imshow(shown, cmap="Blues", aspect="auto", vmin=0, vmax=max(1.0, float(np.log10(values.max() + 1)) * 1.3))
    for (row, column), value in np.ndenumerate(values):
        text = f"{value:.0f}" if known[row, column] or value else "unknown"
        axes.text(column, row, text, ha="center", va="center", fontsize=7.5)
    axes.set_xticks(range(len(counts.columns)), counts.columns, rotation=30, ha="right", fontsize=8)
    axes.set_yticks(range(len(counts)), counts.index, fontsize=8)
    axes.set_title("Recordings with each class", loc="left", fontsize=10)
    return figure


def ages(frame: pd.DataFrame) -> Figure:
    """Histograms of age in decades by sex, a panel a data set."""
    sets = [(name, part) for name, part in frame.groupby("dataset", sort=True) if part["age"].notna().any()]
    across = min(4, len(sets))
    down = -(-len(sets) // across)
    figure = _figure(3 * across, 2.2 * down)
    panels = figure.subplots(down, across, squeeze=False, sharex=True).ravel()
    for panel, (name, part) in zip(panels, sets, strict=False):
        groups = [(sex, part.loc[part["sex"] == sex, "age"].dropna()) for sex in _SEXES]
        groups = [(sex, values) for sex, values in groups if len(values)]
        panel.hist(
            [values for _, values in groups],
            bins=np.arange(0, 101, 10),
            stacked=True,
            color=[_SEXES[sex] for sex, _ in groups],
            label=[sex or "unknown" for sex, _ in groups],
        )
        panel.set_title(f"{name} ({int(part['age'].notna().sum())})", fontsize=9, loc="left")
        panel.legend(fontsize=7, frameon=False)
    for panel in panels[len(sets) :]:
        panel.axis("off")
    figure.supxlabel("age, years (90 and over stand as published)", fontsize=8)
    return figure


def quality(frame: pd.DataFrame) -> Figure:
    """Per data set the share of recordings whose largest deviation, and whose residual, is at least a value."""
    figure = _figure(11, 3.6)
    left, right = figure.subplots(1, 2)
    for number, (name, part) in enumerate(frame.groupby("dataset", sort=True)):
        style = {"color": _COLOURS[number % len(_COLOURS)], "linestyle": ("-", "--", ":")[number // len(_COLOURS) % 3]}
        _exceeding(left, part.loc[part["units"] == "mV", "peak"], name, style)
        _exceeding(right, part["einthoven"].dropna().clip(lower=1e-4), name, style)
    for axes, border, label in (
        (left, ARTEFACT_MV, "largest deviation from a lead's median, mV"),
        (right, EINTHOVEN, "standard deviation of I + III - II as a part of that of II"),
    ):
        axes.axvline(border, color="#999999", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_xlabel(label, fontsize=8)
        axes.set_ylabel("share of recordings beyond", fontsize=8)
    left.legend(fontsize=7, frameon=False)
    return figure


def _exceeding(axes, values: pd.Series, name: str, style: dict) -> None:
    if len(values):
        ordered = np.sort(values.to_numpy())
        axes.step(ordered, 1 - np.arange(len(ordered)) / len(ordered), where="post", label=name, linewidth=1.3, **style)


def overlap(table: pd.DataFrame) -> Figure:
    """Recordings of each data set (rows) with a copy in each (columns)."""
    figure = _figure(2 + 0.8 * len(table), 1.4 + 0.45 * len(table))
    axes = figure.subplots()
    axes.imshow(np.log10(table.to_numpy(float) + 1), cmap="Oranges", aspect="auto", vmin=0, vmax=4)
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        axes.text(column, row, str(value), ha="center", va="center", fontsize=8)
    axes.set_xticks(range(len(table)), table.columns, rotation=30, ha="right", fontsize=8)
    axes.set_yticks(range(len(table)), table.index, fontsize=8)
    axes.set_title("Recordings of a row's data set with a copy in a column's", loc="left", fontsize=10)
    return figure
