"""``ecg-ramba verify``, ``compare``, ``leaderboard`` and ``audit``: questions to finished runs."""

import argparse
import sys
from pathlib import Path

RUN = "a run's folder: runs/suites/KEY"


def add_run_commands(commands) -> None:
    """The four commands."""
    verify = commands.add_parser(
        "verify", help="check a run's digests, and compute its tables again", description=verify_command.__doc__
    )
    verify.add_argument("run_dir", metavar="RUN", type=Path, help=RUN)
    verify.add_argument(
        "--challenge-weights", type=Path, metavar="FILE", help="where the challenge's weights of the report lie here"
    )
    verify.set_defaults(run=verify_command)
    compare = commands.add_parser(
        "compare", help="two runs, or a run and a file of predictions", description=compare_command.__doc__
    )
    compare.add_argument(
        "a", metavar="A", type=Path, help=f"{RUN}; or a Parquet or CSV file in the form of windows.parquet"
    )
    compare.add_argument("b", metavar="B", type=Path, help="the same; one of the two is a run")
    for letter in "ab":
        compare.add_argument(
            f"--variant-{letter}", default="", metavar="NAME", help=f"of {letter.upper()} (default: its reference)"
        )
    compare.add_argument(
        "--out",
        type=Path,
        default=Path("comparison"),
        metavar="DIR",
        help="compare.md, .html, .csv (default: comparison)",
    )
    compare.set_defaults(run=compare_command)
    board = commands.add_parser(
        "leaderboard", help="several runs in one table", description=leaderboard_command.__doc__
    )
    board.add_argument("run_dirs", metavar="RUN", type=Path, nargs="+", help=RUN)
    board.add_argument(
        "--out", type=Path, default=Path("leaderboard"), metavar="DIR", help="its files (default: leaderboard)"
    )
    board.set_defaults(run=leaderboard_command)
    audit = commands.add_parser("audit", help="could a run have leaked?", description=audit_command.__doc__)
    audit.add_argument("run_dir", metavar="RUN", type=Path, help=RUN)
    audit.add_argument(
        "--data", type=Path, metavar="DIR", help="folder with the data sets, to read the recordings again"
    )
    audit.add_argument(
        "--out", type=Path, metavar="DIR", help="where cells, predictions and cache lie (default: two above the run)"
    )
    audit.set_defaults(run=audit_command)


def verify_command(options: argparse.Namespace) -> int:
    """Check the digests of a run's files, compute every table of its report again from the stored predictions and
    labels, and compare them cell by cell; exit status 1 with the first differences. Needs neither torch nor the
    recordings."""
    from ecg_ramba import __version__
    from ecg_ramba.evaluation.verify import verify_run, verify_text

    def show(done: int, total: int) -> None:  # rich may not be there
        print(f"\r{done} of {total} variants scored again", end="\n" * (done == total), file=sys.stderr, flush=True)

    found = verify_run(options.run_dir, options.challenge_weights, show if sys.stderr.isatty() else None)
    print(verify_text(found, __version__))
    return 1 if found.problems else 0


def compare_command(options: argparse.Namespace) -> int:
    """Compare two runs, or a run and a model from elsewhere by its predictions, on the units that both scored: paired
    intervals, permutation tests, difference of the transfer gaps; and say in what the two trainings differ."""
    import dataclasses

    from rich.console import Console

    from ecg_ramba.evaluation.compare import compare
    from ecg_ramba.evaluation.compare_text import (
        STEM,
        compare_opening,
        compare_sections,
        compare_title,
        print_comparison,
    )
    from ecg_ramba.evaluation.report import stored_settings
    from ecg_ramba.evaluation.sides import read_sides
    from ecg_ramba.files import check_writable
    from ecg_ramba.harness.progress import Progress
    from ecg_ramba.render import listing, write_document

    sides = read_sides((options.a, options.b), (options.variant_a, options.variant_b))
    settings = [
        dataclasses.replace(stored_settings(s.suite.path), challenge_weights="", challenge_sha256="") for s in sides
    ]
    check_writable(options.out)
    with Progress().stage("compare", unit="tasks") as report:
        found = compare(*sides, settings[0], progress=report)
    if settings[0] != settings[1]:
        said = settings[1].departures or "the protocol's"
        found.notes.append(f"B's report was made with other settings ({said}); A's are used for both")
    files = write_document(compare_title(found), compare_opening(found), compare_sections(found), options.out, STEM)
    console = Console()
    print_comparison(found, console)
    console.print(listing(files), markup=False, highlight=False, soft_wrap=True)
    return 0


def leaderboard_command(options: argparse.Namespace) -> int:
    """Put several runs into one table, from their reports: leaderboard.md, .html (sorts by a click) and .csv. Runs are
    ranked together only where units, labels, label mapping, classes and settings are the same."""
    from ecg_ramba.evaluation.leaderboard import read_board
    from ecg_ramba.evaluation.leaderboard_page import write_board
    from ecg_ramba.files import check_writable

    groups = read_board(options.run_dirs)
    check_writable(options.out)
    files = write_board(groups, options.out)
    for number, group in enumerate(groups, 1):
        failed = sum(bool(e.failure) for e in group.entries)
        print(f"ranking {number}: {len(group.entries)} models of {', '.join(group.runs)}; {failed} failed")
        for line in group.why:
            print(f"  apart: {line}")
    print("Files:", *(str(f) for f in files), sep="\n  ")
    return 0


def audit_command(options: argparse.Namespace) -> int:
    """Ask a finished run whether anything could have leaked: subjects and signals across folds and data sets, what each
    checkpoint was trained on, who predicted what, settings and thresholds. Every line is PASS, FAIL or NOT CHECKED with
    the reason; report/audit.md and .json keep them. Exit status 1 on any FAIL."""
    from ecg_ramba.harness.audit.checks import FAIL
    from ecg_ramba.harness.audit.run import audit_lines, audit_run, write_audit

    audit = audit_run(options.run_dir, options.data, options.out)
    files = write_audit(audit)
    print("\n".join(audit_lines(audit)))
    print("Files:", *(str(f) for f in files), sep="\n  ")
    return 1 if audit.counts[FAIL] else 0
