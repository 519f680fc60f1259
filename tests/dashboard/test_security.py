"""Who is refused, and what every answer says to the browser."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ecg_ramba.dashboard.security import Guard, is_loopback

TOKEN = "a-token-of-some-length"


def client(host="127.0.0.1", token="", base="http://127.0.0.1:8765"):
    async def answer(request):
        return PlainTextResponse("in")

    routes = [Route(path, answer, methods=["GET", "POST", "DELETE"]) for path in ("/", "/api/x")]
    return TestClient(Guard(Starlette(routes=routes), host, 8765, token), base_url=base, follow_redirects=False)


@pytest.mark.parametrize("base", ["http://127.0.0.1:8765", "http://localhost:8765", "http://[::1]:8765"])
def test_own_names_are_let_in(base):
    assert client(base=base).get("/api/x").text == "in"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8765",
        "127.0.0.1.evil.example:8765",
        "localhost.evil.example:8765",
        "127.0.0.1:80",
        "127.0.0.1",
        "user@127.0.0.1:8765",
        "192.168.0.7:8765",
        "127.0.0.1:8765/x",
        "[::1:8765",
        "",
    ],
)
def test_another_host_header_is_refused(host):
    found = client().get("/api/x", headers={"Host": host})
    assert found.status_code == 421
    assert "error" in found.json()


def test_elsewhere_an_address_is_let_in_and_a_strange_name_is_not():
    there = client("0.0.0.0", TOKEN, "http://192.168.0.7:8765")
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert there.get("/api/x", headers=bearer).text == "in"
    assert there.get("/api/x", headers=bearer | {"Host": "evil.example:8765"}).status_code == 421


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_what_changes_something_needs_the_header(method):
    c = client()
    assert c.request(method, "/api/x").status_code == 403
    assert c.request(method, "/api/x", headers={"X-ECG-RAMBA": "0"}).status_code == 403
    assert c.request(method, "/api/x", headers={"X-ECG-RAMBA": "1"}).text == "in"


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:8766", "http://127.0.0.1", "http://[", "file://"]
)
def test_another_origin_is_refused(origin):
    c = client()
    assert c.post("/api/x", headers={"X-ECG-RAMBA": "1", "Origin": origin}).status_code == 403
    assert c.get("/api/x", headers={"Origin": origin}).status_code == 403
    assert c.post("/api/x", headers={"X-ECG-RAMBA": "1", "Origin": "http://127.0.0.1:8765"}).text == "in"


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
)
def test_another_site_cannot_have_the_api_asked(site, status):
    assert client().get("/api/x", headers={"Sec-Fetch-Site": site}).status_code == status
    assert client().get("/", headers={"Sec-Fetch-Site": site}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer \xe4"},
        {"Cookie": "ecg_ramba_token=wrong"},
        {"Cookie": "=;;\x01"},
    ],
)
def test_without_the_token_nothing(headers):
    c = client(token=TOKEN)
    headers = {k: v.encode("latin-1") for k, v in headers.items()}
    for path in ("/", "/api/x", f"/api/x?token={TOKEN}"):
        found = c.get(path, headers=headers)
        assert found.status_code == 401
        assert TOKEN not in found.text


def test_the_token_as_bearer_and_as_cookie():
    c = client(token=TOKEN)
    assert c.get("/api/x", headers={"Authorization": f"Bearer {TOKEN}"}).text == "in"
    assert c.get("/?token=wrong").status_code == 401
    found = c.get(f"/?token={TOKEN}")
    assert (found.status_code, found.headers["location"]) == (303, "/")
    cookie = found.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert c.get("/api/x").text == "in"  # the client has kept the cookie
    assert c.post("/api/x").status_code == 403  # which is no pass for another site's form


def test_every_answer_has_the_headers():
    for found in (client().get("/"), client().get("/api/x", headers={"Host": "evil"}), client().post("/api/x")):
        policy = found.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["x-frame-options"] == "DENY"
        assert found.headers["referrer-policy"] == "no-referrer"
        assert found.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("stated", [True, False])
def test_a_body_that_is_no_upload_is_bounded(open_server, tmp_path, stated):
    from ecg_ramba.dashboard.settings import Settings

    body = b'{"note": "' + b"a" * 2**21 + b'"}'
    with open_server(Settings(state=tmp_path / "s")) as there:
        place, kind = "/api/recordings/r_0123456789abcdef", {"Content-Type": "application/json"}
        sent = body if stated else (body[i : i + 2**16] for i in range(0, len(body), 2**16))
        found = there.patch(place, content=sent, headers=kind)
        assert (found.status_code, found.json()["error"]) == (413, "a request that is no upload has at most 1024 KB")
        assert there.patch(place, content=b'{"note": "a"}', headers=kind).status_code == 404


def test_loopback():
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.1", "example.org", "")))
