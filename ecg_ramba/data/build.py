"""Making a store: recordings read, filtered and cut by worker processes, and written part by part.

A part is some hundred recordings: their samples are appended and flushed, then the part's small arrays, its rows and
last its statement are written. Stopped at any moment, the next build goes on behind the last part with a statement.
Memory holds a part at a time, however many there are.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from ecg_ramba.data.base import DataSet
from ecg_ramba.data.index import SCHEMA, row_of, table_of
from ecg_ramba.data.leads import LEADS
from ecg_ramba.data.wfdb_header import read_header
from ecg_ramba.errors import RecordError, UserError
from ecg_ramba.features.rhythm import RHYTHM_NAMES, rhythm_features
from ecg_ramba.files import (
    Span,
    check_space,
    explained,
    is_complete,
    mark_complete,
    read_json,
    write_atomic,
    write_json,
)
from ecg_ramba.keys import digest
from ecg_ramba.processes import begin_worker
from ecg_ramba.signal import SEGMENT, SignalConfig, preprocess

STORE_VERSION = 3
SEGMENTS = "segments.f32"
INDEX = "records.parquet"
ARRAYS = ("leads", "valid", "start", "rhythm")

CHUNK = 16
"""Recordings that a worker prepares at a time, if their files are small."""

CHUNK_BYTES = 4 << 20
"""Bytes of signal files that a worker prepares at a time, if one recording has not more."""

PART_BYTES = 64 << 20
"""Bytes of samples from which on a part is closed."""

LOOKED_AT = 20
"""Headers that are read to tell how much space a data set takes."""

SECONDS = 10
"""Length of a segment."""

SEGMENT_BYTES = len(LEADS) * SEGMENT * 4

IN_PROCESS = 8
"""Up to this many chunks are prepared in this process: starting workers would take longer."""


def path_key(config: SignalConfig) -> str:
    """What was done to a recording: part of its content key, and the same wherever and whenever it is done."""
    return digest([STORE_VERSION, config, RHYTHM_NAMES])[:16]


def build(
    dataset: DataSet,
    root: Path,
    headers: Sequence[Path],
    store: Path,
    config: SignalConfig,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Make the store of a data set; parts that an earlier, stopped build left beside it are taken over.

    Parameters
    ----------
    dataset : DataSet
        Its reader.
    root, headers : Path, sequence of Path
        Its folder, and the headers below it, in order.
    store : Path
        Where the store is to be; nothing is there before all of it is.
    config : SignalConfig
        The preprocessing.
    workers : int
        Processes to use.
    progress : callable, optional
        Called with (recordings done, recordings in all).

    Raises
    ------
    UserError
        If no recording can be used, a file cannot be written, or a worker process dies.
    """
    folder, parts = (store.with_name(f".{store.name}.{what}") for what in ("unfinished", "parts"))
    with explained(folder):
        if not is_complete(folder):
            folder.mkdir(parents=True, exist_ok=True)
            parts.mkdir(exist_ok=True)
            writer = _Writer(folder, parts, root)
            with writer.samples:
                left = headers[writer.headers :]
                _check_space(left, folder)
                if progress and writer.headers:
                    progress(writer.headers, len(headers))
                for done, results in _prepared(dataset, left, config, workers):
                    writer.add(done, results, path_key(config))
                    if progress:
                        progress(writer.headers + writer.waiting, len(headers))
                writer.close_part()
            writer.finish(dataset.name)
        shutil.rmtree(store, ignore_errors=True)
        os.rename(folder, store)
        shutil.rmtree(parts, ignore_errors=True)


class _Writer:
    """The files of an unfinished store, and beside it what its parts say.

    Parameters
    ----------
    folder, parts : Path
        Where they are.
    root : Path
        The data set's folder, which the index names files from.
    """

    def __init__(self, folder: Path, parts: Path, root: Path):
        self.folder, self.parts, self.root = folder, parts, root
        self.statements: list[dict] = []
        self._take_over()
        self.headers = self.statements[-1]["headers"] if self.statements else 0
        self.segments = self.statements[-1]["segments"] if self.statements else 0
        end = self.statements[-1]["end"] if self.statements else 0
        self.samples = open(folder / SEGMENTS, "r+b" if (folder / SEGMENTS).exists() else "w+b")  # noqa: SIM115
        self.samples.truncate(end)
        stated = tuple(f"{part:06d}." for part in range(len(self.statements)))
        for path in parts.iterdir():
            if not path.name.startswith(stated):  # left by a part that has no statement, or whose samples are lost
                path.unlink()
        self.samples.seek(end)
        self._new_part()

    def _take_over(self) -> None:
        """The parts that are there, from the first on, as far as the samples reach."""
        held = (self.folder / SEGMENTS).stat().st_size if (self.folder / SEGMENTS).exists() else 0
        while (path := self._path(len(self.statements), "json")).exists():
            facts = read_json(path)
            if facts["end"] > held:
                return
            self.statements.append(facts)

    def _path(self, part: int, ending: str) -> Path:
        return self.parts / f"{part:06d}.{ending}"

    def _new_part(self) -> None:
        self.rows: list[dict] = []
        self.small: list[tuple] = []
        self.checksum = hashlib.sha256()
        self.begin, self.waiting = self.samples.tell(), 0

    def add(self, headers: int, results: list[dict], key: str) -> None:
        """Take over ``headers`` further recordings, and close the part if it is large enough."""
        for result in results:
            row = result["row"]
            row["file"] = Path(row["file"]).relative_to(self.root).as_posix()
            if row.get("refused") is None:
                signal, *arrays = result["arrays"]
                content = np.ascontiguousarray(signal, dtype="<f4").data
                self.samples.write(content)
                self.checksum.update(content)
                row |= {"first_segment": self.segments, "n_segments": len(signal), "store_key": key}
                self.small.append(arrays)
                self.segments += len(signal)
            self.rows.append(row)
        self.waiting += headers
        if self.samples.tell() - self.begin >= PART_BYTES:
            self.close_part()

    def close_part(self) -> None:
        """Bring the part to the disk; its statement is written last."""
        if not self.waiting:
            return
        self.samples.flush()
        os.fsync(self.samples.fileno())
        part = len(self.statements)
        if self.small:
            arrays = dict(zip(ARRAYS, map(np.concatenate, zip(*self.small, strict=True)), strict=True))
            write_atomic(self._path(part, "npz"), lambda path: _save(path, arrays))
        write_atomic(self._path(part, "parquet"), lambda path: pq.write_table(table_of(self.rows), path))
        self.headers += self.waiting
        facts = {
            "headers": self.headers,
            "segments": self.segments,
            "end": self.samples.tell(),
            "sha256": self.checksum.hexdigest(),
            "arrays": bool(self.small),
        }
        write_json(self._path(part, "json"), facts)
        self.statements.append(facts)
        self._new_part()

    def finish(self, name: str) -> None:
        """Put the parts' arrays and rows together and mark the store as complete."""
        if not self.segments:
            first = pq.read_table(self._path(0, "parquet")).to_pylist()[0]
            shutil.rmtree(self.folder)
            shutil.rmtree(self.parts)
            raise UserError(
                f"no recording of {name} can be used; the first of {self.headers}: "
                f"{self.root / first['file']}: {first['refused']}"
            )
        parts = [n for n, facts in enumerate(self.statements) if facts["arrays"]]
        for array in ARRAYS:
            np.save(self.folder / f"{array}.npy", np.concatenate([self._array(n, array) for n in parts]))
        with pq.ParquetWriter(self.folder / INDEX, SCHEMA) as out:
            for part in range(len(self.statements)):
                out.write_table(pq.read_table(self._path(part, "parquet"), schema=SCHEMA))
        mark_complete(self.folder, {SEGMENTS: [Span(facts["end"], facts["sha256"]) for facts in self.statements]})

    def _array(self, part: int, name: str) -> np.ndarray:
        with np.load(self._path(part, "npz"), allow_pickle=False) as arrays:
            return arrays[name]


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with open(path, "wb") as file:  # by its name, numpy would add an ending
        np.savez(file, **arrays)


def _check_space(headers: Sequence[Path], folder: Path) -> None:
    """Refuse to begin what the disk cannot hold, by the lengths that some of the headers state."""
    stated = []
    for path in headers[:: max(1, len(headers) // LOOKED_AT)]:
        try:
            header = read_header(path)
        except RecordError:
            continue  # it is refused, with its cause, when its turn comes
        stated.append(max(1, (header.n_samples or 0) / header.rate / SECONDS))
    if stated:
        needed = len(headers) * sum(stated) / len(stated) * SEGMENT_BYTES
        check_space(folder, needed, f"{len(headers)} prepared recordings")


def _prepared(
    dataset: DataSet, headers: Sequence[Path], config: SignalConfig, workers: int
) -> Iterator[tuple[int, list[dict]]]:
    """Numbers of recordings and what became of them, chunk by chunk, in order."""
    chunks = list(_chunks(headers))
    if workers <= 1 or len(chunks) <= IN_PROCESS:
        for chunk in chunks:
            yield len(chunk), prepare_chunk(dataset, chunk, config)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=begin_worker)
    try:
        pending = []
        for chunk in chunks:
            pending.append((len(chunk), pool.submit(prepare_chunk, dataset, chunk, config)))
            if len(pending) > 2 * workers:
                number, future = pending.pop(0)
                yield number, future.result()
        for number, future in pending:
            yield number, future.result()
    except BrokenProcessPool:
        raise UserError(
            f"a worker process that prepared {dataset.name} died (out of memory?); what is finished is kept: run "
            "again, with fewer --workers"
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _chunks(headers: Sequence[Path]) -> Iterator[list[Path]]:
    """Headers in order, as many at a time as are small together."""
    chunk, held = [], 0
    for header in headers:
        size = sum(path.stat().st_size for path in signal_files(header))
        if chunk and (len(chunk) == CHUNK or held + size > CHUNK_BYTES):
            yield chunk
            chunk, held = [], 0
        chunk.append(header)
        held += size
    if chunk:
        yield chunk


def signal_files(header: Path) -> list[Path]:
    """The files beside a header that have its name and hold samples or annotations."""
    return [path for ending in (".mat", ".dat", ".atr") if (path := header.with_suffix(ending)).is_file()]


def prepare_chunk(dataset: DataSet, headers: Sequence[Path], config: SignalConfig) -> list[dict]:
    """Read and cut a few recordings (in a worker): a row each, with its arrays, or with the cause of a refusal."""
    return [_prepare_one(dataset, header, config) for header in headers]


def _prepare_one(dataset: DataSet, header: Path, config: SignalConfig) -> dict:
    row = {"record": header.stem, "file": str(header), "source": dataset.name}
    try:
        record = dataset.read(header)
        cut = preprocess(record, config)
    except RecordError as error:
        at_fault = Path(error.path).name
        return {"row": row | {"refused": error.cause if at_fault.startswith(header.stem) else str(error)}}
    rhythm = np.stack([rhythm_features(s, cut.leads, int(v)) for s, v in zip(cut.signal, cut.valid, strict=True)])
    leads = np.repeat(cut.leads[None], len(cut.signal), axis=0)
    row |= row_of(record) | {"dropped_tail_s": float(cut.dropped_tail_s)}
    return {"row": row, "arrays": (cut.signal, leads, cut.valid, cut.start, rhythm)}
