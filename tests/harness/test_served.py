"""Registered models: raw signals in, the probabilities of ``predict`` out, with their code inside."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecg_ramba import cli
from ecg_ramba.errors import UserError
from ecg_ramba.harness.checkpoint import load_fold_model
from ecg_ramba.harness.predict import predict_record, read_recording
from ecg_ramba.harness.served import checkpoints_of, example, register, requirements


@pytest.fixture(scope="module")
def registered(run_tiny, tmp_path_factory):
    """A tiny run, and its fold models in a registry; the run's folder is gone afterwards."""
    out = tmp_path_factory.mktemp("served")
    result = run_tiny(out / "runs", ("ecg_ramba", "hrv_logistic"))
    paths = checkpoints_of(result.folder, "ecg_ramba")
    models = [load_fold_model(p) for p in paths]
    uri = f"sqlite:///{out}/mlflow.db"
    before = os.getcwd()
    os.chdir(out)
    try:
        made = register(paths, "rhythm", {"suite": "x"}, uri)
    finally:
        os.chdir(before)
    (out / "runs").rename(out / "elsewhere")
    return out, uri, made, models, result


def recording(cohort):
    path = sorted((cohort / "synthetic-third").rglob("*.hea"))[0]
    record = read_recording(path)
    row = {"signal": record.signal.astype(float).tolist(), "leads": ",".join(record.leads), "rate": record.rate}
    return record, row


def expected(models, record):
    classes = predict_record(models, record).classes
    return dict(zip(classes["class"], classes["probability"], strict=True))


def test_each_fold_and_all_of_them_are_registered(registered):
    _, _, made, _, _ = registered
    assert made == ["models:/rhythm-fold1/1", "models:/rhythm-fold2/1", "models:/rhythm/1"]


def test_they_say_what_predict_says(registered, cohort):
    import mlflow

    _, uri, made, models, _ = registered
    mlflow.set_tracking_uri(uri)
    record, row = recording(cohort)
    for name, own in ((made[0], models[:1]), (made[1], models[1:]), (made[2], models)):
        found = mlflow.pyfunc.load_model(name).predict(pd.DataFrame([row, row]))
        assert len(found) == 2
        for cls, p in expected(own, record).items():
            np.testing.assert_allclose(found[cls], p, atol=1e-6)


def test_mlflow_models_predict_in_another_place_with_the_models_own_code(registered, cohort, tmp_path):
    """The command line of MLflow, where the project's packages cannot be imported but from the model."""
    out, uri, made, models, _ = registered
    record, row = recording(cohort)
    (tmp_path / "in.json").write_text(json.dumps({"dataframe_records": [row]}))
    # an editable installation is found through a hook: take it away, so that only the model's own code is left
    (tmp_path / "alone.py").write_text(
        "import sys, runpy\n"
        "sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in getattr(f, '__module__', '')"
        " and 'editable' not in getattr(f, '__name__', '')]\n"
        "sys.path[:] = [p for p in sys.path if 'editable' not in p]\n"
        "import importlib.util\n"
        "assert importlib.util.find_spec('ecg_ramba') is None\n"
        "import atexit\n"
        "atexit.register(lambda: print('CODE', sys.modules['ecg_ramba'].__file__, file=sys.stderr))\n"
        "from mlflow.pyfunc.scoring_server import _predict\n"
        f"_predict({made[2]!r}, 'in.json', 'out.json', 'json')\n"
    )
    environment = os.environ | {"MLFLOW_TRACKING_URI": uri, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "alone.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (said,) = (line for line in done.stderr.splitlines() if line.startswith("CODE"))
    assert f"{out}/" in said
    (found,) = json.loads((tmp_path / "out.json").read_text())["predictions"]
    for cls, p in expected(models, record).items():
        np.testing.assert_allclose(np.nan if found[cls] is None else found[cls], p, atol=1e-6)


def test_the_command_of_mlflow(registered, cohort, tmp_path):
    _, uri, made, _, _ = registered
    _, row = recording(cohort)
    (tmp_path / "in.json").write_text(json.dumps({"dataframe_records": [row]}))
    argv = [sys.executable, "-m", "mlflow", "models", "predict", "-m", made[0], "--env-manager", "local"]
    argv += ["-i", "in.json", "-o", "out.json"]
    environment = os.environ | {"MLFLOW_TRACKING_URI": uri, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    (found,) = json.loads((tmp_path / "out.json").read_text())["predictions"]
    assert any(v is not None for v in found.values())


def test_signature_example_and_pinned_requirements(registered):
    import mlflow

    _, uri, made, models, _ = registered
    mlflow.set_tracking_uri(uri)
    info = mlflow.models.get_model_info(made[2])
    assert [c.name for c in info.signature.inputs] == ["signal", "leads", "rate"]
    assert [c.name for c in info.signature.outputs] == list(models[0].classes)
    assert all("==" in line and "+" not in line for line in requirements())
    place = mlflow.artifacts.download_artifacts(made[2])
    listed = (Path(place) / "requirements.txt").read_text().split()
    assert set(requirements()) <= set(listed)
    found = mlflow.pyfunc.load_model(made[2]).predict(example())
    assert len(found) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"leads": "I,II"}, "2 leads are named"),
        ({"leads": "I"}, "has shape"),
        ({"leads": "I,I"}, "a lead is named twice"),
        ({"leads": "I,V9"}, "lead 'V9' is none of"),
        ({"rate": 0.0}, "is no number of samples per second"),
        ({"rate": float("nan")}, "is no number of samples per second"),
        ({"signal": [[0.0] * 40] * 2, "leads": "I,II"}, "recording 1: "),
    ],
)
def test_bad_recordings_are_named_with_the_cause(registered, change, said):
    import mlflow
    from mlflow.exceptions import MlflowException

    _, uri, made, _, _ = registered
    mlflow.set_tracking_uri(uri)
    t = np.linspace(0, 10, 5000)
    leads = change.get("leads", "I,II")
    signal = [np.sin(t).tolist()] * (2 if leads != "I,II" or "signal" in change or "rate" in change else 3)
    row = {"signal": signal, "leads": "I,II", "rate": 500.0} | change
    with pytest.raises((UserError, MlflowException), match=said):
        mlflow.pyfunc.load_model(made[0]).predict(pd.DataFrame([row]))


def test_variants_that_are_not_there(registered):
    _, _, _, _, result = registered
    folder = result.folder.parent.parent.parent / "elsewhere" / "suites" / result.folder.name
    with pytest.raises(UserError, match="no trained variant 'resnet1d' of seed 0; it has: ecg_ramba, hrv_logistic"):
        checkpoints_of(folder, "resnet1d")


def test_the_command_line(registered, tmp_path, monkeypatch, capsys):
    _, _, _, _, result = registered
    folder = result.folder.parent.parent.parent / "elsewhere" / "suites" / result.folder.name
    monkeypatch.chdir(tmp_path)
    argv = ["model", "register", str(folder), "--variant", "hrv_logistic", "--tracking", "sqlite:///m.db"]
    assert cli.main(argv) == 0
    printed = capsys.readouterr().out
    assert "models:/hrv_logistic/1" in printed
    assert "mlflow models predict -m models:/hrv_logistic/1" in printed
    assert cli.main(argv) == 0
    assert "models:/hrv_logistic/2" in capsys.readouterr().out
