"""MiniRocket for twelve leads, canonical (fitted by sktime), behind a checked boundary and as plain arrays.

Dempster, Schmidt and Webb, "MINIROCKET: a very fast (almost) deterministic transform for time series classification",
KDD 2021. 84 fixed kernels at each dilation, each over a random set of leads; a feature is the proportion of positive
values (PPV) of a convolution minus a bias, and biases are quantiles of training windows. sktime's transform accepts
NaN, another length and fewer leads than it was fitted on without a word; here they are errors. Features come from C++
where that can be had (:mod:`ecg_ramba.native.rocket`), else from sktime: the same additions in the same order.
"""

from dataclasses import dataclass

import numpy as np

from ecg_ramba.errors import CheckpointError
from ecg_ramba.native.library import unavailable
from ecg_ramba.native.rocket import rocket_features
from ecg_ramba.threads import numba_section

KERNELS = 84
"""Kernels at each dilation: the ways to choose 3 of 9 taps."""

TAPS = 9
"""Length of a kernel."""

_PARAMETERS = ("leads_per_kernel", "lead_indices", "dilations", "features_per_dilation", "biases")


@dataclass(frozen=True, eq=False)
class MiniRocket:
    """A fitted transform.

    Parameters
    ----------
    leads, samples : int
        Shape of the windows it was fitted on, and takes.
    leads_per_kernel : (84 * D,) int32 array
        Number of leads that each kernel of each dilation adds up.
    lead_indices : int32 array
        Those leads, one kernel after the other.
    dilations : (D,) int32 array
        Distances between taps, in samples, ascending.
    features_per_dilation : (D,) int32 array
        Features of each kernel at a dilation; the dilation has 84 times as many.
    biases : (F,) float32 array
        One for each feature.
    """

    leads: int
    samples: int
    leads_per_kernel: np.ndarray
    lead_indices: np.ndarray
    dilations: np.ndarray
    features_per_dilation: np.ndarray
    biases: np.ndarray

    @classmethod
    def fit(cls, windows: np.ndarray, seed: int, num_kernels: int = 10_000, max_dilations: int = 32) -> "MiniRocket":
        """Draw the leads of each kernel and take the biases from training windows.

        Parameters
        ----------
        windows : (N, leads, samples) float32 array
            Training windows, finite.
        seed : int
            Decides the leads and the windows that give biases.
        num_kernels : int
            Rounded down to a multiple of 84: 10,000 gives 9,996 features.
        max_dilations : int
            Most dilations a kernel may have.
        """
        windows = _checked(windows, None, None)
        if len(windows) == 0:
            raise ValueError("MiniRocket needs at least one window to fit")
        if windows.shape[2] < TAPS:
            raise ValueError(f"windows of {windows.shape[2]} samples: a kernel needs {TAPS}")
        with numba_section():
            from sktime.transformations.rocket import MiniRocketMultivariate

            before = np.random.get_state()  # noqa: NPY002 - sktime seeds numpy's global generator; leave it as it was
            try:
                # sktime takes Python ints only
                model = MiniRocketMultivariate(num_kernels, max_dilations, random_state=int(seed)).fit(windows)
            finally:
                np.random.set_state(before)  # noqa: NPY002
        return cls(windows.shape[1], windows.shape[2], *model.parameters)

    def transform(self, windows: np.ndarray, threads: int = 1) -> np.ndarray:
        """PPV features of windows.

        Parameters
        ----------
        windows : (N, leads, samples) float32 array
            Of the shape it was fitted on, finite.
        threads : int
            The result does not depend on it.

        Returns
        -------
        (N, F) float32 array
            Proportions between 0 and 1; the features of one dilation are contiguous (:attr:`dilation_groups`).
        """
        windows = _checked(windows, self.leads, self.samples)
        if threads < 1:
            raise ValueError(f"{threads} threads: at least one is needed")
        if len(windows) == 0:
            return np.empty((0, self.features), dtype=np.float32)
        if not unavailable():
            return rocket_features(windows, [getattr(self, name) for name in _PARAMETERS], threads)
        with numba_section():
            from numba import config
            from sktime.transformations.rocket import MiniRocketMultivariate

            model = MiniRocketMultivariate(n_jobs=min(threads, config.NUMBA_NUM_THREADS))
            model.parameters = tuple(getattr(self, name) for name in _PARAMETERS)
            return model._transform(windows).to_numpy()

    def transform_both(self, windows: np.ndarray, dropped: np.ndarray, threads: int = 1) -> np.ndarray:
        """Features of windows as they are, and with some leads zero: (2, N, F), the same as two transforms give.

        Parameters
        ----------
        windows : (N, leads, samples) float32 array
            As for :meth:`transform`.
        dropped : (leads,) bool array
            Leads that are zero the second time.
        threads : int
            The result does not depend on it.
        """
        windows = _checked(windows, self.leads, self.samples)
        if len(windows) and not unavailable():
            return rocket_features(windows, [getattr(self, name) for name in _PARAMETERS], threads, dropped=dropped)
        without = windows.copy()
        without[:, dropped] = 0
        return np.stack([self.transform(w, threads) for w in (windows, without)])

    @property
    def features(self) -> int:
        """Number of features of a window."""
        return len(self.biases)

    @property
    def dilation_groups(self) -> tuple[slice, ...]:
        """Columns of the features of each dilation."""
        ends = np.cumsum(KERNELS * self.features_per_dilation.astype(int)).tolist()
        return tuple(slice(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True))

    def state(self) -> dict[str, np.ndarray]:
        """Everything fitted, as arrays; :meth:`from_state` is the inverse."""
        shape = np.array([self.leads, self.samples], dtype=np.int64)
        return {"shape": shape, **{name: getattr(self, name) for name in _PARAMETERS}}

    @classmethod
    def from_state(cls, state: dict[str, np.ndarray]) -> "MiniRocket":
        """A transform from its arrays.

        Raises
        ------
        CheckpointError
            If arrays are missing or do not fit together; compiled code would read outside them.
        """
        missing = {"shape", *_PARAMETERS} - set(state)
        if missing:
            raise CheckpointError(f"MiniRocket state lacks {', '.join(sorted(missing))}; train the model again")
        arrays = {n: np.ascontiguousarray(state[n], np.float32 if n == "biases" else np.int32) for n in _PARAMETERS}
        shape = np.asarray(state["shape"])
        if shape.shape != (2,) or any(a.ndim != 1 for a in arrays.values()):
            raise CheckpointError("MiniRocket state has arrays of the wrong shape; train the model again")
        model = cls(int(shape[0]), int(shape[1]), **arrays)
        if not model._consistent():
            raise CheckpointError("MiniRocket state has arrays that do not fit together; train the model again")
        return model

    def _consistent(self) -> bool:
        """Whether every index stays inside its array and every dilated kernel inside a window."""
        d = len(self.dilations)
        return bool(
            d > 0
            and self.leads > 0
            and self.samples >= TAPS
            and len(self.features_per_dilation) == d
            and len(self.leads_per_kernel) == KERNELS * d
            and (self.dilations > 0).all()
            and (self.dilations.astype(int) * (TAPS - 1) < self.samples).all()
            and (self.features_per_dilation > 0).all()
            and KERNELS * self.features_per_dilation.astype(int).sum() == len(self.biases)
            and (self.leads_per_kernel > 0).all()
            and self.leads_per_kernel.astype(int).sum() == len(self.lead_indices)
            and ((self.lead_indices >= 0) & (self.lead_indices < self.leads)).all()
            and np.isfinite(self.biases).all()
        )


def _checked(windows: np.ndarray, leads: int | None, samples: int | None) -> np.ndarray:
    """Windows as contiguous float32, or a ValueError that says what does not fit."""
    windows = np.asarray(windows)
    if windows.ndim != 3:
        raise ValueError(f"windows of shape {windows.shape}: (N, leads, samples) is needed")
    if leads is not None and windows.shape[1:] != (leads, samples):
        raise ValueError(f"windows of shape {windows.shape[1:]}: the transform was fitted on ({leads}, {samples})")
    windows = np.ascontiguousarray(windows, dtype=np.float32)
    if not np.isfinite(windows).all():
        raise ValueError("windows hold NaN or infinite samples; MiniRocket would turn them into figures in silence")
    return windows
