"""Losses against scikit-learn and the formula written out."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from ecg_ramba.harness.loss import class_weight, masked_asymmetric, masked_bce


def case(seed, n=12, classes=5):
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, classes, generator=g) * 3
    y = (torch.rand(n, classes, generator=g) < 0.3).float()
    weight = (torch.rand(n, classes, generator=g) < 0.7).float()
    return logits, y, weight


@given(st.integers(0, 10_000))
def test_bce_equals_scikit_learn_on_known_labels(seed):
    logits, y, weight = case(seed)
    keep = weight.bool()
    p = torch.sigmoid(logits.double())[keep].numpy()
    expected = log_loss(y[keep].numpy(), p, labels=[0, 1])
    assert np.isclose(float(masked_bce(logits.double(), y.double(), weight.double())), expected, rtol=1e-9)


@given(st.integers(0, 10_000))
def test_asymmetric_equals_the_formula_one_pair_at_a_time(seed):
    logits, y, weight = case(seed)
    logits, y, weight = logits.double(), y.double(), weight.double()
    total = 0.0
    for z, t, w in zip(logits.flatten(), y.flatten(), weight.flatten(), strict=True):
        p = 1 / (1 + np.exp(-float(z)))
        m = max(p - 0.05, 0.0)
        loss = -np.log(p) if t else -(m**2.5) * np.log(1 - m)
        total += float(w) * loss
    assert np.isclose(float(masked_asymmetric(logits, y, weight)), total / float(weight.sum()), rtol=1e-9)


def test_the_two_losses_are_on_one_scale():
    logits, y, weight = case(1, 2000)
    ratio = float(masked_bce(logits * 0.1, y, weight) / masked_asymmetric(logits * 0.1, y, weight))
    assert 1 < ratio < 4


def test_unknown_labels_change_neither_value_nor_gradient():
    logits, y, weight = case(2)
    for loss in (masked_bce, masked_asymmetric):
        results = []
        for flipped in (y, torch.where(weight > 0, y, 1 - y)):
            z = logits.clone().requires_grad_()
            value = loss(z, flipped, weight)
            value.backward()
            results.append((value.item(), z.grad))
        assert results[0][0] == results[1][0]
        assert torch.equal(results[0][1], results[1][1])
        assert (results[0][1][weight == 0] == 0).all()


def test_nothing_known_gives_zero_not_nan():
    logits, y, weight = case(3)
    assert float(masked_bce(logits, y, weight * 0)) == 0
    assert float(masked_asymmetric(logits, y, weight * 0)) == 0


def test_class_weight_is_negatives_over_positives():
    y = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    known = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    assert class_weight(y, known).tolist() == [1.0, 3.0]
