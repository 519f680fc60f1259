"""A run's report computed again from its stored predictions and labels, and held against the stored tables."""

import csv
import dataclasses
import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.manifest import Digests, check_manifest
from ecg_ramba.evaluation.report import SETTINGS, report_frames, stored_settings
from ecg_ramba.evaluation.scored import ScoreReader

RELATIVE = 1e-9
"""Two numbers this near to each other, relative to the recomputed one, are the same; so are their first 8 digits."""
DIGITS = 8
"""Significant digits of a number in the tables."""
ABSOLUTE = 1e-12
"""What rounding may leave of a difference that is zero."""
KEYS = ("task", "dataset", "variant", "cls", "class", "estimate", "metric", "effect")
"""Columns that say which row of a table is meant, those that it has."""


@dataclass(frozen=True)
class Difference:
    """A cell that is not what the predictions give: ``line`` of the file, and ``row`` in words; "" where there is none.

    ``stored`` and ``recomputed`` are as they stand in the two tables.
    """

    table: str
    line: int
    row: str
    column: str
    stored: str
    recomputed: str

    def __str__(self) -> str:
        where = f"{self.table}, line {self.line}" + (f" ({self.row})" if self.row else "")
        return f"{where}, {self.column}: stored {self.stored!r}, recomputed {self.recomputed!r}"


@dataclass(frozen=True)
class TableCheck:
    """One table: how many rows, numbers and words of it were compared, and what differs or is wrong with it."""

    name: str
    rows: int = 0
    numbers: int = 0
    words: int = 0
    differences: tuple[Difference, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Verified:
    """What was checked of a run.

    ``digests``: None without a manifest; ``unread``: why the tables could not be computed; ``settings``: whether the
    report says what it was computed with; ``others``: files of the report that were not compared.
    """

    folder: Path
    synthetic: bool
    written_by: str
    digests: Digests | None
    tables: tuple[TableCheck, ...]
    settings: bool
    others: tuple[str, ...]
    unread: str = ""
    totals: dict[str, int] = field(init=False)

    def __post_init__(self):
        counts = {what: sum(getattr(t, what) for t in self.tables) for what in ("rows", "numbers", "words")}
        object.__setattr__(self, "totals", counts)

    @property
    def problems(self) -> list[str]:
        """Everything that is not as it should be, one line each: files first, then tables cell by cell."""
        out = list(self.digests.problems) if self.digests else []
        out += [self.unread] if self.unread else []
        for table in self.tables:
            out += [f"{table.name}: {table.problem}"] if table.problem else []
            out += map(str, table.differences)
        return out


def verify_run(
    folder: Path, challenge_weights: Path | None = None, progress: Callable[[int, int], None] | None = None
) -> Verified:
    """Check a run's digests and compute every table of its report again.

    Parameters
    ----------
    folder : Path
        The run's.
    challenge_weights : Path, optional
        Where the challenge's weights lie here, if the report was made with them elsewhere; their digest must be the
        same.
    progress : callable, optional
        Called with (variants done, variants in all).

    Raises
    ------
    UserError
        If there is no run or no report, or a file that nothing can be done without is damaged and no digest says so.
    """
    folder = Path(folder)
    report = folder / "report"
    if not (folder / "suite.json").is_file():
        raise UserError(f"{folder} is no finished run (it has no suite.json); name a folder such as runs/suites/KEY")
    if not report.is_dir():
        raise UserError(f"{folder} has no report to verify; write it: ecg-ramba report {folder}")
    digests = check_manifest(folder)
    config = stored_settings(folder)
    if challenge_weights and config.challenge_weights:
        config = dataclasses.replace(config, challenge_weights=str(challenge_weights))
    try:
        evaluation = evaluate(folder, config, progress)
        frames = report_frames(evaluation, ScoreReader.of(evaluation))
    except UserError as error:
        if not (digests and digests.problems):
            raise
        why = f"the tables cannot be computed: {error}"
        return Verified(folder, False, "", digests, (), (report / SETTINGS).is_file(), (), why)
    files = {path.stem: path for path in sorted(report.glob("*.csv"))}
    tables = [_check(files.get(name), name, frame) for name, frame in frames.items()]
    tables += [
        TableCheck(f"report/{path.name}", problem="is no table of this report; it is left from another, or was added")
        for name, path in files.items()
        if name not in frames
    ]
    others = sorted(p.relative_to(folder).as_posix() for p in report.rglob("*") if p.is_file() and p.suffix != ".csv")
    others = tuple(name for name in others if name != f"report/{SETTINGS}")
    info = evaluation.suite.info
    stored = (report / SETTINGS).is_file()
    return Verified(folder, evaluation.suite.synthetic, info["version"], digests, tuple(tables), stored, others)


def _check(path: Path | None, name: str, frame: pd.DataFrame) -> TableCheck:
    """A stored table beside the recomputed one."""
    title = f"report/{name}.csv"
    if path is None:
        return TableCheck(title, problem="is not there, and the predictions give it")
    return compare_table(title, path, frame)


def compare_table(title: str, path: Path, frame: pd.DataFrame) -> TableCheck:
    """Compare a CSV table cell by cell: words exactly, numbers as :data:`RELATIVE` and :data:`DIGITS` say.

    Parameters
    ----------
    title : str
        As printed.
    path : Path
        The stored table.
    frame : DataFrame
        What it should hold, unrounded.
    """
    text = frame.to_csv(index=False, float_format=f"%.{DIGITS}g", lineterminator="\n")
    header, *expected = csv.reader(io.StringIO(text))
    try:
        with open(path, encoding="utf-8", newline="") as file:
            stored = list(csv.reader(file))
    except (OSError, ValueError, csv.Error) as error:
        return TableCheck(title, problem=f"cannot be read ({error})")
    if not stored or stored[0] != header:
        absent = [c for c in header if not stored or c not in stored[0]]
        added = [c for c in (stored[0] if stored else ()) if c not in header]
        what = [f"lacks {', '.join(absent)}"] * bool(absent) + [f"has {', '.join(added)} besides"] * bool(added)
        return TableCheck(title, problem=f"has other columns: {' and '.join(what) or 'in another order'}")
    stored = stored[1:]
    ragged = next((i for i, row in enumerate(stored, 2) if len(row) != len(header)), None)
    if ragged:
        return TableCheck(title, problem=f"line {ragged} has not {len(header)} cells")
    problem = f"has {len(stored)} rows, {len(expected)} are recomputed" if len(stored) != len(expected) else ""
    n = min(len(stored), len(expected))
    is_number = np.array([_numeric(frame[c]) for c in header], dtype=bool)
    ours = np.array(expected[:n], dtype=object).reshape(n, len(header))
    theirs = np.array(stored[:n], dtype=object).reshape(n, len(header))
    filled = ours != ""
    differences = []
    for i, j in np.argwhere(ours != theirs):
        value = frame.iloc[i, j]
        if isinstance(value, float | np.floating) and _same(theirs[i, j], float(value)):
            continue
        row = ", ".join(str(ours[i, header.index(k)]) for k in KEYS if k in header)
        # a quoted cell may hold line breaks, so the line is the row's place, as a spreadsheet counts it
        differences.append(Difference(title, int(i) + 2, row, header[j], theirs[i, j], ours[i, j]))
    numbers, words = int(filled[:, is_number].sum()), int(filled[:, ~is_number].sum())
    return TableCheck(title, n, numbers, words, tuple(differences), problem)


def _numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _same(text: str, value: float) -> bool:
    """Whether a stored number is the recomputed one, as far as its digits say."""
    try:
        stored = float(text) if text else math.nan
    except ValueError:
        return False
    if not (math.isfinite(stored) and math.isfinite(value)):
        return stored == value or (math.isnan(stored) and math.isnan(value))
    # The stored number was rounded to DIGITS digits: half a unit of the last one is what that may have changed.
    size = max(abs(stored), abs(value))
    half = 0.5 * 10.0 ** (math.floor(math.log10(size)) - DIGITS + 1) if size else 0.0
    return abs(stored - value) <= half * (1 + 1e-6) + RELATIVE * abs(value) + ABSOLUTE


def verify_text(found: Verified, version: str, most: int = 20) -> str:
    """What was verified, in lines to print; the first ``most`` differences.

    Parameters
    ----------
    found : Verified
    version : str
        Of the package that verified it.
    most : int
    """
    lines = ["SYNTHETIC DATA: this tests the suite and says nothing of patients."] if found.synthetic else []
    if found.digests is None:
        lines.append("digests: NOT VERIFIED, the run has no manifest.json (it was made by an older version)")
    else:
        bad = len(found.digests.problems)
        said = f"{found.digests.files} files" + (f", {bad} not as it says" if bad else " are as it says")
        lines.append(f"digests: manifest.json (SHA-256 {found.digests.sha256}): {said}")
    if not found.unread:
        n, of = len(found.tables), found.totals
        different = sum(len(t.differences) for t in found.tables)
        lines.append(
            f"tables: {n} computed again from the stored predictions and labels: {of['rows']:,} rows, "
            f"{of['numbers']:,} numbers (to {DIGITS} digits), {of['words']:,} words; {different} cells differ"
        )
        if not found.settings:
            lines.append("settings: the report does not say its settings; the protocol's were taken")
        if found.written_by != version:
            lines.append(f"versions: predicted by {found.written_by}, verified by {version}")
        if found.others:
            lines.append(f"not compared (text, pages and figures): {len(found.others)} files of the report")
    problems = found.problems
    lines += [f"  {p}" for p in problems[:most]]
    lines += [f"  … and {len(problems) - most} more"] if len(problems) > most else []
    lines.append(f"NOT VERIFIED: {len(problems)} differences" if problems else "verified")
    if problems and found.digests and not (found.digests.problems or found.unread):
        lines.append(
            "The digests hold, so the predictions are the run's: its report was changed, or written by other code than "
            f"this. To tell which, verify with the code that wrote it; ecg-ramba report {found.folder} writes it anew."
        )
    return "\n".join(lines)
