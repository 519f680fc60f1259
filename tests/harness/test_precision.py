"""Precision as a setting: in force where it was asked for and nowhere else, and compared with float32 first."""

import numpy as np
import pytest
import torch
from torch import nn

from ecg_ramba.errors import UserError
from ecg_ramba.harness.config import PRECISIONS, SuiteConfig
from ecg_ramba.harness.precision import SAME, check_precision, computing, products
from ecg_ramba.harness.train import predict_network, train_network
from ecg_ramba.models import Batch
from tests.harness.test_train import SHORT, Net, Toy


def test_every_precision_has_a_tolerance():
    assert set(SAME) == set(PRECISIONS)
    with pytest.raises(UserError, match="none of fp32, medium, bf16"):
        SuiteConfig(source="a", targets=(), precision="half")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_it_holds_inside_and_is_undone_outside(precision):
    before = torch.get_float32_matmul_precision()
    with products(precision):
        assert torch.get_float32_matmul_precision() == ("medium" if precision == "medium" else "highest")
    with computing("cpu", precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)
    assert torch.get_float32_matmul_precision() == before


class Steep(nn.Module):
    """A network that blows rounding up."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(12, 2)

    def forward(self, batch):
        return 1e3 * self.linear(batch.signal.mean(2))


def batch(size=8):
    return Batch(leads=torch.ones(size, 12, dtype=torch.bool), signal=torch.randn(size, 12, 50))


def test_rounding_is_measured_and_more_than_rounding_refused():
    torch.manual_seed(0)
    network = Net().train()
    assert 0 < check_precision(network, batch(), "cpu", "bf16") < SAME["bf16"]
    assert network.training
    assert check_precision(network, batch(), "cpu", "fp32") == 0
    with pytest.raises(UserError, match=r"--precision bf16 gives probabilities .* away from fp32's on cpu"):
        check_precision(Steep(), batch(500), "cpu", "bf16")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_training_at_each(precision):
    toy = Toy()
    network, log = train_network(Net, toy, toy.y, np.ones_like(toy.y), SHORT, (0, 0, 1), precision=precision)
    exact, _ = train_network(Net, toy, toy.y, np.ones_like(toy.y), SHORT, (0, 0, 1))
    assert 0 <= log.precision_difference < SAME[precision]
    assert precision != "bf16" or log.precision_difference > 0
    p, expected = predict_network(network, toy, precision=precision), predict_network(exact, toy)
    np.testing.assert_allclose(p, expected, atol=0.05)
    if precision != "medium":  # which changes products on some processors only
        assert np.array_equal(p, expected) == (precision == "fp32")
