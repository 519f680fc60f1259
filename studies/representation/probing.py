"""One fold model under the probes: labels and intervals read from each of its streams, and from controls.

Fitted on the fold's training part, scored on its held-out part and on every target. What fits (:func:`fit_labels`,
:func:`fit_figures`) is given the training part and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_ramba.evaluation.intervals import Draws
from ecg_ramba.evaluation.metrics import Ranking
from ecg_ramba.evaluation.scores import DECIMALS
from ecg_ramba.harness.cells import Cell, Context
from ecg_ramba.harness.splits import MIN_SUBJECTS
from ecg_ramba.keys import array_digest, digest, seed_for
from studies.pieces import piece_folder, write_piece
from studies.probes.activations import load_activations
from studies.probes.linear import Design, LinearMap, balanced, other_subjects_rows
from studies.probes.listener import STREAMS
from studies.probes.samples import Samples

VERSION = 3
UNTRAINED = ", untrained"
HRV, COMPONENTS = "HRV figures", "MiniRocket components"
RAW = (HRV, COMPONENTS)
NAMES = (*STREAMS, *RAW, *(s + UNTRAINED for s in STREAMS))
"""Everything that is probed: the model's streams, the features themselves, the streams with random weights."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """What is looked at in one data set.

    Parameters
    ----------
    units : Samples
        For labels, and for similarities.
    firsts : Samples
        One segment a recording, for measurements.
    figures : (firsts, 3) array
        :data:`studies.representation.delineation.FIGURES`; NaN where not measured.
    at : (m,) int array
        Segments of both, by row of the store, ascending.
    limb : bool
        Whether no segment has any of V1 to V6.
    """

    units: Samples
    firsts: Samples
    figures: np.ndarray
    at: np.ndarray
    limb: bool = False

    def of_units(self, values: np.ndarray) -> np.ndarray:
        """(units, d) from the values (m, d) of the segments."""
        return self.units.mean(values[np.searchsorted(self.at, self.units.at)])

    def of_firsts(self, values: np.ndarray) -> np.ndarray:
        """(firsts, d) from the values (m, d) of the segments."""
        return np.asarray(values, dtype=np.float64)[np.searchsorted(self.at, self.firsts.at)]

    def bootstrap(self, seeds: int, draws: int, seed: int) -> tuple[np.ndarray, Draws]:
        """Subject of each unit, and the draws of all subjects, within the folds they are held out of."""
        _, first, cluster = np.unique(self.units.subject, return_index=True, return_inverse=True)
        return cluster, Draws.of(("representation", self.units.dataset), self.units.fold[first], seeds, draws, seed)

    @property
    def digest(self) -> str:
        """Content key."""
        return digest([self.units.digest, self.firsts.digest, array_digest(self.figures, self.at)])


@dataclass(frozen=True, kw_only=True, eq=False)
class ProbeJob:
    """One fold model.

    Parameters
    ----------
    cell : Cell
    places : tuple of Place
        The source and each target.
    trained, untrained : tuple of Path
        The folders of its activations on each place; then on the source without V1 to V6, where a target has none:
        probes for that target are fitted on what is left of the leads there.
    labels : tuple of str
        Classes to probe for.
    permutations : int
    """

    cell: Cell
    places: tuple[Place, ...]
    trained: tuple[Path, ...]
    untrained: tuple[Path, ...]
    labels: tuple[str, ...]
    permutations: int

    def folder(self, out: Path) -> Path:
        """The piece that holds what was found."""
        key = [VERSION, self.cell.fold, [f.name for f in (*self.trained, *self.untrained)]]
        key += [[[p.digest, p.limb] for p in self.places], self.labels, self.permutations]
        return piece_folder(out, "probes", digest(key))

    def fit_for(self, place: int) -> int:
        """Which fit a place is scored with: 0 of all leads, 1 of those that are left without V1 to V6."""
        return int(len(self.trained) > len(self.places) and self.places[place].limb)


def fit_labels(design: Design, subject: np.ndarray, y: np.ndarray, known: np.ndarray) -> list[LinearMap | None]:
    """A probe a label, from training units alone.

    Parameters
    ----------
    design : Design
        Of the training units.
    subject : (n,) array
    y, known : (n, labels) bool arrays
        Both outcomes need the protocol's fewest subjects of a training part.
    """
    made: list[LinearMap | None] = []
    for of, there in zip(y.T, known.T, strict=True):
        enough = all(len(np.unique(subject[there & side])) >= MIN_SUBJECTS for side in (of, ~of))
        rows = np.flatnonzero(there)
        made.append(design.logistic(of[rows], balanced(of[rows]), rows) if enough else None)
    return made


def fit_figures(design: Design, figures: np.ndarray) -> list[LinearMap | None]:
    """A ridge regression a figure, from training units that have it, at least twice :data:`MIN_SUBJECTS`."""
    made: list[LinearMap | None] = []
    for of in figures.T:
        rows = np.flatnonzero(np.isfinite(of))
        varied = len(rows) >= 2 * MIN_SUBJECTS and np.ptp(of[rows]) > 0
        made.append(design.ridge(of[rows], rows) if varied else None)
    return made


def scores(maps: Sequence[LinearMap | None], x: np.ndarray) -> np.ndarray:
    """(n, maps) of units (n, d); NaN without a map."""
    out = np.full((len(x), len(maps)), np.nan)
    for k, found in enumerate(maps):
        if found is not None:
            out[:, k] = found(x)[:, 0]
    return out


def probe_job(context: Context, job: ProbeJob) -> None:
    """Fit, score and permute for all streams of one fold model; keep everything (in a worker)."""
    found: dict[str, np.ndarray] = {}
    for name, values in stream_values(context, job).items():
        made = probe_labels(job, values) | probe_figures(job, values)
        found |= {f"{name}|{what}": array for what, array in made.items()}
    write_piece(job.folder(context.out), found)


def stream_values(context: Context, job: ProbeJob) -> dict[str, list[np.ndarray]]:
    """Stream -> values (m, d) of the segments of every place, as the folders of the job; streams that the model has."""
    own = [load_activations(f) for f in job.trained]
    random = [load_activations(f) for f in job.untrained]
    out = {s: [o[s] for o in own] for s in STREAMS if all(s in o for o in own)}
    figures = [d.rhythm[p.at] for d, p in zip((context.source, *context.targets), job.places, strict=True)]
    figures += [figures[0]] * (len(own) - len(figures))  # lead II is there either way
    out[HRV] = [np.concatenate([f, np.isfinite(f)], axis=1) for f in figures]
    if all("components" in o for o in own):
        out[COMPONENTS] = [o["components"] for o in own]
    return out | {s + UNTRAINED: [o[s] for o in random] for s in STREAMS if all(s in o for o in random)}


def probe_labels(job: ProbeJob, values: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """The labels from one stream of one fold model.

    Parameters
    ----------
    job : ProbeJob
    values : sequence of (m, d) arrays
        Of the segments of each place, the source first; then of the source without V1 to V6, where a target has none.

    Returns
    -------
    dict
        ``score|P`` (held-out units of the source for P = 0, all units of a target) x labels; ``permuted``
        (permutations, places, labels): ROC-AUC where labels are permuted over subjects, both those that are fitted and
        those that are scored; ``weight`` and ``intercept`` of the fitted probes; ``stopped``: probes that ran out of
        iterations.
    """
    source = job.places[0].units
    columns = [source.classes.index(name) for name in job.labels]
    train, held_out = (np.flatnonzero(m) for m in (source.fold != job.cell.fold, source.fold == job.cell.fold))
    subject, y, known = source.subject, source.y[:, columns], source.known[:, columns]
    x = [place.of_units(v) for place, v in zip(job.places, values, strict=False)]
    designs = [Design.of(job.places[0].of_units(v)[train]) for v in (values[0], *values[len(x) :])]
    x[0] = x[0][held_out]
    fitted = [fit_labels(d, subject[train], y[train], known[train]) for d in designs]
    out = {f"score|{i}": scores(fitted[job.fit_for(i)], units).astype(np.float32) for i, units in enumerate(x)}
    permuted = np.full((job.permutations, len(x), len(columns)), np.nan)
    for i in range(job.permutations):
        rows = [permuted_rows(place.units, i) for place in job.places]
        here = rows[0][train]
        probes = [fit_labels(d, subject[train], y[here], known[here]) for d in designs]
        rows[0] = rows[0][held_out]
        for p, (place, units) in enumerate(zip(job.places, x, strict=True)):
            truth = (a[np.ix_(rows[p], columns)] for a in (place.units.y, place.units.known))
            permuted[i, p] = auc_of(scores(probes[job.fit_for(p)], units), *truth)
    stopped = sum(f is not None and not f.converged for of in fitted for f in of)
    out |= {"permuted": permuted, "stopped": np.array(stopped)}
    return out | {"weight": _stacked(fitted[0], "weight"), "intercept": _stacked(fitted[0], "intercept")}


def permuted_rows(units: Samples, number: int) -> np.ndarray:
    """The unit whose labels each unit gets in a permutation: the same for every fold, stream and model."""
    rng = np.random.default_rng(seed_for("probes", units.dataset, "permutation", number))
    return other_subjects_rows(units.subject, rng)


def probe_figures(job: ProbeJob, values: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Measurements from one stream of one fold model: ``figure|P`` and ``figure_weight``, as :func:`probe_labels`."""
    source = job.places[0]
    fold = source.firsts.fold
    train, held_out = (np.flatnonzero(m) for m in (fold != job.cell.fold, fold == job.cell.fold))
    x = [place.of_firsts(v) for place, v in zip(job.places, values, strict=False)]
    fitted = [
        fit_figures(Design.of(source.of_firsts(v)[train]), source.figures[train])
        for v in (values[0], *values[len(x) :])
    ]
    x[0] = x[0][held_out]
    out = {f"figure|{i}": scores(fitted[job.fit_for(i)], units) for i, units in enumerate(x)}
    return out | {"figure_weight": _stacked(fitted[0], "weight")}


def _stacked(maps: Sequence[LinearMap | None], what: str) -> np.ndarray:
    """Weights of all probes, side by side; NaN for those that are not there."""
    there = next((m for m in maps if m is not None), None)
    if there is None:
        return np.zeros((len(maps), 0))
    nothing = np.full(getattr(there, what)[..., 0].shape, np.nan)
    return np.stack([nothing if m is None else getattr(m, what)[..., 0] for m in maps])


def auc_of(scores: np.ndarray, y: np.ndarray, known: np.ndarray) -> np.ndarray:
    """ROC-AUC (labels,) of scores (n, labels) on known units; NaN where a score or an outcome is lacking."""
    out = np.full(scores.shape[1], np.nan)
    for k in range(scores.shape[1]):
        at = known[:, k] & np.isfinite(scores[:, k])
        if y[at, k].any() and not y[at, k].all():
            out[k] = Ranking(y[at, k], np.round(scores[at, k], DECIMALS))(precision=False)[0][0]
    return out
