"""``nox -s ablations``: train every variant under one protocol, score zero-shot, log and report."""

import sys
from pathlib import Path

from ecg_ramba.harness.options import (
    Parser,
    add_suite_options,
    add_support_options,
    add_tracking_options,
    command_line,
    evaluation_config,
    run_command,
    suite_config,
)


def parser() -> Parser:
    """The command line of the suite."""
    made = Parser(prog="python -m ablations", description=__doc__)
    choice = made.add_argument_group("variants")
    choice.add_argument("--list", action="store_true", help="list the variants and stop")
    choice.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="run these, or groups (and the reference)"
    )
    choice.add_argument("--all", action="store_true", help="run all registered variants")
    choice.add_argument(
        "--predictions", nargs="+", default=[], metavar="NAME=FILE", help="models from elsewhere, by their predictions"
    )
    choice.add_argument(
        "--foundation",
        nargs="+",
        default=[],
        type=Path,
        metavar="FILE",
        help="foundation models with a linear probe, each by its TOML description; runs the code that it names",
    )
    add_suite_options(made)
    add_tracking_options(made)
    add_support_options(made)
    return made


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``python -m ablations``."""
    argv = sys.argv[1:] if argv is None else argv
    options = parser().parse_args(argv)
    return run_command(lambda: list_variants() if options.list else run(options, argv))


def list_variants() -> None:
    """Print the variants, what each changes and which claim it tests."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from ecg_ramba.harness.variants import registered

    table = Table("name", "what differs, and the claim that it tests", title="Variants, by group")
    group = ""
    known, broken = registered()
    for v in known.values():
        if v.group != group:
            group = v.group
            chosen = "run unasked" if group == "default" else f"--only {group}, or --all"
            table.add_section()
            table.add_row(f"[bold]{group}[/]", f"[dim]{chosen}[/]")
        differs = ", ".join(f"{k}={x}" for k, x in (*v.changes.items(), *v.settings.items()))
        if v.mean_of:
            differs = f"mean of {', '.join(v.mean_of)}"
        elif v.windows_of:
            differs = f"pooling {v.pooling.rule}" + (f", Q = {v.pooling.q:g}" if v.pooling.rule == "power" else "")
        elif v.model != "ecg_ramba":
            differs = f"model {v.model}" + (f", {differs}" if differs else "")
        table.add_row(v.name, f"{escape(v.title)} [dim]({escape(differs or 'the reference')})[/]\n{escape(v.claim)}")
    table.add_section()
    for v in broken:
        table.add_row(escape(v.name), f"{escape(v.title)}\n[red]failed: {escape(v.failure)}[/]")
    Console().print(table)


def run(options, argv: list[str]) -> int:
    """Run the suite, the report and the tracking; exit status 1 when a variant failed."""
    from rich.console import Console

    from ecg_ramba.errors import UserError
    from ecg_ramba.evaluation.evaluate import evaluate
    from ecg_ramba.evaluation.report import write_report
    from ecg_ramba.evaluation.terminal import print_summary
    from ecg_ramba.harness.executors.choose import chosen_executor
    from ecg_ramba.harness.external import external_variants
    from ecg_ramba.harness.foundation import foundation_variants
    from ecg_ramba.harness.progress import Progress
    from ecg_ramba.harness.suite import run_suite
    from ecg_ramba.harness.tracking import check_tracking, log_suite
    from ecg_ramba.harness.variants import choose_variants
    from ecg_ramba.render import listing
    from ecg_ramba.shared.pieces import publish_files

    variants = choose_variants(options.only, options.all) + external_variants(options.predictions)
    config = suite_config(options)
    variants += foundation_variants(options.foundation, (config.source, *config.targets))
    names = [v.name for v in variants]
    if len(set(names)) < len(names):
        doubled = next(n for n in names if names.count(n) > 1)
        raise UserError(f"two variants of this run would be called {doubled!r}; rename the one that you brought")
    settings = evaluation_config(options)
    if not options.no_tracking:
        check_tracking(options.tracking)
    progress = Progress()
    command = "nox -s ablations" + (f" -- {command_line(argv)}" if argv else "")
    executor = chosen_executor(options)
    result = run_suite(config, variants, options.data, options.out, executor, progress, command)
    with progress.stage("evaluate", unit="tasks") as report:
        evaluation = evaluate(result.folder, settings, progress=report)
    with progress.stage("report", unit="parts") as report:
        files = write_report(evaluation, result.folder, report)
    publish_files(result.folder)
    console = Console()
    print_summary(evaluation, console)
    console.print(listing(files), markup=False, highlight=False, soft_wrap=True)
    if not options.no_tracking:
        line = log_suite(result, evaluation, files, options.tracking, progress)
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 1 if evaluation.failures else 0


if __name__ == "__main__":
    sys.exit(main())
