"""HTTPS as a polite guest: kept connections, waits that the server asks for, a limited number of tries.

On ``http.client``, so that tens of thousands of small files do not each need a new connection. Proxies are those of the
environment (``HTTPS_PROXY``, ``HTTP_PROXY``, ``NO_PROXY``).
"""

import contextlib
import email.utils
import http.client
import random
import re
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import SplitResult, urljoin

from ecg_ramba import __version__
from ecg_ramba.data.physionet.web_connection import new_connection, web_address
from ecg_ramba.data.physionet.web_errors import Stopped, Unavailable, WebError, refused, unreached

USER_AGENT = f"ecg-ramba/{__version__} (ecg-ramba data download; Python)"
CHUNK = 1 << 16
_REDIRECTS = (301, 302, 303, 307, 308)
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(?:\d+|\*)")
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a server is waited for.

    Parameters
    ----------
    tries : int
        Of one request, the first included.
    first_s : float
        Wait after the first failure; it doubles with each further one, times a random factor of 0.5 to 1.5.
    asked_s : float
        The longest wait that a server may ask for; where it asks for more, the request fails.
    connect_s, silent_s : float
        A server that takes longer to connect, or says nothing for longer, is given up.
    """

    tries: int = 7
    first_s: float = 1.0
    asked_s: float = 600.0
    connect_s: float = 8.0
    silent_s: float = 30.0


PATIENT = Patience()


class Body:
    """An answer whose bytes are still to come.

    ``status`` is 200, 206 or 416; ``start`` the position of its first byte in the file, None where it is not said.
    """

    def __init__(
        self,
        url: str,
        response: http.client.HTTPResponse,
        stop: threading.Event,
        release: Callable[[], None],
        close: Callable[[], None],
    ):
        self.url, self.status = url, response.status
        self._response, self._stop, self._release, self._close = response, stop, release, close
        said = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        self.start = 0 if self.status == 200 else int(said[1]) if said else None

    def chunks(self) -> Iterator[bytes]:
        """The bytes, as they come.

        Raises
        ------
        Unavailable
            When the connection ends before the last one.
        """
        expected, received = self._response.length, 0
        while received != expected:
            try:
                # What has come is handed on at once, so that little is lost when this process is killed.
                chunk = self._response.read1(CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise self._lost(f" ({error or type(error).__name__})") from error
            if self._stop.is_set():
                raise Stopped
            if not chunk and expected is not None:
                raise self._lost(f" after {received} of {expected} bytes")
            if not chunk:
                break
            received += len(chunk)
            yield chunk
        self._response.close()  # it was read to its end: its connection can be used again

    def _lost(self, how: str) -> Unavailable:
        return Unavailable(f"{self.url}: the connection was lost{how}", reached=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self._response.isclosed():  # what was not read would be taken for the next answer
            self._close()
        self._release()


class Client:
    """Fetches from one server by several threads, each with its own kept connection.

    Parameters
    ----------
    patience : Patience
        How long the server is waited for.
    say : callable, optional
        Gets a line where a wait is long.
    """

    def __init__(self, patience: Patience = PATIENT, say: Callable[[str], None] | None = None):
        self.patience = patience
        self.stop = threading.Event()
        self.received = 0
        self._say = say
        self._lock = threading.Lock()
        self._at_work: list[http.client.HTTPConnection] = []
        self._idle: dict[tuple[str, str], list[http.client.HTTPConnection]] = defaultdict(list)
        self._not_before = 0.0

    def count(self, n_bytes: int) -> None:
        """Add to ``received``."""
        with self._lock:
            self.received += n_bytes

    def persist(self, attempt: Callable[[], _T], insist: bool = True) -> _T:
        """Call ``attempt`` until it does not raise :class:`Unavailable`, at most ``patience.tries`` times.

        Parameters
        ----------
        attempt : callable
            Its result is returned.
        insist : bool
            Whether a server that cannot be reached is tried again; one that answered always is.
        """
        for failures in range(self.patience.tries):
            self._hold_back()
            try:
                return attempt()
            except Unavailable as error:
                last = failures == self.patience.tries - 1
                if last or not (insist or error.reached) or error.wait_s > self.patience.asked_s:
                    raise
                self._wait(self.patience.first_s * 2**failures * random.uniform(0.5, 1.5), error)
        raise AssertionError("at least one try")

    def _wait(self, seconds: float, error: Unavailable) -> None:
        """Wait before the next try; where the server is busy, all threads do."""
        seconds = max(seconds, error.wait_s)
        until = time.monotonic() + seconds
        with self._lock:
            news = seconds >= 5 and until > self._not_before + 1
            if error.busy:
                self._not_before = max(self._not_before, until)
        if self._say and news:
            self._say(f"{error}; next try in {seconds:.0f} s")
        if not error.busy and self.stop.wait(seconds):
            raise Stopped

    def _hold_back(self) -> None:
        left = self._not_before - time.monotonic()
        if left > 0:  # spread, so that the threads do not come back all at once
            self.stop.wait(left + random.uniform(0, self.patience.first_s))
        if self.stop.is_set():
            raise Stopped

    def read(self, url: str, most: int) -> bytes:
        """The whole content of an address.

        Raises
        ------
        WebError
            When it cannot be had, or is larger than ``most`` bytes.
        """

        def attempt() -> bytes:
            content = bytearray()
            with self.open(url) as body:
                for chunk in body.chunks():
                    content += chunk
                    if len(content) > most:
                        raise WebError(f"{url} is larger than {most} bytes; check the mirror's address")
            return bytes(content)

        return self.persist(attempt, insist=False)

    def open(self, url: str, start: int = 0) -> Body:
        """Ask for an address from byte ``start`` on, once; redirections are followed.

        Raises
        ------
        WebError
            :class:`Missing` or :class:`Unavailable` where it is one of these.
        """
        for _ in range(5):
            parts = web_address(url)
            response, connection = self._ask(parts, start)
            body = Body(url, response, self.stop, lambda c=connection, p=parts: self._release(p, c), connection.close)
            if response.status in (200, 206, 416):
                return body
            with body, contextlib.suppress(OSError, http.client.HTTPException):  # the answer's text is not needed
                response.read(CHUNK)
            place = response.headers.get("Location")
            if response.status not in _REDIRECTS or not place:
                wait_s = _retry_after(response.headers.get("Retry-After", ""))
                raise refused(url, response.status, response.reason, wait_s)
            url = urljoin(url, place)
            if web_address(url).scheme not in ("https", parts.scheme):
                raise WebError(f"{parts.geturl()} leads to {url}, which is not HTTPS; it is not followed")
        raise WebError(f"{url}: the server redirects without end; check the mirror's address")

    def close(self) -> None:
        """End everything: what threads wait for or read ends now."""
        self.stop.set()
        with self._lock:
            for connection in self._at_work:
                if connection.sock is not None:
                    with contextlib.suppress(OSError):  # it may be closed already
                        socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
            for idle in self._idle.values():
                for connection in idle:
                    connection.close()

    def _ask(self, parts: SplitResult, start: int) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection]:
        """Send a request; where a kept connection has gone stale, once more on a new one."""
        key = parts.scheme, parts.netloc
        with self._lock:
            connection = self._idle[key].pop() if self._idle[key] else new_connection(parts)
            self._at_work.append(connection)
        while True:
            kept = connection.sock is not None
            try:
                return self._send(connection, parts, start), connection
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if not kept or isinstance(error, TimeoutError):
                    self._release(parts, connection)
                    raise unreached(parts.netloc, error) from error

    def _send(self, connection: http.client.HTTPConnection, parts: SplitResult, start: int):
        if connection.sock is None:
            connection.timeout = self.patience.connect_s
            connection.connect()
        connection.sock.settimeout(self.patience.silent_s)
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers=headers)
        return connection.getresponse()

    def _release(self, parts: SplitResult, connection: http.client.HTTPConnection) -> None:
        """Keep a connection for the next request."""
        with self._lock:
            self._at_work.remove(connection)
            self._idle[parts.scheme, parts.netloc].append(connection)


def _retry_after(text: str) -> float:
    """Seconds of a ``Retry-After`` header, which is a number or a date; 0 where it says nothing."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 0.0
