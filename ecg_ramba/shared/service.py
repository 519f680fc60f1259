"""Requests to the service behind a URL: each has a time limit, is tried again a few times, then fails in one line."""

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ecg_ramba.errors import UserError, first_line
from ecg_ramba.shared.places import SharedPath, located, url_of

PAUSES_S = (1.0, 3.0, 8.0)
"""Seconds before a request that failed is tried again; then the job fails."""

PROBE_S = 6.0
"""Seconds that the service has to answer at the start."""

REQUEST_S, BYTES_A_SECOND = 60.0, 1 << 18
"""Seconds that a request may take, and bytes that are sent in each further one."""

AT_ONCE = 8
"""Files of a folder that are sent at once."""

WRITTEN = ".written"
"""Left at the URL by :func:`check_reachable`."""


def check_reachable(folder: SharedPath) -> None:
    """Write a file at the URL, which stays there, and read it again.

    Raises
    ------
    UserError
        If that fails, or takes longer than :data:`PROBE_S`.
    """
    place = folder / WRITTEN
    text = uuid.uuid4().hex.encode()

    def ask() -> bytes:
        store, at = store_of(place)
        with_parents(store, at, lambda: store.pipe_file(at, text))
        return store.cat_file(at)

    try:
        _limited(ask, PROBE_S)
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - services fail in ways of their own; all of them are said in one line
        raise UserError(
            f"--out {url_of(folder)} cannot be written ({_reason(error)}); check the URL, the credentials and that "
            "the service runs, or name a folder"
        ) from None


def seen(path: Path) -> bool:
    """Whether a path is there: at its URL if it has one."""
    if not isinstance(path, SharedPath):
        return path.exists()
    store, at = store_of(path)
    return bool(patiently(path, lambda: store.exists(at)))


def store_of(path: SharedPath) -> tuple[Any, str]:
    """The file system of a path's URL, and the path in it."""
    import fsspec

    try:
        return fsspec.core.url_to_fs(url_of(path), use_listings_cache=False)
    except (ValueError, ImportError) as error:
        raise UserError(f"--out {url_of(path)}: {error} (for s3://: pip install -e .[s3])") from None


def patiently(path: SharedPath, ask: Callable[[], Any], size: int = 0) -> Any:
    """What ``ask`` returns, tried again a few times; what is not there, or is there already, is no failure.

    Raises
    ------
    FileNotFoundError, FileExistsError
        As ``ask`` raises them.
    UserError
        If it fails each time.
    """
    for pause in (*PAUSES_S, None):
        try:
            return _limited(ask, REQUEST_S + size / BYTES_A_SECOND)
        except (FileNotFoundError, FileExistsError, UserError):
            raise
        except Exception as error:  # services fail in ways of their own
            if pause is None:
                raise UserError(
                    f"{url_of(path)}: the service failed {len(PAUSES_S) + 1} times ({_reason(error)}); what is "
                    f"finished is kept in {located(path)[0]}, and the same command goes on from there"
                ) from error
            time.sleep(pause)


def _limited(ask: Callable[[], Any], seconds: float) -> Any:
    """What ``ask`` returns, unless it takes too long: libraries wait for minutes for a service that hangs."""
    found: list = []

    def run() -> None:
        try:
            found.append((ask(), None))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            found.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    value, error = found[0]
    if error is not None:
        raise error
    return value


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, TimeoutError) else first_line(error)


def with_parents(store, at: str, write: Callable[[], Any]) -> Any:
    """Write, and where the file system wants folders make them first; never a bucket, the first part of a path."""
    try:
        return write()
    except FileNotFoundError:
        parts = at.split("/")[:-1]
        for end in range(2, len(parts) + 1):
            if not store.exists(above := "/".join(parts[:end])):
                with contextlib.suppress(FileExistsError):
                    store.mkdir(above, create_parents=False)
        return write()


def send(folder: SharedPath, names: Sequence[str]) -> None:
    """Upload files of a folder, some at once."""
    store, at = store_of(folder)

    def send(name: str) -> None:
        here, there = folder / name, f"{at}/{name}"
        put = lambda: store.put_file(str(here), there)  # noqa: E731
        patiently(here, lambda: with_parents(store, there, put), here.stat().st_size)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(send, names):
            pass
