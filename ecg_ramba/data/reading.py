"""Reading every record of a folder once, by worker processes: what is kept of each, or why it cannot be used."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice, repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from ecg_ramba.data.base import DataSet
from ecg_ramba.data.near import fingerprint
from ecg_ramba.data.registry import datasets, locate
from ecg_ramba.errors import RecordError
from ecg_ramba.processes import begin_worker

CHUNK = 64
"""Records a task of a worker process."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What is kept of one record that loads; ``fingerprint`` (see :mod:`ecg_ramba.data.near`) if it is asked for."""

    dataset: str
    record: str
    subject: str
    subject_known: bool
    publisher: str
    publisher_id: str
    hospital: str
    labels: tuple[str, ...]
    labelled: bool
    paced: bool
    rate: float
    seconds: float
    episodes: int
    dead_leads: tuple[str, ...]
    peak: float
    einthoven: float
    units: str
    age: float
    sex: str
    strat_fold: int
    warnings: tuple[str, ...]
    digest: str
    file: str
    fingerprint: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A file that cannot be used, and why."""

    dataset: str
    record: str
    file: str
    cause: str


@dataclass(frozen=True, kw_only=True)
class Found:
    """Every record of the data sets below a folder, read.

    ``places``: folder of each data set; ``headers``: header files of each; ``checked`` and ``refused``: what became of
    them, in their order.
    """

    data_dir: Path
    places: dict[str, Path]
    headers: dict[str, list[Path]]
    checked: list[Checked]
    refused: list[Refused]


def read_folder(
    data_dir: Path,
    names: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 1,
    fingerprints: bool = False,
) -> Found:
    """Read every record of the data sets below a folder.

    Parameters
    ----------
    data_dir : Path
        See :func:`ecg_ramba.data.registry.locate`.
    names : sequence of str, optional
        Data sets to check. Default: all that are there.
    progress : callable, optional
        Called with (files read, files in all).
    workers : int
        Processes to use; one reads in this process.
    fingerprints : bool
        Compute them.

    Raises
    ------
    UserError
        When the folder or a wanted data set is not there. What is wrong with single files is in what is returned.
    """
    data_dir = Path(data_dir).expanduser()
    places = locate(data_dir, names)
    known = datasets()
    headers = {name: known[name].find(folder) for name, folder in places.items()}
    jobs = [(known[name], paths) for name, paths in headers.items()]
    found = list(_read_all(jobs, progress, workers, fingerprints))
    return Found(
        data_dir=data_dir,
        places=places,
        headers=headers,
        checked=[item for item in found if isinstance(item, Checked)],
        refused=[item for item in found if isinstance(item, Refused)],
    )


def _read_all(
    jobs: list[tuple[DataSet, list[Path]]],
    progress: Callable[[int, int], None] | None,
    workers: int,
    fingerprints: bool,
) -> Iterator[Checked | Refused]:
    """Read all headers of all data sets, in their order."""
    total, done = sum(len(paths) for _, paths in jobs), 0
    tasks = ((d, chunk) for d, paths in jobs for chunk in _chunks(paths))
    if workers > 1 and total > CHUNK:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=begin_worker) as pool:
            chosen, chunks = zip(*tasks, strict=True)
            for results in pool.map(_read_chunk, chosen, chunks, repeat(fingerprints)):
                yield from results
                done += len(results)
                if progress:
                    progress(done, total)
        return
    for dataset, chunk in tasks:
        results = _read_chunk(dataset, chunk, fingerprints)
        yield from results
        done += len(results)
        if progress:
            progress(done, total)


def _chunks(paths: list[Path]) -> Iterator[list[Path]]:
    each = iter(paths)
    while chunk := list(islice(each, CHUNK)):
        yield chunk


def _read_chunk(dataset: DataSet, headers: list[Path], fingerprints: bool) -> list[Checked | Refused]:
    return [_read_one(dataset, header, fingerprints) for header in headers]


def _read_one(dataset: DataSet, header: Path, fingerprints: bool) -> Checked | Refused:
    try:
        record = dataset.read(header)
    except RecordError as error:
        return Refused(dataset=dataset.name, record=header.stem, file=error.path, cause=error.cause)
    return Checked(
        dataset=dataset.name,
        record=record.record,
        subject=record.subject,
        subject_known=record.subject_known,
        publisher=record.publisher,
        publisher_id=record.publisher_id,
        hospital=record.hospital,
        labels=tuple(sorted(record.labels)),
        labelled=record.labelled,
        paced=record.paced,
        rate=record.rate,
        seconds=record.seconds,
        episodes=len(record.episodes or ()),
        dead_leads=record.quality.dead_leads,
        peak=record.quality.peak_mv,
        einthoven=record.quality.einthoven,
        units=record.units,
        age=record.age,
        sex=record.sex,
        strat_fold=record.strat_fold,
        warnings=record.warnings,
        digest=record.signal_digest,
        file=str(header),
        fingerprint=fingerprint(record) if fingerprints else None,
    )
