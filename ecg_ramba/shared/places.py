"""Paths of results that are kept at a URL: each lies below this machine's folder for it, and knows its URL."""

import hashlib
import os
from pathlib import Path

_urls: dict[str, str] = {}
"""Local folder -> URL, of this process; filled when a path comes into being here, made or received."""


class SharedPath(type(Path())):
    """A path below the local folder of results that are kept at a URL; pickled, it is the same place on any machine."""

    __slots__ = ()

    def __reduce__(self):
        root, url = located(self)
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
    return url_of(path) if isinstance(path, SharedPath) else str(path)


def located(path: SharedPath) -> tuple[str, str]:
    """The local folder that a path lies in, and its URL."""
    for root in (path, *path.parents):
        if str(root) in _urls:
            return str(root), _urls[str(root)]
    raise AssertionError(f"{path} is below no folder of shared results")


def url_of(path: SharedPath) -> str:
    """A path's own URL."""
    root, url = located(path)
    below = path.relative_to(root).as_posix()
    return url if below == "." else f"{url}/{below}"


def _received(url: str, below: str) -> SharedPath:
    """A path that another process sent."""
    return shared_folder(url) / below
