"""The peak is that of the job, not of the process."""

import mmap

from ecg_ramba.harness.memory import peak_mb, start_peak


def test_a_large_block_counts_until_the_peak_is_started_again():
    start_peak()
    before = peak_mb()
    # pages of its own: what an allocator keeps of freed memory would be handed out again, and nothing would grow
    with mmap.mmap(-1, 40 * 2**20) as block:
        block.write(bytes(len(block)))
        during = peak_mb()
    assert during - before > 30
    start_peak()
    assert peak_mb() < during - 30
