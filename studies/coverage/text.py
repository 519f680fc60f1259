"""The coverage of the intervals in words: ``coverage.md`` and its tables."""

from pathlib import Path

import pandas as pd

from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.files import write_atomic, write_text
from ecg_ramba.keys import digest, plain
from ecg_ramba.markdown import markdown_table
from studies.coverage.figure import draw
from studies.coverage.study import (
    BOOTSTRAPS,
    BY_PLAIN,
    BY_RECORD,
    BY_SUBJECT,
    ENOUGH,
    HIGH,
    LOW,
    VERSION,
    Design,
    coverage_table,
)

TITLE = "How often the intervals hold the truth"
SIMULATED = "Simulated scores: no recording and no model is behind these numbers; they test the intervals."


def write_coverage(design: Design, found: pd.DataFrame, simulations: int, command: str, out: Path) -> list[Path]:
    """``coverage.md``, ``coverage.csv``, ``simulations.csv`` and ``coverage.png``; returns their paths.

    Parameters
    ----------
    design : Design
    found : DataFrame
        As from :func:`studies.coverage.study.simulate_all`.
    simulations : int
        Asked for, of each number of subjects.
    command : str
        What made them.
    out : Path
        Folder of the results; the files go to ``studies/coverage-KEY`` in it.
    """
    table = coverage_table(design, found)
    asked = digest([VERSION, plain(design), sorted(set(found["subjects"].tolist())), simulations])
    folder = out / "studies" / f"coverage-{asked[:12]}"
    paths = [folder / name for name in ("coverage.md", "coverage.csv", "simulations.csv", "coverage.png")]
    write_text(paths[0], markdown(design, table, simulations, command))
    for path, frame in ((paths[1], table), (paths[2], found)):
        write_atomic(path, lambda p, f=frame: f.to_csv(p, index=False, float_format="%.8g", lineterminator="\n"))
    write_atomic(paths[3], lambda p: draw(design, table).savefig(p, format="png", metadata={"Software": None}))
    return paths


def markdown(design: Design, table: pd.DataFrame, simulations: int, command: str) -> str:
    """The text of ``coverage.md``."""
    parts = [f"# {TITLE}", f"> **{SIMULATED}**", _how(design, simulations)]
    for what, truth in design.truth.items():
        parts += [f"## {what} (true value {truth:.2f})", _rows(table[table["of"] == what]), found_text(table, what)]
    c = EvaluationConfig()
    parts.append(
        f"'Reported': data sets of which the evaluation gives an interval at all: {c.interval_subjects} positive and "
        f"as many negative subjects, and at most {c.max_missing:.0%} of the draws without one of the outcomes. "
        "Elsewhere it gives the point alone; the columns before show why."
    )
    parts += ["![coverage against the number of subjects](coverage.png)", f"Command: `{command}`."]
    return "\n\n".join(parts) + "\n"


def _how(design: Design, simulations: int) -> str:
    return (
        f"{simulations:,} simulated data sets of each number of subjects. A subject is positive with probability "
        f"{design.prevalence:g} and has {design.records:g} records on average (geometric from one up: most have few, "
        f"some many); its records share {design.correlation:.0%} of a score's variance. Two models, with true ROC-AUC "
        f"{design.auc:g} and {design.other:g}, whose scores correlate by {design.between:g}. Intervals of "
        f"{design.level:.0%}, {design.draws:,} draws each: of subjects, as the evaluation draws"
        + (f" within {design.folds} folds whose figures it averages" if design.folds > 1 else "")
        + ", spread for few subjects as it spreads them, and by their plain percentiles; and of records, as if none of "
        "them belonged together. In brackets the 95 % interval that so many simulations give the share."
    )


def _share(value: float, low: float, high: float) -> str:
    return "–" if pd.isna(value) else f"{value:.1%} [{low:.1%}, {high:.1%}]"


def _rows(table: pd.DataFrame) -> str:
    header = ["subjects", "data sets", "with both outcomes", "drawing subjects", "mean width"]
    header += [
        "plain percentiles",
        "mean width",
        "drawing records",
        "mean width",
        "reported",
        "drawing subjects, where reported",
    ]
    rows = []
    for subjects, of in table.groupby("subjects"):
        ours, simple, theirs = (of[of["bootstrap"] == by].iloc[0] for by in (BY_SUBJECT, BY_PLAIN, BY_RECORD))
        cells = [f"{subjects:,}", f"{ours['simulations'] + ours['one_outcome']:,}", f"{ours['simulations']:,}"]
        for r in (ours, simple, theirs):
            cells += [_share(r["coverage"], r["lo"], r["hi"]), "–" if pd.isna(r["width"]) else f"{r['width']:.3f}"]
        cells += [f"{ours['reported']:,}", _share(ours["coverage_reported"], ours["lo_reported"], ours["hi_reported"])]
        rows.append(cells)
    return markdown_table(header, rows)


def found_text(table: pd.DataFrame, what: str) -> str:
    """Whether coverage is what was expected of so many subjects, in a sentence."""
    of = table[(table["of"] == what) & (table["subjects"] >= ENOUGH)].dropna(subset="coverage")
    if of.empty:
        return f"No number of subjects here reaches {ENOUGH}, from which {LOW:.0%} to {HIGH:.0%} were expected."
    said = []
    for by in BOOTSTRAPS:
        shares = of[of["bootstrap"] == by]["coverage"]
        inside = int(shares.between(LOW, HIGH).sum())
        said.append(f"drawing {by} {shares.min():.1%} to {shares.max():.1%} ({inside} of {len(shares)} within)")
    return f"From {ENOUGH} subjects on {LOW:.0%} to {HIGH:.0%} were expected: {'; '.join(said)}."
