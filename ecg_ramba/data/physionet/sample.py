"""A few records that show many labels, chosen before their signals are fetched.

What is read for the choice: PTB-XL's and LUDB's tables; elsewhere the headers of some records, ten for each that is
wanted, drawn by the seed. So rare labels are covered as far as the table, or the records drawn, have them; how often a
label occurs in the sample says nothing of how often it occurs in the data set.
"""

import csv
import io
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from ecg_ramba.data.base import DataSet
from ecg_ramba.data.cpsc2021 import CLASS_COMMENTS
from ecg_ramba.data.labels import ludb_labels, scp_labels, scp_superclasses, snomed_labels
from ecg_ramba.data.ptbxl import TABLE, parse_scp, read_table
from ecg_ramba.data.snomed import parse_dx
from ecg_ramba.data.wfdb_header import Header, read_bytes, read_header
from ecg_ramba.errors import RecordError

HEADERS = 10
"""Headers read for each record wanted."""

LUDB_TABLE = "ludb.csv"
_PTBXL_FILE = re.compile(r"(\d{5})_[hl]r")
Labels = dict[str, frozenset[str]]


def diverse(labels: Labels, n: int, seed: int = 0) -> list[str]:
    """Choose records such that as many labels as can be are among them, and rare ones first.

    Greedy: each time the record with the most labels that none of the chosen has, the rarest first; when all labels are
    covered once, those that are covered twice, and so on; records without any label last. With n not less than the
    number of labels every label is covered.

    Parameters
    ----------
    labels : dict of str to frozenset of str
        Record -> its labels.
    n : int
        How many; all records where there are no more.
    seed : int
        Decides between equals.

    Returns
    -------
    list of str
        Each record at most once, in the order of choice.
    """
    order = sorted(labels)
    random.Random(seed).shuffle(order)
    alike: dict[frozenset[str], list[str]] = {}  # records with the same labels are interchangeable
    for record in order:
        alike.setdefault(labels[record], []).append(record)
    place = {group: i for i, group in enumerate(alike)}
    frequency = Counter(label for record in order for label in labels[record])
    covered: Counter[str] = Counter()
    level, chosen = 1, []

    def worth(group: frozenset[str]) -> tuple[int, float, int]:
        new = sorted(group & wanted)
        return len(new), sum(1 / frequency[label] for label in new), -place[group]

    while len(chosen) < min(n, len(order)):
        wanted = {label for label, n_records in frequency.items() if covered[label] < min(level, n_records)}
        if not wanted and level < max(frequency.values(), default=0):
            level += 1
            continue
        best = max(alike, key=worth)
        chosen.append(alike[best].pop(0))
        covered.update(best)
        if not alike[best]:
            del alike[best]
    return chosen


def by_record(dataset: DataSet, paths: Iterable[str]) -> dict[str, list[str]]:
    """Files of each record, by its path without the ending (PTB-XL: by its number, both rates); others under ""."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        stem = PurePosixPath(path).name.split(".")[0]
        ptbxl = _PTBXL_FILE.fullmatch(stem) if dataset.name == "ptbxl" else None
        if ptbxl:
            found[ptbxl[1]].append(path)
        elif dataset.pattern.fullmatch(stem):
            found[str(PurePosixPath(path).with_name(stem))].append(path)
        else:
            found[""].append(path)
    return dict(found)


def choose(
    dataset: DataSet,
    records: dict[str, list[str]],
    n: int,
    seed: int,
    folder: Path,
    fetch_headers: Callable[[list[str]], Path],
) -> tuple[list[str], Labels]:
    """Choose ``n`` records of a data set by its table, or by headers that are fetched for it.

    Parameters
    ----------
    dataset : DataSet
        One that can be downloaded.
    records : dict of str to list of str
        Record -> its files, as from :func:`by_record`.
    n, seed : int
        As for :func:`diverse`.
    folder : Path
        The data set's folder, with its tables.
    fetch_headers : callable
        Fetches headers and returns the folder that they are in.

    Returns
    -------
    list of str, dict of str to frozenset of str
        The chosen, and the labels of all that were looked at; a record whose header cannot be read is not among them.

    Raises
    ------
    RecordError
        When a table is missing or cannot be read.
    """
    if dataset.name == "ptbxl":
        labels = _of_ptbxl(folder, records)
    elif dataset.name == "ludb" and (folder / LUDB_TABLE).is_file():
        labels = _of_ludb(folder / LUDB_TABLE, records)
    else:
        return _by_headers(dataset.name, records, n, seed, fetch_headers)
    return diverse(labels, n, seed), labels


def _of_ptbxl(folder: Path, records: Iterable[str]) -> Labels:
    rows, labels = read_table(folder), {}
    for record in records:
        row = rows.get(int(record))
        if row is not None:
            scp = parse_scp(folder / TABLE, row["scp_codes"])
            labels[record] = scp_labels(scp, row["heart_axis"]) | scp_superclasses(scp)
    return labels


def _of_ludb(table: Path, records: Iterable[str]) -> Labels:
    """The publisher's findings as they stand in its table, without the part of the heart."""
    rows = csv.DictReader(io.StringIO(read_bytes(table, "table of records").decode("utf-8-sig")))
    found = {}
    for row in rows:
        cells = [cell for column, cell in row.items() if column not in ("ID", "Sex", "Age") and isinstance(cell, str)]
        findings = (line.strip() for cell in cells for line in cell.splitlines())
        found[(row.get("ID") or "").strip()] = frozenset(
            f if f.startswith("Electric axis") else f.split(":")[0] for f in findings if f
        )
    return {r: found[PurePosixPath(r).name] for r in records if PurePosixPath(r).name in found}


def _by_headers(name: str, records, n: int, seed: int, fetch_headers) -> tuple[list[str], Labels]:
    headers = {r: next((p for p in paths if p.endswith(".hea")), "") for r, paths in records.items()}
    chosen: list[str] = []
    labels: Labels = {}
    for candidates in _rounds(name, [r for r in headers if headers[r]], seed):
        wanted = n - len(chosen)
        if wanted == 0:
            break
        candidates = candidates[: HEADERS * wanted]
        place = fetch_headers([headers[r] for r in candidates])
        read = {r: _labels_of(name, place / headers[r]) for r in candidates}
        known = {r: found for r, found in read.items() if found is not None}
        labels |= known
        chosen += diverse(known, wanted, seed)
    return chosen, labels


def _rounds(name: str, records: list[str], seed: int) -> list[list[str]]:
    """Records in random order; of CPSC-2021 one of each subject, then another one of each, and so on."""
    records = sorted(records)
    random.Random(seed).shuffle(records)
    if name != "cpsc2021":
        return [records]
    seen: Counter[str] = Counter()
    rounds: list[list[str]] = []
    for record in records:
        subject = PurePosixPath(record).name.split("_")[1]
        if seen[subject] == len(rounds):
            rounds.append([])
        rounds[seen[subject]].append(record)
        seen[subject] += 1
    return rounds


def _labels_of(name: str, header: Path) -> frozenset[str] | None:
    """Labels of a header; None where there is no usable one."""
    try:
        head: Header = read_header(header)
    except RecordError:
        return None
    if name == "cpsc2021":
        return frozenset(c.lower() for c in head.comments if c.lower() in CLASS_COMMENTS)
    if name == "ludb":
        return ludb_labels(c.rstrip(". ") for c in head.comments)
    return snomed_labels(parse_dx(head.fields().get("dx", "")))
