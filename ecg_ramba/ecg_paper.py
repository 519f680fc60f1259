"""A recording on ECG paper: 25 mm a second, 10 mm a millivolt, three rows of four leads and a rhythm strip below."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecg_ramba.data.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GRID = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
"""Rows of leads, a quarter of the strip each, one after the other in time."""

SECONDS = 10.0
ROW_MM = 30.0
"""Distance between two rows."""

MM_S, MM_MV = 25.0, 10.0
INK = "#1a1a1a"
_THIN, _THICK = "#f4c6c6", "#e29a9a"
_MARGIN = 8.0


def draw(record: Record, path_or_file, title: str = "", start: float = 0.0) -> None:
    """Write :func:`drawing` as a PNG: printed at its own size it is to scale."""
    drawing(record, title, start).savefig(path_or_file, format="png", metadata={"Software": None})


def drawing(record: Record, title: str = "", start: float = 0.0) -> Figure:
    """Ten seconds to scale: at its own size a large square is 5 mm, 0.2 s and 0.5 mV.

    Parameters
    ----------
    record : Record
        In millivolts, or in standard deviations, which the page then says. Leads that are absent stay empty; a lead
        that leaves its row is cut there and marked with an arrow.
    title : str
        A line above.
    start : float
        Seconds from the first sample.
    """
    rows = [*GRID, ("II",)]
    figure, axes = _page(len(rows))
    paper(axes, SECONDS * MM_S, len(rows) * ROW_MM)
    units = "10 mm/mV" if record.units == "mV" else f"10 mm/{record.units}, standardised by somebody else"
    axes.text(0, 2.5, title, fontsize=8, color=INK)
    axes.text(SECONDS * MM_S, 2.5, f"25 mm/s, {units}", fontsize=8, color=INK, ha="right")
    for number, names in enumerate(rows):
        zero = -(number + 0.5) * ROW_MM
        share = SECONDS / len(names)
        for place, name in enumerate(names):
            begin = place * share
            axes.text(begin * MM_S + 1, zero + ROW_MM / 2 - 4, name, fontsize=8, color=INK)
            if name in record.leads:
                trace(axes, record, name, start + begin, share, begin * MM_S, zero)
    return figure


def empty_page(text: str) -> Figure:
    """A page of the same width that only says something."""
    figure, axes = _page(1)
    axes.text(0, -ROW_MM / 2, text, fontsize=8, color=INK)
    return figure


def _page(rows: int):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = SECONDS * MM_S + 2 * _MARGIN, rows * ROW_MM + 2 * _MARGIN
    figure = Figure(figsize=(width / 25.4, height / 25.4), dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-_MARGIN, width - _MARGIN)
    axes.set_ylim(-height + _MARGIN, _MARGIN)
    axes.axis("off")
    return figure, axes


def paper(axes, width: float, height: float) -> None:
    """The grid, 1 mm and 5 mm, from (0, 0) to the right and down; the axes are in millimetres."""
    for step, color, thickness in ((1.0, _THIN, 0.3), (5.0, _THICK, 0.6)):
        axes.vlines(np.arange(0, width + step / 2, step), -height, 0, color=color, linewidth=thickness)
        axes.hlines(-np.arange(0, height + step / 2, step), 0, width, color=color, linewidth=thickness)


def trace(axes, record: Record, name: str, begin: float, seconds: float, left: float, zero: float) -> None:
    """A lead's stretch, around its median; cut at the row's borders, with an arrow where it leaves them."""
    lead = record.signal[record.leads.index(name)]
    first, last = round(begin * record.rate), round((begin + seconds) * record.rate)
    part = (lead[first:last] - np.median(lead)) * MM_MV
    if not len(part):
        return
    x = left + np.arange(len(part)) / record.rate * MM_S
    half = ROW_MM / 2
    axes.plot(x, zero + np.clip(part, -half, half), color=INK, linewidth=0.6)
    for outside, edge, marker in ((part > half, half, "^"), (part < -half, -half, "v")):
        if outside.any():
            axes.plot([x[outside.argmax()]], [zero + edge], marker, color=INK, markersize=3)
