"""Filtered leads: computed when somebody looks, whole, in a limited process, and kept with the recording."""

import threading
from pathlib import Path

from ecg_ramba.dashboard.levels import read_lead, write_lead
from ecg_ramba.dashboard.limited import call

FILTERS = ("off", "0.05-150", "0.5-40")
NOTCHES = ("off", "50", "60")

_BUSY = threading.BoundedSemaphore(2)
"""Leads filtered at a time: a page asks for twelve at once, and each takes memory."""


def filtered_lead(here, folder: Path, facts: dict, lead: str, filter: str, notch: str) -> Path:
    """The file of a filtered lead, which is made if it is not there."""
    path = folder / f"{lead}_{filter}_{notch}.lead"
    with _BUSY:
        if not path.is_file():
            arguments = {"source": str(folder / f"{lead}.lead"), "to": str(path), "samples": facts["samples"]}
            arguments |= {"rate": facts["rate"], "filter": filter, "notch": notch}
            call("ecg_ramba.dashboard.filtering:write_filtered", arguments, here.settings.reader)
    return path


def write_filtered(source: str, to: str, samples: int, rate: float, filter: str, notch: str) -> None:
    """Filter a lead, forward and backward, from file to file: runs in a limited process."""
    from ecg_ramba.dashboard.analysis.filters import filtered

    values = read_lead(Path(source), samples)
    write_lead(Path(to), filtered(values[None], rate, filter, notch)[0])
