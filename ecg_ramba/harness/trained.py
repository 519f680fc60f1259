"""Trained models on disk: ``models/fold1_best.pt`` … with their checksums, and their evaluation.

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
from ecg_ramba.data.labels import label_space, mapping_digest
from ecg_ramba.data.registry import datasets
from ecg_ramba.data.store import Prepared
from ecg_ramba.data.tasks import build_tasks
from ecg_ramba.errors import CheckpointError, LeakageError, UserError
from ecg_ramba.evaluation.manifest import write_manifest
from ecg_ramba.evaluation.people import FILE
from ecg_ramba.evaluation.pooling import Pooling
from ecg_ramba.files import read_json, sha256_file, write_atomic, write_json, write_text
from ecg_ramba.harness.cells import Context
from ecg_ramba.harness.checkpoint import FoldModel, load_fold_model
from ecg_ramba.harness.foundation import overlap_row
from ecg_ramba.harness.inputs import window_table
from ecg_ramba.harness.outputs import commit, data_facts, people
from ecg_ramba.harness.probabilities import prediction_frame
from ecg_ramba.harness.splits import overlap_with_source
from ecg_ramba.keys import digest, plain
from ecg_ramba.nn.backends import resolve

SUMS = "SHA256SUMS"
TRAINING = "training.json"
PUBLISHED = (
    "weights as published, trained elsewhere on the source; which recordings each fold saw is not known, so that "
    "targets are told from them by their publisher, and no recording by its signal"
)


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
    folds, seeds = ({c[i] for c in cells} for i in (0, 1))
    lacking = sorted({(f, s) for f in folds for s in seeds} - set(cells))
    if lacking:
        fold, seed = lacking[0]
        raise CheckpointError(f"fold {fold} lacks its model of seed {seed}; name the same seeds of each fold")
    for at, cell in enumerate(cells):
        if cell in cells[:at]:
            raise CheckpointError(f"{paths[at]} and {paths[cells.index(cell)]} are both fold {cell[0]}, seed {cell[1]}")
    _check_one_split(models, paths)
    return models


def _checksums(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of the checkpoints that the last training left in a folder; {} without SHA256SUMS."""
    place = folder / SUMS
    if not place.is_file():
        return {}
    try:
        return {name: value for value, name in (line.split("  ", 1) for line in place.read_text("utf-8").splitlines())}
    except ValueError:
        raise CheckpointError(f"{place} is damaged; copy it again, or train again") from None


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
    facts = read_json(place) if place.is_file() else {}
    if not isinstance(facts, dict) or not isinstance(facts.get("data"), str | None):
        raise UserError(f"{place} is damaged; name the data with --data DIR, or train again")
    return facts


def held_out(model: FoldModel, records: pd.DataFrame) -> np.ndarray:
    """Rows of the source that a fold's model has not seen: neither their signal nor their subject."""
    seen = records["signal_digest"].isin(set(model.facts["training_signals"]))
    seen |= records["subject"].isin(set(model.facts["training_subjects"]))
    return np.flatnonzero(~seen)


def clear_target(target: Prepared, source: Prepared | None, models: Sequence[FoldModel]) -> tuple[Prepared, dict]:
    """The target without unlabelled recordings and without anything that the source holds or a model was trained on.

    Without the source's recordings what the models carry decides: the signals and subjects of their training. A target
    of the source's publisher, which may hold the same recordings in another form, is then refused.

    Returns
    -------
    target : Prepared
    counts : dict
        ``unlabelled`` and ``removed_overlap``: how many recordings went, and why.

    Raises
    ------
    UserError
        If nothing is left, or what it shares with the source cannot be told.
    """
    records, name = target.records, models[0].facts["source"]
    signals = set().union(*(m.facts["training_signals"] for m in models))
    subjects = set().union(*(m.facts["training_subjects"] for m in models))
    known = datasets()
    # A source that is not registered any more may be of any publisher.
    same_publisher = records["publisher"] == known[name].publisher if name in known else np.ones(len(records), bool)
    if source is None and name in known and same_publisher.any():
        refuse_unknown_training(models)
        raise UserError(
            f"{target.name} may hold recordings of the source {name}, which have one publisher; add --oof, so that "
            "they are found and removed"
        )
    overlap = (records["signal_digest"].isin(signals) | (records["subject"].isin(subjects) & same_publisher)).to_numpy()
    if source is not None:
        overlap |= overlap_with_source(records, source.records)
    labelled = records["labelled"].to_numpy(bool)
    keep = labelled & ~overlap
    if not keep.any():
        raise UserError(f"{target.name}: no recording is left (unlabelled, or all overlap with the source {name})")
    counts = {"unlabelled": int((~labelled).sum()), "removed_overlap": int((labelled & overlap).sum())}
    return target.subset(np.flatnonzero(keep)), counts


def refuse_unknown_training(models: Sequence[FoldModel]) -> None:
    """Raise LeakageError where it is not known what models were trained on: then nothing of the source is held out."""
    if any("published" in m.facts for m in models):
        raise LeakageError(
            f"the published checkpoints do not say which recordings of {models[0].facts['source']} each was trained "
            "on, so none is held out for certain; score them on other data sets with --target"
        )


def _held_out_part(
    models: Sequence[FoldModel], source: Prepared, cache: Path
) -> tuple[Prepared, np.ndarray, list[pd.DataFrame]]:
    """What of the source was held out from a model, the fold it was held out from, and that model's predictions.

    A recording seen by all models is left out; one held out from several counts for the first.

    Raises
    ------
    LeakageError
        If nothing of the source was held out from these models.
    """
    source = source.subset(np.flatnonzero(source.records["labelled"]))
    trained_on = set().union(*(m.facts["training_signals"] for m in models))
    if not source.records["signal_digest"].isin(trained_on).any():
        raise UserError(
            f"none of the recordings these models were trained on is in this {source.name}; name the folder with them "
            "by --data DIR"
        )
    number = np.zeros(len(source.records), dtype=np.int16)
    frames, table, space = [], window_table(source), label_space(models[0].facts["label_space"])
    for model in models:
        fold = model.facts["fold"]
        rows = held_out(model, source.records)
        rows = rows[(number[rows] == 0) | (number[rows] == fold)]
        number[rows] = fold
        if len(rows):
            frames.append(prediction_frame(model, source, table, table.of_records(rows), cache, space))
    if not frames:
        raise LeakageError(f"all recordings of {source.name} were in the training of these models; nothing is held out")
    return source.subset(np.flatnonzero(number)), number[number > 0], frames


def evaluation_folder(
    models: Sequence[FoldModel],
    source: Prepared | None,
    targets: Sequence[Prepared],
    out: Path,
    cache: Path,
    command: str,
) -> Path:
    """Predict with trained models and leave what the evaluation reads: a suite folder of one variant.

    Parameters
    ----------
    models : sequence of FoldModel
    source : Prepared or None
        The source, to be scored on what each fold's model has not seen; None leaves it (and with it the gap) out.
    targets : sequence of Prepared
        Scored zero-shot by all models together.
    out, cache : Path
        Where results and features go.
    command : str
        The command line, for the report.

    Raises
    ------
    LeakageError
        If nothing of the source was held out from these models.
    UserError
        If they rest on a foundation model whose overlap with a data set is not stated.
    """
    if source is not None:
        refuse_unknown_training(models)
    whole, kept, number, frames, data = source, None, None, [], []
    space = label_space(models[0].facts["label_space"])
    row = _variant_row(models, [d.name for d in (source, *targets) if d is not None])
    if source is not None:
        kept, number, frames = _held_out_part(models, source, cache)
        data.append(data_facts(kept, kept, len(window_table(kept)), {}))
    cleared = []
    for target in targets:
        left, counts = clear_target(target, whole, models)
        table = window_table(left)
        frames += [prediction_frame(model, left, table, np.arange(len(table)), cache, space) for model in models]
        data.append(data_facts(target, left, len(table), counts))
        cleared.append(left)
    classes = space.merge(np.array(models[0].classes)[np.any([m.trained for m in models], axis=0)].tolist())
    tasks, truth, dropped = build_tasks(kept, cleared, space, classes, number)
    for facts in data:
        facts["dropped_segments"] = dropped.get(facts["name"], 0)
    about = [{k: v for k, v in m.facts.items() if k != "cost"} for m in models]
    key = digest([about, [[d["name"], d["digest"]] for d in data]])
    folder = out / "evaluations" / key[:16]
    write_json(folder / "tasks.json", tasks)
    write_atomic(folder / "labels.parquet", lambda p: truth.to_parquet(p, index=False))
    write_atomic(folder / FILE, lambda p: people(kept, cleared, number).to_parquet(p, index=False))
    write_atomic(folder / "windows.parquet", lambda p: pd.concat(frames, ignore_index=True).to_parquet(p, index=False))
    write_json(folder / "variants.json", [row])
    write_json(folder / "suite.json", _suite_facts(models, data, [t.name for t in targets], key, command))
    write_manifest(folder)
    return folder


def _variant_row(models: Sequence[FoldModel], names: Sequence[str]) -> dict:
    costs = [m.facts["cost"] for m in models]
    row = {"name": models[0].spec.name, "title": models[0].title, "kind": "trained", "windows": "windows.parquet"}
    row |= {"pooling": plain(Pooling()), "reference": True, "status": "ok", "reason": "", "claim": ""}
    row |= overlap_row(models[0].config, models[0].facts["source"], names)
    row |= {"parameters": max(c["parameters"] for c in costs), "flops": costs[0]["flops"]}
    if "published" in models[0].facts:
        files = ", ".join(m.facts["published"][:12] for m in models)
        return row | {"note": f"{PUBLISHED} (SHA-256 of the files: {files})", "overlap": dict.fromkeys(names, "none")}
    return row | {"seconds": sum(c["seconds"] for c in costs), "peak_mb": max(c["peak_rss_mb"] for c in costs)}


def _suite_facts(models, data: list[dict], targets: list[str], key: str, command: str) -> dict:
    """``data``: what was used and left out of the source, where it is scored, and of each target."""
    facts = models[0].facts
    subjects = None if "published" in facts else len(set().union(*(m.facts["training_subjects"] for m in models)))
    return {
        "key": key,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "commit": commit(),
        "command": command,
        "source": facts["source"],
        "source_subjects": subjects,
        "targets": targets,
        "profile": facts["profile"],
        "folds": sorted({m.facts["fold"] for m in models}),
        "seeds": len({m.facts["seed"] for m in models}),
        "synthetic": bool(facts["synthetic"]) or any(d["synthetic"] for d in data),
        "label_space": facts["label_space"],
        "classes": list(label_space(facts["label_space"]).classes),
        "mapping_digest": mapping_digest(),
        "data": data,
        "backend": resolve("auto"),
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
