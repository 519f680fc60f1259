"""Rhythm as fitted on one fold's training segments: figures standardised, what is not measurable flagged.

It travels with that fold's model, turns into plain arrays and back, and its digest names it.
"""

from dataclasses import dataclass

import numpy as np

from ecg_ramba.errors import CheckpointError
from ecg_ramba.keys import array_digest

CLIP = 10.0
"""Standardised rhythm figures are cut off here: one missed beat should not drown a network's other inputs."""


@dataclass(frozen=True, eq=False)
class RhythmTransform:
    """Heart-rate variability, standardised on training segments.

    Parameters
    ----------
    mean, scale : (R,) float64 arrays
        Over the finite training values; ``scale`` is 0 for a column that is constant or has fewer than two of them,
        which then says nothing: value 0, not valid.
    clip : float
        Where standardised figures are cut off.
    """

    mean: np.ndarray
    scale: np.ndarray
    clip: float = CLIP

    @classmethod
    def unscaled(cls, columns: int) -> "RhythmTransform":
        """Figures as they are, in their own units: the published release's way."""
        return cls(np.zeros(columns), np.ones(columns), clip=float(np.finfo(np.float32).max))

    @classmethod
    def fit(cls, raw: np.ndarray) -> "RhythmTransform":
        """Fit on training segments ``raw`` (S, R), NaN where not measurable."""
        raw = np.asarray(raw, dtype=np.float64)
        if raw.ndim != 2:
            raise ValueError(f"rhythm figures of shape {raw.shape}: (segments, columns) is needed")
        finite = np.isfinite(raw)
        count = np.maximum(finite.sum(axis=0), 1)
        mean = np.where(finite, raw, 0).sum(axis=0) / count
        scale = np.sqrt((np.where(finite, raw - mean, 0) ** 2).sum(axis=0) / count)
        constant = (finite.sum(axis=0) < 2) | (scale <= 1e-9 * np.maximum(np.abs(mean), 1e-9))
        return cls(mean, np.where(constant, 0.0, scale))

    def transform(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Standardised figures and their flags.

        Parameters
        ----------
        raw : (N, R) float array
            NaN where not measurable.

        Returns
        -------
        values : (N, R) float32 array
            Between -clip and clip; zero where not valid.
        valid : (N, R) bool array
        """
        raw = np.asarray(raw, dtype=np.float64)
        if raw.ndim != 2 or raw.shape[1] != len(self.mean):
            raise ValueError(f"rhythm figures of shape {raw.shape}: {len(self.mean)} columns are needed")
        valid = np.isfinite(raw) & (self.scale > 0)
        scaled = (np.where(valid, raw, 0) - self.mean) / np.where(self.scale > 0, self.scale, 1)
        return np.where(valid, np.clip(scaled, -self.clip, self.clip), 0).astype(np.float32), valid

    def state(self) -> dict[str, np.ndarray]:
        """Everything fitted, as arrays; :meth:`from_state` is the inverse."""
        return {"mean": self.mean, "scale": self.scale, "clip": np.array(self.clip)}

    @classmethod
    def from_state(cls, state: dict[str, np.ndarray]) -> "RhythmTransform":
        """A transform from its arrays; a :class:`CheckpointError` if they do not fit together."""
        state = {"clip": np.array(CLIP), **state}  # earlier checkpoints did not say
        mean, scale, clip = (a.astype(np.float64) for a in taken(state, ("mean", "scale", "clip"), "rhythm"))
        if mean.ndim != 1 or mean.shape != scale.shape or not (scale >= 0).all() or clip.ndim or not clip > 0:
            raise CheckpointError("rhythm state has arrays that do not fit together; train the model again")
        return cls(mean, scale, float(clip))

    @property
    def digest(self) -> str:
        """SHA-256 of everything fitted."""
        return state_digest(self.state())


def taken(state: dict[str, np.ndarray], names: tuple[str, ...], what: str) -> list[np.ndarray]:
    """Finite arrays of a state by name."""
    missing = [n for n in names if n not in state]
    if missing:
        raise CheckpointError(f"{what} state lacks {', '.join(missing)}; train the model again")
    arrays = [np.asarray(state[n]) for n in names]
    if not all(a.dtype.kind in "fiu" and np.isfinite(a).all() for a in arrays):
        raise CheckpointError(f"{what} state holds values that are not finite numbers; train the model again")
    return arrays


def state_digest(state: dict[str, np.ndarray]) -> str:
    """SHA-256 of the arrays of a state and their names."""
    return array_digest(*(a for name in sorted(state) for a in (np.array(name), state[name])))
