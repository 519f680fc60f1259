"""Every executor does the same: one outcome a job, failures as reasons, one thread; a death costs nobody else."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest
import torch

from ecg_ramba.errors import UserError
from ecg_ramba.harness.executors.local import InProcess, local

PLACES = ["in process", "processes", "ray"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A Ray cluster of two local nodes of one core each; ``cluster.second`` may be killed;
    ``cluster.cache``: their users' cache."""
    pytest.importorskip("ray", reason="Ray is not installed")
    from ray.cluster_utils import Cluster

    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.delenv("ECG_RAMBA_CACHE", raising=False)
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        made.second = made.add_node(num_cpus=1)
    made.cache = cache
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def ray_executor(cluster, tmp_path_factory):
    import ray

    from ecg_ramba.harness.executors.cluster import connect

    yield connect(cluster.address, None, 1.0, tmp_path_factory.mktemp("shared"))
    ray.shutdown()


@pytest.fixture(params=PLACES)
def executor(request):
    if request.param == "ray":
        return request.getfixturevalue("ray_executor")
    return InProcess() if request.param == "in process" else local(2)


def double(shared, job):
    if job == 3:
        raise UserError("three is not doubled")
    if job == 4:
        raise ValueError("second line is left out\nof the reason")
    return shared["by"] * job, torch.get_num_threads(), os.getpid()


def test_one_outcome_a_job_and_failures_are_reasons(executor):
    found = sorted(executor.run(double, {"by": 2}, range(8)), key=lambda o: o.index)
    assert [o.index for o in found] == list(range(8))
    assert [o.value[0] for o in found if not o.reason] == [0, 2, 4, 10, 12, 14]
    assert {o.value[1] for o in found if not o.reason} == {1}
    assert found[3].reason == "three is not doubled"
    assert found[4].reason == "ValueError: second line is left out"
    assert "of the reason" in found[4].traceback
    assert list(executor.run(double, {"by": 2}, [])) == []


def test_other_shared_things_in_a_later_run(executor):
    for by in (5, 7):
        assert [o.value[0] for o in executor.run(double, {"by": by}, [1])] == [by]


def die(shared, job):
    if job in (2, 5):
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return job


def test_workers_that_die_fail_their_jobs_alone():
    from ecg_ramba.harness.executors.local import Processes

    found = sorted(Processes(2).run(die, None, range(9)), key=lambda o: o.index)
    assert [o.value for o in found] == [0, 1, None, 3, 4, None, 6, 7, 8]
    assert all("its worker process died" in found[i].reason for i in (2, 5))


def run_out(shared, job):
    """Job 2 dies as by the system's OOM killer, 5 at its first start alone, 6 is refused the memory."""
    begun = shared / f"{job}-{time.monotonic_ns()}"
    begun.write_text("")
    if job == 2 or (job == 5 and len(list(shared.glob("5-*"))) == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if job == 6:
        raise MemoryError("10 GiB")
    return job


def test_a_ray_worker_that_dies_fails_its_job_alone_and_is_not_started_for_ever(ray_executor, tmp_path):
    with pytest.warns(
        UserWarning, match=r"job [36] on the cluster: its worker process died \(out of memory\?\)"
    ) as said:
        found = list(ray_executor.run(run_out, tmp_path, range(9)))
    assert sorted(o.index for o in found) == list(range(9))
    assert {o.index for o in found[-2:]} == {2, 5}, "the second try is when the others are done"
    found.sort(key=lambda o: o.index)
    assert [o.value for o in found] == [0, 1, None, 3, 4, 5, None, 7, 8]
    assert found[2].reason.startswith("its worker process died (out of memory?), and again")
    assert found[6].reason == "MemoryError: 10 GiB"
    assert len(said) == 2
    begun = [path.name.split("-")[0] for path in tmp_path.iterdir()]
    assert {job: begun.count(job) for job in begun} == dict.fromkeys("0134678", 1) | {"2": 2, "5": 2}


SHORT_OF_MEMORY = """
import json
import sys
from pathlib import Path
import psutil
import ray
from ray.cluster_utils import Cluster
from ecg_ramba.harness.executors.cluster import connect

def hog(shared, job):
    (shared / f"{job}-{len(list(shared.glob(f'{job}-*')))}").write_text("")
    held = [b"x" * (64 << 20) for _ in range(64 if job == 1 else 0)]
    return len(held)

if __name__ == "__main__":
    shared, memory = Path(sys.argv[1]), psutil.virtual_memory()
    limit = (memory.total - memory.available + (2 << 30)) / memory.total
    system = {"memory_usage_threshold": limit, "memory_monitor_refresh_ms": 50}
    cluster = Cluster(True, head_node_args={"num_cpus": 2, "include_dashboard": False, "_system_config": system})
    try:
        executor = connect(cluster.address, None, 1.0, shared)
        found = [(o.index, o.value, o.reason) for o in executor.run(hog, shared, range(4))]
        (shared / "found.json").write_text(json.dumps(sorted(found)))
    finally:
        ray.shutdown()
        cluster.shutdown()
"""


@pytest.mark.slow
def test_a_job_that_rays_memory_monitor_ends_fails_with_the_reason(tmp_path):
    """Nodes may use 2 GiB more than is in use; one job wants 4."""
    pytest.importorskip("ray", reason="Ray is not installed")
    script, shared = tmp_path / "short.py", tmp_path / "shared"
    script.write_text(SHORT_OF_MEMORY)
    shared.mkdir()
    argv = [sys.executable, str(script), str(shared)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    found = json.loads((shared / "found.json").read_text())
    assert [(index, value) for index, value, _ in found] == [(0, 0), (1, None), (2, 0), (3, 0)]
    assert found[1][2].startswith("its node ran out of memory, and again with no other job of the run beside it")
    assert len(list(shared.glob("1-*"))) == 2
    assert "job 2 on the cluster: its node ran out of memory; it is started once more" in done.stderr


def test_what_no_node_has_is_refused_or_made_to_fit(ray_executor):
    with pytest.raises(UserError, match="no node of the cluster has 1 GPUs"):
        list(ray_executor.run(double, {"by": 2}, [1], gpu=True))
    (found,) = ray_executor.run(double, {"by": 2}, [1], threads=64)
    assert found.value[0] == 2


def leave(shared, job):
    time.sleep(0.5)
    (shared / f"{job}-{os.getpid()}").write_text("")
    return job


@pytest.mark.parametrize("place", PLACES[1:])
def test_what_is_not_wanted_any_more_is_stopped(place, request, tmp_path):
    where = request.getfixturevalue("ray_executor") if place == "ray" else local(2)
    outcomes = where.run(leave, tmp_path, range(50))
    next(outcomes)
    outcomes.close()
    time.sleep(1)  # a node ends its workers in a moment of its own
    done = len(list(tmp_path.iterdir()))
    assert done < 50
    time.sleep(1.5)
    assert len(list(tmp_path.iterdir())) == done


def test_no_cluster_is_said_at_once(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    from ecg_ramba.harness.executors.cluster import connect

    began = time.monotonic()
    with pytest.raises(UserError, match=r"no Ray cluster answers at 127\.0\.0\.1:9 .*ray start --head"):
        connect("127.0.0.1:9", None, 1.0, tmp_path)
    assert time.monotonic() - began < 10


def test_a_node_that_does_not_see_the_results(ray_executor, tmp_path, monkeypatch):
    from ecg_ramba.harness.executors import cluster

    with pytest.raises(UserError, match=r"node .* of the cluster does not see .*elsewhere; results and recordings"):
        cluster._check_shared(tmp_path, [tmp_path / "elsewhere"])


def test_a_suite_on_nodes_that_share_a_url_alone(cluster, ray_executor, run_tiny, tmp_path, monkeypatch):
    """Nodes learn the URL from the paths that they are given, fetch recordings there, and work in their own folder."""
    from ecg_ramba.harness.executors import cluster as of_ray
    from ecg_ramba.shared.pieces import NOTE
    from ecg_ramba.shared.places import shared_folder

    monkeypatch.setenv("ECG_RAMBA_CACHE", str(tmp_path / "driver"))  # the nodes, started before, have another one
    out = shared_folder(f"file://{tmp_path}/bucket/runs")
    of_ray._check_shared(out, [])
    away = run_tiny(out, ("hrv_logistic",), executor=ray_executor)
    assert not away.failures
    here = run_tiny(tmp_path / "here", ("hrv_logistic",))
    a, b = (pd.read_parquet(r.folder / "variants/hrv_logistic/windows.parquet") for r in (away, here))
    pd.testing.assert_frame_equal(a, b, check_exact=True)
    (store,) = (tmp_path / "bucket/runs/cache/prepared").glob("synthetic-source-*")
    assert (store / "done.json").is_file()
    there = cluster.cache / "ecg-ramba" / "shared" / out.name  # the nodes' own folder for the URL
    assert (there / "cache" / "prepared" / store.name / NOTE).exists()
    for cell in away.cells["hrv_logistic"]:
        assert (there / "cells" / cell["key"][:24] / "model.pt").is_file()
        assert (out / "cells" / cell["key"][:24] / "model.pt").is_file()


@pytest.mark.slow
def test_a_suite_on_a_cluster_that_loses_a_node_equals_the_one_in_process(
    cluster, ray_executor, run_tiny, cohort, tmp_path
):
    names = ("no_minirocket", "hrv_logistic")
    cells = tmp_path / "ray" / "cells"

    def kill() -> None:
        while not (cells.is_dir() and any((c / "done.json").is_file() for c in cells.iterdir())):
            time.sleep(0.01)
        cluster.remove_node(cluster.second, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    lost = run_tiny(tmp_path / "ray", names, executor=ray_executor)
    killer.join()
    whole = run_tiny(tmp_path / "here", names)
    assert not lost.failures
    for name in names:
        a, b = (pd.read_parquet(r.folder / f"variants/{name}/windows.parquet") for r in (lost, whole))
        pd.testing.assert_frame_equal(a, b, check_exact=True)
