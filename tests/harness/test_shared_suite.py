"""Suites whose results are kept at a URL: the table of a local run, whichever machines take part, on a real S3 API."""

import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import fsspec
import pandas as pd
import pytest

import ablations.__main__
from ecg_ramba.errors import UserError
from ecg_ramba.files import check_writable, fetched
from ecg_ramba.shared.places import shared_folder

NAMES = ("no_minirocket", "hrv_logistic")

SCRIPT = """
import sys
from pathlib import Path
from ecg_ramba.features.transform import FeatureConfig
from ecg_ramba.harness.config import Budget, SuiteConfig
from ecg_ramba.harness.executors.local import local
from ecg_ramba.harness.options import results_place
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import run_suite
from ecg_ramba.harness.variants import all_variants
if __name__ == "__main__":
    config = SuiteConfig(
        source="synthetic-source", targets=("synthetic-rhythm", "synthetic-third"), folds=2,
        features=FeatureConfig(num_kernels=336), budget=Budget(epochs=2, min_steps=6),
    )
    variants = [all_variants()[n] for n in sys.argv[3:]]
    result = run_suite(config, variants, Path(sys.argv[1]), results_place(sys.argv[2]), local(2), Progress())
    print(result.folder)
"""


@pytest.fixture(scope="module")
def s3():
    """A bucket of a small S3 server on loopback (moto's, in threads of this process); its URL."""
    server = pytest.importorskip("moto.server", reason="moto is not installed")
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # not a line for each request
    made = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    made.start()
    host, port = made.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
        ):
            patch.setenv(name, value)
        fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket"
    made.stop()


@pytest.fixture(scope="module")
def here(run_tiny, tmp_path_factory):
    """A local run, to which others are held."""
    return run_tiny(tmp_path_factory.mktemp("here"), NAMES)


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    def be(name):
        monkeypatch.setenv("ECG_RAMBA_CACHE", str(tmp_path / name))

    be("one")
    return be


def same(folder, result):
    for name in NAMES:
        a, b = (pd.read_parquet(f / "variants" / name / "windows.parquet") for f in (folder, result.folder))
        pd.testing.assert_frame_equal(a, b, check_exact=True)


@pytest.mark.slow
def test_killed_in_the_middle_another_machine_goes_on(s3, here, run_tiny, cohort, tmp_path, machine):
    url, script = f"{s3}/runs", tmp_path / "run.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, str(script), str(cohort), url, *NAMES], start_new_session=True)
    store, deadline = fsspec.filesystem("s3", use_listings_cache=False), time.monotonic() + 120
    while not any("files" in json.loads(store.cat_file(p)) for p in store.glob("bucket/runs/cells/*/done.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finished = {
        p.split("/")[-2]
        for p in store.glob("bucket/runs/cells/*/done.json")
        if "files" in json.loads(store.cat_file(p))
    }
    shutil.rmtree(tmp_path / "one")
    machine("two")
    result = run_tiny(shared_folder(url), NAMES, workers=2)
    assert not result.failures
    same(result.folder, here)
    # what the first finished was fetched, not made again: its marker, which knows the seconds of training, is the same
    cells = result.context.out / "cells"
    assert finished
    assert all(
        (cells / k / "done.json").read_bytes() == store.cat_file(f"bucket/runs/cells/{k}/done.json") for k in finished
    )
    assert store.exists(f"bucket/runs/suites/{result.folder.name}/manifest.json")
    assert not store.exists("bucket/runs/cache/prepared")
    machine("three")
    again = run_tiny(shared_folder(url), NAMES)
    assert all(c["reused"] for cells in again.cells.values() for c in cells)
    same(again.folder, here)


@pytest.mark.slow
def test_two_processes_in_one_folder_end_with_equal_results(here, cohort, tmp_path):
    script, out = tmp_path / "run.py", tmp_path / "runs"
    script.write_text(SCRIPT)
    argv = [sys.executable, str(script), str(cohort), str(out), *NAMES]
    both = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [p.communicate(timeout=300)[0].strip() for p in both]
    assert [p.returncode for p in both] == [0, 0]
    assert said[0] == said[1] == str(out / "suites" / here.folder.name)
    same(out / "suites" / here.folder.name, here)
    rows = json.loads((out / "suites" / here.folder.name / "variants.json").read_text())
    assert {r["status"] for r in rows} == {"ok"}


@pytest.mark.parametrize("url", ["s3://nobody/runs", "s3://bucket/runs"])
def test_a_missing_bucket_or_service_is_said_by_the_command_at_once(s3, url, monkeypatch, capsys, cohort):
    if url == "s3://bucket/runs":
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{probe.getsockname()[1]}")
        fsspec.filesystem("s3").clear_instance_cache()
    began = time.monotonic()
    sites = ["--data", str(cohort), "--source", "synthetic-source", "--target", "synthetic-third"]
    sites += ["--backend", "torch"]  # which need not be built first
    assert ablations.__main__.main([*sites, "--only", "class_prior", "--no-tracking", "--out", url]) == 2
    assert time.monotonic() - began < 10
    assert f"error: --out {url} cannot be written" in capsys.readouterr().err
    fsspec.filesystem("s3").clear_instance_cache()


def test_a_service_that_goes_away_in_the_middle(run_tiny, here, machine, monkeypatch):
    """The cell that cannot be uploaded fails with the reason; with the service back, it is not trained again."""
    from fsspec.implementations.memory import MemoryFileSystem

    from ecg_ramba.shared import service

    monkeypatch.setattr(service, "PAUSES_S", (0.0,))
    original, url = MemoryFileSystem.pipe_file, "memory://middle/runs"

    def sometimes(self, path, *rest, **more):
        if "/cells/" in path and self.glob("/middle/runs/cells/*/model.pt"):
            raise ConnectionError("gone")
        return original(self, path, *rest, **more)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", sometimes)
    broken = run_tiny(shared_folder(url), NAMES)
    assert all("the service failed 2 times (ConnectionError: gone)" in r for r in broken.failures.values())
    assert set(broken.failures) == set(NAMES)
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", original)
    before = {p: p.stat().st_mtime_ns for p in broken.context.out.rglob("model.pt")}
    whole = run_tiny(shared_folder(url), NAMES)
    assert before
    assert before.items() <= {p: p.stat().st_mtime_ns for p in whole.context.out.rglob("model.pt")}.items()
    same(whole.folder, here)


def test_a_clock_that_jumps_breaks_nothing(run_tiny, here, tmp_path, monkeypatch):
    real, began = time.time, time.monotonic()

    def back() -> float:
        """An hour earlier with every call."""
        back.by += 3600
        return real() - back.by

    back.by = 0
    monkeypatch.setattr(time, "time", back)
    first = run_tiny(tmp_path, NAMES)
    same(first.folder, here)
    assert first.key == here.key
    assert all(0 <= c["log"]["seconds"] < time.monotonic() - began for cells in first.cells.values() for c in cells)
    again = run_tiny(tmp_path, NAMES)
    assert all(c["reused"] for cells in again.cells.values() for c in cells)


@pytest.mark.slow
def test_mlflow_keeps_its_artifacts_in_the_bucket(s3, tmp_path):
    import mlflow

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    argv += ["--artifacts-destination", f"{s3}/mlflow", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = os.environ | {"MLFLOW_S3_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"]}
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(argv, cwd=tmp_path, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            assert process.poll() is None, (tmp_path / "log").read_text()[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.3)
        client = mlflow.MlflowClient(f"http://127.0.0.1:{port}")
        run = client.create_run(client.create_experiment("kept")).info.run_id
        (tmp_path / "report.md").write_text("a report")
        client.log_artifact(run, str(tmp_path / "report.md"), "report")
        assert [a.path for a in client.list_artifacts(run, "report")] == ["report/report.md"]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    (place,) = fsspec.filesystem("s3", use_listings_cache=False).glob(
        f"bucket/mlflow/*/{run}/artifacts/report/report.md"
    )
    assert fsspec.filesystem("s3").cat_file(place) == b"a report"


def test_the_bucket_keeps_the_first_of_two(s3, machine, tmp_path):
    from ecg_ramba.files import building

    for name in ("one", "two"):
        machine(name)
        folder = shared_folder(f"{s3}/first") / "cells" / "key"
        with building(folder) as temporary:
            (temporary / "x").write_text(name)
    machine("three")
    check_writable(shared_folder(f"{s3}/first"))
    assert (fetched(shared_folder(f"{s3}/first") / "cells" / "key") / "x").read_text() == "one"
    with pytest.raises(UserError, match="cannot be written"):
        check_writable(shared_folder("s3://nobody/first"))
