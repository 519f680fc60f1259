"""Peak resident memory of one job, although several jobs share a worker process."""

import os
import sys
from pathlib import Path

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def start_peak() -> None:
    """Forget the peak so far, where the system can (Linux); elsewhere the peak is that of the process."""
    if os.access(_CLEAR, os.W_OK):
        _CLEAR.write_text("5")


def peak_mb() -> float:
    """Peak resident memory since :func:`start_peak`, MiB."""
    if _STATUS.exists():
        (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
