"""The command line: instant help, and for each mistake one line that says what is wrong and what to do."""

import contextlib
import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import ablations.__main__
import studies.__main__
from ecg_ramba import cli
from ecg_ramba.data.synthetic import CohortConfig, synthesize
from ecg_ramba.errors import UserError
from ecg_ramba.harness.tracking import check_tracking

HEAVY = ("torch", "numba", "sktime", "neurokit2", "mlflow", "optuna", "matplotlib", "pandas", "scipy", "sklearn")


def check_refused(capsys, main, argv, pattern):
    """The command fails with one line on stderr that matches, and no traceback."""
    try:
        status = main(argv)
    except SystemExit as exit:  # argparse
        status = exit.code
    captured = capsys.readouterr()
    assert status not in (0, None)
    assert "Traceback" not in captured.err + captured.out
    line = captured.err.strip().split("\n")[-1]
    assert re.search(pattern, line), captured.err
    assert re.match(r"(error|python -m \w+|ecg-ramba[\w -]*)(:| error)", line), line


@pytest.mark.parametrize("module", ["ecg_ramba.cli", "ablations", "studies"])
def test_help_imports_nothing_heavy(module):
    code = (
        "import runpy, sys\n"
        f"sys.argv = [{module!r}, '--help']\n"
        f"try: runpy.run_module({module!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        f"print('HEAVY', [m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "usage:" in done.stdout
    assert "HEAVY []" in done.stdout


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A synthetic cohort of a few records."""
    folder = tmp_path_factory.mktemp("cohort") / "cohort"
    synthesize(folder, CohortConfig(source=4, third=2, subjects=1))
    return folder


SITES = ["--source", "synthetic-source", "--target", "synthetic-third", "--no-tracking"]


@pytest.mark.parametrize(
    ("argv", "pattern"),
    [
        (["--only", "no_hvr"], "no variant or group is called 'no_hvr'; did you mean no_hrv"),
        (["--profil", "small"], "unrecognized arguments: --profil small"),
        (["--profile", "tiny"], "'tiny' is none of small, full"),
        (["--folds", "0"], "'0' is not a whole number of at least 1"),
        (["--folds", "1"], "at least 2 folds"),
        (["--seeds", "none"], "'none' is not a whole number"),
        (["--precision", "fp8"], "'fp8' is none of fp32, medium, bf16"),
        (["--device", "tpu"], "'tpu' is none of auto, cpu"),
        (["--labels", "mine"], "mine"),
        (["--source", "chapmann", "--target", "ptbxl"], "no data set is called 'chapmann'; did you mean chapman"),
        (["--source", "chapman", "--target", "ptbxl"], "--data DIR"),
        (["--source", "synthetic-source", "--target", "synthetic-source"], "cannot also be a target"),
        (["--target", "synthetic-third", "synthetic-third"], "named twice"),
        (["--config", "none.json"], "none.json is not there"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_mistaken_options(capsys, monkeypatch, tmp_path, argv, pattern):
    monkeypatch.chdir(tmp_path)
    check_refused(capsys, ablations.__main__.main, ["--no-tracking", *argv], pattern)
    assert not (tmp_path / "runs" / "suites").exists()


def test_a_data_folder_that_is_empty_or_laid_out_otherwise(capsys, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    main = ablations.__main__.main
    check_refused(capsys, main, ["--no-tracking", "--data", str(empty), "--out", str(tmp_path)], "empty")
    (empty / "notes.txt").write_text("no recordings")
    check_refused(capsys, main, ["--no-tracking", "--data", str(empty), "--out", str(tmp_path)], "empty")


def test_fewer_subjects_than_folds(capsys, small, tmp_path):
    argv = ["--data", str(small), *SITES, "--out", str(tmp_path / "out")]
    check_refused(capsys, ablations.__main__.main, argv, "4 subjects cannot be split into 5 folds")


def test_no_class_with_enough_subjects(capsys, small, tmp_path):
    argv = ["--data", str(small), *SITES, "--out", str(tmp_path / "out"), "--folds", "2"]
    check_refused(capsys, ablations.__main__.main, argv, "no class with 5 positive subjects")


def test_a_place_that_cannot_be_written(capsys, small, tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    argv = ["--data", str(small), *SITES, "--out", str(blocker / "out")]
    check_refused(capsys, ablations.__main__.main, argv, "cannot write .*choose another place")


@pytest.mark.parametrize(
    ("uri", "pattern"),
    [
        ("http://127.0.0.1:9", "no server answers .*Connection refused"),
        ("postgresql://u@127.0.0.1:9/db", "no server answers .*Connection refused"),
        ("gopher://here", "got unsupported URI 'gopher"),
        ("sqlite:////nowhere/at/all/mlflow.db", "cannot be written"),
    ],
)
def test_a_tracking_server_that_is_not_there(capsys, tmp_path, uri, pattern):
    check_refused(capsys, ablations.__main__.main, ["--tracking", uri, "--out", str(tmp_path / "out")], pattern)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def plain_server():
    """An HTTP server that is not MLflow's."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_tracking_place_that_mlflow_cannot_use(capsys, tmp_path, plain_server):
    (tmp_path / "garbage.db").write_text("no database")
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as database:
        database.execute("CREATE TABLE patients (name TEXT)")
    (tmp_path / "mlruns").mkdir()
    before = (tmp_path / "other.db").read_bytes()
    for uri, pattern in (
        (f"sqlite:///{tmp_path}/garbage.db", "MLflow cannot use it .*choose another place"),
        (f"sqlite:///{tmp_path}/other.db", "another program's database.*choose another place"),
        (f"sqlite:///{tmp_path}/garbage.db/x.db", "garbage.db cannot be written; choose another place"),
        (f"sqlite:///{tmp_path}/mlruns", "names no file"),
        ("sqlite://", "names no file"),
        (str(tmp_path / "mlruns"), "MLflow cannot use it .*choose another place"),
        (plain_server, "MLflow cannot use it .*choose another place"),
        (plain_server.replace("//", "//me:secret@"), "//…@127.0.0.1:.* MLflow cannot use it"),
        ("http://127.0.0.1:port", "no server answers"),
        ("http://[::1", "no server answers"),
    ):
        argv = ["--tracking", uri, "--out", str(tmp_path / "out")]
        check_refused(capsys, ablations.__main__.main, argv, pattern)
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "other.db").read_bytes() == before


def test_a_tracking_file_that_is_not_there_yet_is_not_made_by_the_check(tmp_path):
    check_tracking(f"sqlite:///{tmp_path}/new.db")
    assert not list(tmp_path.iterdir())


def test_a_tracking_server_that_never_answers_is_given_up_soon(tmp_path, monkeypatch):
    monkeypatch.setattr("ecg_ramba.harness.tracking.PROBE_SECONDS", 1.0)
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        began = time.monotonic()
        with pytest.raises(UserError, match="MLflow cannot use it"):
            check_tracking(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - began < 30
    assert os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT") != "1"


def test_every_recording_refused(capsys, small, tmp_path):
    import shutil

    broken = tmp_path / "cohort"
    shutil.copytree(small, broken)
    for path in (broken / "synthetic-source").glob("*.mat"):
        path.write_bytes(path.read_bytes()[:1000])
    argv = ["--data", str(broken), *SITES, "--out", str(tmp_path / "out")]
    check_refused(capsys, ablations.__main__.main, argv, r"no recording of synthetic-source can be used.*SYNS")


@pytest.mark.parametrize(
    ("argv", "pattern"),
    [
        (["model", "summary", "resnet"], "no model is called 'resnet'; did you mean resnet1d"),
        (["model", "summary", "resnet1d", "--profile", "big"], "'big' is none of"),
        (["data", "check", "nowhere"], "nowhere"),
        (["evaluate"], "no checkpoint found; train first"),
        (["evaluate", "--ckpt", "none.pt"], "none.pt does not exist"),
        (["predict", "none.hea"], "no checkpoint found"),
        (["report", "nowhere"], "nowhere is no finished run"),
        (["report", "nowhere", "--min-positives", "0"], "not a whole number of at least 1"),
        (["train", "--model", "lstm"], "no model is called 'lstm'"),
        (["predcit"], "invalid choice: 'predcit'"),
    ],
)
def test_mistakes_of_ecg_ramba(capsys, monkeypatch, tmp_path, argv, pattern):
    monkeypatch.chdir(tmp_path)
    check_refused(capsys, cli.main, argv, pattern)


def test_a_search_needs_a_search_space_and_a_known_study(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    check_refused(capsys, studies.__main__.main, ["search", "class_prior", "--no-tracking"], "has no search space")
    check_refused(capsys, studies.__main__.main, ["serach"], "invalid choice: 'serach'")


def test_the_list_names_every_variant_and_its_claim(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert ablations.__main__.main(["--list"]) == 0
    printed = capsys.readouterr().out
    for name in ("no_hrv", "no_minirocket", "no_signal", "pool_geometric", "mamba_over_tokens", "raw_mamba"):
        assert name in printed


def test_a_cohort_is_written_once_and_never_over_something_else(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "ecg_ramba.data.synthetic.CohortConfig", lambda seed: CohortConfig(seed=seed, source=2, third=1, subjects=1)
    )
    assert cli.main(["data", "synthesize", str(tmp_path / "c")]) == 0
    headers = sorted((tmp_path / "c").rglob("*.hea"))
    assert len(headers) == 5
    assert all("synthetic" in h.read_text().lower() for h in headers)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.tex").write_text("")
    check_refused(capsys, cli.main, ["data", "synthesize", str(tmp_path / "d")], "is not a synthetic cohort")


def test_checking_a_folder_prints_what_is_there(capsys, small, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["data", "check", str(small)]) == 0
    printed = capsys.readouterr().out
    assert "synthetic-source" in printed
    assert np.any([w in printed for w in ("refused", "Refused")])
