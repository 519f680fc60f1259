"""``python -m bench report FILE…``: tables and figures of what ``pytest bench --benchmark-json FILE`` measured."""

import sys
from pathlib import Path

from ecg_ramba.harness.options import Parser, run_command


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
    return made


def run_report(options) -> None:
    """Write the report and say where it is."""
    from bench.report import write_report

    print("Files:", *write_report(options.files, options.out), sep="\n  ")


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``python -m bench``."""
    options = parser().parse_args(sys.argv[1:] if argv is None else argv)
    return run_command(lambda: options.run(options))


if __name__ == "__main__":
    sys.exit(main())
