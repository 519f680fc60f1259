"""What a folder of recordings holds: what loads, what does not and why, and what is there twice."""

import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from ecg_ramba.data.base import DataSet, walk
from ecg_ramba.data.labels import PAPER27, mapping_digest
from ecg_ramba.data.reading import Checked, Found, Refused, read_folder
from ecg_ramba.data.registry import datasets


@dataclass(kw_only=True)
class DataSetReport:
    """One data set's part of the report; counts are of records unless they say otherwise.

    ``labels_at``: the same as ``labels`` by hospital, "" where there is one or it is not said.
    """

    name: str
    title: str
    folder: str
    licence: str
    citation: str
    synthetic: bool
    files: int = 0
    records: int = 0
    subjects: int = 0
    subjects_known: bool = True
    labels: dict[str, int] = field(default_factory=dict)
    labels_at: dict[str, dict[str, int]] = field(default_factory=dict)
    unlabelled: int = 0
    none_of_classes: int = 0
    paced: int = 0
    hospitals: dict[str, int] = field(default_factory=dict)
    rates: dict[str, int] = field(default_factory=dict)
    seconds_min: float = 0.0
    seconds_max: float = 0.0
    hours: float = 0.0
    episodes: int = 0
    records_with_dead_leads: int = 0
    dead_leads: dict[str, int] = field(default_factory=dict)
    peak: float = 0.0
    warnings: dict[str, int] = field(default_factory=dict)


@dataclass(kw_only=True)
class Report:
    """The load report.

    ``duplicates`` are groups of records with the same samples and ``same_identity`` groups with the same publisher and
    publisher's id, each record as ``data set/record``. ``unclaimed`` are headers that belong to no data set that was
    looked for; ``orphans`` are signal files without a header.
    """

    data_dir: str
    labels_sha256: str
    datasets: list[DataSetReport]
    refused: list[Refused]
    duplicates: list[list[str]]
    same_identity: list[list[str]]
    unclaimed: list[str]
    orphans: list[str]

    @property
    def records(self) -> int:
        """Records that load."""
        return sum(d.records for d in self.datasets)

    def to_json(self) -> str:
        """The whole report as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False)


def check(
    data_dir: Path,
    names: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 1,
) -> Report:
    """Read every record of the data sets below a folder, and say what is there; see :func:`read_folder`."""
    return load_report(read_folder(data_dir, names, progress, workers), whole=names is None)


def load_report(found: Found, whole: bool) -> Report:
    """Counts, duplicates and refusals of what was read; with ``whole`` also the files that belong to nothing."""
    known = datasets()
    by_name = defaultdict(list)
    for c in found.checked:
        by_name[c.dataset].append(c)
    reports = [
        _summary(known[name], folder, len(found.headers[name]), by_name[name]) for name, folder in found.places.items()
    ]
    unclaimed, orphans = [], []
    if whole:
        unclaimed, orphans = _left_over(found.data_dir, {path for paths in found.headers.values() for path in paths})
    return Report(
        data_dir=str(found.data_dir),
        labels_sha256=mapping_digest(),
        datasets=reports,
        refused=found.refused,
        duplicates=_groups(found.checked, lambda c: c.digest),
        same_identity=_groups(found.checked, lambda c: (c.publisher, c.publisher_id)),
        unclaimed=unclaimed,
        orphans=orphans,
    )


def _summary(dataset: DataSet, folder: Path, files: int, checked: list[Checked]) -> DataSetReport:
    labels = Counter(chain.from_iterable(c.labels for c in checked))
    at = {hospital: Counter() for hospital in sorted({c.hospital for c in checked})}
    for c in checked:
        at[c.hospital].update(c.labels)
    return DataSetReport(
        name=dataset.name,
        title=dataset.title,
        folder=str(folder),
        licence=dataset.licence,
        citation=dataset.citation,
        synthetic=dataset.synthetic,
        files=files,
        records=len(checked),
        subjects=len({c.subject for c in checked}),
        subjects_known=all(c.subject_known for c in checked),
        labels={name: labels[name] for name in PAPER27 if labels[name]},
        labels_at={hospital: {n: found[n] for n in PAPER27 if found[n]} for hospital, found in at.items()},
        unlabelled=sum(not c.labelled for c in checked),
        none_of_classes=sum(c.labelled and not c.labels for c in checked),
        paced=sum(c.paced for c in checked),
        hospitals=_counts(c.hospital for c in checked if c.hospital),
        rates=_counts(f"{c.rate:g}" for c in checked),
        seconds_min=min((c.seconds for c in checked), default=0.0),
        seconds_max=max((c.seconds for c in checked), default=0.0),
        hours=sum(c.seconds for c in checked) / 3600,
        episodes=sum(c.episodes for c in checked),
        records_with_dead_leads=sum(bool(c.dead_leads) for c in checked),
        dead_leads=_counts(chain.from_iterable(c.dead_leads for c in checked)),
        peak=max((c.peak for c in checked), default=0.0),
        warnings=_counts(kind_of(w) for c in checked for w in c.warnings),
    )


def kind_of(message: str) -> str:
    """A warning's or a cause's kind: what stands before its colon, or all of it."""
    return message.split(":", 1)[0]


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _groups(checked: list[Checked], key: Callable[[Checked], object]) -> list[list[str]]:
    """Groups of two records or more with one key."""
    groups = defaultdict(list)
    for c in checked:
        groups[key(c)].append(f"{c.dataset}/{c.record}")
    return sorted(names for names in groups.values() if len(names) > 1)


def _left_over(data_dir: Path, claimed: set[Path]) -> tuple[list[str], list[str]]:
    """Headers that no data set claims, and signal files without a header."""
    unclaimed, orphans = [], []
    for here, _, files in walk(data_dir):
        stems = {f[:-4] for f in files if f.endswith(".hea")}
        # A header may name its signal file otherwise than itself; only a file of no header's name is an orphan.
        orphans += [str(here / f) for f in files if f[-4:] in (".mat", ".dat") and f[:-4] not in stems]
        unclaimed += [str(here / f"{stem}.hea") for stem in sorted(stems) if here / f"{stem}.hea" not in claimed]
    return unclaimed, orphans
