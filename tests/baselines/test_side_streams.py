"""Encoders of the signal with MiniRocket and heart-rate variability beside it."""

from dataclasses import replace

import pytest
import torch

from ecg_ramba.models import InputShape, model_spec
from ecg_ramba.nn.inputs import example_batch

SHAPE = InputShape(samples=500, components=(3, 2, 4), rhythm=5, classes=4)
ENCODERS = ("resnet1d", "transformer")


def built(name, **changes):
    spec = model_spec(name)
    config = replace(spec.profile("small"), dropout=0.0, **changes)
    torch.manual_seed(0)
    return spec.streams(config), spec.build(config, SHAPE).eval()


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize(("morphology", "rhythm"), [(False, False), (False, True), (True, False), (True, True)])
def test_streams_that_are_asked_for_count_and_others_are_not_read(name, morphology, rhythm):
    streams, model = built(name, use_morphology=morphology, use_rhythm=rhythm)
    assert streams == {"signal"} | ({"morphology"} if morphology else set()) | ({"rhythm"} if rhythm else set())
    batch = example_batch(SHAPE, streams, 3)
    expected = model(batch)
    assert expected.shape == (3, 4)
    for stream in streams:
        changed = replace(batch, **{stream: getattr(batch, stream) + 1})
        assert not torch.allclose(model(changed), expected)


@pytest.mark.parametrize("name", ENCODERS)
def test_rhythm_that_is_not_measurable_is_not_seen(name):
    streams, model = built(name, use_rhythm=True)
    batch = example_batch(SHAPE, streams, 2)
    batch.rhythm_valid[:, 2] = False
    other = replace(batch, rhythm=batch.rhythm.clone())
    other.rhythm[:, 2] = torch.nan
    assert torch.equal(model(other), model(batch))


@pytest.mark.parametrize("name", ENCODERS)
def test_padding_of_the_signal_is_not_seen_beside_other_streams(name):
    streams, model = built(name, use_rhythm=True, use_morphology=True)
    batch = example_batch(SHAPE, streams, 2)
    batch.valid[:, 300:] = False
    other = replace(batch, signal=batch.signal.clone())
    other.signal[:, :, 300:] = torch.nan
    assert torch.equal(model(other), model(batch))
