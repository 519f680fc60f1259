"""Features as the published ECG-RAMBA release makes them, to be set against those of its paper.

Random ternary kernels in place of MiniRocket's, on a whole segment, and 36 slots in place of heart-rate variability, of
which most are zero. The recipe is the release's (its configuration and public checkpoints); nothing here is fitted.
"""

import numpy as np

from ecg_ramba.errors import CheckpointError
from ecg_ramba.features.rhythm import PLAUSIBLE_MS, r_peaks
from ecg_ramba.signal import SEGMENT

DILATIONS = tuple(2**i for i in range(10))
"""1, 2, 4 … 512 samples between the taps."""

KERNELS = 1000
"""Kernels of each dilation; each gives two features."""

TAPS = 9
SEED = 42

SLOTS = 36
"""0-4 RR intervals, 5-29 zero, 30-35 moments of all leads."""


class RandomKernels:
    """Maximum, and proportion of values above a bias, of 10,000 random ternary convolutions over all twelve leads.

    Weights are uniform in {-1, 0, 1} (12 leads x 9 taps), biases 0.1 x standard normal, drawn with torch's CPU
    generator seeded 42, dilation by dilation, the weights before the biases. "Same" padding. For each dilation come
    1,000 maxima, then 1,000 proportions, of a whole segment. A bias is a threshold: it moves no maximum.
    """

    features = 2 * KERNELS * len(DILATIONS)
    samples = SEGMENT

    def __init__(self):
        import torch

        generator = torch.Generator().manual_seed(SEED)
        self._banks = []
        for _ in DILATIONS:
            weight = torch.randint(-1, 2, (KERNELS, 12, TAPS), generator=generator).float()
            self._banks.append((weight, 0.1 * torch.randn(KERNELS, generator=generator)))

    @property
    def dilation_groups(self) -> tuple[slice, ...]:
        """Columns of the features of each dilation."""
        return tuple(slice(2 * KERNELS * i, 2 * KERNELS * (i + 1)) for i in range(len(DILATIONS)))

    def transform(self, segments: np.ndarray, threads: int = 1) -> np.ndarray:
        """Features of segments.

        Parameters
        ----------
        segments : (N, 12, 5000) float32 array
            Finite.
        threads : int
            Not used: torch's own setting decides.

        Returns
        -------
        (N, 20000) float32 array
        """
        import torch
        import torch.nn.functional as F

        segments = np.ascontiguousarray(segments, dtype=np.float32)
        if segments.ndim != 3 or segments.shape[1:] != (12, SEGMENT):
            raise ValueError(f"segments of shape {segments.shape}: (N, 12, {SEGMENT}) is needed")
        if not np.isfinite(segments).all():
            raise ValueError("segments hold NaN or infinite samples")
        out = np.empty((len(segments), self.features), dtype=np.float32)
        with torch.inference_mode():
            response = torch.empty(KERNELS, SEGMENT)
            for i, segment in enumerate(torch.from_numpy(segments)):
                for group, dilation, (weight, bias) in zip(self.dilation_groups, DILATIONS, self._banks, strict=True):
                    padded = F.pad(segment, (4 * dilation, 4 * dilation))
                    taps = torch.stack([padded[:, k * dilation : k * dilation + SEGMENT] for k in range(TAPS)], dim=1)
                    torch.mm(weight.flatten(1), taps.flatten(0, 1), out=response)
                    out[i, group.start : group.start + KERNELS] = response.amax(1)
                    # signs added up as floats: adding up booleans takes ten times as long
                    above = response.sub_(bias[:, None]).clamp_(min=0).sign_().sum(1)
                    out[i, group.start + KERNELS : group.stop] = above / SEGMENT
        return out

    def state(self) -> dict[str, np.ndarray]:
        """What names it: there is nothing fitted."""
        return {"release": np.array([SEED, len(DILATIONS), KERNELS], dtype=np.int64)}

    @classmethod
    def from_state(cls, state: dict[str, np.ndarray]) -> "RandomKernels":
        """The same kernels again.

        Raises
        ------
        CheckpointError
            If the state names others.
        """
        if np.asarray(state["release"]).tolist() != [SEED, len(DILATIONS), KERNELS]:
            raise CheckpointError("the state names other random kernels than the release's; train the model again")
        return cls()


def rhythm_slots(segment: np.ndarray, leads: np.ndarray, valid: int, rate: float = 500.0) -> np.ndarray:
    """The 36 slots of one segment.

    Parameters
    ----------
    segment : (12, 5000) array
        Filtered signal in standard lead order.
    leads : (12,) bool array
        Leads present.
    valid : int
        Samples inside the recording.
    rate : float
        Samples per second.

    Returns
    -------
    (36,) float64 array
        0-4: mean, standard deviation, median, minimum and maximum of the RR intervals between 300 and 2000 ms in lead
        II, in ms, NaN with fewer than two; 5-29: zero; 30-35: mean, standard deviation, mean square, kurtosis, skewness
        and 95th percentile of the samples of all twelve leads, standardised over all of them together.
    """
    from scipy.stats import kurtosis, skew

    out = np.zeros(SLOTS)
    peaks = _beats(segment[1, :valid].astype(np.float64), rate) if leads[1] else np.empty(0)
    rr = np.diff(peaks) / rate * 1000
    rr = rr[(rr > PLAUSIBLE_MS[0]) & (rr < PLAUSIBLE_MS[1])]
    plausible = len(peaks) > 2 and len(rr) > 1
    out[:5] = (rr.mean(), rr.std(), np.median(rr), rr.min(), rr.max()) if plausible else np.nan
    x = segment[:, :valid].astype(np.float64).ravel()
    x = (x - x.mean()) / (x.std() + 1e-8)
    out[30:] = x.mean(), x.std(), np.mean(x**2), kurtosis(x), skew(x), np.percentile(x, 95)
    return out


def _beats(lead: np.ndarray, rate: float) -> np.ndarray:
    """R peaks; where these are fewer than three, maxima of 1.5 standard deviations, a quarter of a second apart."""
    from scipy.signal import find_peaks

    peaks = r_peaks(lead, rate)
    if len(peaks) >= 3:
        return peaks
    z = (lead - lead.mean()) / (lead.std() + 1e-8)
    return find_peaks(z, height=1.5, distance=int(0.25 * rate))[0]
