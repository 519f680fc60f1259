"""What the features of a run will cost in time and on the disk, said before they are computed."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecg_ramba.data.leads import PRECORDIAL
from ecg_ramba.data.store import Prepared
from ecg_ramba.features.components import GroupedMoments
from ecg_ramba.features.minirocket import KERNELS, MiniRocket
from ecg_ramba.features.transform import BATCH, FeatureConfig
from ecg_ramba.harness.inputs import WindowTable
from ecg_ramba.signal import WindowView

LARGE = 50_000
"""Windows from which on a batch is timed first: to load the kernels takes some seconds."""


@dataclass(frozen=True)
class FeatureCost:
    """Windows whose kernels are computed to fit, with all leads and without V1 to V6 together, and once; and bytes that
    stay on the disk."""

    fitted: int = 0
    both: int = 0
    once: int = 0
    bytes: int = 0

    @property
    def windows(self) -> int:
        """Windows to fit on, and rows of components."""
        return self.fitted + 2 * self.both + self.once

    def __add__(self, other: "FeatureCost") -> "FeatureCost":
        return FeatureCost(*(getattr(self, f.name) + getattr(other, f.name) for f in dataclasses.fields(self)))


def fold_cost(config: FeatureConfig, train: int, records: int, source: int, targets: Sequence[int]) -> FeatureCost:
    """Of one fold: its training windows to fit, all of the source both ways, those of the targets once.

    Parameters
    ----------
    config : FeatureConfig
    train, records : int
        Training windows, and training recordings.
    source, targets : int, sequence of int
        Windows of the source and of each target.
    """
    if config.reduction == "none":
        columns = config.num_kernels // KERNELS * KERNELS
    else:
        columns = min(config.max_components, records // config.records_per_component)
    rows = 2 * source + sum(targets)
    return FeatureCost(train, source, sum(targets), rows * columns * (4 if config.kernels == "random" else 2))


def seconds_a_window(source: Prepared, table: WindowTable, config: FeatureConfig) -> tuple[float, float, float]:
    """Measured on a batch, on one thread: to fit on a window, to transform it both ways, and once."""
    view = WindowView(source.segments, table.at, table.start, table.samples)
    windows = view[np.linspace(0, len(table) - 1, BATCH).astype(int)]
    rocket = MiniRocket.fit(windows, 0, config.num_kernels)
    limb = np.arange(windows.shape[1]) >= PRECORDIAL.start
    rocket.transform(windows[:2])
    clock = [time.perf_counter()]
    rocket.transform_both(windows, limb)
    clock.append(time.perf_counter())
    features = rocket.transform(windows)
    clock.append(time.perf_counter())
    if config.reduction == "pca":
        groups = rocket.dilation_groups if config.grouping == "dilation" else (slice(0, rocket.features),)
        GroupedMoments(groups, rocket.features, len(table)).add(features)
    clock.append(time.perf_counter())
    both, once, added = np.diff(clock) / BATCH
    return once + added, both, once


def in_words(cost: FeatureCost, each: tuple[float, float, float], workers: int) -> str:
    """Time and space, for a person."""
    seconds = np.dot((cost.fitted, cost.both, cost.once), each) / workers
    return (
        f"features: {cost.windows:,} windows, about {seconds / 60:.0f} min with {workers} workers "
        f"and {cost.bytes / 1e9:.1f} GB"
    )
