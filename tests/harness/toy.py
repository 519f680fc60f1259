"""Windows whose class is plain to see in their mean (synthetic), as training reads them."""

import numpy as np

from ecg_ramba.models import Windows


class Toy:
    """``weight``: a third of the labels is unknown."""

    def __init__(self, n=64, seed=0):
        rng = np.random.default_rng(seed)
        self.y = (rng.random((n, 2)) < 0.5).astype(np.float32)
        self.signal = (rng.normal(size=(n, 12, 50)) + self.y[:, :1, None]).astype(np.float32)
        self.weight = (rng.random((n, 2)) < 0.67).astype(np.float32)

    def __len__(self):
        return len(self.signal)

    def windows(self, rows, limb):
        signal = self.signal[rows].copy()
        signal[limb, 6:] = 0
        leads = np.ones((len(rows), 12), dtype=bool)
        leads[limb, 6:] = False
        return Windows(leads=leads, signal=signal)
