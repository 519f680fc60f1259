"""``nox -s studies -- coverage``: how often the 95 % intervals hold the truth, by simulation."""

from pathlib import Path

from ecg_ramba.harness.options import positive

SUBJECTS = [6, 12, 25, 50, 100, 200, 500]
"""Numbers of subjects unless others are named."""


def add_command(studies) -> None:
    """Add the study to the command line."""
    made = studies.add_parser("coverage", help="how often the bootstrap intervals hold the true ROC-AUC, by simulation")
    made.add_argument(
        "--simulations", type=positive, default=1000, metavar="N", help="of each number of subjects (default 1000)"
    )
    made.add_argument(
        "--subjects",
        nargs="+",
        type=positive,
        default=SUBJECTS,
        metavar="N",
        help=f"numbers of subjects (default: {' '.join(map(str, SUBJECTS))}; some minutes on two cores)",
    )
    made.add_argument(
        "--folds",
        type=positive,
        default=1,
        metavar="N",
        help="draw within so many folds, as for the source (default 1: as for a target)",
    )
    made.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="results (default: runs)")
    made.add_argument("--workers", type=positive, metavar="N", help="worker processes (default: one a core)")
    made.set_defaults(run=run)


def run(options) -> None:
    """Simulate what is not there yet, write the study, print it."""
    from ecg_ramba.files import check_writable
    from ecg_ramba.harness.executors.local import local
    from ecg_ramba.harness.options import command_line
    from ecg_ramba.harness.progress import Progress
    from studies.coverage.study import Design, simulate_all
    from studies.coverage.text import write_coverage

    check_writable(options.out)
    design, executor = Design(folds=options.folds), local(options.workers)
    found = simulate_all(design, options.subjects, options.simulations, options.out, executor, Progress())
    command = f"nox -s studies -- {command_line(options.argv)}"
    files = write_coverage(design, found, options.simulations, command, options.out)
    print(files[0].read_text(encoding="utf-8"))
    print("Files:", *files, sep="\n  ")
