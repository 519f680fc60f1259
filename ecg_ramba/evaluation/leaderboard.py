"""Several runs in one table: what stands in their reports, ranked together only where it was measured alike."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.config import CHALLENGE, NO_SUPPORT, EvaluationConfig
from ecg_ramba.evaluation.report import stored_settings
from ecg_ramba.evaluation.rows import COLUMNS
from ecg_ramba.evaluation.suite import Suite, read_suite
from ecg_ramba.evaluation.tables import HEADLINES
from ecg_ramba.keys import array_digest

Column = tuple[str, str]
"""A task and what leads it: ``macro``, or one of its classes."""
_CELL = ("value", "lo", "hi", "support", "reason", "units", "subjects", "prevalence")


@dataclass(frozen=True)
class Yardstick:
    """What a task's scores depend on besides the model: equal for two runs, their scores can be ranked.

    ``units``: SHA-256 of the units with their subjects, folds and labels; ``mapping``: of the tables that map labels,
    with the label space; ``classes``: what the headline is taken over; ``settings``: of the evaluation.
    """

    units: str
    n_units: int
    mapping: str
    classes: tuple[str, ...]
    settings: str

    def other(self, than: "Yardstick") -> str:
        """How it differs, in words; "" where it does not."""
        said = []
        if self.mapping != than.mapping:
            said.append("another label mapping")
        if self.classes != than.classes:
            said.append(f"headline over {', '.join(self.classes)} and not {', '.join(than.classes)}")
        if self.n_units != than.n_units:
            said.append(f"{self.n_units:,} units and not {than.n_units:,}")
        elif self.units != than.units:
            said.append("other units, folds or labels")
        if self.settings != than.settings:
            said.append(f"evaluated with {self.settings or 'the protocol'} and not {than.settings or 'the protocol'}")
        return "; ".join(said)


@dataclass(frozen=True)
class Entry:
    """One variant of one run.

    ``cells``: column -> the numbers of its headline ROC-AUC (value, lo, hi, support, reason, units, subjects,
    prevalence), with ``ap``, ``ap_lo``, ``ap_hi``. ``failure``: why it has none.
    """

    run: str
    place: Path
    variant: str
    title: str
    kind: str
    reference: bool
    failure: str
    parameters: float
    info: dict = field(repr=False)
    cells: dict[Column, dict] = field(repr=False)


@dataclass
class Group:
    """Runs that are ranked together: their entries, and each task's yardstick. ``why`` says what keeps them apart."""

    runs: list[str]
    entries: list[Entry]
    yardsticks: dict[str, Yardstick]
    why: list[str]

    @property
    def columns(self) -> list[Column]:
        """All columns, the source's first, then in the order of the runs' tasks."""
        return list(dict.fromkeys(c for e in self.entries for c in e.cells))

    def ranked(self, column: Column | None = None) -> list[Entry]:
        """Entries by a column's ROC-AUC, best first, those without one after them, failed ones last.

        By default the first target's, or the source's where there is no target.
        """
        of = column or next((c for c in self.columns if c[0] != "source"), None) or next(iter(self.columns), None)
        worst = -math.inf

        def place(entry: Entry):
            value = entry.cells.get(of, {}).get("value", math.nan)
            return bool(entry.failure), -(value if math.isfinite(value) else worst)

        return sorted(self.entries, key=place)


def read_board(places: Sequence[Path]) -> list[Group]:
    """The runs' entries in groups, from their stored reports.

    Parameters
    ----------
    places : sequence of Path
        Folders of finished runs, each with its report.

    Raises
    ------
    UserError
        For a folder that is no run or has no report, or one that is named twice.
    """
    resolved = [Path(p).resolve() for p in places]
    doubled = next((p for i, p in enumerate(resolved) if p in resolved[:i]), None)
    if doubled:
        raise UserError(f"{doubled} is named twice; name each run once")
    groups: list[Group] = []
    for place, name in zip(places, _names(resolved), strict=True):
        entries, yardsticks = _read(Path(place), name)
        home = next((g for g in groups if _alike(g.yardsticks, yardsticks)), None)
        if home is None:
            why = [line for g in groups for line in _apart(name, yardsticks, g)]
            groups.append(Group([name], entries, dict(yardsticks), why))
        else:
            home.runs.append(name)
            home.entries += entries
            home.yardsticks |= yardsticks
    return groups


def _names(places: list[Path]) -> list[str]:
    """Short names of the runs, with as much of their path as tells them apart."""
    depth = 1
    while depth < 9 and len({p.parts[-depth:] for p in places}) < len(places):
        depth += 1
    return ["/".join(p.parts[-depth:]) for p in places]


def _alike(one: dict[str, Yardstick], other: dict[str, Yardstick]) -> bool:
    """Whether two runs may stand in one table: a task in common, and no common task measured otherwise."""
    common = one.keys() & other.keys()
    return bool(common) and all(one[t] == other[t] for t in common)


def _apart(name: str, own: dict[str, Yardstick], group: Group) -> list[str]:
    common = [t for t in own if t in group.yardsticks]
    others = group.runs[0] if len(group.runs) == 1 else f"{group.runs[0]} and {len(group.runs) - 1} more"
    if not common:
        return [f"{name} and {others} have no task in common"]
    said = [(t, own[t].other(group.yardsticks[t])) for t in common]
    return [f"{name}, against {others}: {t}: {words}" for t, words in said if words]


def _read(place: Path, name: str) -> tuple[list[Entry], dict[str, Yardstick]]:
    """Entries and yardsticks of one run."""
    suite = read_suite(place)
    summary = _summary(place, suite)
    settings = stored_settings(place)
    head = summary[summary["estimate"].isin(HEADLINES) & (summary["cls"] != CHALLENGE)]
    ok = head[head["status"] == "ok"]
    yardsticks = {t.name: _yardstick(suite, t.name, ok[ok["task"] == t.name], settings) for t in suite.tasks}
    # without any variant that has numbers there is nothing to measure by, and the failed ones still are rows
    entries = []
    failed = dict(head[head["status"] == "failed"].groupby("variant")["reason"].first())
    for v in suite.variants:
        own = ok[ok["variant"] == v.name]
        cells = {} if v.name in failed else _cells(own)
        title = own["title"].iloc[0] if len(own) else v.title
        entry = Entry(
            name, place, v.name, title, v.kind, v.reference, failed.get(v.name, ""), v.parameters, suite.info, cells
        )
        entries.append(entry)
    return entries, yardsticks


def _summary(place: Path, suite: Suite) -> pd.DataFrame:
    path = place / "report" / "summary.csv"
    try:
        summary = pd.read_csv(path, keep_default_na=False, na_values={c: [""] for c in _numbers()})
    except FileNotFoundError:
        raise UserError(f"{place} has no report/summary.csv; write it: ecg-ramba report {place}") from None
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: cannot be read ({str(error).splitlines()[0]}); write it again: ecg-ramba report {place}"
        ) from None
    absent = [c for c in COLUMNS if c not in summary.columns]
    if absent:
        raise UserError(
            f"{path} is of another version (no column {absent[0]}); write it again: ecg-ramba report {place}"
        )
    if set(summary["variant"]) != {v.name for v in suite.variants}:
        raise UserError(f"{path} is not of this run's variants; write it again: ecg-ramba report {place}")
    return summary


def _numbers() -> tuple[str, ...]:
    start, end = COLUMNS.index("value"), COLUMNS.index("gap_classes")
    return (*COLUMNS[start:end], "prevalence", "parameters", "flops", "seconds", "peak_mb")


def _cells(rows: pd.DataFrame) -> dict[Column, dict]:
    """Headline cells of one variant."""
    out = {}
    for (task, cls), of in rows.groupby(["task", "cls"], sort=False):
        by = {r["metric"]: r for r in of.to_dict("records")}
        cell = {k: by["roc_auc"][k] for k in _CELL}
        ap = by.get("average_precision", {})
        cell |= {f"ap{k}": ap.get(column, math.nan) for k, column in (("", "value"), ("_lo", "lo"), ("_hi", "hi"))}
        if cell["support"] == NO_SUPPORT and not cell["reason"]:
            cell["reason"] = "too little for a figure"
        out[(task, cls)] = cell
    return out


def _yardstick(suite: Suite, task: str, rows: pd.DataFrame, settings: EvaluationConfig) -> Yardstick:
    """What the scores of a task depend on, model apart."""
    labels = suite.labels[suite.labels["task"] == task].sort_values(["record", "segment", "cls"])
    words = [labels[c].astype(str).to_numpy().astype("U") for c in ("dataset", "record", "subject", "cls")]
    rest = [labels[c].to_numpy(np.int64) for c in ("segment", "fold", "positive", "known")]
    units = len(labels.drop_duplicates(["record", "segment"]))
    auc = rows[rows["metric"] == "roc_auc"]
    classes = tuple(dict.fromkeys(c for text in auc["classes"] for c in text.split("; ") if c))
    mapping = f"{suite.info['label_space']} {suite.info['mapping_digest']}"
    return Yardstick(array_digest(*words, *rest), units, mapping, classes, settings.departures)


def board_table(groups: Sequence[Group]) -> pd.DataFrame:
    """Everything in tidy rows, one a variant and headline figure; failed variants have one row with their reason."""
    rows = []
    for number, group in enumerate(groups, 1):
        for entry in group.ranked():
            info = entry.info
            base = {
                "group": number,
                "run": entry.run,
                "variant": entry.variant,
                "title": entry.title,
                "kind": entry.kind,
                "reference": entry.reference,
                "data": "synthetic" if info["synthetic"] else "real",
                "source": info["source"],
                "created": info["created"] or "",
                "commit": info["commit"] or "",
                "version": info["version"],
                "profile": info["profile"],
                "seeds": info["seeds"] if isinstance(info["seeds"], int) else len(info["seeds"]),
                "parameters": entry.parameters,
            }
            if not entry.cells:
                rows.append(base | {"status": "failed" if entry.failure else "ok", "reason": entry.failure})
            for (task, cls), cell in entry.cells.items():
                stick = group.yardsticks[task]
                figures = {"roc_auc": cell["value"], "roc_auc_lo": cell["lo"], "roc_auc_hi": cell["hi"], "status": "ok"}
                figures |= {f"average_precision{k}": cell[f"ap{k}"] for k in ("", "_lo", "_hi")}
                figures |= {k: cell[k] for k in ("units", "subjects", "prevalence", "support", "reason")}
                about = {"task": task, "cls": cls, "classes": "; ".join(stick.classes), "labels_sha256": stick.units}
                rows.append(base | about | figures)
    return pd.DataFrame(rows, columns=list(BOARD))


BOARD = (
    *("group", "run", "variant", "title", "kind", "reference", "status", "data", "source", "task", "cls", "classes"),
    *("support", "roc_auc", "roc_auc_lo", "roc_auc_hi", "average_precision", "average_precision_lo"),
    *("average_precision_hi", "units", "subjects", "prevalence", "parameters", "seeds", "profile", "created"),
    *("commit", "version", "labels_sha256", "reason"),
)
