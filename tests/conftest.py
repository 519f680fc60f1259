"""Fixtures that several rooms share."""

import base64
import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecg_ramba.data.labels import PAPER27
from ecg_ramba.data.store import Prepared, records_digest
from ecg_ramba.data.synthetic import CohortConfig, synthesize
from ecg_ramba.features.transform import FeatureConfig
from ecg_ramba.harness.config import Budget, SuiteConfig
from ecg_ramba.harness.executors.local import local
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import run_suite
from ecg_ramba.harness.variants import all_variants
from ecg_ramba.signal import SEGMENT

# what a shell starts in the background ignores Ctrl-C, and with it every process that a test starts and interrupts
signal.signal(signal.SIGINT, signal.default_int_handler)


def make_prepared(
    labels,
    *,
    name="toy",
    subjects=None,
    n_segments=None,
    episodes=None,
    superclasses=None,
    strat_fold=None,
    annotated=PAPER27,
    hospitals=None,
    seed=0,
) -> Prepared:
    """A prepared data set of noise, in memory (synthetic), with the labels that a test gives."""
    rng = np.random.default_rng(seed)
    n = len(labels)
    counts = n_segments or [1] * n
    total = sum(counts)
    hospitals = hospitals or [""] * n
    segments = rng.normal(size=(total, 12, SEGMENT)).astype(np.float32)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    records = pd.DataFrame(
        {
            "record": [f"{name}{i:03d}" for i in range(n)],
            "subject": [str(s) for s in (subjects or range(n))],
            "subject_known": True,
            "publisher": name,
            "publisher_id": [f"{name}{i}" for i in range(n)],
            "hospital": hospitals,
            "labels": [tuple(sorted(x)) for x in labels],
            "labelled": True,
            "superclasses": superclasses or [()] * n,
            "episodes": [None] * n if episodes is None else [json.dumps(e) for e in episodes],
            "paced": False,
            "strat_fold": strat_fold or [0] * n,
            "n_segments": counts,
            "first_segment": first,
            "signal_digest": [f"{name}-{seed}-{i}" for i in range(n)],
            "store_key": "toy",
        }
    )
    start = np.concatenate([10.0 * np.arange(c) for c in counts])
    return Prepared(
        name=name,
        folder=Path(),
        synthetic=True,
        derived=False,
        annotated=annotated if isinstance(annotated, dict) else {h: frozenset(annotated) for h in set(hospitals)},
        records=records,
        segments=segments,
        leads=np.ones((total, 12), dtype=bool),
        valid=np.full(total, SEGMENT, dtype=np.int32),
        start=start,
        rhythm=rng.normal(size=(total, 30)),
        refused=[],
        digest=records_digest(records),
    )


@pytest.fixture(scope="session")
def prepared_toy():
    """The maker of toy data sets."""
    return make_prepared


BLANK = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=")


@pytest.fixture(autouse=True)
def figures_are_blank(request, monkeypatch):
    """Reports of a test have blank figures, which take no time, unless it is marked ``drawn``; those of a fixture with
    a wider scope are drawn."""

    def blank(figure, png, pdf):
        png.write_bytes(BLANK)
        pdf.write_bytes(b"%PDF-1.4 blank")
        return BLANK

    if not request.node.get_closest_marker("drawn"):
        monkeypatch.setattr("ecg_ramba.render._draw", blank)


TINY = SuiteConfig(
    source="synthetic-source",
    targets=("synthetic-rhythm", "synthetic-third"),
    folds=2,
    features=FeatureConfig(num_kernels=336),
    budget=Budget(epochs=2, min_steps=6),
)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """WFDB files of a small synthetic cohort."""
    folder = tmp_path_factory.mktemp("cohort") / "cohort"
    synthesize(folder, CohortConfig(source=24, third=12, subjects=3))
    return folder


@pytest.fixture(scope="session")
def tiny():
    """The configuration of a suite that takes seconds."""
    return TINY


@pytest.fixture(scope="session")
def run_tiny(cohort):
    """Runs a tiny suite: ``run_tiny(out, names, data=…, workers=…, **changes)``."""

    def run(out, names=("ecg_ramba", "hrv_logistic"), data=None, workers=1, executor=None, **changes):
        variants = [all_variants()[n] for n in names]
        return run_suite(
            dataclasses.replace(TINY, **changes), variants, data or cohort, out, executor or local(workers), Progress()
        )

    return run


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    """A PostgreSQL server on loopback, as Debian packages it: ``postgres(name)`` makes a database, returns its URL.

    ``postgres.stop()`` and ``postgres.start()`` do what they say, on the same port.
    """
    programs = {name: shutil.which(name) for name in ("initdb", "pg_ctl")}
    if not all(programs.values()):
        pytest.skip("PostgreSQL (initdb, pg_ctl) is not installed")
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
    account = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # below nothing that only root may enter
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    if account:
        shutil.chown(folder, "postgres", "postgres")

    def call(*argv) -> None:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=120, **account)
        assert done.returncode == 0, done.stdout + done.stderr

    class Server:
        def start(self) -> None:
            options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
            log = str(folder / "log")
            call(programs["pg_ctl"], "-D", str(folder / "data"), "-w", "-o", options, "-l", log, "start")

        def stop(self) -> None:
            call(programs["pg_ctl"], "-D", str(folder / "data"), "-w", "-m", "immediate", "stop")

        def __call__(self, name: str) -> str:
            with psycopg.connect(f"postgresql://tester@127.0.0.1:{port}/postgres", autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}")
            return f"postgresql://tester@127.0.0.1:{port}/{name}"

    call(programs["initdb"], "-D", str(folder / "data"), "-U", "tester", "-A", "trust", "-N")
    server = Server()
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def replace_by_noise():
    """Replaces recordings of a folder by noise: ``replace_by_noise(folder, chosen)`` with ``chosen(path)``; counts."""

    def replace(folder, chosen) -> int:
        rng, replaced = np.random.default_rng(0), 0
        for path in sorted([*folder.rglob("*.mat"), *folder.rglob("*.dat")]):
            if chosen(path):
                content = bytearray(path.read_bytes())
                head = 24 if path.suffix == ".mat" else 0
                noise = rng.integers(-3000, 3000, (len(content) - head) // 2).astype("<i2")
                content[head : head + 2 * len(noise)] = noise.tobytes()
                path.write_bytes(bytes(content))
                replaced += 1
        return replaced

    return replace
