"""``nox -s studies -- adaptation``: what the labels of a few target subjects are worth; apart from zero-shot."""

import argparse

from ecg_ramba.harness.options import add_only_option, add_suite_options, add_tracking_options, positive

VARIANTS = ["ecg_ramba", "no_hrv", "no_minirocket", "resnet1d", "raw_mamba"]
"""Variants unless others are named."""
SHARES = [0.0, 1.0, 5.0, 10.0]


def per_cent(text: str) -> float:
    """A share in per cent, from 0 to below 100."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share in per cent (from 0 to below 100)")
    return value


def add_command(studies) -> None:
    """Add the study to the command line."""
    made = studies.add_parser("adaptation", help="few-shot target access: scores after a few target labels")
    add_only_option(made, VARIANTS)
    made.add_argument(
        "--shares",
        nargs="+",
        type=per_cent,
        default=SHARES,
        metavar="PERCENT",
        help="of a target's subjects whose labels are used (default: 0 1 5 10; 0 is always among them)",
    )
    made.add_argument(
        "--draws-of-subjects", type=positive, default=5, metavar="N", help="draws of these subjects (default 5)"
    )
    add_suite_options(made)
    add_tracking_options(made)
    made.set_defaults(run=run)


def run(options) -> int:
    """Run the suite or find it done, adapt, write the study; exit status 1 when a variant failed."""
    from ecg_ramba.errors import UserError
    from ecg_ramba.evaluation.tables import kind_of, run_title
    from ecg_ramba.harness.variants import choose_variants
    from ecg_ramba.keys import digest
    from studies.adaptation.study import run_study
    from studies.adaptation.text import opening, sections
    from studies.running import conclude, run_variants

    shares = sorted({0.0, *options.shares})
    if shares == [0.0]:
        raise UserError("--shares 0: name a share above 0 as well; without one nothing is adapted")
    ran = run_variants(options, choose_variants(options.only))
    studies = run_study(ran.result, ran.evaluation, shares, options.draws_of_subjects, ran.executor, ran.progress)
    where = run_title(ran.evaluation).replace("tested zero-shot on", "adapted to")
    title = f"{kind_of(ran.evaluation)}Adaptation study, not zero-shot. {where}"
    folder = ran.folder(options, "adaptation", digest([shares, options.draws_of_subjects])[:6])
    made = sections(ran.evaluation, studies)
    return conclude(options, ran, "adaptation", title, opening(ran.evaluation), made, folder)
