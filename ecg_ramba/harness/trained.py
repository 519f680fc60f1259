"""Trained models on disk: ``models/fold1_best.pt`` … with their checksums, evaluated and used on new recordings.

The files keep the published checkpoints' names; what is in them is the last epoch's EMA weights, never a best epoch.
"""

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_ramba import __version__
from ecg_ramba.data.labels import mapping_digest
from ecg_ramba.data.record import Record
from ecg_ramba.data.store import Prepared, prepared_from_record
from ecg_ramba.data.tasks import build_tasks, truth_of
from ecg_ramba.errors import CheckpointError, LeakageError, RecordError, UserError
from ecg_ramba.evaluation.pooling import Pooling, pool
from ecg_ramba.files import read_json, sha256_file, write_atomic, write_json, write_text
from ecg_ramba.harness.cells import ACTIVE_BACKEND, Context, probabilities
from ecg_ramba.harness.checkpoint import FoldModel, load_fold_model
from ecg_ramba.harness.inputs import window_table
from ecg_ramba.harness.outputs import commit, data_facts
from ecg_ramba.harness.splits import overlap_with_source
from ecg_ramba.keys import digest, plain

SUMS = "SHA256SUMS"
TRAINING = "training.json"


def publish_models(context: Context, cells: Sequence[dict], models: Path, data_dir: Path | None) -> list[Path]:
    """Copy the cells' checkpoints to ``models/fold1_best.pt`` … with SHA256SUMS and training.json.

    Checkpoints that an earlier training left there (those its SHA256SUMS names) go: models of two trainings never mix.
    """
    old, paths = _checksums(models), []
    for cell in sorted(cells, key=lambda c: (c["seed"], c["fold"])):
        seed = f"_seed{cell['seed']}" if cell["seed"] else ""
        path = models / f"fold{cell['fold']}_best{seed}.pt"
        source = context.out / "cells" / cell["key"][:24] / "model.pt"
        write_atomic(path, lambda p, s=source: shutil.copyfile(s, p))
        paths.append(path)
    for stale in set(models.glob("fold*_best*.pt")) - set(paths):
        if stale.name in old:
            stale.unlink()
    write_text(models / SUMS, "".join(f"{sha256_file(p)}  {p.name}\n" for p in paths))
    facts = {"data": str(data_dir.resolve()) if data_dir else None, "source": context.source.name}
    write_json(models / TRAINING, facts | {"config": plain(context.suite)})
    return paths


def load_models(paths: Sequence[Path]) -> list[FoldModel]:
    """Load checkpoints, each checked against SHA256SUMS where that lies beside it.

    Raises
    ------
    CheckpointError
        For a missing, damaged or foreign file, or models that do not belong together.
    """
    if not paths:
        raise CheckpointError(
            "no checkpoint found; train first (ecg-ramba train --data DIR) or name one with --ckpt FILE"
        )
    models = []
    for path in paths:
        known = _checksums(path.parent)
        if known and path.name not in known:
            raise CheckpointError(
                f"{path} is no checkpoint of the last training there (not in {path.parent / SUMS}); name fold*_best*.pt"
            )
        if known and path.is_file() and sha256_file(path) != known[path.name]:
            raise CheckpointError(
                f"{path} differs from its checksum in {path.parent / SUMS}; it was changed or damaged, copy it again"
            )
        models.append(load_fold_model(path))
    for model, path in zip(models, paths, strict=True):
        if _kind(model) != _kind(models[0]):
            raise CheckpointError(
                f"{path} does not belong with {paths[0]}: another model, source, number of folds, classes or signal"
            )
    cells = [(m.facts["fold"], m.facts["seed"]) for m in models]
    for at, cell in enumerate(cells):
        if cell in cells[:at]:
            raise CheckpointError(f"{paths[at]} and {paths[cells.index(cell)]} are both fold {cell[0]}, seed {cell[1]}")
    _check_one_split(models, paths)
    return models


def _checksums(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of the checkpoints that the last training left in a folder; {} without SHA256SUMS."""
    place = folder / SUMS
    lines = place.read_text().splitlines() if place.is_file() else []
    return {name: value for value, name in (line.split("  ", 1) for line in lines if "  " in line)}


def _kind(model: FoldModel) -> tuple:
    facts = model.facts
    return model.spec.name, model.classes, model.signal, facts["source"], facts["folds"], facts["label_space"]


def _check_one_split(models: Sequence[FoldModel], paths: Sequence[Path]) -> None:
    """Refuse folds of different splits: under one split any two folds' training parts make up the whole source."""
    parts = {m.facts["fold"]: set(m.facts["training_signals"]) for m in models}
    whole = set().union(*parts.values())
    for (a, one), (b, other) in combinations(parts.items(), 2):
        if len(parts) > 2 and one | other != whole:
            raise CheckpointError(
                f"folds {a} and {b} of {paths[0].parent} are of different splits of the source; train them together"
            )
    for model, path in zip(models, paths, strict=True):
        if set(model.facts["training_signals"]) != parts[model.facts["fold"]]:
            raise CheckpointError(f"{path} was trained on another split of the source than its fold's other seeds")


def training_facts(paths: Sequence[Path]) -> dict:
    """What training.json beside the checkpoints says (data folder, source); {} where there is none."""
    place = paths[0].parent / TRAINING
    return read_json(place) if place.is_file() else {}


def held_out(model: FoldModel, records: pd.DataFrame) -> np.ndarray:
    """Rows of the source that a fold's model has not seen: neither their signal nor their subject."""
    seen = records["signal_digest"].isin(set(model.facts["training_signals"]))
    seen |= records["subject"].isin(set(model.facts["training_subjects"]))
    return np.flatnonzero(~seen)


def clear_target(target: Prepared, source: Prepared, models: Sequence[FoldModel]) -> tuple[Prepared, dict]:
    """The target without unlabelled recordings and without anything that the source holds or a model was trained on.

    Returns
    -------
    target : Prepared
    counts : dict
        ``unlabelled`` and ``removed_overlap``: how many recordings went, and why.
    """
    records = target.records
    signals = set().union(*(m.facts["training_signals"] for m in models))
    subjects = set().union(*(m.facts["training_subjects"] for m in models))
    same_publisher = records["publisher"].isin(set(source.records["publisher"])) & records["subject_known"]
    trained_on = records["signal_digest"].isin(signals) | (records["subject"].isin(subjects) & same_publisher)
    overlap = overlap_with_source(records, source.records) | trained_on.to_numpy()
    labelled = records["labelled"].to_numpy(bool)
    keep = labelled & ~overlap
    if not keep.any():
        raise UserError(
            f"{target.name}: no recording is left (unlabelled, or all overlap with the source {source.name})"
        )
    counts = {"unlabelled": int((~labelled).sum()), "removed_overlap": int((labelled & overlap).sum())}
    return target.subset(np.flatnonzero(keep)), counts


def evaluation_folder(
    models: Sequence[FoldModel], source: Prepared, targets: Sequence[Prepared], out: Path, cache: Path, command: str
) -> Path:
    """Predict with trained models and leave what the evaluation reads: a suite folder of one variant.

    The source is scored only on what each fold's model has not seen; a recording seen by all of them is left out.

    Raises
    ------
    LeakageError
        If nothing of the source was held out from these models.
    """
    source = source.subset(np.flatnonzero(source.records["labelled"]))
    space = truth_of(source, _space(models[0])).space
    number = np.zeros(len(source.records), dtype=np.int16)
    frames, table = [], window_table(source)
    for model in models:
        fold = model.facts["fold"]
        rows = held_out(model, source.records)
        rows = rows[(number[rows] == 0) | (number[rows] == fold)]
        number[rows] = fold
        if len(rows):
            frames.append(_frame(model, source, table, table.of_records(rows), cache))
    if not frames:
        raise LeakageError(f"all recordings of {source.name} were in the training of these models; nothing is held out")
    kept = source.subset(np.flatnonzero(number))
    cleared, counts = zip(*(clear_target(t, source, models) for t in targets), strict=True) if targets else ((), ())
    for target in cleared:
        table = window_table(target)
        frames += [_frame(model, target, table, np.arange(len(table)), cache) for model in models]
    trained = frozenset(c for c, t in zip(space.classes, np.any([m.trained for m in models], axis=0), strict=True) if t)
    tasks, truth, _ = build_tasks(kept, cleared, space, trained, number[number > 0])
    key = digest([[m.facts for m in models], [d.digest for d in (kept, *cleared)]])
    folder = out / "evaluations" / key[:16]
    write_json(folder / "tasks.json", tasks)
    write_atomic(folder / "labels.parquet", lambda p: truth.to_parquet(p, index=False))
    write_atomic(folder / "windows.parquet", lambda p: pd.concat(frames, ignore_index=True).to_parquet(p, index=False))
    write_json(folder / "variants.json", [_variant_row(models)])
    data = [data_facts(kept, kept, len(window_table(kept)), {})]
    data += [data_facts(t, c, len(window_table(c)), n) for t, c, n in zip(targets, cleared, counts, strict=True)]
    write_json(folder / "suite.json", _suite_facts(models, data, key, command))
    return folder


def _space(model: FoldModel):
    from ecg_ramba.data.labels import label_space

    return label_space(model.facts["label_space"])


def _frame(model: FoldModel, data: Prepared, table, rows, cache) -> pd.DataFrame:
    p = probabilities(model, data, table, rows, cache)
    columns = {
        "dataset": data.name,
        "record": data.records["record"].to_numpy()[table.record[rows]],
        "segment": table.segment[rows].astype(np.int32),
        "start": table.start[rows].astype(np.int32),
        "fold": np.int16(model.facts["fold"]),
        "seed": np.int16(model.facts["seed"]),
    }
    return pd.concat([pd.DataFrame(columns), pd.DataFrame(p, columns=list(model.classes))], axis=1)


def _variant_row(models: Sequence[FoldModel]) -> dict:
    parameters = int(sum(np.size(v) for v in models[0].weights().values()))
    row = {"name": models[0].spec.name, "title": models[0].spec.title, "kind": "trained", "windows": "windows.parquet"}
    row |= {
        "pooling": {"rule": "power", "q": 3.0},
        "reference": True,
        "status": "ok",
        "reason": "",
        "note": "",
        "claim": "",
    }
    return row | {"parameters": parameters, "flops": None, "seconds": 0.0, "peak_mb": 0.0}


def _suite_facts(models, data: list[dict], key: str, command: str) -> dict:
    """``data``: what was used and left out of the source, then of each target."""
    facts = models[0].facts
    return {
        "key": key,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "commit": commit(),
        "command": command,
        "source": data[0]["name"],
        "targets": [d["name"] for d in data[1:]],
        "profile": facts["profile"],
        "folds": len({m.facts["fold"] for m in models}),
        "seeds": len({m.facts["seed"] for m in models}),
        "synthetic": bool(facts["synthetic"]) or any(d["synthetic"] for d in data),
        "label_space": facts["label_space"],
        "classes": list(models[0].classes),
        "mapping_digest": mapping_digest(),
        "data": data,
        "backend": ACTIVE_BACKEND,
        "device": "cpu",
        "precision": facts["precision"],
        "threads": 1,
        "untrained": [
            {"fold": m.facts["fold"], "cls": c, "positive_subjects": m.facts["positive_subjects"][c]}
            for m in models
            for c, t in zip(m.classes, m.trained, strict=True)
            if not t
        ],
        "duplicates": 0,
    }


def predict_record(models: Sequence[FoldModel], record: Record, pooling: Pooling = Pooling()) -> pd.DataFrame:
    """Probabilities of one recording, exactly as a target is scored: fold ensemble per window, then pooled once.

    Returns
    -------
    DataFrame
        One row a class: ``probability``, ``fold_min``, ``fold_max`` (the fold models' own pooled values), ``folds``
        (how many were trained on the class).

    Raises
    ------
    RecordError
        If the recording is too short or has no usable signal.
    """
    data = prepared_from_record(record, models[0].signal)
    table = window_table(data)
    if not len(table):
        raise RecordError(record.record, "it has no window that is at least half inside the recording")
    stack = np.stack([probabilities(m, data, table, np.arange(len(table)), None) for m in models])
    trained = np.isfinite(stack).all(1)
    rows = []
    for c, name in enumerate(models[0].classes):
        of = np.flatnonzero(trained[:, c])
        if not len(of):
            rows.append({"class": name, "probability": np.nan, "fold_min": np.nan, "fold_max": np.nan, "folds": 0})
            continue
        each = np.array([pool(stack[f, :, c], [0], pooling)[0] for f in of])
        together = pool(stack[of, :, c].mean(0), [0], pooling)[0]
        rows.append(
            {"class": name, "probability": together, "fold_min": each.min(), "fold_max": each.max(), "folds": len(of)}
        )
    return pd.DataFrame(rows)


def read_recording(path: Path) -> Record:
    """A single WFDB recording, whatever its data set: FILE, FILE.hea, FILE.mat or FILE.dat.

    Raises
    ------
    RecordError
        If the file is missing or cannot be used.
    """
    from ecg_ramba.data.base import quality_of
    from ecg_ramba.data.leads import LEADS, canonical_lead
    from ecg_ramba.data.wfdb_header import read_header
    from ecg_ramba.data.wfdb_io import read_waveform

    header_path = path if path.suffix == ".hea" else path.with_suffix(".hea")
    if not header_path.is_file():
        raise RecordError(
            path, f"no WFDB header {header_path.name} there; name a recording with its .hea beside the signal"
        )
    header = read_header(header_path)
    names = {canonical_lead(s.name) for s in header.signals}
    present = tuple(lead for lead in LEADS if lead in names)
    if not present:
        raise RecordError(header_path, f"none of its leads is one of {', '.join(LEADS)}")
    wave = read_waveform(header, leads=present)
    return Record(
        signal=wave.signal,
        leads=wave.leads,
        rate=header.rate,
        units=wave.units,
        source="file",
        record=header_path.stem,
        subject=header_path.stem,
        subject_known=False,
        publisher="file",
        publisher_id=header_path.stem,
        labelled=False,
        quality=quality_of(wave.signal, wave.leads),
        warnings=wave.warnings,
    )


def prediction_table(table: pd.DataFrame, path: Path, models: Sequence[FoldModel]):
    """The probabilities as a terminal table, most likely first, with what the models were trained on."""
    from rich.table import Table

    facts = models[0].facts
    kind = "SYNTHETIC recordings: says nothing of patients" if facts["synthetic"] else f"{facts['source']}"
    title = f"{path.name}: {len(models)} fold models of {models[0].spec.title}, trained on {kind}"
    made = Table(
        "class",
        "probability",
        "fold models",
        "trained folds",
        title=title,
        caption="A research tool, not a medical device.",
    )
    for row in table.sort_values("probability", ascending=False, na_position="last").to_dict("records"):
        if row["folds"]:
            spread = f"{row['fold_min']:.3f} to {row['fold_max']:.3f}"
            made.add_row(row["class"], f"{row['probability']:.3f}", spread, str(row["folds"]))
    untrained = table["class"][table["folds"] == 0]
    if len(untrained):
        made.caption += f" Not trained (too few subjects): {', '.join(untrained)}."
    return made
