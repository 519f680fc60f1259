"""``nox -s studies -- lengths``: accuracy and cost against token length."""

from ecg_ramba.harness.options import add_suite_options, add_tracking_options, positive

LENGTHS = [157, 313, 625, 1250]
"""Tokens unless others are named: what two cores finish in about half an hour, synthetic."""


def add_command(studies) -> None:
    """Add the study to the command line."""
    made = studies.add_parser("lengths", help="accuracy and cost against token length, Mamba against attention")
    made.add_argument(
        "--tokens",
        nargs="+",
        type=positive,
        default=LENGTHS,
        metavar="N",
        help=f"of 157, 313, 625, 1250, 2500 and 5000 tokens in 10 s (default: {' '.join(map(str, LENGTHS))}, about "
        "half an hour on two cores for the synthetic cohort; all six: an estimated three hours, two of them for "
        "attention at 5000; --folds 2: one)",
    )
    add_suite_options(made)
    add_tracking_options(made)
    made.set_defaults(run=run)


def run(options) -> int:
    """Run both backbones at each length, write the study, log the suite; exit status 1 when a variant failed."""
    from studies.lengths.study import chosen, variants
    from studies.lengths.text import left_out, write_lengths
    from studies.running import finish, run_variants

    tokens = chosen(options.tokens)
    ran = run_variants(options, lambda config: variants(tokens, config.profile))
    if absent := left_out(tokens):
        ran.progress.say(absent)
    return finish(options, ran, write_lengths(ran.result, ran.evaluation, ran.folder(options, "lengths")))
