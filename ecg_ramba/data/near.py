"""Recordings with nearly the same signal: copies that were filtered, scaled, resampled or stored again.

A fingerprint is leads I and II of the first 10 s, filtered and standardised as for the networks, at 100 Hz; the
similarity of two is the mean of their leads' correlations. Copies that begin at another moment are not found.
"""

from collections.abc import Iterator

import numpy as np

from ecg_ramba.data.record import Record
from ecg_ramba.signal import SEGMENT, WINDOW, SignalConfig, band_pass, resample

STEP = 5
"""From 500 to 100 Hz; the band ends at 40 Hz."""

NEAR = 0.85
"""Similarity from which on two recordings are near duplicates. Among 1,186 real recordings, 372 pairs of forms of one
recording had 0.81 to 1 (99 in 100 above 0.86, the lowest at 100 beside 500 Hz), all other pairs at most 0.63."""

_DIMENSIONS = 256
_MARGIN = 0.2  # more than three standard deviations of a projection's error, 1 / sqrt(256)
_BLOCK = 2048


def fingerprint(record: Record) -> np.ndarray | None:
    """(2000,) float16 array of length 1, or None without leads I and II, with a flat one, or below 5 s."""
    if not {"I", "II"} <= set(record.leads):
        return None
    rows = [record.leads.index(lead) for lead in ("I", "II")]
    first = record.signal[rows, : int(np.ceil(record.rate * SEGMENT / 500))].astype(np.float64)
    config = SignalConfig()
    if first.shape[1] * config.rate / record.rate < WINDOW or record.rate < 2 * config.high:
        return None
    first = resample(first - np.median(first, axis=1, keepdims=True), record.rate, config.rate)
    filtered = band_pass(first, config)[:, :SEGMENT:STEP]
    spread = filtered.std(axis=1)
    if not (spread > 1e-6).all():
        return None
    scaled = (filtered - filtered.mean(axis=1, keepdims=True)) / (spread * np.sqrt(2 * filtered.shape[1]))[:, None]
    out = np.zeros((2, SEGMENT // STEP), dtype=np.float16)
    out[:, : scaled.shape[1]] = scaled
    return out.ravel()


def near_duplicates(fingerprints: np.ndarray, least: float = NEAR, seed: int = 0) -> Iterator[tuple[int, int, float]]:
    """Pairs of rows whose similarity is at least ``least``.

    Candidates are found by a random projection, a block of pairs in memory at a time; each is then computed in full.

    Parameters
    ----------
    fingerprints : (N, 2000) float16 array
        Of length 1 each.
    least : float
        Smallest similarity.
    seed : int
        Of the projection: which pairs come does not depend on it, up to errors of more than three deviations.

    Yields
    ------
    i, j, similarity
        ``i < j``.
    """
    rng = np.random.default_rng(seed)
    basis = rng.standard_normal((fingerprints.shape[1], _DIMENSIONS), dtype=np.float32) / np.sqrt(_DIMENSIONS)
    count = len(fingerprints)
    small = np.empty((count, _DIMENSIONS), dtype=np.float32)
    for a in range(0, count, _BLOCK):
        small[a : a + _BLOCK] = fingerprints[a : a + _BLOCK].astype(np.float32) @ basis
    for a in range(0, count, _BLOCK):
        for b in range(a, count, _BLOCK):
            i, j = np.nonzero(small[a : a + _BLOCK] @ small[b : b + _BLOCK].T >= least - _MARGIN)
            pairs = np.stack([i + a, j + b], axis=1)[i + a < j + b]
            for part in np.array_split(pairs, len(pairs) // _BLOCK + 1):
                one, other = (fingerprints[part[:, side]].astype(np.float32) for side in (0, 1))
                similar = np.einsum("ij,ij->i", one, other)
                for k in np.flatnonzero(similar >= least):
                    yield int(part[k, 0]), int(part[k, 1]), float(similar[k])
