"""Morphology as fitted on one fold's training windows: MiniRocket, then principal components of each dilation group.

It travels with that fold's model, turns into plain arrays and back, and its digest keys whatever is computed with it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ecg_ramba.data.leads import LEADS, PRECORDIAL
from ecg_ramba.errors import CheckpointError
from ecg_ramba.features.components import GroupedMoments, allocate, one_blas_thread
from ecg_ramba.features.minirocket import MiniRocket
from ecg_ramba.features.release import RandomKernels
from ecg_ramba.features.standardise import state_digest, taken
from ecg_ramba.keys import seed_for
from ecg_ramba.signal import SEGMENT, WINDOW, without_precordial

_PRECORDIAL = np.zeros(len(LEADS), dtype=bool)
_PRECORDIAL[PRECORDIAL] = True

BATCH = 64
"""Windows transformed at a time. Matrix products always have this many rows, so that a window's figures do not depend,
to the last bit, on how many others come with it."""


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """How morphology tokens are made.

    Parameters
    ----------
    kernels : {"minirocket", "random"}
        MiniRocket's, on windows; or the published release's random kernels, on whole segments.
    num_kernels : int
        MiniRocket features, rounded down to a multiple of 84.
    reduction : {"pca", "none"}
        Principal components of each group, or all its features, centred.
    max_components : int
        Most principal components in all.
    records_per_component : int
        Training recordings asked for each component.
    grouping : {"dilation", "single"}
        One token and one basis for each dilation, or a single token from all features.
    drop_precordial : float
        Probability that a training window is seen without V1 to V6.
    fit_windows : int
        Most training windows that MiniRocket draws its biases from.
    """

    kernels: Literal["minirocket", "random"] = "minirocket"
    num_kernels: int = 10_000
    reduction: Literal["pca", "none"] = "pca"
    max_components: int = 3072
    records_per_component: int = 4
    grouping: Literal["dilation", "single"] = "dilation"
    drop_precordial: float = 0.5
    fit_windows: int = 1024

    def __post_init__(self):
        if min(self.num_kernels, self.max_components, self.records_per_component, self.fit_windows) < 1:
            raise ValueError("num_kernels, max_components, records_per_component and fit_windows are at least 1")
        if not 0 <= self.drop_precordial <= 1:
            raise ValueError(f"drop_precordial is {self.drop_precordial}: a probability is needed")
        if self.grouping not in ("dilation", "single"):
            raise ValueError(f"grouping is {self.grouping!r}; use dilation or single")
        if self.kernels not in ("minirocket", "random"):
            raise ValueError(f"kernels is {self.kernels!r}; use minirocket or random")
        if self.reduction not in ("pca", "none"):
            raise ValueError(f"reduction is {self.reduction!r}; use pca or none")

    @property
    def samples(self) -> int:
        """Length of what the kernels read: a window, or a whole segment."""
        return SEGMENT if self.kernels == "random" else WINDOW


@dataclass(frozen=True, eq=False)
class MorphologyTransform:
    """MiniRocket features as one token for each dilation group.

    The proportions that MiniRocket yields share one scale, so they are centred and not scaled before the principal
    components; a component is then scaled to unit variance on the training windows, some of which were seen without V1
    to V6 as in the networks' training.

    Parameters
    ----------
    rocket : MiniRocket or RandomKernels
        The fitted kernels and biases, or the release's.
    groups : tuple of slice
        Columns of the features that make up each token.
    components : tuple of int
        Components of each group.
    centre : (F,) float64 array
        Means of the features over the training windows.
    basis : (F, max(components)) float32 array
        Scaled loadings; the rows of a group give its token, zero beyond its components. (0, 0) where a token is its
        group's features as they are, centred.
    asked, n_records : int
        Components asked for, and training recordings they were fitted on.
    """

    rocket: MiniRocket | RandomKernels
    groups: tuple[slice, ...]
    components: tuple[int, ...]
    centre: np.ndarray
    basis: np.ndarray
    asked: int
    n_records: int

    @classmethod
    def fit(
        cls,
        windows: np.ndarray,
        n_records: int,
        seed: int,
        config: FeatureConfig = FeatureConfig(),
        threads: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ) -> "MorphologyTransform":
        """Fit on the training windows of one fold, a batch in memory at a time.

        Parameters
        ----------
        windows : (N, 12, samples) array, memory map or :class:`ecg_ramba.signal.WindowView`
            Training windows, all leads; some are seen without V1 to V6, by ``seed``.
        n_records : int
            Recordings they come from.
        seed : int
            Of MiniRocket and of the leads that are dropped.
        config : FeatureConfig
            Sizes.
        threads : int
            The result does not depend on it.
        progress : callable, optional
            Called with (windows done, windows in all).
        """
        n = len(windows)
        rng = _generator(n, seed)
        dropped = rng.random(n) < config.drop_precordial
        some = np.sort(rng.permutation(n)[: config.fit_windows])
        rocket = MiniRocket.fit(_with_drops(windows, some, dropped), seed, config.num_kernels)

        def rows() -> Iterator[np.ndarray]:
            for start, batch in _batches(n):
                part = _with_drops(windows, batch, dropped)
                yield rocket.transform(part, threads)
                if progress:
                    progress(start + len(part), n)

        return cls._reduced(rocket, rows(), n, n_records, config)

    @classmethod
    def fit_features(
        cls,
        rocket: RandomKernels,
        features: np.ndarray,
        limb: np.ndarray,
        n_records: int,
        seed: int,
        config: FeatureConfig,
    ) -> "MorphologyTransform":
        """Fit on features that are there already, of kernels that need no fit.

        Parameters
        ----------
        rocket : RandomKernels
        features, limb : (N, F) arrays or memory maps
            Of the training segments, with all leads and without V1 to V6.
        n_records, seed, config
            As in :meth:`fit`.
        """
        n = len(features)
        dropped = _generator(n, seed).random(n) < config.drop_precordial
        rows = (np.where(dropped[batch, None], limb[batch], features[batch]) for _, batch in _batches(n))
        return cls._reduced(rocket, rows, n, n_records, config)

    @classmethod
    def _reduced(cls, rocket, rows: Iterator[np.ndarray], n: int, n_records: int, config) -> "MorphologyTransform":
        """From batches of the ``n`` training rows."""
        groups = rocket.dilation_groups if config.grouping == "dilation" else (slice(0, rocket.features),)
        sizes = np.array([g.stop - g.start for g in groups])
        if config.reduction == "none":
            centre = sum(part.sum(axis=0, dtype=np.float64) for part in rows) / n
            every, nothing = tuple(sizes.tolist()), np.zeros((0, 0), dtype=np.float32)
            return cls(rocket, tuple(groups), every, centre, nothing, int(sizes.sum()), int(n_records))
        moments = GroupedMoments(groups, rocket.features, n)
        for part in rows:
            moments.add(part)
        wanted = min(config.max_components, n_records // config.records_per_component)
        given = allocate(sizes, wanted, np.minimum(sizes, n - 1))
        basis = moments.components(given)
        return cls(
            rocket, tuple(groups), tuple(given.tolist()), moments.mean, basis, config.max_components, int(n_records)
        )

    @property
    def dtype(self) -> np.dtype:
        """Of tokens: float16, since they are many and scaled to unit variance; the release's are float32, as there."""
        return np.dtype(np.float32 if isinstance(self.rocket, RandomKernels) else np.float16)

    @property
    def note(self) -> str:
        """What was made smaller than asked for, in words; empty if nothing was."""
        got = sum(self.components)
        if got == self.asked:
            return ""
        return f"{got} principal components, not {self.asked}, from {self.n_records} training records"

    def transform(self, windows: np.ndarray, threads: int = 1) -> np.ndarray:
        """Principal components of windows, or centred features.

        Parameters
        ----------
        windows : (N, 12, samples) array, memory map or :class:`ecg_ramba.signal.WindowView`
            As given to :meth:`fit`; precordial leads that are absent are zero.
        threads : int
            The result does not depend on it.

        Returns
        -------
        (N, sum(components)) array of :attr:`dtype`
            One group's components after the other's; :func:`as_tokens` makes tokens of them. In float16 rounded to
            2**-11 of each value and limited to 65,504. A window's values do not depend on the others.
        """
        out = np.empty((len(windows), sum(self.components)), dtype=self.dtype)
        for start, batch in _batches(len(windows)):
            part = np.asarray(windows[batch], dtype=np.float32)
            out[start : start + len(part)] = self.project(self.rocket.transform(part, threads))
        return out

    def transform_both(self, windows: np.ndarray, threads: int = 1) -> np.ndarray:
        """As :meth:`transform`, of windows as they are and without V1 to V6: (2, N, sum(components)).

        For MiniRocket's kernels alone; in about 1.2 times the time of one of them.
        """
        out = np.empty((2, len(windows), sum(self.components)), dtype=self.dtype)
        for start, batch in _batches(len(windows)):
            part = np.asarray(windows[batch], dtype=np.float32)
            for limb, features in enumerate(self.rocket.transform_both(part, _PRECORDIAL, threads)):
                out[limb, start : start + len(part)] = self.project(features)
        return out

    def project(self, features: np.ndarray) -> np.ndarray:
        """Components (n, sum(components)) of at most 64 windows from their features (n, F); as :meth:`transform`."""
        out = np.empty((len(features), sum(self.components)), dtype=self.dtype)
        largest = float(np.finfo(self.dtype).max)
        rows = np.zeros((BATCH, self.rocket.features))
        rows[: len(features)] = features - self.centre
        done, whole = 0, not self.basis.size
        with one_blas_thread():
            for group, k in zip(self.groups, self.components, strict=True):
                found = rows[:, group] if whole else rows[:, group] @ self.basis[group, :k].astype(np.float64)
                out[:, done : done + k] = np.clip(found[: len(features)], -largest, largest)
                done += k
        return out

    def state(self) -> dict[str, np.ndarray]:
        """Everything fitted, as arrays; :meth:`from_state` is the inverse."""
        return {
            **{f"rocket.{name}": value for name, value in self.rocket.state().items()},
            "group_sizes": np.array([g.stop - g.start for g in self.groups], dtype=np.int64),
            "components": np.array(self.components, dtype=np.int64),
            "centre": self.centre,
            "basis": self.basis,
            "asked": np.array([self.asked, self.n_records], dtype=np.int64),
        }

    @classmethod
    def from_state(cls, state: dict[str, np.ndarray]) -> "MorphologyTransform":
        """A transform from its arrays.

        Raises
        ------
        CheckpointError
            If arrays are missing or do not fit together.
        """
        kernels = {k[7:]: v for k, v in state.items() if k.startswith("rocket.")}
        rocket = (RandomKernels if "release" in kernels else MiniRocket).from_state(kernels)
        names = ("group_sizes", "components", "centre", "basis", "asked")
        sizes, components, centre, basis, asked = taken(state, names, "morphology")
        fits = (
            sizes.ndim == components.ndim == 1
            and len(sizes) == len(components) > 0
            and (sizes > 0).all()
            and sizes.sum() == rocket.features
            and ((components > 0) & (components <= sizes)).all()
            and centre.shape == (rocket.features,)
            and (basis.shape == (rocket.features, components.max()) or (not basis.size and (components == sizes).all()))
            and asked.shape == (2,)
        )
        if not fits:
            raise CheckpointError("morphology state has arrays that do not fit together; train the model again")
        ends = np.cumsum(sizes).tolist()
        groups = tuple(slice(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True))
        counts = tuple(int(c) for c in components)
        centre, basis = centre.astype(np.float64), basis.astype(np.float32)
        return cls(rocket, groups, counts, centre, basis, int(asked[0]), int(asked[1]))

    @property
    def digest(self) -> str:
        """SHA-256 of everything fitted: the key of whatever is computed with it."""
        return state_digest(self.state())


def as_tokens(columns: np.ndarray, components: tuple[int, ...]) -> np.ndarray:
    """One token for each group, (n, groups, max(components)) float32, from columns (n, sum(components)); zero beyond a
    group's components."""
    place = np.flatnonzero(np.arange(max(components)) < np.array(components)[:, None])
    out = np.zeros((len(columns), len(components) * max(components)), dtype=np.float32)
    out[:, place] = columns
    return out.reshape(len(columns), len(components), max(components))


def _generator(n: int, seed: int) -> np.random.Generator:
    """For the draws of a fit on ``n`` training windows."""
    if n < 2:
        raise ValueError(f"{n} training windows: principal components need at least two")
    return np.random.Generator(np.random.PCG64(seed_for(seed, "morphology")))


def _with_drops(windows, index: np.ndarray, dropped: np.ndarray) -> np.ndarray:
    """Windows of these numbers, those marked in ``dropped`` without V1 to V6."""
    part = np.array(windows[index], dtype=np.float32)
    part[dropped[index]] = without_precordial(part[dropped[index]])
    return part


def _batches(n: int) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, n, BATCH):
        yield start, np.arange(start, min(start + BATCH, n))
