"""Download a data set from PhysioNet: in parallel, resumable, every file checked against the publisher's SHA-256."""

import contextlib
from pathlib import Path

from ecg_ramba.data import chapman, cpsc2021, ludb, ptbxl, snomed
from ecg_ramba.data.base import DataSet
from ecg_ramba.data.physionet.published import CITATION, PHYSIONET, SUMS, Published, parse_sums, published
from ecg_ramba.data.physionet.sample import by_record, choose
from ecg_ramba.data.physionet.transfer import Outcome, Transfer, some
from ecg_ramba.data.physionet.web import PATIENT, Client, Patience
from ecg_ramba.data.physionet.web_connection import web_address
from ecg_ramba.data.physionet.web_errors import ADVICE, Missing, Unavailable
from ecg_ramba.errors import UserError
from ecg_ramba.files import check_writable, write_text
from ecg_ramba.locks import alone

MOST_CONNECTIONS = 8
"""More would be rude to a public server."""

HEADERS = ".download-headers"
"""Below the data set's folder: headers that were read to choose a sample. Hidden, so that no reader takes them."""

LOCK = ".download.lock"

LARGEST_LIST = 1 << 28
"""Bytes; the challenge's list, the longest, has some 20 MB."""


def download(
    name: str,
    to: Path,
    *,
    mirror: str = PHYSIONET,
    connections: int = 4,
    sample: int | None = None,
    seed: int = 0,
    progress,
    patience: Patience = PATIENT,
) -> Outcome:
    """Download a data set, or a sample of it, into the folder ``to/name``.

    Stopped at any moment, the same call goes on from there.

    Parameters
    ----------
    name : str
        One of :data:`ecg_ramba.data.physionet.published.PUBLISHED`.
    to : Path
        Folder that holds the data sets' folders.
    mirror : str
        Address of a server with PhysioNet's layout.
    connections : int
        Files fetched at a time, at most 8.
    sample : int, optional
        Only this many records with as many labels as can be (:mod:`ecg_ramba.data.physionet.sample`), and the files
        that belong to no record.
    seed : int
        Of the sample.
    progress : ecg_ramba.harness.progress.Progress
        Shows licence and citation first, then how far it is.
    patience : Patience
        How long the server is waited for.

    Raises
    ------
    UserError
        For an unknown name, a place that cannot be written or is too small, a server that cannot be reached, and a list
        of checksums that is none. Files that cannot be had are in the outcome.
    """
    source, known = published(name), reader(name)
    to = Path(to).expanduser()
    if to.exists() and not to.is_dir():
        raise UserError(f"--to {to} is a file; name a folder")
    if not 1 <= connections <= MOST_CONNECTIONS:
        raise UserError(
            f"--connections {connections}: from 1 to {MOST_CONNECTIONS}, out of politeness to a public server"
        )
    base = f"{web_address(mirror).geturl().rstrip('/')}/{source.slug}/{source.version}/"
    folder = to / name
    check_writable(folder)
    terms = f"{known.title}\nFrom {base}{source.below}\nLicence: {known.licence}\nTo cite: {known.citation}"
    progress.say(terms)
    client = Client(patience, progress.say)
    at_work = f"another download is at work in {folder}; waiting for it to end"
    with alone(folder / LOCK, lambda: progress.say(at_work)), contextlib.closing(client):
        write_text(folder / CITATION, terms + "\n")
        listed = _listed(client, base, source)
        write_text(folder / SUMS, "".join(f"{sha256}  {path}\n" for path, sha256 in listed.items()))
        records = by_record(known, listed)
        others = records.pop("", [])
        transfer = Transfer(client, base + source.below, folder, connections, progress)
        outcome = Outcome(folder=folder)
        if sample is None:
            wanted = listed
        else:
            transfer.fetch({p: listed[p] for p in others}, outcome, f"tables of {name}")
            records = _sample(transfer, known, listed, records, sample, seed)
            wanted = {p: listed[p] for paths in records.values() for p in paths}
        transfer.fetch(wanted, outcome, f"download {name}", source.record_bytes * len(records))
    return outcome


def reader(name: str) -> DataSet:
    """The reader of a data set that can be downloaded, without loading what other packages register."""
    modules = (chapman, cpsc2021, ludb, ptbxl, snomed)
    return next(known for module in modules for known in module.DATASETS if known.name == name)


def _listed(client: Client, base: str, source: Published) -> dict[str, str]:
    """The publisher's files and checksums."""
    url = base + SUMS
    try:
        return parse_sums(client.read(url, LARGEST_LIST), url, source.below)
    except Missing as error:
        raise UserError(f"{error}; check the mirror's address: it is to have PhysioNet's layout") from error
    except Unavailable as error:
        raise UserError(f"{error}; {ADVICE}") from error


def _sample(
    transfer: Transfer, known: DataSet, listed: dict[str, str], records: dict[str, list[str]], n: int, seed: int
) -> dict[str, list[str]]:
    """Some of the records, with as many labels as can be."""
    asked: list[str] = []
    say = transfer.progress.say

    def fetch_headers(paths: list[str]) -> Path:
        apart = Outcome(folder=transfer.folder / HEADERS)
        asked.extend(paths)
        transfer.fetch({p: listed[p] for p in paths}, apart, f"headers of {known.name}")
        return apart.folder

    chosen, labels = choose(known, records, n, seed, transfer.folder, fetch_headers)
    unusable = [p for p in asked if p.removesuffix(".hea") not in labels]
    if unusable:
        say(f"{len(unusable)} headers cannot be had or read, their records are not chosen from: {some(unusable)}")
    if len(chosen) < n:
        say(f"only {len(chosen)} records could be chosen from, --sample {n} asks for more")
    covered, in_all = (set().union(*(labels[r] for r in which)) for which in (chosen, labels))
    say(
        f"sample: {len(chosen)} of {len(records)} records, with {len(covered)} of the {len(in_all)} labels of the "
        f"{len(labels)} records looked at (seed {seed})"
    )
    return {r: records[r] for r in chosen}
