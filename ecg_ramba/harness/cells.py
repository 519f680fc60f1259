"""One cell of the suite: one variant, trained on one fold under one seed, and its stored predictions.

A cell is found by its key: the configuration, the training part's digest, the seed, device, precision and the code that
computes it. Targets are not in the key, since they cannot change what is trained.
"""

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

from ecg_ramba.data.store import Prepared
from ecg_ramba.data.tasks import Truth
from ecg_ramba.files import building, is_complete, read_json, write_json
from ecg_ramba.harness.checkpoint import FoldModel, load_fold_model
from ecg_ramba.harness.config import SuiteConfig
from ecg_ramba.harness.embeddings import with_embedding
from ecg_ramba.harness.features import fit_morphology, fit_rhythm, window_source
from ecg_ramba.harness.folds import Fold, window_labels
from ecg_ramba.harness.inputs import WindowTable, window_table
from ecg_ramba.harness.latency import speed
from ecg_ramba.harness.memory import peak_mb, start_peak
from ecg_ramba.harness.probabilities import prediction_frame
from ecg_ramba.harness.resume import Saved
from ecg_ramba.harness.together import group
from ecg_ramba.keys import digest, plain, seed_for
from ecg_ramba.models import InputShape, estimator_parameters, model_spec
from ecg_ramba.nn.backends import with_backend

NUMERIC_MODULES = (
    "ecg_ramba.signal",
    *(
        f"ecg_ramba.harness.{name}"
        for name in (
            "train",
            "loss",
            "segments",
            "ema",
            "precision",
            "resume",
            "together",
            "inputs",
            "features",
            "placebo",
            "embeddings",
            "probabilities",
            "cells",
        )
    ),
)
"""Code whose change makes every cell stale, besides ``ecg_ramba.features``, ``ecg_ramba.nn`` and the model's own."""


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
    views: Mapping[str, "Context"] = field(default_factory=dict)

    def of(self, cell: Cell) -> "Context":
        """The same with the cell's own settings: on these recordings, or on the view of them that they ask for."""
        if not cell.settings:
            return self
        suite = self.suite.changed(cell.settings)
        key = view_key(suite)
        return dataclasses.replace(self if key == view_key(self.suite) else self.views[key], suite=suite)


def view_key(suite: SuiteConfig) -> str:
    """What decides how recordings are prepared and labelled."""
    return digest([suite.signal, suite.label_space])


def cell_key(context: Context, cell: Cell) -> str:
    """The cell's content key."""
    context = context.of(cell)
    suite, fold = context.suite, context.folds[cell.fold - 1]
    spec = model_spec(cell.model)
    features = suite.features if "morphology" in spec.streams(cell.config) else None
    shared = {"processes": size} if (size := group().size) > 1 and spec.kind == "network" else {}
    return digest(
        shared
        | {
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
            "backend": suite.backend,
            "precision": suite.precision,
            "torch": version("torch"),
            "code": code_digest(spec.build.__module__),
        }
    )


@cache
def code_digest(model_module: str) -> str:
    """SHA-256 over the sources that decide a cell's numbers: the numeric modules, features, nn and the model's own.

    The model's own are its module and what that imports by name from its package.
    """
    module = importlib.import_module(model_module)
    package = model_module.rpartition(".")[0] + "."
    used = {getattr(value, "__module__", None) or "" for value in vars(module).values()}
    names = {*NUMERIC_MODULES, model_module, *(name for name in used if name.startswith(package))}
    files = {Path(importlib.import_module(name).__file__) for name in names}
    for room in ("ecg_ramba.features", "ecg_ramba.native", "ecg_ramba.nn"):
        found = Path(importlib.import_module(room).__file__).parent.rglob("*.*")
        files |= {path for path in found if path.suffix in (".py", ".cpp", ".h")}
    h = hashlib.sha256()
    for path in sorted(files, key=lambda p: (p.parent.name, p.name)):
        h.update(path.name.encode() + path.read_bytes())
    return h.hexdigest()


def run_cell(context: Context, cell: Cell, on_step: Callable[[int, int], None] | None = None) -> dict:
    """Train a cell and store its predictions, or find both done.

    Where several processes train together, all of them call this, and only the first stores anything.

    Returns
    -------
    dict
        ``key``, ``reused`` (True when nothing had to run), ``log`` (losses, steps, seconds, memory, parameters) and
        ``predictions`` (data set name -> file).
    """
    key, together = cell_key(context, cell), group()
    folder = context.out / "cells" / key[:24]
    reused = is_complete(folder)
    if not together.first and (reused or model_spec(cell.model).kind != "network"):
        return {}
    model = None
    if not reused:
        saved = Saved(context.out / "unfinished" / f"{key[:24]}.pt")
        model, log = train_cell(context, cell, on_step, saved=saved)
        if not together.first:
            return {}
        with building(folder) as temporary:
            model.save(temporary / "model.pt")
            write_json(temporary / "log.json", log | {"key": key, "fold": cell.fold, "seed": cell.seed})
        saved.forget()
    predictions, view, space = {}, context.of(cell), context.truth.space
    jobs = [(view.source, view.source_table, view.folds[cell.fold - 1].held_out)]
    jobs += [(t, w, None) for t, w in zip(view.targets, view.target_tables, strict=True)]
    for data, table, records in jobs:
        held_out = "" if records is None else digest(records.tolist())
        place = context.out / "predictions" / f"{key[:24]}-{digest([data.digest, held_out, space.name])[:16]}"
        if not is_complete(place):
            reused = False
            model = model or load_fold_model(folder / "model.pt", view.suite.backend)
            rows = np.arange(len(table)) if records is None else table.of_records(records)
            frame = prediction_frame(model, data, table, rows, context.cache, space, view.suite.device)
            with building(place) as temporary:
                frame.to_parquet(temporary / "windows.parquet", index=False)
        predictions[data.name] = place / "windows.parquet"
    return {"key": key, "reused": reused, "log": read_json(folder / "log.json"), "predictions": predictions}


run_cell.together = True  # all processes of a torchrun train it


def train_cell(
    context: Context, cell: Cell, on_step=None, on_epoch=None, saved: Saved | None = None
) -> tuple[FoldModel, dict]:
    """Fit the fold's transforms and train the model on the training part.

    Parameters
    ----------
    context, cell : Context, Cell
    on_step : callable, optional
        Of a network, called with (step, steps).
    on_epoch : callable, optional
        Of a network, called with (epoch, epochs, make); ``make()`` is the model as it would be if training ended here.
        What it raises ends the training.
    saved : Saved, optional
        Where the state of an unfinished training is kept.
    """
    context = context.of(cell)
    suite, fold = context.suite, context.folds[cell.fold - 1]
    spec = model_spec(cell.model)
    streams = spec.streams(cell.config)
    table = context.source_table
    if suite.inputs.samples != table.samples:
        table = window_table(context.source, suite.inputs.samples)
    morphology = rhythm = None
    if "morphology" in streams:
        morphology = fit_morphology(
            context.source, table, fold, suite.features, suite.base_seed, suite.budget.lead_dropout, context.cache
        )
    if "rhythm" in streams:
        rhythm = fit_rhythm(context.source, fold, suite.inputs, context.cache)
    rows = table.of_records(fold.train)
    source = window_source(
        context.source,
        table,
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
    y, weight = window_labels(context.truth, table, rows, fold.trained)
    classes = len(context.truth.space.classes)
    shape = InputShape(
        samples=table.samples,
        components=morphology.components if morphology else (),
        rhythm=len(rhythm.mean) if rhythm else 0,
        embedding=0 if source.embedding is None else source.embedding.shape[1],
        # attention over a segment's windows: the network also says how much each counts, for each class
        classes=2 * classes if suite.budget.pooling == "attention" else classes,
    )
    seed = (suite.base_seed, cell.seed, cell.fold)

    def made_of(fitted: Any, log: Mapping) -> FoldModel:
        return FoldModel(
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
            facts=_facts(context, cell, log),
        )

    start_peak()
    began = time.perf_counter()
    if spec.kind == "network":
        watch = on_epoch and (lambda epoch, epochs, make: on_epoch(epoch, epochs, lambda: made_of(make(), {})))
        fitted, log = _fit_network(spec, cell, shape, source, y, weight, suite, seed, on_step, watch, saved)
    else:
        fitted, log = _fit_estimator(spec, cell, shape, source, y, weight, suite, seed)
    log = {"seconds": time.perf_counter() - began} | log | {"peak_rss_mb": peak_mb(), "windows": len(source)}
    if cell.fold == 1 and cell.seed == 0:
        log |= speed(spec, fitted, source, suite.device, suite.precision)
    return made_of(fitted, log), log


def _facts(context: Context, cell: Cell, log: Mapping) -> dict:
    """What a model carries about where it comes from."""
    suite, fold, records = context.suite, context.folds[cell.fold - 1], context.source.records
    return {
        "variant": cell.variant,
        "source": context.source.name,
        "synthetic": context.source.synthetic,
        "label_space": context.truth.space.name,
        "fold": cell.fold,
        "folds": len(context.folds),
        "seed": cell.seed,
        "training_part": fold.digest,
        "training_signals": sorted(records["signal_digest"].iloc[fold.train]),
        "training_subjects": sorted(set(records["subject"].iloc[fold.train])),
        "training_records": len(fold.train),
        "positive_subjects": dict(zip(context.truth.space.classes, fold.subjects.tolist(), strict=True)),
        "profile": suite.profile,
        "precision": suite.precision,
        "backend": suite.backend,
        "budget": plain(suite.budget),
        "cost": {k: log.get(k) for k in ("parameters", "flops", "seconds", "peak_rss_mb")},
    }


def _fit_network(spec, cell, shape, source, y, weight, suite, seed, on_step, on_epoch, saved) -> tuple[Any, dict]:
    from ecg_ramba.harness.train import train_network
    from ecg_ramba.nn.flops import window_flops

    network, log = train_network(
        lambda: spec.build(with_backend(cell.config, suite.backend), shape),
        source,
        y,
        weight,
        suite.budget,
        seed,
        device=suite.device,
        precision=suite.precision,
        on_step=on_step,
        on_epoch=on_epoch,
        saved=saved,
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
