import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.decomposition import PCA

from ecg_ramba.errors import CheckpointError
from ecg_ramba.features.standardise import CLIP, RhythmTransform
from ecg_ramba.features.transform import BATCH, FeatureConfig, MorphologyTransform, as_tokens
from ecg_ramba.keys import array_digest
from ecg_ramba.signal import WindowView, without_precordial

SMALL = FeatureConfig(num_kernels=420, max_components=60)


@pytest.fixture(scope="module")
def windows():
    """Synthetic windows: smooth noise in 12 leads, more of them than a batch."""
    noise = np.random.default_rng(0).normal(size=(BATCH + 20, 12, 300))
    return np.cumsum(noise, axis=2).astype(np.float32) / 10


@pytest.fixture(scope="module")
def fitted(windows):
    return MorphologyTransform.fit(windows, n_records=80, seed=4, config=SMALL)


def test_shapes_components_and_note(windows, fitted):
    columns = fitted.transform(windows)
    assert columns.shape == (len(windows), 20)
    assert columns.dtype == np.float16
    tokens = as_tokens(columns, fitted.components)
    assert tokens.shape == (len(windows), len(fitted.components), max(fitted.components))
    assert tokens.dtype == np.float32
    assert sum(fitted.components) == 80 // 4
    assert "20 principal components, not 60, from 80 training records" in fitted.note
    for g, k in enumerate(fitted.components):
        assert not tokens[:, g, k:].any()
        assert tokens[:, g, :k].any(axis=0).all()
        np.testing.assert_array_equal(tokens[:, g, :k], columns[:, sum(fitted.components[:g]) :][:, :k])
    everything = MorphologyTransform.fit(windows, 240, 4, SMALL)
    assert sum(everything.components) == 60
    assert everything.note == ""


def test_equals_sklearns_pca_of_the_rockets_features(windows):
    ours = MorphologyTransform.fit(windows, 80, 4, dataclasses.replace(SMALL, drop_precordial=0.0))
    features = ours.rocket.transform(windows).astype(float)
    tokens = as_tokens(ours.transform(windows), ours.components)
    for g, (group, k) in enumerate(zip(ours.groups, ours.components, strict=True)):
        theirs = PCA(k, whiten=True, svd_solver="full").fit_transform(features[:, group])
        theirs *= np.sqrt(len(windows) / (len(windows) - 1))
        # columns are kept in 16 bits: within 2**-11 of a value
        np.testing.assert_allclose(np.abs(tokens[:, g, :k]), np.abs(theirs), atol=1e-3, rtol=2**-11)


def test_what_16_bits_cannot_hold_is_limited(windows, fitted):
    far = dataclasses.replace(fitted, basis=fitted.basis * np.float32(1e8))
    columns = far.transform(windows)
    assert np.isfinite(columns).all()
    assert np.abs(columns).max() == np.finfo(np.float16).max


def test_training_windows_are_seen_without_precordial_leads_half_the_time(windows):
    centres = {}
    for p in (0.0, 0.5, 1.0):
        fit = MorphologyTransform.fit(windows, 80, 4, dataclasses.replace(SMALL, drop_precordial=p))
        full, limb = (fit.rocket.transform(w).mean(axis=0) for w in (windows, without_precordial(windows)))
        share = np.dot(fit.centre - full, limb - full) / np.dot(limb - full, limb - full)
        centres[p] = share
    assert centres[0.0] == pytest.approx(0, abs=1e-6)
    assert centres[1.0] == pytest.approx(1, abs=1e-6)
    assert centres[0.5] == pytest.approx(0.5, abs=0.2)


def test_a_window_does_not_depend_on_the_others(windows, fitted):
    tokens = fitted.transform(windows)
    for i in (0, 3, BATCH - 1, BATCH, len(windows) - 1):
        np.testing.assert_array_equal(fitted.transform(windows[i : i + 1])[0], tokens[i])
    order = np.random.default_rng(0).permutation(len(windows))
    np.testing.assert_array_equal(fitted.transform(windows[order]), tokens[order])
    np.testing.assert_array_equal(fitted.transform(windows[:11], threads=2), tokens[:11])


def test_same_inputs_same_bits_other_seed_or_window_others(windows, fitted):
    assert MorphologyTransform.fit(windows, 80, 4, SMALL, threads=2).digest == fitted.digest
    assert MorphologyTransform.fit(windows, 80, 5, SMALL).digest != fitted.digest
    changed = windows.copy()
    changed[7] *= -1
    assert MorphologyTransform.fit(changed, 80, 4, SMALL).digest != fitted.digest


def test_a_memory_map_and_a_view_fit_like_the_array(tmp_path, windows, fitted):
    np.save(tmp_path / "w.npy", windows)
    mapped = np.load(tmp_path / "w.npy", mmap_mode="r")
    assert MorphologyTransform.fit(mapped, 80, 4, SMALL).digest == fitted.digest
    segments = np.random.default_rng(1).normal(size=(4, 12, 5000)).astype(np.float32)
    view = WindowView(segments, np.repeat(np.arange(4), 3), np.tile([0, 1250, 2500], 4))
    config = FeatureConfig(num_kernels=84)
    assert MorphologyTransform.fit(view, 4, 0, config).digest == MorphologyTransform.fit(view[:], 4, 0, config).digest


def test_windows_are_read_in_batches_and_never_written(windows):
    class Watched:
        shape, largest = windows.shape, 0

        def __len__(self):
            return len(windows)

        def __getitem__(self, index):
            Watched.largest = max(Watched.largest, len(index))
            out = windows[index]
            out.flags.writeable = False
            return out

    before = array_digest(windows)
    config = dataclasses.replace(SMALL, fit_windows=16)
    done = []
    fit = MorphologyTransform.fit(Watched(), 80, 4, config, progress=lambda *a: done.append(a))
    fit.transform(Watched())
    assert Watched.largest == BATCH
    assert done == [(BATCH, len(windows)), (len(windows), len(windows))]
    assert array_digest(windows) == before


def test_a_single_group_is_selectable(windows):
    one = MorphologyTransform.fit(windows, 80, 4, dataclasses.replace(SMALL, num_kernels=168, grouping="single"))
    assert one.components == (20,)
    assert one.transform(windows[:3]).shape == (3, 20)
    assert as_tokens(one.transform(windows[:3]), one.components).shape == (3, 1, 20)


def test_few_records_leave_one_component_a_group(windows):
    few = MorphologyTransform.fit(windows[:3], 1, 4, SMALL)
    assert set(few.components) == {1}
    with pytest.raises(ValueError, match="at least two"):
        MorphologyTransform.fit(windows[:1], 1, 4, SMALL)


def test_state_makes_the_same_transform(windows, fitted):
    again = MorphologyTransform.from_state(fitted.state())
    np.testing.assert_array_equal(again.transform(windows), fitted.transform(windows))
    assert again.digest == fitted.digest
    assert (again.note, again.components) == (fitted.note, fitted.components)
    assert all(isinstance(a, np.ndarray) and a.dtype.kind in "iuf" for a in fitted.state().values())


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("basis", lambda a: a[:-1]),
        ("basis", lambda a: a * np.nan),
        ("components", lambda a: a + 1000),
        ("components", lambda a: -a),
        ("centre", lambda a: a[None]),
        ("group_sizes", lambda a: a[:-1]),
        ("centre", lambda a: np.array(["x"])),
    ],
)
def test_a_hostile_state_is_refused(fitted, name, change):
    state = fitted.state()
    with pytest.raises(CheckpointError):
        MorphologyTransform.from_state({**state, name: change(state[name])})
    with pytest.raises(CheckpointError, match=name):
        MorphologyTransform.from_state({k: v for k, v in state.items() if k != name})


@pytest.mark.parametrize(
    "kw", [{"num_kernels": 0}, {"drop_precordial": 1.5}, {"grouping": "lead"}, {"fit_windows": 0}], ids=str
)
def test_configurations_that_cannot_be(kw):
    with pytest.raises(ValueError):
        FeatureConfig(**kw)


values = st.one_of(st.floats(-1e4, 1e4), st.just(np.nan), st.just(np.inf))


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(1, 12), st.just(4)), elements=values))
def test_rhythm_equals_column_by_column_statistics(raw):
    fit = RhythmTransform.fit(raw)
    out, valid = fit.transform(raw)
    assert out.dtype == np.float32
    assert valid.dtype == bool
    for column, scaled, flags in zip(raw.T, out.T, valid.T, strict=True):
        finite = np.isfinite(column)
        inside = column[finite]
        if len(inside) < 2 or inside.std() <= 1e-8 * max(abs(inside.mean()), 1e-8):
            assert not scaled[~flags].any()
            continue
        np.testing.assert_array_equal(flags, finite)
        expected = np.clip((inside - inside.mean()) / inside.std(), -CLIP, CLIP)
        np.testing.assert_allclose(scaled[finite], expected, atol=1e-4)
        assert not scaled[~finite].any()


def test_rhythm_columns_that_say_nothing_are_not_valid():
    raw = np.array([[1.0, 5.0, np.nan, 2.0], [3.0, 5.0, np.nan, np.nan]])
    fit = RhythmTransform.fit(raw)
    out, valid = fit.transform(np.array([[2.0, 9.0, 1.0, 2.0], [np.nan, 5.0, 0.0, 1.0], [1e9, 5.0, 0.0, 1.0]]))
    assert valid.tolist() == [[True, False, False, False], [False] * 4, [True, False, False, False]]
    assert out[:, 0].tolist() == [0.0, 0.0, CLIP]
    assert not out[:, 1:].any()


def test_rhythm_state_digest_and_bad_input():
    raw = np.random.default_rng(0).normal(size=(20, 5))
    fit = RhythmTransform.fit(raw)
    again = RhythmTransform.from_state(fit.state())
    assert again.digest == fit.digest != RhythmTransform.fit(raw[:19]).digest
    np.testing.assert_array_equal(again.transform(raw)[0], fit.transform(raw)[0])
    for wrong in ({}, {"scale": fit.scale[:2]}, {"scale": -fit.scale}):
        state = {"mean": fit.mean, **wrong}
        with pytest.raises(CheckpointError):
            RhythmTransform.from_state(state)
    with pytest.raises(ValueError, match="5 columns"):
        fit.transform(raw[:, :4])
    with pytest.raises(ValueError, match="is needed"):
        RhythmTransform.fit(raw[0])
