"""``ecg-ramba``: data, models, training, evaluation, prediction, reports.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once.
"""

import argparse
import sys
from pathlib import Path

from ecg_ramba import __version__
from ecg_ramba.errors import UserError
from ecg_ramba.harness.options import (
    Parser,
    add_suite_options,
    add_support_options,
    command_line,
    evaluation_config,
    positive,
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
    _data_commands(commands)
    _model_commands(commands)
    _train_command(commands)
    _evaluate_command(commands)
    _predict_command(commands)
    report = commands.add_parser(
        "report", help="write the report of a finished run again", description=report_command.__doc__
    )
    report.add_argument("run_dir", metavar="RUN", type=Path, help="a suite's folder: runs/suites/KEY")
    add_support_options(report)
    report.set_defaults(run=report_command)
    return made


def _group(commands, name: str, help: str):
    group = commands.add_parser(name, help=help, description=help)
    group.set_defaults(parser=group)
    return group.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)


def _data_commands(commands) -> None:
    data = _group(commands, "data", "download and check data sets, make the synthetic cohort")
    _download_command(data)
    check = data.add_parser(
        "check", help="what is in a folder, and what is wrong with it", description=data_check.__doc__
    )
    check.add_argument("folder", metavar="DIR", type=Path)
    check.add_argument("--only", nargs="+", metavar="NAME", help="only these data sets")
    check.add_argument("--json", type=Path, metavar="FILE", help="also write everything as JSON")
    check.set_defaults(run=data_check)
    labels = data.add_parser("labels", help="the 27 classes, where and how often", description=data_labels.__doc__)
    labels.add_argument("folder", metavar="DIR", type=Path, nargs="?", help="count in this folder (default: releases)")
    labels.set_defaults(run=data_labels)
    synthesize = data.add_parser("synthesize", help="write the synthetic cohort", description=data_synthesize.__doc__)
    synthesize.add_argument("folder", metavar="OUT", type=Path)
    synthesize.add_argument("--seed", type=int, default=0)
    synthesize.set_defaults(run=data_synthesize)


def _download_command(data) -> None:
    download = data.add_parser("download", help="a data set from PhysioNet", description=data_download.__doc__)
    download.add_argument("name", metavar="NAME", help="chapman, cpsc2021, ptbxl, georgia or ludb")
    download.add_argument("--to", type=Path, required=True, metavar="DIR", help="it goes into the folder DIR/NAME")
    download.add_argument(
        "--sample", type=positive, metavar="N", help="only N records with as many labels as can be, and the tables"
    )
    download.add_argument("--seed", type=int, default=0, metavar="N", help="of the sample (default 0)")
    download.add_argument("--mirror", metavar="URL", help="a server with the layout of https://physionet.org/files")
    download.add_argument(
        "--connections", type=positive, default=4, metavar="N", help="files fetched at a time (default 4, at most 8)"
    )
    download.set_defaults(run=data_download)


def _model_commands(commands) -> None:
    model = _group(commands, "model", "list and summarise models")
    listing = model.add_parser("list", help="registered models", description=model_list.__doc__)
    listing.set_defaults(run=model_list)
    summary = model.add_parser("summary", help="parts, parameters, FLOPs", description=model_summary.__doc__)
    summary.add_argument("name", metavar="NAME")
    summary.add_argument("--profile", default="small", help="small (default) or full")
    summary.set_defaults(run=model_summary)
    export = model.add_parser("export", help="a trained network as ONNX", description=model_export.__doc__)
    export.add_argument("--ckpt", type=Path, required=True, metavar="FILE", help="a checkpoint: models/fold1_best.pt")
    export.add_argument("--out", type=Path, metavar="FILE", help="default: the checkpoint's name with .onnx")
    export.set_defaults(run=model_export)
    published = model.add_parser("import", help="the published ECG-RAMBA checkpoints", description=model_import.__doc__)
    published.add_argument("file", metavar="FILE", type=Path, nargs="+", help="the release's fold1_best.pt …, in order")
    published.add_argument(
        "--basis",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="principal components as .npz: one file, or one a fold",
    )
    published.add_argument(
        "--models", type=Path, default=Path("models"), metavar="DIR", help="where they go (default: models)"
    )
    published.add_argument(
        "--labels", default="merged24", metavar="SPACE", help="labels they are scored in: merged24 (default) or paper27"
    )
    published.add_argument(
        "--as-released",
        action="store_true",
        help="read recordings as the release did abroad: whole 10 s, no band-pass, absent leads as zeros",
    )
    published.set_defaults(run=model_import)


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
    predict.set_defaults(run=predict_command)


def data_download(options: argparse.Namespace) -> int:
    """Download a data set from PhysioNet and check every file against the publisher's SHA-256. Stopped at any moment,
    the same command goes on from there; exit status 1 when files could not be had."""
    from ecg_ramba.data.download import download
    from ecg_ramba.data.published import PHYSIONET
    from ecg_ramba.harness.progress import Progress

    outcome = download(
        options.name,
        options.to,
        mirror=options.mirror or PHYSIONET,
        connections=options.connections,
        sample=options.sample,
        seed=options.seed,
        progress=Progress(),
    )
    print(f"{outcome.folder}: {outcome.fetched} files fetched, {outcome.there} were there")
    for line in outcome.problems():
        print(line, file=sys.stderr)
    print(f"check it: ecg-ramba data check {command_line([str(options.to)])}")
    return 1 if outcome.missing or outcome.failed else 0


def data_check(options: argparse.Namespace) -> int:
    """Print data sets, records, subjects, labels, rates, duplicates, dead leads and refused files of a folder."""
    from rich.console import Console

    from ecg_ramba.data.check import check
    from ecg_ramba.data.check_text import render
    from ecg_ramba.files import check_writable, write_text
    from ecg_ramba.harness.progress import Progress

    if options.json:
        if options.json.is_dir():
            raise UserError(f"--json {options.json} is a folder; name a file")
        check_writable(options.json.parent)
    with Progress().stage("read", unit="recordings") as report:
        found = check(options.folder, options.only, progress=report)
    render(found, Console())
    if options.json:
        write_text(options.json, found.to_json())
    return 0


def data_labels(options: argparse.Namespace) -> int:
    """Print the 27 classes: codes, what is merged, records by data set and hospital, and where a class is unknown."""
    from rich.console import Console

    from ecg_ramba.data.check import check
    from ecg_ramba.data.labels_text import of_releases, of_report, render_labels
    from ecg_ramba.harness.progress import Progress

    if options.folder is None:
        places, what = of_releases(), "the publishers' full releases (cpsc2021: subjects, not records)"
    else:
        with Progress().stage("read", unit="recordings") as report:
            places, what = of_report(check(options.folder, progress=report)), str(options.folder)
    render_labels(places, what, Console())
    return 0


def data_synthesize(options: argparse.Namespace) -> int:
    """Write the synthetic cohort (planted rhythm, morphology and shortcut; no patient's data) as WFDB files."""
    from ecg_ramba.data.synthetic import CohortConfig, synthesize
    from ecg_ramba.harness.progress import Progress

    with Progress().stage("synthesize", unit="recordings") as report:
        synthesize(options.folder, CohortConfig(seed=options.seed), report)
    print(f"synthetic cohort (seed {options.seed}) written to {options.folder}")
    sites = "--source synthetic-source --target synthetic-rhythm synthetic-third"
    print(f"use it: nox -s ablations -- --data {options.folder} {sites}")
    return 0


def model_list(options: argparse.Namespace) -> int:
    """List the registered models with their references; exit status 1 when one cannot be imported."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from ecg_ramba.models import model_names, model_spec

    failed = 0
    table = Table("name", "title", "kind", "reference")
    for name in model_names():
        try:
            spec = model_spec(name)
        except UserError as error:
            table.add_row(name, "", "failed", escape(str(error)))
            failed = 1
        else:
            table.add_row(spec.name, spec.title, spec.kind, spec.reference)
    Console().print(table)
    return failed


def model_summary(options: argparse.Namespace) -> int:
    """Print a model's parts with output shapes, parameters and FLOPs of one window."""
    from rich.console import Console

    from ecg_ramba.models import PROFILES, model_spec
    from ecg_ramba.nn.summary import print_summary

    spec = model_spec(options.name)
    if options.profile not in PROFILES:
        raise UserError(f"--profile {options.profile!r} is none of {', '.join(PROFILES)}")
    print_summary(spec, options.profile, Console())
    return 0


def model_export(options: argparse.Namespace) -> int:
    """Write a fold's network as ONNX: signal, MiniRocket components and HRV of windows in, probabilities out."""
    from ecg_ramba.harness.export import export_onnx, input_names
    from ecg_ramba.harness.trained import load_models

    (model,) = load_models([options.ckpt])
    path = options.out or options.ckpt.with_suffix(".onnx")
    difference = export_onnx(options.ckpt, path)
    print(f"{path}: {', '.join(input_names(model))} -> probabilities of {len(model.classes)} classes")
    print(f"equal to the network within {difference:.1g} in onnxruntime")
    return 0


def model_import(options: argparse.Namespace) -> int:
    """Turn published ECG-RAMBA checkpoints into fold models that evaluate and predict read; their code never runs."""
    from ecg_ramba.files import check_writable
    from ecg_ramba.harness.released import import_published

    check_writable(options.models)
    settings = {"labels": options.labels, "as_released": options.as_released}
    for path in import_published(options.file, options.basis or [None], options.models, **settings):
        print(path)
    print(f"score them: ecg-ramba evaluate --ckpt {options.models}/fold*_best.pt --data DIR --target cpsc2021 ptbxl")
    return 0


def train_command(options: argparse.Namespace) -> int:
    """Train one model on all folds and leave models/fold1_best.pt … with SHA256SUMS."""
    from ecg_ramba.files import check_writable
    from ecg_ramba.harness.config import Variant
    from ecg_ramba.harness.executor import default_workers
    from ecg_ramba.harness.progress import Progress
    from ecg_ramba.harness.suite import run_suite
    from ecg_ramba.harness.trained import publish_models
    from ecg_ramba.models import model_spec

    spec = model_spec(options.model)
    options.target = []
    config = suite_config(options)
    variant = Variant(name=spec.name, title=spec.title, model=spec.name)
    workers = options.workers or default_workers()
    command = f"ecg-ramba {command_line(options.argv)}"
    check_writable(options.models)
    result = run_suite(config, [variant], options.data, options.out, workers, Progress(), command)
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
    from ecg_ramba.harness.executor import default_workers
    from ecg_ramba.harness.progress import Progress
    from ecg_ramba.harness.trained import evaluation_folder, load_models, refuse_unknown_training, training_facts

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
    files = write_report(evaluation, folder)
    console = Console()
    print_summary(evaluation, console)
    console.print("Files:", *(str(f) for f in files), sep="\n  ", highlight=False, soft_wrap=True)
    return 1 if evaluation.failures else 0


def predict_command(options: argparse.Namespace) -> int:
    """Print each class's probability for recordings, by the fold ensemble. A research tool, not a medical device."""
    from rich.console import Console

    from ecg_ramba.errors import RecordError
    from ecg_ramba.harness.predict import predict_record, prediction_json, prediction_table, read_recording
    from ecg_ramba.harness.trained import load_models

    models = load_models(_checkpoints(options.ckpt))
    failed = 0
    for path in options.file:
        try:
            found = predict_record(models, read_recording(path))
        except RecordError as error:
            print(f"error: {error}", file=sys.stderr)
            failed += 1
            continue
        if options.json:
            print(prediction_json(found, path, models))
        else:
            Console().print(prediction_table(found, path, models))
    return 2 if failed else 0


def report_command(options: argparse.Namespace) -> int:
    """Compute every table and figure of a finished run again from its stored predictions, with the settings of its
    last report unless others are named."""
    from rich.console import Console

    from ecg_ramba.evaluation.evaluate import evaluate
    from ecg_ramba.evaluation.report import stored_settings, write_report
    from ecg_ramba.evaluation.terminal import print_summary

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
    console = Console()
    files = write_report(evaluation, options.run_dir)
    print_summary(evaluation, console)
    console.print("Files:", *(str(f) for f in files), sep="\n  ", highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
