"""The page in a real browser, against a real server with tiny fold models."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

import ecg_ramba.dashboard
from ecg_ramba.data.leads import LEADS
from tests.dashboard.page.pages import (
    BEAT,
    CHROMIUM,
    FIRST,
    LAYOUTS,
    PX_PER_MM,
    RATE,
    begin_of,
    drag,
    place,
    read_calliper,
    until,
    whole_samples,
)

AXE = Path(ecg_ramba.dashboard.__file__).parent / "web" / "node_modules" / "axe-core" / "axe.min.js"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


def test_upload_is_listed_with_its_figures(recording, open_page, server):
    page = open_page()
    row = page.get_by_test_id("row").filter(has_text="KNOWN")
    assert "75/min" in row.inner_text()  # a beat each 0.8 s
    assert page.get_by_test_id("notice").inner_text() == "A research tool, not a medical device."
    assert "synthetic" in page.get_by_test_id("synthetic").inner_text().lower()
    assert "not a medical device" in server.get("/api/state")["notice"]


def test_a_drop_of_files_that_are_none_says_why(open_page, server):
    page = open_page()
    data = page.evaluate_handle(
        "() => { const t = new DataTransfer(); t.items.add(new File(['Dear sir'], 'letter.mat')); return t }"
    )
    page.dispatch_event(".drop", "drop", {"dataTransfer": data})
    page.get_by_test_id("row").filter(has_text="letter").click()
    page.get_by_role("alert").filter(has_text="text").first.wait_for()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete for good").click()
    until(lambda: "letter" not in [item["name"] for item in server.items()], 20)


def test_an_analysis_is_stopped_and_taken_up_again(open_page, server, make, tmp_path):
    path = tmp_path / "lengthy.json"
    path.write_bytes(make.json(make.ecg(seconds=600, leads=LEADS[:3]), "I,II,III", rate=500))
    page = open_page()
    page.get_by_label("Choose recordings").set_input_files(path)
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("alert").filter(has_text="it was stopped").first.wait_for()
    page.locator("[data-frames]").wait_for()
    page.get_by_role("button", name="Analyse again").click()
    page.get_by_role("button", name="Stop", exact=True).wait_for()
    until(lambda: [i["status"] for i in server.items() if i["name"] == "lengthy"] == ["done"], 120, server.items)
    page.locator("[data-class]").first.wait_for()
    assert page.get_by_role("button", name="Analyse again").count() == 0


def test_a_question_is_answered(open_page, server, make, signal, tmp_path):
    path = tmp_path / "bare.csv"
    path.write_bytes(make.csv(signal * 1000))
    page = open_page()
    page.get_by_label("Choose recordings").set_input_files(path)
    page.get_by_role("heading", name="A question about bare").wait_for()
    page.get_by_role("img", name="Preview of lead II").wait_for()
    page.get_by_role("button", name="500", exact=False).first.click()
    page.get_by_role("button", name="uV", exact=False).first.click()
    page.get_by_role("button", name="Answer and go on").click()
    page.locator("[data-frames]").wait_for()
    until(lambda: "done" in [i["status"] for i in server.items() if i["name"] == "bare"], 120, server.items)
    item = next(item for item in server.items() if item["name"] == "bare")
    assert (item["understood"]["rate"], item["understood"]["units"]) == (500.0, "uV")


# --- callipers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("speed", "gain"), [(12.5, 5), (25, 10), (50, 20)])
def test_callipers_against_known_samples(reading, signal, layout, speed, gain):
    page = reading(width=1500, height=1300)
    page.get_by_label(layout).check()
    page.get_by_role("group", name="Speed").get_by_label(str(speed), exact=True).check()
    page.get_by_role("group", name="Gain").get_by_label(str(gain), exact=True).check()
    page.get_by_role("button", name="Callipers").click()
    two = signal[list(LEADS).index("II")]
    top = [two[round((FIRST + i * BEAT) * RATE)] for i in (0, 1)]
    # near the tops of two R waves: the ends snap to the sample nearest on the screen, maybe a pixel beside the top
    page.wait_for_timeout(500)  # single samples come in
    drag(page, *(place(page, layout, speed, FIRST + i * BEAT, top[i], gain) for i in (0, 1)))
    until(lambda: whole_samples(page), 20, lambda: str(read_calliper(page)))
    begin, found = begin_of(page), read_calliper(page)
    pixel = 1000 / (speed * PX_PER_MM)
    assert begin == pytest.approx(FIRST, abs=pixel / 1000 + 0.002)
    assert found["ms"] == pytest.approx(1000 * BEAT, abs=2 * pixel + 2)
    assert found["rate"] == pytest.approx(60_000 / found["ms"], abs=0.06)
    first = round(begin * RATE)
    assert found["mv"] == pytest.approx(two[first + round(found["ms"] * RATE / 1000)] - two[first], abs=6e-4)


def test_free_callipers_read_the_paper(reading):
    page = reading(width=1500, height=1000)
    page.get_by_label("12 × 1").check()
    page.get_by_role("button", name="Callipers").click()
    page.get_by_role("button", name="Snap").click()
    begin = place(page, "12 × 1", 25, 1.0, 0.0, 10)
    drag(page, begin, (begin[0] + 100, begin[1] - 20))
    found = read_calliper(page)
    assert found["ms"] == pytest.approx(1000 * 100 / (25 * PX_PER_MM), abs=0.06)  # 100 pixels at 25 mm/s
    assert found["mv"] == pytest.approx(20 / (10 * PX_PER_MM), abs=6e-4)  # 20 pixels at 10 mm/mV


def test_callipers_by_keyboard_agree_with_the_samples(reading, signal):
    page = reading()
    page.get_by_test_id("ecg").focus()
    page.keyboard.press("c")
    for key in [*["ArrowRight"] * 7, "h", *["Shift+ArrowLeft"] * 3, "m"]:
        page.keyboard.press(key)
    page.wait_for_timeout(300)  # the samples come in
    begin, found = begin_of(page), read_calliper(page)
    two = signal[list(LEADS).index("II")]
    first = round(begin * RATE)
    last = first + round(found["ms"] / 1000 * RATE)
    assert found["ms"] * RATE / 1000 == pytest.approx(last - first, abs=1e-6)  # whole samples
    assert found["mv"] == pytest.approx(two[last] - two[first], abs=6e-4)
    assert page.get_by_role("button", name=re.compile("^March")).get_attribute("aria-pressed") == "true"
    page.keyboard.press("Delete")
    assert page.get_by_test_id("calliper").count() == 0


# --- prediction, saliency, documents ---------------------------------------------------------------------------------


def test_the_prediction_on_the_screen_is_the_servers(reading, recording, server):
    page = reading()
    asked = server.get(f"/api/recordings/{recording['id']}/prediction")
    page.get_by_role("button", name=re.compile("Show all")).click()
    for row in asked["classes"]:
        shown = page.locator(f'[data-class="{row["class"]}"]').inner_text()
        if row["probability"] is None:
            assert row["why"] in shown
        elif 0.001 <= row["probability"] <= 0.999:
            assert f"{100 * row['probability']:.1f} %" in shown
    panel = page.locator(".inference").text_content()  # as it is in the page: shown, sentences begin with a capital
    assert asked["rule"] in panel
    assert asked["not_for_use"] in panel
    assert [one["group"] for one in asked["groups"] if one["group"] not in panel] == []
    other = next(one for one in asked["poolings"] if one["name"] != asked["pooling"])
    page.get_by_label("Pooling of the windows").select_option(other["name"])
    again = server.get(f"/api/recordings/{recording['id']}/prediction?pooling={other['name']}")
    first = max((row for row in again["classes"] if row["probability"]), key=lambda row: row["probability"])
    page.locator(f'[data-class="{first["class"]}"]').filter(has_text=f"{100 * first['probability']:.1f} %").wait_for()


@pytest.mark.parametrize("method", ["Grad-CAM", "integrated gradients"])
def test_saliency_is_drawn_and_named(reading, method):
    page = reading()
    paper = page.get_by_test_id("ecg")
    before = paper.screenshot()
    page.get_by_role("group", name="Method").get_by_label(method).check()
    title = page.locator(".statusline .saliency-title")
    title.wait_for(timeout=60_000)
    assert method.lower() in title.inner_text().lower()
    assert "signal stream only" in title.inner_text().lower()
    assert differing(before, paper.screenshot()) > 0.02
    page.get_by_role("group", name="Method").get_by_label("off").check()
    title.wait_for(state="detached")
    page.wait_for_timeout(200)
    assert differing(before, paper.screenshot()) < 0.001


def differing(one: bytes, two: bytes) -> float:
    """The share of pixels that differ."""
    from matplotlib.image import imread

    a, b = (imread(io.BytesIO(png)) for png in (one, two))
    if a.shape != b.shape:  # the title took a line: compare what both have
        height, width = min(a.shape[0], b.shape[0]), min(a.shape[1], b.shape[1])
        a, b = a[:height, :width], b[:height, :width]
    return float((np.abs(a - b).max(axis=-1) > 0.02).mean())


def test_pdf_and_json_are_downloaded(reading, recording, server):
    import pymupdf

    page = reading()
    with page.expect_download() as download:
        page.get_by_role("link", name="PDF report").click()
    with pymupdf.open(download.value.path()) as document:
        text = "\n".join(p.get_text() for p in document)
    assert "not a medical device" in " ".join(text.split()).lower()
    assert "25 mm/s" in text
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON").click()
    whole = json.loads(Path(download.value.path()).read_bytes())
    assert whole["measurements"] == server.get(f"/api/recordings/{recording['id']}/measurements")


def test_measurements_in_tables(reading, recording, server):
    page = reading()
    page.get_by_role("tab", name="Measurements").click()
    panel = page.locator(".measured").inner_text()
    found = server.get(f"/api/recordings/{recording['id']}/measurements")
    for one in found["intervals"]:
        assert one["name"] in panel
        assert (f"{one['value']:.0f} {one['unit']}" if one["value"] is not None else one["why"]) in panel
    assert page.get_by_role("img", name=re.compile("^Tachogram")).count() == 1
    assert page.get_by_role("img", name=re.compile("^Poincar")).count() == 1


# --- history, keyboard, accessibility, speed -------------------------------------------------------------------------


def test_history_and_notes_survive_a_restart(reading, recording, server, open_page):
    page = reading()
    page.get_by_role("tab", name="Recording").click()
    page.get_by_label(re.compile("^Note")).fill("seen <b>twice</b>")
    page.keyboard.press("Tab")
    until(lambda: server.get(f"/api/recordings/{recording['id']}")["note"] == "seen <b>twice</b>", 20)
    page.context.close()
    server.stop()
    server.start()
    page = open_page()
    row = page.get_by_test_id("row").filter(has_text="KNOWN")
    row.wait_for()
    assert "seen <b>twice</b>" in row.inner_text()  # the letters, not a tag
    page.get_by_label("Search names and notes").fill("TWICE")
    until(lambda: page.evaluate("document.querySelectorAll('[data-testid=row]').length === 1"), 20)
    row.click()
    page.locator("[data-class]").first.wait_for()


def test_keyboard_only(open_page, recording):
    page = open_page()
    page.get_by_test_id("row").first.wait_for()
    page.keyboard.press("/")
    page.keyboard.type("KNOWN")
    until(lambda: page.evaluate("document.querySelectorAll('[data-testid=row]').length === 1"), 20)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator("[data-frames]").wait_for()
    page.keyboard.press("e")
    focus = "document.activeElement.dataset.testid"
    assert page.evaluate(focus) == "ecg"
    page.keyboard.press("]")
    page.keyboard.press(".")
    page.locator(".statusline", has_text="50 mm/s · 20 mm/mV").wait_for()
    page.keyboard.press("Enter")
    page.locator(".statusline", has_text="Lead II alone").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("l")
    assert page.get_by_label("6 × 2").is_checked()
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Help").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog", name="Help").wait_for(state="detached")
    reached = set()
    for _ in range(90):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent.trim() || document.activeElement.ariaLabel"))
    assert {"PDF report", "JSON", "Delete", "Callipers"} <= reached


AXE_CASES = [({}, "/"), ({}, "open"), ({"color_scheme": "dark"}, "open"), ({"width": 390, "height": 844}, "open")]


@pytest.mark.parametrize(("options", "where"), AXE_CASES, ids=["list", "light", "dark", "phone"])
def test_axe_finds_nothing_serious(reading, open_page, options, where):
    if not AXE.is_file():
        pytest.skip("axe-core is not installed (npm ci in ecg_ramba/dashboard/web)")
    page = open_page("/", **options) if where == "/" else reading(**options)
    tabs = ["Model", "Measurements", "Recording"] if where == "open" else [None]
    for tab in tabs:
        if tab:
            page.get_by_role("tab", name=tab).click()
        page.evaluate(AXE.read_text("utf-8"))
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
        assert [(v["id"], v["help"], [n["html"][:200] for n in v["nodes"][:3]]) for v in serious] == []
        assert found["passes"]


def test_a_phone_shows_it_without_scrolling_sideways(reading):
    page = reading(width=390, height=844, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.get_by_test_id("notice").is_visible()
    assert page.get_by_test_id("synthetic").is_visible()
    page.get_by_role("button", name="← Worklist").click()
    page.get_by_test_id("row").first.wait_for()


SCROLL = """async () => {
  const canvas = document.querySelector('[data-testid=ecg]');
  const [frames, begin] = [Number(canvas.dataset.frames), performance.now()];
  while (performance.now() - begin < 4000) {
    canvas.dispatchEvent(new WheelEvent('wheel', {deltaY: 120, bubbles: true, cancelable: true}));
    await new Promise(requestAnimationFrame);
  }
  return (Number(canvas.dataset.frames) - frames) / ((performance.now() - begin) / 1000);
}"""


@pytest.mark.slow
def test_twelve_leads_of_an_hour_scroll_at_30_frames_a_second(open_page, server, make, tmp_path, capsys):
    rng = np.random.default_rng(0)
    signal = make.ecg(RATE, 3600)
    make.wfdb(tmp_path, "HOUR", signal=np.round(signal + 0.02 * rng.standard_normal(signal.shape), 3))
    page = open_page()
    page.get_by_label("Choose recordings").set_input_files(sorted(tmp_path.iterdir()))
    page.get_by_test_id("row").filter(has_text="HOUR").click(timeout=120_000)
    page.locator("[data-frames]").wait_for(timeout=300_000)
    until(lambda: [i["status"] for i in server.items() if i["name"] == "HOUR"] == ["done"], 600, server.items)
    rates = {}
    for layout in ("12 × 1", "3 × 4 + strip"):
        page.get_by_label(layout).check()
        page.wait_for_timeout(1000)
        rates[layout] = page.evaluate(SCROLL)
    with capsys.disabled():
        print("\n" + ", ".join(f"{name}: {rate:.0f} frames/s" for name, rate in rates.items()))
    assert min(rates.values()) >= 30
