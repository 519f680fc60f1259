"""FLOPs against counts by hand, and rows that add up."""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ecg_ramba.models import InputShape, model_spec
from ecg_ramba.nn.attention import Attention
from ecg_ramba.nn.flops import count_flops, ssd_flops, window_flops
from ecg_ramba.nn.ssd import ssd
from ecg_ramba.nn.summary import summarise

SHAPE = InputShape(components=(4, 3), rhythm=6, classes=5)


def test_linear_and_attention_by_hand():
    assert count_flops(nn.Linear(7, 5), torch.zeros(3, 7))[""] == 2 * 3 * 7 * 5
    b, n, d = 2, 10, 16
    projections = 2 * b * n * d * (3 * d + d)
    products = 2 * 2 * b * n * n * d
    assert count_flops(Attention(d, 4), torch.zeros(b, n, d))[""] == projections + products


@pytest.mark.parametrize("masked", [False, True])
def test_attention_counts_the_same_whichever_kernel_runs_it(masked):
    valid = torch.tensor([[True] * 7 + [False] * 3] * 2) if masked else None
    given = Attention(16, 4), torch.zeros(2, 10, 16), None, valid
    with sdpa_kernel(SDPBackend.MATH):
        plain = count_flops(*given)[""]
    assert count_flops(*given)[""] == plain


@pytest.mark.parametrize("length", [10, 128, 129, 625])
def test_scan_formula_equals_the_counted_products(length):
    class Scan(nn.Module):
        def forward(self, x, dt, A, B, C):
            return ssd(x, dt, A, B, C, backend="torch")

    b, h, p, n = 2, 3, 4, 5
    sizes = ((b, length, h, p), (b, length, h), (h,), (b, length, n), (b, length, n))
    assert count_flops(Scan(), *(torch.zeros(s) for s in sizes))[""] == ssd_flops(b, length, h, p, n)


def test_counting_leaves_the_mode_alone():
    module = nn.Linear(2, 2).train()
    count_flops(module, torch.zeros(1, 2))
    assert module.training


@pytest.mark.parametrize("name", ["ecg_ramba", "resnet1d", "transformer", "raw_mamba"])
def test_rows_add_up(name):
    spec = model_spec(name)
    config = spec.profile("small")
    *parts, total = summarise(spec, config, SHAPE)
    model = spec.build(config, SHAPE)
    assert total.parameters == sum(p.numel() for p in model.parameters())
    assert sum(part.parameters for part in parts) == total.parameters
    assert total.flops == window_flops(spec, config, SHAPE) > 1e6
    assert 0.9 * total.flops <= sum(part.flops for part in parts) <= total.flops
    assert total.output == (5,)


def test_rows_of_ecg_ramba_hold_its_token_counts():
    spec = model_spec("ecg_ramba")
    rows = {part.name: part for part in summarise(spec, spec.profile("small"), SHAPE)}
    assert rows["tok"].output == (157, 64)
    assert rows["cross_fusion"].output == (157 + 32, 64)
    assert rows["layers.1"].output == (32, 64)


def test_estimators_have_parameters_but_no_flops():
    spec = model_spec("hrv_logistic")
    (total,) = summarise(spec, spec.profile("small"), SHAPE)
    assert total.parameters == (2 * 6 + 1) * 5
    assert total.flops is None
