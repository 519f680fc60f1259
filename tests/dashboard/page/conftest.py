"""A browser, a server with tiny fold models, and a recording that was uploaded to it."""

import re

import pytest

from tests.dashboard.page.pages import CHROMIUM, RATE, Server, until


@pytest.fixture(scope="session")
def server(models_folder, tmp_path_factory):
    """A server with tiny fold models."""
    folder = tmp_path_factory.mktemp("page") / "state"
    folder.mkdir()
    server = Server(folder, models_folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser():
    """Chromium; of a module and no longer, since other tests need the event loop."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, request):
    """Opens a page of a server (by default the one with models); what goes wrong in any of them fails the test."""
    wrong, contexts = [], []

    def opened(path="/", width=1440, height=900, at=None, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if unwanted(message) else None)
        page.goto((at or request.getfixturevalue("server")).url + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def unwanted(message) -> bool:
    """Errors and breaches of the policy; not that a figure is not ready yet, which the server answers with 409."""
    return message.type == "error" and not re.search(r"status of (409|404)", message.text)


@pytest.fixture(scope="module")
def signal(make):
    """(leads, samples) mV to the microvolt, as the file has them."""
    return make.ecg(RATE, 10)


@pytest.fixture(scope="module")
def recording(server, browser, make, signal, tmp_path_factory):
    """The item of a recording that was chosen in the page's file field."""
    if known := [item for item in server.items() if item["name"] == "KNOWN"]:
        return known[0]
    folder = tmp_path_factory.mktemp("wfdb")
    make.wfdb(folder, "KNOWN", signal=signal)
    page = browser.new_page()
    page.goto(server.url)
    page.get_by_label("Choose recordings").set_input_files(sorted(folder.iterdir()))
    page.get_by_test_id("row").filter(has_text="KNOWN").wait_for()
    page.close()
    until(lambda: [i["status"] for i in server.items() if i["name"] == "KNOWN"] == ["done"], 120, server.items)
    return next(item for item in server.items() if item["name"] == "KNOWN")


@pytest.fixture
def reading(open_page, recording):
    """The page with the recording open and drawn."""

    def opened(**options):
        page = open_page(f"/#/r/{recording['id']}", **options)
        page.locator("[data-frames]").wait_for()
        page.locator('[data-class="AF"], [data-class]').first.wait_for()
        until(lambda: page.evaluate("!document.querySelector('.statusline [role=status]')"), 20)
        return page

    return opened
