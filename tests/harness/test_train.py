"""The training loop: budget, pairing, averages, reproducibility."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ecg_ramba.errors import UserError
from ecg_ramba.harness.config import Budget
from ecg_ramba.harness.ema import WeightAverage
from ecg_ramba.harness.train import batches, learning_rate, parameter_groups, predict_network, schedule, train_network
from tests.harness.toy import Toy

SHORT = Budget(epochs=4, min_steps=40)


class Net(nn.Module):
    """A small network with every kind of state: weights, BatchNorm buffers, dropout."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(12)
        self.drop = nn.Dropout(0.1)
        self.linear = nn.Linear(12, 2)

    def forward(self, batch):
        return self.linear(self.drop(self.norm(batch.signal.mean(2))))


def trained(seed=(0, 0, 1), budget=SHORT, toy=None):
    toy = toy or Toy()
    return train_network(Net, toy, toy.y, np.ones_like(toy.y), budget, seed)


@given(st.integers(1, 5000))
def test_schedule_gives_the_steps_the_budget_asks_for(windows):
    plan = schedule(windows, Budget())
    assert plan.steps >= 300
    assert plan.epochs >= 20
    assert 1 <= plan.batch <= 192
    assert plan.batch * plan.steps_per_epoch <= windows
    if windows >= 16:
        assert plan.steps_per_epoch >= 16


def test_batches_depend_on_the_seed_alone_and_visit_each_window_once_an_epoch():
    plan = schedule(100, Budget(epochs=3, min_steps=1))
    first, again, other = (list(batches(100, plan, s, 0.5)) for s in (1, 1, 2))
    assert all((a[1] == b[1]).all() and (a[2] == b[2]).all() for a, b in zip(first, again, strict=True))
    assert any((a[1] != b[1]).any() for a, b in zip(first, other, strict=True))
    for epoch in range(3):
        rows = np.concatenate([r for e, r, _ in first if e == epoch])
        assert len(set(rows)) == len(rows)
    limb = np.concatenate([x for _, _, x in first])
    assert 0.3 < limb.mean() < 0.7


def test_learning_rate_is_a_cosine_between_its_ends():
    budget = Budget()
    rates = [learning_rate(i, 100, budget) for i in range(100)]
    assert rates[0] == budget.learning_rate
    assert np.isclose(rates[-1], budget.final_learning_rate)
    assert all(a > b for a, b in itertools.pairwise(rates))
    assert np.isclose(rates[0] + rates[-1], rates[30] + rates[69])


def test_parameters_that_ask_for_no_decay_get_none():
    net = Net()
    net.linear.bias._no_weight_decay = True
    decay, none = parameter_groups(net, 0.05)
    assert [p.shape for p in none["params"]] == [net.linear.bias.shape]
    assert none["weight_decay"] == 0
    assert len(decay["params"]) + 1 == len(list(net.parameters()))


def test_average_equals_the_recurrence_written_out():
    torch.manual_seed(0)
    net = Net()
    average = WeightAverage(net, 0.999)
    expected = net.linear.weight.detach().clone()
    for t in range(1, 30):
        with torch.no_grad():
            net.linear.weight += torch.randn_like(net.linear.weight)
        average.update(net)
        decay = min(0.999, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * net.linear.weight.detach()
    assert torch.allclose(average.state["linear.weight"], expected, atol=1e-5)


def test_training_learns_and_ends_with_the_average():
    toy = Toy(256)
    net, log = train_network(Net, toy, toy.y, np.ones_like(toy.y), Budget(epochs=40, learning_rate=0.02), (0, 0, 1))
    p = predict_network(net, toy)
    assert ((p[:, 0] > 0.5) == toy.y[:, 0]).mean() > 0.95
    assert abs(log.final_loss_ema / log.final_loss_raw - 1) < 0.2
    assert log.loss[-1] < log.loss[0]
    assert len(log.loss) == log.schedule["epochs"]


def test_same_seed_same_bits_other_seed_other_weights():
    a, b, c = trained()[0], trained()[0], trained((0, 1, 1))[0]
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
    assert not torch.equal(a.linear.weight, c.linear.weight)


def test_training_leaves_the_global_generator_as_it_was():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    trained()
    assert torch.equal(torch.rand(3), expected)


def test_a_loss_that_is_not_finite_is_an_error():
    toy = Toy()
    toy.signal[:] = np.inf
    with pytest.raises(UserError, match="training loss is nan"):
        trained(toy=toy)


def test_an_unknown_loss_is_an_error():
    with pytest.raises(UserError, match="'hinge' is none of"):
        trained(budget=Budget(loss="hinge"))
