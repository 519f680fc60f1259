"""Levels of detail against brute force."""

import numpy as np
import pytest

from ecg_ramba.dashboard.levels import MOST_FLOATS, levels_of, read_lead, read_slice, write_lead
from ecg_ramba.dashboard.read import DERIVED
from ecg_ramba.data.leads import LEADS, to_twelve


@pytest.mark.parametrize("samples", [2, 5000, 40_001, 123_457])
def test_every_level_is_the_extremes_of_its_samples(tmp_path, samples):
    values = np.random.default_rng(samples).normal(size=samples).astype(np.float32)
    values[: samples // 7] = np.nan
    path = tmp_path / "II.lead"
    write_lead(path, values)
    np.testing.assert_array_equal(read_lead(path, samples), values)
    assert levels_of(samples)[0] == 1
    for level in levels_of(samples):
        content, begin, end = read_slice(path, samples, level, 0, samples)
        found = np.frombuffer(content, "<f4")
        assert (begin, end) == (0, samples)
        if level == 1:
            np.testing.assert_array_equal(found, values)
            continue
        for i, (low, high) in enumerate(found.reshape(-1, 2)):
            piece = values[i * level : (i + 1) * level]
            known = piece[~np.isnan(piece)]
            if len(known):
                assert (low, high) == (known.min(), known.max())
            else:
                assert np.isnan([low, high]).all()


def test_slices_widen_to_whole_pairs_and_end_with_the_recording(tmp_path):
    values = np.arange(20_000, dtype=np.float32)
    path = tmp_path / "II.lead"
    write_lead(path, values)
    content, begin, end = read_slice(path, 20_000, 1, 7, 10)
    assert (np.frombuffer(content, "<f4").tolist(), begin, end) == ([7, 8, 9], 7, 10)
    content, begin, end = read_slice(path, 20_000, 4, 7, 10)
    assert (np.frombuffer(content, "<f4").tolist(), begin, end) == ([4, 7, 8, 11], 4, 12)
    assert read_slice(path, 20_000, 16, 19_990, 10**9)[1:] == (19_984, 20_000)
    assert read_slice(path, 20_000, 1, 30_000, 40_000) == (b"", 20_000, 20_000)
    assert read_slice(path, 20_000, 4, 100, 50) == (b"", 100, 100)


def test_an_answer_is_bounded(tmp_path):
    values = np.zeros(MOST_FLOATS + 10, dtype=np.float32)
    path = tmp_path / "II.lead"
    write_lead(path, values)
    content, begin, end = read_slice(path, len(values), 1, 0, len(values))
    assert (len(content), begin, end) == (4 * MOST_FLOATS, 0, MOST_FLOATS)


def test_derived_leads_are_those_of_the_suite():
    one, two = np.random.default_rng(0).normal(size=(2, 100))
    twelve, _ = to_twelve(np.array([one, two]), ("I", "II"))
    for lead, (of_one, of_two) in DERIVED.items():
        np.testing.assert_allclose(of_one * one + of_two * two, twelve[LEADS.index(lead)], atol=1e-12)
