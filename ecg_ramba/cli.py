"""``ecg-ramba``: data, models, training, evaluation, prediction, reports.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once.
"""

import argparse
import sys
from pathlib import Path

from ecg_ramba import __version__
from ecg_ramba.cli_data import add_data_commands
from ecg_ramba.cli_model import add_model_commands
from ecg_ramba.cli_runs import add_run_commands
from ecg_ramba.cli_serve import add_serve_command
from ecg_ramba.errors import UserError
from ecg_ramba.harness.options import (
    Parser,
    add_suite_options,
    add_support_options,
    command_line,
    evaluation_config,
    run_command,
    suite_config,
)


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``ecg-ramba``."""
    argv = sys.argv[1:] if argv is None else argv
    made = parser()
    options = made.parse_args(argv)
    if not hasattr(options, "run"):
        options.parser.print_help()
        return 2
    options.argv = argv
    return run_command(lambda: options.run(options))


def parser() -> Parser:
    """The whole command line."""
    made = Parser(
        prog="ecg-ramba", description="Which parts of an ECG model make it generalise to hospitals it never saw."
    )
    made.add_argument("--version", action="version", version=f"ecg-ramba {__version__}")
    made.set_defaults(parser=made)
    commands = made.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    add_data_commands(commands)
    add_model_commands(commands)
    add_run_commands(commands)
    _train_command(commands)
    _evaluate_command(commands)
    _predict_command(commands)
    add_serve_command(commands)
    report = commands.add_parser(
        "report", help="write the report of a finished run again", description=report_command.__doc__
    )
    report.add_argument("run_dir", metavar="RUN", type=Path, help="a suite's folder: runs/suites/KEY")
    add_support_options(report)
    report.set_defaults(run=report_command)
    return made


def _train_command(commands) -> None:
    train = commands.add_parser("train", help="train one model on all folds", description=train_command.__doc__)
    train.add_argument("--model", default="ecg_ramba", metavar="NAME", help="a registered model (default: ecg_ramba)")
    train.add_argument(
        "--models", type=Path, default=Path("models"), metavar="DIR", help="where the checkpoints go (default: models)"
    )
    add_suite_options(train, targets=False)
    train.set_defaults(run=train_command)


def _evaluate_command(commands) -> None:
    evaluate = commands.add_parser("evaluate", help="score trained models", description=evaluate_command.__doc__)
    evaluate.add_argument(
        "--ckpt", type=Path, nargs="+", metavar="FILE", help="checkpoints (default: models/fold*_best*.pt)"
    )
    evaluate.add_argument(
        "--data", type=Path, metavar="DIR", help="folder with the data sets (default: where they were trained)"
    )
    evaluate.add_argument(
        "--oof", action="store_true", help="the held-out source recordings (what is scored without --target)"
    )
    evaluate.add_argument(
        "--target",
        nargs="+",
        default=[],
        metavar="NAME",
        help="data sets to score zero-shot; with --oof beside the source, and with the transfer gap",
    )
    evaluate.add_argument(
        "--out", type=Path, default=Path("runs"), metavar="DIR", help="results and cache (default: runs)"
    )
    add_support_options(evaluate)
    evaluate.set_defaults(run=evaluate_command)


def _predict_command(commands) -> None:
    predict = commands.add_parser("predict", help="probabilities of a recording", description=predict_command.__doc__)
    predict.add_argument(
        "file", metavar="FILE", type=Path, nargs="+", help="WFDB recordings (.hea beside .mat or .dat)"
    )
    predict.add_argument(
        "--ckpt",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="checkpoints, after the recordings (default: models/fold*_best*.pt)",
    )
    predict.add_argument("--json", action="store_true", help="print JSON, one object a recording")
    predict.add_argument(
        "--pdf",
        type=Path,
        metavar="OUT",
        help="write the ECG to scale with measurements and probabilities: FILE.pdf, or a folder for many recordings",
    )
    predict.set_defaults(run=predict_command)


def train_command(options: argparse.Namespace) -> int:
    """Train one model on all folds and leave models/fold1_best.pt … with SHA256SUMS."""
    from ecg_ramba.files import check_writable
    from ecg_ramba.harness.config import Variant
    from ecg_ramba.harness.executors.choose import chosen_executor
    from ecg_ramba.harness.progress import Progress
    from ecg_ramba.harness.suite import run_suite
    from ecg_ramba.harness.trained import publish_models
    from ecg_ramba.models import model_spec

    spec = model_spec(options.model)
    options.target = []
    config = suite_config(options)
    variant = Variant(name=spec.name, title=spec.title, model=spec.name)
    executor = chosen_executor(options)
    command = f"ecg-ramba {command_line(options.argv)}"
    check_writable(options.models)
    result = run_suite(config, [variant], options.data, options.out, executor, Progress(), command)
    if result.failures:
        raise UserError(f"training failed: {'; '.join(result.failures.values())}")
    for path in publish_models(result.context, result.cells[spec.name], options.models, options.data):
        print(path)
    print(f"score it: ecg-ramba evaluate --ckpt {options.models}/fold*_best*.pt --oof")
    return 0


def _checkpoints(named: list[Path] | None) -> list[Path]:
    """Checkpoints that were named; all of a folder, where a folder was."""
    found = []
    for path in named or [Path("models")]:
        found += sorted(path.glob("fold*_best*.pt")) if path.is_dir() or not named else [path]
    return found


def evaluate_command(options: argparse.Namespace) -> int:
    """Score trained models: on the source recordings they never saw (--oof, or no target), zero-shot on targets."""
    from rich.console import Console

    from ecg_ramba.evaluation.evaluate import evaluate
    from ecg_ramba.evaluation.report import write_report
    from ecg_ramba.evaluation.terminal import print_summary
    from ecg_ramba.files import check_writable
    from ecg_ramba.harness.contexts import cache_dir, load_named
    from ecg_ramba.harness.executors.jobs import default_workers
    from ecg_ramba.harness.progress import Progress
    from ecg_ramba.harness.trained import evaluation_folder, load_models, refuse_unknown_training, training_facts
    from ecg_ramba.render import listing

    settings = evaluation_config(options)
    paths = _checkpoints(options.ckpt)
    models = load_models(paths)
    check_writable(options.out)
    source = models[0].facts["source"]
    if source in options.target:
        raise UserError(f"{source} is what these models were trained on; score what they never saw of it with --oof")
    home = [source] if options.oof or not options.target else []
    if home:
        refuse_unknown_training(models)
    place = options.data or training_facts(paths).get("data")
    data = load_named(
        [*home, *options.target],
        Path(place) if place else None,
        cache_dir(options.out),
        models[0].signal,
        default_workers(),
        Progress(),
    )
    command = f"ecg-ramba {command_line(options.argv)}"
    scored = data.pop(0) if home else None
    folder = evaluation_folder(models, scored, data, options.out, cache_dir(options.out), command)
    evaluation = evaluate(folder, settings)
    with Progress().stage("report", unit="parts") as report:
        files = write_report(evaluation, folder, report)
    console = Console()
    print_summary(evaluation, console)
    console.print(listing(files), markup=False, highlight=False, soft_wrap=True)
    return 1 if evaluation.failures else 0


def predict_command(options: argparse.Namespace) -> int:
    """Print each class's probability for recordings, by the fold ensemble. A research tool, not a medical device."""
    from rich.console import Console

    from ecg_ramba.errors import RecordError
    from ecg_ramba.harness.predict import predict_record, prediction_json, prediction_table, read_recording
    from ecg_ramba.harness.trained import load_models

    documents = _documents(options.file, options.pdf)
    models = load_models(_checkpoints(options.ckpt))
    failed = 0
    for path in options.file:
        try:
            record = read_recording(path)
            found = predict_record(models, record)
            if path in documents:
                _write_document(documents[path], record, path, models)
        except RecordError as error:
            print(f"error: {error}", file=sys.stderr)
            failed += 1
            continue
        if options.json:
            print(prediction_json(found, path, models))
        else:
            Console().print(prediction_table(found, path, models))
        if path in documents:
            print(documents[path], file=sys.stderr if options.json else sys.stdout)
    return 2 if failed else 0


def _documents(files: list[Path], out: Path | None) -> dict[Path, Path]:
    """Where the PDF of each recording goes; nothing without ``--pdf``.

    Raises
    ------
    UserError
        If one file is named for many recordings, or two recordings would share one.
    """
    from ecg_ramba.files import check_writable

    if out is None:
        return {}
    if out.suffix.lower() == ".pdf" and not out.is_dir():
        if len(files) > 1:
            raise UserError(f"--pdf {out} is one file for {len(files)} recordings; name a folder")
        check_writable(out.parent)
        return {files[0]: out}
    check_writable(out)
    made = {path: out / f"{path.stem}.pdf" for path in files}
    if len(set(made.values())) < len(made):
        raise UserError(f"--pdf {out}: two recordings have the same name and would share one PDF")
    return made


def _write_document(out: Path, record, path: Path, models) -> None:
    from ecg_ramba.dashboard.analysis.document import report_pdf

    report_pdf(out, record, path.stem, models, {"file": path.name, "repaired while reading": list(record.warnings)})


def report_command(options: argparse.Namespace) -> int:
    """Compute every table and figure of a finished run again from its stored predictions, with the settings of its
    last report unless others are named."""
    from rich.console import Console

    from ecg_ramba.evaluation.evaluate import evaluate
    from ecg_ramba.evaluation.report import stored_settings, write_report
    from ecg_ramba.evaluation.terminal import print_summary
    from ecg_ramba.harness.progress import Progress
    from ecg_ramba.render import listing

    if not (options.run_dir / "suite.json").is_file():
        raise UserError(
            f"{options.run_dir} is no finished run (it has no suite.json); name a folder such as runs/suites/KEY"
        )
    evaluation = evaluate(options.run_dir, evaluation_config(options, stored_settings(options.run_dir)))
    recorded = {v.name for v in evaluation.suite.variants if v.failure}
    lost = [f"{name}: {why}" for name, why in evaluation.failures.items() if name not in recorded]
    if lost:
        raise UserError(
            f"{options.run_dir}: the stored predictions cannot be read ({'; '.join(lost)}); the report stays, "
            "run the suite's command again to restore them"
        )
    with Progress().stage("report", unit="parts") as report:
        files = write_report(evaluation, options.run_dir, report)
    console = Console()
    print_summary(evaluation, console)
    console.print(listing(files), markup=False, highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
