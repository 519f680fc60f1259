"""The patch Transformer's positions: learned as ever, or sinusoidal without a parameter."""

import math
from dataclasses import replace

import pytest
import torch

from ecg_ramba.errors import UserError
from ecg_ramba.models import InputShape, model_spec
from ecg_ramba.nn.attention import sinusoidal_positions
from ecg_ramba.nn.inputs import example_batch

SPEC = model_spec("transformer")
SMALL = replace(SPEC.profile("small"), dropout=0.0)
SHAPE = InputShape(samples=500, classes=3)


def built(**changes):
    torch.manual_seed(0)
    return SPEC.build(replace(SMALL, **changes), SHAPE).eval()


@pytest.mark.parametrize(("length", "width"), [(1, 2), (10, 6), (7, 5), (5000, 96)])
def test_sinusoidal_positions_by_their_formula(length, width):
    found = sinusoidal_positions(length, width)
    assert found.shape == (length, width)
    for p in {0, 1, length // 2, length - 1} & set(range(length)):
        for column in range(width):
            angle = p / 10000 ** (2 * (column // 2) / width)
            expected = math.cos(angle) if column % 2 else math.sin(angle)
            assert float(found[p, column]) == pytest.approx(expected, abs=1e-6)
    assert len(torch.unique(found, dim=0)) == length, "no two places look the same"


def test_sinusoidal_positions_have_no_parameter_whatever_the_length():
    learned, fixed = built(), built(positions="sinusoidal")
    names = {name for name, _ in learned.named_parameters()} - {name for name, _ in fixed.named_parameters()}
    assert names == {"positions"}
    assert "positions" not in fixed.state_dict()
    assert tuple(learned.positions.shape) == tuple(fixed.positions.shape) == (1, 10, 96)


def test_positions_say_where_a_patch_is():
    batch = example_batch(SHAPE, frozenset({"signal"}), 2)
    moved = replace(batch, signal=batch.signal.roll(SMALL.patch, dims=-1))
    network = built(positions="sinusoidal")
    assert not torch.allclose(network(batch), network(moved), atol=1e-4)
    network.positions.zero_()
    assert torch.allclose(network(batch), network(moved), atol=1e-5), "a mean over tokens knows no order"


def test_the_feed_forward_width_is_four_times_the_width_or_as_said():
    assert built().layers[0].ffn[0].out_features == 4 * 96
    assert built(feedforward=416).layers[0].ffn[0].out_features == 416


def test_other_positions_are_refused():
    with pytest.raises(UserError, match="positions is one of learned, sinusoidal, not 'rotary'"):
        replace(SMALL, positions="rotary")
