"""One cell of the suite: one variant, trained on one fold under one seed, and its stored predictions.

A cell is found by its key: the configuration, the training part's digest, the seed, device, precision and the code that
computes it. Targets are not in the key, since they cannot change what is trained.
"""

import copy
import dataclasses
import hashlib
import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecg_ramba.data.store import Prepared
from ecg_ramba.data.tasks import Truth
from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.features.rhythm import RHYTHM_NAMES
from ecg_ramba.files import building, is_complete, read_json, write_json
from ecg_ramba.harness.checkpoint import FoldModel, load_fold_model
from ecg_ramba.harness.config import SuiteConfig
from ecg_ramba.harness.embeddings import with_embedding
from ecg_ramba.harness.features import fit_morphology, fit_rhythm, window_source
from ecg_ramba.harness.folds import Fold, window_labels
from ecg_ramba.harness.inputs import WindowSource, WindowTable
from ecg_ramba.harness.memory import peak_mb, start_peak
from ecg_ramba.keys import digest, plain, seed_for
from ecg_ramba.models import InputShape, estimator_parameters, model_spec

NUMERIC_MODULES = (
    "ecg_ramba.signal",
    *(f"ecg_ramba.features.{name}" for name in ("minirocket", "components", "transform", "rhythm", "embedding")),
    *(f"ecg_ramba.harness.{name}" for name in ("train", "loss", "ema", "inputs", "features", "placebo", "cells")),
)
"""Code whose change makes every cell stale; the model's own modules are added."""

ALONE = 16
"""Windows of every prediction that are also predicted by a fresh copy of the model, apart from the others."""

SAME = {"fp32": 1e-3, "bf16": 2e-2}
"""How far the two may be apart: what another batch size does to rounding, and no more."""

ACTIVE_BACKEND = "torch"
"""What runs the selective scan: the portable form, always there."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A variant's model and configuration on one fold (1, 2, …) under one training seed (0, 1, …).

    ``settings``: what else differs from the suite's configuration, see :class:`ecg_ramba.harness.config.Variant`.
    """

    variant: str
    model: str
    config: Any
    fold: int
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Context:
    """What all cells of a suite share; sent once to each worker."""

    suite: SuiteConfig
    source: Prepared
    source_table: WindowTable
    targets: tuple[Prepared, ...]
    target_tables: tuple[WindowTable, ...]
    truth: Truth
    folds: tuple[Fold, ...]
    out: Path
    cache: Path

    def of(self, cell: Cell) -> "Context":
        """The same with the cell's own settings."""
        return dataclasses.replace(self, suite=self.suite.changed(cell.settings)) if cell.settings else self


def cell_key(context: Context, cell: Cell) -> str:
    """The cell's content key."""
    suite, fold = context.of(cell).suite, context.folds[cell.fold - 1]
    spec = model_spec(cell.model)
    features = suite.features if "morphology" in spec.streams(cell.config) else None
    return digest(
        {
            "model": cell.model,
            "config": cell.config,
            "budget": suite.budget,
            "signal": suite.signal,
            "features": features,
            "inputs": suite.inputs,
            "training part": fold.digest,
            "fold": cell.fold,
            "seed": [suite.base_seed, cell.seed],
            "device": suite.device,
            "backend": ACTIVE_BACKEND,
            "precision": suite.precision,
            "torch": version("torch"),
            "code": code_digest(spec.build.__module__),
        }
    )


@cache
def code_digest(model_module: str) -> str:
    """SHA-256 over the sources that decide a cell's numbers: the numeric modules, ecg_ramba.nn and the model's own."""
    names = [*NUMERIC_MODULES, model_module]
    files = {Path(importlib.import_module(n).__file__) for n in names}
    files |= set(Path(importlib.import_module("ecg_ramba.nn").__file__).parent.glob("*.py"))
    h = hashlib.sha256()
    for path in sorted(files, key=lambda p: (p.parent.name, p.name)):
        h.update(path.name.encode() + path.read_bytes())
    return h.hexdigest()


def run_cell(context: Context, cell: Cell, on_step: Callable[[int, int], None] | None = None) -> dict:
    """Train a cell and store its predictions, or find both done.

    Returns
    -------
    dict
        ``key``, ``reused`` (True when nothing had to run), ``log`` (losses, steps, seconds, memory, parameters) and
        ``predictions`` (data set name -> file).
    """
    key = cell_key(context, cell)
    folder = context.out / "cells" / key[:24]
    reused = is_complete(folder)
    model = None
    if not reused:
        model, log = train_cell(context, cell, on_step)
        with building(folder) as temporary:
            model.save(temporary / "model.pt")
            write_json(temporary / "log.json", log | {"key": key, "fold": cell.fold, "seed": cell.seed})
    predictions = {}
    jobs = [(context.source, context.source_table, context.folds[cell.fold - 1].held_out)]
    jobs += [(t, w, None) for t, w in zip(context.targets, context.target_tables, strict=True)]
    for data, table, records in jobs:
        held_out = "" if records is None else digest(records.tolist())
        place = context.out / "predictions" / f"{key[:24]}-{digest([data.digest, held_out])[:16]}"
        if not is_complete(place):
            reused = False
            model = model or load_fold_model(folder / "model.pt")
            rows = np.arange(len(table)) if records is None else table.of_records(records)
            frame = prediction_frame(model, data, table, rows, context, cell)
            with building(place) as temporary:
                frame.to_parquet(temporary / "windows.parquet", index=False)
        predictions[data.name] = str(place / "windows.parquet")
    return {"key": key, "reused": reused, "log": read_json(folder / "log.json"), "predictions": predictions}


def train_cell(context: Context, cell: Cell, on_step=None) -> tuple[FoldModel, dict]:
    """Fit the fold's transforms and train the model on the training part."""
    context = context.of(cell)
    suite, fold = context.suite, context.folds[cell.fold - 1]
    spec = model_spec(cell.model)
    streams = spec.streams(cell.config)
    morphology = rhythm = None
    if "morphology" in streams:
        morphology = fit_morphology(
            context.source, context.source_table, fold, suite.features, suite.base_seed, suite.budget.lead_dropout,
            context.cache,
        )  # fmt: skip
    if "rhythm" in streams:
        rhythm = fit_rhythm(context.source, fold)
    rows = context.source_table.of_records(fold.train)
    source = window_source(
        context.source,
        context.source_table,
        rows,
        streams,
        morphology,
        rhythm,
        context.cache,
        suite.inputs,
        augmented=True,
    )
    if "embedding" in streams:
        source = with_embedding(source, cell.config, context.cache, suite.device, augmented=True)
    y, weight = window_labels(context.truth, context.source_table, rows, fold.trained)
    shape = InputShape(
        components=morphology.components if morphology else (),
        rhythm=len(RHYTHM_NAMES) if rhythm else 0,
        embedding=0 if source.embedding is None else source.embedding.shape[1],
        classes=len(context.truth.space.classes),
    )
    seed = (suite.base_seed, cell.seed, cell.fold)
    start_peak()
    began = time.perf_counter()
    if spec.kind == "network":
        fitted, log = _fit_network(spec, cell, shape, source, y, weight, suite, seed, on_step)
    else:
        fitted, log = _fit_estimator(spec, cell, shape, source, y, weight, suite, seed)
    log |= {"seconds": time.perf_counter() - began, "peak_rss_mb": peak_mb(), "windows": len(source)}
    model = FoldModel(
        spec=spec,
        config=cell.config,
        shape=shape,
        fitted=fitted,
        classes=context.truth.space.classes,
        trained=fold.trained,
        signal=suite.signal,
        features=suite.features,
        inputs=suite.inputs,
        morphology=morphology,
        rhythm=rhythm,
        facts={
            "variant": cell.variant,
            "source": context.source.name,
            "synthetic": context.source.synthetic,
            "label_space": context.truth.space.name,
            "fold": cell.fold,
            "folds": len(context.folds),
            "seed": cell.seed,
            "training_part": fold.digest,
            "training_signals": sorted(context.source.records["signal_digest"].iloc[fold.train]),
            "training_subjects": sorted(set(context.source.records["subject"].iloc[fold.train])),
            "training_records": len(fold.train),
            "positive_subjects": dict(zip(context.truth.space.classes, fold.subjects.tolist(), strict=True)),
            "profile": suite.profile,
            "precision": suite.precision,
            "budget": plain(suite.budget),
            "cost": {k: log.get(k) for k in ("parameters", "flops", "seconds", "peak_rss_mb")},
        },
    )
    return model, log


def _fit_network(spec, cell, shape, source, y, weight, suite, seed, on_step) -> tuple[Any, dict]:
    from ecg_ramba.harness.train import train_network
    from ecg_ramba.nn.flops import window_flops

    network, log = train_network(
        lambda: spec.build(cell.config, shape),
        source,
        y,
        weight,
        suite.budget,
        seed,
        device=suite.device,
        precision=suite.precision,
        on_step=on_step,
    )
    parameters = sum(p.numel() for p in network.parameters())
    flops = window_flops(spec, cell.config, shape)
    return network, dataclasses.asdict(log) | {"parameters": parameters, "flops": flops}


def _fit_estimator(spec, cell, shape, source, y, weight, suite, seed) -> tuple[Any, dict]:
    estimator = spec.build(cell.config, shape)
    parameters = estimator_parameters(spec, estimator)
    rng = np.random.default_rng(seed_for(*seed, "leads"))
    limb = rng.random(len(source)) < suite.budget.lead_dropout
    windows = source.windows(np.arange(len(source)), limb)
    estimator.fit(windows, y, weight > 0, seed_for(*seed, "estimator"))
    return estimator, {"parameters": parameters}


def probabilities(
    model: FoldModel, data: Prepared, table: WindowTable, rows: np.ndarray, cache: Path | None, device="cpu"
):
    """Window probabilities (n, classes) float32 of a fold's model; NaN for classes that it was not trained on.

    Raises
    ------
    UserError
        If the model returns the wrong shape, or anything but probabilities.
    LeakageError
        If what it says of a window depends on the other windows, on their order or on what it was shown before: so
        would a model that reads the statistics of a target, or the order of its files.
    """
    source = window_source(data, table, rows, model.streams, model.morphology, model.rhythm, cache, model.inputs)
    if "embedding" in model.streams:
        source = with_embedding(source, model.config, cache, device)
    some = np.linspace(len(rows) - 1, 0, min(ALONE, len(rows))).astype(int)
    alone = _predict(model, copy.deepcopy(model.fitted), dataclasses.replace(source, rows=source.rows[some]), device)
    p = _predict(model, model.fitted, source, device)
    if p.shape != (len(rows), len(model.classes)):
        raise UserError(f"model {model.spec.name!r} returned shape {p.shape}, not {(len(rows), len(model.classes))}")
    known = p[:, model.trained]
    if not ((known >= 0) & (known <= 1)).all():
        raise UserError(f"model {model.spec.name!r} returned values that are not probabilities (NaN or outside [0, 1])")
    if not np.allclose(p[some], alone, atol=SAME[model.facts["precision"]], equal_nan=True):
        raise LeakageError(
            f"model {model.spec.name!r} says something else of a window when others are beside it; a model must read "
            "each window by itself"
        )
    return p


def _predict(model: FoldModel, fitted: Any, source: WindowSource, device: str) -> np.ndarray:
    """Probabilities (windows, classes) float32 as the fitted model gives them; NaN for classes without training."""
    if model.spec.kind == "network":
        from ecg_ramba.harness.train import predict_network

        p = predict_network(fitted.to(device), source, device, model.facts["precision"])
    else:
        p = fitted.predict_proba(source.windows(np.arange(len(source)), np.zeros(len(source), dtype=bool)))
    p = np.asarray(p, dtype=np.float32)
    if p.shape == (len(source), len(model.classes)):
        p[:, ~model.trained] = np.nan
    return p


def prediction_frame(model: FoldModel, data, table, rows, context: Context, cell: Cell) -> pd.DataFrame:
    """Window probabilities in the form of windows.parquet."""
    p = probabilities(model, data, table, rows, context.cache, context.suite.device)
    frame = pd.DataFrame(
        {
            "dataset": data.name,
            "record": data.records["record"].to_numpy()[table.record[rows]],
            "segment": table.segment[rows].astype(np.int32),
            "start": table.start[rows].astype(np.int32),
            "fold": np.int16(cell.fold),
            "seed": np.int16(cell.seed),
        }
    )
    return pd.concat([frame, pd.DataFrame(p, columns=list(model.classes))], axis=1)
