"""Windows as models read them: gathered from the prepared store and the fold's features, a batch at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecg_ramba.data.leads import PRECORDIAL
from ecg_ramba.data.store import Prepared
from ecg_ramba.features.transform import as_tokens
from ecg_ramba.models import Batch, Windows
from ecg_ramba.signal import SEGMENT, WINDOW, WindowView, window_starts

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class WindowTable:
    """Where each window of a data set lies; all arrays (N,) int.

    ``record``: row of the recordings' table; ``at``: row of the store's arrays; ``segment``: number within its
    recording; ``start``: first sample within the segment. ``samples``: length of each of them.
    """

    record: np.ndarray
    at: np.ndarray
    segment: np.ndarray
    start: np.ndarray
    samples: int = WINDOW

    def __len__(self) -> int:
        return len(self.at)

    def of_records(self, rows: np.ndarray) -> np.ndarray:
        """Window rows of these recordings, in order."""
        chosen = np.zeros(self.record.max(initial=-1) + 1, dtype=bool)
        chosen[rows] = True
        return np.flatnonzero(chosen[self.record])

    def of_segments(self, at: np.ndarray) -> np.ndarray:
        """For rows of the store the row of this table, where it has one window a segment."""
        place = np.full(self.at.max(initial=-1) + 1, -1)
        place[self.at] = np.arange(len(self))
        return place[at]


def window_table(data: Prepared, samples: int = WINDOW) -> WindowTable:
    """All windows of a data set that are at least half inside their recording; or each segment whole, for 5000 samples.

    Raises
    ------
    ValueError
        For any other length.
    """
    if samples not in (WINDOW, SEGMENT):
        raise ValueError(f"windows of {samples} samples: there are {WINDOW} (a window) and {SEGMENT} (a segment)")
    rows = [
        (i, first + s, s, start)
        for i, (first, n) in enumerate(zip(data.records["first_segment"], data.records["n_segments"], strict=True))
        for s in range(n)
        for start in (window_starts(int(data.valid[first + s])) if samples == WINDOW else (0,))
    ]
    return WindowTable(*np.array(rows, dtype=np.int64).reshape(-1, 4).T, samples)


@dataclass(frozen=True)
class WindowSource:
    """Windows of one data set with the features of one fold; streams that are not needed stay None.

    ``morphology`` and ``morphology_limb`` are (all windows, sum(components)), with all leads and without V1-V6, where
    ``components`` are those of each dilation group;
    ``rhythm`` and ``rhythm_valid`` are (segments, R), by row of the store; ``embedding`` and ``embedding_limb`` are
    (all windows, D); ``rows`` selects windows of ``table``.
    ``morphology_row``: for each window its row of the morphology arrays, where windows share one; None: its own number.
    """

    data: Prepared
    table: WindowTable
    rows: np.ndarray
    streams: frozenset[str]
    morphology: np.ndarray | None = None
    morphology_limb: np.ndarray | None = None
    rhythm: np.ndarray | None = None
    rhythm_valid: np.ndarray | None = None
    morphology_row: np.ndarray | None = None
    components: tuple[int, ...] = ()
    embedding: np.ndarray | None = None
    embedding_limb: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def windows(self, which: np.ndarray, limb: np.ndarray) -> Windows:
        """Inputs of the windows ``rows[which]``; where ``limb`` is set V1-V6 are absent in every stream."""
        rows = self.rows[which]
        at = self.table.at[rows]
        leads = self.data.leads[at].copy()
        leads[limb, PRECORDIAL] = False
        fields = {"leads": leads}
        if "signal" in self.streams:
            inside = self.data.valid[at] - self.table.start[rows]
            signal = WindowView(self.data.segments, at, self.table.start[rows], self.table.samples)[:]
            signal[limb, PRECORDIAL] = 0
            fields["signal"] = signal
            fields["valid"] = np.arange(self.table.samples) < inside[:, None]
        if "morphology" in self.streams:
            of = rows if self.morphology_row is None else self.morphology_row[rows]
            columns = _gathered(self.morphology, self.morphology_limb, of, limb)
            fields["morphology"] = as_tokens(columns, self.components)
        if "rhythm" in self.streams:
            fields["rhythm"], fields["rhythm_valid"] = self.rhythm[at], self.rhythm_valid[at]
        if "embedding" in self.streams:
            fields["embedding"] = _gathered(self.embedding, self.embedding_limb, rows, limb)
        return Windows(**fields)


def _gathered(whole: np.ndarray, without: np.ndarray | None, rows: np.ndarray, limb: np.ndarray) -> np.ndarray:
    """These rows, of ``without`` where V1-V6 are absent; a copy, float32."""
    out = np.asarray(whole[rows], dtype=np.float32)
    if limb.any():
        out[limb] = without[rows[limb]]
    return out


def to_batch(windows: Windows, device: str) -> Batch:
    """The same windows as tensors on a device."""
    import torch

    def tensor(a: np.ndarray | None) -> torch.Tensor | None:
        return None if a is None else torch.from_numpy(np.ascontiguousarray(a)).to(device, non_blocking=True)

    return Batch(**{name: tensor(getattr(windows, name)) for name in Batch.__dataclass_fields__})
