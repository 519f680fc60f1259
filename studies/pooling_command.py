"""``nox -s studies -- pooling``: scores against the pooling of windows, and AF burden against the pooled score."""

from ecg_ramba.harness.options import add_suite_options, add_tracking_options


def add_command(studies) -> None:
    """Add the study to the command line."""
    made = studies.add_parser(
        "pooling", help="scores by pooling of the windows, from the geometric mean to the maximum"
    )
    made.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="variants or groups (default: those of nox -s ablations)"
    )
    add_suite_options(made)
    add_tracking_options(made)
    made.set_defaults(run=run)


def run(options) -> int:
    """Run the suite or find it done, pool its windows, write the study; exit status 1 when a variant failed."""
    from ecg_ramba.evaluation.pooling_curve import section
    from ecg_ramba.evaluation.scored import ScoreReader
    from ecg_ramba.evaluation.tables import banner, departures, kind_of, run_title
    from ecg_ramba.harness.variants import choose_variants
    from ecg_ramba.render import write_document
    from studies.running import finish, run_variants

    ran = run_variants(options, choose_variants(options.only))
    evaluation = ran.evaluation
    with ran.progress.stage("pool the stored windows", unit="variants") as report:
        made = section(evaluation, ScoreReader.of(evaluation), report)
    title = f"{kind_of(evaluation)}Pooling study. {run_title(evaluation)}"
    opening = " ".join(filter(None, [banner(evaluation), departures(evaluation)]))
    return finish(options, ran, write_document(title, opening, [made], ran.folder(options, "pooling"), "pooling"))
