"""What the features of a run will cost in time and on the disk, said before they are computed."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
    """Windows whose kernels are computed to fit and to transform, and bytes that stay on the disk."""

    fitted: int
    transformed: int
    bytes: int

    def __add__(self, other: "FeatureCost") -> "FeatureCost":
        return FeatureCost(self.fitted + other.fitted, self.transformed + other.transformed, self.bytes + other.bytes)


def fold_cost(config: FeatureConfig, train: int, records: int, source: int, targets: Sequence[int]) -> FeatureCost:
    """Of one fold: its training windows to fit, all of the source twice, those of the targets once.

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
    transformed = 2 * source + sum(targets)
    return FeatureCost(train, transformed, transformed * columns * (4 if config.kernels == "random" else 2))


def seconds_a_window(source: Prepared, table: WindowTable, config: FeatureConfig) -> tuple[float, float]:
    """Measured on a batch, on one thread: to transform a window, and to add its features to the moments."""
    view = WindowView(source.segments, table.at, table.start, table.samples)
    windows = view[np.linspace(0, len(table) - 1, BATCH).astype(int)]
    rocket = MiniRocket.fit(windows, 0, config.num_kernels)
    rocket.transform(windows[:2])
    began = time.perf_counter()
    features = rocket.transform(windows)
    transformed = time.perf_counter()
    if config.reduction == "pca":
        groups = rocket.dilation_groups if config.grouping == "dilation" else (slice(0, rocket.features),)
        GroupedMoments(groups, rocket.features, len(table)).add(features)
    added = time.perf_counter()
    return (transformed - began) / BATCH, (added - transformed) / BATCH


def in_words(cost: FeatureCost, each: tuple[float, float], workers: int) -> str:
    """Time and space, for a person."""
    seconds = (cost.transformed * each[0] + cost.fitted * sum(each)) / workers
    return (
        f"features: {cost.fitted + cost.transformed:,} windows, about {seconds / 60:.0f} min with {workers} workers "
        f"and {cost.bytes / 1e9:.1f} GB"
    )
