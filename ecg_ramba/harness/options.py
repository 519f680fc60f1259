"""Command-line options that every command of the harness shares, and how they become a configuration.

Plain argparse: it starts at once and takes lists of names (``--target cpsc2021 ptbxl``).
"""

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ecg_ramba.errors import PlugInWarning, UserError


class Parser(argparse.ArgumentParser):
    """argparse with full option names only, so that a typing mistake is an error and never another option."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs, allow_abbrev=False)


def positive(text: str) -> int:
    """A whole number of at least 1."""
    value = int(text) if text.lstrip("+-").isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


def results_place(text: str) -> Path:
    """Where results go: a folder, or this machine's folder for what is kept at a URL."""
    from ecg_ramba.shared.places import is_url, shared_folder

    return shared_folder(text) if is_url(text) else Path(text)


def add_suite_options(parser: argparse.ArgumentParser, targets: bool = True, source: bool = True) -> None:
    """Options that choose data, profile, folds, device and place."""
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data", type=Path, metavar="DIR", help="folder with the data sets; without it: the synthetic cohort"
    )
    if source:
        data.add_argument("--source", metavar="NAME", help="data set to train on (default: chapman)")
    if targets:
        data.add_argument(
            "--target",
            nargs="+",
            metavar="NAME",
            help="data sets to score zero-shot (default: those of cpsc2021, ptbxl, georgia that are there)",
        )
    data.add_argument("--labels", default="merged24", metavar="SPACE", help="merged24 (default) or paper27")
    run = parser.add_argument_group("run")
    run.add_argument("--profile", default="small", help="small: two CPU cores (default); full: the paper's sizes")
    run.add_argument("--folds", type=positive, default=5, metavar="N", help="folds on subjects (default 5)")
    run.add_argument("--seeds", type=positive, metavar="N", help="training seeds (default: 1 for small, 3 for full)")
    run.add_argument(
        "--base-seed", type=int, default=0, metavar="N", help="seed of splits, weights and batches (default 0)"
    )
    run.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    run.add_argument("--precision", default="fp32", help="fp32 (default), medium or bf16")
    run.add_argument(
        "--backend", default="auto", help="of the selective scan: auto (default), torch, native (CPU), mamba_ssm (CUDA)"
    )
    run.add_argument(
        "--config", metavar="NAME", help="configurations that a search found (studies), by their name or file"
    )
    run.add_argument(
        "--out",
        type=results_place,
        default=Path("runs"),
        metavar="DIR",
        help="results and cache: a folder (default: runs), or a URL, s3://BUCKET/runs, for machines that share none",
    )
    add_executor_options(parser)


def add_executor_options(parser: argparse.ArgumentParser) -> None:
    """Options that say where jobs run: on this machine, or on a Ray cluster."""
    where = parser.add_argument_group("where jobs run")
    where.add_argument(
        "--workers", type=positive, metavar="N", help="worker processes of one thread each (default: one a core)"
    )
    where.add_argument(
        "--executor", choices=("local", "ray"), default="local", help="this machine (default), or a Ray cluster"
    )
    where.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="the cluster's head (default: the one that RAY_ADDRESS names, or is here)",
    )
    where.add_argument(
        "--gpus",
        type=float,
        default=1.0,
        metavar="N",
        help="GPUs of a job on the cluster, 0.5: two share one (default 1)",
    )


def add_only_option(parser: argparse.ArgumentParser, default: Sequence[str]) -> None:
    """The variants of a study."""
    said = f"variants or groups (default: {', '.join(default)})"
    parser.add_argument("--only", nargs="+", default=list(default), metavar="NAME", help=said)


def add_tracking_options(parser: argparse.ArgumentParser, optional: bool = True) -> None:
    """Options for MLflow; ``optional``: whether it can be done without."""
    tracking = parser.add_argument_group("tracking")
    tracking.add_argument(
        "--tracking",
        default="sqlite:///mlflow.db",
        metavar="URI",
        help="MLflow tracking URI (default: sqlite:///mlflow.db)",
    )
    if optional:
        tracking.add_argument("--no-tracking", action="store_true", help="log nothing to MLflow")


def add_support_options(parser: argparse.ArgumentParser) -> None:
    """Options of the evaluation: how well known a class must be to enter a macro average, and a further score."""
    support = parser.add_argument_group("evaluation")
    support.add_argument("--min-positives", type=positive, metavar="N", help="positives a class needs (default 30)")
    support.add_argument("--min-subjects", type=positive, metavar="N", help="positive subjects it needs (default 10)")
    support.add_argument(
        "--challenge-weights",
        metavar="FILE",
        help="PhysioNet 2021's weights.csv, for its challenge's score (none: without, as by default)",
    )


def evaluation_config(options: argparse.Namespace, base=None):
    """The :class:`EvaluationConfig` that the options describe, on top of ``base``; files it names are read once."""
    import dataclasses

    from ecg_ramba.evaluation.challenge_weights import read_weights
    from ecg_ramba.evaluation.config import EvaluationConfig

    named = {k: getattr(options, k) for k in ("min_positives", "min_subjects")}
    if options.challenge_weights == "none":
        named |= {"challenge_weights": "", "challenge_sha256": ""}
    elif options.challenge_weights:
        path = Path(options.challenge_weights).absolute()
        named |= {"challenge_weights": str(path), "challenge_sha256": read_weights(path).sha256}
    return dataclasses.replace(base or EvaluationConfig(), **{k: v for k, v in named.items() if v is not None})


def resolve_device(name: str) -> str:
    """``auto`` becomes cuda where there is one, else cpu; a device that is not there is an error."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"--device {name!r} is none of auto, cpu, cuda, cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"--device {name!r} is none of auto, cpu, cuda, cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"--device {name}: this machine has no usable CUDA GPU; use --device cpu")
    return name


def suite_config(options: argparse.Namespace):
    """The :class:`SuiteConfig` that the options describe."""
    from ecg_ramba.data.registry import locate
    from ecg_ramba.harness import config as c
    from ecg_ramba.nn.backends import resolve

    real = options.data is not None
    source = options.source or (c.DEFAULT_SOURCE if real else c.SYNTHETIC_SOURCE)
    targets = getattr(options, "target", None)
    if targets is None:
        wanted = c.DEFAULT_TARGETS if real else c.SYNTHETIC_TARGETS
        wanted = [t for t in wanted if t != source]
        if real:
            there = locate(options.data, None)
            wanted = [t for t in wanted if t in there]
            if source == "ptbxl" and "chapman" in there:
                wanted.insert(0, "chapman")
        targets = wanted
    device = resolve_device(options.device)
    seeds = options.seeds or (3 if options.profile == "full" else 1)
    overrides = read_overrides(options.config, options.profile, options.out) if options.config else {}
    return c.SuiteConfig(
        source=source,
        targets=tuple(targets),
        label_space=options.labels,
        profile=options.profile,
        folds=options.folds,
        seeds=seeds,
        base_seed=options.base_seed,
        device=device,
        precision=options.precision,
        backend=resolve(options.backend, device),
        overrides=overrides,
    )


def configurations(out: Path) -> Path:
    """Where searches leave named configurations, below the results."""
    return out / "configurations"


def read_overrides(named: str, profile: str, out: Path) -> dict:
    """The best configurations of a search: {model: {fold: {"config": …, "training_part": digest}}}.

    Parameters
    ----------
    named : str
        A file, or the name under which a search left it.
    profile : str
        Of the run: a search of another one does not fit.
    out : Path
        The results.
    """
    from ecg_ramba.errors import unknown_name
    from ecg_ramba.files import read_json
    from ecg_ramba.shared.pieces import fetch_file

    path = Path(named)
    if not path.is_file() and path.name == named and not path.suffix:
        path = configurations(out) / f"{named}.json"
        fetch_file(path)
        if not path.is_file():
            there = sorted(p.stem for p in configurations(out).glob("*.json"))
            raise unknown_name("configuration", named, there or ["none; nox -s studies -- search ecg_ramba makes one"])
    content = read_json(path)
    if not isinstance(content, dict) or not {"profile", "best", "objective"} <= set(content):
        raise UserError(
            f"{path} is no configuration file of a search; make one with: nox -s studies -- search ecg_ramba"
        )
    if content["profile"] != profile:
        raise UserError(f"{path} was searched under --profile {content['profile']}, this run's is {profile}")
    keep = ("config", "training_part")
    try:
        return {
            str(model): {fold: {k: facts[k] for k in keep} for fold, facts in folds.items()}
            for model, folds in content["best"].items()
        }
    except (AttributeError, KeyError, TypeError):
        raise UserError(f"{path} is damaged; search again: nox -s studies -- search ecg_ramba") from None


def run_command(function: Callable[[], int | None]) -> int:
    """Run a command; a user's mistake is one line and exit status 2, an interruption says what was kept.

    Under ``torchrun`` the process ends here.
    """
    code = _run(function)
    if os.environ.get("TORCHELASTIC_RUN_ID"):
        from ecg_ramba.harness.executors.torchrun import leave

        leave(code)
    return code


def _run(function: Callable[[], int | None]) -> int:
    from ecg_ramba.errors import LeakageError

    try:
        with _plain_warnings():
            return function() or 0
    except LeakageError as error:
        print(f"error: leakage refused: {error}", file=sys.stderr)
        return 3
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted: everything finished is kept; the same command goes on from there", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show the warning of a plug-in that is left out as one line, once, without a place in the code."""
    said: set[str] = set()
    with warnings.catch_warnings():
        otherwise = warnings.showwarning

        def show(message, category, *rest, **more):
            if not issubclass(category, PlugInWarning):
                otherwise(message, category, *rest, **more)
            elif str(message) not in said:
                said.add(str(message))
                print(f"warning: {message}", file=sys.stderr)

        warnings.showwarning = show
        yield


def command_line(argv: Sequence[str]) -> str:
    """The command as it can be pasted again."""
    import shlex

    return shlex.join(argv)


def command_group(commands, name: str, help: str):
    """A command that only has commands of its own, which its result takes."""
    group = commands.add_parser(name, help=help, description=help)
    group.set_defaults(parser=group)
    return group.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
