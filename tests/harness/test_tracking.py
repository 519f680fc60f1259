"""MLflow holds what the files hold: suite, variants, cells, metrics, tags."""

import json
import re
from urllib.parse import unquote

import pandas as pd
import pytest

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.flat import mlflow_metrics
from ecg_ramba.evaluation.report import write_report
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.tracking import log_suite


@pytest.fixture(scope="module")
def logged(run_tiny, tmp_path_factory):
    """A tiny suite, logged to a database of its own."""
    import mlflow

    out = tmp_path_factory.mktemp("tracking")
    result = run_tiny(out / "runs", ("ecg_ramba", "pool_max", "class_prior"))
    evaluation = evaluate(result.folder)
    uri = f"sqlite:///{out}/mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(out)
        line = log_suite(result, evaluation, write_report(evaluation, result.folder), uri, Progress())
        client = mlflow.MlflowClient(uri)
        runs = client.search_runs([client.get_experiment_by_name("ecg-ramba-bench").experiment_id])
    return result, evaluation, line, {r.info.run_name: r for r in runs}, client


def test_three_levels_with_their_parents(logged):
    result, _, line, runs, _ = logged
    assert line.startswith("Compare the variants: mlflow ui --backend-store-uri sqlite:///")
    assert "\nthen open http://127.0.0.1:5000/#/compare-runs?runs=%5B%22" in line
    compared = re.findall("[0-9a-f]{32}", unquote(line))
    assert compared == [runs[f"SYNTHETIC {n}"].info.run_id for n in ("ecg_ramba", "class_prior")]
    levels = pd.Series([r.data.tags["level"] for r in runs.values()]).value_counts().to_dict()
    assert levels == {"suite": 1, "variant": 3, "cell": 4}
    (suite,) = (r for r in runs.values() if r.data.tags["level"] == "suite")
    variant, cell = runs["SYNTHETIC ecg_ramba"], runs["ecg_ramba fold 1 seed 0"]
    assert variant.data.tags["mlflow.parentRunId"] == suite.info.run_id
    assert cell.data.tags["mlflow.parentRunId"] == variant.info.run_id
    assert cell.data.tags["key"] in {c["key"] for c in result.cells["ecg_ramba"]}
    assert {r.data.tags["data"] for r in runs.values()} == {"synthetic"}


def test_metrics_are_those_of_the_evaluation(logged):
    _, evaluation, _, runs, _ = logged
    expected = mlflow_metrics(evaluation, "ecg_ramba")
    found = runs["SYNTHETIC ecg_ramba"].data.metrics
    assert expected
    assert {k: found[k] for k in expected} == pytest.approx(expected)
    assert any(k.endswith("roc_auc") for k in expected)
    assert found["cost/parameters"] > 0


def test_a_place_that_fails_while_it_is_written_loses_no_result(logged, tmp_path):
    result, evaluation, *_ = logged
    (tmp_path / "garbage.db").write_text("no database")
    with pytest.raises(UserError, match="the results are complete"):
        log_suite(result, evaluation, [], f"sqlite:///{tmp_path}/garbage.db", Progress())


def test_settings_are_those_of_each_fold(logged):
    _, _, _, runs, _ = logged
    cell, variant = runs["ecg_ramba fold 2 seed 0"].data.params, runs["SYNTHETIC ecg_ramba"].data.params
    assert cell["model.d_model"] == variant["model.d_model"] == "64"
    assert not any(k.startswith("model.") for k in runs["SYNTHETIC pool_max"].data.params)


def test_curves_and_costs_of_a_cell(logged):
    result, _, _, runs, client = logged
    (log,) = (c["log"] for c in result.cells["ecg_ramba"] if c["fold"] == 1)
    run = runs["ecg_ramba fold 1 seed 0"]
    curve = [m.value for m in client.get_metric_history(run.info.run_id, "loss")]
    assert curve == pytest.approx(log["loss"])
    assert run.data.metrics["seconds"] > 0


def test_data_manifests_and_the_report_are_there(logged):
    result, _, _, runs, client = logged
    (suite,) = (r for r in runs.values() if r.data.tags["level"] == "suite")
    facts = json.loads((result.folder / "suite.json").read_text())["data"]
    inputs = {d.dataset.name: d.dataset.digest for d in suite.inputs.dataset_inputs}
    assert inputs == {f["name"]: f["digest"][:32] for f in facts}
    names = {a.path for a in client.list_artifacts(suite.info.run_id, "report")}
    assert "report/report.md" in names
