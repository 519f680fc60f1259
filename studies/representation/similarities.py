"""Similarity of a fold model's streams on one data set: every pair, with bootstrap draws of subjects."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from ecg_ramba.harness.cells import Cell, Context
from ecg_ramba.keys import digest, seed_for
from studies.pieces import piece_folder, write_piece
from studies.probes.listener import STREAMS
from studies.representation.probing import RAW, UNTRAINED, ProbeJob, stream_values
from studies.representation.similarity import LEAST, cka_of, gram, hsic

VERSION = 2
GROUPS = ((*STREAMS, *RAW), tuple(s + UNTRAINED for s in STREAMS))
"""Pairs are taken within a group."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SimilarityJob:
    """The streams of one fold model on what it was not trained on of one place.

    ``units``: most units; ``draws``, ``seed``: of the bootstrap.
    """

    probe: ProbeJob
    place: int
    units: int
    draws: int
    seed: int

    @property
    def cell(self) -> Cell:
        """Variant, fold and seed."""
        return self.probe.cell

    def folder(self, out: Path) -> Path:
        """The piece that holds what was found."""
        key = [VERSION, self.probe.folder(out).name, self.place, self.units, self.draws, self.seed]
        return piece_folder(out, "similarities", digest(key))

    def chosen(self) -> np.ndarray:
        """Units that are looked at: of the source the held-out part; at most so many, of a target the same for all."""
        samples = self.probe.places[self.place].units
        at = np.flatnonzero((samples.fold == self.cell.fold) | (samples.fold < 0))
        if len(at) > self.units:
            at = np.sort(np.random.default_rng(seed_for("similarities", samples.dataset)).permutation(at)[: self.units])
        return at


def similarity_job(context: Context, job: SimilarityJob) -> None:
    """Debiased CKA of every pair of streams over subjects: ``A|B`` -> (1 + draws,), the point first; NaN if too few."""
    place, at = job.probe.places[job.place], job.chosen()
    cluster, draws = place.bootstrap(1, job.draws, job.seed)
    subjects, of = np.unique(cluster[at], return_inverse=True)
    values = {
        name: _subject_means(place.of_units(v[job.place])[at], of)
        for name, v in stream_values(context, job.probe).items()
    }
    weights = np.concatenate([np.ones((len(subjects), 1)), draws.counts[subjects].astype(np.float64)], axis=1)
    enough = len(subjects) >= LEAST
    found = {}
    for group in GROUPS:
        there = [name for name in group if name in values]
        if not enough:
            found |= {f"{a}|{b}": np.full(weights.shape[1], np.nan) for a, b in combinations(there, 2)}
            continue
        kernels = {name: gram(_standard(values[name])) for name in there}
        own = {name: hsic(k, k, weights) for name, k in kernels.items()}
        for a, b in combinations(there, 2):
            found[f"{a}|{b}"] = cka_of(kernels[a], kernels[b], weights, own[a], own[b])
    write_piece(job.folder(context.out), found)


def _subject_means(x: np.ndarray, subject: np.ndarray) -> np.ndarray:
    """Means (subjects, d) over each subject's units, what is missing left out: nobody counts more than once."""
    finite = np.isfinite(x)
    total, count = (
        np.zeros((subject.max(initial=-1) + 1, x.shape[1])),
        np.zeros((subject.max(initial=-1) + 1, x.shape[1])),
    )
    np.add.at(total, subject, np.where(finite, x, 0))
    np.add.at(count, subject, finite)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _standard(x: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and variance 1, so that none counts for its unit; 0 where constant or missing."""
    finite = np.isfinite(x)
    count = np.maximum(finite.sum(0), 1)
    x = np.where(finite, x - np.where(finite, x, 0).sum(0) / count, 0.0)
    scale = np.sqrt((x**2).sum(0) / count)
    return x / np.where(scale > 1e-9, scale, np.inf)
