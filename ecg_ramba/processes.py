"""What every worker process does first."""

import os
import signal
import threading
import time


def begin_worker() -> None:
    """Leave Ctrl-C to the parent, and end soon after it: a killed parent leaves no orphan at work."""
    # Ctrl-C reaches the whole process group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
