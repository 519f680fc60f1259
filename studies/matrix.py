"""Leave-one-source-out: every data set once as the source, all others as its targets; one table, one figure.

Each source is a suite of its own, under the same protocol, with its own report; what cannot be a source (too few
subjects of any class) is a row with its reason, and the others go on.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ecg_ramba.data.registry import datasets, locate
from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.evaluation.config import PROTOCOL_SUPPORT
from ecg_ramba.evaluation.evaluate import Evaluation, evaluate
from ecg_ramba.evaluation.report import write_report
from ecg_ramba.files import write_atomic, write_text
from ecg_ramba.harness.config import SuiteConfig, Variant
from ecg_ramba.harness.executors.jobs import Executor
from ecg_ramba.harness.outputs import SuiteResult
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import run_suite

COLUMNS = ["data", "source", "task", "dataset", "variant", "title", "support", "value", "lo", "hi", "reason"]


@dataclass(frozen=True)
class Suite:
    """One row of the matrix: a source's finished suite, or why there is none."""

    source: str
    result: SuiteResult | None
    evaluation: Evaluation | None
    files: list[Path]
    reason: str = ""


def there(data_dir: Path | None) -> list[str]:
    """Data sets to take as sources and targets: those in a folder, or the sites of the synthetic cohort."""
    known = datasets()
    if data_dir is None:
        return [name for name, d in known.items() if d.synthetic and not d.view_of]
    return [name for name in locate(data_dir, None) if not known[name].view_of]


def run_matrix(
    config: SuiteConfig,
    variants: Sequence[Variant],
    names: Sequence[str],
    data_dir: Path | None,
    out: Path,
    executor: Executor,
    progress: Progress,
    command: str,
) -> list[Suite]:
    """Run one suite a source.

    Parameters
    ----------
    config : SuiteConfig
        Its source and targets are replaced.
    variants : sequence of Variant
    names : sequence of str
        Data sets, at least two.
    data_dir, out, executor, progress, command
        As for :func:`ecg_ramba.harness.suite.run_suite`.

    Raises
    ------
    UserError
        With fewer than two data sets, or when none of them can be a source.
    """
    if len(names) < 2:
        raise UserError(f"a matrix needs two data sets or more, there is {', '.join(names) or 'none'}")
    suites = []
    for source in names:
        targets = tuple(n for n in names if n != source)
        progress.say(f"source {source} ({len(suites) + 1} of {len(names)})")
        try:
            made = dataclasses.replace(config, source=source, targets=targets)
            result = run_suite(made, variants, data_dir, out, executor, progress, command)
        except LeakageError:
            raise
        except UserError as error:
            progress.say(f"{source} is no source here: {error}")
            suites.append(Suite(source, None, None, [], str(error)))
            continue
        evaluation = evaluate(result.folder)
        suites.append(Suite(source, result, evaluation, write_report(evaluation, result.folder)))
    if not any(s.evaluation for s in suites):
        raise UserError(f"none of {', '.join(names)} can be a source: {suites[0].reason}")
    return suites


def matrix_table(suites: Sequence[Suite]) -> pd.DataFrame:
    """Headline ROC-AUC of every source, task and variant; columns as in :data:`COLUMNS`.

    A data set's column is its own class task, or the 10 s segments where it has rhythm episodes; the source's own is
    out-of-fold.
    """
    rows = []
    for suite in suites:
        if suite.evaluation is None:
            rows.append(dict.fromkeys(COLUMNS, "") | {"source": suite.source, "value": math.nan, "lo": math.nan,
                                                      "hi": math.nan, "reason": suite.reason})  # fmt: skip
            continue
        summary = suite.evaluation.summary
        for name, context in suite.evaluation.contexts.items():
            if name not in ("source", context.task.dataset, f"{context.task.dataset}-window"):
                continue
            at = (summary["task"] == name) & (summary["metric"] == "roc_auc")
            at &= summary["estimate"] == context.estimate
            rows += [{"source": suite.source, **{k: r[k] for k in COLUMNS if k != "source"}}
                     for r in summary[at].to_dict("records")]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def write_matrix(suites: Sequence[Suite], folder: Path) -> list[Path]:
    """``matrix.csv``, ``matrix.md`` and ``matrix.png`` in a folder; returns their paths."""
    table = matrix_table(suites)
    synthetic = any(s.evaluation.suite.synthetic for s in suites if s.evaluation)
    paths = [folder / name for name in ("matrix.md", "matrix.csv", "matrix.png")]
    write_text(paths[0], _markdown(table, synthetic))
    write_atomic(paths[1], lambda p: table.to_csv(p, index=False, float_format="%.8g", lineterminator="\n"))
    write_atomic(paths[2], lambda p: _figure(table, synthetic, p))
    return paths


def _grid(table: pd.DataFrame, variant: str) -> pd.DataFrame:
    """Sources by data sets: the row of each, the first task where a data set has several."""
    rows = table[(table["variant"] == variant) & (table["value"].notna())]
    return rows.drop_duplicates(["source", "dataset"]).set_index(["source", "dataset"])


def _cell(row) -> str:
    mark = "" if row["support"] == PROTOCOL_SUPPORT else "*"
    bounds = f" [{row['lo']:.2f}, {row['hi']:.2f}]" if math.isfinite(row["lo"]) else ""
    return f"{row['value']:.2f}{mark}{bounds}"


def _axes(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    sources = list(dict.fromkeys(table["source"]))
    return sources, [s for s in sources if s in set(table["dataset"])]


def _markdown(table: pd.DataFrame, synthetic: bool) -> str:
    kind = "Synthetic data: " if synthetic else ""
    sources, columns = _axes(table)
    parts = [
        f"# {kind}each data set as the source, all others as its targets",
        "Headline ROC-AUC with 95 % subject intervals; on the diagonal out-of-fold, elsewhere zero-shot. Each pair has "
        "its own classes, those that both sides annotate and the source trains, so a row is not one scale: compare "
        "variants at the same place. * below protocol support.",
    ]
    for variant, rows in table[table["variant"] != ""].groupby("variant", sort=False):
        grid = _grid(table, variant)
        lines = ["| source | " + " | ".join(columns) + " |", "|" + "---|" * (len(columns) + 1)]
        for source in sources:
            cells = [_cell(grid.loc[(source, c)]) if (source, c) in grid.index else "–" for c in columns]
            lines.append(f"| {source} | " + " | ".join(cells) + " |")
        parts += [f"## {kind}{rows['title'].iloc[0]}", "\n".join(lines)]
    for row in table[table["variant"] == ""].to_dict("records"):
        parts.append(f"{row['source']} is no source here: {row['reason']}.")
    return "\n\n".join(parts) + "\n"


def _figure(table: pd.DataFrame, synthetic: bool, path: Path) -> None:
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sources, columns = _axes(table)
    variants = [v for v in dict.fromkeys(table["variant"]) if v]
    across = min(4, len(variants))
    down = -(-len(variants) // across)
    width = 1.4 + 0.95 * len(columns)
    figure = Figure(figsize=(across * width + 0.6, down * (1.2 + 0.55 * len(sources)) + 1.1), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for axis, variant in zip(axes, variants, strict=False):
        grid = _grid(table, variant)
        value = np.full((len(sources), len(columns)), np.nan)
        for i, source in enumerate(sources):
            for j, column in enumerate(columns):
                if (source, column) in grid.index:
                    row = grid.loc[(source, column)]
                    value[i, j] = row["value"]
                    mark = "" if row["support"] == PROTOCOL_SUPPORT else "*"
                    weight = "bold" if source == column else "normal"
                    dark = row["value"] > 0.85 or row["value"] < 0.45
                    axis.text(j, i, f"{row['value']:.2f}{mark}", ha="center", va="center", fontsize=9, weight=weight,
                              color="white" if dark else "black")  # fmt: skip
        axis.imshow(np.ma.masked_invalid(value), vmin=0.4, vmax=1.0, cmap="cividis_r", aspect="auto")
        axis.set_title(table[table["variant"] == variant]["title"].iloc[0], fontsize=10)
        axis.set_xticks(range(len(columns)), columns, rotation=35, ha="right", fontsize=8)
        axis.set_yticks(range(len(sources)), sources, fontsize=8)
    for axis in axes[len(variants) :]:
        axis.set_visible(False)
    kind = "SYNTHETIC DATA: this tests the suite and says nothing of patients.\n" if synthetic else ""
    figure.suptitle(f"{kind}ROC-AUC by source (rows) and scored data set (columns)", fontsize=12)
    figure.supxlabel("bold: out-of-fold on the source itself; * below protocol support; white: no figure", fontsize=8)
    figure.savefig(path, dpi=150, format="png")
