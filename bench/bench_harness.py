"""What the harness adds to training: the same steps by the harness and by a bare loop over ready-made batches.

The bare loop goes through one epoch's batches again and again and does forward, loss, backward, clipping, optimiser
and weight average, nothing else; the harness also gathers each batch from a memory-mapped store, draws the leads that
are dropped, schedules, logs and takes the loss at the end.
"""

from dataclasses import dataclass, replace
from itertools import cycle, islice

import numpy as np
import pytest
import torch
from torch import nn

from ecg_ramba.harness.config import Budget
from ecg_ramba.harness.ema import WeightAverage
from ecg_ramba.harness.inputs import WindowSource, WindowTable, to_batch
from ecg_ramba.harness.loss import masked_bce
from ecg_ramba.harness.train import batches, parameter_groups, schedule, train_network
from ecg_ramba.models import InputShape, model_spec
from ecg_ramba.signal import SEGMENT

RECORDS, CLASSES = 48, 24
STREAMS = frozenset({"signal", "rhythm"})


@dataclass(frozen=True)
class Store:
    """The part of a prepared data set that training reads (noise)."""

    segments: np.ndarray
    leads: np.ndarray
    valid: np.ndarray


def window_source(folder) -> WindowSource:
    """Windows of noise in a memory-mapped file, with noise for HRV."""
    rng = np.random.default_rng(0)
    np.save(folder / "segments.npy", rng.normal(size=(RECORDS, 12, SEGMENT)).astype(np.float32))
    store = Store(
        segments=np.load(folder / "segments.npy", mmap_mode="r"),
        leads=np.ones((RECORDS, 12), dtype=bool),
        valid=np.full(RECORDS, SEGMENT),
    )
    at = np.repeat(np.arange(RECORDS), 3)
    table = WindowTable(at, at, np.zeros_like(at), np.tile([0, 1250, 2500], RECORDS))
    rhythm = rng.normal(size=(RECORDS, 30)).astype(np.float32)
    flags = np.ones((RECORDS, 30), dtype=bool)
    return WindowSource(store, table, np.arange(len(at)), STREAMS, rhythm=rhythm, rhythm_valid=flags)


def build() -> nn.Module:
    """The small ECG-RAMBA on signal and rhythm."""
    spec = model_spec("ecg_ramba")
    config = replace(spec.profile("small"), use_morphology=False)
    return spec.build(config, InputShape(rhythm=30, classes=CLASSES))


def bare_loop(ready, y, weight, budget) -> nn.Module:
    """The training steps alone."""
    network = build().train()
    average = WeightAverage(network, budget.ema_decay)
    optimiser = torch.optim.AdamW(parameter_groups(network, budget.weight_decay), lr=budget.learning_rate, fused=True)
    for batch, rows in ready:
        optimiser.zero_grad(set_to_none=True)
        masked_bce(network(batch), y[rows], weight[rows]).backward()
        nn.utils.clip_grad_norm_(network.parameters(), budget.clip_norm)
        optimiser.step()
        average.update(network)
    return network


@pytest.mark.parametrize("loop", ["harness", "bare"])
def test_time(benchmark, tmp_path, loop):
    """Training from the first step to the last, as many as the protocol asks of a small data set."""
    steps = 16 if benchmark.disabled else Budget().min_steps
    budget = Budget(epochs=1, min_steps=steps, loss="bce")
    source = window_source(tmp_path)
    rng = np.random.default_rng(1)
    y = (rng.random((len(source), CLASSES)) < 0.2).astype(np.float32)
    weight = np.ones_like(y)
    plan = schedule(len(source), budget)
    epoch = islice(batches(len(source), plan, 0, budget.lead_dropout), plan.steps_per_epoch)
    ready = [(to_batch(source.windows(rows, limb), "cpu"), torch.from_numpy(rows)) for _, rows, limb in epoch]
    labels, weights = torch.from_numpy(y), torch.from_numpy(weight)
    benchmark.group = f"training, {plan.steps} steps of {plan.batch} windows"
    benchmark.extra_info |= {"threads": torch.get_num_threads(), "torch": torch.__version__, "batch": plan.batch}

    def harness():
        return train_network(build, source, y, weight, budget, (0, 0, 1))[0]

    function = (
        harness if loop == "harness" else lambda: bare_loop(islice(cycle(ready), plan.steps), labels, weights, budget)
    )
    rounds = 1 if benchmark.disabled else 5
    network = benchmark.pedantic(function, warmup_rounds=0 if benchmark.disabled else 1, rounds=rounds, iterations=1)
    assert all(torch.isfinite(p).all() for p in network.parameters())
