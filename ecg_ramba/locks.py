"""One process at a time in a folder: a lock that dies with its holder."""

import contextlib
import errno
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ecg_ramba.errors import UserError
from ecg_ramba.files import explained

try:
    import fcntl
except ImportError:  # Windows: there, two runs into one folder are the user's to keep apart
    fcntl = None


@contextlib.contextmanager
def alone(lock: Path, waiting: Callable[[], None], every_s: float = 0.5) -> Iterator[None]:
    """Hold a lock file; whoever finds it held waits. A killed process holds nothing.

    Parameters
    ----------
    lock : Path
        The file, which stays there, empty.
    waiting : callable
        Called once if somebody else holds it.
    every_s : float
        Seconds between two attempts.

    Raises
    ------
    UserError
        If the file cannot be made or locked.
    """
    with explained(lock):
        lock.touch()
    with open(lock, "ab") as file:
        told = False
        while locked(file) is False:
            if not told:
                waiting()
            told = True
            time.sleep(every_s)
        yield


def locked(file) -> bool | None:
    """Take the lock of an open file if nobody has it: True if that was so; None where there are no locks.

    It is held until the file is closed or the process dies.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            return None  # a file system without locks; refusing to work on it would help nobody
        raise UserError(f"cannot lock {file.name}: {error.strerror}; choose another place") from error
    return True
