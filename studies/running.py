"""What the studies share: the suite behind them, run or found done, its report, and where a study's own files go."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecg_ramba.document import Section
from ecg_ramba.evaluation.evaluate import Evaluation, evaluate
from ecg_ramba.evaluation.report import write_report
from ecg_ramba.evaluation.report_studies import leave_with_run
from ecg_ramba.harness.config import SuiteConfig, Variant
from ecg_ramba.harness.executors.choose import chosen_executor
from ecg_ramba.harness.executors.jobs import Executor
from ecg_ramba.harness.options import command_line, suite_config
from ecg_ramba.harness.outputs import SuiteResult
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import run_suite
from ecg_ramba.harness.tracking import check_tracking, log_suite
from ecg_ramba.render import listing, write_document
from ecg_ramba.shared.pieces import publish_files


@dataclass(frozen=True)
class Ran:
    """A study's suite: what was trained, and how it scored."""

    result: SuiteResult
    evaluation: Evaluation
    executor: Executor
    progress: Progress

    def folder(self, options, study: str, asked: str = "") -> Path:
        """Where a study's files go: ``studies/STUDY-KEY`` in the results, one for each suite, and for ``asked``."""
        return options.out / "studies" / "-".join(filter(None, (study, self.result.key[:12], asked)))


def run_variants(options, variants: Callable[[SuiteConfig], Sequence[Variant]] | Sequence[Variant]) -> Ran:
    """Run a suite with the options of a study (:func:`ecg_ramba.harness.options.add_suite_options`).

    Cells that an earlier run finished are found by their keys and not trained again. A tracking place that cannot be
    used is found out before anything is trained.

    Raises
    ------
    UserError
        For anything the user can put right.
    """
    if not options.no_tracking:
        check_tracking(options.tracking)
    config, progress = suite_config(options), Progress()
    command = f"nox -s studies -- {command_line(options.argv)}"
    executor = chosen_executor(options)
    chosen = variants(config) if callable(variants) else variants
    result = run_suite(config, chosen, options.data, options.out, executor, progress, command)
    with progress.stage("evaluate", unit="tasks") as report:
        evaluation = evaluate(result.folder, progress=report)
    return Ran(result, evaluation, executor, progress)


def conclude(options, ran: Ran, study: str, title: str, opening: str, sections: Sequence[Section], folder: Path) -> int:
    """Write a study's document, leave its leading table and figure with the run, and finish."""
    files = write_document(title, opening, sections, folder, study)
    leave_with_run(ran.result.folder, study, f"{study} study", sections, files)
    return finish(options, ran, files)


def finish(options, ran: Ran, files: Sequence[Path]) -> int:
    """Write the run's report, print a study's text (its first file) and where it is, log both; exit status 1 when a
    variant failed."""
    with ran.progress.stage("report", unit="parts") as report:
        reported = write_report(ran.evaluation, ran.result.folder, report)
    publish_files(ran.result.folder)
    publish_files(files[0].parent)
    print(files[0].read_text(encoding="utf-8"))
    print(listing(files))
    print(f"The report of the run behind it: {reported[0].parent}")
    if not options.no_tracking:
        print(log_suite(ran.result, ran.evaluation, [*reported, *files], options.tracking, ran.progress))
    return 1 if ran.evaluation.failures else 0
