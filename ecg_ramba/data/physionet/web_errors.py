"""What goes wrong between here and a server, each in one line."""

import http.client
import socket
import ssl

from ecg_ramba.errors import UserError

ADVICE = (
    "check the network, set HTTPS_PROXY where a proxy is needed, name a mirror with --mirror, or try again later: "
    "the same command goes on"
)


class Stopped(Exception):
    """A thread was told to stop."""


class WebError(UserError):
    """Something that cannot be had from a server."""


class Missing(WebError):
    """The server does not have the file (404)."""


class Unavailable(WebError):
    """What may work later: the server is busy, the connection was lost or never made.

    Parameters
    ----------
    message : str
        One line.
    reached : bool
        Whether the server was there.
    busy : bool
        Whether it said that it has too much to do.
    wait_s : float
        How long it asks to wait; 0 where it does not say.
    """

    def __init__(self, message: str, reached: bool = False, busy: bool = False, wait_s: float = 0.0):
        super().__init__(message)
        self.reached, self.busy, self.wait_s = reached, busy, wait_s


def refused(url: str, status: int, reason: str, wait_s: float) -> WebError:
    """The error for an HTTP status that is not success."""
    said = f"{url}: the server answers {status} {reason}".rstrip()
    if status in (404, 410):
        return Missing(said)
    if status in (408, 425, 429) or status >= 500:
        later = f" and asks to come back in {wait_s / 60:.0f} min" if wait_s >= 60 else ""
        return Unavailable(said + later, reached=True, busy=status in (429, 503), wait_s=wait_s)
    return WebError(said)


def unreached(server: str, error: Exception) -> WebError:
    """The error for a connection that failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return WebError(
            f"{server}: its certificate is not trusted ({error.verify_message}); check the clock and the address, or "
            "where a proxy opens connections, name its certificate in SSL_CERT_FILE"
        )
    return Unavailable(f"{server}: {_cause(error)}")


def _cause(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "the name cannot be resolved (no network or no such server)"
    if isinstance(error, ConnectionRefusedError):
        return "the connection is refused"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return f"no secure connection ({error.reason or error})"
    if isinstance(error, http.client.RemoteDisconnected | ConnectionError):
        return "the connection was closed without an answer"
    return str(error) or type(error).__name__
