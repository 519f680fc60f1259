"""The published release's features: its random kernels and its 36 slots."""

import numpy as np
import pytest
import torch
from scipy import stats

from ecg_ramba.errors import CheckpointError
from ecg_ramba.features import components
from ecg_ramba.features.components import GroupedMoments
from ecg_ramba.features.release import DILATIONS, RandomKernels, rhythm_slots
from ecg_ramba.features.rhythm import r_peaks
from ecg_ramba.features.transform import FeatureConfig, MorphologyTransform
from ecg_ramba.signal import SEGMENT


@pytest.fixture(scope="module")
def rocket():
    return RandomKernels()


@pytest.fixture(scope="module")
def segments():
    return np.random.default_rng(0).normal(size=(2, 12, SEGMENT)).astype(np.float32)


def test_kernels_are_drawn_as_published(rocket, segments):
    features = rocket.transform(segments)
    assert features.shape == (2, 20_000)
    generator = torch.Generator().manual_seed(42)
    for i, dilation in enumerate(DILATIONS):
        weight = torch.randint(-1, 2, (1000, 12, 9), generator=generator).numpy()
        bias = 0.1 * torch.randn(1000, generator=generator).numpy()
        for kernel in (0, 517, 999):
            response = np.zeros(SEGMENT)
            for tap in range(9):
                shift = (tap - 4) * dilation
                inside = np.arange(max(0, -shift), min(SEGMENT, SEGMENT - shift))
                response[inside] += weight[kernel, :, tap] @ segments[1][:, inside + shift]
            np.testing.assert_allclose(features[1, 2000 * i + kernel], response.max(), rtol=1e-4)
            np.testing.assert_allclose(
                features[1, 2000 * i + 1000 + kernel], (response > bias[kernel]).mean(), atol=1e-3
            )


def test_a_segments_features_are_its_own_and_survive_saving(rocket, segments):
    np.testing.assert_array_equal(rocket.transform(segments)[1:], rocket.transform(segments[1:]))
    again = RandomKernels.from_state(rocket.state())
    np.testing.assert_array_equal(rocket.transform(segments[:1]), again.transform(segments[:1]))
    with pytest.raises(CheckpointError, match="other random kernels"):
        RandomKernels.from_state({"release": np.array([7, 10, 1000])})


def test_windows_are_refused(rocket, segments):
    with pytest.raises(ValueError, match=r"segments of shape \(2, 12, 2500\)"):
        rocket.transform(segments[..., :2500])
    with pytest.raises(ValueError, match="NaN"):
        rocket.transform(np.full((1, 12, SEGMENT), np.nan, np.float32))


def test_slots(rocket):
    rng = np.random.default_rng(1)
    segment = 0.05 * rng.normal(size=(12, SEGMENT))
    beats = np.cumsum([300, 400, 450, 380, 420, 500, 1100, 100, 400])  # 2200 ms and 200 ms are not plausible
    for at in beats:
        segment[1, at - 8 : at + 9] += 3 * np.hanning(17)
    leads = np.ones(12, dtype=bool)
    leads[9] = False
    slots = rhythm_slots(segment, leads, 4800)
    assert slots.shape == (36,)
    rr = np.diff(r_peaks(segment[1, :4800])) * 2.0
    assert (rr > 2000).any()
    rr = rr[(rr > 300) & (rr < 2000)]
    np.testing.assert_allclose(slots[:5], [rr.mean(), rr.std(), np.median(rr), rr.min(), rr.max()])
    assert not slots[5:30].any()
    x = segment[:, :4800].ravel()
    x = (x - x.mean()) / x.std()
    wanted = [x.mean(), x.std(), (x**2).mean(), stats.kurtosis(x), stats.skew(x), np.percentile(x, 95)]
    np.testing.assert_allclose(slots[30:], wanted, rtol=1e-6, atol=1e-12)
    assert np.isnan(rhythm_slots(np.where(leads[:, None], 0.0, segment), leads, 4800)[:5]).all()


def test_slots_where_the_first_method_finds_too_few_beats(monkeypatch):
    """Then maxima of 1.5 standard deviations count, at least 250 ms apart."""
    monkeypatch.setattr("ecg_ramba.features.release.r_peaks", lambda *_: np.array([700, 1200]))
    segment = np.zeros((12, SEGMENT))
    for at in (500, 900, 950, 1300, 1800):  # 950 is too near to 900
        segment[1, at - 8 : at + 9] += (0.9 if at == 950 else 1) * np.hanning(17)
    slots = rhythm_slots(segment, np.ones(12, dtype=bool), SEGMENT)
    rr = np.array([800.0, 800.0, 1000.0])
    np.testing.assert_allclose(slots[:5], [rr.mean(), rr.std(), 800, 800, 1000])


def test_components_of_kept_rows_are_those_of_their_products(monkeypatch):
    rows = np.random.default_rng(2).normal(size=(40, 60)) @ np.random.default_rng(3).normal(size=(60, 60))
    groups = (slice(0, 50), slice(50, 60))

    def fitted():
        moments = GroupedMoments(groups, 60, len(rows))
        for part in np.split(rows, 5):
            moments.add(part)
        return moments

    products = fitted()
    monkeypatch.setattr(components, "LARGE_GROUP", 50)
    kept = fitted()
    assert products.kept == [None, None]
    assert kept.products[0] is None
    assert kept.kept[1] is None
    np.testing.assert_allclose(kept.components((7, 3)), products.components((7, 3)), atol=2e-5)


def test_training_part_without_some_leads(rocket):
    """Fitted on features that are there: equal to components of the rows that the seed takes."""
    rng = np.random.default_rng(4)
    whole, limb = rng.random((20, 20_000)).astype(np.float32), rng.random((20, 20_000)).astype(np.float32)
    config = FeatureConfig(kernels="random", drop_precordial=0.5)
    fitted = MorphologyTransform.fit_features(rocket, whole, limb, n_records=20, seed=5, config=config)
    assert fitted.components == (1,) * 10
    plain = MorphologyTransform.fit_features(
        rocket, whole, limb, 20, 5, FeatureConfig(kernels="random", drop_precordial=0.0)
    )
    np.testing.assert_allclose(plain.centre, whole.mean(0, dtype=float), rtol=1e-6)
    mixed = np.abs(fitted.centre - plain.centre).max()
    assert mixed > 1e-3
    again = MorphologyTransform.from_state(fitted.state())
    np.testing.assert_array_equal(again.project(whole), fitted.project(whole))
    tokens = plain.project(whole)
    assert tokens.dtype == np.float32
    np.testing.assert_allclose(tokens.std(0), 1, atol=1e-4)


def test_all_features_in_place_of_components():
    rng = np.random.default_rng(6)
    windows = rng.normal(size=(10, 12, 2500)).astype(np.float32)
    config = FeatureConfig(num_kernels=336, reduction="none", drop_precordial=0.0)
    fitted = MorphologyTransform.fit(windows, n_records=10, seed=1, config=config)
    features = fitted.rocket.transform(windows)
    tokens = fitted.transform(windows)
    assert sum(fitted.components) == fitted.rocket.features
    np.testing.assert_allclose(tokens, features - features.mean(0, dtype=float), atol=2**-11)
    assert fitted.note == ""
    np.testing.assert_array_equal(MorphologyTransform.from_state(fitted.state()).transform(windows), tokens)
