"""The prepared form of a data set: every recording read, filtered and cut once, kept as a memory-mapped array.

Layout of a store (a folder whose name holds its key)::

    segments.f32   (S, 12, 5000) float32, little-endian, memory-mapped
    leads.npy      (S, 12) bool         lead measured or derived
    valid.npy      (S,) int32           samples inside the recording; the rest is padding
    start.npy      (S,) float64         seconds from the recording's first sample
    rhythm.npy     (S, R) float64       heart-rate variability, NaN where not measurable
    records.parquet                     the index: one row a recording, see data.index
    done.json                           checksums; written last

Nothing in it is fitted, so nothing of one recording reaches another.
"""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_ramba.data.base import DataSet
from ecg_ramba.data.build import ARRAYS, INDEX, SEGMENTS, STORE_VERSION, build, path_key, signal_files
from ecg_ramba.data.index import frame_of, read_index, row_of
from ecg_ramba.data.labels import mapping_digest
from ecg_ramba.data.record import Record
from ecg_ramba.errors import UserError
from ecg_ramba.features.rhythm import RHYTHM_NAMES, rhythm_features
from ecg_ramba.files import explained, fetched, is_complete
from ecg_ramba.keys import digest
from ecg_ramba.locks import alone
from ecg_ramba.signal import SEGMENT, SignalConfig, preprocess


@dataclass(frozen=True)
class Prepared:
    """A data set ready for training: arrays over segments and a table over recordings.

    ``records`` has one row a recording, with ``first_segment`` and ``n_segments`` into the arrays; ``annotated`` names,
    per hospital, those of the 27 classes that the publisher annotates; ``place``: where the recordings were read from,
    "" where there is no folder.
    """

    name: str
    folder: Path
    synthetic: bool
    derived: bool
    annotated: dict[str, frozenset[str]]
    records: pd.DataFrame
    segments: np.ndarray
    leads: np.ndarray
    valid: np.ndarray
    start: np.ndarray
    rhythm: np.ndarray
    refused: list[dict]
    digest: str
    place: str = ""

    def __getstate__(self) -> dict:
        """Everything but the memory-mapped samples, so that sending a data set to a worker stays cheap."""
        return {**self.__dict__, "segments": None}

    def __setstate__(self, state: dict) -> None:
        """Map the samples again; on another machine, fetched from the URL of the results."""
        self.__dict__.update(state)
        self.__dict__["segments"] = _map_segments(fetched(self.folder), len(self.valid))

    def subset(self, rows: np.ndarray) -> "Prepared":
        """The same store with only these rows of ``records``; the digest follows."""
        records = self.records.iloc[rows].reset_index(drop=True)
        return Prepared(**{**self.__dict__, "records": records, "digest": records_digest(records)})


def records_digest(records: pd.DataFrame) -> str:
    """Content key of recordings: identity, samples, labels, episodes; independent of paths and file times."""
    columns = ["record", "subject", "publisher", "publisher_id", "hospital", "signal_digest", "store_key", "labelled"]
    rows = records[columns].astype(str).to_numpy().tolist()
    lists = [[*map(sorted, pair)] for pair in zip(records["labels"], records["superclasses"], strict=True)]
    return digest([rows, lists, records["episodes"].tolist(), records["strat_fold"].tolist()])


def prepare(
    dataset: DataSet,
    folder: Path,
    cache: Path,
    config: SignalConfig = SignalConfig(),
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] = warnings.warn,
) -> Prepared:
    """Read, filter and cut a data set, or open the store that already holds the result.

    Parameters
    ----------
    dataset : DataSet
        Its reader.
    folder : Path
        Where its files lie.
    cache : Path
        Where stores are kept.
    config : SignalConfig
        The preprocessing; a change makes another store.
    workers : int
        Processes to use.
    progress : callable, optional
        Called with (recordings done, recordings in all).
    say : callable
        Gets a line when another process is at work on the same store, or when the store is damaged.

    Raises
    ------
    UserError
        If no file can be used, or the store cannot be written.
    """
    headers = dataset.find(folder)
    if not headers:
        raise UserError(f"{folder} holds no recording of {dataset.name} ({dataset.title}); check --data")
    key = digest(
        [STORE_VERSION, dataset.name, config, RHYTHM_NAMES, mapping_digest(), _listing(folder, headers)],
    )
    store = cache / "prepared" / f"{dataset.name}-{key[:16]}"
    if is_complete(store):
        return _open(dataset, store, folder)
    with explained(store):
        store.parent.mkdir(parents=True, exist_ok=True)
    with alone(
        store.with_name(f".{store.name}.lock"), lambda: say(f"another process prepares {store}; waiting for it")
    ):
        if not is_complete(store):
            if store.exists():
                say(f"{store} is damaged (its checksums are not those of its files); it is made again")
            build(dataset, folder, headers, store, config, workers, progress)
    return _open(dataset, store, folder)


def _listing(folder: Path, headers: Iterable[Path]) -> list[list]:
    """Name, size and modification time of the headers and of the folder's tables: cheap, and changes with content."""
    rows = []
    for path in [*headers, *sorted(folder.glob("*.csv"))]:
        facts = path.stat()
        beside = [(p.suffix, p.stat().st_size, p.stat().st_mtime_ns) for p in signal_files(path)]
        rows.append([path.relative_to(folder).as_posix(), facts.st_size, facts.st_mtime_ns, beside])
    return rows


def _open(dataset: DataSet, store: Path, place: Path) -> Prepared:
    records, refused = read_index(store / INDEX)
    leads, valid, start, rhythm = (np.load(store / f"{name}.npy") for name in ARRAYS)
    return Prepared(
        name=dataset.name,
        folder=store,
        synthetic=dataset.synthetic,
        derived=bool((records["units"] != "mV").any()),
        annotated={h: dataset.annotated(h) for h in sorted(set(records["hospital"]))},
        records=records,
        segments=_map_segments(store, len(valid)),
        leads=leads,
        valid=valid,
        start=start,
        rhythm=rhythm,
        refused=refused,
        digest=records_digest(records),
        place=str(place.resolve()),
    )


def prepared_from_record(record: Record, config: SignalConfig) -> Prepared:
    """One recording prepared in memory, on the very path that data sets take.

    Raises
    ------
    RecordError
        If it is too short or has no usable signal.
    """
    cut = preprocess(record, config)
    row = row_of(record) | {"first_segment": 0, "n_segments": len(cut.signal), "store_key": path_key(config)}
    records = frame_of([row])
    return Prepared(
        name=record.source,
        folder=Path(),
        synthetic=False,
        derived=record.units != "mV",
        annotated={},
        records=records,
        segments=cut.signal,
        leads=np.repeat(cut.leads[None], len(cut.signal), axis=0),
        valid=cut.valid,
        start=cut.start,
        rhythm=np.stack([rhythm_features(s, cut.leads, int(v)) for s, v in zip(cut.signal, cut.valid, strict=True)]),
        refused=[],
        digest=records_digest(records),
    )


def _map_segments(store: Path, count: int) -> np.ndarray:
    return np.memmap(store / SEGMENTS, dtype="<f4", mode="r", shape=(count, 12, SEGMENT))
