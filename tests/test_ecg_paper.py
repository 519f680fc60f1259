"""ECG paper is to scale: a calibration pulse measured in pixels."""

import io

import numpy as np
import pytest
from PIL import Image

from ecg_ramba.data.record import Record
from ecg_ramba.ecg_paper import draw

PIXEL_MM = 25.4 / 120


def page(signal, leads=("I", "II"), rate=500.0, units="mV", **kwargs):
    """The drawn page as grey values, dark is ink."""
    record = Record(
        signal=np.asarray(signal, np.float32),
        leads=leads,
        rate=rate,
        units=units,
        source="x",
        record="r",
        subject="s",
        publisher="x",
        publisher_id="r",
    )
    out = io.BytesIO()
    draw(record, out, **kwargs)
    return np.asarray(Image.open(out).convert("L")).astype(int)


def ink(grey):
    return grey < 90


def row_of(image, number):
    """Pixels of a row of leads, from its left border."""
    top = round((8 + 30 * number) / PIXEL_MM)
    return image[top : top + round(30 / PIXEL_MM), round(8 / PIXEL_MM) :]


@pytest.mark.parametrize("rate", [100.0, 500.0])
def test_a_millivolt_is_ten_millimetres_and_a_second_twenty_five(rate):
    n = int(10 * rate)
    signal = np.zeros((2, n))
    signal[1, int(3 * rate) : int(4 * rate)] = 1.0
    strip = ink(row_of(page(signal, rate=rate), 3))[:, round(2.5 * 25 / PIXEL_MM) : round(5 * 25 / PIXEL_MM)]
    height = strip.sum(axis=1)
    levels = np.flatnonzero(height > 60)
    # two levels: the base line and the pulse's top
    assert (levels.max() - levels.min()) * PIXEL_MM == pytest.approx(10, abs=0.5)
    top = strip[levels.min()]
    assert np.ptp(np.flatnonzero(top)) * PIXEL_MM == pytest.approx(25, abs=0.6)


def test_the_size_is_that_of_the_paper():
    image = page(np.zeros((2, 5000)))
    assert image.shape[1] * PIXEL_MM == pytest.approx(250 + 16, abs=0.5)
    assert image.shape[0] * PIXEL_MM == pytest.approx(120 + 16, abs=0.5)


def test_what_leaves_its_row_is_cut_and_marked():
    signal = np.zeros((2, 5000))
    signal[0, 500:700] = 40.0
    image = ink(page(signal))
    assert not image[: round(6.5 / PIXEL_MM), : round(60 / PIXEL_MM)].any(), "nothing above the first row"
    calm = ink(page(np.zeros((2, 5000))))
    assert image.sum() > calm.sum()


def test_leads_that_are_absent_stay_empty_and_a_short_record_ends():
    strip = ink(row_of(page(np.zeros((1, 2500)), leads=("II",)), 3))
    base = strip[strip.shape[0] // 2 - 3 : strip.shape[0] // 2 + 3].any(axis=0)
    assert np.flatnonzero(base).max() * PIXEL_MM == pytest.approx(5 * 25, abs=1)
    first = ink(row_of(page(np.zeros((1, 2500)), leads=("II",)), 0))
    assert not first[first.shape[0] // 2 - 2 : first.shape[0] // 2 + 2].any()


def test_a_later_start():
    signal = np.zeros((2, 10_000))
    signal[1, 6000:6100] = 1.0  # at 12 s
    strip = ink(row_of(page(signal, start=10.0), 3))
    upper = strip[: strip.shape[0] // 2 - 15, round(20 / PIXEL_MM) :]  # beside the lead's name
    at = (np.flatnonzero(upper.any(axis=0)).min() * PIXEL_MM) + 20
    assert at == pytest.approx(2 * 25, abs=1)
