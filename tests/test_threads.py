"""Numba's threads beside torch's: eight callers at once neither abort the interpreter nor change a figure."""

import subprocess
import sys

SCRIPT = """
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import torch
from ecg_ramba.features.minirocket import MiniRocket

rng = np.random.default_rng(0)
windows = rng.normal(size=(16, 12, 200)).astype(np.float32)
rocket = MiniRocket.fit(windows, seed=0, num_kernels=168)
alone = rocket.transform(windows, threads=2)

def together(i):
    torch.randn(64, 64) @ torch.randn(64, 64)
    return rocket.transform(windows, threads=2)

with ThreadPoolExecutor(8) as pool:
    for found in pool.map(together, range(32)):
        assert np.array_equal(found, alone)

import numba
print(numba.threading_layer())
"""


def test_eight_threads_at_once():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["workqueue"]
