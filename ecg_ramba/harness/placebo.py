"""Placebo streams: inputs of the same form and distribution that can tell nothing of the recording they stand for.

A network is trained and scored with them at full capacity, so that what a stream's parameters do is told apart from
what the stream says.
"""

import numpy as np

from ecg_ramba.errors import UserError


def other_subjects(subject: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each item an item of another subject.

    Where no subject has more than half of the items it is a permutation: each item is taken once, so the distribution
    stays what it was. Else each item draws among those of the other subjects.

    Parameters
    ----------
    subject : (n,) array
        Whose each item is.
    rng : numpy.random.Generator

    Returns
    -------
    (n,) int array

    Raises
    ------
    UserError
        If all items are of one subject.
    """
    code = np.unique(subject, return_inverse=True)[1]
    counts = np.bincount(code)
    if len(counts) < 2:
        raise UserError("heart-rate variability of other subjects is asked for, and there is one subject only")
    if counts.max() * 2 > len(code):
        out = np.empty(len(code), dtype=np.int64)
        for one in range(len(counts)):
            out[code == one] = rng.choice(np.flatnonzero(code != one), counts[one])
        return out
    # Subjects one after the other in a random order; a turn by the longest one takes nobody to itself.
    order = np.lexsort([rng.random(len(code)), rng.permutation(len(counts))[code]])
    out = np.empty(len(code), dtype=np.int64)
    out[order] = np.roll(order, counts.max())
    return out
