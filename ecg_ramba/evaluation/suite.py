"""What a finished suite left in its folder, read and checked: suite.json, variants.json, tasks.json, labels.parquet.

Everything the evaluation knows comes from these files and the variants' ``windows.parquet``.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.pooling import Pooling

SUITE_FIELDS = (
    *("key", "created", "source", "targets", "profile", "folds", "seeds", "synthetic", "label_space"),
    *("mapping_digest", "data", "backend", "precision", "threads", "commit", "untrained", "duplicates"),
    *("command", "version", "source_subjects"),
)
DATA_FIELDS = (
    *("name", "records", "subjects", "segments", "windows", "digest", "refused", "removed_overlap", "unlabelled"),
    *("dropped_segments", "synthetic"),
)
LABEL_COLUMNS = ("task", "dataset", "record", "segment", "subject", "fold", "cls", "positive", "known", "paced")
OPERATIONS = ("max", "1-max")


@dataclass(frozen=True)
class Score:
    """How a task class is read off the model's classes, per window: ``max`` or ``1-max`` over ``of``."""

    name: str
    op: str
    of: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """One task: a data set, its unit and its classes. ``macro`` names the classes that enter the macro average."""

    name: str
    dataset: str
    unit: str
    role: str
    scores: tuple[Score, ...]
    macro: tuple[str, ...]
    derived: bool
    notes: tuple[str, ...]

    @property
    def source(self) -> bool:
        """Whether it is scored out-of-fold."""
        return self.role == "source"


@dataclass(frozen=True)
class Variant:
    """One row of the tables: a retrained model, or another pooling of an existing model's windows.

    ``overlap``: what a model pretrained elsewhere is said to have seen of each data set: none, pretraining, unknown.
    ``latency_ms``, ``windows_per_second``: of the model alone, without features; NaN where they were not taken.
    """

    name: str
    title: str
    kind: str
    windows: str
    pooling: Pooling
    parameters: float
    flops: float
    seconds: float
    peak_mb: float
    failure: str
    note: str
    reference: bool
    factors: tuple[tuple[str, str], ...] = ()
    overlap: tuple[tuple[str, str], ...] = ()
    latency_ms: float = float("nan")
    windows_per_second: float = float("nan")

    def title_on(self, task: Task) -> str:
        """Its title, marked where by its own statement its pretraining saw the task's data, or may have."""
        if dict(self.overlap).get(task.dataset, "none") == "none":
            return self.title
        return f"{self.title} [{'NOT HELD OUT' if task.source else 'NOT ZERO-SHOT'}]"


@dataclass(frozen=True)
class Suite:
    """A suite folder in memory."""

    path: Path
    info: dict
    tasks: tuple[Task, ...]
    variants: tuple[Variant, ...]
    labels: pd.DataFrame

    @property
    def synthetic(self) -> bool:
        """Whether any of its data was made, not recorded."""
        return bool(self.info["synthetic"])

    @property
    def reference(self) -> Variant | None:
        """The variant all others are compared with."""
        return next((v for v in self.variants if v.reference), None)

    @property
    def n_seeds(self) -> int:
        """Number of training seeds."""
        return _count(self.info["seeds"])

    @property
    def folds(self) -> tuple[int, ...]:
        """Numbers of the folds whose models are here."""
        folds = self.info["folds"]
        return tuple(folds) if isinstance(folds, list) else tuple(range(1, int(folds) + 1))

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return len(self.folds)


def _count(value) -> int:
    return len(value) if isinstance(value, list) else int(value)


def _json(path: Path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; name the folder of a finished run") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); run the suite again") from error


def _require(entry, fields, path: Path, what: str) -> None:
    if not isinstance(entry, dict):
        raise UserError(f"{path}: {what} is not an object; run the suite again")
    absent = [f for f in fields if f not in entry]
    if absent:
        raise UserError(
            f"{path}: {what} lacks {', '.join(absent)}; it was written by another version, run the suite again"
        )


def read_parquet(path: Path, columns=None, filters=None) -> pd.DataFrame:
    """A parquet file as a DataFrame; a missing or damaged one is a :class:`UserError` naming it."""
    try:
        return pd.read_parquet(path, columns=columns, filters=filters)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the suite again") from None
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: cannot be read ({line}); run the suite again") from error


def _tasks(path: Path) -> tuple[Task, ...]:
    tasks = []
    for entry in _json(path):
        _require(entry, ("task", "dataset", "unit", "role", "scores", "macro", "derived"), path, "a task")
        name = entry["task"]
        if entry["unit"] not in ("record", "segment") or entry["role"] not in ("source", "target"):
            raise UserError(
                f"{path}: task {name} has unit {entry['unit']!r} and role {entry['role']!r}; run the suite again"
            )
        scores = tuple(Score(cls, s["op"], tuple(s["of"])) for cls, s in entry["scores"].items())
        for score in scores:
            if score.op not in OPERATIONS or not score.of:
                raise UserError(
                    f"{path}: task {name}, class {score.name}: unknown operation {score.op!r} over {score.of}"
                )
        unknown = set(entry["macro"]) - set(entry["scores"])
        if unknown:
            raise UserError(f"{path}: task {name}: macro classes without a score: {', '.join(sorted(unknown))}")
        tasks.append(
            Task(
                name=name,
                dataset=entry["dataset"],
                unit=entry["unit"],
                role=entry["role"],
                scores=scores,
                macro=tuple(entry["macro"]),
                derived=bool(entry["derived"]),
                notes=tuple(entry.get("notes", ())),
            )
        )
    _unique([t.name for t in tasks], path, "task")
    if not tasks:
        raise UserError(f"{path}: no task; run the suite again")
    return tuple(tasks)


def _unique(names: list[str], path: Path, what: str) -> None:
    doubled = sorted({n for n in names if names.count(n) > 1})
    if doubled:
        raise UserError(f"{path}: {what} named twice: {', '.join(doubled)}")


def _number(value) -> float:
    return float("nan") if value is None else float(value)


def _variants(path: Path) -> tuple[Variant, ...]:
    variants = []
    for entry in _json(path):
        _require(entry, ("name", "title", "kind", "windows", "pooling", "status"), path, "a variant")
        if entry["status"] not in ("ok", "failed"):
            raise UserError(f"{path}: variant {entry['name']} has status {entry['status']!r}; finish the run first")
        failed = entry["status"] == "failed"
        rule = dict(entry["pooling"] or {})
        variants.append(
            Variant(
                name=entry["name"],
                title=entry["title"],
                kind=entry["kind"],
                windows=entry["windows"] or "",
                pooling=Pooling(rule=rule.get("rule", "power"), q=float(rule.get("q") or 3.0)),
                parameters=_number(entry.get("parameters")),
                flops=_number(entry.get("flops")),
                seconds=_number(entry.get("seconds")),
                peak_mb=_number(entry.get("peak_mb")),
                failure=(entry.get("reason") or "no reason was recorded") if failed else "",
                note=entry.get("note") or "",
                reference=bool(entry.get("reference", False)),
                factors=tuple(sorted((entry.get("factors") or {}).items())),
                overlap=tuple(sorted((entry.get("overlap") or {}).items())),
                latency_ms=_number(entry.get("latency_ms")),
                windows_per_second=_number(entry.get("windows_per_second")),
            )
        )
    _unique([v.name for v in variants], path, "variant")
    if not variants:
        raise UserError(f"{path}: no variant; run the suite again")
    if sum(v.reference for v in variants) > 1:
        raise UserError(f"{path}: more than one variant is marked as the reference")
    return tuple(variants)


def _labels(path: Path, tasks: tuple[Task, ...]) -> pd.DataFrame:
    labels = read_parquet(path)
    absent = [c for c in LABEL_COLUMNS if c not in labels.columns]
    if absent:
        raise UserError(f"{path}: lacks the column{'s' * (len(absent) > 1)} {', '.join(absent)}; run the suite again")
    missing = [t.name for t in tasks if t.name not in set(labels["task"].unique())]
    if missing:
        raise UserError(f"{path}: no labels for task {', '.join(missing)}; run the suite again")
    doubled = labels.duplicated(["task", "record", "segment", "cls"])
    if doubled.any():
        row = labels[doubled].iloc[0]
        raise UserError(f"{path}: task {row['task']}, record {row['record']}, class {row['cls']} is labelled twice")
    return labels


def read_suite(folder: Path) -> Suite:
    """Read and check a suite folder.

    Raises
    ------
    UserError
        Naming the file that is missing, damaged, incomplete or inconsistent.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the folder of a finished run")
    info = _json(folder / "suite.json")
    _require(info, SUITE_FIELDS, folder / "suite.json", "the suite")
    for entry in info["data"]:
        _require(entry, DATA_FIELDS, folder / "suite.json", "a data set")
    tasks = _tasks(folder / "tasks.json")
    sources = {t.dataset for t in tasks if t.source}
    both = sorted({t.name for t in tasks if not t.source and t.dataset in sources})
    if both:
        raise UserError(f"{folder / 'tasks.json'}: {', '.join(both)} would test on the data set it was trained on")
    labels = _labels(folder / "labels.parquet", tasks)
    return Suite(folder, info, tasks, _variants(folder / "variants.json"), labels)


def untrained(suite: Suite) -> set[tuple[int, str]]:
    """(fold, model class) pairs that no model was trained on."""
    return {(int(e["fold"]), str(e["cls"])) for e in suite.info["untrained"]}


def grouped_starts(codes: np.ndarray) -> np.ndarray:
    """First index of each run of equal values."""
    return np.flatnonzero(np.append(True, codes[1:] != codes[:-1])) if len(codes) else np.zeros(0, np.intp)
