"""Robustness: the suite's trained models on recordings that were stressed before anything was done to them.

Target recordings are read again from their files, stressed (:mod:`studies.robustness.stresses`), and go through the
suite's own path: preparation, heart-rate variability, MiniRocket, every fold's model. Every data set under every stress
is one job; what a variant says there is one piece, kept under the key of all that decides it.
"""

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_ramba.data.labels import LabelSpace
from ecg_ramba.data.store import Prepared
from ecg_ramba.files import building, explained, fetched, is_complete, read_json, sha256_file, write_json, write_text
from ecg_ramba.harness.checkpoint import FoldModel, load_fold_model
from ecg_ramba.harness.executors.jobs import Executor, Outcome
from ecg_ramba.harness.executors.local import InProcess
from ecg_ramba.harness.inputs import WindowTable, window_table
from ecg_ramba.harness.probabilities import prediction_frame
from ecg_ramba.harness.progress import Progress
from ecg_ramba.keys import digest
from ecg_ramba.shared.pieces import share
from ecg_ramba.signal import SignalConfig
from studies.robustness import data as stressed_recordings
from studies.robustness import noise, stresses
from studies.robustness.data import Part, stressed_data
from studies.robustness.stresses import STRESSES, Stress

ROOM = "robustness"
"""Folder of the pieces, in the results."""

KEPT_BYTES = 256 << 20
"""Checkpoints up to this size together stay in the memory of a worker; what is beyond is read for each job."""

Place = tuple[str, str]
"""A data set and a stress."""


@dataclass(frozen=True)
class Model:
    """A trained variant: the keys of its cells by seed and fold, how it wants signals prepared, and where it runs."""

    variant: str
    cells: tuple[str, ...]
    signal: SignalConfig
    backend: str
    device: str


@dataclass(frozen=True)
class Study:
    """All that jobs share: sent once to each worker.

    ``cohort``: the synthetic cohort's folder in the cache, where that is what is read; else None.
    """

    models: Mapping[str, Model]
    parts: Mapping[str, Part]
    space: LabelSpace
    base_seed: int
    out: Path
    cohort: Path | None = None

    def piece(self, place: Place, variant: str) -> Path:
        """Where a variant's predictions of a data set under a stress are kept."""
        of = [self.parts[place[0]].key, place[1], self.base_seed, self.models[variant], self.space.name]
        return self.out / ROOM / digest([*of, _code()])[:24]


@cache
def _code() -> list[str]:
    """Of the code that computes a piece, besides what the cells' keys hold."""
    modules = (stresses, noise, stressed_recordings)
    return [sha256_file(Path(file)) for file in (__file__, *(module.__file__ for module in modules))]


@dataclass(frozen=True)
class Job:
    """One data set under one stress, for the variants that lack it."""

    place: Place
    variants: tuple[str, ...]


def run_study(
    study: Study, chosen: Sequence[Stress], executor: Executor, progress: Progress
) -> dict[Place, dict[str, str]]:
    """Predict what is not there yet.

    Returns
    -------
    dict
        (data set, stress) -> variant -> why it has no predictions there; nothing of those that have.
    """
    jobs, failures = [], {}
    for name in study.parts:
        for stress in chosen:
            lacking = [v for v in study.models if not is_complete(study.piece((name, stress.name), v))]
            if lacking:
                jobs.append(Job((name, stress.name), tuple(lacking)))
    if not jobs:
        return failures
    with explained(study.out / ROOM):
        (study.out / ROOM).mkdir(parents=True, exist_ok=True)
    if study.cohort:
        share(executor, [study.cohort])
    with progress.stage("stress and predict", unit="stresses of data sets") as report:
        for done, outcome in enumerate(executor.run(stress_job, study, jobs), 1):
            job = jobs[outcome.index]
            found = outcome.value or {}
            if outcome.reason:
                found = dict.fromkeys(job.variants, outcome)
            for variant, failed in found.items():
                failures.setdefault(job.place, {})[variant] = failed.reason
                log = study.out / "failures" / f"{study.piece(job.place, variant).name}.log"
                write_text(log, failed.traceback or failed.reason)
                progress.say(f"failed: {variant}, {job.place[1]} of {job.place[0]}: {failed.reason} (see {log})")
            report(done, len(jobs))
    return failures


def stress_job(study: Study, job: Job) -> dict[str, Outcome]:
    """Stress a data set's recordings, predict them with each variant (in a worker); variant -> how it failed.

    Recordings are prepared once for every way in which variants want them; components of MiniRocket are computed once
    for every fitted transform, whichever variants share it.
    """
    failures = {}
    (study.out / ROOM).mkdir(parents=True, exist_ok=True)  # a node of a cluster may have none yet
    if study.cohort:
        fetched(study.cohort)
    signals = list(dict.fromkeys(study.models[v].signal for v in job.variants))
    for signal in signals:
        variants = [v for v in job.variants if study.models[v].signal == signal]
        with tempfile.TemporaryDirectory(dir=study.out / ROOM, prefix=".stress-") as scratch:
            asked = study.parts[job.place[0]], STRESSES[job.place[1]], signal, study.base_seed
            data, refused = stressed_data(*asked, Path(scratch))
            shared = _Prepared(study, job.place, data, window_table(data), refused, Path(scratch))
            for outcome in InProcess().run(_predict, shared, variants):
                if outcome.reason:
                    failures[variants[outcome.index]] = outcome
            del data, shared
    return failures


@dataclass(frozen=True)
class _Prepared:
    """What the variants of a job share."""

    study: Study
    place: Place
    data: Prepared
    table: WindowTable
    refused: list[dict]
    scratch: Path


def _predict(shared: _Prepared, variant: str) -> None:
    """Store what a variant's models say of stressed windows: windows.parquet, as a suite's, and what was refused."""
    study, data, table = shared.study, shared.data, shared.table
    model, rows, frames = study.models[variant], np.arange(len(table)), []
    for key in model.cells if len(table) else ():
        fitted = _fitted(fetched(study.out / "cells" / key[:24]) / "model.pt", model.backend)
        frames.append(prediction_frame(fitted, data, table, rows, shared.scratch, study.space, model.device))
    with building(study.piece(shared.place, variant)) as temporary:
        write_json(temporary / "facts.json", {"refused": shared.refused, "windows": len(table)})
        if frames:
            pd.concat(frames, ignore_index=True).to_parquet(temporary / "windows.parquet", index=False)


_kept: dict[tuple[Path, str], tuple[FoldModel, int]] = {}


def _fitted(path: Path, backend: str) -> FoldModel:
    """A checkpoint; prediction changes nothing in it, so it serves for many jobs."""
    if (path, backend) in _kept:
        return _kept[path, backend][0]
    model, size = load_fold_model(path, backend), path.stat().st_size
    if sum(s for _, s in _kept.values()) + size <= KEPT_BYTES:
        _kept[path, backend] = model, size
    return model


def piece_facts(study: Study, place: Place, variant: str) -> dict | None:
    """What a finished piece says: ``refused`` recordings and number of ``windows``; None where there is no piece."""
    folder = study.piece(place, variant)
    return read_json(folder / "facts.json") if is_complete(folder) else None


def in_words(refused: Sequence[dict]) -> str:
    """Why recordings could not be stressed so, the commonest cause first."""
    causes = Counter(r["cause"] for r in refused).most_common()
    said = [f"{cause} ({count} recording{'s' * (count != 1)})" for cause, count in causes[:2]]
    more = sum(count for _, count in causes[2:])
    return "; ".join([*said, f"others ({more})"] if more else said)
