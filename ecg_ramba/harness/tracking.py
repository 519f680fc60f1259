"""MLflow: suite -> variant -> fold x seed, written from the finished results.

Tracking never decides a number: it is written after evaluation, from the files, so a run without it is the same run.
"""

import contextlib
import json
import logging
import os
import re
import socket
import sqlite3
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from urllib.parse import quote, urlparse

from ecg_ramba.errors import UserError, first_line
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.flat import mlflow_metrics, verdict_tags
from ecg_ramba.files import read_json
from ecg_ramba.harness.outputs import SuiteResult
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import searched
from ecg_ramba.keys import plain

DEFAULT_URI = "sqlite:///mlflow.db"
EXPERIMENT = "ecg-ramba-bench"
PROBE_SECONDS = 5.0
ELSEWHERE = "choose another place or --no-tracking"
LOCAL_PAGE = "http://127.0.0.1:5000"
LATER = "the results are complete; the same command logs them without training again"
_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}


def check_tracking(uri: str) -> None:
    """Ask a tracking place for its experiments before any work is done; a new local file needs only its folder.

    Raises
    ------
    UserError
        If a server does not answer within five seconds, or MLflow cannot use what is there.
    """
    try:
        parts = urlparse(uri)
        kind = parts.scheme.split("+")[0]
        if kind == "sqlite" and not _check_sqlite(uri):
            return
        if kind in _PORTS:
            address = (parts.hostname or "localhost", parts.port or _PORTS[kind])
            socket.create_connection(address, timeout=PROBE_SECONDS).close()
    except (OSError, ValueError) as error:
        raise UserError(
            f"--tracking {shown(uri)}: no server answers ({error}); start it, or leave --tracking away"
        ) from None
    patience = {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(int(PROBE_SECONDS)), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    before = {name: os.environ.get(name) for name in patience}
    os.environ.update(patience)
    try:
        with tracking(uri, ELSEWHERE) as mlflow:
            mlflow.MlflowClient().search_experiments(max_results=1)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _check_sqlite(uri: str) -> bool:
    """Whether there is a database to ask; refuses a place where none can be, and another program's."""
    name = uri.partition(":///")[2]
    place = Path(name).absolute()
    if not name or place.is_dir():
        raise UserError(f"--tracking {uri} names no file; write sqlite:///FILE, or --no-tracking")
    if not (place.parent.is_dir() and os.access(place.parent, os.W_OK)):
        raise UserError(f"--tracking {uri}: {place.parent} cannot be written; {ELSEWHERE}")
    if not place.exists() or not place.stat().st_size:
        return False
    try:
        with contextlib.closing(sqlite3.connect(f"{place.as_uri()}?mode=ro", uri=True)) as database:
            tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        raise UserError(f"--tracking {uri}: MLflow cannot use it ({error}); {ELSEWHERE}") from None
    if tables and "experiments" not in tables:
        raise UserError(f"--tracking {uri}: MLflow cannot use it (another program's database); {ELSEWHERE}")
    return True


def shown(uri: str) -> str:
    """The URI without the password that may stand in it."""
    return re.sub(r"//[^/@]*@", "//…@", uri)


@contextlib.contextmanager
def tracking(uri: str, advice: str) -> Iterator[ModuleType]:
    """MLflow, writing to ``uri``; what goes wrong there is a :class:`UserError` that ends with ``advice``."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    import mlflow
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        mlflow.set_tracking_uri(uri)
        yield mlflow
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        why = textwrap.shorten(first_line(error), 200, placeholder=" …")
        raise UserError(f"--tracking {shown(uri)}: MLflow cannot use it ({why}); {advice}") from error


def log_suite(result: SuiteResult, evaluation: Evaluation, report: list[Path], uri: str, progress: Progress) -> str:
    """Log a finished suite; returns what to do to compare its variants, in a line or two."""
    suite = read_json(result.folder / "suite.json")
    rows = read_json(result.folder / "variants.json")
    kind = "synthetic" if suite["synthetic"] else "real"
    name = f"{'SYNTHETIC ' if suite['synthetic'] else ''}{suite['source']} -> {', '.join(suite['targets'])}"
    shared = {"data": kind, "source": suite["source"], "suite": suite["key"][:16], "commit": suite["commit"]}
    with (
        progress.stage("log to MLflow", unit="variants") as tick,
        tracking(uri, LATER) as mlflow,
        experiment_run(mlflow, name, shared | {"level": "suite"}),
    ):
        for facts in suite["data"]:
            _log_input(mlflow, facts)
        mlflow.log_params(
            {
                k: suite[k]
                for k in ("source", "profile", "folds", "seeds", "label_space", "precision", "device", "backend")
            }
        )
        mlflow.log_param("targets", ", ".join(suite["targets"]))
        for path in report:
            mlflow.log_artifact(str(path), "report")
        for file in ("suite.json", "variants.json", "tasks.json", "splits.json"):
            mlflow.log_artifact(str(result.folder / file), "suite")
        runs = []
        for done, row in enumerate(rows, 1):
            run = _log_variant(mlflow, result, row, evaluation, shared, kind)
            runs += [run] if row["kind"] == "trained" and row["status"] == "ok" else []
            tick(done, len(rows))
    return _how_to_compare(uri, runs)


def _how_to_compare(uri: str, runs: list) -> str:
    """Where MLflow's page with these runs side by side is; a local store needs its server first."""
    listed = {
        "runs": [r.info.run_id for r in runs],
        "experiments": list(dict.fromkeys(r.info.experiment_id for r in runs)),
    }
    page = "/#/compare-runs?" + "&".join(f"{k}={quote(json.dumps(v))}" for k, v in listed.items())
    if uri.startswith("http"):
        return f"Compare the variants: {uri.rstrip('/')}{page}"
    server = f"mlflow ui --backend-store-uri {uri}"
    start = f"nox -s ui   (or: {server})" if uri == DEFAULT_URI else server
    return f"Compare the variants: {start}\nthen open {LOCAL_PAGE}{page}"


def experiment_run(mlflow, name: str, tags: dict):
    """A run at the top of this project's experiment."""
    mlflow.set_experiment(EXPERIMENT)
    return mlflow.start_run(run_name=name, tags=tags)


def _log_input(mlflow, facts: dict) -> None:
    """A data set's manifest: name, digest and counts, never the data."""
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    source = CodeDatasetSource(tags={k: str(v) for k, v in facts.items()})
    mlflow.log_input(MetaDataset(source, name=facts["name"], digest=facts["digest"][:32]), context="data")


def _log_variant(mlflow, result: SuiteResult, row: dict, evaluation: Evaluation, shared: dict, kind: str):
    """One variant and its cells; returns its run."""
    title = f"{'SYNTHETIC ' if kind == 'synthetic' else ''}{row['name']}"
    tags = shared | {"level": "variant", "variant": row["name"], "status": row["status"], "kind": row["kind"]}
    with mlflow.start_run(run_name=title, nested=True, tags=tags | {"claim": row["claim"]}) as run:
        (variant,) = (v for v in result.variants if v.name == row["name"])
        # The compare page opens with the first three parameters by name that differ.
        differs = ", ".join(f"{k}={v}" for k, v in (*variant.changes.items(), *variant.settings.items()))
        mlflow.log_params(
            {
                "differs by": differs or "nothing",
                "model": row["kind"] if row["kind"] in ("ensemble", "external", "plug-in") else variant.model,
                "pooling": json.dumps(row["pooling"]),
            }
        )
        if row.get("note"):
            mlflow.set_tag("note", row["note"])
        if row["status"] != "ok":
            mlflow.set_tag("reason", row["reason"])
            return run
        each = [_configuration(result, row["name"], f.number) for f in result.context.folds]
        mlflow.log_params({k: v for k, v in each[0].items() if all(c[k] == v for c in each)})
        costs = {
            "seconds": row["seconds"],
            "peak_mb": row["peak_mb"],
            "parameters": row["parameters"],
            "flops": row["flops"],
        }
        mlflow.set_tags(verdict_tags(evaluation, row["name"]))
        metrics = mlflow_metrics(evaluation, row["name"])
        mlflow.log_metrics({**metrics, **{f"cost/{k}": float(v) for k, v in costs.items() if v is not None}})
        for cell in result.cells.get(row["name"], []):
            _log_cell(mlflow, cell, row["name"], shared, _configuration(result, row["name"], cell["fold"]))
    return run


def _configuration(result: SuiteResult, name: str, fold: int) -> dict:
    """A variant's settings on a fold; {} for pooling variants, which have none of their own."""
    (variant,) = (v for v in result.variants if v.name == name)
    if not variant.trained:
        return {}
    suite = result.context.suite
    config = variant.configuration(suite.profile, searched(suite, variant.model, fold).get("config"))
    return {f"model.{k}": v for k, v in plain(config).items() if k != "__class__"} | dict(variant.settings)


def _log_cell(mlflow, cell: dict, variant: str, shared: dict, config: dict) -> None:
    """One fold x seed: its settings, the loss curve, time and memory."""
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

    log = cell["log"]
    tags = shared | {
        "level": "cell",
        "variant": variant,
        "fold": str(cell["fold"]),
        "seed": str(cell["seed"]),
        "key": cell["key"],
    }
    with mlflow.start_run(run_name=f"{variant} fold {cell['fold']} seed {cell['seed']}", nested=True, tags=tags) as run:
        mlflow.log_params(config)
        curves = [
            Metric(name, float(value), run.info.start_time, epoch)
            for name in ("loss", "learning_rate")
            for epoch, value in enumerate(log.get(name, []), 1)
        ]
        names = ("seconds", "peak_rss_mb", "parameters", "windows")
        names += ("final_loss_raw", "final_loss_ema", "precision_difference")
        totals = [Metric(name, float(log[name]), run.info.start_time, 0) for name in names if name in log]
        MlflowClient().log_batch(run.info.run_id, metrics=curves + totals)
