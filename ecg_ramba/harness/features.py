"""A fold's features: transforms fitted on its training part alone; tokens cached by data and transform digest."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ecg_ramba.data.store import Prepared
from ecg_ramba.features.rhythm import RHYTHM_NAMES
from ecg_ramba.features.transform import FeatureConfig, MorphologyTransform, RhythmTransform
from ecg_ramba.files import building, is_complete
from ecg_ramba.harness.config import InputConfig
from ecg_ramba.harness.folds import Fold
from ecg_ramba.harness.inputs import WindowSource, WindowTable
from ecg_ramba.harness.placebo import noise_tokens, other_subjects
from ecg_ramba.keys import digest, seed_for
from ecg_ramba.signal import WindowView, without_precordial

FEATURE_VERSION = 1
HEART_RATE = RHYTHM_NAMES.index("mean_hr")
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
) -> MorphologyTransform:
    """MiniRocket biases and PCA of a fold's training windows, V1-V6 dropped at random as in training; cached."""
    key = digest(["morphology", FEATURE_VERSION, fold.digest, config, base_seed, fold.number, lead_dropout])
    folder = cache / "transforms" / key[:24]
    if not is_complete(folder):
        rows = table.of_records(fold.train)
        fitted = MorphologyTransform.fit(
            WindowView(source.segments, table.at[rows], table.start[rows]),
            n_records=len(fold.train),
            seed=seed_for(base_seed, fold.number, "minirocket"),
            config=dataclasses.replace(config, drop_precordial=lead_dropout),
        )
        with building(folder) as temporary:
            np.savez(temporary / "state.npz", **fitted.state())
    with np.load(folder / "state.npz", allow_pickle=False) as state:
        return MorphologyTransform.from_state(dict(state))


def fit_rhythm(source: Prepared, fold: Fold) -> RhythmTransform:
    """Mean and spread of each HRV figure over the segments of the fold's training part."""
    records = source.records.iloc[fold.train]
    at = np.concatenate(
        [np.arange(a, a + n) for a, n in zip(records["first_segment"], records["n_segments"], strict=True)]
    )
    return RhythmTransform.fit(source.rhythm[at])


def morphology_tokens(
    data: Prepared, table: WindowTable, transform: MorphologyTransform, limb: bool, cache: Path | None
) -> np.ndarray:
    """Tokens (windows, groups, components) float32 of all windows of a data set; with ``limb`` V1-V6 are zero first.

    Computed a batch at a time; memory-mapped from the cache where there is one.
    """
    if cache is None:
        return np.concatenate(list(_token_batches(data, table, transform, limb)))
    key = digest([FEATURE_VERSION, transform.digest, data.digest, limb])
    folder = cache / "tokens" / key[:24]
    if not is_complete(folder, check_bytes=False):
        with building(folder) as temporary:
            shape = (len(table), len(transform.components), max(transform.components))
            out = np.lib.format.open_memmap(temporary / "tokens.npy", mode="w+", dtype="<f4", shape=shape)
            at = 0
            for part in _token_batches(data, table, transform, limb):
                out[at : at + len(part)] = part
                at += len(part)
            out.flush()
            del out
    return np.load(folder / "tokens.npy", mmap_mode="r")


def _token_batches(data, table, transform, limb) -> Iterator[np.ndarray]:
    view = WindowView(data.segments, table.at, table.start)
    for i in range(0, len(table), BATCH):
        signal = view[i : i + BATCH]
        yield transform.transform(without_precordial(signal) if limb else signal)


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
        names = ("morphology", "morphology_limb")[: 2 if augmented else 1]
        for limb, name in enumerate(names):
            if inputs.morphology == "noise":
                rng = np.random.default_rng(seed_for("placebo", name, data.name))
                fields[name] = _noise(len(table), rows, morphology.components, rng)
            else:
                fields[name] = morphology_tokens(data, table, morphology, bool(limb), cache)
    if "rhythm" in streams:
        raw = data.rhythm
        if inputs.rhythm == "others":
            raw = _of_other_subjects(data, table, rows)
        elif inputs.rhythm == "rate":
            raw = np.where(np.arange(raw.shape[1]) == HEART_RATE, raw, np.nan)
        fields["rhythm"], fields["rhythm_valid"] = rhythm.transform(raw)
    return WindowSource(data, table, rows, streams, **fields)


def _noise(windows: int, rows: np.ndarray, components: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Noise for these windows of a data set; zero elsewhere."""
    out = np.zeros((windows, len(components), max(components)), dtype=np.float32)
    out[rows] = noise_tokens(len(rows), components, rng)
    return out


def _of_other_subjects(data: Prepared, table: WindowTable, rows: np.ndarray) -> np.ndarray:
    """HRV by row of the store, the segments of these windows with that of other subjects among them; NaN elsewhere."""
    at, first = np.unique(table.at[rows], return_index=True)
    subject = data.records["subject"].to_numpy()[table.record[rows][first]]
    taken = other_subjects(subject, np.random.default_rng(seed_for("placebo", "rhythm", data.name)))
    out = np.full(data.rhythm.shape, np.nan)
    out[at] = data.rhythm[at[taken]]
    return out
