"""What sites are told from: recording facts, labels, features, and the embeddings of every fold model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_ramba.harness.cells import Cell, Context
from ecg_ramba.harness.executors.jobs import Executor
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.variants import REFERENCE
from studies.pieces import run_pieces
from studies.probes.activations import Wanted, activation_folder, activation_job
from studies.shortcuts.sites import Values
from studies.shortcuts.views import AS_RECORDED, LABELS_MATCHED, MATCHED, View

DURATION, LEADS_THERE, LABELS = "duration and sampling rate", "number of leads", "class labels"
HRV, COMPONENTS = "heart-rate variability", "MiniRocket components"
CONTROLS = (DURATION, LEADS_THERE, LABELS)
FIXED = (*CONTROLS, HRV, COMPONENTS)
EMBEDDING = "embedding of "

Of = Mapping[tuple[int, int], Sequence[Values]]
"""(fold, seed) -> the values of each data set, the source first."""


@dataclass(frozen=True, eq=False)
class Activated:
    """Activations: their ``folders`` by (mode, place, variant, fold, seed), ``reasons`` of variants without."""

    folders: Mapping[tuple, Path]
    reasons: Mapping[str, str]


def activate(
    context: Context, views: Mapping[str, View], cells: Sequence[Cell], executor: Executor, progress: Progress
) -> Activated:
    """Every fold model's activations of what it was not trained on, as recorded and matched."""
    wanted, keys = [], []
    for cell in cells:
        for mode in (AS_RECORDED, MATCHED):
            for place, part in enumerate(views[mode].parts):
                at = part.take(views[mode].units_of(place, cell.fold)).at
                if len(at):
                    wanted.append(Wanted(cell=cell, place=place, at=at, limb=views[mode].limb))
                    keys.append((mode, place, cell.variant, cell.fold, cell.seed))
    folders = [activation_folder(context, w) for w in wanted]
    failed = run_pieces(activation_job, context, wanted, folders, executor, progress, "activations")
    return Activated(dict(zip(keys, folders, strict=True)), {keys[i][2]: reason for i, reason in failed.items()})


def representations(
    view: View, mode: str, folds: Sequence[int], cells: Sequence[Cell], activated: Activated, matched: Sequence[str]
) -> dict[str, Of | str]:
    """Everything that sites are told from in one way of looking, or why it is not there.

    Parameters
    ----------
    view : View
    mode : str
    folds : sequence of int
    cells : sequence of Cell
        Of networks.
    activated : Activated
    matched : sequence of str
        Classes whose label sets are matched, in that mode: their labels must tell nothing any more.
    """
    out: dict[str, Of | str] = {}
    if mode == AS_RECORDED:
        out[DURATION] = _given(view, folds, DURATION, lambda d, p: np.log(_facts(d)[p.record]))
        out[LEADS_THERE] = _given(view, folds, LEADS_THERE, lambda d, p: p.mean(d.leads[p.at].sum(1, keepdims=True)))
        out[LABELS] = _given(view, folds, LABELS, lambda d, p: p.y[:, :-1].astype(float))
    if mode == LABELS_MATCHED:
        columns = [view.everything.classes.index(name) for name in matched]
        out[LABELS] = _given(view, folds, f"{LABELS}: {matched}", lambda d, p: p.y[:, columns].astype(float))
    out[HRV] = _given(view, folds, HRV, rhythm_values)
    at = AS_RECORDED if mode == AS_RECORDED else MATCHED
    own = [c for c in cells if c.variant == REFERENCE and c.seed == 0]
    out[COMPONENTS] = _stored(view, at, "components", own, activated, REFERENCE)
    for variant in dict.fromkeys(c.variant for c in cells):
        own = [c for c in cells if c.variant == variant]
        out[EMBEDDING + variant] = _stored(view, at, "embedding", own, activated, variant)
    return out


def rhythm_values(data, part) -> np.ndarray:
    """HRV figures (units, R) and, in as many columns again, which of them could be measured."""
    figures = part.mean(data.rhythm[part.at])
    return np.concatenate([figures, np.isfinite(figures)], axis=1)


def _facts(data) -> np.ndarray:
    return data.records[["seconds", "rate"]].to_numpy(dtype=float)


def _given(view: View, folds: Sequence[int], stream: str, values: Callable) -> Of:
    arrays = [values(d, p) for d, p in zip(view.data, view.parts, strict=True)]
    return {
        (fold, 0): [
            Values(samples=part, units=view.units_of(place, fold), given=array, stream=stream)
            for place, (part, array) in enumerate(zip(view.parts, arrays, strict=True))
        ]
        for fold in folds
    }


def _stored(view: View, mode: str, stream: str, cells: Sequence[Cell], activated: Activated, variant: str) -> Of | str:
    if variant in activated.reasons:
        return activated.reasons[variant]
    if not cells:
        return f"{variant} is not there"
    out = {}
    for cell in cells:
        out[cell.fold, cell.seed] = []
        for place, part in enumerate(view.parts):
            samples = part.take(view.units_of(place, cell.fold))
            folder = activated.folders.get((mode, place, variant, cell.fold, cell.seed))
            values = Values(samples=samples, units=np.arange(len(samples)), folder=folder, stream=stream)
            out[cell.fold, cell.seed].append(values)
    return out
