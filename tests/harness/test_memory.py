"""The peak is that of the job, not of the process."""

import numpy as np

from ecg_ramba.harness.memory import peak_mb, start_peak


def test_a_large_array_counts_until_the_peak_is_started_again():
    start_peak()
    before = peak_mb()
    block = np.ones(40 * 2**20, dtype=np.uint8)
    during = peak_mb()
    assert during - before > 30
    del block
    start_peak()
    assert peak_mb() < during - 30
