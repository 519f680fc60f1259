"""What a study looks at in a data set: recordings, or segments, with their subject, their labels and their samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecg_ramba.data.index import episodes_of
from ecg_ramba.data.labels import LabelSpace
from ecg_ramba.data.store import Prepared
from ecg_ramba.data.tasks import AF_AFL, in_af, truth_of
from ecg_ramba.harness.cells import Context
from ecg_ramba.keys import array_digest, digest
from ecg_ramba.signal import SEGMENT

MOST_SEGMENTS = 12
"""Segments of one recording that are looked at, evenly spread over it: two minutes of a Holter recording."""

KINDS = ("record", "task", "first")
CROSSING, TOO_SHORT = "segments that cross a border of AF", "recordings without a whole 10 s segment"


@dataclass(frozen=True, eq=False)
class Samples:
    """Units of one data set, and the segments that each is the mean of.

    Parameters
    ----------
    dataset : str
    record : (n,) int array
        Row of the data set's recordings.
    subject : (n,) str array
        Subject, with the data set's name before it.
    fold : (n,) int array
        Fold that the recording is held out of; -1 at targets.
    hospital : (n,) str array
    classes : tuple of str
        The label space's, and ``AF|AFL``.
    y, known : (n, classes) bool arrays
        Labels, and whether the publisher annotates the class.
    at : (m,) int array
        Segments, by row of the store, ascending within a unit.
    unit : (m,) int array
        The unit of each.
    """

    dataset: str
    record: np.ndarray
    subject: np.ndarray
    fold: np.ndarray
    hospital: np.ndarray
    classes: tuple[str, ...]
    y: np.ndarray
    known: np.ndarray
    at: np.ndarray
    unit: np.ndarray

    def __len__(self) -> int:
        return len(self.record)

    @property
    def digest(self) -> str:
        """Content key: labels, subjects and segments."""
        names = [self.dataset, list(self.classes), self.subject.tolist(), self.hospital.tolist()]
        return digest([names, array_digest(self.record, self.fold, self.y, self.known, self.at, self.unit)])

    def take(self, units: np.ndarray) -> Samples:
        """These units, in this order, each at most once."""
        place = np.full(len(self), -1)
        place[units] = np.arange(len(units))
        kept = place[self.unit] >= 0
        fields = ("record", "subject", "fold", "hospital", "y", "known")
        made = {name: getattr(self, name)[units] for name in fields}
        return Samples(
            dataset=self.dataset, classes=self.classes, at=self.at[kept], unit=place[self.unit[kept]], **made
        )

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Means (n, d) float64 over each unit's segments of ``values`` (m, d); what is NaN is left out."""
        values = np.asarray(values, dtype=np.float64)
        finite = np.isfinite(values)
        total, count = np.zeros((len(self), values.shape[1])), np.zeros((len(self), values.shape[1]))
        np.add.at(total, self.unit, np.where(finite, values, 0))
        np.add.at(count, self.unit, finite)
        return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def choose_records(data: Prepared, limit: int, seed: int) -> np.ndarray:
    """Rows of at most ``limit`` recordings, ascending: whole subjects, drawn at random; all where there are fewer."""
    subject = data.records["subject"].to_numpy()
    if len(subject) <= limit:
        return np.arange(len(subject))
    names, code = np.unique(subject, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    counted = np.cumsum(np.bincount(code)[order])
    chosen = np.zeros(len(names), dtype=bool)
    chosen[order[counted <= limit]] = True
    return np.flatnonzero(chosen[code])


def make_samples(
    data: Prepared, space: LabelSpace, rows: np.ndarray, fold: np.ndarray, kind: str
) -> tuple[Samples, dict[str, int]]:
    """Units of some recordings.

    Parameters
    ----------
    data : Prepared
    space : LabelSpace
    rows : (r,) int array
        Recordings to look at.
    fold : (recordings,) int array
        Held-out fold of every recording, -1 at targets.
    kind : {"record", "task", "first"}
        ``record``: a recording, the mean of its segments (:data:`MOST_SEGMENTS` at most). ``task``: the same; but a
        segment wholly inside or outside of AF where rhythm episodes are annotated. ``first``: a recording's first
        segment without padding, there the first of those.

    Returns
    -------
    samples : Samples
    left_out : dict
        Why -> how many recordings (or segments) have no unit.
    """
    if kind not in KINDS:
        raise ValueError(f"samples of kind {kind!r}: there are {', '.join(KINDS)}")
    truth = truth_of(data, space)
    classes = (*space.classes, AF_AFL)
    columns = [space.index("AF"), space.index("AFL")]
    y = np.concatenate([truth.y, truth.y[:, columns].any(1, keepdims=True)], axis=1)
    known = np.concatenate([truth.known, truth.known[:, columns].any(1, keepdims=True)], axis=1)
    units: list[tuple[int, np.ndarray, bool | None]] = []
    left_out: Counter[str] = Counter()
    for row in rows:
        record = data.records.iloc[row]
        episodes = episodes_of(record["episodes"])
        first, count = int(record["first_segment"]), int(record["n_segments"])
        spread = first + np.unique(np.linspace(0, count - 1, min(count, MOST_SEGMENTS)).round().astype(int))
        if kind == "record" or (kind == "task" and episodes is None):
            units.append((row, spread, None))
            continue
        if kind == "task":
            states = [_state(data, at, episodes) for at in spread]
            left_out[CROSSING] += sum(s is None for s in states)
            units += [(row, np.array([at]), s) for at, s in zip(spread, states, strict=True) if s is not None]
            continue
        for at in range(first, first + count):
            state = None if episodes is None else _state(data, at, episodes)
            if data.valid[at] == SEGMENT and (episodes is None or state is not None):
                units.append((row, np.array([at]), state))
                break
        else:
            left_out[TOO_SHORT] += 1
    record = np.array([u[0] for u in units], dtype=int)
    own_y, own_known = y[record], known[record]
    for i, (_, _, state) in enumerate(units):
        if state is not None:  # a segment's own rhythm, not the recording's; AF and flutter apart are not asked of it
            own_y[i, -1], own_known[i, columns], own_y[i, columns] = state, False, False
    named = data.records.iloc[record]
    samples = Samples(
        dataset=data.name,
        record=record,
        subject=np.array([f"{data.name}/{s}" for s in named["subject"]], dtype=str),
        fold=np.asarray(fold)[record],
        hospital=named["hospital"].to_numpy(dtype=str),
        classes=classes,
        y=own_y,
        known=own_known,
        at=np.concatenate([u[1] for u in units] or [np.zeros(0, dtype=int)]),
        unit=np.repeat(np.arange(len(units)), [len(u[1]) for u in units]),
    )
    return samples, {why: n for why, n in left_out.items() if n}


def _state(data: Prepared, at: int, episodes) -> bool | None:
    begin = float(data.start[at])
    return in_af(begin, begin + data.valid[at] / (SEGMENT / 10), episodes)


def joined(parts: Sequence[Samples]) -> Samples:
    """The units of several data sets one after the other, without their segments, which lie in different stores."""
    fields = ("record", "subject", "fold", "hospital", "y", "known")
    made = {name: np.concatenate([getattr(p, name) for p in parts]) for name in fields}
    nothing = np.zeros(0, dtype=int)
    return Samples(dataset="", classes=parts[0].classes, at=nothing, unit=nothing, **made)


def held_out_folds(context: Context, place: int) -> np.ndarray:
    """Fold that each recording of a data set is held out of: its own at the source (place 0), -1 at a target."""
    if place:
        return np.full(len(context.targets[place - 1].records), -1)
    fold = np.zeros(len(context.source.records), dtype=int)
    for f in context.folds:
        fold[f.held_out] = f.number
    return fold
