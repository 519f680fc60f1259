"""``nox -s studies -- shortcuts``: whether data sets and hospitals can be told apart, and from what."""

from ecg_ramba.harness.options import add_only_option, add_suite_options, add_tracking_options, command_line, positive

VARIANTS = ["ecg_ramba", "resnet1d", "raw_mamba"]
"""Variants whose embeddings are looked at unless others are named."""


def add_command(studies) -> None:
    """Add the study to the command line."""
    made = studies.add_parser("shortcuts", help="whether data sets and hospitals can be told apart, and from what")
    add_only_option(made, VARIANTS)
    made.add_argument(
        "--records", type=positive, default=1000, metavar="N", help="most recordings of a data set (default 1000)"
    )
    made.add_argument(
        "--permutations", type=positive, default=49, metavar="N", help="permutations of the sites (default 49)"
    )
    made.add_argument(
        "--no-hospitals", action="store_true", help="leave out the suites from Shaoxing to Ningbo and back"
    )
    add_suite_options(made)
    add_tracking_options(made)
    made.set_defaults(run=run)


def run(options) -> int:
    """Run the suite, tell sites apart, write the study, log the suite; exit status 1 when a variant failed."""
    from ecg_ramba.evaluation.tables import banner, kind_of
    from ecg_ramba.harness.variants import choose_variants
    from ecg_ramba.keys import digest
    from studies.running import conclude, run_variants
    from studies.shortcuts.hospitals import hospital_suites, hospital_table
    from studies.shortcuts.questions import SiteConfig
    from studies.shortcuts.study import find_shortcuts
    from studies.shortcuts.text import TITLE, shortcut_sections

    variants = choose_variants(options.only)
    ran = run_variants(options, variants)
    config = SiteConfig(permutations=options.permutations)
    found = find_shortcuts(ran.result, ran.evaluation, options.records, config, ran.executor, ran.progress)
    suites, reason = [], "left out by --no-hospitals"
    if not options.no_hospitals:
        command = f"nox -s studies -- {command_line(options.argv)}"
        suite = ran.result.context.suite
        suites, reason = hospital_suites(
            suite, variants, options.data, options.out, ran.executor, ran.progress, command
        )
    sections = shortcut_sections(found, ran.evaluation, config, hospital_table(suites), reason)
    asked = digest([options.records, config, [s.result.key if s.result else s.reason for s in suites]])[:8]
    folder = ran.folder(options, "shortcuts", asked)
    title = f"{kind_of(ran.evaluation)}{TITLE}"
    return conclude(options, ran, "shortcuts", title, banner(ran.evaluation), sections, folder)
