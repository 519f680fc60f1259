"""From one hospital to the other: the two parts of Chapman-Shaoxing-Ningbo, each once as the source of a suite."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ecg_ramba.data.registry import dataset, locate
from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.evaluation.rows import how_sure
from ecg_ramba.harness.config import SuiteConfig, Variant
from ecg_ramba.harness.executors.jobs import Executor
from ecg_ramba.harness.progress import Progress
from studies.matrix import Suite, run_matrix

HOSPITALS = ("chapman-shaoxing", "chapman-ningbo")
COLUMNS = (
    *("data", "source", "task", "dataset", "variant", "title", "cls", "classes", "support", "value", "lo", "hi"),
    *("gap", "gap_lo", "gap_hi", "gap_diff", "gap_diff_lo", "gap_diff_hi", "gap_classes", "gap_reason", "subjects"),
    *("how_sure", "reason"),
)


def hospital_suites(
    config: SuiteConfig,
    variants: Sequence[Variant],
    data_dir: Path | None,
    out: Path,
    executor: Executor,
    progress: Progress,
    command: str,
) -> tuple[list[Suite], str]:
    """A suite from each hospital to the other, and why there is none ("" where there is one).

    Parameters
    ----------
    config : SuiteConfig
        Its source and target are replaced.
    variants, data_dir, out, executor, progress, command
        As for :func:`ecg_ramba.harness.suite.run_suite`.
    """
    if data_dir is None:
        return [], "the synthetic cohort has one hospital a site"
    try:
        folders = locate(data_dir, HOSPITALS)
    except UserError as error:
        return [], str(error)
    lacking = [name for name in HOSPITALS if not dataset(name).find(folders[name])]
    if lacking:
        return [], f"{data_dir} has no recordings of {', '.join(lacking)}"
    try:
        own = dataclasses.replace(config, overrides={})  # what was searched for another source is not used here
        return run_matrix(own, variants, HOSPITALS, data_dir, out, executor, progress, command), ""
    except LeakageError:
        raise
    except UserError as error:  # neither hospital has enough subjects to be a source
        return [], str(error)


def hospital_table(suites: Sequence[Suite]) -> pd.DataFrame:
    """Headline ROC-AUC and transfer gap of every variant, a row a suite and task; a suite without any has a reason."""
    rows = []
    for suite in suites:
        if suite.evaluation is None:
            rows.append({"source": suite.source, "reason": suite.reason})
            continue
        summary = suite.evaluation.summary
        for name, context in suite.evaluation.contexts.items():
            at = (summary["task"] == name) & (summary["metric"] == "roc_auc")
            at &= summary["estimate"] == context.estimate
            sure = how_sure(suite.evaluation.suite.n_seeds)
            rows += [
                {k: row[k] for k in COLUMNS if k in row} | {"source": suite.source, "how_sure": sure}
                for row in summary[at].to_dict("records")
            ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
