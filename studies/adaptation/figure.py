"""Score against the share of target subjects whose labels were used: calibration at the left, head at the right."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.lines import GREY, line_styles, plain_axis
from ecg_ramba.evaluation.tables import SYNTHETIC, banner

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from studies.adaptation.study import TargetStudy

_PANELS = (("calibration", "score calibration (a map of the unit score)"), ("head", "head (the last linear layer)"))
_METRICS = (("roc_auc", "ROC-AUC"), ("brier", "Brier score (lower is better)"))


def draw(evaluation: Evaluation, study: TargetStudy, task: str, cls: str, rows: pd.DataFrame) -> Figure:
    """One task's figure: ROC-AUC above, Brier score below, one line a model.

    Parameters
    ----------
    evaluation : Evaluation
    study : TargetStudy
    task, cls : str
        What the rows are about.
    rows : DataFrame
        As ``score.COLUMNS``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = 9.4
    # Every place is given: a solver's layout would differ in its last digits from one run to the next.
    figure = Figure(figsize=(12, height), dpi=150)
    FigureCanvasAgg(figure)
    head, body, foot = figure.subfigures(3, 1, height_ratios=[0.95 / height, 1 - 2.1 / height, 1.15 / height])
    kind = f"{SYNTHETIC}: " if evaluation.suite.synthetic else ""
    title = f"{kind}{task}, {cls}: few-shot adaptation, NOT zero-shot"
    head.text(0.01, 0.88, title, fontsize=13, weight="bold", va="top")
    color = "#A50F15" if evaluation.suite.synthetic else GREY
    head.text(0.01, 0.5, banner(evaluation), fontsize=9.5, color=color, va="top")
    shares, x = study.shares, np.arange(len(study.shares))
    ticks = [f"{s:g} %\n{study.split.count(s)} subject{'s' * (study.split.count(s) != 1)}" for s in shares]
    names = list(dict.fromkeys(rows["variant"]))
    reference = next((n for n in names if rows.loc[rows["variant"] == n, "reference"].iloc[0]), "")
    styles = line_styles(names, reference)
    places = {"left": 0.06, "right": 0.985, "top": 0.95, "bottom": 0.1, "wspace": 0.06, "hspace": 0.06}
    axes = body.subplots(2, 2, sharex=True, sharey="row", gridspec_kw=places)
    for column, (study_name, panel) in enumerate(_PANELS):
        for line, (metric, label) in enumerate(_METRICS):
            axis = axes[line, column]
            chosen = rows[(rows["study"] == study_name) & (rows["metric"] == metric)]
            for name in dict.fromkeys(chosen["variant"]):
                of = chosen[chosen["variant"] == name].set_index("share").loc[list(shares)]
                # Side by side, so that bars of different models do not hide each other.
                at = x + 0.05 * (names.index(name) - (len(names) - 1) / 2)
                axis.plot(at, of["value"], label=of["title"].iloc[0], markersize=6, **styles[name])
                axis.vlines(at, of["lo"], of["hi"], color=styles[name]["color"], linewidth=1, alpha=0.6)
            plain_axis(axis)
            axis.set_xticks(x, ticks, fontsize=9)
            if not line:
                axis.set_title(panel, fontsize=10.5, loc="left")
                axis.axhline(0.5, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
            if not column:
                axis.set_ylabel(label, fontsize=9.5)
    for axis in axes[1]:
        axis.set_xlabel("target subjects whose labels were used (share asked for, subjects it is)", fontsize=9.5)
    foot.legend(*axes[0, 0].get_legend_handles_labels(), loc="upper center", ncols=5, frameon=False, fontsize=9)
    foot.text(0.01, 0.02, textwrap.fill(_note(evaluation, rows), 165), fontsize=8.5, color="#444444", va="bottom")
    return figure


def _note(evaluation: Evaluation, rows: pd.DataFrame) -> str:
    c, first = evaluation.config, rows.iloc[0]
    bars = first["reason"] or f"bars: {c.level:.0%} intervals, {c.draws:,} bootstrap draws of the test subjects"
    draws = int(rows["draws_of_subjects"].max())
    return (
        f"{bars[0].upper()}{bars[1:]}; {first['how_sure']}. Means over {draws} draws of adaptation subjects; the same "
        f"{first['test_subjects']} test subjects everywhere. At 0 % nothing of the target was used."
    )
