"""The prepared form of a data set: every recording read, filtered and cut once, kept as a memory-mapped array.

Layout of a store (a folder whose name holds its key)::

    segments.f32   (S, 12, 5000) float32, little-endian, memory-mapped
    leads.npy      (S, 12) bool         lead measured or derived
    valid.npy      (S,) int32           samples inside the recording; the rest is padding
    start.npy      (S,) float64         seconds from the recording's first sample
    rhythm.npy     (S, R) float64       heart-rate variability, NaN where not measurable
    records.parquet                     one row a recording: identity, labels, episodes, quality, signal digest
    refused.json                        files that could not be used, each with its cause
    done.json                           checksums; written last

Nothing in it is fitted, so nothing of one recording reaches another.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_ramba.data.base import DataSet
from ecg_ramba.data.labels import mapping_digest
from ecg_ramba.data.record import Episode, Record
from ecg_ramba.errors import RecordError, UserError
from ecg_ramba.features.rhythm import RHYTHM_NAMES, rhythm_features
from ecg_ramba.files import building, is_complete, read_json, write_json
from ecg_ramba.keys import digest
from ecg_ramba.signal import SEGMENT, SignalConfig, preprocess

STORE_VERSION = 1
CHUNK = 16
"""Recordings a worker prepares at a time."""

IN_PROCESS = 8
"""Up to this many chunks are prepared in this process: starting workers would take longer."""


@dataclass(frozen=True)
class Prepared:
    """A data set ready for training: arrays over segments and a table over recordings.

    ``records`` has one row a recording, with ``first_segment`` and ``n_segments`` into the arrays; ``annotated`` names,
    per hospital, those of the 27 classes that the publisher annotates.
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

    def __getstate__(self) -> dict:
        """Everything but the memory-mapped samples, so that sending a data set to a worker stays cheap."""
        return {**self.__dict__, "segments": None}

    def __setstate__(self, state: dict) -> None:
        """Map the samples again."""
        self.__dict__.update(state)
        self.__dict__["segments"] = _map_segments(self.folder, len(self.valid))

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

    Raises
    ------
    UserError
        If no file can be used.
    """
    headers = dataset.find(folder)
    if not headers:
        raise UserError(f"{folder} holds no recording of {dataset.name} ({dataset.title}); check --data")
    key = digest(
        [STORE_VERSION, dataset.name, config, RHYTHM_NAMES, mapping_digest(), _listing(folder, headers)],
    )
    store = cache / "prepared" / f"{dataset.name}-{key[:16]}"
    if not is_complete(store, check_bytes=False):
        with building(store) as temporary:
            _build(dataset, headers, temporary, config, workers, progress)
    return _open(dataset, store)


def _path_key(config: SignalConfig) -> str:
    """What was done to a recording: part of its content key, and the same wherever and whenever it is done."""
    return digest([STORE_VERSION, config, RHYTHM_NAMES])[:16]


def _listing(folder: Path, headers: Iterable[Path]) -> list[list]:
    """Name, size and modification time of the headers and of the folder's tables: cheap, and changes with content."""
    tables = sorted(folder.glob("*.csv"))
    rows = []
    for path in [*headers, *tables]:
        facts = path.stat()
        signals = [
            p for p in (path.with_suffix(".mat"), path.with_suffix(".dat"), path.with_suffix(".atr")) if p.exists()
        ]
        stats = [(p.suffix, p.stat().st_size, p.stat().st_mtime_ns) for p in signals]
        rows.append([path.relative_to(folder).as_posix(), facts.st_size, facts.st_mtime_ns, stats])
    return rows


def _prepare_chunk(dataset: DataSet, headers: list[Path], config: SignalConfig) -> list[dict]:
    """Read and cut a few recordings (in a worker): a dict each, with arrays, or with the cause of a refusal."""
    results = []
    for header in headers:
        try:
            record = dataset.read(header)
            cut = preprocess(record, config)
        except RecordError as error:
            results.append({"file": str(header), "cause": error.cause})
            continue
        rhythm = np.stack(
            [rhythm_features(s, cut.leads, int(v)) for s, v in zip(cut.signal, cut.valid, strict=True)],
        )
        row = _row(record) | {"dropped_tail_s": float(cut.dropped_tail_s), "n_segments": len(cut.signal)}
        leads = np.repeat(cut.leads[None], len(cut.signal), axis=0)
        results.append({"row": row, "arrays": (cut.signal, leads, cut.valid, cut.start, rhythm)})
    return results


def _row(record: Record) -> dict:
    """A recording's row in the table."""
    episodes = None
    if record.episodes is not None:
        episodes = json.dumps([[e.start, e.end, e.rhythm] for e in record.episodes])
    return {
        "record": record.record,
        "subject": record.subject,
        "subject_known": record.subject_known,
        "publisher": record.publisher,
        "publisher_id": record.publisher_id,
        "hospital": record.hospital,
        "codes": list(record.codes),
        "labels": sorted(record.labels),
        "labelled": record.labelled,
        "superclasses": sorted(record.superclasses),
        "episodes": episodes,
        "paced": record.paced,
        "strat_fold": record.strat_fold,
        "age": record.age,
        "sex": record.sex,
        "units": record.units,
        "seconds": record.seconds,
        "dead_leads": list(record.quality.dead_leads),
        "warnings": list(record.warnings),
        "signal_digest": record.signal_digest,
    }


def episodes_of(text: str | None) -> tuple[Episode, ...] | None:
    """Episodes from their stored form; None where the source annotates none."""
    if text is None:
        return None
    return tuple(Episode(start=a, end=b, rhythm=r) for a, b, r in json.loads(text))


def _chunks(dataset, headers, config, workers) -> Iterator[list[dict]]:
    parts = [headers[i : i + CHUNK] for i in range(0, len(headers), CHUNK)]
    if workers <= 1 or len(parts) <= IN_PROCESS:
        for part in parts:
            yield _prepare_chunk(dataset, part, config)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        pending = []
        for part in parts:
            pending.append(pool.submit(_prepare_chunk, dataset, part, config))
            if len(pending) > 2 * workers:
                yield pending.pop(0).result()
        for future in pending:
            yield future.result()


def _build(dataset, headers, folder: Path, config, workers: int, progress) -> None:
    """Write a store's files into ``folder``, one chunk of recordings in memory at a time."""
    rows, refused, small, done, count = [], [], [], 0, 0
    with open(folder / "segments.f32", "wb") as out:
        for results in _chunks(dataset, headers, config, workers):
            for result in results:
                done += 1
                if "cause" in result:
                    refused.append(result)
                    continue
                signal, *arrays = result["arrays"]
                out.write(np.ascontiguousarray(signal, dtype="<f4").data)
                rows.append(result["row"] | {"first_segment": count, "store_key": _path_key(config)})
                small.append(arrays)
                count += len(signal)
            if progress:
                progress(done, len(headers))
    if not rows:
        first = refused[0]
        raise UserError(
            f"no recording of {dataset.name} can be used; "
            f"the first of {len(refused)}: {first['file']}: {first['cause']}"
        )
    for name, parts in zip(("leads", "valid", "start", "rhythm"), zip(*small, strict=True), strict=True):
        np.save(folder / f"{name}.npy", np.concatenate(parts))
    pd.DataFrame(rows).to_parquet(folder / "records.parquet", index=False)
    write_json(folder / "refused.json", refused)


def _open(dataset: DataSet, store: Path) -> Prepared:
    records = pd.read_parquet(store / "records.parquet")
    for column in ("labels", "superclasses", "codes", "dead_leads", "warnings"):
        records[column] = [tuple(v) for v in records[column]]
    records["episodes"] = [v if isinstance(v, str) else None for v in records["episodes"]]
    valid = np.load(store / "valid.npy")
    return Prepared(
        name=dataset.name,
        folder=store,
        synthetic=dataset.synthetic,
        derived=bool((records["units"] != "mV").any()),
        annotated={h: dataset.annotated(h) for h in sorted(set(records["hospital"]))},
        records=records,
        segments=_map_segments(store, len(valid)),
        leads=np.load(store / "leads.npy"),
        valid=valid,
        start=np.load(store / "start.npy"),
        rhythm=np.load(store / "rhythm.npy"),
        refused=read_json(store / "refused.json"),
        digest=records_digest(records),
    )


def prepared_from_record(record: Record, config: SignalConfig) -> Prepared:
    """One recording prepared in memory, on the very path that data sets take.

    Raises
    ------
    RecordError
        If it is too short or has no usable signal.
    """
    cut = preprocess(record, config)
    row = _row(record) | {"first_segment": 0, "n_segments": len(cut.signal), "store_key": _path_key(config)}
    records = pd.DataFrame([row])
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
    return np.memmap(store / "segments.f32", dtype="<f4", mode="r", shape=(count, 12, SEGMENT))
