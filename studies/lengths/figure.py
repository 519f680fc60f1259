"""The study of token lengths in one figure: accuracy above, cost below, both against the number of tokens."""

import textwrap
from pathlib import Path

import pandas as pd

from ecg_ramba.evaluation.config import PROTOCOL_SUPPORT
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.rows import how_sure
from ecg_ramba.evaluation.tables import SYNTHETIC, WARNING

# Okabe and Ito's colour-blind-safe palette; the backbones differ in marker and line as well.
_STYLES = {
    "mamba": {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    "attention": {"color": "#D55E00", "marker": "s", "linestyle": "--"},
}
_TITLES = {"mamba": "Mamba", "attention": "attention"}
_COSTS = (
    ("segment_seconds", "seconds a segment", "training, one core or device a cell (wall time)"),
    ("flops", "FLOPs a segment", "one forward pass (counted)"),
)


def draw(evaluation: Evaluation, scores: pd.DataFrame, path: Path) -> None:
    """Write the figure as PNG.

    Parameters
    ----------
    evaluation : Evaluation
    scores : DataFrame
        As made by :func:`studies.lengths.study.scores_table`; a variant without a value leaves a gap.
    path : Path
        File to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(scores["task"]))
    columns = max(len(tasks), len(_COSTS))
    figure = Figure(figsize=(1.2 + 4.2 * columns, 9.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    head, upper, lower, foot = figure.subfigures(4, 1, height_ratios=[0.22, 1, 0.9, 0.12])
    axes = upper.subplots(1, len(tasks), sharey=True, squeeze=False).ravel()
    for axis, task in zip(axes, tasks, strict=True):
        _accuracy(axis, evaluation, task, scores[scores["task"] == task])
    axes[0].set_ylabel("ROC-AUC (0.5 = chance)", fontsize=9.5)
    cost = scores.drop_duplicates(["backbone", "tokens"])
    for axis, (column, label, title) in zip(lower.subplots(1, len(_COSTS)), _COSTS, strict=True):
        _cost(axis, cost, column, label, title)
    kind = f"{SYNTHETIC}: {WARNING}\n" if evaluation.suite.synthetic else ""
    title = (
        f"{kind}Accuracy and cost against token length, Mamba against attention: {how_sure(evaluation.suite.n_seeds)}"
    )
    head.text(0.01, 0.98, title, fontsize=12.5, weight="bold", va="top")
    handles = axes[0].get_legend_handles_labels()
    head.legend(*handles, loc="lower left", ncols=2, frameon=False, fontsize=10)
    foot.text(0.01, 0.9, textwrap.fill(_note(evaluation), 64 * columns), fontsize=8.5, color="#444444", va="top")
    figure.savefig(path, format="png", metadata={"Software": None})


def _note(evaluation: Evaluation) -> str:
    c = evaluation.config
    sure = ""
    if evaluation.suite.n_seeds == 1:
        sure = " Single training run: how much another seed would move a point is in no band."
    return (
        f"Bands: {c.level:.0%} intervals of {c.draws:,} bootstrap draws of subjects; hollow: no interval.{sure} "
        "Training ran in cells side by side: neighbours move its wall time. A gap: a variant without numbers."
    )


def _lines(axis, rows: pd.DataFrame, column: str):
    """Draw each backbone's curve; yields its rows at every length and its style, a gap where there is no value."""
    tokens = sorted(set(rows["tokens"]))
    for backbone, style in _STYLES.items():
        own = rows[rows["backbone"] == backbone].set_index("tokens").reindex(tokens)
        axis.plot(tokens, own[column], label=_TITLES[backbone], markersize=6, linewidth=1.8, zorder=3, **style)
        yield own, style
    axis.set_xscale("log", base=2)
    axis.set_xticks(tokens, [str(n) for n in tokens], fontsize=8.5)
    axis.minorticks_off()
    axis.set_xlabel("tokens of 10 s", fontsize=9.5)
    axis.tick_params(axis="y", labelsize=8.5)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="#E6E6E6", linewidth=0.7, zorder=0)
    axis.set_axisbelow(True)


def _accuracy(axis, evaluation: Evaluation, task: str, rows: pd.DataFrame) -> None:
    context = evaluation.contexts[task]
    for own, style in _lines(axis, rows, "value"):
        low, high, color = own["lo"].astype(float), own["hi"].astype(float), style["color"]
        axis.fill_between(own.index, low, high, color=color, alpha=0.14, linewidth=0)
        axis.vlines(own.index, low, high, color=color, alpha=0.6, linewidth=1)
        bare = own[own["value"].notna() & own["lo"].isna()]
        axis.plot(bare.index, bare["value"], style["marker"], color=color, markerfacecolor="white", zorder=4)
    axis.axhline(0.5, color="#767676", linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    where = "out-of-fold" if context.task.source else "zero-shot"
    support = "" if context.head.support == PROTOCOL_SUPPORT else f"\n{context.head.support}"
    axis.set_title(f"{task}, {where}{support}", fontsize=10)


def _cost(axis, rows: pd.DataFrame, column: str, label: str, title: str) -> None:
    for _ in _lines(axis, rows, column):
        pass
    if rows[column].notna().any():
        axis.set_yscale("log")
    axis.set_ylabel(label, fontsize=9.5)
    axis.set_title(title, fontsize=10)
