"""``nox -s studies``: named studies beside the main table."""

import shlex
import sys

from ecg_ramba.harness.options import (
    Parser,
    add_suite_options,
    add_tracking_options,
    command_line,
    positive,
    run_command,
    suite_config,
)

MATRIX = ["ecg_ramba", "no_hrv", "no_minirocket", "resnet1d", "transformer", "raw_mamba"]
"""Variants of the matrix unless others are named."""
LENGTHS = [157, 313, 625, 1250]
"""Tokens of the study of lengths unless others are named: what two cores finish in about half an hour, synthetic."""


def parser() -> Parser:
    """The command line of the studies."""
    made = Parser(prog="python -m studies", description=__doc__)
    studies = made.add_subparsers(title="studies", metavar="STUDY", required=True, parser_class=Parser)
    search = studies.add_parser("search", help="Optuna search of a model's settings on the inner source validation")
    search.add_argument("model", metavar="MODEL", help="a registered model, for example ecg_ramba")
    search.add_argument("--trials", type=positive, default=20, metavar="N", help="trials a fold (default 20)")
    add_suite_options(search, targets=False)
    add_tracking_options(search)
    search.set_defaults(run=run_search)
    matrix = studies.add_parser("matrix", help="each data set as the source, all others as its targets")
    matrix.add_argument("--datasets", nargs="+", metavar="NAME", help="these (default: all that are in --data)")
    matrix.add_argument(
        "--only", nargs="+", default=MATRIX, metavar="NAME", help=f"variants or groups (default: {', '.join(MATRIX)})"
    )
    add_suite_options(matrix, targets=False, source=False)
    add_tracking_options(matrix)
    matrix.set_defaults(run=matrix_command)
    lengths = studies.add_parser("lengths", help="accuracy and cost against token length, Mamba against attention")
    lengths.add_argument(
        "--tokens",
        nargs="+",
        type=positive,
        default=LENGTHS,
        metavar="N",
        help=f"of 157, 313, 625, 1250, 2500 and 5000 tokens in 10 s (default: {' '.join(map(str, LENGTHS))}, about "
        "half an hour on two cores for the synthetic cohort; all six: about five hours, half of it attention at 5000)",
    )
    add_suite_options(lengths)
    add_tracking_options(lengths)
    lengths.set_defaults(run=lengths_command)
    return made


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``python -m studies``."""
    argv = sys.argv[1:] if argv is None else argv
    options = parser().parse_args(argv)
    options.argv = argv
    return run_command(lambda: options.run(options))


def run_search(options) -> None:
    """Search, save the best configurations, log the trials."""
    from ecg_ramba.files import read_json
    from ecg_ramba.harness.executor import default_workers
    from ecg_ramba.harness.progress import Progress
    from ecg_ramba.harness.tracking import check_tracking
    from studies.search import log_search, search

    options.target = []
    if not options.no_tracking:
        check_tracking(options.tracking)
    workers = options.workers or default_workers()
    config = suite_config(options)
    path, found = search(options.model, config, options.trials, options.data, options.out, workers, Progress())
    content = read_json(path)
    for study in found:
        best = study["best"]
        changes = ", ".join(f"{k}={v}" for k, v in best["config"].items()) or "the profile as it is"
        print(
            f"fold {study['fold']}: best inner log loss {best['loss']:.4f} in {len(study['trials'])} trials: {changes}"
        )
    if content["synthetic"]:
        print("searched on SYNTHETIC recordings: says nothing of patients")
    if not options.no_tracking:
        log_search(options.model, found, path, content["synthetic"], options.tracking)
    print(f"best configuration: {path}")
    data = f"--data {shlex.quote(str(options.data))} --source {config.source} " if options.data else ""
    print(f"use it: nox -s ablations -- {data}--config {path}")


def matrix_command(options) -> None:
    """Run every data set as the source, write the matrix, log each suite."""
    from ecg_ramba.harness.executor import default_workers
    from ecg_ramba.harness.progress import Progress
    from ecg_ramba.harness.tracking import check_tracking, log_suite
    from ecg_ramba.harness.variants import choose_variants
    from ecg_ramba.keys import digest
    from studies.matrix import run_matrix, there, write_matrix

    variants = choose_variants(options.only)
    names = options.datasets or there(options.data)
    options.source, options.target = names[0], []
    if not options.no_tracking:
        check_tracking(options.tracking)
    config, progress = suite_config(options), Progress()
    command = f"nox -s studies -- {command_line(options.argv)}"
    workers = options.workers or default_workers()
    suites = run_matrix(config, variants, names, options.data, options.out, workers, progress, command)
    key = digest([s.result.key if s.result else s.reason for s in suites])
    files = write_matrix(suites, options.out / "studies" / f"matrix-{key[:12]}")
    for suite in suites:
        if suite.result and not options.no_tracking:
            log_suite(suite.result, suite.evaluation, suite.files, options.tracking, progress)
    print(files[0].read_text())
    print("Files:", *(str(f) for f in files), *(str(s.files[0]) for s in suites if s.files), sep="\n  ")


def lengths_command(options) -> int:
    """Run both backbones at each length, write the study, log the suite; exit status 1 when a variant failed."""
    from ecg_ramba.evaluation.evaluate import evaluate
    from ecg_ramba.evaluation.report import write_report
    from ecg_ramba.harness.executor import default_workers
    from ecg_ramba.harness.progress import Progress
    from ecg_ramba.harness.suite import run_suite
    from ecg_ramba.harness.tracking import check_tracking, log_suite
    from studies.lengths import chosen, variants
    from studies.lengths_text import left_out, write_lengths

    tokens = chosen(options.tokens)
    if not options.no_tracking:
        check_tracking(options.tracking)
    config, progress = suite_config(options), Progress()
    command = f"nox -s studies -- {command_line(options.argv)}"
    workers = options.workers or default_workers()
    if absent := left_out(tokens):
        progress.say(absent)
    made = variants(tokens, config.profile)
    result = run_suite(config, made, options.data, options.out, workers, progress, command)
    with progress.stage("evaluate", unit="tasks") as report:
        evaluation = evaluate(result.folder, progress=report)
    report_files = write_report(evaluation, result.folder)
    files = write_lengths(result, evaluation, options.out / "studies" / f"lengths-{result.key[:12]}")
    print(files[0].read_text())
    print("Files:", *(str(f) for f in (*files, report_files[0])), sep="\n  ")
    if not options.no_tracking:
        print(log_suite(result, evaluation, [*report_files, *files], options.tracking, progress))
    return 1 if evaluation.failures else 0


if __name__ == "__main__":
    sys.exit(main())
