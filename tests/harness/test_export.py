"""ONNX: the file says what the network says, for any number of windows, with absent leads and with padding."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest

from ecg_ramba.cli import main
from ecg_ramba.errors import UserError
from ecg_ramba.harness.checkpoint import load_fold_model
from ecg_ramba.harness.export import export_onnx, input_names
from ecg_ramba.harness.features import window_source
from ecg_ramba.harness.inputs import window_table
from ecg_ramba.harness.train import predict_network


@pytest.fixture(scope="module")
def finished(run_tiny, tmp_path_factory):
    """A tiny suite."""
    return run_tiny(tmp_path_factory.mktemp("out"), ("ecg_ramba", "hrv_logistic"))


def checkpoint(finished, name):
    return finished.context.out / "cells" / finished.cells[name][0]["key"][:24] / "model.pt"


@pytest.mark.slow
def test_on_recordings_the_file_says_what_the_network_says(finished, tmp_path, capsys):
    path = checkpoint(finished, "ecg_ramba")
    assert main(["model", "export", "--ckpt", str(path), "--out", str(tmp_path / "model.onnx")]) == 0
    said = capsys.readouterr().out
    assert "leads, signal, valid, morphology, rhythm, rhythm_valid -> probabilities of 24 classes" in said
    model = load_fold_model(path)
    context = finished.context
    rows = np.arange(7)
    source = window_source(
        context.source,
        window_table(context.source),
        rows,
        model.streams,
        model.morphology,
        model.rhythm,
        context.cache,
        model.inputs,
    )
    windows = source.windows(rows, np.zeros(len(rows), dtype=bool))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(["probabilities"], {n: getattr(windows, n) for n in input_names(model)})
    np.testing.assert_allclose(found, predict_network(model.fitted, source), atol=1e-4)
    about = {p.key: p.value for p in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert tuple(json.loads(about["classes"])) == model.classes
    assert json.loads(about["facts"])["synthetic"] is True


def test_what_is_no_network_is_refused_and_nothing_written(finished, tmp_path):
    with pytest.raises(UserError, match="hrv_logistic is no network"):
        export_onnx(checkpoint(finished, "hrv_logistic"), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_is_not_there(tmp_path, capsys):
    assert main(["model", "export", "--ckpt", str(tmp_path / "none.pt")]) == 2
    assert "does not exist" in capsys.readouterr().err
