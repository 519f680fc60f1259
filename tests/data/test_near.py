"""Near duplicates: copies in other forms are found, and as many as a comparison of all pairs finds."""

import dataclasses

import numpy as np
import pytest
from scipy.signal import resample_poly

from ecg_ramba.data.near import NEAR, fingerprint, near_duplicates
from ecg_ramba.data.record import Record


def made(seed=0, rate=500.0, leads=("I", "II", "V1"), seconds=10.0, **changes):
    """A record of smooth noise."""
    noise = np.random.default_rng(seed).normal(size=(len(leads), int(seconds * rate)))
    signal = np.cumsum(noise - noise.mean(axis=1, keepdims=True), axis=1).astype(np.float32) / 50
    record = Record(
        signal=signal, leads=leads, rate=rate, source="x", record="r", subject="s", publisher="x", publisher_id="r"
    )
    return dataclasses.replace(record, **changes)


def similarity(one, other):
    return float(fingerprint(one).astype(float) @ fingerprint(other).astype(float))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s,
        lambda s: 3 * s + 1,
        lambda s: s + 0.3 * np.sin(np.arange(s.shape[1]) * 2 * np.pi * 0.1 / 500),
        lambda s: np.round(s, 2),
        lambda s: s + np.random.default_rng(1).normal(size=s.shape) * 0.01,
    ],
    ids=["same", "scaled", "wander", "rounded", "noise"],
)
def test_a_changed_copy_is_near(change):
    one = made()
    other = dataclasses.replace(one, signal=change(one.signal.astype(float)).astype(np.float32))
    assert similarity(one, other) > 0.99


@pytest.mark.parametrize(("rate", "up", "down"), [(100.0, 1, 5), (1000.0, 2, 1)])
def test_another_rate_is_near(rate, up, down):
    one = made()
    other = dataclasses.replace(one, signal=resample_poly(one.signal, up, down, axis=1).astype(np.float32), rate=rate)
    assert similarity(one, other) > NEAR


def test_others_are_not():
    one = made()
    assert abs(similarity(one, made(seed=1))) < 0.6
    inverted = dataclasses.replace(one, signal=-one.signal)
    assert similarity(one, inverted) < -0.9
    swapped = dataclasses.replace(one, signal=one.signal[[1, 0, 2]])
    assert similarity(one, swapped) < 0.6


def test_what_cannot_be_compared_has_none():
    assert fingerprint(made(leads=("I", "V1"))) is None
    assert fingerprint(made(seconds=4.0)) is None
    assert fingerprint(made(rate=60.0)) is None
    flat = made()
    flat.signal[1] = 0
    assert fingerprint(flat) is None
    assert fingerprint(made(seconds=6.0)).shape == fingerprint(made(seconds=60.0)).shape == (2000,)


def test_length_is_one():
    for seconds in (5.0, 7.3, 10.0, 31.0):
        assert np.linalg.norm(fingerprint(made(seconds=seconds)).astype(float)) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("block", [7, 64, 10_000])
def test_the_pairs_are_those_of_all_pairs(monkeypatch, block):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(90, 2000))
    for copy, (of, mixed) in {11: (3, 0.1), 40: (3, 0.4), 41: (40, 0.2), 89: (0, 0.0), 60: (61, 0.55)}.items():
        rows[copy] = rows[of] + mixed * rng.normal(size=2000)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    monkeypatch.setattr("ecg_ramba.data.near._BLOCK", block)
    every = rows.astype(np.float32) @ rows.astype(np.float32).T
    i, j = np.nonzero(np.triu(every >= NEAR, 1))
    found = sorted(near_duplicates(rows))
    assert [(a, b) for a, b, _ in found] == list(zip(i.tolist(), j.tolist(), strict=True))
    assert len(found) >= 5
    np.testing.assert_allclose([s for *_, s in found], every[i, j], atol=1e-5)


def test_none_and_one_have_no_pair():
    assert list(near_duplicates(np.zeros((0, 2000), np.float16))) == []
    assert list(near_duplicates(np.ones((1, 2000), np.float16))) == []
