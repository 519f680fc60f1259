"""What a file says of itself, before anything is assumed or asked."""

from dataclasses import dataclass, replace

import numpy as np

from ecg_ramba.errors import UserError

MOST_CHANNELS = 64
"""No ECG has more; a table with more columns is something else."""


class FormatError(UserError):
    """A file that cannot be read as an ECG: what was understood of it, what could not be done, what to do."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A recording as its file has it.

    Parameters
    ----------
    format : str
        ``WFDB``, ``MATLAB``, ``CSV``, ``JSON``, ``EDF`` or ``DICOM``.
    signal : (channels, samples) float array
        Values in ``units``; NaN where a sample was not recorded.
    names : tuple of str
        Channel names as they stand in the file, "" where there is none.
    units : tuple of str
        Units as they stand in the file, "" where none is stated.
    rate : float or None
        Samples per second; None where the file does not say.
    notes : tuple of str
        What was repaired, left out or taken for granted, each a sentence without its full stop.
    """

    format: str
    signal: np.ndarray
    names: tuple[str, ...]
    units: tuple[str, ...]
    rate: float | None
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        if self.signal.ndim != 2 or not len(self.signal) == len(self.names) == len(self.units):
            raise AssertionError(f"{len(self.names)} names, {len(self.units)} units for {self.signal.shape}")

    def with_notes(self, *notes: str) -> "Reading":
        """The same with further notes."""
        return replace(self, notes=(*self.notes, *notes))


def checked_rate(value: object, where: str) -> float:
    """A rate that a file states, as a number.

    Raises
    ------
    FormatError
        If it is none, or none that an ECG can have.
    """
    try:
        rate = float(value)
    except (TypeError, ValueError, OverflowError):
        raise FormatError(f"{where} is {str(value)[:40]!r}, which is no number of samples a second") from None
    if not 10 <= rate <= 100_000:
        raise FormatError(f"{where} is {rate:g} samples a second, which no ECG has (10 to 100,000 are read)")
    return rate


def checked_channels(count: int, what: str) -> None:
    """Refuse what has too many channels, or none, to be an ECG."""
    if count == 0:
        raise FormatError(f"{what} has no channel")
    if count > MOST_CHANNELS:
        raise FormatError(f"{what} has {count} channels; an ECG has at most {MOST_CHANNELS}")
