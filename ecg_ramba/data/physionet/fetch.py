"""One file: resumed where it was left, checked, and only then given its name."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from ecg_ramba.data.physionet.web import Client
from ecg_ramba.data.physionet.web_errors import WebError
from ecg_ramba.errors import UserError
from ecg_ramba.files import explained, sha256_file


class DiskFull(UserError):
    """No space is left where the files go."""


class WrongBytes(WebError):
    """What the server sends is not what the publisher's checksum says."""


@contextlib.contextmanager
def disk(path: Path) -> Iterator[None]:
    """Tell a full disk from what else the operating system refuses."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"{path}: no space is left on this disk") from error
        with explained(path):
            raise


def fetch(client: Client, url: str, target: Path, sha256: str) -> int | None:
    """Bring a file to its place.

    Parameters
    ----------
    client : Client
        Asks the server.
    url : str
        Where the file is.
    target : Path
        Where it goes; ``NAME.part`` beside it holds what came so far, now or in an earlier run.
    sha256 : str
        The checksum (hex) that it must have.

    Returns
    -------
    int or None
        Its bytes; None where it was there already.

    Raises
    ------
    WebError
        When the server does not have it or does not give it.
    WrongBytes
        When its checksum is wrong twice.
    DiskFull
        When it does not fit.
    """
    part = target.with_name(f"{target.name}.part")
    with disk(target):
        if target.is_file() and sha256_file(target) == sha256:
            return None
        target.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(2):
        client.persist(lambda: _continue(client, url, part, sha256))
        with disk(part):
            if sha256_file(part) == sha256:
                size = part.stat().st_size
                os.replace(part, target)
                return size
            part.unlink()
    raise WrongBytes(f"{url}: its bytes are not those of the publisher's checksum, twice; try another mirror, or later")


def _continue(client: Client, url: str, part: Path, sha256: str) -> None:
    """Ask for what is missing of a partial file and append it; start over where the server does not continue it."""
    with disk(part):
        start = part.stat().st_size if part.exists() else 0
    if start:
        if _append(client, url, part, start):
            return
        with disk(part):
            # It may be whole: a run can be stopped between a file's last byte and its name.
            if sha256_file(part) == sha256:
                return
            part.unlink()
    if not _append(client, url, part, 0):
        raise WebError(f"{url}: the server answers with a part where the whole was asked for; try another mirror")


def _append(client: Client, url: str, part: Path, start: int) -> bool:
    """Write what the server sends from byte ``start`` on, or the whole file where it sends that; False for neither."""
    with client.open(url, start) as body:
        if body.start is None or body.start not in (0, start) or body.status == 416:
            return False
        with disk(part), open(part, "ab" if body.start else "wb") as file:
            for chunk in body.chunks():
                file.write(chunk)
                file.flush()
                client.count(len(chunk))
    return True
