"""``nox -s studies -- representation``: what each stream holds of rhythm and of morphology."""

from ecg_ramba.harness.options import add_only_option, add_suite_options, add_tracking_options, positive

VARIANTS = ["ecg_ramba"]
"""Variants that are probed unless others are named."""


def add_command(studies) -> None:
    """Add the study to the command line."""
    made = studies.add_parser("representation", help="what each stream holds of rhythm and morphology (probes, CKA)")
    add_only_option(made, VARIANTS)
    made.add_argument(
        "--records", type=positive, default=2000, metavar="N", help="most recordings of a data set (default 2000)"
    )
    made.add_argument(
        "--permutations", type=positive, default=20, metavar="N", help="permutations of the labels (default 20)"
    )
    add_suite_options(made)
    add_tracking_options(made)
    made.set_defaults(run=run)


def run(options) -> int:
    """Run the suite, probe it, write the study, log the suite; exit status 1 when a variant failed."""
    from ecg_ramba.evaluation.tables import banner, kind_of
    from ecg_ramba.harness.variants import choose_variants
    from ecg_ramba.keys import digest
    from studies.representation.study import RepresentationConfig, probe_suite
    from studies.representation.text import TITLE, representation_sections
    from studies.running import conclude, run_variants

    ran = run_variants(options, choose_variants(options.only))
    config = RepresentationConfig(records=options.records, permutations=options.permutations)
    probed = probe_suite(ran.result, ran.evaluation, config, ran.executor, ran.progress)
    with ran.progress.stage("tables", unit="variants"):
        sections = representation_sections(probed, ran.evaluation, config)
    folder = ran.folder(options, "representation", digest(config)[:8])
    title = f"{kind_of(ran.evaluation)}{TITLE}"
    return conclude(options, ran, "representation", title, banner(ran.evaluation), sections, folder)
