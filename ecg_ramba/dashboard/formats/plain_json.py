"""JSON recordings, in the form that the project's served models take.

``{"leads": "I,II", "rate": 500, "signal": [[0.01, …], [0.02, …]]}``, in millivolts unless ``"units"`` says uV or V;
``leads`` may be a list, ``null`` is a sample that was not recorded, and ``{"dataframe_records": [{…}]}`` may be around.
"""

import json
from pathlib import Path

import numpy as np

from ecg_ramba.dashboard.formats.reading import FormatError, Reading, checked_channels, checked_rate

FORM = '{"leads": "I,II", "rate": 500, "signal": [[0.01, …], [0.02, …]]} in millivolts'
KNOWN = ("leads", "rate", "signal", "units", "name")


def read_json_recording(path: Path) -> Reading:
    """Read a recording.

    Raises
    ------
    FormatError
        If it is not of that form.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except RecursionError:
        raise FormatError("it is JSON nested too deep to be a recording") from None
    except ValueError as error:
        raise FormatError(f"it begins like JSON and is damaged ({error})") from None
    if isinstance(content, dict) and "dataframe_records" in content:
        content = content["dataframe_records"]
    if isinstance(content, list) and content and all(isinstance(one, dict) for one in content):
        if len(content) > 1:
            raise FormatError(f"it holds {len(content)} recordings; send a file for each")
        (content,) = content
    if not isinstance(content, dict) or "signal" not in content:
        raise FormatError(f"it is JSON, but no recording; the form is {FORM}")
    signal, names = _signal(content["signal"]), _names(content)
    checked_channels(len(signal), "its signal")
    if names and len(names) != len(signal):
        raise FormatError(f"it names {len(names)} leads, and its signal has {len(signal)} rows (leads by samples)")
    rate = content.get("rate")
    if isinstance(rate, bool):
        raise FormatError("its rate is no number of samples a second")
    units = content.get("units", "mV")
    if not isinstance(units, str):
        raise FormatError("its units are no text; use mV, uV or V")
    others = [str(key)[:30] for key in content if key not in KNOWN]
    notes = [] if "units" in content else ["no units stated: millivolts, as the form has it"]
    if others:
        notes.append(f"not used: {', '.join(others[:10])}")
    return Reading(
        format="JSON",
        signal=signal,
        names=tuple(names or [""] * len(signal)),
        units=(units,) * len(signal),
        rate=None if rate is None else checked_rate(rate, "its rate"),
        notes=tuple(notes),
    )


def _signal(rows) -> np.ndarray:
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
        raise FormatError("its signal is no list of lists (leads by samples)")
    lengths = sorted({len(row) for row in rows})
    if len(lengths) > 1:
        raise FormatError(f"its leads differ in length: {lengths[0]} to {lengths[-1]} samples")
    try:
        return np.array([np.array(row, dtype=np.float64) for row in rows])
    except (TypeError, ValueError, OverflowError):
        raise FormatError("its signal holds something other than numbers and null") from None


def _names(content: dict) -> list[str]:
    leads = content.get("leads")
    if leads is None:
        return []
    if isinstance(leads, str):
        return [name.strip() for name in leads.split(",")]
    if isinstance(leads, list) and all(isinstance(name, str) for name in leads):
        return leads
    raise FormatError('its leads are no names; write "I,II" or ["I", "II"]')
