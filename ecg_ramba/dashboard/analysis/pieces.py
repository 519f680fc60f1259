"""Recordings of hours, a piece in memory at a time.

A recording up to :data:`WHOLE_SECONDS` is one piece, prepared exactly as ``ecg-ramba predict`` does. A longer one
is cut at multiples of it, and each piece is filtered and scaled as a recording of its own: windows are where they would
be, while a lead's mean and standard deviation are those of the piece.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ecg_ramba.data.record import Record
from ecg_ramba.data.store import Prepared, prepared_from_record
from ecg_ramba.errors import RecordError
from ecg_ramba.harness.inputs import WindowTable, window_table
from ecg_ramba.signal import SEGMENT, WINDOW, SignalConfig, window_starts

WHOLE_SECONDS = 1800
"""Longest piece, but for a tail of less than 5 s, which goes with the piece before it. A whole number of segments."""

_SHORTEST = 5.0


@dataclass(frozen=True)
class Piece:
    """A stretch of a recording.

    Parameters
    ----------
    record : Record
        The stretch alone.
    start : float
        Seconds from the recording's first sample.
    windows : int
        Windows of 5 s in it.
    first : int
        Number of its first window in the recording.
    """

    record: Record
    start: float
    windows: int
    first: int

    def prepared(self, config: SignalConfig) -> tuple[Prepared, WindowTable]:
        """Its segments and windows."""
        data = prepared_from_record(self.record, config)
        return data, window_table(data)


def pieces(record: Record, config: SignalConfig) -> Iterator[Piece]:
    """The pieces that can be read, in order.

    A piece of a long recording in which a lead has samples that are not numbers, or every lead is flat, is left out:
    compare ``start`` and ``windows`` with the recording's length. Of a short recording nothing is left out.
    """
    bounds = piece_bounds(record)
    if len(bounds) == 1:
        yield Piece(record, 0.0, _windows_in(record, config), 0)
        return
    first = 0
    for begin, end in bounds:
        signal = record.signal[:, begin:end]
        if not np.isfinite(signal).all() or not (np.ptp(signal, axis=1) > 0).any():
            continue
        part = dataclasses.replace(record, signal=signal)
        count = _windows_in(part, config)
        yield Piece(part, begin / record.rate, count, first)
        first += count


def piece_bounds(record: Record) -> list[tuple[int, int]]:
    """First and one past the last sample of each piece."""
    samples = record.signal.shape[1]
    starts = [round(i * WHOLE_SECONDS * record.rate) for i in range(int(record.seconds // WHOLE_SECONDS) + 1)]
    if len(starts) > 1 and (samples - starts[-1]) / record.rate < _SHORTEST:
        starts.pop()
    return list(zip(starts, [*starts[1:], samples], strict=True))


def piece_of_window(record: Record, config: SignalConfig, window: int) -> Piece:
    """The piece that holds a window, by the window's number.

    Raises
    ------
    RecordError
        If there is no such window.
    """
    count = 0
    for piece in pieces(record, config):
        count = piece.first + piece.windows
        if piece.first <= window < count:
            return piece
    raise RecordError(record.record, f"there is no window {window}; its {count} windows count from 0")


def _windows_in(record: Record, config: SignalConfig) -> int:
    """Windows that :func:`ecg_ramba.harness.inputs.window_table` finds, from the length alone."""
    from fractions import Fraction

    ratio = Fraction(config.rate).limit_denominator(1000) / Fraction(record.rate).limit_denominator(1000)
    samples = -(-record.signal.shape[1] * ratio.numerator // ratio.denominator)  # as resample_poly rounds
    whole, tail = divmod(samples, SEGMENT)
    return whole * len(window_starts(SEGMENT)) + (len(window_starts(tail)) if tail >= WINDOW else 0)
