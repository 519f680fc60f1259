"""The page of a server that has no models: it trains some, and forgets everything when it is told to."""

import os
import sqlite3
from contextlib import closing

import pytest

from tests.dashboard.page.pages import CHROMIUM, Server, until

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A server without models, whose training takes seconds (see :mod:`tests.dashboard.page.serve_tiny`)."""
    folder = tmp_path_factory.mktemp("bare") / "state"
    folder.mkdir()
    server = Server(folder, program="tests.dashboard.page.serve_tiny")
    server.start()
    yield server
    server.stop()


def names(server) -> list[str]:
    return [item["name"] for item in server.items()]


def test_it_is_measured_without_a_model_and_predicted_when_one_is_trained(open_page, bare, make, tmp_path):
    path = tmp_path / "first.json"
    path.write_bytes(make.json(make.ecg(), rate=500))
    page = open_page(at=bare)
    page.get_by_label("Choose recordings").set_input_files(path)
    page.locator("[data-frames]").wait_for()
    page.get_by_text("No model is loaded, so nothing is predicted.").wait_for()
    page.get_by_role("tab", name="Measurements").click()
    page.locator(".measured").filter(has_text="R peaks in lead II").wait_for()
    page.goto(f"{bare.url}/#/")
    page.get_by_role("button", name="Train on the synthetic cohort").click()
    running = page.get_by_text("The small model is being trained on synthetic recordings.")
    running.wait_for()
    page.reload()  # it runs on in the server, and the page says so again
    running.wait_for()
    assert page.get_by_role("button", name="Train on the synthetic cohort").count() == 0
    assert bare.get("/api/state")["training"]["state"] == "running"
    until(lambda: bare.get("/api/state")["models"] is not None, 400, lambda: bare.get("/api/state"))
    page.get_by_test_id("synthetic").wait_for(timeout=30_000)
    assert page.get_by_text("No model is loaded").count() == 0
    until(lambda: [item["status"] for item in bare.items()] == ["done"], 60, bare.items)
    page.get_by_test_id("row").filter(has_text="first").click()
    page.locator("[data-class]").first.wait_for()
    assert page.locator(".synthetic-note").is_visible()
    assert not (bare.folder / "training").exists()


def test_delete_all_leaves_nothing(open_page, bare, make, tmp_path):
    for name in ("SECRETNAMEA", "SECRETNAMEB"):
        (tmp_path / f"{name}.json").write_bytes(make.json(make.ecg(), rate=500))
    page = open_page(at=bare)
    page.get_by_label("Choose recordings").set_input_files(sorted(tmp_path.glob("*.json")))
    page.get_by_test_id("row").filter(has_text="SECRETNAMEB").wait_for()
    until(lambda: {item["status"] for item in bare.items()} == {"done"}, 60, bare.items)
    page.get_by_test_id("row").filter(has_text="SECRETNAMEB").click()
    page.get_by_role("tab", name="Recording").click()
    page.get_by_role("textbox", name="Note").fill("SECRETNOTE")
    page.keyboard.press("Tab")
    page.get_by_text("Saved", exact=True).wait_for()
    page.get_by_label("Search names and notes").fill("SECRETNAMEA")  # what a search hides goes as well
    page.get_by_role("button", name="Delete all").click()
    dialog = page.get_by_role("dialog", name="Delete all recordings?")
    dialog.get_by_role("button", name="Keep").click()
    dialog.wait_for(state="detached")
    assert len(names(bare)) >= 2
    page.get_by_role("button", name="Delete all").click()
    dialog.get_by_role("button", name="Delete all for good").click()
    page.get_by_text("0 recordings", exact=True).wait_for()
    page.get_by_role("heading", name="Reading room").wait_for()
    assert (names(bare), page.get_by_test_id("row").count()) == ([], 0)
    until(lambda: os.listdir(bare.folder / "recordings") == [], 20)
    assert os.listdir(bare.folder / "incoming") == []
    with closing(sqlite3.connect(bare.folder / "history.sqlite")) as history:
        assert history.execute("SELECT count(*) FROM recordings").fetchone() == (0,)
    kept = [path for path in bare.folder.rglob("*") if path.is_file()]
    assert [path for path in kept if b"SECRET" in path.read_bytes()] == []
