"""Whole models: forward and a training step of each network, ECG-RAMBA by backend, and a recording from file on.

The scan as its paper prints it (``minimal``) stands beside the backends: that is what a training step gains by them.
"""

import pytest
import torch
from torch import nn

import ecg_ramba.nn.mamba as mamba
from bench.machine import DEVICE, facts, synchronise
from bench.minimal import ssd_minimal
from ecg_ramba.data.synthetic import CohortConfig, synthesize
from ecg_ramba.harness.checkpoint import load_fold_model
from ecg_ramba.harness.config import Budget, SuiteConfig
from ecg_ramba.harness.executors.local import local
from ecg_ramba.harness.predict import predict_record, read_recording
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import run_suite
from ecg_ramba.harness.variants import all_variants
from ecg_ramba.models import model_spec
from ecg_ramba.nn.backends import resolve, unusable, with_backend
from ecg_ramba.nn.inputs import example_batch
from ecg_ramba.nn.summary import typical_shape

NETWORKS = ("ecg_ramba", "raw_mamba", "resnet1d", "transformer", "inception_time", "xresnet1d")
SIZES = {"small": 48, "full": 4}
"""Windows of a batch, by profile."""


def pytest_generate_tests(metafunc):
    """The paper's sizes only where they are timed."""
    if "profile" in metafunc.fixturenames:
        profiles = SIZES if metafunc.config.getoption("benchmark_only") else ["small"]
        metafunc.parametrize("profile", profiles)


def minimal(x, dt, A, B, C, D, *, valid_BL=None, backend=""):
    """The paper's listing in place of :func:`ecg_ramba.nn.ssd.ssd`; benchmarks have no padding."""
    assert valid_BL is None
    return ssd_minimal(x, dt, A, B, C) + x * D[:, None]


def timed(benchmark, name: str, profile: str, direction: str, backend: str, monkeypatch):
    """Time one network; ``extra_info`` holds windows of a batch, so that windows per second follow."""
    spec = model_spec(name)
    config, shape, windows = spec.profile(profile), typical_shape(profile), SIZES[profile]
    if backend == "minimal":
        monkeypatch.setattr(mamba, "ssd", minimal)
    elif unusable(backend, DEVICE):
        pytest.skip(f"{backend}: {unusable(backend, DEVICE)}")
    torch.manual_seed(0)
    network = spec.build(with_backend(config, "torch" if backend == "minimal" else backend), shape).to(DEVICE)
    batch = example_batch(shape, spec.streams(config), windows, device=DEVICE)
    optimiser = torch.optim.AdamW(network.parameters(), fused=True)
    network.train(direction == "step")

    def forward():
        with torch.no_grad():
            out = network(batch)
        synchronise()
        return out

    def step():
        optimiser.zero_grad(set_to_none=True)
        loss = nn.functional.softplus(network(batch)).mean()
        loss.backward()
        optimiser.step()
        synchronise()
        return loss.detach()

    benchmark.group = f"{profile} {direction}"
    benchmark.extra_info |= facts() | {"model": name, "profile": profile, "backend": backend, "windows": windows}
    rounds = 1 if benchmark.disabled else 5 if profile == "full" else 11
    function = forward if direction == "forward" else step
    result = benchmark.pedantic(function, warmup_rounds=0 if benchmark.disabled else 2, rounds=rounds, iterations=1)
    assert torch.isfinite(result).all()


@pytest.mark.parametrize("direction", ["forward", "step"])
@pytest.mark.parametrize("name", NETWORKS)
def test_network(benchmark, monkeypatch, name, profile, direction):
    """Every network by the backend that ``auto`` is."""
    timed(benchmark, name, profile, direction, resolve("auto", DEVICE), monkeypatch)


@pytest.mark.parametrize("direction", ["forward", "step"])
@pytest.mark.parametrize("backend", ["torch", "native" if DEVICE == "cpu" else "mamba_ssm", "minimal"])
def test_backend(benchmark, monkeypatch, backend, profile, direction):
    """ECG-RAMBA by each backend of its scan."""
    timed(benchmark, "ecg_ramba", profile, direction, backend, monkeypatch)


def test_recording(benchmark, tmp_path):
    """From a file to probabilities, by one fold's model: read, filter, MiniRocket, HRV, network."""
    synthesize(tmp_path / "cohort", CohortConfig(source=24, third=2, subjects=2))
    config = SuiteConfig(source="synthetic-source", targets=(), folds=2, budget=Budget(epochs=1, min_steps=4))
    found = run_suite(
        config, [all_variants()["ecg_ramba"]], tmp_path / "cohort", tmp_path / "out", local(1), Progress()
    )
    key = found.cells["ecg_ramba"][0]["key"]
    model = load_fold_model(tmp_path / "out" / "cells" / key[:24] / "model.pt")
    file = next((tmp_path / "cohort" / "synthetic-source").rglob("*.hea"))
    benchmark.group = "recording"
    benchmark.extra_info |= facts() | {"recordings": 1, "data": "synthetic"}
    rounds = 1 if benchmark.disabled else 15
    said = benchmark.pedantic(
        lambda: predict_record([model], read_recording(file)),
        warmup_rounds=0 if benchmark.disabled else 2,
        rounds=rounds,
        iterations=1,
    )
    assert said.windows == 3
