"""A lead at full rate with its levels of detail, in one file that is read in slices.

A file holds little-endian float32: the samples, then for each coarser level the pairs (minimum, maximum) of as many
samples as the level says. A page that shows an hour asks for a thousand pairs, never for a million samples.
"""

from pathlib import Path

import numpy as np

from ecg_ramba.files import write_atomic

FACTOR = 4
FEWEST_PAIRS = 512
"""No level is made that has fewer pairs: it would be coarser than a screen."""

MOST_FLOATS = 2_000_000
"""Of one answer."""


def levels_of(samples: int) -> list[int]:
    """Samples a pair of each level; 1 is the samples themselves."""
    levels = [1]
    while samples // (levels[-1] * FACTOR) >= FEWEST_PAIRS:
        levels.append(levels[-1] * FACTOR)
    return levels


def write_lead(path: Path, values: np.ndarray) -> None:
    """Write a lead and its levels.

    Parameters
    ----------
    path : Path
        The file.
    values : (samples,) float array
        Millivolts; NaN where missing.
    """
    values = np.ascontiguousarray(values, dtype="<f4")

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            file.write(values.data)
            low = high = values
            for _ in levels_of(len(values))[1:]:
                low, high = _coarser(low, np.fmin), _coarser(high, np.fmax)
                file.write(np.stack([low, high], axis=1).tobytes())

    write_atomic(path, write)


def _coarser(values: np.ndarray, extreme: np.ufunc) -> np.ndarray:
    """The extreme of every four values; NaN only where all four are."""
    missing = -len(values) % FACTOR
    padded = np.pad(values, (0, missing), constant_values=np.nan) if missing else values
    return extreme.reduce(padded.reshape(-1, FACTOR), axis=1).astype("<f4", copy=False)


def read_slice(path: Path, samples: int, level: int, start: int, stop: int) -> tuple[bytes, int, int]:
    """A stretch of a lead.

    Parameters
    ----------
    path : Path
        As written by :func:`write_lead`.
    samples : int
        Of the whole lead.
    level : int
        One of :func:`levels_of`.
    start, stop : int
        In samples; widened to whole pairs, cut to the recording and to what one answer holds.

    Returns
    -------
    content : bytes
        Little-endian float32.
    start, stop : int
        What it covers, in samples.
    """
    begin = max(0, min(start, samples)) // level
    end = max(begin, -(-max(0, min(stop, samples)) // level))
    width = 1 if level == 1 else 2
    end = min(end, begin + MOST_FLOATS // width)
    offset = 0
    for finer in levels_of(samples):
        if finer == level:
            break
        offset += (samples if finer == 1 else 2 * -(-samples // finer)) * 4
    mapped = np.memmap(path, dtype="<f4", mode="r", offset=offset, shape=(-(-samples // level) * width,))
    return mapped[begin * width : end * width].tobytes(), begin * level, min(end * level, samples)


def read_lead(path: Path, samples: int) -> np.ndarray:
    """A whole lead at full rate, (samples,) float32, in memory."""
    return np.fromfile(path, dtype="<f4", count=samples)
