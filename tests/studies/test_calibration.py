"""The study of calibration from its command line, on a tiny synthetic suite that is there already."""

import pandas as pd
import pytest

import studies.__main__
import studies.running
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.harness.executors.local import local
from ecg_ramba.harness.progress import Progress
from studies.calibration_command import VARIANTS


@pytest.fixture
def ran(run_tiny, tmp_path):
    result = run_tiny(tmp_path, ("hrv_logistic", "class_prior"), targets=("synthetic-third",))
    evaluation = evaluate(result.folder, EvaluationConfig(draws=50))
    return studies.running.Ran(result, evaluation, local(1), Progress())


def test_the_command_writes_the_study_logs_it_and_says_synthetic(ran, tmp_path, monkeypatch, capsys):
    asked, logged = [], []

    def found(options, variants):
        asked.extend(v.name for v in variants)
        return ran

    monkeypatch.setattr(studies.running, "run_variants", found)
    monkeypatch.setattr(
        studies.running, "log_suite", lambda result, evaluation, files, *_: logged.extend(files) or "logged"
    )
    assert studies.__main__.main(["calibration", "--out", str(tmp_path)]) == 0
    assert set(asked) == set(VARIANTS)
    (folder,) = tmp_path.glob("studies/calibration-*")
    text = (folder / "calibration.md").read_text()
    assert capsys.readouterr().out.startswith(text)
    assert text.startswith("# Synthetic data: ")
    assert "SYNTHETIC DATA: this tests the suite and says nothing of patients." in text
    assert "Not the protocol's evaluation: draws = 50." in text
    assert all("Synthetic" in line for line in text.splitlines() if line.startswith("#"))
    written = {f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()}
    assert written >= {"calibration.html", "calibration.csv", "thresholds.csv", "reliability-source.png"}
    assert {f.name for f in logged} >= {"calibration.md", "calibration.csv", "report.md"}
    table = pd.read_csv(folder / "calibration.csv")
    assert set(table["variant"]) == {"hrv_logistic", "class_prior"}
    assert set(table["task"]) >= {"source", "synthetic-third"}
