import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal as sp

from ecg_ramba.data.leads import LEADS
from ecg_ramba.data.record import Record
from ecg_ramba.errors import RecordError
from ecg_ramba.signal import SEGMENT, STRIDE, WINDOW, SignalConfig, WindowView, preprocess, window_starts


def make(seconds=10.0, rate=500, leads=LEADS, seed=0, units="mV", scale=0.5) -> Record:
    """A synthetic recording: coloured noise, another in each lead."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate)
    noise = sp.sosfilt(sp.butter(2, 0.2, output="sos"), rng.normal(size=(len(leads), n)), axis=1)
    return Record(
        signal=(scale * noise).astype(np.float32), leads=tuple(leads), rate=float(rate), units=units,
        source="toy", record="r", subject="s", publisher="toy", publisher_id="r",
    )  # fmt: skip


def by_hand(record: Record, up: int, down: int) -> dict[str, np.ndarray]:
    """The protocol's pipeline once more, one lead at a time, in transfer-function terms of scipy alone."""
    sos = sp.butter(4, [0.5, 40], "bandpass", fs=500, output="sos")
    leads = {}
    for name, row in zip(record.leads, record.signal, strict=True):
        x = np.asarray(row, dtype=np.float64)
        x = x - np.median(x)
        leads[name] = sp.resample_poly(x, up, down) if up != down else x
    one, two = leads["I"], leads["II"]
    derived = {"III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}
    out = {}
    for name, x in {**derived, **leads}.items():
        y = sp.sosfiltfilt(sos, x)
        out[name] = (y - y.mean()) / y.std()
    return out


@pytest.mark.parametrize(
    ("rate", "leads", "up", "down"),
    [
        (500, LEADS, 1, 1),
        (200, ("I", "II"), 5, 2),
        (257, LEADS, 500, 257),
        (1000, ("II", "I", "V3"), 1, 2),
        (100, LEADS, 5, 1),
    ],
)
def test_equals_the_pipeline_written_by_hand(rate, leads, up, down):
    record = make(seconds=20, rate=rate, leads=leads)
    cut = preprocess(record)
    expected = by_hand(record, up, down)
    assert cut.signal.shape == (2, 12, SEGMENT)
    assert cut.signal.dtype == np.float32
    joined = np.concatenate(list(cut.signal), axis=1)
    for i, name in enumerate(LEADS):
        assert cut.leads[i] == (name in expected)
        np.testing.assert_allclose(joined[i], expected.get(name, 0), atol=2e-6)


def test_a_257_hz_sine_stays_a_sine_at_500_hz():
    record = make(seconds=20, rate=257, leads=("I", "II"))
    t = np.arange(record.signal.shape[1]) / 257
    record = dataclasses.replace(record, signal=np.stack([np.sin(2 * np.pi * 7 * t)] * 2).astype(np.float32))
    out = preprocess(record, SignalConfig(normalise="none")).signal[1, 1]
    expected = np.sin(2 * np.pi * 7 * (10 + np.arange(SEGMENT) / 500))
    assert np.abs(out - expected)[:2500].max() < 0.01  # away from the record's edges


def test_band_passes_10_hz_and_stops_60_hz_and_wander():
    t = np.arange(10000) / 500
    for frequency, low, high in [(10, 0.69, 0.72), (60, 0, 0.03), (0.1, 0, 0.01)]:
        wave = np.sin(2 * np.pi * frequency * t).astype(np.float32)
        record = dataclasses.replace(make(20), signal=np.tile(wave, (12, 1)))
        spread = preprocess(record, SignalConfig(normalise="none")).signal[:, :, 1000:4000].std()
        assert low <= spread <= high, frequency


@settings(max_examples=15, deadline=None)
@given(gain=st.floats(0.2, 20), offset=st.floats(-5, 5), seed=st.integers(0, 5))
def test_gain_and_offset_do_not_matter(gain, offset, seed):
    record = make(seed=seed)
    other = dataclasses.replace(record, signal=(record.signal.astype(np.float64) * gain + offset).astype(np.float32))
    np.testing.assert_allclose(preprocess(other).signal, preprocess(record).signal, atol=2e-4)


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(12)))
def test_order_of_leads_in_the_file_does_not_matter(order):
    record = make()
    shuffled = dataclasses.replace(record, signal=record.signal[order], leads=tuple(LEADS[i] for i in order))
    np.testing.assert_array_equal(preprocess(shuffled).signal, preprocess(record).signal)


def test_derived_leads_equal_measured_ones_that_obey_einthoven():
    two = make(leads=("I", "II"))
    one, second = two.signal.astype(np.float64)
    limb = np.stack([one, second, second - one, -(one + second) / 2, one - second / 2, second - one / 2])
    six = dataclasses.replace(two, signal=limb.astype(np.float32), leads=LEADS[:6])
    np.testing.assert_allclose(preprocess(two).signal, preprocess(six).signal, atol=1e-4)


def test_filter_sees_the_whole_recording():
    record = make(seconds=20)
    whole = preprocess(record, SignalConfig(normalise="none")).signal[1]
    alone = dataclasses.replace(record, signal=record.signal[:, 5000:])
    cut_first = preprocess(alone, SignalConfig(normalise="none")).signal[0]
    assert np.abs(whole - cut_first)[:, :50].max() > 1e-3  # cutting first would leave an edge here
    np.testing.assert_allclose(whole[:, 2500:4000], cut_first[:, 2500:4000], atol=0.02)


@pytest.mark.parametrize(
    ("seconds", "valid", "dropped"),
    [
        (5, [2500], 0),
        (7.5, [3750], 0),
        (10, [5000], 0),
        (14.99, [5000], 4.99),
        (15, [5000, 2500], 0),
        (29.8, [5000, 5000, 4900], 0),
    ],
)
def test_tails(seconds, valid, dropped):
    cut = preprocess(make(seconds))
    assert cut.valid.tolist() == valid
    assert cut.start.tolist() == [10.0 * i for i in range(len(valid))]
    assert cut.dropped_tail_s == pytest.approx(dropped, abs=0.005)
    for segment, n in zip(cut.signal, valid, strict=True):
        assert not segment[:, n:].any()
        assert segment[:, n - 100 : n].any()


@pytest.mark.parametrize("rate", [100, 257, 500])
def test_under_five_seconds_is_refused(rate):
    with pytest.raises(RecordError, match="shorter than the 5 s"):
        preprocess(make(4.98, rate=rate))


def test_a_rate_too_low_for_the_pass_band_is_refused():
    with pytest.raises(RecordError, match="79 samples per second cannot hold the 40 Hz"):
        preprocess(make(rate=79))
    assert preprocess(make(rate=80)).leads.all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_numbers_are_refused_by_lead(bad):
    record = make()
    record.signal[7, 100] = bad
    with pytest.raises(RecordError, match="V2"):
        preprocess(record)


def test_dead_leads_are_absent_and_a_flat_recording_is_refused():
    record = make()
    record.signal[[2, 8]] = 1.5
    record.signal[4] *= 1e-4  # 0.05 microvolts
    cut = preprocess(record)
    assert np.flatnonzero(~cut.leads).tolist() == [2, 4, 8]
    assert not cut.signal[:, ~cut.leads].any()
    assert np.isfinite(cut.signal).all()
    record.signal[:] = -2.0
    with pytest.raises(RecordError, match="every lead is flat"):
        preprocess(record)


def test_nothing_is_derived_from_a_dead_lead_or_from_standardised_signals():
    record = make(leads=("I", "II"))
    record.signal[0] = 3.0
    assert np.flatnonzero(preprocess(record).leads).tolist() == [1]
    assert np.flatnonzero(preprocess(make(leads=("I", "II"), units="SD")).leads).tolist() == [0, 1]


def test_standardised_signals_have_no_millivolts():
    tiny = make(units="SD", scale=1e-5)  # below the threshold in mV, which means nothing here
    assert preprocess(tiny).leads.all()
    with pytest.raises(RecordError, match="millivolts are not known"):
        preprocess(make(units="SD"), SignalConfig(normalise="none"))
    with pytest.raises(RecordError, match="units"):
        preprocess(make(units="adu"))


def test_normalisations():
    record = make(seconds=27)
    record.signal[:, 5000:10000] *= 4
    whole, each, raw = (preprocess(record, SignalConfig(normalise=n)) for n in ("record", "segment", "none"))
    joined = np.concatenate([s[:, :n] for s, n in zip(whole.signal, whole.valid, strict=True)], axis=1)
    np.testing.assert_allclose(joined.std(axis=1), 1, atol=1e-4)
    for segment, n in zip(each.signal, each.valid, strict=True):
        np.testing.assert_allclose(segment[:, :n].std(axis=1), 1, atol=1e-4)
    assert whole.signal[1].std() > 2 * whole.signal[0].std()  # negative control: the record's scale is kept inside it
    millivolts = np.concatenate([s[:, :n] for s, n in zip(raw.signal, raw.valid, strict=True)], axis=1)
    scaled = (millivolts - millivolts.mean(axis=1, keepdims=True)) / millivolts.std(axis=1, keepdims=True)
    np.testing.assert_allclose(scaled, joined, atol=1e-4)


@pytest.mark.parametrize(
    "kw", [{"rate": 250.0}, {"low": 0}, {"high": 300}, {"low": 50}, {"normalise": "lead"}], ids=str
)
def test_configurations_that_cannot_be(kw):
    with pytest.raises(ValueError):
        SignalConfig(**kw)


@given(st.integers(WINDOW, SEGMENT))
def test_window_starts_by_counting_samples(valid):
    inside = np.zeros(SEGMENT, dtype=bool)
    inside[:valid] = True
    expected = [s for s in (0, STRIDE, 2 * STRIDE) if inside[s : s + WINDOW].mean() >= 0.5]
    assert list(window_starts(valid)) == expected


def test_window_view_reads_what_slicing_reads():
    segments = np.random.default_rng(0).normal(size=(3, 12, SEGMENT)).astype(np.float32)
    view = WindowView(segments, [2, 0, 0, 1], [0, 2500, 1250, 0])
    assert view.shape == (4, 12, WINDOW)
    assert len(view) == 4
    places = [(2, 0), (0, 2500), (0, 1250), (1, 0)]
    expected = np.stack([segments[row, :, at : at + 2500] for row, at in places])
    np.testing.assert_array_equal(view[:], expected)
    np.testing.assert_array_equal(view[np.array([3, 1])], expected[[3, 1]])
    np.testing.assert_array_equal(view[2], expected[2])
    view[:][:] = 0
    assert segments.any(axis=(1, 2)).all()  # a copy
    with pytest.raises(ValueError, match="starts outside"):
        WindowView(segments, [0], [2501])
    with pytest.raises(ValueError, match="one of each"):
        WindowView(segments, [0], [1, 2])


@pytest.mark.parametrize("offset", [0, 36])
def test_windows_of_a_mapped_file_are_those_of_the_array(tmp_path, offset):
    segments = np.random.default_rng(0).normal(size=(7, 12, SEGMENT)).astype("<f4")
    (tmp_path / "s").write_bytes(b"x" * offset + segments.tobytes())
    mapped = np.memmap(tmp_path / "s", dtype="<f4", mode="r", offset=offset, shape=segments.shape)
    at, start = [6, 0, 3, 6, 0], [2500, 0, 1250, 0, 0]
    whole, view = WindowView(segments, at, start), WindowView(mapped, at, start)
    np.testing.assert_array_equal(view[:], whole[:])
    np.testing.assert_array_equal(view[1:3], whole[1:3])
    np.testing.assert_array_equal(view[3], whole[3])
    assert view[:0].shape == (0, 12, WINDOW)
    part = WindowView(mapped[2:], [4, 1], [2500, 1250])
    np.testing.assert_array_equal(part[:], whole[[0, 2]])
