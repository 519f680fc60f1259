"""``ecg-ramba data``: download data sets, check them, report on them, make the synthetic cohort."""

import argparse
import sys
from pathlib import Path

from ecg_ramba.errors import UserError
from ecg_ramba.harness.options import command_group, command_line, positive


def add_data_commands(commands) -> None:
    """The group and its commands."""
    data = command_group(commands, "data", "download and check data sets, make the synthetic cohort")
    _download_command(data)
    unpack = data.add_parser("unpack", help="a publisher's zip archive", description=data_unpack.__doc__)
    unpack.add_argument("archives", metavar="ZIP", type=Path, nargs="+")
    unpack.add_argument("--to", type=Path, required=True, metavar="DIR", help="where its folders go")
    unpack.set_defaults(run=data_unpack)
    check = data.add_parser(
        "check", help="what is in a folder, and what is wrong with it", description=data_check.__doc__
    )
    check.add_argument("folder", metavar="DIR", type=Path)
    check.add_argument("--only", nargs="+", metavar="NAME", help="only these data sets")
    check.add_argument("--json", type=Path, metavar="FILE", help="also write everything as JSON")
    check.set_defaults(run=data_check)
    report = data.add_parser(
        "report", help="labels, people, quality, duplicates: a page with figures", description=data_report.__doc__
    )
    report.add_argument("folder", metavar="DIR", type=Path)
    report.add_argument("--only", nargs="+", metavar="NAME", help="only these data sets")
    report.add_argument("--to", type=Path, default=Path("data-report"), metavar="OUT", help="default: data-report")
    report.add_argument("--gallery", type=int, default=24, metavar="N", help="recordings drawn (default 24)")
    report.add_argument("--workers", type=positive, metavar="N", help="processes that read (default: one a core)")
    report.set_defaults(run=data_report)
    labels = data.add_parser("labels", help="the 27 classes, where and how often", description=data_labels.__doc__)
    labels.add_argument("folder", metavar="DIR", type=Path, nargs="?", help="count in this folder (default: releases)")
    labels.set_defaults(run=data_labels)
    synthesize = data.add_parser("synthesize", help="write the synthetic cohort", description=data_synthesize.__doc__)
    synthesize.add_argument("folder", metavar="OUT", type=Path)
    synthesize.add_argument("--seed", type=int, default=0)
    synthesize.set_defaults(run=data_synthesize)


def _download_command(data) -> None:
    download = data.add_parser("download", help="a data set from PhysioNet", description=data_download.__doc__)
    download.add_argument("name", metavar="NAME", help="chapman, cpsc2021, ptbxl, georgia or ludb")
    download.add_argument("--to", type=Path, required=True, metavar="DIR", help="it goes into the folder DIR/NAME")
    download.add_argument(
        "--sample", type=positive, metavar="N", help="only N records with as many labels as can be, and the tables"
    )
    download.add_argument("--seed", type=int, default=0, metavar="N", help="of the sample (default 0)")
    download.add_argument("--mirror", metavar="URL", help="a server with the layout of https://physionet.org/files")
    download.add_argument(
        "--connections", type=positive, default=4, metavar="N", help="files fetched at a time (default 4, at most 8)"
    )
    download.set_defaults(run=data_download)


def data_download(options: argparse.Namespace) -> int:
    """Download a data set from PhysioNet and check every file against the publisher's SHA-256. Stopped at any moment,
    the same command goes on from there; exit status 1 when files could not be had."""
    from ecg_ramba.data.physionet.download import download
    from ecg_ramba.data.physionet.published import PHYSIONET
    from ecg_ramba.harness.progress import Progress

    outcome = download(
        options.name,
        options.to,
        mirror=options.mirror or PHYSIONET,
        connections=options.connections,
        sample=options.sample,
        seed=options.seed,
        progress=Progress(),
    )
    print(f"{outcome.folder}: {outcome.fetched} files fetched, {outcome.there} were there")
    for line in outcome.problems():
        print(line, file=sys.stderr)
    print(f"check it: ecg-ramba data check {command_line([str(options.to)])}")
    return 1 if outcome.missing or outcome.failed else 0


def data_unpack(options: argparse.Namespace) -> int:
    """Unpack zip archives as publishers make them: every file is checked, nothing leaves DIR, and what is there already
    is left. Exit status 1 when a file is damaged in its archive."""
    from ecg_ramba.data.unpack import unpack
    from ecg_ramba.harness.progress import Progress

    failed = 0
    for archive in options.archives:
        with Progress().stage(f"unpack {archive.name}", unit="files") as report:
            outcome = unpack(archive, options.to, report)
        print(f"{archive}: {outcome.written} files unpacked, {outcome.there} were there")
        for name, why in outcome.failed.items():
            print(f"{archive}: {name} is damaged in the archive: {why}", file=sys.stderr)
        failed += len(outcome.failed)
    print(f"check it: ecg-ramba data check {command_line([str(options.to)])}")
    return 1 if failed else 0


def data_check(options: argparse.Namespace) -> int:
    """Print data sets, records, subjects, labels, rates, duplicates, dead leads and refused files of a folder."""
    from rich.console import Console

    from ecg_ramba.data.check import check
    from ecg_ramba.data.check_text import render
    from ecg_ramba.files import check_writable, write_text
    from ecg_ramba.harness.executors.jobs import default_workers
    from ecg_ramba.harness.progress import Progress

    if options.json:
        if options.json.is_dir():
            raise UserError(f"--json {options.json} is a folder; name a file")
        check_writable(options.json.parent)
    with Progress().stage("read", unit="recordings") as report:
        found = check(options.folder, options.only, progress=report, workers=default_workers())
    render(found, Console())
    if options.json:
        write_text(options.json, found.to_json())
    return 0


def data_report(options: argparse.Namespace) -> int:
    """Read every recording and write OUT/report.html (and .md, CSV, figures): labels by source and hospital, people,
    rates, lengths, signal quality, exact and near duplicates, subjects in several parts, and the worst recordings on
    ECG paper."""
    from ecg_ramba.data.report.report import write_report
    from ecg_ramba.files import check_writable
    from ecg_ramba.harness.executors.jobs import default_workers
    from ecg_ramba.harness.progress import Progress

    check_writable(options.to)
    if options.gallery < 0:
        raise UserError(f"--gallery {options.gallery}: 0 or more")
    workers = options.workers or default_workers()
    with Progress().stage("read", unit="recordings") as report:
        written = write_report(options.folder, options.to, options.only, options.gallery, workers, report)
    print(f"report: {written[1]}")
    return 0


def data_labels(options: argparse.Namespace) -> int:
    """Print the 27 classes: codes, what is merged, records by data set and hospital, and where a class is unknown."""
    from rich.console import Console

    from ecg_ramba.data.check import check
    from ecg_ramba.data.labels_text import of_releases, of_report, render_labels
    from ecg_ramba.harness.executors.jobs import default_workers
    from ecg_ramba.harness.progress import Progress

    if options.folder is None:
        places, what = of_releases(), "the publishers' full releases (cpsc2021: subjects, not records)"
    else:
        with Progress().stage("read", unit="recordings") as report:
            places, what = (
                of_report(check(options.folder, progress=report, workers=default_workers())),
                str(options.folder),
            )
    render_labels(places, what, Console())
    return 0


def data_synthesize(options: argparse.Namespace) -> int:
    """Write the synthetic cohort (planted rhythm, morphology and shortcut; no patient's data) as WFDB files."""
    from ecg_ramba.data.synthetic import CohortConfig, synthesize
    from ecg_ramba.harness.progress import Progress

    with Progress().stage("synthesize", unit="recordings") as report:
        synthesize(options.folder, CohortConfig(seed=options.seed), report)
    print(f"synthetic cohort (seed {options.seed}) written to {options.folder}")
    sites = "--source synthetic-source --target synthetic-rhythm synthetic-third"
    print(f"use it: nox -s ablations -- --data {options.folder} {sites}")
    return 0
