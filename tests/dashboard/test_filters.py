"""The display filters do what their names say, measured on sinusoids and against scipy's frequency response."""

import numpy as np
import pytest
from scipy.signal import freqz_sos

from ecg_ramba.dashboard.analysis.filters import FILTERS, NOTCHES, available, filtered, sections
from ecg_ramba.errors import UserError

RATE = 500.0


def gain(hertz, filter, notch, rate=RATE, seconds=60):
    """Amplitude and phase of what comes out of a sinusoid, its first and last third left out."""
    t = np.arange(int(seconds * rate)) / rate
    wave = np.sin(2 * np.pi * hertz * t)
    out = filtered(wave[None], rate, filter, notch)[0]
    middle = slice(len(t) // 3, 2 * len(t) // 3)
    both = np.column_stack([wave[middle], np.cos(2 * np.pi * hertz * t[middle])])
    (a, b), *_ = np.linalg.lstsq(both, out[middle], rcond=None)
    return float(np.hypot(a, b)), float(np.arctan2(b, a))


@pytest.mark.parametrize("hertz", [0.1, 0.5, 1.0, 10.0, 40.0, 60.0, 100.0, 150.0])
@pytest.mark.parametrize("filter", ["0.05-150", "0.5-40"])
def test_the_gain_is_that_of_two_passes_and_the_phase_is_zero(hertz, filter):
    sos = sections(RATE, filter, "off")
    _, once = freqz_sos(sos, worN=[hertz], fs=RATE)
    amplitude, phase = gain(hertz, filter, "off")
    assert amplitude == pytest.approx(abs(once[0]) ** 2, abs=0.01)
    if amplitude > 0.05:
        assert phase == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("filter", ["0.05-150", "0.5-40"])
def test_the_names_edges_are_at_minus_six_decibels(filter):
    for edge in FILTERS[filter]:
        amplitude, _ = gain(edge, filter, "off", seconds=300 if edge < 0.1 else 60)
        assert 20 * np.log10(amplitude) == pytest.approx(-6.02, abs=0.3)


@pytest.mark.parametrize("notch", ["50", "60"])
def test_a_notch_takes_the_mains_and_leaves_the_rest(notch):
    hertz = NOTCHES[notch]
    assert gain(hertz, "off", notch)[0] < 0.01
    for other in (1.0, 10.0, hertz - 5, hertz + 5):
        assert gain(other, "off", notch)[0] > 0.9
    both = gain(hertz, "0.05-150", notch)[0], gain(10.0, "0.05-150", notch)[0]
    assert both[0] < 0.01
    assert both[1] > 0.99


def test_off_changes_nothing_and_is_a_copy():
    signal = np.random.default_rng(0).normal(size=(2, 1000)).astype(np.float32)
    out = filtered(signal, RATE, "off", "off")
    np.testing.assert_array_equal(out, signal)
    assert not np.shares_memory(out, signal)


def test_a_peak_stays_where_it_is():
    t = np.arange(5000) / RATE
    wave = np.exp(-(((t - 4.0) / 0.02) ** 2))
    for filter in ("0.05-150", "0.5-40"):
        assert filtered(wave[None], RATE, filter, "50")[0].argmax() == 2000


def test_gaps_stay_gaps_and_do_not_spread():
    signal = np.random.default_rng(0).normal(size=(3, 2000)).astype(np.float32)
    signal[0, 100:120] = np.nan
    signal[1] = np.nan
    out = filtered(signal, RATE, "0.5-40", "off")
    assert out.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(out), np.isnan(signal))


@pytest.mark.parametrize("samples", [1, 2, 10, 250])
def test_short_signals(samples):
    signal = np.linspace(0, 1, samples)[None]
    out = filtered(signal, RATE, "0.05-150", "50")
    assert out.shape == signal.shape
    assert np.isfinite(out).all()


def test_what_a_rate_cannot_hold_is_said():
    assert available(100.0) == (["off", "0.05-150", "0.5-40"], ["off"])
    with pytest.raises(UserError, match="100 samples per second cannot hold a notch at 50 Hz"):
        filtered(np.zeros((1, 100)), 100.0, "off", "50")
    with pytest.raises(UserError, match="no filter is called 'x'"):
        filtered(np.zeros((1, 100)), RATE, "x", "off")
    with pytest.raises(UserError, match="no notch is called '55'"):
        filtered(np.zeros((1, 100)), RATE, "off", "55")


def test_a_band_whose_top_the_rate_cannot_hold_is_a_high_pass():
    rate = 250.0
    assert gain(100.0, "0.05-150", "off", rate)[0] == pytest.approx(1, abs=0.01)
    assert gain(0.01, "0.05-150", "off", rate, seconds=600)[0] < 0.05
