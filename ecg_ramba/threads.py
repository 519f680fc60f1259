"""Numba and torch in one process: the threading layer and the lock that keep them apart.

Numba's OpenMP layer nests its thread pool inside torch's, after which training slows down by an order of magnitude.
The ``workqueue`` layer has a pool of its own and removes that, but it aborts the interpreter when two threads launch a
parallel kernel at once; hence one lock for the whole process.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

_LOCK = threading.RLock()


def use_workqueue() -> None:
    """Choose numba's ``workqueue`` threading layer; call before numba's first parallel kernel, as often as you like.

    A layer that the environment variable ``NUMBA_THREADING_LAYER`` names already is left as it is.
    """
    layer = os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")
    numba = sys.modules.get("numba")
    if numba is not None:  # imported by someone else: it read the environment before we set it
        numba.config.THREADING_LAYER = layer


@contextlib.contextmanager
def numba_section() -> Iterator[None]:
    """Hold the process-wide lock around a numba transform, with the threading layer chosen."""
    with _LOCK:
        use_workqueue()
        yield
