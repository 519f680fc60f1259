"""Embeddings of whole data sets: computed once for all folds, cached by what decides them, memory-mapped."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecg_ramba.data.store import Prepared
from ecg_ramba.errors import UserError
from ecg_ramba.features.embedding import Embedder, check_alone, check_described, embeddings
from ecg_ramba.files import building, explained, is_complete
from ecg_ramba.harness.executors.jobs import Executor
from ecg_ramba.harness.foundation import stated
from ecg_ramba.harness.inputs import WindowSource, WindowTable, window_table
from ecg_ramba.harness.progress import Progress
from ecg_ramba.keys import array_digest, digest
from ecg_ramba.models import model_spec
from ecg_ramba.signal import WindowView

if TYPE_CHECKING:
    from ecg_ramba.harness.cells import Cell, Context


def embedding_folder(
    data: Prepared, table: WindowTable, embedder: Embedder, limb: bool, cache: Path, device: str
) -> Path:
    """Where the embeddings of a data set's windows are kept; labels and subjects do not enter the key."""
    import torch

    signals = [data.records[column].tolist() for column in ("signal_digest", "store_key")]
    windows = array_digest(table.record, table.start, data.valid[table.at])
    key = digest([embedder.key, signals, windows, limb, device, torch.__version__])
    return cache / "embeddings" / key[:24]


def embedding_array(
    data: Prepared, table: WindowTable, embedder: Embedder, limb: bool, cache: Path | None, device: str
) -> np.ndarray:
    """Embeddings (windows, D) float32 of all windows of a data set; with ``limb`` V1-V6 are zero first.

    Computed a batch at a time; memory-mapped from the cache where there is one.

    Raises
    ------
    UserError
        If the model cannot be loaded, or returns anything but finite (B, D) values.
    LeakageError
        If what it says of a window depends on other windows.
    """
    view = WindowView(data.segments, table.at, table.start, table.samples)
    parts = embeddings(embedder, view, limb, device)
    if cache is None:
        out = np.concatenate(list(parts))
        check_alone(embedder, view, limb, device, out)
        return out
    folder = embedding_folder(data, table, embedder, limb, cache, device)
    if not is_complete(folder):
        with building(folder) as temporary:
            at, out = 0, None
            for part in parts:
                if out is None:
                    shape = (len(table), part.shape[1])
                    out = np.lib.format.open_memmap(temporary / "embeddings.npy", mode="w+", dtype="<f4", shape=shape)
                out[at : at + len(part)] = part
                at += len(part)
            check_alone(embedder, view, limb, device, out)
            out.flush()
            del out
    return np.load(folder / "embeddings.npy", mmap_mode="r")


def with_embedding(
    source: WindowSource, embedder: Embedder, cache: Path | None, device: str, augmented: bool = False
) -> WindowSource:
    """The same windows with a model's embeddings; ``augmented`` adds those without V1-V6."""
    fields = {
        name: embedding_array(source.data, source.table, embedder, limb, cache, device)
        for limb, name in ((False, "embedding"), (True, "embedding_limb"))[: 2 if augmented else 1]
    }
    return dataclasses.replace(source, **fields)


@dataclass(frozen=True)
class EmbeddingJob:
    """Embeddings to compute: ``place`` 0 is the source, 1, 2, … the targets; ``limb``: without V1-V6."""

    embedder: Embedder
    place: int
    limb: bool


def embedding_job(context: "Context", job: EmbeddingJob) -> None:
    """Compute one data set's embeddings into the cache (in a worker)."""
    embedding_array(*_data(context, job), job.embedder, job.limb, context.cache, context.suite.device)


def _data(context: "Context", job: EmbeddingJob) -> tuple[Prepared, WindowTable]:
    sets = ((context.source, context.source_table), *zip(context.targets, context.target_tables, strict=True))
    data, table = sets[job.place]
    samples = job.embedder.window
    return data, table if table.samples == samples else window_table(data, samples)


def embed_all(context: "Context", cells: Sequence["Cell"], executor: Executor, progress: Progress) -> dict[str, str]:
    """Compute what the cells' embeddings lack, before any cell runs.

    Returns
    -------
    dict
        Variant -> why its embeddings could not be had; its cells need not be tried.

    Raises
    ------
    UserError
        If a variant describes no model, or does not state what its pretraining saw of the run's data, or the signals
        are no z-scores.
    """
    embedders = {c.variant: c.config for c in cells if "embedding" in model_spec(c.model).streams(c.config)}
    for variant, embedder in embedders.items():
        check_described(embedder)
        if context.suite.signal.normalise == "none":
            raise UserError(f"variant {variant!r}: its model is given z-scores, and this run keeps millivolts")
        stated(f"variant {variant!r}", embedder.overlap, (context.suite.source, *context.suite.targets))
    places = [(0, False), (0, True), *((place, False) for place in range(1, len(context.targets) + 1))]
    jobs, of = [], []
    for variant, embedder in embedders.items():
        for place, limb in places:
            job = EmbeddingJob(embedder, place, limb)
            folder = embedding_folder(*_data(context, job), embedder, limb, context.cache, context.suite.device)
            if not is_complete(folder):
                jobs.append(job)
                of.append(variant)
    failures: dict[str, str] = {}
    if not jobs:
        return failures
    with progress.stage("embeddings", unit="data sets") as report:
        for done, outcome in enumerate(
            executor.run(embedding_job, context, jobs, gpu=context.suite.device != "cpu"), 1
        ):
            if outcome.reason:
                _record(context, of[outcome.index], jobs[outcome.index], outcome, failures, progress)
            report(done, len(jobs))
    return failures


def _record(context, variant: str, job: EmbeddingJob, outcome, failures: dict[str, str], progress: Progress) -> None:
    """Keep the first reason of a variant, and the traceback in a file."""
    name = _data(context, job)[0].name
    reason = f"embeddings of {name}{' without V1-V6' * job.limb}: {outcome.reason}"
    log = context.out / "failures" / f"{job.embedder.key[:24]}-{name}.log"
    with explained(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(outcome.traceback or outcome.reason)
    if variant not in failures:
        progress.say(f"failed: {variant}: {reason} (see {log})")
    failures.setdefault(variant, reason)
