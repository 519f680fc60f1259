"""``python -m bench report FILE…``: tables and figures of what ``pytest bench --benchmark-json FILE`` measured;
``python -m bench scale``: many recordings through prepare and features."""

import sys
from pathlib import Path

from ecg_ramba.harness.options import Parser, positive, run_command


def parser() -> Parser:
    """The command line."""
    made = Parser(prog="python -m bench", description=__doc__)
    commands = made.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    report = commands.add_parser("report", help="write tables and figures of timings")
    report.add_argument("files", type=Path, nargs="+", metavar="FILE", help="written by --benchmark-json")
    report.add_argument(
        "--out", type=Path, default=Path("bench-report"), metavar="DIR", help="where to (default: bench-report)"
    )
    report.set_defaults(run=run_report)
    scale = commands.add_parser("scale", help="many recordings through prepare and features: time and memory")
    scale.add_argument("--records", type=positive, default=45_000, metavar="N", help="recordings (default 45000)")
    scale.add_argument("--to", type=Path, default=Path("bench-scale"), metavar="DIR", help="500 kB a recording")
    scale.add_argument("--workers", type=positive, metavar="N", help="processes (default: one a core)")
    scale.add_argument("--compare", type=int, default=0, metavar="M", help="recordings for the stock calls (default 0)")
    scale.set_defaults(run=run_scale)
    return made


def run_report(options) -> None:
    """Write the report and say where it is."""
    from bench.report import write_report

    print("Files:", *write_report(options.files, options.out), sep="\n  ")


def run_scale(options) -> None:
    """Measure, and print what was found."""
    from bench.scale import measure
    from ecg_ramba.files import write_json
    from ecg_ramba.harness.executors.local import local
    from ecg_ramba.harness.progress import Progress

    executor = local(options.workers)
    found = measure(options.to, options.records, executor, options.compare, Progress())
    place = options.to / f"scale-{options.records}.json"
    write_json(place, found)
    print(place.read_text())
    print(f"written to {place}")


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``python -m bench``."""
    options = parser().parse_args(sys.argv[1:] if argv is None else argv)
    return run_command(lambda: options.run(options))


if __name__ == "__main__":
    sys.exit(main())
