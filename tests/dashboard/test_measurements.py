"""Beats, intervals and warnings against recordings whose truth is known, and against neurokit2 itself."""

import dataclasses
import json
import os
import warnings
from pathlib import Path

import neurokit2 as nk
import numpy as np
import pytest

from ecg_ramba.dashboard.analysis import beats as beats_module
from ecg_ramba.dashboard.analysis.beats import measured_lead
from ecg_ramba.dashboard.analysis.intervals import NAMES, PLAUSIBLE
from ecg_ramba.dashboard.analysis.measurements import HRV, hrv_rows, measure
from ecg_ramba.dashboard.analysis.warnings import quality_warnings
from ecg_ramba.data.leads import LEADS
from ecg_ramba.features.rhythm import r_peaks
from ecg_ramba.harness.predict import read_recording
from ecg_ramba.signal import SignalConfig, band_pass
from studies.robustness.stresses import STRESSES, stressed

REGULAR = 0.5 + 0.8 * np.arange(12)


def kinds(record, models=None):
    return {w["kind"] for w in quality_warnings(record, models) if w["severity"] == "warning"}


def interval(said, name):
    (row,) = (r for r in said["intervals"] if r["name"] == name)
    return row


def only(record, names):
    rows = [record.leads.index(n) for n in names]
    return dataclasses.replace(record, signal=record.signal[rows], leads=tuple(names))


@pytest.mark.parametrize("rate", [250.0, 500.0, 1000.0])
def test_known_beats_rate_and_intervals(twelve_leads, rate):
    said = measure(twelve_leads(REGULAR, rate=rate, pr=0.16, qt=0.40))
    times = [b["time"] for b in said["beats"]]
    np.testing.assert_allclose(times, REGULAR, atol=0.006)
    assert said["beats"][0]["rr_ms"] is None
    assert [b["rr_ms"] for b in said["beats"][1:]] == pytest.approx([800] * 11, abs=5)
    assert not any(b["abnormal_rr"] for b in said["beats"])
    assert said["heart_rate"]["mean"] == pytest.approx(75, abs=0.3)
    assert said["rr"]["count"] == 11
    assert said["rhythm_lead"] == "II"
    # bells have no sharp ends: marks are good to a few hundredths of a second
    assert interval(said, "PR")["value"] == pytest.approx(160, abs=30)
    assert interval(said, "QT")["value"] == pytest.approx(400, abs=40)
    assert 60 < interval(said, "QRS")["value"] < 160
    qt = interval(said, "QT")["value"]
    assert interval(said, "QTc (Bazett)")["value"] == pytest.approx(qt / np.sqrt(0.8), abs=5)
    assert interval(said, "QTc (Fridericia)")["value"] == pytest.approx(qt / np.cbrt(0.8), abs=5)


def test_a_longer_pr_and_a_longer_qt_are_measured_longer(twelve_leads):
    """Differences are free of where a bell is said to begin."""
    short = measure(twelve_leads(REGULAR, pr=0.14, qt=0.36))
    long = measure(twelve_leads(REGULAR, pr=0.22, qt=0.44))
    for name in ("PR", "QT"):
        assert interval(long, name)["value"] - interval(short, name)["value"] == pytest.approx(80, abs=25)


def test_intervals_are_neurokits(twelve_leads):
    record = twelve_leads(REGULAR)
    said = measure(record)
    lead = said["delineation"]["lead"]
    signal = band_pass(record.signal.astype(float), SignalConfig())[LEADS.index(lead)]
    peaks = r_peaks(signal, 500.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, waves = nk.ecg_delineate(signal, peaks, sampling_rate=500, method="prominence")
        _, complexes = nk.ecg_delineate(signal, peaks, sampling_rate=500, method="dwt")
    begin, end = (np.array(waves[n], float) for n in ("ECG_R_Onsets", "ECG_T_Offsets"))
    qt = (end - begin) * 2
    qt = qt[(qt >= PLAUSIBLE["QT"][0]) & (qt <= PLAUSIBLE["QT"][1])]
    assert interval(said, "QT")["value"] == pytest.approx(np.median(qt), abs=0.06)
    assert interval(said, "QT")["beats"] == len(qt)
    onset, offset, before = (np.array(complexes[f"ECG_{n}"], float) for n in ("R_Onsets", "R_Offsets", "P_Offsets"))
    width = [(b - a) * 2 for a, b, p in zip(onset, offset, before, strict=True) if not a < p and np.isfinite(b - a)]
    assert interval(said, "QRS")["beats"] == len(width) >= 3
    assert interval(said, "QRS")["value"] == pytest.approx(np.median(width), abs=0.06)
    ends = [e / 500 for e in end if np.isfinite(e)]
    assert said["delineation"]["t_offsets"] == pytest.approx(ends, abs=1e-4)


def test_hrv_is_neurokits_at_the_recordings_own_rate():
    ecg = nk.ecg_simulate(duration=60, sampling_rate=1000, heart_rate=70, heart_rate_std=4, noise=0.01, random_state=3)
    record = _single(ecg, 1000.0)
    said = measure(record)
    lead = measured_lead(record, "II")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = nk.hrv_time(lead.peaks, sampling_rate=1000).iloc[0]
        plot = nk.hrv_nonlinear(lead.peaks, sampling_rate=1000).iloc[0]
    values = {row["name"]: row["value"] for row in said["hrv"]}
    for mine, theirs in (
        ("SDNN", "HRV_SDNN"),
        ("RMSSD", "HRV_RMSSD"),
        ("pNN50", "HRV_pNN50"),
        ("mean NN", "HRV_MeanNN"),
    ):
        assert values[mine] == pytest.approx(expected[theirs], rel=1e-3, abs=1e-3)
    assert values["SD1"] == pytest.approx(plot["HRV_SD1"], rel=1e-3)
    assert values["SD2"] == pytest.approx(plot["HRV_SD2"], rel=1e-3)


def _single(signal, rate, leads=("II",), units="mV"):
    from ecg_ramba.data.record import Record

    return Record(
        signal=np.atleast_2d(np.asarray(signal, np.float32)),
        leads=leads,
        rate=rate,
        units=units,
        source="file",
        record="r",
        subject="r",
        publisher="file",
        publisher_id="r",
    )


@pytest.mark.parametrize("heart_rate", [45, 60, 90, 140])
def test_the_rate_of_simulated_recordings(heart_rate):
    ecg = nk.ecg_simulate(
        duration=20, sampling_rate=500, heart_rate=heart_rate, heart_rate_std=0.5, noise=0.01, random_state=1
    )
    assert measure(_single(ecg, 500.0))["heart_rate"]["mean"] == pytest.approx(heart_rate, rel=0.02)


@pytest.mark.parametrize(
    ("seconds", "word"), [(10, "ultra-short"), (100, "shorter than the 5 minutes"), (310, "to be compared")]
)
def test_hrv_notes_are_honest(seconds, word):
    nn = 800 + np.random.default_rng(0).normal(0, 30, int(seconds / 0.8))
    rows = hrv_rows(nn, seconds, 0)
    assert all(word in r["note"] for r in rows if r["value"] is not None)
    assert {"LF/HF", "SDANN"} == {r["name"] for r in rows if r["value"] is None}
    assert len(HRV) + 2 == len(rows)
    one = {r["name"]: r for r in hrv_rows(nn[:1], seconds, 0)}
    assert one["mean NN"]["value"] == pytest.approx(nn[0], abs=1e-3)
    assert one["RMSSD"]["value"] is None
    assert one["RMSSD"]["note"] == "not measurable from 1 RR interval"


def test_an_early_beat_is_marked_and_named_in_the_notes(twelve_leads):
    times = REGULAR.copy()
    times[6] -= 0.3
    said = measure(twelve_leads(times))
    marked = [b["time"] for b in said["beats"] if b["abnormal_rr"]]
    assert marked[0] == pytest.approx(times[6], abs=0.01)
    assert "marked RR interval" in said["hrv"][0]["note"]


def test_fibrillation_has_no_pr(twelve_leads):
    rng = np.random.default_rng(1)
    times = 0.4 + np.cumsum(rng.uniform(0.45, 0.95, 14))
    record = twelve_leads(times[times < 9.5], p=0.0, noise=0.02)
    row = interval(measure(record), "PR")
    assert row["value"] is None
    assert row["why"].startswith("not measurable: ")
    assert "fibrillation" in row["why"]
    assert measure(record)["delineation"]["p_peaks"] == []


@pytest.mark.parametrize(
    ("signal", "rate", "said"),
    [
        (np.zeros((1, 5000)), 500.0, "no lead has a signal"),
        (np.ones((1, 100)) * np.arange(100), 500.0, "lasts 0.20 s"),
        (np.random.default_rng(0).normal(size=(1, 5000)), 500.0, "not measurable"),
        (np.full((1, 5000), np.nan), 500.0, "no lead has a signal"),
    ],
)
def test_nothing_is_invented(signal, rate, said):
    found = measure(_single(signal, rate))
    json.dumps(found, allow_nan=False)
    assert [r["name"] for r in found["intervals"]] == list(NAMES)
    for row in found["intervals"]:
        assert row["value"] is None
        assert row["why"].startswith("not measurable: ")
        assert said in row["why"] or said == "not measurable"


def test_few_beats_and_low_rates_are_said(twelve_leads):
    few = measure(twelve_leads([1.0, 1.8], seconds=3.0))
    assert "are needed" in interval(few, "QT")["why"]
    slow = twelve_leads(REGULAR, rate=50.0)
    assert "50 samples per second are too few" in interval(measure(slow), "QRS")["why"]


def test_a_gap_gives_no_interval_across_it(twelve_leads):
    record = twelve_leads(REGULAR)
    record.signal[:, 2000:2600] = np.nan  # beats at 4.5 s (and 5.3 just after)
    said = measure(record)
    times = np.array([b["time"] for b in said["beats"]])
    assert not ((times > 4.0) & (times < 5.2)).any()
    after = next(b for b in said["beats"] if b["time"] > 5.2)
    assert after["rr_ms"] is None
    assert max(b["rr_ms"] for b in said["beats"] if b["rr_ms"]) < 900


def test_pieces_of_a_long_recording_have_the_beats_of_the_whole(twelve_leads, monkeypatch):
    times = 0.5 + 0.8 * np.arange(112)
    record = only(twelve_leads(times, 90.0), ["II"])
    whole = measured_lead(record, "II").peaks
    monkeypatch.setattr(beats_module, "PIECE_SECONDS", 20.0)
    np.testing.assert_array_equal(measured_lead(record, "II").peaks, whole)
    assert len(whole) == 112


def test_a_day_is_measured(twelve_leads):
    """24 h of one lead at 100 Hz: 8.6 million samples."""
    minute = only(twelve_leads(0.5 + 0.8 * np.arange(75), 60.0, rate=100.0), ["II"])
    day = dataclasses.replace(minute, signal=np.tile(minute.signal, (1, 1440)))
    said = measure(day)
    assert len(said["beats"]) == pytest.approx(75 * 1440, rel=0.001)
    assert said["delineation"]["seconds"] == 120


def test_a_clean_recording_has_no_warning(twelve_leads, recording):
    assert quality_warnings(twelve_leads(REGULAR)) == []
    assert not kinds(recording) & {"dead_lead", "swap", "clipping", "short", "missing_leads"}


def test_each_warning_has_its_cause(twelve_leads):
    record = twelve_leads(REGULAR)
    rng = np.random.default_rng(0)
    dead = dataclasses.replace(record, signal=record.signal.copy())
    dead.signal[8] = 0.3
    assert kinds(dead) == {"dead_lead"}
    assert "V3" in quality_warnings(dead)[0]["text"]
    noisy = dataclasses.replace(record, signal=record.signal.copy())
    noisy.signal[9] += 0.3 * rng.normal(size=5000)
    assert kinds(noisy) == {"noise"}
    assert "V4" in quality_warnings(noisy)[0]["text"]
    assert kinds(dataclasses.replace(record, signal=record.signal[:, :3500])) == {"short"}
    assert "no prediction" in quality_warnings(dataclasses.replace(record, signal=record.signal[:, :1500]))[0]["text"]
    assert kinds(only(record, LEADS[:6])) == {"missing_leads"}
    limb = quality_warnings(only(record, ["I", "II", *LEADS[6:]]))
    assert [(w["kind"], w["severity"]) for w in limb] == [("missing_leads", "info")]
    assert kinds(stressed(STRESSES["clip-p95"], record, 0)) == {"clipping"}
    assert kinds(twelve_leads(REGULAR, rate=100.0)) == {"rate"}
    assert [w["severity"] for w in quality_warnings(twelve_leads(REGULAR, rate=1000.0))] == ["info"]


def test_exchanged_arms_are_suspected_and_dextrocardia_is_not(twelve_leads):
    record = twelve_leads(REGULAR)
    swapped = stressed(STRESSES["arms-swapped"], record, 0)
    (warning,) = quality_warnings(swapped)
    assert warning["kind"] == "swap"
    assert "Arm electrodes" in warning["text"]
    mirrored = dataclasses.replace(swapped, signal=swapped.signal.copy())
    mirrored.signal[10:] *= -1
    assert not any("Arm electrodes" in w["text"] for w in quality_warnings(mirrored))
    two = only(swapped, ["I", "II"])
    assert any("or dextrocardia" in w["text"] for w in quality_warnings(two))


def test_right_arm_and_left_leg(twelve_leads):
    """I' = -III, II' = -II, III' = -I, aVR' = aVF, aVF' = aVR."""
    record = twelve_leads(REGULAR)
    s = dict(zip(record.leads, record.signal, strict=True))
    new = s | {"I": -s["III"], "II": -s["II"], "III": -s["I"], "aVR": s["aVF"], "aVF": s["aVR"]}
    swapped = dataclasses.replace(record, signal=np.stack([new[n] for n in LEADS]))
    assert any("right arm and left leg" in w["text"] for w in quality_warnings(swapped))


def test_a_lead_of_another_gain_breaks_einthovens_law(twelve_leads):
    record = twelve_leads(REGULAR)
    record.signal[1] *= 1.5
    assert any("I + III is not II" in w["text"] for w in quality_warnings(record))


def test_recordings_unlike_the_training_data(models, recording, twelve_leads):
    assert "unlike_training" not in kinds(recording, models)
    noise = dataclasses.replace(recording, signal=np.random.default_rng(0).normal(size=recording.signal.shape))
    assert "unlike_training" in kinds(noise, models)
    assert any("no limb lead" in w["text"] for w in quality_warnings(only(twelve_leads(REGULAR), LEADS[6:]), models))


DATA = os.environ.get("ECG_RAMBA_DATA")


@pytest.mark.skipif(not DATA, reason="ECG_RAMBA_DATA is not set")
def test_real_recordings():
    """Rates against nothing but physiology; PR against the diagnosis: none in fibrillation."""
    folder = Path(DATA) / "cpsc-2018"
    fibrillating = [folder / f"{n}.hea" for n in ("A0003", "A0004", "A1041", "A2712")]
    for path in fibrillating:
        assert interval(measure(read_recording(path)), "PR")["value"] is None, path.name
    said = measure(read_recording(folder / "A0006.hea"))
    assert interval(said, "PR")["value"] == pytest.approx(134, abs=15)
    assert 60 < said["heart_rate"]["mean"] < 75
    for path in sorted(folder.glob("*.hea")):
        json.dumps([measure(read_recording(path)), quality_warnings(read_recording(path))], allow_nan=False)
