"""Addresses of web servers, and connections to them, by the environment's proxy where there is one."""

import base64
import http.client
import ssl
import urllib.request
from functools import cache
from urllib.parse import SplitResult, unquote, urlsplit

from ecg_ramba.data.physionet.web_errors import WebError


def web_address(url: str) -> SplitResult:
    """The parts of an ``http://`` or ``https://`` address.

    Raises
    ------
    WebError
        When it is another kind of address, damaged, or holds a user's name, a query or a fragment.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not parts.username
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url or parts.fragment:
        raise WebError(f"{url!r} is no address of a web server: give one such as https://example.org/files")
    return parts


def new_connection(parts: SplitResult) -> http.client.HTTPConnection:
    """A connection to a server, not yet open; ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY`` are honoured.

    Raises
    ------
    WebError
        When the proxy is of a kind that is not known here.
    """
    address = urllib.request.getproxies().get(parts.scheme)
    if address and not urllib.request.proxy_bypass(parts.netloc):
        return _by_proxy(parts, address)
    if parts.scheme == "http":
        return http.client.HTTPConnection(parts.hostname, parts.port)
    return http.client.HTTPSConnection(parts.hostname, parts.port, context=_tls())


def _by_proxy(parts: SplitResult, address: str) -> http.client.HTTPConnection:
    proxy = urlsplit(address if "://" in address else f"http://{address}")
    if proxy.scheme != "http" or not proxy.hostname:
        raise WebError(f"the proxy {proxy.scheme}://{proxy.hostname} does not speak HTTP; set another HTTPS_PROXY")
    secret = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}" if proxy.username else ""
    rights = {"Proxy-Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"} if secret else {}
    if parts.scheme == "http":
        return PlainByProxy(proxy.hostname, proxy.port or 80, parts.netloc, rights)
    connection = http.client.HTTPSConnection(proxy.hostname, proxy.port or 80, context=_tls())
    connection.set_tunnel(parts.hostname, parts.port or 443, rights)
    return connection


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class PlainByProxy(http.client.HTTPConnection):
    """Plain HTTP by a proxy: every request names the server and carries the right to use the proxy."""

    def __init__(self, host: str, port: int, server: str, rights: dict[str, str]):
        super().__init__(host, port)
        self._server, self._rights = server, rights

    def request(self, method, url, body=None, headers=None, **rest):
        """As in the base class; ``url`` is the path."""
        super().request(method, f"http://{self._server}{url}", body, {**(headers or {}), **self._rights}, **rest)
