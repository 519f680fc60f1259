"""Results at a URL: ``--out s3://BUCKET/runs``, or whatever else fsspec knows, for machines that share no folder.

Every process works in a folder of its machine (:func:`shared_folder`), and the URL holds the same layout. A finished
piece (:func:`ecg_ramba.files.building`) is uploaded, its completion marker last; one that is not complete here is
looked for at the URL and fetched whole, held against the checksums of its marker, before anybody computes it. Paths
below such a folder are :class:`SharedPath`: sent to a worker, wherever it runs, they name the same place below *its*
folder for the URL, so a worker learns the URL from the very paths that it is given.

Where two machines finish the same piece, the first keeps it: an upload begins with a claim in the marker's place, made
by a write that fails if there is something (S3's If-None-Match). Whoever finds a claim waits for the marker that is to
follow, a minute at most, and then takes over: the upload is dead. Nothing at the URL without a whole marker is trusted.

Prepared recordings and the synthetic cohort are not uploaded by themselves: each machine prepares its own from --data,
at about the cost of fetching them. Where workers are on other machines (``Executor.apart``) the run uploads them once,
240 kB for each 10 s, and the workers need no recordings.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ecg_ramba.errors import UserError, first_line
from ecg_ramba.files import MARKER, explained, whole, write_atomic
from ecg_ramba.locks import alone

PAUSES_S = (1.0, 3.0, 8.0)
"""Seconds before a request that failed is tried again; then the job fails."""

PROBE_S = 6.0
"""Seconds that the service has to answer at the start."""

REQUEST_S, BYTES_A_SECOND = 60.0, 1 << 18
"""Seconds that a request may take, and bytes that are sent in each further one."""

CLAIM_S = 60.0
"""Seconds that another machine's claim is waited for."""

AT_ONCE = 8
"""Files of a folder that are sent at once."""

MANIFEST = "manifest.json"
"""What vouches for a run's own folder (:mod:`ecg_ramba.evaluation.manifest`): uploaded after its other files."""

WRITTEN = ".written"
"""Left at the URL by :func:`check_reachable`."""

NOTE = ".shared"
"""In a folder that is known to stand at the URL."""

OWN = (("cache", "prepared"), ("cache", "synthetic"))
"""What each machine makes anew: uploaded only if asked for."""

_urls: dict[str, str] = {}
"""Local folder -> URL, of this process; filled when a path comes into being here, made or received."""


class SharedPath(type(Path())):
    """A path below the local folder of results that are kept at a URL; pickled, it is the same place on any machine."""

    __slots__ = ()

    def __reduce__(self):
        root, url = _place(self)
        return _received, (url, self.relative_to(root).as_posix())


def is_url(text: str) -> bool:
    """Whether ``--out`` names a URL, and no folder."""
    return "://" in text


def shared_folder(url: str) -> SharedPath:
    """This machine's folder for the results at a URL: below ``ECG_RAMBA_CACHE``, else the user's cache."""
    url = url.rstrip("/")
    cache = os.environ.get("ECG_RAMBA_CACHE")
    above = Path(cache) if cache else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ecg-ramba"
    root = SharedPath(above.absolute() / "shared" / hashlib.sha256(url.encode()).hexdigest()[:16])
    _urls[str(root)] = url
    return root


def shown(path: Path) -> str:
    """A path as the user named it: at its URL where it has one."""
    return _target(path) if isinstance(path, SharedPath) else str(path)


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
        store, at = _store(place)
        _make_parents(store, at, lambda: store.pipe_file(at, text))
        return store.cat_file(at)

    try:
        _limited(ask, PROBE_S)
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - services fail in ways of their own; all of them are said in one line
        raise UserError(
            f"--out {_target(folder)} cannot be written ({_reason(error)}); check the URL, the credentials and that "
            "the service runs, or name a folder"
        ) from None


def seen(path: Path) -> bool:
    """Whether a path is there: at its URL if it has one."""
    if not isinstance(path, SharedPath):
        return path.exists()
    store, at = _store(path)
    return bool(_patiently(path, lambda: store.exists(at)))


def complete(folder: SharedPath) -> bool:
    """Whether a piece is complete: here, or at the URL, from where it is then fetched.

    One that is complete here and was not uploaded, since the service or the process stopped in between, is uploaded.
    """
    if whole(folder):
        if not (folder / NOTE).exists() and not _own(folder):
            publish(folder)
        return True
    return _fetch(folder)


def built(folder: SharedPath) -> None:
    """What happens to a piece that has just been finished here."""
    if not _own(folder):
        publish(folder)


def publish(folder: SharedPath) -> None:
    """Upload a complete piece, its marker last; one that is complete there already stays as it is.

    Raises
    ------
    UserError
        If the service fails again and again; the piece is complete here, and uploaded when it is next asked for.
    """
    store, at = _store(folder)
    content = (folder / MARKER).read_bytes()
    names = [n for n in json.loads(content)["files"] if n != NOTE]
    if _claim(folder, content):
        _send(folder, names)
        _patiently(folder, lambda: store.pipe_file(f"{at}/{MARKER}", content))
    with explained(folder):
        (folder / NOTE).touch()


def share(executor: Any, folders: Iterable[Path]) -> None:
    """Upload prepared recordings, if workers on other machines are to read them there."""
    for folder in folders:
        if executor.apart and isinstance(folder, SharedPath) and not (folder / NOTE).exists():
            publish(folder)


def publish_files(folder: Path, last: Sequence[str] = (MANIFEST,)) -> None:
    """Upload a folder of results that may change, all of its files; those named ``last`` after the others.

    Nothing is done for a folder that is only here.
    """
    if not isinstance(folder, SharedPath) or not folder.is_dir():
        return
    names = [p.relative_to(folder).as_posix() for p in sorted(folder.rglob("*")) if p.is_file()]
    names = [n for n in names if not n.rpartition("/")[2].startswith(".")]
    _send(folder, [n for n in names if n not in last])
    for name in last:
        if name in names:
            _send(folder, [name])


def fetch_file(path: Path) -> None:
    """Fetch a single file that is not here, if it stands at the URL."""
    if not isinstance(path, SharedPath) or path.exists():
        return
    store, at = _store(path)
    with contextlib.suppress(FileNotFoundError):
        content = _patiently(path, lambda: store.cat_file(at))
        write_atomic(path, lambda p: p.write_bytes(content))


def _received(url: str, below: str) -> SharedPath:
    """A path that another process sent."""
    return shared_folder(url) / below


def _place(path: SharedPath) -> tuple[str, str]:
    """The local folder that a path lies in, and its URL."""
    for root in (path, *path.parents):
        if str(root) in _urls:
            return str(root), _urls[str(root)]
    raise AssertionError(f"{path} is below no folder of shared results")


def _own(folder: SharedPath) -> bool:
    return folder.relative_to(_place(folder)[0]).parts[:2] in OWN


def _target(path: SharedPath) -> str:
    root, url = _place(path)
    below = path.relative_to(root).as_posix()
    return url if below == "." else f"{url}/{below}"


def _store(path: SharedPath) -> tuple[Any, str]:
    """The file system of a path's URL, and the path in it."""
    import fsspec

    try:
        return fsspec.core.url_to_fs(_target(path), use_listings_cache=False)
    except (ValueError, ImportError) as error:
        raise UserError(f"--out {_target(path)}: {error} (for s3://: pip install -e .[s3])") from None


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, TimeoutError) else first_line(error)


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


def _patiently(path: SharedPath, ask: Callable[[], Any], size: int = 0) -> Any:
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
                    f"{_target(path)}: the service failed {len(PAUSES_S) + 1} times ({_reason(error)}); what is "
                    f"finished is kept in {_place(path)[0]}, and the same command goes on from there"
                ) from error
            time.sleep(pause)


def _make_parents(store, at: str, write: Callable[[], Any]) -> Any:
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


def _send(folder: SharedPath, names: Sequence[str]) -> None:
    """Upload files of a folder, some at once."""
    store, at = _store(folder)

    def send(name: str) -> None:
        here, there = folder / name, f"{at}/{name}"
        put = lambda: store.put_file(str(here), there)  # noqa: E731
        _patiently(here, lambda: _make_parents(store, there, put), here.stat().st_size)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(send, names):
            pass


def _claim(folder: SharedPath, marker: bytes) -> bool:
    """Claim the place of a piece with this marker at the URL; False where a whole one stands there."""
    store, at = _store(folder)
    place, claim = f"{at}/{MARKER}", json.dumps({"claimed": hashlib.sha256(marker).hexdigest()}).encode()
    create = lambda: store.pipe_file(place, claim, mode="create")  # noqa: E731
    began = time.monotonic()
    while True:
        try:
            _patiently(folder, lambda: _make_parents(store, place, create))
            return True
        except FileExistsError:
            pass
        try:
            there = _patiently(folder, lambda: store.cat_file(place))
        except FileNotFoundError:
            continue  # it has just been taken away
        if there == claim:  # this machine's, whose upload was stopped, or of the very same content
            return True
        files = _listed(there)
        if files is not None and _sizes_agree(folder, files):
            return False
        if b'"claimed"' in there and time.monotonic() - began < CLAIM_S:
            time.sleep(min(1.0, CLAIM_S))
            continue
        _patiently(folder, lambda: store.pipe_file(place, claim))
        return True


def _listed(marker: bytes) -> dict | None:
    """The files that a marker names; None for a claim, or one that is damaged."""
    try:
        files = json.loads(marker)["files"]
        return files if all(isinstance(facts["bytes"], int) for facts in files.values()) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _sizes_agree(folder: SharedPath, files: dict) -> bool:
    store, at = _store(folder)
    try:
        return all(
            _patiently(folder, lambda n=name: store.size(f"{at}/{n}")) == facts["bytes"]
            for name, facts in files.items()
        )
    except FileNotFoundError:
        return False


def _fetch(folder: SharedPath) -> bool:
    """Bring a piece that is complete at the URL here; False if there is none."""
    store, at = _store(folder)
    try:
        _patiently(folder, lambda: store.cat_file(f"{at}/{MARKER}"))
    except FileNotFoundError:
        return False
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with alone(folder.with_name(f".{folder.name}.lock"), lambda: None):  # the workers of a machine fetch it once
        if whole(folder):
            return True
        for _ in range(2):  # it may have been replaced in the middle
            with _scratch(folder) as temporary:
                marker = _fetch_into(folder, temporary)
                if marker is None:
                    return False
                if whole(temporary):
                    (temporary / NOTE).touch()
                    os.chmod(temporary, 0o755)
                    shutil.rmtree(folder, ignore_errors=True)
                    os.rename(temporary, folder)
                    return True
    warnings.warn(
        f"{_target(folder)} is damaged (its checksums are not those of its files); it is made again", stacklevel=2
    )
    with contextlib.suppress(FileNotFoundError):
        if _patiently(folder, lambda: store.cat_file(f"{at}/{MARKER}")) == marker:
            _patiently(folder, lambda: store.pipe_file(f"{at}/{MARKER}", b"{}"))
    return False


@contextlib.contextmanager
def _scratch(folder: SharedPath) -> Iterator[Path]:
    with explained(folder):
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp"))
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _fetch_into(folder: SharedPath, temporary: Path) -> bytes | None:
    """Fetch a piece's files; its marker, or None where it is not marked as complete. What is missing stays missing."""
    store, at = _store(folder)
    try:
        marker = _patiently(folder, lambda: store.cat_file(f"{at}/{MARKER}"))
    except FileNotFoundError:
        return None
    files = _listed(marker)
    if files is None or any(Path(n).is_absolute() or ".." in Path(n).parts for n in files):
        return None

    def fetch(name: str) -> None:
        here = temporary / name
        here.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            _patiently(folder, lambda: store.get_file(f"{at}/{name}", str(here)), files[name]["bytes"])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(fetch, files):
            pass
    (temporary / MARKER).write_bytes(marker)
    return marker
