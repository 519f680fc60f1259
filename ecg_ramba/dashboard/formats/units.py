"""Units of potential, and what a recording's size says of one that is not stated."""

from collections.abc import Sequence

import numpy as np

MILLIVOLTS = {"mV": 1.0, "uV": 1e-3, "V": 1e3}
"""Millivolts in one of each unit that a reader may choose."""

_SPELLINGS = {"mv": "mV", "millivolt": "mV", "millivolts": "mV"}
_SPELLINGS |= {"uv": "uV", "µv": "uV", "μv": "uV", "microvolt": "uV", "microvolts": "uV"}
_SPELLINGS |= {"v": "V", "volt": "V", "volts": "V"}

_PIECES, _PIECE = 20, 1000


def unit_of(text: str) -> str | None:
    """``mV``, ``uV`` or ``V`` for any spelling of it; None for anything else."""
    return _SPELLINGS.get(text.strip().strip("[]()").lower())


def excerpt(signal: np.ndarray, rows: Sequence[int]) -> np.ndarray:
    """Some channels of a recording, float64; of a long one twenty pieces, evenly spread, so that it takes no memory."""
    samples = signal.shape[1]
    if samples <= _PIECES * _PIECE:
        return np.asarray(signal[list(rows)], dtype=np.float64)
    starts = np.linspace(0, samples - _PIECE, _PIECES).astype(int)
    at = (starts[:, None] + np.arange(_PIECE)).ravel()
    return np.array([signal[row][at] for row in rows], dtype=np.float64)


def span(signal: np.ndarray) -> float:
    """How far the values of an ordinary channel reach: from the 0.5th to the 99.5th percentile, the channels' median.

    Parameters
    ----------
    signal : (channels, samples) array
        In any unit; NaN is left out.

    Returns
    -------
    float
        In the signal's unit; 0 where every channel is constant, NaN where there is no finite value.
    """
    spans = []
    for row in signal:
        known = row[np.isfinite(row)]
        if len(known):
            low, high = np.percentile(known, [0.5, 99.5])
            spans.append(high - low)
    alive = [s for s in spans if s > 0]
    return float(np.median(alive)) if alive else (0.0 if spans else float("nan"))


def likely_unit(found: float) -> tuple[str | None, bool]:
    """The unit in which an ECG spans so much, and whether it is certain enough not to be asked.

    An ECG spans 0.3 to 5 mV in most leads. In a range of 0.05 to 20, microvolts or converter counts would be less than
    noise, so it is millivolts; what fits microvolts fits the counts of many converters as well, and is asked.
    """
    if 0.05 <= found <= 20:
        return "mV", True
    if 200 <= found <= 20_000:
        return "uV", False
    if 5e-5 <= found <= 2e-2:
        return "V", False
    return None, False
