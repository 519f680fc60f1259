"""What a suite leaves for evaluation: tasks, truth, each variant's windows, and the facts of the run."""

import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecg_ramba import __version__
from ecg_ramba.data.labels import mapping_digest
from ecg_ramba.data.store import Prepared
from ecg_ramba.data.tasks import build_tasks
from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.people import FILE, PEOPLE
from ecg_ramba.files import write_atomic, write_json
from ecg_ramba.harness.cells import Context
from ecg_ramba.harness.config import Variant
from ecg_ramba.harness.external import read_external
from ecg_ramba.harness.foundation import overlap_row
from ecg_ramba.harness.variants import REFERENCE
from ecg_ramba.keys import plain


@dataclass
class SuiteResult:
    """A finished suite: its folder, and for each trained variant the outcome of its cells and its configuration."""

    folder: Path
    key: str
    context: Context
    variants: list[Variant]
    cells: dict[str, list[dict]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    configs: dict[str, Any] = field(default_factory=dict)


def write_truth(context: Context, counts: dict, folder: Path) -> None:
    """tasks.json, labels.parquet, records.parquet and splits.json."""
    fold = np.array(counts[""]["fold"])
    trained = np.any([f.trained for f in context.folds], axis=0)
    names = frozenset(np.array(context.truth.space.classes)[trained])
    tasks, truth, dropped = build_tasks(context.source, list(context.targets), context.truth.space, names, fold)
    for name, crossing in dropped.items():
        counts[name]["dropped_segments"] = crossing
    write_json(folder / "tasks.json", tasks)
    write_atomic(folder / "labels.parquet", lambda p: truth.to_parquet(p, index=False))
    write_atomic(folder / FILE, lambda p: people(context.source, context.targets, fold).to_parquet(p, index=False))
    folds = dict(zip(context.source.records["record"], fold.tolist(), strict=True))
    parts = {str(f.number): f.digest for f in context.folds}
    write_json(folder / "splits.json", {"source": context.source.name, "held_out_fold": folds, "training_parts": parts})


def people(source: Prepared | None, targets: Sequence[Prepared], fold: np.ndarray | None) -> pd.DataFrame:
    """Who was recorded, in the form of records.parquet: one row a recording that is used.

    ``fold``: of each recording of the source that is scored.
    """
    frames = []
    for data in [d for d in (source, *targets) if d is not None]:
        frame = data.records.assign(dataset=data.name, role="target", fold=np.int16(-1))
        if data is source:
            frame["role"], frame["fold"] = "source", fold.astype(np.int16)
        frame["dead_leads"] = frame["dead_leads"].map(len).astype(np.int16)
        frames.append(frame[list(PEOPLE)])
    return pd.concat(frames, ignore_index=True)


def write_variants(result: SuiteResult) -> None:
    """windows.parquet of each trained variant, variants.json, and cells.json: which cells they are made of."""
    suite, folder = result.context.suite, result.folder
    rows, whole = [], {}
    for v in result.variants:
        if not v.trained:
            continue
        cells = sorted(result.cells.get(v.name, []), key=lambda c: (c["seed"], c["fold"]))
        overlap = overlap_row(result.configs.get(v.name), suite.source, (suite.source, *suite.targets))
        row = _row(v, "trained", reference=v.name == REFERENCE, **overlap)
        if len(cells) < suite.folds * suite.seeds:
            row |= {"status": "failed", "reason": result.failures.get(v.name, "some of its cells did not run")}
        else:
            path = _place(v)
            _gather(cells, folder / path)
            whole[v.name] = row
            row |= {
                "windows": path.as_posix(),
                "parameters": int(max(c["log"]["parameters"] for c in cells)),
                "flops": cells[0]["log"].get("flops"),
                "latency_ms": cells[0]["log"].get("latency_ms"),
                "windows_per_second": cells[0]["log"].get("windows_per_second"),
                "seconds": float(sum(c["log"]["seconds"] for c in cells)),
                "peak_mb": float(max(c["log"]["peak_rss_mb"] for c in cells)),
            }
        rows.append(row)
    rows += [_ensemble(v, whole, folder) for v in result.variants if v.mean_of]
    rows += [_external(v, whole, result) for v in result.variants if v.predictions]
    rows += [_pooled(v, whole) for v in result.variants if v.windows_of]
    rows += [_row(v, "plug-in", status="failed", reason=v.failure) for v in result.variants if v.failure]
    write_json(folder / "variants.json", rows)
    keys = [
        {"variant": name, "fold": c["fold"], "seed": c["seed"], "key": c["key"]}
        for name, cells in result.cells.items()
        for c in cells
    ]
    write_json(folder / "cells.json", sorted(keys, key=lambda c: (c["variant"], c["seed"], c["fold"])))


def _row(v: Variant, kind: str, **fields) -> dict:
    """A row of variants.json."""
    row = {"name": v.name, "title": v.title, "kind": kind, "claim": v.claim, "pooling": plain(v.pooling)}
    row |= {"factors": dict(v.factors), "reference": False, "note": "", "status": "ok", "reason": ""}
    row |= {"windows": None, "parameters": None, "flops": None, "seconds": 0.0, "peak_mb": 0.0}
    return row | fields


def _place(v: Variant) -> Path:
    """A variant's windows.parquet, relative to the suite's folder."""
    return Path("variants") / v.name / "windows.parquet"


def _pooled(v: Variant, whole: dict[str, dict]) -> dict:
    """The row of another pooling of a trained variant's windows."""
    row = _row(v, "pooling", note=f"the stored windows of {v.windows_of}, pooled again")
    if v.windows_of not in whole:
        return row | {"status": "failed", "reason": f"{v.windows_of} failed, and with it the windows to pool"}
    return row | {k: whole[v.windows_of][k] for k in ("windows", "parameters", "flops")}


def _ensemble(v: Variant, whole: dict[str, dict], folder: Path) -> dict:
    """The row of an ensemble, and its windows.parquet: the mean of its members' window probabilities."""
    row = _row(v, "ensemble", note=f"the mean of {', '.join(v.mean_of)}")
    lacking = [name for name in v.mean_of if name not in whole]
    if lacking:
        return row | {"status": "failed", "reason": f"{', '.join(lacking)} failed, and with it the mean"}
    members = [whole[name] for name in v.mean_of]
    keys = ["dataset", "record", "segment", "start", "fold", "seed"]
    first, *others = (pd.read_parquet(folder / m["windows"]).set_index(keys) for m in members)
    total = first.astype(np.float64)
    for other in others:
        total += other.loc[first.index]
    path = _place(v)
    mean = (total / len(members)).astype(np.float32).reset_index()
    write_atomic(folder / path, lambda p: mean.to_parquet(p, index=False))
    return row | {"windows": path.as_posix(), "parameters": sum(m["parameters"] for m in members)}


def _external(v: Variant, whole: dict[str, dict], result: SuiteResult) -> dict:
    """The row of a model from elsewhere, and its windows.parquet; what is wrong with its file is its reason."""
    row = _row(v, "external", note=f"predictions from {Path(v.predictions).name}")
    base = whole.get(REFERENCE) or next(iter(whole.values()), None)
    if base is None:
        return row | {
            "status": "failed",
            "reason": "no trained variant has finished, whose windows it could be held to",
        }
    expected = pd.read_parquet(result.folder / base["windows"])
    try:
        frame = read_external(Path(v.predictions), expected, result.context.truth.space.classes)
    except UserError as error:
        return row | {"status": "failed", "reason": str(error)}
    path = _place(v)
    write_atomic(result.folder / path, lambda p: frame.to_parquet(p, index=False))
    return row | {"windows": path.as_posix()}


def _gather(cells: list[dict], path: Path) -> None:
    """One windows.parquet from the cells' predictions, in a fixed order."""
    files = [f for c in cells for f in c["predictions"].values()]
    with ThreadPoolExecutor(2) as pool:
        frames = list(pool.map(pd.read_parquet, files))
    write_atomic(path, lambda p: pd.concat(frames, ignore_index=True).to_parquet(p, index=False))


def write_suite(result: SuiteResult, data: list[Prepared], counts: dict, command: str) -> None:
    """suite.json: what was run, on what."""
    context, config = result.context, result.context.suite
    facts = []
    for raw, used, table in zip(
        data, (context.source, *context.targets), (context.source_table, *context.target_tables), strict=True
    ):
        facts.append(data_facts(raw, used, len(table), counts[used.name]))
    classes = context.truth.space.classes
    untrained = [
        {"fold": f.number, "cls": c, "positive_subjects": int(n)}
        for f in context.folds
        for c, t, n in zip(classes, f.trained, f.subjects, strict=True)
        if not t
    ]
    duplicated = context.source.records["signal_digest"].duplicated().sum()
    write_json(
        result.folder / "suite.json",
        {
            "key": result.key,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "version": __version__,
            "commit": commit(),
            "command": command,
            "source": context.source.name,
            "source_subjects": int(context.source.records["subject"].nunique()),
            "targets": [t.name for t in context.targets],
            "profile": config.profile,
            "folds": config.folds,
            "seeds": config.seeds,
            "synthetic": any(d.synthetic for d in (context.source, *context.targets)),
            "label_space": config.label_space,
            "classes": list(classes),
            "mapping_digest": mapping_digest(),
            "data": facts,
            "backend": config.backend,
            "device": config.device,
            "precision": config.precision,
            "threads": 1,
            "untrained": untrained,
            "duplicates": int(duplicated),
            "config": plain(config),
        },
    )


def data_facts(raw: Prepared, used: Prepared, windows: int, counts: dict) -> dict:
    """What a report says of a data set: how much of it was used and what was left out, counted."""
    return {
        "name": used.name,
        "records": len(used.records),
        "subjects": int(used.records["subject"].nunique()),
        "subjects_known": bool(used.records["subject_known"].all()),
        "segments": int(used.records["n_segments"].sum()),
        "windows": windows,
        "digest": used.digest,
        "refused": len(raw.refused),
        "synthetic": used.synthetic,
        "derived": used.derived,
        "removed_overlap": counts.get("removed_overlap", 0),
        "unlabelled": counts.get("unlabelled", 0),
        "dropped_segments": counts.get("dropped_segments", 0),
        "paced": int(used.records["paced"].sum()),
        "place": raw.place,
    }


def commit() -> str:
    """The checkout's commit with ``+`` for uncommitted changes; "" outside a checkout."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        dirty = subprocess.run(["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")
