"""Components with and without V1-V6 computed together are those computed apart, whichever of them was there before."""

import shutil

import numpy as np
import pytest

from ecg_ramba.features.transform import FeatureConfig, MorphologyTransform
from ecg_ramba.harness.features import morphology_columns, store_both_columns
from ecg_ramba.harness.inputs import window_table
from ecg_ramba.signal import WindowView


@pytest.fixture(scope="module")
def fitted(prepared_toy):
    data = prepared_toy([{"SNR"}] * 12, n_segments=[1, 2] * 6)
    table = window_table(data)
    view = WindowView(data.segments, table.at, table.start, table.samples)
    return data, table, MorphologyTransform.fit(view, 12, 0, FeatureConfig(num_kernels=336))


@pytest.mark.parametrize("before", [None, False, True])
def test_the_same_as_apart(fitted, before, tmp_path):
    data, table, transform = fitted
    if before is not None:
        morphology_columns(data, table, transform, before, tmp_path)
    store_both_columns(data, table, transform, tmp_path, threads=2)
    assert len(list(tmp_path.glob("components/*/rows.npy"))) == 2
    for limb in (False, True):
        apart = morphology_columns(data, table, transform, limb, None)
        np.testing.assert_array_equal(morphology_columns(data, table, transform, limb, tmp_path), apart)
    whole, limb = (morphology_columns(data, table, transform, x, tmp_path) for x in (False, True))
    assert (whole != limb).any()


def test_nothing_is_left_of_one_that_fails(fitted, tmp_path, monkeypatch):
    data, table, transform = fitted
    real, calls = MorphologyTransform.transform_both, []

    def failing(self, windows, threads):
        calls.append(len(windows))
        if len(calls) == 1:
            return real(self, windows, threads)
        raise MemoryError("full")

    monkeypatch.setattr("ecg_ramba.harness.features.BATCH", 16)
    monkeypatch.setattr(MorphologyTransform, "transform_both", failing)
    with pytest.raises(MemoryError):
        store_both_columns(data, table, transform, tmp_path)
    assert len(calls) == 2
    assert not list(tmp_path.glob("components/*"))
    shutil.rmtree(tmp_path)
