"""Filters for looking at a signal: zero phase, named by their band; never applied to what the models read.

Band-passes are Butterworth filters of second order run forward and backward (``sosfiltfilt``), so that waves stay where
they are: attenuation at the named edges is 6 dB. The lower edge of 0.05 Hz is the diagnostic one, 0.5 Hz that of
monitors: run in both directions it moves no ST segment by phase, but takes slow parts of it away all the same
(Kligfield et al. 2007, JACC 49:1109).
"""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, iirnotch, sosfiltfilt, tf2sos

from ecg_ramba.errors import UserError

FILTERS: dict[str, tuple[float, float] | None] = {"off": None, "0.05-150": (0.05, 150.0), "0.5-40": (0.5, 40.0)}
"""Pass bands in Hz."""

NOTCHES: dict[str, float | None] = {"off": None, "50": 50.0, "60": 60.0}
"""Mains frequencies in Hz."""

ORDER = 2
QUALITY = 30.0
"""Of the notch: its centre over its width at 3 dB, run once; so 50 Hz takes 49.2 to 50.8 Hz."""


def available(rate: float) -> tuple[list[str], list[str]]:
    """Names of the filters and notches that a sampling rate can hold.

    A band whose upper edge the rate cannot hold is a high-pass then (what is above is not in the signal), as long as
    its lower edge is held; a notch needs its frequency well inside.
    """
    filters = [n for n, band in FILTERS.items() if band is None or rate > 10 * band[0]]
    return filters, [n for n, hertz in NOTCHES.items() if hertz is None or hertz < 0.45 * rate]


def sections(rate: float, filter: str, notch: str) -> np.ndarray | None:
    """Second-order sections of both filters, (sections, 6); None for none.

    Raises
    ------
    UserError
        For an unknown name, or one that the rate cannot hold.
    """
    for name, known, what in ((filter, FILTERS, "filter"), (notch, NOTCHES, "notch")):
        if name not in known:
            raise UserError(f"no {what} is called {name!r}; there are: {', '.join(known)}")
    filters, notches = available(rate)
    if filter not in filters or notch not in notches:
        what = f"the filter {filter} Hz" if filter not in filters else f"a notch at {notch} Hz"
        raise UserError(f"{rate:g} samples per second cannot hold {what}")
    made = []
    if band := FILTERS[filter]:
        low, high = band
        if high < 0.45 * rate:
            made.append(butter(ORDER, [low, high], "bandpass", fs=rate, output="sos"))
        else:
            made.append(butter(ORDER, low, "highpass", fs=rate, output="sos"))
    if hertz := NOTCHES[notch]:
        made.append(tf2sos(*iirnotch(hertz, QUALITY, fs=rate)))
    return np.concatenate(made) if made else None


def filtered(signal: np.ndarray, rate: float, filter: str, notch: str) -> np.ndarray:
    """The signal filtered for display, same shape and dtype.

    Parameters
    ----------
    signal : (leads, samples) array
        Samples that are not numbers stay so; they are bridged by straight lines for the filter.
    rate : float
    filter : {"off", "0.05-150", "0.5-40"}
    notch : {"off", "50", "60"}
    """
    signal = np.asarray(signal)
    sos = sections(rate, filter, notch)
    if sos is None or not signal.shape[-1]:
        return signal.copy()
    # the slowest pole needs about a second per 0.5 Hz to settle; padding is mirrored signal
    low = FILTERS[filter][0] if FILTERS[filter] else 1.0
    pad = min(signal.shape[-1] - 1, int(3 * rate / max(low, 0.1)))
    out = np.empty_like(signal)
    for i, row in enumerate(signal):
        known = np.isfinite(row)
        if not known.any():
            out[i] = row
            continue
        whole = row.astype(np.float64)
        if not known.all():
            whole = np.interp(np.arange(len(row)), np.flatnonzero(known), whole[known])
        out[i] = np.where(known, sosfiltfilt(sos, whole, padlen=pad), np.nan)
    return out
