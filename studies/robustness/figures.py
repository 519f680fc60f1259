"""Figures of the robustness study: a heat map of degradation, and scores against the signal-to-noise ratio."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pandas as pd

from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.tables import SYNTHETIC, WARNING, number
from studies.robustness.stresses import CONTROL, STRESSES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colour-blind-safe palette without its yellow; models differ in marker and line as well.
_COLORS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("D", "o", "s", "^", "v", "P", "X")
_LINES = ("-", "--", "-.", ":")
_LOSS, _GAIN = "#D55E00", "#0072B2"
_LEAST, _MOST = 0.02, 0.3
"""Limits of the colour scale's end, in units of the score."""


def heat_map(evaluation: Evaluation, rows: pd.DataFrame, title: str) -> Figure:
    """Degradation of ROC-AUC, stresses by models.

    Parameters
    ----------
    evaluation : Evaluation
    rows : DataFrame
        Of one task and one class or macro average, one row a stress and variant; a stress without any number is not
        drawn.
    title : str
    """
    from matplotlib.colors import LinearSegmentedColormap

    found = rows[(rows["stress"] != CONTROL) & rows["diff"].notna()]
    names = list(dict.fromkeys(found["stress"]))
    models = dict(zip(rows["variant"], rows["title"], strict=True))
    value = found.pivot(index="stress", columns="variant", values="diff").reindex(index=names, columns=list(models))
    beyond = found[(found["lo"] > 0) | (found["hi"] < 0)]
    beyond = set(zip(beyond["stress"], beyond["variant"], strict=True))
    reach = min(_MOST, max(_LEAST, float(found["diff"].abs().max()) if len(found) else _LEAST))
    figure = _figure(2.9 + 1.15 * len(models), 1.6 + 0.27 * len(names))
    axis = figure.add_subplot()
    colors = LinearSegmentedColormap.from_list("degradation", [_LOSS, "#FFFFFF", _GAIN])
    shown = axis.imshow(value.to_numpy(float), vmin=-reach, vmax=reach, cmap=colors, aspect="auto")
    for i, stress in enumerate(names):
        for j, model in enumerate(models):
            text = number(value.loc[stress, model], sign=True)
            weight = "bold" if (stress, model) in beyond else "normal"
            axis.text(j, i, text, ha="center", va="center", fontsize=8.5, weight=weight)
    axis.set_xticks(range(len(models)), [textwrap.fill(t, 14) for t in models.values()], fontsize=9)
    axis.set_yticks(range(len(names)), [STRESSES[n].title for n in names], fontsize=9)
    axis.tick_params(length=0)
    axis.xaxis.tick_top()
    groups = [STRESSES[n].group for n in names]
    for i in range(1, len(names)):
        if groups[i] != groups[i - 1]:
            axis.axhline(i - 0.5, color="#444444", linewidth=1)
    axis.spines[:].set_visible(False)
    bar = figure.colorbar(shown, ax=axis, shrink=0.5, pad=0.02)
    bar.set_label("stressed minus clean ROC-AUC", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    _words(
        figure, evaluation, title, "Bold: the interval leaves zero out (not corrected for their number). –: no figure."
    )
    return figure


def against_snr(evaluation: Evaluation, rows: pd.DataFrame, title: str) -> Figure:
    """ROC-AUC against the signal-to-noise ratio, a panel a kind of noise, a line a model.

    Parameters
    ----------
    evaluation : Evaluation
    rows : DataFrame
        As for :func:`heat_map`.
    title : str
    """
    noisy = rows[(rows["group"] == "noise") & rows["stressed"].notna()]
    families = list(dict.fromkeys(noisy["family"]))
    models = dict(zip(rows["variant"], rows["title"], strict=True))
    across = min(2, len(families))
    down = -(-len(families) // across)
    figure = _figure(1.6 + 3.6 * across, 1.9 + 2.7 * down)
    axes = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
    for axis, family in zip(axes, families, strict=False):
        own = noisy[noisy["family"] == family]
        levels = sorted(set(own["level"]), reverse=True)
        for i, (model, title_of) in enumerate(models.items()):
            line = own[own["variant"] == model].set_index("level").reindex(levels)
            if not line["stressed"].notna().any():
                continue
            aside = 0.06 * (i - (len(models) - 1) / 2)
            x = [aside + k for k in range(len(levels) + 1)]
            y = [line["clean"].dropna().iloc[0], *line["stressed"]]
            style = {"color": _COLORS[i % 7], "marker": _MARKERS[i % 7], "linestyle": _LINES[i % 4]}
            axis.plot(x, y, markersize=5, linewidth=1.5, label=title_of, zorder=3, **style)
            low, high = line["clean"] + line["lo"], line["clean"] + line["hi"]
            axis.vlines(x[1:], low, high, color=style["color"], linewidth=1, alpha=0.7, zorder=2)
        axis.set_xticks(range(len(levels) + 1), ["clean", *(f"{level:g} dB" for level in levels)], fontsize=9)
        axis.set_title(STRESSES[own["stress"].iloc[0]].title.rpartition(",")[0], fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="#E6E6E6", linewidth=0.7, zorder=0)
        axis.tick_params(axis="y", labelsize=9)
    for axis in axes[len(families) :]:
        axis.set_visible(False)
    for axis in axes[::across]:
        axis.set_ylabel("ROC-AUC", fontsize=9.5)
    handles = {t: h for a in axes for h, t in zip(*a.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    level = f"{evaluation.config.level:.0%}"
    _words(figure, evaluation, title, f"Bars: {level} interval of the paired difference from the clean score.")
    return figure


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(made)
    return made


def _words(figure: Figure, evaluation: Evaluation, title: str, note: str) -> None:
    """Title and note above a figure; synthetic data say so."""
    kind = f"{SYNTHETIC}: {WARNING}\n" if evaluation.suite.synthetic else ""
    wide = int(figure.get_figwidth() * 12)
    lines = "\n".join(textwrap.fill(line, wide) for line in (title, note))
    figure.suptitle(f"{kind}{lines}", fontsize=10.5, x=0.01, ha="left")
