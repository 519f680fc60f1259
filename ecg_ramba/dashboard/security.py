"""Who may ask: the page that this server sent, or a program that knows the token. Everything else is refused.

Against DNS rebinding the Host header must be an address of this server; against requests that another site makes a
browser send (CSRF), whatever changes anything needs a header that no form can set, and the Origin must be our own.
"""

import hmac
import ipaddress
import json
import socket
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STREAMED = ("/api/uploads", "/api/predict")
"""Paths whose bodies are streamed to disk and bounded there; any other body would be held in memory."""
LARGEST_BODY = 1 << 20

COOKIE = "ecg_ramba_token"
CSRF_HEADER = "x-ecg-ramba"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


def is_loopback(host: str) -> bool:
    """Whether an address to listen at can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Middleware that checks every request and adds the security headers to every answer.

    Parameters
    ----------
    app : ASGI application
    host : str
        Where the server listens.
    port : int
        Its port.
    token : str
        What a client must show; "" where none is needed.
    """

    def __init__(self, app: ASGIApp, host: str, port: int, token: str):
        self.app, self.token, self.port = app, token, port
        self.loopback = is_loopback(host)
        self.names = {"localhost", "127.0.0.1", "::1", host.lower()}
        if not self.loopback:
            self.names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if "cache-control" not in headers:
                    headers["cache-control"] = "no-store"
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None and self._wants_cookie(scope):
            await _answer(guarded, 303, b"", [(b"location", b"/"), (b"set-cookie", self._cookie())])
        elif refusal is None:
            await self.app(scope, receive if scope["path"] in STREAMED else _bounded(receive), guarded)
        else:
            status, sentence = refusal
            body = json.dumps({"error": sentence}).encode()
            extra = [(b"www-authenticate", b"Bearer")] if status == 401 else []
            await _answer(guarded, status, body, [(b"content-type", b"application/json"), *extra])

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return 421, "this server is not called that; open it by the address that it printed"
        origin = headers.get("origin")
        if origin is not None and not self._same_origin(origin, hosts[0]):
            return 403, "another site may not ask this server"
        if scope["path"].startswith("/api/") and headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return 403, "another site may not ask this server"
        if scope["method"] not in ("GET", "HEAD") and headers.get(CSRF_HEADER) != "1":
            return 403, "a request that changes or sends something needs the header X-ECG-RAMBA: 1"
        if self.token and not self._knows_token(scope, headers):
            return (
                401,
                "this server needs its token: open the address with ?token=… that it printed, or send it as Bearer",
            )
        stated = headers.get("content-length", "")
        if scope["path"] not in STREAMED and stated.isdecimal() and int(stated[:20]) > LARGEST_BODY:
            return 413, TOO_LARGE
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            parts = urlsplit(f"//{host}")
            name, port = parts.hostname or "", parts.port
        except ValueError:
            return False
        if parts.username is not None or parts.path or parts.query or parts.fragment or (port or 80) != self.port:
            return False
        if name in self.names:
            return True
        if self.loopback:
            return False
        try:  # an address, not a name: no other site can be behind it
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    @staticmethod
    def _same_origin(origin: str, host: str) -> bool:
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()

    def _wants_cookie(self, scope: Scope) -> bool:
        return bool(self.token) and scope["path"] == "/" and bool(_query_token(scope))

    def _knows_token(self, scope: Scope, headers: Headers) -> bool:
        scheme, _, value = headers.get("authorization", "").partition(" ")
        shown = [value.strip()] if scheme.lower() == "bearer" else []
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
            shown += [cookies[COOKIE].value] if COOKIE in cookies else []
        except CookieError:
            pass  # a cookie that is none is no token
        if scope["path"] == "/" and scope["method"] == "GET":
            shown.append(_query_token(scope))
        right = self.token.encode()
        # every one is compared, in constant time: how long it takes says nothing
        right_ones = [hmac.compare_digest(s.encode("utf-8", "surrogateescape"), right) for s in shown]
        return any(right_ones)

    def _cookie(self) -> bytes:
        return f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/".encode()


TOO_LARGE = f"a request that is no upload has at most {LARGEST_BODY >> 10} KB"


def _bounded(receive: Receive) -> Receive:
    """The same body, refused where it grows too large, whatever was said of its length."""
    received = 0

    async def bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > LARGEST_BODY:
            raise HTTPException(413, TOO_LARGE)
        return message

    return bounded


def _query_token(scope: Scope) -> str:
    found = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
    return found[0] if found else ""


async def _answer(send, status: int, body: bytes, headers: list) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
