"""Servers under test, and clients of them."""

import contextlib
import time

import numpy as np

HEADERS = {"X-ECG-RAMBA": "1"}


class Client:
    """A client of a server under test, over any HTTP client with a base URL."""

    def __init__(self, http):
        self.http = http

    def __getattr__(self, method):
        def ask(path, **rest):
            rest["headers"] = HEADERS | rest.get("headers", {})
            return self.http.request(method.upper(), path, **rest)

        return ask

    def upload(self, *files, status=201):
        """Files as (name, bytes), or a {name: bytes}; the whole answer."""
        pairs = [pair for one in files for pair in (one.items() if isinstance(one, dict) else [one])]
        answer = self.post("/api/uploads", files=[("files", pair) for pair in pairs])
        assert answer.status_code == status, answer.text
        return answer.json()

    def settled(self, id, seconds=60):
        """An item when nothing more happens to it."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            item = self.get(f"/api/recordings/{id}").json()
            if item["status"] not in ("queued", "running"):
                return item
            time.sleep(0.05)
        raise AssertionError(f"not done after {seconds} s: {item}")

    def one(self, *files):
        """Upload one recording and wait for it."""
        (item,) = self.upload(*files)["items"]
        return self.settled(item["id"])

    def lead(self, id, lead, **query):
        """Samples of a lead."""
        answer = self.get(f"/api/recordings/{id}/samples", params={"lead": lead, **query})
        assert answer.status_code == 200, answer.text
        return np.frombuffer(answer.content, "<f4")


@contextlib.contextmanager
def opened(settings):
    """A server on these settings, without a socket."""
    from starlette.testclient import TestClient

    from ecg_ramba.dashboard.server import create_app

    app = create_app(settings)
    with TestClient(app, base_url=f"http://127.0.0.1:{settings.port}", raise_server_exceptions=False) as http:
        made = Client(http)
        made.room = app.state.room
        yield made
