"""Representation: what each stream of a fold model holds linearly of rhythm and of morphology, beside controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_ramba.data.leads import PRECORDIAL
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.harness.cells import Cell, Context
from ecg_ramba.harness.executors.jobs import Executor
from ecg_ramba.harness.outputs import SuiteResult
from ecg_ramba.harness.progress import Progress
from ecg_ramba.keys import seed_for
from studies.pieces import read_piece, run_pieces
from studies.probes.activations import Wanted, activation_folder, activation_job
from studies.probes.samples import choose_records, held_out_folds, make_samples
from studies.representation.delineation import FIGURES, measuring_job, measuring_jobs
from studies.representation.probing import Place, ProbeJob, probe_job
from studies.representation.similarities import SimilarityJob, similarity_job
from studies.shortcuts.study import planned

RHYTHM = ("AF|AFL", "AF", "AFL", "SB", "STach", "SA", "PAC", "SVPB", "PVC", "VPB", "Brady")
"""Labels that are told from when beats come: rate, regularity, early beats."""
MORPHOLOGY = (*("LBBB", "RBBB", "CRBBB", "IRBBB", "LAnFB", "NSIVCB", "QAb", "TInv", "TAb", "LAD", "RAD", "LQRSV"),)
"""Labels that are told from the shape of a beat: conduction inside the ventricles, Q and T waves, axis, voltage."""
NEITHER = {
    "SNR": "sinus rhythm is coded where nothing else is, so it stands for the absence of other labels",
    "IAVB": "an interval within a beat",
    "LPR": "an interval within a beat",
    "LQT": "an interval corrected for the rate",
    "PR": "a pacemaker",
}
"""Labels of the 27 in neither list, and why."""


@dataclass(frozen=True, kw_only=True)
class RepresentationConfig:
    """Sizes of the analysis.

    Parameters
    ----------
    records : int
        Most recordings of a data set, whole subjects drawn at random.
    permutations : int
        Permutations of the source's labels.
    units : int
        Most units of a similarity.
    draws : int
        Bootstrap draws of a similarity.
    """

    records: int = 2000
    permutations: int = 20
    units: int = 600
    draws: int = 500


@dataclass(frozen=True)
class Probed:
    """The finished jobs of a study, and what was looked at.

    Parameters
    ----------
    out : Path
        Where the results are.
    names : tuple of str
        Data sets, the source first.
    places : tuple of Place
        What was looked at of each.
    labels : tuple of str
    cells : tuple of Cell
        Of the probes, in order.
    probes : tuple of ProbeJob
    similarities : tuple of SimilarityJob
    reasons : dict of str to str
        Variant -> why it has none.
    left_out : dict
        Data set -> why -> how many.
    measured : DataFrame
        How many segments of each data set have each figure.
    """

    out: Path
    names: tuple[str, ...]
    places: tuple[Place, ...]
    labels: tuple[str, ...]
    cells: tuple[Cell, ...]
    probes: tuple[ProbeJob, ...]
    similarities: tuple[SimilarityJob, ...]
    reasons: dict[str, str]
    left_out: dict[str, dict[str, int]]
    measured: pd.DataFrame


def probe_suite(
    result: SuiteResult, evaluation: Evaluation, config: RepresentationConfig, executor: Executor, progress: Progress
) -> Probed:
    """Activations, measurements, probes and similarities of every fold model; finished ones are found.

    Parameters
    ----------
    result : SuiteResult
        Of a finished suite.
    evaluation : Evaluation
        Of that suite, for the settings of intervals.
    config : RepresentationConfig
    executor, progress
        As everywhere.
    """
    context = result.context
    cells, reasons = planned(result)
    places, left_out, measured = _places(context, config, executor, progress)
    present = places[0].units.classes
    labels = tuple(name for name in (*RHYTHM, *MORPHOLOGY) if name in present)
    views = [(i, p.at, False) for i, p in enumerate(places)]
    if any(p.limb for p in places[1:]) and not places[0].limb:
        views.append((0, places[0].at, True))
    wanted = [
        Wanted(cell=c, place=place, at=at, limb=limb, untrained=untrained)
        for c in cells
        for untrained in (False, True)
        for place, at, limb in views
    ]
    folders = [activation_folder(context, w) for w in wanted]
    failed = run_pieces(activation_job, context, wanted, folders, executor, progress, "activations")
    for i, why in failed.items():
        reasons.setdefault(wanted[i].cell.variant, why)
    n, probes = len(views), []
    for i, cell in enumerate(cells):
        own = folders[2 * n * i : 2 * n * (i + 1)]
        probes.append(
            ProbeJob(
                cell=cell,
                places=places,
                trained=tuple(own[:n]),
                untrained=tuple(own[n:]),
                labels=labels,
                permutations=config.permutations,
            )
        )
    probes = _finished(probe_job, context, probes, reasons, executor, progress, "probes")
    similarities = [
        SimilarityJob(probe=job, place=i, units=config.units, draws=config.draws, seed=evaluation.config.seed)
        for job in probes
        for i in range(len(places))
    ]
    similarities = _finished(similarity_job, context, similarities, reasons, executor, progress, "similarities")
    probes = [j for j in probes if j.cell.variant not in reasons]
    return Probed(
        out=context.out,
        names=tuple(p.units.dataset for p in places),
        places=places,
        labels=labels,
        cells=tuple(j.cell for j in probes),
        probes=tuple(probes),
        similarities=tuple(similarities),
        reasons=reasons,
        left_out=left_out,
        measured=measured,
    )


def _finished(function, context: Context, jobs: Sequence, reasons: dict, executor, progress, stage: str) -> list:
    """Run jobs; those of a variant of which one failed are dropped, with the reason."""
    jobs = [j for j in jobs if j.cell.variant not in reasons]
    failed = run_pieces(function, context, jobs, [j.folder(context.out) for j in jobs], executor, progress, stage)
    for i, why in failed.items():
        reasons.setdefault(jobs[i].cell.variant, why)
    return [j for j in jobs if j.cell.variant not in reasons]


def _places(context: Context, config: RepresentationConfig, executor: Executor, progress: Progress):
    """What is looked at in each data set, why the rest is not, and how many segments could be measured."""
    data = (context.source, *context.targets)
    made, jobs = [], []
    for place, d in enumerate(data):
        rows = choose_records(d, config.records, seed_for("representation", d.name))
        folds = held_out_folds(context, place)
        units, why = make_samples(d, context.truth.space, rows, folds, "task")
        firsts, why_first = make_samples(d, context.truth.space, rows, folds, "first")
        own = measuring_jobs(d, firsts.at, context.out)
        made.append((units, firsts, why | why_first, own))
        jobs += own
    failed = run_pieces(measuring_job, None, jobs, [j.folder for j in jobs], executor, progress, "delineation")
    places, left_out, rows = [], {}, []
    for d, (units, firsts, why, own) in zip(data, made, strict=True):
        parts = [
            np.full((len(j.at), len(FIGURES)), np.nan) if jobs.index(j) in failed else read_piece(j.folder)["figures"]
            for j in own
        ]
        figures = np.concatenate([np.zeros((0, len(FIGURES))), *parts])
        at = np.unique(np.concatenate([units.at, firsts.at]))
        limb = len(at) > 0 and not d.leads[at][:, PRECORDIAL].any()
        places.append(Place(units=units, firsts=firsts, figures=figures, at=at, limb=limb))
        left_out[d.name] = why
        there = np.isfinite(figures).sum(0)
        rows.append({"dataset": d.name, "segments": len(figures), **dict(zip(FIGURES, there.tolist(), strict=True))})
    return tuple(places), left_out, pd.DataFrame(rows)
