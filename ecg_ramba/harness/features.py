"""A fold's features: transforms fitted on its training part alone; components cached by data and transform digest."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ecg_ramba.data.store import Prepared
from ecg_ramba.features.release import SLOTS, RandomKernels, rhythm_slots
from ecg_ramba.features.rhythm import RHYTHM_NAMES
from ecg_ramba.features.standardise import RhythmTransform
from ecg_ramba.features.transform import BATCH as PROJECTED
from ecg_ramba.features.transform import FeatureConfig, MorphologyTransform
from ecg_ramba.files import building, is_complete
from ecg_ramba.harness.config import InputConfig
from ecg_ramba.harness.folds import Fold
from ecg_ramba.harness.inputs import WindowSource, WindowTable, window_table
from ecg_ramba.harness.placebo import other_subjects
from ecg_ramba.keys import digest, seed_for
from ecg_ramba.signal import SEGMENT, WindowView, without_precordial

FEATURE_VERSION = 3
HEART_RATE = RHYTHM_NAMES.index("mean_hr")
ROWS = "rows.npy"
BATCH = 256
"""Windows whose 9,996 features are in memory at a time."""


def fit_morphology(
    source: Prepared,
    table: WindowTable,
    fold: Fold,
    config: FeatureConfig,
    base_seed: int,
    lead_dropout: float,
    cache: Path,
    threads: int = 1,
) -> MorphologyTransform:
    """Kernels and components of a fold's training windows, V1-V6 dropped at random as in training; cached."""
    table = _as_read(source, table, config)
    folder = transform_folder(table, fold, config, base_seed, lead_dropout, cache)
    if not is_complete(folder):
        rows, n_records = table.of_records(fold.train), len(fold.train)
        seed = seed_for(base_seed, fold.number, "minirocket")
        config = dataclasses.replace(config, drop_precordial=lead_dropout)
        if config.kernels == "random":
            whole, limb = (random_features(source, table, limb, cache)[rows] for limb in (False, True))
            fitted = MorphologyTransform.fit_features(RandomKernels(), whole, limb, n_records, seed, config)
        else:
            view = WindowView(source.segments, table.at[rows], table.start[rows], table.samples)
            fitted = MorphologyTransform.fit(view, n_records, seed, config, threads)
        with building(folder) as temporary:
            np.savez(temporary / "state.npz", **fitted.state())
    with np.load(folder / "state.npz", allow_pickle=False) as state:
        return MorphologyTransform.from_state(dict(state))


def transform_folder(
    table: WindowTable, fold: Fold, config: FeatureConfig, base_seed: int, lead_dropout: float, cache: Path
) -> Path:
    """Where the cache keeps what :func:`fit_morphology` fits."""
    asked = [fold.signals, config, base_seed, fold.number, lead_dropout, table.samples]
    return cache / "transforms" / digest(["morphology", FEATURE_VERSION, *asked])[:24]


def _as_read(data: Prepared, table: WindowTable, config: FeatureConfig) -> WindowTable:
    """The windows that the kernels read: those of the model, or whole segments for kernels that want these."""
    return window_table(data, SEGMENT) if config.samples == SEGMENT != table.samples else table


def fit_rhythm(source: Prepared, fold: Fold, inputs: InputConfig, cache: Path) -> RhythmTransform:
    """Mean and spread of each figure over the segments of the fold's training part; nothing is fitted to raw slots."""
    if inputs.rhythm == "raw_slots":
        return RhythmTransform.unscaled(SLOTS)
    records = source.records.iloc[fold.train]
    at = np.concatenate(
        [np.arange(a, a + n) for a, n in zip(records["first_segment"], records["n_segments"], strict=True)]
    )
    return RhythmTransform.fit(rhythm_figures(source, inputs, cache)[at])


def rhythm_figures(data: Prepared, inputs: InputConfig, cache: Path | None) -> np.ndarray:
    """Heart-rate variability (segments, R), or the release's slots (segments, 36), by row of the store."""
    if inputs.rhythm not in ("slots", "raw_slots"):
        return data.rhythm
    at = window_table(data, SEGMENT).at

    def computed() -> np.ndarray:
        out = np.full((len(data.valid), SLOTS), np.nan)
        for row in at:
            out[row] = rhythm_slots(data.segments[row], data.leads[row], int(data.valid[row]))
        return out

    if cache is None:
        return computed()
    folder = cache / "slots" / digest([FEATURE_VERSION, data.digest])[:24]
    if not is_complete(folder):
        with building(folder) as temporary:
            np.save(temporary / "slots.npy", computed())
    return np.load(folder / "slots.npy")


def morphology_columns(
    data: Prepared,
    table: WindowTable,
    transform: MorphologyTransform,
    limb: bool,
    cache: Path | None,
    threads: int = 1,
) -> np.ndarray:
    """Components (windows, sum(components)) of all windows of a data set; with ``limb`` V1-V6 are zero first.

    Computed a batch at a time; memory-mapped from the cache where there is one. Of the transform's dtype.
    """
    shape = (len(table), sum(transform.components))
    asked = [transform.digest, data.digest, limb, table.samples]
    batches = lambda: _column_batches(data, table, transform, limb, cache, threads)  # noqa: E731
    return _stored("components", asked, shape, transform.dtype, batches, cache)


def store_both_columns(
    data: Prepared, table: WindowTable, transform: MorphologyTransform, cache: Path, threads: int = 1
) -> None:
    """Leave in the cache what :func:`morphology_columns` wants with and without ``limb``: together they cost little
    more than one of them."""
    asked = [[transform.digest, data.digest, limb, table.samples] for limb in (False, True)]
    folders = [_folder(cache, "components", a) for a in asked]
    lacking = [limb for limb, folder in enumerate(folders) if not is_complete(folder)]
    if len(lacking) < 2 or isinstance(transform.rocket, RandomKernels):
        for limb in lacking:
            morphology_columns(data, table, transform, bool(limb), cache, threads)
        return
    shape = (len(table), sum(transform.components))
    both = (transform.transform_both(signal, threads) for signal in _signal_batches(data, table, False))
    with building(folders[0]) as whole, building(folders[1]) as limb:
        _write([whole, limb], shape, transform.dtype, both)


def random_features(data: Prepared, table: WindowTable, limb: bool, cache: Path | None) -> np.ndarray:
    """Features (segments, 20000) float32 of the release's kernels: the same for all folds; see morphology_columns."""
    rocket = RandomKernels()
    asked = ["random", data.digest, limb, table.samples]
    batches = lambda: (rocket.transform(signal) for signal in _signal_batches(data, table, limb))  # noqa: E731
    return _stored("features", asked, (len(table), rocket.features), np.dtype(np.float32), batches, cache)


def _folder(cache: Path, kind: str, asked: list) -> Path:
    """Where the cache keeps rows."""
    return cache / kind / digest([FEATURE_VERSION, *asked])[:24]


def _stored(
    kind: str, asked: list, shape: tuple[int, ...], dtype: np.dtype, batches: Callable, cache: Path | None
) -> np.ndarray:
    """Rows that come in batches, memory-mapped from the cache; in memory without one."""
    if cache is None:
        return np.concatenate(list(batches()))
    folder = _folder(cache, kind, asked)
    if not is_complete(folder):
        with building(folder) as temporary:
            _write([temporary], shape, dtype, (part[None] for part in batches()))
    return np.load(folder / ROWS, mmap_mode="r")


def _write(folders: list[Path], shape: tuple[int, ...], dtype: np.dtype, batches: Iterator[np.ndarray]) -> None:
    """Batches (folders, n, columns) into the file of each folder, one after the other."""
    files = [np.lib.format.open_memmap(f / ROWS, mode="w+", dtype=dtype, shape=shape) for f in folders]
    at = 0
    for parts in batches:
        for file, part in zip(files, parts, strict=True):
            file[at : at + len(part)] = part
        at += parts.shape[1]
    for file in files:
        file.flush()


def _signal_batches(data: Prepared, table: WindowTable, limb: bool) -> Iterator[np.ndarray]:
    view = WindowView(data.segments, table.at, table.start, table.samples)
    for i in range(0, len(table), BATCH):
        signal = view[i : i + BATCH]
        yield without_precordial(signal) if limb else signal


def _column_batches(data, table, transform, limb, cache, threads) -> Iterator[np.ndarray]:
    if isinstance(transform.rocket, RandomKernels):
        features = random_features(data, table, limb, cache)
        for i in range(0, len(features), PROJECTED):
            yield transform.project(features[i : i + PROJECTED])
        return
    for signal in _signal_batches(data, table, limb):
        yield transform.transform(signal, threads)


def window_source(
    data: Prepared,
    table: WindowTable,
    rows: np.ndarray,
    streams: frozenset[str],
    morphology: MorphologyTransform | None,
    rhythm: RhythmTransform | None,
    cache: Path | None,
    inputs: InputConfig,
    augmented: bool = False,
) -> WindowSource:
    """Windows of a data set with the features of one fold's transforms; ``augmented`` adds tokens without V1-V6.

    Placebos are drawn among ``rows`` alone: what is held out never enters a training part.
    """
    fields = {}
    if "morphology" in streams:
        read, fields["components"] = table, morphology.components
        if inputs.morphology == "own" and morphology.rocket.samples != table.samples:
            read = window_table(data, morphology.rocket.samples)
            fields["morphology_row"] = read.of_segments(table.at)
        names = ("morphology", "morphology_limb")[: 2 if augmented else 1]
        for limb, name in enumerate(names):
            if inputs.morphology == "noise":
                rng = np.random.default_rng(seed_for("placebo", name, data.name))
                fields[name] = _noise(len(table), rows, sum(morphology.components), rng)
            else:
                fields[name] = morphology_columns(data, read, morphology, bool(limb), cache)
    if "rhythm" in streams:
        raw = rhythm_figures(data, inputs, cache)
        if inputs.rhythm == "others":
            raw = _of_other_subjects(data, table, rows)
        elif inputs.rhythm == "rate":
            raw = np.where(np.arange(raw.shape[1]) == HEART_RATE, raw, np.nan)
        fields["rhythm"], fields["rhythm_valid"] = rhythm.transform(raw)
    return WindowSource(data, table, rows, streams, **fields)


def _noise(windows: int, rows: np.ndarray, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Standard normal columns (windows, columns) float32 for these windows of a data set; zero elsewhere.

    Principal components have mean 0, variance 1 and no correlation over the training windows: so has this.
    """
    out = np.zeros((windows, columns), dtype=np.float32)
    out[rows] = rng.standard_normal((len(rows), columns), dtype=np.float32)
    return out


def _of_other_subjects(data: Prepared, table: WindowTable, rows: np.ndarray) -> np.ndarray:
    """HRV by row of the store, the segments of these windows with that of other subjects among them; NaN elsewhere."""
    at, first = np.unique(table.at[rows], return_index=True)
    subject = data.records["subject"].to_numpy()[table.record[rows][first]]
    taken = other_subjects(subject, np.random.default_rng(seed_for("placebo", "rhythm", data.name)))
    out = np.full(data.rhythm.shape, np.nan)
    out[at] = data.rhythm[at[taken]]
    return out
