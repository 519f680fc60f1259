"""``nox -s studies -- calibration``: what the scores mean as probabilities, and what recalibration at home does."""

from ecg_ramba.harness.options import add_only_option, add_suite_options, add_tracking_options

VARIANTS = ["ecg_ramba", "no_hrv", "no_minirocket", "resnet1d", "raw_mamba"]
"""Variants of the study unless others are named."""
TITLE = "calibration, recalibration on the source, decisions at a threshold"


def add_command(studies) -> None:
    """Add the study to the command line."""
    made = studies.add_parser("calibration", help=TITLE)
    add_only_option(made, VARIANTS)
    add_suite_options(made)
    add_tracking_options(made)
    made.set_defaults(run=run)


def run(options) -> int:
    """Run or find the suite, write the study, log it; exit status 1 when a variant failed."""
    from ecg_ramba.evaluation.calibration_text import calibration_section
    from ecg_ramba.evaluation.scored import ScoreReader
    from ecg_ramba.evaluation.tables import banner, departures, run_title
    from ecg_ramba.harness.variants import choose_variants
    from ecg_ramba.render import write_document
    from studies.running import finish, run_variants

    ran = run_variants(options, choose_variants(options.only))
    evaluation = ran.evaluation
    section = calibration_section(evaluation, ScoreReader.of(evaluation))
    opening = " ".join(filter(None, [banner(evaluation), departures(evaluation)]))
    title = f"{run_title(evaluation)}: {TITLE}"
    files = write_document(title, opening, [section], ran.folder(options, "calibration"), "calibration")
    return finish(options, ran, files)
