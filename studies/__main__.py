"""``nox -s studies``: named studies beside the main table."""

import importlib
import sys

from ecg_ramba.harness.options import Parser, run_command

STUDIES = (
    "search",
    "matrix",
    "lengths",
    "calibration",
    "robustness",
    "adaptation",
    "pooling",
    "shortcuts",
    "representation",
    "coverage",
)
"""Each is a module ``studies.NAME_command`` with ``add_command(subparsers)``, which imports nothing heavy."""


def parser() -> Parser:
    """The command line of the studies."""
    made = Parser(prog="python -m studies", description=__doc__)
    studies = made.add_subparsers(title="studies", metavar="STUDY", required=True, parser_class=Parser)
    for name in STUDIES:
        importlib.import_module(f"studies.{name}_command").add_command(studies)
    return made


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``python -m studies``."""
    argv = sys.argv[1:] if argv is None else argv
    options = parser().parse_args(argv)
    options.argv = argv
    return run_command(lambda: options.run(options))


if __name__ == "__main__":
    sys.exit(main())
