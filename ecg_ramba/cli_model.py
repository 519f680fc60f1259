"""``ecg-ramba model``: list and summarise models, export one, import the published checkpoints."""

import argparse
from pathlib import Path

from ecg_ramba.errors import UserError
from ecg_ramba.harness.options import add_tracking_options, command_group


def add_model_commands(commands) -> None:
    """The group and its commands."""
    model = command_group(commands, "model", "list and summarise models")
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
        "--models", type=Path, default=Path("published"), metavar="DIR", help="where they go (default: published)"
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
    registered = model.add_parser(
        "register", help="fold models in MLflow's registry", description=model_register.__doc__
    )
    registered.add_argument("run_folder", metavar="RUN", type=Path, help="a finished run: runs/suites/KEY")
    registered.add_argument("--variant", default="ecg_ramba", metavar="NAME", help="default: ecg_ramba")
    registered.add_argument("--seed", type=int, default=0, metavar="N", help="training seed (default 0)")
    registered.add_argument("--name", metavar="NAME", help="of the registered model (default: the variant's)")
    add_tracking_options(registered, optional=False)
    registered.set_defaults(run=model_register)


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
    print(f"score them: ecg-ramba evaluate --ckpt {options.models} --data DIR --target cpsc2021 ptbxl")
    return 0


def model_register(options: argparse.Namespace) -> int:
    """Register a variant's fold models, each and all together, with their code: raw signals in, probabilities out."""
    from ecg_ramba.files import read_json
    from ecg_ramba.harness.served import checkpoints_of, register
    from ecg_ramba.harness.tracking import check_tracking

    suite = read_json(options.run_folder / "suite.json")
    paths = checkpoints_of(options.run_folder.absolute(), options.variant, options.seed)
    check_tracking(options.tracking)
    facts = {
        "suite": suite["key"][:16],
        "variant": options.variant,
        "source": suite["source"],
        "commit": suite["commit"],
    }
    facts["data"] = "synthetic" if suite["synthetic"] else "real"
    made = register(paths, options.name or options.variant, facts, options.tracking)
    for name in made:
        print(name)
    command = f"mlflow models predict -m {made[-1]} --env-manager local -i FILE"
    print(f"try it: MLFLOW_TRACKING_URI={options.tracking} {command}")
    return 0
