"""A real tracking set-up: MLflow's server and Optuna on one PostgreSQL, several workers, and its faults."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import mlflow
import pytest

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.report import write_report
from ecg_ramba.harness.contexts import cache_dir, load_named, make_context
from ecg_ramba.harness.executors.local import local
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.tracking import check_tracking, log_suite
from studies.search.storage import open_storage
from studies.search.study import Search, run_search, search_key
from studies.search.tracking import log_search

MODEL = "hrv_logistic"


@pytest.fixture(scope="module")
def server(postgres, tmp_path_factory):
    """MLflow's server on PostgreSQL with a file store of artifacts; its URL, the database's URL, the process."""
    folder = tmp_path_factory.mktemp("server")
    database = postgres("tracking")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = "postgresql+psycopg" + database[database.index("://") :]
    argv = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--workers", "1"]
    argv += ["--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port)]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 180
    while True:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
            break
        except OSError:
            assert process.poll() is None, (folder / "log").read_text()[-3000:]
            assert time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
            time.sleep(0.5)
    yield url, database, process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def finished(run_tiny, tmp_path_factory):
    """A tiny run with its evaluation and report."""
    result = run_tiny(tmp_path_factory.mktemp("finished"), (MODEL, "class_prior"))
    evaluation = evaluate(result.folder)
    return result, evaluation, write_report(evaluation, result.folder)


@pytest.mark.slow
def test_a_suite_and_a_search_on_one_postgresql(server, postgres, finished, tiny, cohort, tmp_path):
    url, database, _ = server
    with pytest.raises(UserError, match="another program's, or another version's, tables"):
        open_storage(database, tmp_path)
    result, evaluation, report = finished
    check_tracking(url)
    log_suite(result, evaluation, report, url, Progress())
    config = dataclasses.replace(tiny, targets=())
    prepared = load_named([config.source], cohort, cache_dir(tmp_path), config.signal, 1, Progress())
    context, _ = make_context(config, prepared, tmp_path)
    search = Search((MODEL,), 4, "", postgres("trials"), tmp_path / "search", search_key(context, ""))
    found = run_search(context, search, local(2), Progress())
    log_search(context, search, found, report[:1], url)
    log_search(context, search, found, report[:1], url)
    mlflow.set_tracking_uri(url)
    runs = mlflow.search_runs(search_all_experiments=True)
    levels = runs["tags.level"].value_counts().to_dict()
    assert levels == {"suite": 1, "variant": 2, "cell": 4, "study": 2, "trial": 8}
    (suite,) = runs[runs["tags.level"] == "suite"]["run_id"]
    names = [a.path for a in mlflow.MlflowClient().list_artifacts(suite, "report")]
    assert "report/report.html" in names


def test_a_server_that_hangs_is_said_within_ten_seconds(server):
    url, _, process = server
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(UserError, match="--tracking http"):
            check_tracking(url)
        assert time.monotonic() - began < 10
    finally:
        os.killpg(process.pid, signal.SIGCONT)


def test_a_database_that_goes_away_in_the_middle_loses_nothing(server, postgres, finished, monkeypatch):
    """MLflow's server answers with errors while its database is down: the run says so, and is logged later."""
    from ecg_ramba.harness import tracking

    url, _, _ = server
    result, evaluation, report = finished
    original, seen = tracking._log_variant, []

    def stops(*given):
        seen.append(given)
        if len(seen) == 2:
            postgres.stop()
        return original(*given)

    monkeypatch.setattr(tracking, "_log_variant", stops)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with pytest.raises(UserError, match="the results are complete; the same command logs them without training again"):
        log_suite(result, evaluation, report, url, Progress())
    postgres.start()
    monkeypatch.undo()
    deadline = time.monotonic() + 60
    while True:  # the server's connections are new ones from now on
        try:
            check_tracking(url)
            break
        except UserError:
            assert time.monotonic() < deadline
    log_suite(result, evaluation, report, url, Progress())
