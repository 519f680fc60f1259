"""Fold models as MLflow models: raw recordings in, probabilities out, with the package's code inside.

``mlflow models predict`` and ``mlflow models serve`` run them in an environment that has their pinned requirements and
nothing of this project: the code they need travels with them, entry points included.
"""

import importlib
import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.pyfunc import PythonModel
from mlflow.types.schema import Array, ColSpec, DataType, Schema

from ecg_ramba.data.base import lone_record
from ecg_ramba.data.leads import LEADS, canonical_lead
from ecg_ramba.data.record import Record
from ecg_ramba.errors import RecordError, UserError
from ecg_ramba.files import read_json
from ecg_ramba.harness.checkpoint import load_fold_model
from ecg_ramba.harness.predict import predict_record

DISTRIBUTION = "ecg-ramba-bench"
PACKAGES = ("ecg_ramba", "baselines")
"""What travels with a model, besides the entry points by which its kind is found."""
REQUIRED = (
    *("torch", "numpy", "pandas", "pyarrow", "scipy", "scikit-learn", "numba", "sktime", "neurokit2", "wfdb"),
    *("threadpoolctl", "statsmodels", "mlflow"),
)
"""Distributions that prediction imports; pinned to what they are here."""


class ServedModel(PythonModel):
    """One fold's model, or several folds' together, exactly as ``ecg-ramba predict`` runs them."""

    def load_context(self, context) -> None:
        """Read the checkpoints; nothing of them is code."""
        self.models = [load_fold_model(Path(path)) for _, path in sorted(context.artifacts.items())]

    def predict(self, context, model_input: pd.DataFrame, params: dict | None = None) -> pd.DataFrame:
        """A row of probabilities for each recording; NaN for classes that were not trained.

        Parameters
        ----------
        context
            MLflow's.
        model_input : DataFrame
            ``signal``: leads by samples, in millivolts; ``leads``: their names, with commas between; ``rate``: samples
            per second.
        params : dict, optional
            Not used.

        Raises
        ------
        RecordError
            If a recording cannot be used, with the cause.
        """
        rows = []
        for i, row in enumerate(model_input.to_dict("records")):
            classes = predict_record(self.models, _record(f"recording {i + 1}", row)).classes
            rows.append(dict(zip(classes["class"], classes["probability"], strict=True)))
        return pd.DataFrame(rows)


def _record(name: str, row: dict) -> Record:
    """A recording from one row of the input."""
    named = [lead.strip() for lead in str(row["leads"]).split(",")]
    if unknown := [lead for lead in named if canonical_lead(lead) is None]:
        raise RecordError(name, f"lead {unknown[0]!r} is none of {', '.join(LEADS)}")
    leads = tuple(map(canonical_lead, named))
    try:
        signal = np.array([np.asarray(lead, dtype=np.float32) for lead in row["signal"]])
        rate = float(row["rate"])
    except (TypeError, ValueError) as error:
        raise RecordError(
            name, f"its signal is no leads by samples of one length, or its rate no number ({error})"
        ) from None
    if signal.ndim != 2 or len(signal) != len(leads):
        raise RecordError(name, f"its signal has shape {signal.shape}, and {len(leads)} leads are named")
    if len(set(leads)) < len(leads):
        raise RecordError(name, "a lead is named twice")
    if not np.isfinite(rate) or rate <= 0:
        raise RecordError(name, f"{rate} is no number of samples per second")
    return lone_record("served", name, signal, leads, rate)


def signature(classes: Sequence[str]) -> ModelSignature:
    """What goes in and what comes out."""
    signal = ColSpec(Array(Array(DataType.double)), "signal")
    given = [signal, ColSpec(DataType.string, "leads"), ColSpec(DataType.double, "rate")]
    return ModelSignature(Schema(given), Schema([ColSpec(DataType.double, c) for c in classes]))


def example() -> pd.DataFrame:
    """Ten seconds of twelve leads, synthetic: a beat a second."""
    t = np.arange(5000) / 500
    beat = np.exp(-(((t % 1) - 0.4) ** 2) / 2e-4) + 0.2 * np.exp(-(((t % 1) - 0.7) ** 2) / 3e-3)
    signal = [(np.round(gain * beat, 3)).tolist() for gain in np.linspace(0.4, 1.5, len(LEADS))]
    return pd.DataFrame({"signal": [signal], "leads": [",".join(LEADS)], "rate": [500.0]})


def requirements() -> list[str]:
    """Pinned requirements of prediction, as they are installed here (local build tags left out)."""
    return [f"{name}=={version(name).partition('+')[0]}" for name in REQUIRED]


def checkpoints_of(run: Path, variant: str, seed: int = 0) -> list[Path]:
    """The fold models of a finished run's variant, in order.

    Raises
    ------
    UserError
        If the run has no such variant, or its cells are not there any more.
    """
    rows = read_json(run / "cells.json")
    cells = sorted((r for r in rows if r["variant"] == variant and r["seed"] == seed), key=lambda r: r["fold"])
    if not cells:
        there = ", ".join(sorted({r["variant"] for r in rows}))
        raise UserError(f"{run} has no trained variant {variant!r} of seed {seed}; it has: {there}")
    paths = [run.parent.parent / "cells" / r["key"][:24] / "model.pt" for r in cells]
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path} is not there any more; run the suite again")
    return paths


def register(paths: Sequence[Path], name: str, facts: dict[str, str], uri: str) -> list[str]:
    """Log each fold's model, and all of them together, and register them as ``NAME-fold1``, … and ``NAME``.

    Parameters
    ----------
    paths : sequence of Path
        Checkpoints, one a fold.
    name : str
        Of the registered model.
    facts : dict
        Tags of the run.
    uri : str
        MLflow's tracking and registry place.

    Returns
    -------
    list of str
        ``models:/NAME/VERSION`` of each.

    Raises
    ------
    UserError
        If MLflow cannot use the place, or a model's kind is of a package that does not travel with it.
    """
    from ecg_ramba.harness.tracking import experiment_run, tracking

    models = [load_fold_model(path) for path in paths]
    package = models[0].spec.build.__module__.partition(".")[0]
    if package not in PACKAGES:
        raise UserError(f"models of {package} cannot be registered: only this project's code travels with them")
    sets = [(f"{name}-fold{m.facts['fold']}", [p]) for m, p in zip(models, paths, strict=True)] + [(name, list(paths))]
    made = []
    with tempfile.TemporaryDirectory() as scratch, tracking(uri, "the models are kept in the run") as mlflow:
        code = _code(Path(scratch))
        synthetic = "SYNTHETIC " if models[0].facts["synthetic"] else ""
        with experiment_run(mlflow, f"{synthetic}models {name}", {"level": "models", **facts}):
            for registered, files in sets:
                info = mlflow.pyfunc.log_model(
                    name=registered,
                    python_model=ServedModel(),
                    artifacts={f"fold{i}": str(p) for i, p in enumerate(files, 1)},
                    code_paths=code,
                    signature=signature(models[0].classes),
                    input_example=example(),
                    pip_requirements=requirements(),
                    registered_model_name=registered,
                    metadata={k: str(v) for k, v in models[0].facts.items() if isinstance(v, (str, int, bool))},
                )
                made.append(f"models:/{registered}/{info.registered_model_version}")
    return made


def _code(scratch: Path) -> list[str]:
    """The packages and the entry points that a model needs, as MLflow takes them."""
    skipped = shutil.ignore_patterns("__pycache__")
    paths = []
    for package in PACKAGES:
        place = Path(importlib.import_module(package).__file__).parent
        shutil.copytree(place, scratch / package, ignore=skipped)
        paths.append(str(scratch / package))
    try:
        points = distribution(DISTRIBUTION).read_text("entry_points.txt")
    except PackageNotFoundError:
        points = None
    if not points:
        raise UserError(f"{DISTRIBUTION} is not installed, so its entry points are not known; pip install -e .")
    facts = scratch / f"{DISTRIBUTION.replace('-', '_')}-{version(DISTRIBUTION)}.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: {version(DISTRIBUTION)}\n")
    (facts / "entry_points.txt").write_text(points)
    return [*paths, str(facts)]
