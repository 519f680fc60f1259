"""Training through the pooling: segments' logits against the evaluation's pooling; as many steps as of windows."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ecg_ramba.evaluation.pooling import Pooling, pool
from ecg_ramba.harness.config import Budget
from ecg_ramba.harness.segments import SegmentIndex, pool_logits
from ecg_ramba.harness.train import schedule, segment_schedule

RULES = {"power": Pooling(), "max": Pooling(rule="max"), "geometric": Pooling(rule="geometric")}
COUNTS = [3, 1, 2, 3]


def windows(classes=2, seed=0):
    """Logits of the windows of four segments, in float64, and each window's segment."""
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(sum(COUNTS), classes, generator=generator, dtype=torch.float64)
    return logits.requires_grad_(), np.repeat(np.arange(len(COUNTS)), COUNTS)


@pytest.mark.parametrize("rule", RULES)
def test_equals_the_pooling_of_the_evaluation(rule):
    logits, segment = windows()
    ours = torch.sigmoid(pool_logits(logits, segment, rule)).detach().numpy()
    starts = np.cumsum([0, *COUNTS[:-1]])
    np.testing.assert_allclose(ours, pool(torch.sigmoid(logits).detach().numpy(), starts, RULES[rule]), rtol=1e-6)


def test_attention_is_a_weighted_mean_of_probabilities_with_weights_by_class():
    logits, segment = windows(4)
    ours = torch.sigmoid(pool_logits(logits, segment, "attention")).detach().numpy()
    values = logits.detach().numpy()
    for s in range(len(COUNTS)):
        of = values[segment == s]
        for c in range(2):
            weight = np.exp(of[:, 2 + c]) / np.exp(of[:, 2 + c]).sum()
            np.testing.assert_allclose(ours[s, c], (weight / (1 + np.exp(-of[:, c]))).sum(), rtol=1e-6)


@pytest.mark.parametrize("rule", [*RULES, "attention"])
def test_gradients(rule):
    logits, segment = windows(4)
    assert torch.autograd.gradcheck(lambda x: pool_logits(x, segment, rule), (logits,))


@pytest.mark.parametrize("rule", [*RULES, "attention"])
def test_extreme_logits_stay_finite_and_a_segment_is_its_own(rule):
    logits = torch.tensor([[60.0, -60.0], [50.0, -80.0], [-9.0, 9.0]], requires_grad=True)
    pooled = pool_logits(logits, np.array([0, 0, 1]), rule)
    pooled.sum().backward()
    assert torch.isfinite(pooled).all()
    assert torch.isfinite(logits.grad).all()
    alone = pool_logits(logits[2:].detach(), np.array([0]), rule)
    torch.testing.assert_close(pooled[1:].detach(), alone)


def test_another_rule():
    logits, segment = windows()
    with pytest.raises(ValueError, match="pooling 'mode' is none of power, max, geometric, attention"):
        pool_logits(logits, segment, "mode")


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.randoms())
def test_index_holds_every_window_of_a_segment_once(segment, random):
    segment = np.array(segment)
    index = SegmentIndex.of(segment)
    known = np.unique(segment)
    assert len(index) == len(known)
    asked = np.array(random.sample(range(len(index)), random.randint(1, len(index))))
    rows, of = index.windows(asked)
    for i, number in enumerate(asked):
        assert rows[of == i].tolist() == np.flatnonzero(segment == known[number]).tolist()


@pytest.mark.parametrize("segments", [60, 362, 5000, 45_000])
def test_as_many_steps_of_as_many_windows(segments):
    windows, budget = 3 * segments, Budget()
    plain, pooled = schedule(windows, budget), segment_schedule(segments, windows, budget)
    assert abs(pooled.steps - plain.steps) <= 0.15 * plain.steps
    assert abs(3 * pooled.batch - plain.batch) <= 2


@pytest.mark.slow
def test_variants_that_read_whole_segments_or_weigh_windows_say_the_same_of_a_segments_windows(
    cohort, run_tiny, tmp_path
):
    names = ("ecg_ramba", "whole_segment", "trained_attention", "trained_power", "trained_max")
    result = run_tiny(tmp_path, names)
    assert not result.failures
    spread = {}
    for name in names:
        frame = pd.read_parquet(result.folder / f"variants/{name}/windows.parquet")
        classes = [c for c in frame.columns if c not in ("dataset", "record", "segment", "start", "fold", "seed")]
        apart = frame.groupby(["dataset", "record", "segment", "fold", "seed"])[classes]
        spread[name] = float((apart.max() - apart.min()).max(axis=None))
    assert spread["whole_segment"] == spread["trained_attention"] == 0
    assert min(spread[name] for name in ("ecg_ramba", "trained_power", "trained_max")) > 0
    parameters = {name: cells[0]["log"]["parameters"] for name, cells in result.cells.items()}
    classes = len(result.context.truth.space.classes)
    assert parameters["trained_power"] == parameters["trained_max"] == parameters["ecg_ramba"]
    assert parameters["whole_segment"] == parameters["ecg_ramba"]
    assert parameters["trained_attention"] == parameters["ecg_ramba"] + 65 * classes, "a score a class from 64 values"


def test_a_budget_with_another_pooling_is_refused():
    with pytest.raises(
        Exception, match=r"budget.pooling is one of window, power, max, geometric, attention, not 'sum'"
    ):
        dataclasses.replace(Budget(), pooling="sum")
