"""MiniRocket's features in C++: the canonical transform with given parameters, equal to sktime's up to rounding."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np

from ecg_ramba.native.library import Rocket, library, number


def rocket_features(
    windows: np.ndarray,
    parameters: Sequence[np.ndarray],
    threads: int = 1,
    instructions: str = "",
    dropped: np.ndarray | None = None,
) -> np.ndarray:
    """Shares of responses above each bias.

    Parameters
    ----------
    windows : (N, leads, samples) float32 array
        Contiguous, finite.
    parameters : sequence of arrays
        ``leads_per_kernel``, ``lead_indices``, ``dilations``, ``features_per_dilation`` (int32) and ``biases``
        (float32), as :class:`ecg_ramba.features.minirocket.MiniRocket` holds and has checked them.
    threads : int
        The result does not depend on it.
    instructions : str
        One of :data:`ecg_ramba.native.library.LEVELS` in place of the best that there is.
    dropped : (leads,) bool array, optional
        Also give the features of the same windows with these leads zero, for a fraction of their cost.

    Returns
    -------
    (N, F) float32 array, or (2, N, F) with ``dropped``: as they are, and with these leads zero
    """
    arrays = [np.ascontiguousarray(a) for a in parameters]
    out = np.empty((1 if dropped is None else 2, len(windows), len(arrays[-1])), dtype=np.float32)
    names = ("leads_per_kernel", "lead_indices", "dilation", "features_per_dilation", "biases")
    pointers = {name: a.ctypes.data for name, a in zip(names, arrays, strict=True)}
    if dropped is not None:
        zero = np.ascontiguousarray(dropped, dtype=np.int32)
        pointers |= {"dropped": zero.ctypes.data, "out_without": out[1].ctypes.data}
    n, leads, samples = windows.shape
    problem = Rocket(
        windows=n, leads=leads, samples=samples, dilations=len(arrays[2]), features=out.shape[2],
        x=windows.ctypes.data, out=out.ctypes.data, **pointers,
    )  # fmt: skip
    if library().rocket_float(ctypes.byref(problem), number(instructions), threads):
        raise MemoryError("no memory was left for MiniRocket")
    return out[0] if dropped is None else out
