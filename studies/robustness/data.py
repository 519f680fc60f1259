"""Recordings read again, stressed, and prepared on the very path that data sets take."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ecg_ramba.data.index import frame_of, row_of
from ecg_ramba.data.leads import LEADS
from ecg_ramba.data.registry import dataset
from ecg_ramba.data.store import Prepared, path_key, records_digest
from ecg_ramba.errors import RecordError, UserError
from ecg_ramba.features.rhythm import rhythm_features
from ecg_ramba.files import explained
from ecg_ramba.keys import digest
from ecg_ramba.signal import SEGMENT, SignalConfig, preprocess
from studies.robustness.noise import DoesNotApply
from studies.robustness.stresses import Stress, stressed


@dataclass(frozen=True)
class Recording:
    """A recording: its file below the data set's folder, the digest of its signal, its number of 10 s segments, and the
    seconds at its end that are in none of them."""

    name: str
    file: str
    digest: str
    segments: int
    tail: float


@dataclass(frozen=True)
class Part:
    """The recordings of a data set that are stressed.

    ``segments``: of each recording only so many from its beginning are predicted (0: all of them); whatever is scaled
    or filtered over the recording still is over all of it.
    """

    dataset: str
    folder: Path
    recordings: tuple[Recording, ...]
    segments: int

    @cached_property
    def key(self) -> str:
        """Of what is predicted; where the files lie is not in it."""
        return digest([self.dataset, list(self.recordings), self.segments])


def stressed_data(
    part: Part, stress: Stress, signal: SignalConfig, base_seed: int, scratch: Path
) -> tuple[Prepared, list[dict]]:
    """The recordings of a part under a stress, prepared as a data set is; samples lie in a file below ``scratch``.

    Returns
    -------
    data : Prepared
        In the order of the part.
    refused : list of dict
        ``record`` and ``cause`` of each that the stress does not apply to, or that cannot be prepared under it.

    Raises
    ------
    UserError
        If a file is not what the suite was run on.
    """
    reader, rows, arrays, refused, count = dataset(part.dataset), [], [], [], 0
    with explained(scratch), open(scratch / "segments.f32", "wb") as samples:
        for recording in part.recordings:
            path = part.folder / recording.file
            record = reader.read(path)
            if record.signal_digest != recording.digest:
                raise UserError(f"{path} has changed since the suite was run; run it again")
            try:
                record = stressed(stress, record, base_seed)
                cut = preprocess(record, signal)
            except (DoesNotApply, RecordError) as error:
                cause = error.cause if isinstance(error, RecordError) else str(error)
                refused.append({"record": recording.name, "cause": cause})
                continue
            kept = len(cut.signal) if not part.segments else min(part.segments, len(cut.signal))
            samples.write(np.ascontiguousarray(cut.signal[:kept], dtype="<f4").data)
            at = {"first_segment": count, "n_segments": kept, "store_key": path_key(signal)}
            rows.append(row_of(record) | at)
            count += kept
            pairs = zip(cut.signal[:kept], cut.valid[:kept], strict=True)
            rhythm = np.stack([rhythm_features(s, cut.leads, int(v)) for s, v in pairs])
            arrays.append((np.repeat(cut.leads[None], kept, axis=0), cut.valid[:kept], cut.start[:kept], rhythm))
    return _prepared(part.dataset, rows, arrays, count, scratch), refused


def _prepared(name: str, rows: list[dict], arrays: list[tuple], count: int, folder: Path) -> Prepared:
    """A data set in the form of a store, from what is known of each recording and its ``count`` segments."""
    records = frame_of(rows)
    shape = (count, len(LEADS), SEGMENT)
    segments = np.memmap(folder / "segments.f32", "<f4", "r", shape=shape) if count else np.zeros(shape, np.float32)
    leads, valid, start, rhythm = (
        np.concatenate(of) if count else np.zeros(0) for of in (zip(*arrays, strict=True) if count else [()] * 4)
    )
    return Prepared(
        name=name,
        folder=folder,
        synthetic=dataset(name).synthetic,
        derived=bool((records["units"] != "mV").any()),
        annotated={},
        records=records,
        segments=segments,
        leads=leads,
        valid=valid,
        start=start,
        rhythm=rhythm,
        refused=[],
        digest=records_digest(records),
    )
