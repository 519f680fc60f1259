"""Trained models on disk: ``models/fold1_best.pt`` … with their checksums, evaluated and used on new recordings.

The files keep the published checkpoints' names; what is in them is the last epoch's EMA weights, never a best epoch.
"""

import shutil
from collections.abc import Sequence
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
from ecg_ramba.harness.outputs import data_facts
from ecg_ramba.harness.splits import overlap_with_source
from ecg_ramba.keys import digest, plain

SUMS = "SHA256SUMS"
TRAINING = "training.json"


def publish_models(context: Context, cells: Sequence[dict], models: Path, data_dir: Path | None) -> list[Path]:
    """Copy the cells' checkpoints to ``models/fold1_best.pt`` … with SHA256SUMS and training.json."""
    paths = []
    for cell in sorted(cells, key=lambda c: (c["seed"], c["fold"])):
        seed = f"_seed{cell['seed']}" if cell["seed"] else ""
        path = models / f"fold{cell['fold']}_best{seed}.pt"
        source = context.out / "cells" / cell["key"][:24] / "model.pt"
        write_atomic(path, lambda p, s=source: shutil.copyfile(s, p))
        paths.append(path)
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
        sums = path.parent / SUMS
        if sums.is_file() and path.is_file():
            known = {
                name: value
                for value, name in (line.split("  ", 1) for line in sums.read_text().splitlines() if "  " in line)
            }
            if path.name in known and sha256_file(path) != known[path.name]:
                raise CheckpointError(
                    f"{path} differs from its checksum in {sums}; it was changed or damaged, copy it again"
                )
        models.append(load_fold_model(path))
    first = models[0]
    for model, path in zip(models, paths, strict=True):
        if (model.spec.name, model.classes, model.signal) != (first.spec.name, first.classes, first.signal):
            raise CheckpointError(
                f"{path} does not belong with {paths[0]}: another model, other classes or another signal path"
            )
    return models


def training_facts(paths: Sequence[Path]) -> dict:
    """What training.json beside the checkpoints says (data folder, source); {} where there is none."""
    place = paths[0].parent / TRAINING
    return read_json(place) if place.is_file() else {}


def held_out(model: FoldModel, records: pd.DataFrame) -> np.ndarray:
    """Rows of the source that a fold's model has not seen: neither their signal nor their subject."""
    seen = records["signal_digest"].isin(set(model.facts["training_signals"]))
    seen |= records["subject"].isin(set(model.facts["training_subjects"]))
    return np.flatnonzero(~seen)


def clear_target(target: Prepared, source: Prepared) -> Prepared:
    """The target without unlabelled recordings and without anything of the source."""
    keep = target.records["labelled"].to_numpy() & ~overlap_with_source(target.records, source.records)
    if not keep.any():
        raise UserError(
            f"{target.name}: no recording is left (unlabelled, or all overlap with the source {source.name})"
        )
    return target.subset(np.flatnonzero(keep))


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
    cleared = [clear_target(t, source) for t in targets]
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
    write_json(folder / "suite.json", _suite_facts(models, kept, cleared, key, command))
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


def _suite_facts(models, source: Prepared, targets, key: str, command: str) -> dict:
    facts = models[0].facts
    return {
        "key": key,
        "created": "",
        "version": __version__,
        "commit": "",
        "command": command,
        "source": source.name,
        "targets": [t.name for t in targets],
        "profile": facts["profile"],
        "folds": len({m.facts["fold"] for m in models}),
        "seeds": len({m.facts["seed"] for m in models}),
        "synthetic": bool(facts["synthetic"]) or any(d.synthetic for d in (source, *targets)),
        "label_space": facts["label_space"],
        "classes": list(models[0].classes),
        "mapping_digest": mapping_digest(),
        "data": [data_facts(d, d, len(window_table(d)), {}) for d in (source, *targets)],
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
