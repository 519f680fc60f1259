import os
import warnings
from pathlib import Path

import neurokit2 as nk
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_ramba.features.rhythm import (
    QUALITY_NAMES,
    RHYTHM_NAMES,
    VARIABILITY_NAMES,
    r_peaks,
    rhythm_features,
    variability,
)

TIME = {
    "mean_nn": "MeanNN", "sdnn": "SDNN", "rmssd": "RMSSD", "sdsd": "SDSD", "cvnn": "CVNN", "cvsd": "CVSD",
    "median_nn": "MedianNN", "mad_nn": "MadNN", "mcv_nn": "MCVNN", "iqr_nn": "IQRNN", "prc20_nn": "Prc20NN",
    "prc80_nn": "Prc80NN", "min_nn": "MinNN", "max_nn": "MaxNN", "sdnn_rmssd": "SDRMSSD", "pnn50": "pNN50",
    "pnn20": "pNN20",
}  # fmt: skip
POINCARE = {"sd1": "SD1", "sd2": "SD2", "sd1_sd2": "SD1SD2", "ellipse": "S"}
LIMB_I, LIMB_II = np.eye(12, dtype=bool)[0], np.eye(12, dtype=bool)[1]
BOTH = LIMB_I | LIMB_II


def neurokit_figures(peaks: np.ndarray) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        time = nk.hrv_time(peaks, sampling_rate=500)
        plane = nk.hrv_nonlinear(peaks, sampling_rate=500)
    return {ours: float(time[f"HRV_{theirs}"].iloc[0]) for ours, theirs in TIME.items()} | {
        ours: float(plane[f"HRV_{theirs}"].iloc[0]) for ours, theirs in POINCARE.items()
    }


def segment_of(lead: np.ndarray, row: int = 1) -> np.ndarray:
    out = np.zeros((12, 5000), dtype=np.float32)
    out[row, : len(lead)] = lead
    return out


def simulated(seed=1, heart_rate=75) -> np.ndarray:
    """Ten seconds of neurokit2's simulated (synthetic) ECG."""
    return nk.ecg_simulate(duration=10, sampling_rate=500, heart_rate=heart_rate, noise=0.02, random_state=seed)


def beats_at(samples, width=6) -> np.ndarray:
    t = np.arange(5000)
    baseline = 0.01 * np.sin(2 * np.pi * t / 500)  # exact zeros would leave the detector nothing but rounding errors
    return sum(np.exp(-0.5 * ((t - s) / width) ** 2) for s in samples) + baseline


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(160, 900), min_size=4, max_size=16))
def test_statistics_equal_neurokits(steps):
    if np.ptp(np.diff(steps)) == 0 or np.ptp(steps) == 0:
        return  # neurokit2 divides by zero
    peaks = 200 + np.cumsum([0, *steps])
    ours = dict(zip(VARIABILITY_NAMES, variability(np.diff(peaks) / 500 * 1000), strict=True))
    for name, value in neurokit_figures(peaks).items():
        if np.isfinite(value):
            assert ours[name] == pytest.approx(value, rel=1e-9, abs=1e-9), name
        else:
            assert np.isnan(ours[name]), name  # a denominator of zero


def test_the_other_statistics_by_definition():
    nn = np.array([800.0, 1000, 600, 750])
    ours = dict(zip(VARIABILITY_NAMES, variability(nn), strict=True))
    rates = [75, 60, 100, 80]
    assert ours["range_nn"] == 400
    assert ours["mean_hr"] == pytest.approx(60_000 / 787.5)
    assert (ours["min_hr"], ours["max_hr"]) == (60, 100)
    assert ours["sd_hr"] == pytest.approx(np.std(rates, ddof=1))


@pytest.mark.parametrize("seed", range(3))
def test_peaks_and_figures_of_a_simulated_ecg_equal_neurokits(seed):
    ecg = simulated(seed, 60 + 25 * seed)
    peaks = nk.ecg_peaks(ecg, sampling_rate=500)[1]["ECG_R_Peaks"]
    np.testing.assert_array_equal(r_peaks(ecg), peaks)
    assert len(peaks) > 7
    ours = dict(zip(RHYTHM_NAMES, rhythm_features(segment_of(ecg), LIMB_II, 5000), strict=True))
    for name, value in neurokit_figures(peaks).items():
        assert ours[name] == pytest.approx(value, rel=1e-9, nan_ok=True), name
    assert ours["beats"] == len(peaks)
    assert ours["coverage"] == pytest.approx((peaks[-1] - peaks[0]) / 5000)
    assert ours["plausible_nn"] == ours["plausible_step"] == 1


def test_real_records_have_neurokits_peaks_and_figures():
    root = os.environ.get("ECG_RAMBA_DATA")
    if not root:
        pytest.skip("ECG_RAMBA_DATA is not set: real records are needed")
    from ecg_ramba.data.cpsc2021 import DATASETS
    from ecg_ramba.signal import preprocess

    dataset = DATASETS[0]
    folder = next((p for p in Path(root).iterdir() if p.name in dataset.folders), None)
    if folder is None:
        pytest.skip(f"{root} holds no {dataset.name}")
    measured = 0
    for header in dataset.find(folder)[:3]:
        cut = preprocess(dataset.read(header))
        for segment, valid in list(zip(cut.signal, cut.valid, strict=True))[:6]:
            peaks = nk.ecg_peaks(segment[1, :valid].astype(float), sampling_rate=500)[1]["ECG_R_Peaks"]
            ours = dict(zip(RHYTHM_NAMES, rhythm_features(segment, cut.leads, int(valid)), strict=True))
            measured += 1
            for name, value in neurokit_figures(np.asarray(peaks)).items():
                assert ours[name] == pytest.approx(value, rel=1e-9, nan_ok=True), (header.name, name)
    assert measured > 5


@pytest.mark.parametrize(
    ("lead", "beats"),
    [
        (np.zeros(5000), 0),
        (np.full(5000, 3.0), 0),
        (np.arange(5000.0), 0),
        (beats_at([2500]), 1),
        (beats_at([1500, 3500]), 2),
        (beats_at([4995]), 0),
        (beats_at([2000, 2500, 3000]), 3),
    ],
    ids=["zero", "flat", "ramp", "one", "two", "edge", "three"],
)
@pytest.mark.filterwarnings("error")
def test_few_beats_or_none_are_measured_as_far_as_they_go(lead, beats):
    out = dict(zip(RHYTHM_NAMES, rhythm_features(segment_of(lead), LIMB_II, 5000), strict=True))
    assert out["beats"] == beats
    assert np.isfinite([out["beats"], out["coverage"]]).all()
    assert np.isfinite([out["mean_nn"], out["plausible_nn"], out["mean_hr"]]).all() == (beats > 1)
    assert np.isfinite([out["sdnn"], out["rmssd"], out["pnn50"]]).all() == (beats > 2)
    assert np.isnan([out["sd1"], out["sdsd"], out["sd1_sd2"]]).all()
    if beats == 2:
        assert out["mean_nn"] == pytest.approx(4000, abs=4)
        assert out["plausible_nn"] == 0  # four seconds


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.filterwarnings("error")
def test_noise_raises_nothing(seed):
    noise = np.random.default_rng(seed).normal(size=(12, 5000)).astype(np.float32)
    for valid in (2500, 3751, 5000):
        assert rhythm_features(noise, BOTH, valid).shape == (len(RHYTHM_NAMES),)


def test_lead_two_comes_first_and_lead_one_stands_in():
    fast, slow = simulated(1, 120), simulated(1, 60)
    segment = segment_of(slow, 1)
    segment[0] = fast
    rate = RHYTHM_NAMES.index("mean_hr")
    assert rhythm_features(segment, BOTH, 5000)[rate] == pytest.approx(60, abs=3)
    assert rhythm_features(segment, LIMB_I, 5000)[rate] == pytest.approx(120, abs=4)
    assert np.isnan(rhythm_features(segment, ~BOTH, 5000)).all()


def test_padding_is_not_looked_at():
    ecg = simulated()
    clean, dirty = segment_of(ecg[:3500]), segment_of(ecg[:3500])
    dirty[:, 3500:] = 9 * np.random.default_rng(0).normal(size=1500)
    np.testing.assert_array_equal(rhythm_features(clean, LIMB_II, 3500), rhythm_features(dirty, LIMB_II, 3500))
    assert not np.array_equal(rhythm_features(clean, LIMB_II, 5000), rhythm_features(dirty, LIMB_II, 5000), True)


@settings(max_examples=10, deadline=None)
@given(gain=st.floats(0.1, 50))
def test_gain_does_not_matter(gain):
    ecg = simulated()
    plain = rhythm_features(segment_of(ecg).astype(float), LIMB_II, 5000)
    scaled = rhythm_features(segment_of(ecg).astype(float) * gain, LIMB_II, 5000)
    np.testing.assert_allclose(scaled, plain, rtol=1e-9)


def test_names_are_unique_and_complete():
    assert len(set(RHYTHM_NAMES)) == len(RHYTHM_NAMES) == len(VARIABILITY_NAMES) + len(QUALITY_NAMES)
    assert not any("lf" in name or "hf" in name for name in RHYTHM_NAMES)  # ten seconds define no frequency domain
