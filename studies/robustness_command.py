"""``nox -s studies -- robustness``: trained models on recordings that were stressed as recorded."""

import argparse

from ecg_ramba.harness.options import add_only_option, add_suite_options, add_tracking_options

VARIANTS = ["ecg_ramba", "no_hrv", "no_minirocket", "resnet1d", "raw_mamba"]
"""Variants of the study unless others are named."""


def _count(text: str) -> int:
    """A whole number of at least 0."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def add_command(studies) -> None:
    """Add the study to the command line."""
    made = studies.add_parser("robustness", help="trained models on noisy, shortened, miswired recordings")
    add_only_option(made, VARIANTS)
    made.add_argument(
        "--stress",
        nargs="+",
        default=[],
        metavar="NAME",
        help="stresses, families or groups of them: noise, white, wander, muscle, mains50, mains60, leads, lead-I, "
        "sampling, amplitude, electrodes, time, … (default: all but mains60)",
    )
    made.add_argument(
        "--records",
        type=_count,
        default=100,
        metavar="N",
        help="recordings of each target at most (default 100; 0: all)",
    )
    made.add_argument(
        "--segments", type=_count, default=2, metavar="N", help="10 s segments of a recording (default 2; 0: all)"
    )
    add_suite_options(made)
    add_tracking_options(made)
    made.set_defaults(run=run, reads_recordings=True)


def run(options) -> int:
    """Train or find the suite, stress its targets, write the study; exit status 1 when a variant failed."""
    from ecg_ramba.evaluation.tables import banner, departures, kind_of
    from ecg_ramba.harness.variants import choose_variants
    from ecg_ramba.keys import digest
    from studies.robustness.plan import plan
    from studies.robustness.scores import assess
    from studies.robustness.stresses import choose_stresses
    from studies.robustness.study import run_study
    from studies.robustness.text import STEM, TITLE, sections
    from studies.running import conclude, run_variants

    chosen = choose_stresses(options.stress)
    variants = choose_variants(options.only)
    ran = run_variants(options, variants)
    study = plan(ran.result, ran.evaluation, options.data, options.records, options.segments)
    failures = run_study(study, chosen, ran.executor, ran.progress)
    with ran.progress.stage("score", unit="stresses of data sets") as report:
        found = assess(study, ran.evaluation, variants, chosen, failures, report)
    asked = digest([[s.name for s in chosen], options.records, options.segments])[:8]
    title = f"{kind_of(ran.evaluation)}{TITLE}"
    opening = " ".join(filter(None, [banner(ran.evaluation), departures(ran.evaluation)]))
    status = conclude(options, ran, STEM, title, opening, sections(found), ran.folder(options, STEM, asked))
    return 1 if failures else status
