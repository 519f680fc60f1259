"""MLflow: suite -> variant -> fold x seed, written from the finished results.

Tracking never decides a number: it is written after evaluation, from the files, so a run without it is the same run.
"""

import json
import os
import socket
from pathlib import Path
from urllib.parse import urlparse

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.files import read_json
from ecg_ramba.harness.outputs import SuiteResult
from ecg_ramba.harness.progress import Progress
from ecg_ramba.keys import plain

DEFAULT_URI = "sqlite:///mlflow.db"
EXPERIMENT = "ecg-ramba-bench"
PROBE_SECONDS = 5.0


def check_tracking(uri: str) -> None:
    """Probe a tracking server, or the place of a local store, before any work is done.

    Raises
    ------
    UserError
        If the server does not answer within five seconds, or the scheme is not one that MLflow knows.
    """
    parts = urlparse(uri)
    if parts.scheme in ("http", "https"):
        port = parts.port or (443 if parts.scheme == "https" else 80)
        _probe(uri, parts.hostname or "", port)
    elif parts.scheme.split("+")[0] in ("postgresql", "mysql", "mssql"):
        port = parts.port or {"postgresql": 5432, "mysql": 3306, "mssql": 1433}[parts.scheme.split("+")[0]]
        _probe(uri, parts.hostname or "localhost", port)
    elif parts.scheme in ("sqlite", "file", ""):
        place = Path(uri.split("sqlite:///")[-1].removeprefix("file://")).absolute().parent
        if not os.access(place, os.W_OK):
            raise UserError(f"--tracking {uri}: {place} cannot be written; choose another place or --no-tracking")
    elif parts.scheme not in ("databricks", "databricks-uc"):
        raise UserError(
            f"--tracking {uri}: MLflow knows sqlite:///FILE, http(s)://HOST, postgresql://…; got {parts.scheme!r}"
        )


def _probe(uri: str, host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), timeout=PROBE_SECONDS).close()
    except OSError as error:
        raise UserError(
            f"--tracking {uri}: no server answers at {host}:{port} ({error}); start it, or leave --tracking away"
        ) from None


def log_suite(result: SuiteResult, evaluation: Evaluation, report: list[Path], uri: str, progress: Progress) -> str:
    """Log a finished suite; returns the line to paste to look at it."""
    import mlflow

    from ecg_ramba.evaluation.flat import mlflow_metrics

    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(EXPERIMENT)
    suite = read_json(result.folder / "suite.json")
    rows = read_json(result.folder / "variants.json")
    kind = "synthetic" if suite["synthetic"] else "real"
    name = f"{'SYNTHETIC ' if suite['synthetic'] else ''}{suite['source']} -> {', '.join(suite['targets'])}"
    shared = {"data": kind, "source": suite["source"], "suite": suite["key"][:16], "commit": suite["commit"]}
    with (
        progress.stage("log to MLflow", unit="variants") as tick,
        mlflow.start_run(run_name=name, tags=shared | {"level": "suite"}),
    ):
        for facts in suite["data"]:
            _log_input(mlflow, facts)
        mlflow.log_params(
            {k: suite[k] for k in ("source", "profile", "folds", "seeds", "label_space", "precision", "device")}
        )
        mlflow.log_param("targets", ", ".join(suite["targets"]))
        for path in report:
            mlflow.log_artifact(str(path), "report")
        for file in ("suite.json", "variants.json", "tasks.json", "splits.json"):
            mlflow.log_artifact(str(result.folder / file), "suite")
        for done, row in enumerate(rows, 1):
            _log_variant(mlflow, result, row, mlflow_metrics(evaluation, row["name"]), shared, kind)
            tick(done, len(rows))
    return f"mlflow ui --backend-store-uri {uri}"


def _log_input(mlflow, facts: dict) -> None:
    """A data set's manifest: name, digest and counts, never the data."""
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    source = CodeDatasetSource(tags={k: str(v) for k, v in facts.items()})
    mlflow.log_input(MetaDataset(source, name=facts["name"], digest=facts["digest"][:32]), context="data")


def _log_variant(mlflow, result: SuiteResult, row: dict, metrics: dict, shared: dict, kind: str) -> None:
    title = f"{'SYNTHETIC ' if kind == 'synthetic' else ''}{row['name']}"
    tags = shared | {"level": "variant", "variant": row["name"], "status": row["status"], "kind": row["kind"]}
    with mlflow.start_run(run_name=title, nested=True, tags=tags):
        mlflow.log_params({"variant": row["name"], "pooling": json.dumps(row["pooling"]), "claim": row["claim"]})
        if row["status"] != "ok":
            mlflow.set_tag("reason", row["reason"])
            return
        config = _configuration(result, row["name"])
        mlflow.log_params({f"model.{k}": v for k, v in config.items()})
        costs = {
            "seconds": row["seconds"],
            "peak_mb": row["peak_mb"],
            "parameters": row["parameters"],
            "flops": row["flops"],
        }
        mlflow.log_metrics({**metrics, **{f"cost/{k}": float(v) for k, v in costs.items() if v is not None}})
        for cell in result.cells.get(row["name"], []):
            _log_cell(mlflow, cell, row["name"], shared)


def _configuration(result: SuiteResult, name: str) -> dict:
    (variant,) = (v for v in result.variants if v.name == name)
    if variant.windows_of:
        return {}
    return {k: v for k, v in plain(variant.configuration(result.context.suite.profile)).items() if k != "__class__"}


def _log_cell(mlflow, cell: dict, variant: str, shared: dict) -> None:
    """One fold x seed: the loss curve, time and memory."""
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
        curves = [
            Metric(name, float(value), run.info.start_time, epoch)
            for name in ("loss", "learning_rate")
            for epoch, value in enumerate(log.get(name, []), 1)
        ]
        totals = [
            Metric(name, float(log[name]), run.info.start_time, 0)
            for name in ("seconds", "peak_rss_mb", "parameters", "windows", "final_loss_raw", "final_loss_ema")
            if name in log
        ]
        MlflowClient().log_batch(run.info.run_id, metrics=curves + totals)
