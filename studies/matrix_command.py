"""``nox -s studies -- matrix``: each data set as the source, all others as its targets."""

from ecg_ramba.harness.options import (
    add_only_option,
    add_suite_options,
    add_tracking_options,
    command_line,
    suite_config,
)

VARIANTS = ["ecg_ramba", "no_hrv", "no_minirocket", "resnet1d", "transformer", "raw_mamba"]
"""Variants of the matrix unless others are named."""


def add_command(studies) -> None:
    """Add the study to the command line."""
    made = studies.add_parser("matrix", help="each data set as the source, all others as its targets")
    made.add_argument("--datasets", nargs="+", metavar="NAME", help="these (default: all that are in --data)")
    add_only_option(made, VARIANTS)
    add_suite_options(made, targets=False, source=False)
    add_tracking_options(made)
    made.set_defaults(run=run)


def run(options) -> None:
    """Run every data set as the source, write the matrix, log each suite."""
    from ecg_ramba.harness.executors.choose import chosen_executor
    from ecg_ramba.harness.progress import Progress
    from ecg_ramba.harness.tracking import check_tracking, log_suite
    from ecg_ramba.harness.variants import choose_variants
    from ecg_ramba.keys import digest
    from ecg_ramba.shared.pieces import publish_files
    from studies.matrix import run_matrix, there, write_matrix

    variants = choose_variants(options.only)
    names = options.datasets or there(options.data)
    options.source, options.target = names[0], []
    if not options.no_tracking:
        check_tracking(options.tracking)
    config, progress = suite_config(options), Progress()
    command = f"nox -s studies -- {command_line(options.argv)}"
    executor = chosen_executor(options)
    suites = run_matrix(config, variants, names, options.data, options.out, executor, progress, command)
    key = digest([s.result.key if s.result else s.reason for s in suites])
    files = write_matrix(suites, options.out / "studies" / f"matrix-{key[:12]}")
    publish_files(files[0].parent)
    for suite in suites:
        if suite.result:
            publish_files(suite.result.folder)
        if suite.result and not options.no_tracking:
            log_suite(suite.result, suite.evaluation, suite.files, options.tracking, progress)
    print(files[0].read_text())
    print("Files:", *(str(f) for f in files), *(str(s.files[0]) for s in suites if s.files), sep="\n  ")
