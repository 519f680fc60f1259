"""Tens of thousands of recordings go through prepare and a fold's features in memory that does not grow with them."""

import pytest

from bench.scale import measure
from ecg_ramba.harness.executors.local import local
from ecg_ramba.harness.progress import Progress

FEW, MANY = 5_000, 45_000
LIMIT_MB = 2048


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_memory_is_bounded_and_flat(tmp_path):
    few, many = (measure(tmp_path, number, local(2), 0, Progress()) for number in (FEW, MANY))
    for stage in ("prepare_mb", "features_mb"):
        assert many[stage] < LIMIT_MB
        assert many[stage] < 1.3 * few[stage], "flat from 5,000 to 45,000"


def test_a_small_one_through_the_same_path(tmp_path):
    found = measure(tmp_path, 64, local(1), 0, Progress())
    assert found["synthetic"]
    assert found["windows"] == 3 * 64
    assert found["prepare_mb"] > 0
    assert found["windows_warm_mb_s"] > 0
    assert not (tmp_path / "work-64").exists()
