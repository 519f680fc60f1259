"""The paper under wheel and fingers, at a screen's own size, and printed."""

import io
import re

import numpy as np
import pytest

from tests.dashboard.page.pages import CHROMIUM, PX_PER_MM, begin_of, drag, read_calliper, until

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

PX_PER_S = 25 * PX_PER_MM


@pytest.fixture
def paper(reading):
    """The page with twelve rows, and where its paper is: ``page, box``."""

    def opened(**options):
        page = reading(**options)
        page.get_by_label("12 × 1").check()
        page.locator(".statusline", has_text="To scale").wait_for()
        return page, page.get_by_test_id("ecg").bounding_box()

    return opened


def measured(page, x, y, wide=40):
    """Callipers from a point of the screen to one further right, off the trace: seconds of the first, ms between."""
    page.get_by_role("button", name="Callipers").click()
    snap = page.get_by_role("button", name="Snap")
    if snap.get_attribute("aria-pressed") == "true":
        snap.click()
    drag(page, (x, y), (x + wide, y))
    found = begin_of(page), read_calliper(page)["ms"]
    page.get_by_role("button", name="Remove all").click()
    page.get_by_role("button", name="Callipers").click()
    return found


def zoom_of(page) -> float:
    said = page.locator(".statusline").inner_text()
    found = re.search(r"Zoom (\d+) %, not to scale", said)
    return int(found[1]) / 100 if found else 1.0


def test_the_wheel_zooms_about_the_pointer_and_moves_along(paper):
    page, box = paper()
    x, y = box["x"] + 0.7 * box["width"], box["y"] + 0.4 * box["height"]
    before, ms = measured(page, x, y)
    assert ms == pytest.approx(1000 * 40 / PX_PER_S, abs=0.06)
    page.mouse.move(x, y)
    page.keyboard.down("Control")
    for _ in range(5):  # as fast as they come: several before the next frame
        page.mouse.wheel(0, -120)
    page.keyboard.up("Control")
    until(lambda: zoom_of(page) == pytest.approx(np.exp(5 * 120 * 0.0022), abs=0.01), 10, lambda: zoom_of(page))
    after, ms = measured(page, x, y)
    zoom = np.exp(5 * 120 * 0.0022)
    assert ms == pytest.approx(1000 * 40 / PX_PER_S / zoom, abs=0.06)
    assert after == pytest.approx(before, abs=1.5 / PX_PER_S)  # what was under the pointer is still
    page.mouse.move(x, y)
    page.mouse.wheel(0, 100)
    page.wait_for_timeout(200)
    assert measured(page, x, y)[0] == pytest.approx(after + 100 / PX_PER_S / zoom, abs=1.5 / PX_PER_S)
    page.get_by_role("button", name="to scale").click()
    page.locator(".statusline", has_text="To scale").wait_for()


class Fingers:
    """Touches of a page, by the browser's own protocol."""

    def __init__(self, page):
        self.session = page.context.new_cdp_session(page)

    def send(self, kind, *points):
        touches = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    def move(self, begins, ends, steps=8):
        """Put fingers down, move them in a line, and lift them."""
        self.send("touchStart", *begins)
        for i in range(1, steps + 1):
            at = [
                tuple(p + (q - p) * i / steps for p, q in zip(a, b, strict=True))
                for a, b in zip(begins, ends, strict=True)
            ]
            self.send("touchMove", *at)
        self.send("touchEnd")


PHONE = {"width": 390, "height": 844, "has_touch": True, "is_mobile": True}


def test_one_finger_pans(paper):
    page, box = paper(**PHONE)
    x, y = box["x"] + 0.5 * box["width"], box["y"] + 0.4 * box["height"]
    before, _ = measured(page, x, y)
    Fingers(page).move([(x + 60, y)], [(x - 60, y)])
    page.wait_for_timeout(200)
    moved = measured(page, x, y)[0] - before
    # the browser takes the first pixels of a touch to see what it becomes
    assert 90 / PX_PER_S < moved < 122 / PX_PER_S
    assert zoom_of(page) == 1


def test_two_fingers_pinch_about_their_middle(paper):
    page, box = paper(**PHONE)
    x, y = box["x"] + 0.6 * box["width"], box["y"] + 0.4 * box["height"]
    before, _ = measured(page, x, y)
    Fingers(page).move([(x - 40, y), (x + 40, y)], [(x - 100, y), (x + 100, y)], steps=12)
    until(lambda: zoom_of(page) > 1.5, 10)
    zoom = zoom_of(page)
    assert zoom == pytest.approx(2.5, abs=0.4)
    after, ms = measured(page, x, y)
    assert ms == pytest.approx(1000 * 40 / PX_PER_S / zoom, rel=0.01)
    assert after == pytest.approx(before, abs=3 / PX_PER_S)
    # down with both: what zooming has pushed off the screen comes into view
    Fingers(page).move([(x - 40, y), (x + 40, y)], [(x - 40, y - 80), (x + 40, y - 80)])
    page.wait_for_timeout(200)
    assert zoom_of(page) == pytest.approx(zoom, abs=0.02)
    assert measured(page, x, y)[0] == pytest.approx(after, abs=3 / PX_PER_S)


def test_the_screen_is_calibrated_by_a_ruler(paper):
    page, box = paper()
    x, y = box["x"] + 0.3 * box["width"], box["y"] + 0.4 * box["height"]
    page.get_by_role("button", name="Screen").click()
    dialog = page.get_by_role("dialog", name="Screen")
    bar = dialog.get_by_role("img", name="A bar to measure with a ruler").bounding_box()
    assert bar["width"] == pytest.approx(100 * PX_PER_MM, abs=0.5)
    length, use = dialog.get_by_label(re.compile("The bar is")), dialog.get_by_role("button", name="Use")
    length.fill("ten")
    assert use.is_disabled()
    length.fill("80,0")  # a screen whose pixels are smaller: 100 of the browser's millimetres are 80
    use.click()
    page.locator(".statusline", has_text="screen measured").wait_for()
    assert measured(page, x, y, 100)[1] == pytest.approx(1000 * 100 / (PX_PER_S * 100 / 80), abs=0.06)
    page.reload()
    page.locator(".statusline", has_text="screen measured").wait_for()
    assert measured(page, x, y, 100)[1] == pytest.approx(1000 * 100 / (PX_PER_S * 100 / 80), abs=0.06)
    page.get_by_role("button", name="Screen").click()
    assert dialog.get_by_label(re.compile("The bar is")).input_value() == "80.0"
    dialog.get_by_role("button", name="As the browser says").click()
    dialog.get_by_role("button", name="Close").click()
    page.locator(".statusline", has_text="1/96 in pixels").wait_for()
    assert measured(page, x, y, 100)[1] == pytest.approx(1000 * 100 / PX_PER_S, abs=0.06)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_printed_it_is_on_white_with_every_finding(reading, scheme):
    import pymupdf
    from matplotlib.image import imread

    page = reading(color_scheme=scheme)
    with pymupdf.open(stream=page.pdf(format="A4", landscape=True), filetype="pdf") as document:
        text = " ".join(" ".join(p.get_text() for p in document).split())
        found = [(p, p.get_image_rects(one[0])[0]) for p in document for one in p.get_images()]
        sheet, where = max(found, key=lambda one: one[1].width * one[1].height)
        paper = imread(io.BytesIO(sheet.get_pixmap(dpi=96, clip=where).tobytes("png")))
        whole = imread(io.BytesIO(sheet.get_pixmap(dpi=96).tobytes("png")))
    for heading in ("Rhythm group", "Classes", "Intervals", "Heart rate variability", "What was understood"):
        assert heading in text
    assert "not a medical device" in text
    assert "Not to scale on this print" in text
    assert "Delete" not in text
    assert "To scale" not in text
    assert where.width > 500
    assert where.x1 <= 842  # points of A4's 842: not cut off
    for picture in (paper, whole):  # ink on white, whatever the screen's theme
        assert np.median(picture) > 0.9
        assert picture.min() < 0.3
    page.wait_for_timeout(300)
    screen = imread(io.BytesIO(page.screenshot()))
    assert (np.median(screen) < 0.3) == (scheme == "dark")  # and then the screen is as it was
