"""Stresses: what is said of each is what it does; the same for a recording whatever the others are."""

import dataclasses
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_ramba.data.leads import LEADS
from ecg_ramba.data.record import Record
from ecg_ramba.errors import UserError
from ecg_ramba.signal import SignalConfig, preprocess
from studies.robustness.noise import DoesNotApply
from studies.robustness.stresses import CONTROL, STRESSES, choose_stresses, stressed

NOISES = [name for name, s in STRESSES.items() if s.group == "noise"]
ELECTRODES = ("RA", "LA", "LL", *LEADS[6:])


def potentials(seconds=10.0, rate=500.0, seed=0):
    """Potentials of the electrodes: beats of unlike size, noise and an offset each, (9, samples) in mV."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    beats = sum(np.exp(-0.5 * ((t - at) / 0.03) ** 2) for at in np.arange(0.4, seconds, 0.8))
    out = rng.normal(0, 1, (9, 1)) * beats + 0.05 * rng.standard_normal((9, len(t))) + rng.normal(0, 1, (9, 1))
    return dict(zip(ELECTRODES, out, strict=True))


def twelve(e):
    """The twelve leads by their definitions: Einthoven, Goldberger, Wilson."""
    ra, la, ll = e["RA"], e["LA"], e["LL"]
    wilson = (ra + la + ll) / 3
    out = {"I": la - ra, "II": ll - ra, "III": ll - la}
    out |= {"aVR": ra - (la + ll) / 2, "aVL": la - (ra + ll) / 2, "aVF": ll - (ra + la) / 2}
    return out | {v: e[v] - wilson for v in LEADS[6:]}


def record(leads=LEADS, name="r1", source="toy", rate=500.0, seconds=10.0, units="mV", seed=0, e=None):
    of = twelve(e or potentials(seconds, rate, seed))
    signal = np.stack([of[lead] for lead in leads]).astype(np.float32)
    return Record(signal=signal, leads=tuple(leads), rate=rate, units=units, source=source, record=name, subject=name,
                  publisher=source, publisher_id=name)  # fmt: skip


def apply(name, to, seed=0):
    return stressed(STRESSES[name], to, seed)


def decibels(clean, noisy):
    """Signal-to-noise ratio of each lead, by its definition."""
    x = clean.astype(np.float64)
    x -= np.median(x, axis=1, keepdims=True)
    noise = noisy.astype(np.float64) - clean.astype(np.float64)
    return 10 * np.log10((x**2).mean(1) / (noise**2).mean(1))


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize(("rate", "seconds"), [(500.0, 10.0), (257.0, 31.7)])
def test_noise_meets_its_ratio_in_every_lead(name, rate, seconds):
    clean = record(rate=rate, seconds=seconds)
    np.testing.assert_allclose(decibels(clean.signal, apply(name, clean).signal), STRESSES[name].level, atol=0.01)


def test_noise_is_independent_between_leads_and_one_realisation_at_all_levels():
    clean = record()
    noise = {n: apply(n, clean).signal.astype(float) - clean.signal for n in ("muscle-20db", "muscle-5db")}
    between = np.corrcoef(noise["muscle-5db"])[np.triu_indices(12, 1)]
    assert np.abs(between).max() < 0.1
    for a, b in zip(*noise.values(), strict=True):
        assert np.corrcoef(a, b)[0, 1] > 0.9999
    other = apply("white-5db", clean).signal - clean.signal
    assert np.abs([np.corrcoef(a, b)[0, 1] for a, b in zip(other, noise["muscle-5db"], strict=True)]).max() < 0.3


@pytest.mark.parametrize(
    ("name", "low", "high", "rate"),
    [("wander-5db", 0.05, 1, 500.0), ("muscle-5db", 20, 150, 500.0), ("muscle-5db", 20, 100, 200.0)],
)
def test_noise_has_its_band(name, low, high, rate):
    clean = record(rate=rate, seconds=20.0)
    clean = dataclasses.replace(clean, signal=clean.signal * 1e-3)  # little rounding beside the noise
    noise = apply(name, clean).signal.astype(float) - clean.signal
    power = np.abs(np.fft.rfft(noise, axis=1)) ** 2
    hertz = np.fft.rfftfreq(noise.shape[1], 1 / rate)
    inside = (hertz >= low) & (hertz <= high)
    assert power[:, inside].sum() / power.sum() > 0.9999
    halves = [power[:, inside & (hertz < (low + high) / 2)].sum(), power[:, inside & (hertz >= (low + high) / 2)].sum()]
    if name.startswith("wander"):
        assert halves[0] > 2 * halves[1], "1/f"
    else:
        assert halves[0] / halves[1] == pytest.approx(1, abs=0.15), "flat"


@pytest.mark.parametrize(
    ("name", "rate", "peaks"),
    [
        ("mains50-5db", 500.0, {50: 1, 100: 1 / 4, 150: 1 / 9}),
        ("mains50-5db", 200.0, {50: 1}),
        ("mains60-5db", 500.0, {60: 1, 120: 1 / 4, 180: 1 / 9}),
    ],
)
def test_powerline_is_made_of_its_harmonics_below_half_the_rate(name, rate, peaks):
    clean = record(rate=rate)
    noise = apply(name, clean).signal.astype(float) - clean.signal
    power = np.abs(np.fft.rfft(noise, axis=1)) ** 2
    at = [h * 10 for h in peaks]
    np.testing.assert_allclose(power[:, at] / power[:, at[:1]], np.tile(list(peaks.values()), (12, 1)), rtol=1e-3)
    assert power[:, at].sum() / power.sum() > 0.9999
    with pytest.raises(DoesNotApply, match="half its rate of 100"):
        apply(name, record(rate=100.0))


def test_a_constant_lead_gets_no_noise():
    clean = record()
    clean.signal[4] = 0.25
    for name in NOISES:
        noisy = apply(name, clean).signal
        assert (noisy[4] == np.float32(0.25)).all()
        assert (noisy[[3, 5]] != clean.signal[[3, 5]]).any()


@given(leads=st.sets(st.sampled_from(LEADS), min_size=1), shuffle=st.integers(0, 1000))
@settings(max_examples=150, deadline=None)
def test_swapped_arms_are_those_of_swapped_electrodes(leads, shuffle):
    """Rebuilt from the electrodes' potentials, whichever leads are there and in whatever order."""
    leads = tuple(np.random.default_rng(shuffle).permutation(sorted(leads)).tolist())
    e = potentials(5.5)
    clean, wanted = record(leads, e=e), record(leads, e=e | {"RA": e["LA"], "LA": e["RA"]})
    depends = set(leads) & {"I", "II", "III", "aVR", "aVL"}
    enough = {"I", "II"} <= set(leads)
    partner = {"II": "III", "III": "II", "aVR": "aVL", "aVL": "aVR"}
    possible = enough or all(partner.get(lead, lead) in leads for lead in leads)
    if not depends or not possible:
        with pytest.raises(DoesNotApply, match="no lead"):
            apply("arms-swapped", clean)
        return
    found = apply("arms-swapped", clean)
    assert found.leads == leads
    np.testing.assert_allclose(found.signal, wanted.signal, atol=2e-6)
    np.testing.assert_allclose(apply("arms-swapped", found).signal, clean.signal, atol=2e-6)


def test_swapped_arms_need_potentials():
    with pytest.raises(DoesNotApply, match="standardised"):
        apply("arms-swapped", record(units="SD"))


def test_leads_that_are_taken_away_are_absent_on_the_signal_path():
    there = lambda name, of=LEADS: [  # noqa: E731
        lead for lead, alive in zip(LEADS, preprocess(apply(name, record(of))).leads, strict=True) if alive
    ]
    assert there(CONTROL) == list(LEADS)
    assert there("leads-limb") == list(LEADS[:6])
    assert there("leads-chest") == list(LEADS[6:])
    assert there("lead-V1") == ["V1"]
    assert there("lead-II", ("I", "II")) == ["II"], "nothing follows from II alone"
    three = apply("leads-3", record())
    assert len(three.leads) == 3
    both = next(n for n in map(str, range(200)) if {"I", "II"} <= set(apply("leads-3", record(name=n)).leads))
    derived = preprocess(apply("leads-3", record(name=both))).leads
    assert derived.sum() >= 6, "III, aVR, aVL and aVF follow from I and II"
    kept = apply("lead-V5", record())
    np.testing.assert_array_equal(kept.signal[0], record().signal[LEADS.index("V5")])


@pytest.mark.parametrize(
    ("name", "leads", "why"),
    [
        ("lead-V1", ("I", "II"), "it has no lead V1"),
        ("leads-chest", ("I", "II"), "it has none of V1 to V6"),
        ("leads-limb", ("I", "II"), "it has no lead besides I to aVF"),
        ("leads-3", ("I", "II"), "it has 2 leads, and 3 would be kept"),
        ("lead-I", ("I",), "it has no lead besides I"),
    ],
)
def test_a_stress_without_its_leads_does_not_apply(name, leads, why):
    with pytest.raises(DoesNotApply, match=why):
        apply(name, record(leads))


def test_random_leads_do_not_depend_on_the_order_in_the_file_and_all_are_drawn():
    shuffled = record(tuple(reversed(LEADS)))
    assert set(apply("leads-3", shuffled).leads) == set(apply("leads-3", record()).leads)
    drawn = {lead for n in range(40) for lead in apply("leads-3", record(name=str(n), seconds=5.0)).leads}
    assert drawn == set(LEADS)


def test_a_lower_rate_keeps_what_it_can_hold_and_nothing_else():
    t = np.arange(5000) / 500
    clean = record()
    slow, fast = np.sin(2 * np.pi * 5 * t), np.sin(2 * np.pi * 120 * t)
    clean = dataclasses.replace(clean, signal=np.stack([slow, fast, 0 * t, *[slow] * 9]).astype(np.float32) + 100)
    found = apply("rate-100", clean)
    assert (found.rate, found.signal.shape) == (100.0, (12, 1000))
    inner = slice(50, -50)
    at = np.arange(1000) / 100
    np.testing.assert_allclose(found.signal[0, inner] - 100, np.sin(2 * np.pi * 5 * at)[inner], atol=0.02)
    assert np.abs(found.signal[1, inner] - 100).max() < 0.02, "120 Hz would alias to 20 Hz"
    np.testing.assert_allclose(found.signal[2], 100, atol=1e-4, err_msg="an offset rings at no end")
    with pytest.raises(DoesNotApply, match="200 samples per second already"):
        apply("rate-250", record(rate=200.0))


def test_amplitudes():
    clean = record()
    np.testing.assert_allclose(apply("gain-1.2", clean).signal, 1.2 * clean.signal, rtol=1e-6)
    np.testing.assert_allclose(apply("gain-0.8", clean).signal, 0.8 * clean.signal, rtol=1e-6)
    ratio = np.median(apply("gain-one", clean).signal / clean.signal, axis=1)
    assert sorted(ratio.tolist()) == [0.5, *[1.0] * 11]
    x = clean.signal.astype(float)
    away = x - np.median(x, axis=1, keepdims=True)
    for name, most in (("clip-p95", np.percentile(np.abs(away), 95, axis=1, keepdims=True)), ("clip-1mv", 1.0)):
        found = apply(name, clean).signal - np.median(x, axis=1, keepdims=True)
        np.testing.assert_allclose(found, np.where(np.abs(away) > most, np.sign(away) * most, away), atol=1e-6)
    assert (apply("clip-p95", clean).signal != clean.signal).mean() == pytest.approx(0.05, abs=0.002)
    with pytest.raises(DoesNotApply, match="units are SD"):
        apply("clip-1mv", record(units="SD"))


def test_times():
    clean = record(rate=257.0, seconds=12.0)
    found = apply("shift-1.25s", clean).signal
    n = round(1.25 * 257)
    np.testing.assert_array_equal(found[:, : clean.signal.shape[1] - n], clean.signal[:, n:])
    np.testing.assert_array_equal(found[:, clean.signal.shape[1] - n :], clean.signal[:, :n])
    assert STRESSES["shift-1.25s"].moved == 1.25
    short = apply("first-5s", clean)
    np.testing.assert_array_equal(short.signal, clean.signal[:, : short.signal.shape[1]])
    assert 5 <= short.seconds < 5 + 1 / 257
    assert preprocess(short).valid.tolist() == [2500]
    with pytest.raises(DoesNotApply, match="not longer than 5 s"):
        apply("first-5s", record(seconds=5.0))


@pytest.mark.parametrize("name", list(STRESSES))
def test_a_stress_is_a_function_of_the_seed_and_the_recording_alone(name):
    clean = record()
    before = zlib.crc32(clean.signal.tobytes())
    first = apply(name, clean)
    apply(name, record(name="another", seed=1))
    again = apply(name, record())
    np.testing.assert_array_equal(first.signal, again.signal)
    assert first.leads == again.leads
    assert zlib.crc32(clean.signal.tobytes()) == before, "the recording that was given is as it was"
    assert first.signal.dtype == np.float32
    assert (first.record, first.source, first.subject) == (clean.record, clean.source, clean.subject)
    cut = preprocess(first, SignalConfig())
    assert np.isfinite(cut.signal).all()


def test_what_is_random_differs_between_recordings_data_sets_and_seeds():
    clean = record()
    of = apply("white-10db", clean).signal
    for other in (record(name="r2"), record(source="elsewhere")):
        assert (apply("white-10db", other).signal != of).mean() > 0.99
    assert (apply("white-10db", clean, seed=1).signal != of).mean() > 0.99


def test_the_control_is_the_recording_itself():
    clean = record()
    assert apply(CONTROL, clean) is clean


def test_stresses_are_chosen_by_name_family_or_group_with_the_control():
    names = [s.name for s in choose_stresses()]
    assert names[0] == CONTROL
    assert set(STRESSES) - set(names) == {"mains60-20db", "mains60-10db", "mains60-5db"}
    assert [s.name for s in choose_stresses(["first-5s", "white"])] == [
        CONTROL, "white-20db", "white-10db", "white-5db", "first-5s",
    ]  # fmt: skip
    assert [s.name for s in choose_stresses(["mains60"])][1:] == ["mains60-20db", "mains60-10db", "mains60-5db"]
    assert {s.group for s in choose_stresses(["leads"])} == {"control", "leads"}
    with pytest.raises(UserError, match=r"no stress is called 'clip-p9'; did you mean clip-p95\?"):
        choose_stresses(["clip-p9"])
