"""Coverage against the number of subjects in one figure: drawing subjects beside drawing records."""

import numpy as np
import pandas as pd

from studies.coverage.study import BY_PLAIN, BY_RECORD, BY_SUBJECT, HIGH, LOW, Design

# Okabe and Ito's colour-blind-safe palette; the bootstraps differ in marker and line as well.
_STYLES = {
    BY_SUBJECT: {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    BY_PLAIN: {"color": "#009E73", "marker": "^", "linestyle": "-."},
    BY_RECORD: {"color": "#D55E00", "marker": "s", "linestyle": "--"},
}
_LABELS = {
    BY_SUBJECT: "drawing subjects, as the evaluation does",
    BY_PLAIN: "drawing subjects, plain percentiles",
    BY_RECORD: "drawing records, as if independent",
}


def draw(design: Design, table: pd.DataFrame):
    """The figure, one panel a quantity.

    Parameters
    ----------
    design : Design
    table : DataFrame
        As from :func:`studies.coverage.study.coverage_table`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    for axis, (what, truth) in zip(figure.subplots(1, 2, sharey=True), design.truth.items(), strict=True):
        axis.axhspan(LOW, HIGH, color="#E6E6E6", zorder=0)
        axis.axhline(design.level, color="#767676", linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        for by, style in _STYLES.items():
            of = table[(table["of"] == what) & (table["bootstrap"] == by)].dropna(subset="coverage")
            subjects, share, low, high = of[["subjects", "coverage", "lo", "hi"]].to_numpy(float).T
            errors = np.maximum([share - low, high - share], 0)
            look = style | {"capsize": 3, "markersize": 6, "linewidth": 1.8, "zorder": 3, "label": _LABELS[by]}
            axis.errorbar(subjects, share, errors, **look)
        axis.set_xscale("log")
        ticks = sorted(set(table["subjects"]))
        axis.set_xticks(ticks, [str(n) for n in ticks])
        axis.minorticks_off()
        axis.set_xlabel("subjects", fontsize=10)
        axis.set_title(f"{what}, true value {truth:.2f}", fontsize=10.5)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=9)
    axes = figure.axes
    axes[0].set_ylabel(f"share of {design.level:.0%} intervals that hold the truth", fontsize=10)
    axes[1].legend(frameon=False, fontsize=9.5, loc="lower right")
    figure.suptitle(
        f"Simulated scores: how often {design.level:.0%} bootstrap intervals hold the truth\n"
        f"{design.records:g} records a subject on average, which share {design.correlation:.0%} of the variance; "
        f"grey: {LOW:.0%} to {HIGH:.0%}",
        fontsize=11.5,
        ha="left",
        x=0.01,
    )
    return figure
