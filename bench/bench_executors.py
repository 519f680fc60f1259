"""What workers are worth: two of one thread beside one of one thread and one of two, and what an executor costs a job.

Noise, no recordings. The time that counts (``span_s``) is from the first job's begin to the last one's end: starting
workers, which takes some seconds once in a run, is not in it. Asked on two cores: two workers at least 1.7 times as
fast as one, and 0.95 times as one of two threads; less than 50 ms a job for the executor.
"""

import time

import numpy as np
import pytest
import torch

from bench.bench_harness import CLASSES, build, window_source
from bench.machine import facts
from ecg_ramba.features.minirocket import MiniRocket
from ecg_ramba.harness.config import Budget
from ecg_ramba.harness.executors.local import InProcess, Processes
from ecg_ramba.harness.train import train_network
from ecg_ramba.signal import WINDOW

WORKERS = {"1 worker, 1 thread": (1, 1), "1 worker, 2 threads": (1, 2), "2 workers, 1 thread": (2, 1)}


def cell(shared, job) -> tuple[float, float]:
    """Train the small ECG-RAMBA for some steps; when it began and ended."""
    folder, steps, threads = shared
    torch.set_num_threads(threads)
    began = time.monotonic()
    place = folder / f"cell{job}"
    place.mkdir(parents=True)
    source = window_source(place)
    y = (np.random.default_rng(job).random((len(source), CLASSES)) < 0.2).astype(np.float32)
    train_network(build, source, y, np.ones_like(y), Budget(epochs=1, min_steps=steps, loss="bce"), (0, 0, job))
    return began, time.monotonic()


def features(shared, job) -> tuple[float, float]:
    """MiniRocket of some windows; when it began and ended."""
    _, windows, threads = shared
    signal = np.random.default_rng(job).normal(size=(windows, 12, WINDOW)).astype(np.float32)
    rocket = MiniRocket.fit(signal[:16], 0)
    began = time.monotonic()
    rocket.transform(signal, threads)
    return began, time.monotonic()


def nothing(shared, job) -> tuple[float, float]:
    """A job that does nothing."""
    return time.monotonic(), time.monotonic()


@pytest.mark.parametrize("by", list(WORKERS))
@pytest.mark.parametrize("work", ["cells", "features"])
def test_workers(benchmark, tmp_path, work, by):
    """Jobs by one worker, by one of two threads, by two."""
    workers, threads = WORKERS[by]
    function, size = (
        (cell, 16 if benchmark.disabled else 150) if work == "cells" else (features, 8 if benchmark.disabled else 256)
    )
    jobs, spans = range(2 if benchmark.disabled else 6), []
    executor = InProcess() if workers == 1 else Processes(workers)

    def run():
        shared = (tmp_path / str(len(spans)), size, threads)
        outcomes = list(executor.run(function, shared, jobs))
        assert not [o.reason for o in outcomes if o.reason]
        spans.append(max(o.value[1] for o in outcomes) - min(o.value[0] for o in outcomes))
        torch.set_num_threads(1)

    benchmark.group = f"executor, {work}"
    benchmark.pedantic(run, rounds=1 if benchmark.disabled else 3, warmup_rounds=0 if benchmark.disabled else 1)
    benchmark.extra_info |= facts() | {"workers": workers, "threads": threads, "span_s": float(np.median(spans))}


@pytest.mark.parametrize("by", ["in process", "processes", "ray"])
def test_overhead(benchmark, tmp_path, by):
    """Jobs that do nothing, one after another: what the executor itself takes for each."""
    jobs, spans = range(20 if benchmark.disabled else 200), []
    if by == "ray" and benchmark.disabled:
        pytest.skip("the tests of executors start a cluster")
    if by == "ray":
        pytest.importorskip("ray", reason="Ray is not installed")
        from ray.cluster_utils import Cluster

        from ecg_ramba.harness.executors.cluster import connect

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        executor = connect(cluster.address, None, 1.0, tmp_path)
    else:
        executor = InProcess() if by == "in process" else Processes(2)

    def run():
        outcomes = list(executor.run(nothing, None, jobs))
        assert len(outcomes) == len(jobs)
        spans.append(max(o.value[1] for o in outcomes) - min(o.value[0] for o in outcomes))

    benchmark.group = "executor, overhead"
    benchmark.pedantic(run, rounds=1 if benchmark.disabled else 3, warmup_rounds=0 if benchmark.disabled else 1)
    benchmark.extra_info |= facts() | {"ms_a_job": 1000 * float(np.median(spans)) / len(jobs)}
    if by == "ray":
        import ray

        ray.shutdown()
        cluster.shutdown()
