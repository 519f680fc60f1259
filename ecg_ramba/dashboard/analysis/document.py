"""A recording as a PDF: the ECG to scale, what was measured, what the models say, and how far to trust it.

The first page is ECG paper at 25 mm/s and 10 mm/mV in the file's own units: printed at 100 % on A4 it can be measured
with a ruler. Drawn by matplotlib, as vectors, without any text that could be read as a formula.
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from ecg_ramba import __version__
from ecg_ramba.dashboard.analysis.beats import twelve
from ecg_ramba.data.leads import LEADS
from ecg_ramba.data.record import Record
from ecg_ramba.ecg_paper import GRID, INK, MM_MV, MM_S, ROW_MM, SECONDS, paper, trace
from ecg_ramba.harness.checkpoint import FoldModel

NOTICE = "A research tool, not a medical device."
SYNTHETIC = "SYNTHETIC: the models were trained on synthetic recordings. Their figures say nothing of patients."
LIMITS = (
    "Beats, rates and intervals are found by algorithms and were read by nobody.",
    "Probabilities are outputs of models trained for research; they are not calibrated for any clinic.",
    "A class that the models were not trained on is not denied by its absence here.",
    "Taking a stream away says what these models draw from it, not what causes a finding.",
)

WIDTH, HEIGHT = 297.0, 210.0
"""A4, landscape, in millimetres."""

_LEFT, _TOP = 27.0, 182.0
_RED, _GREY = "#b00020", "#707070"
_BOTTOM, _LINE = 16.0, 4.4


def write_pdf(
    path: Path, record: Record, name: str, measurements: Mapping, prediction: Mapping | None, facts: Mapping
) -> None:
    """Write the document.

    Parameters
    ----------
    path : Path
    record : Record
        Its first ten seconds are drawn.
    name : str
        As shown above the ECG.
    measurements : mapping
        As :func:`ecg_ramba.dashboard.analysis.measurements.measure` gives it, with its warnings.
    prediction : mapping, optional
        As :meth:`ecg_ramba.dashboard.analysis.inference.Inference.json` gives it.
    facts : mapping
        What else is to be said of the recording, printed as ``key: value``.
    """
    import matplotlib
    from matplotlib.backends.backend_pdf import PdfPages

    synthetic = bool(prediction and prediction["synthetic"])
    about = {"Title": _plain(name), "Creator": f"ecg-ramba {__version__}", "CreationDate": None}
    # simplified lines would move samples; fonttype 42 keeps text that can be searched
    settings = {"path.simplify": False, "pdf.fonttype": 42, "font.family": ["DejaVu Sans"]}
    with matplotlib.rc_context(settings), PdfPages(path, metadata=about) as pdf:
        warnings = _all_warnings(measurements, prediction)
        pdf.savefig(_ecg_page(record, name, measurements, warnings, synthetic))
        for figure in _text_pages(_lines(record, measurements, prediction, facts, warnings), name, synthetic):
            pdf.savefig(figure)


def report_pdf(path: Path, record: Record, name: str, models: Sequence[FoldModel], facts: Mapping) -> None:
    """Measure, predict and write the document: what ``ecg-ramba predict FILE --pdf OUT`` does."""
    from ecg_ramba.dashboard.analysis.inference import infer
    from ecg_ramba.dashboard.analysis.measurements import measure
    from ecg_ramba.dashboard.analysis.warnings import quality_warnings
    from ecg_ramba.files import write_atomic

    measured = measure(record) | {"warnings": quality_warnings(record)}
    prediction = infer(models, record).json()
    write_atomic(path, lambda p: write_pdf(p, record, name, measured, prediction, facts))


def _all_warnings(measurements: Mapping, prediction: Mapping | None) -> list[dict]:
    found = [*measurements["warnings"]]
    found += [w for w in (prediction["warnings"] if prediction else []) if w not in found]
    return found


def _page():
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / 25.4, HEIGHT / 25.4))
    FigureCanvasPdf(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(0, HEIGHT)
    axes.axis("off")
    return figure, axes


def _say(axes, x: float, y: float, text: str, size: float = 8, color: str = INK, **more) -> None:
    axes.text(x, y, _plain(text), fontsize=size, color=color, parse_math=False, **more)


def _plain(text: str) -> str:
    """Printable characters that the font has; what else a name holds becomes a question mark."""
    return "".join(c if c.isprintable() and ord(c) < 0x2500 else "?" for c in str(text))


def _margins(axes, name: str, synthetic: bool) -> None:
    _say(axes, _LEFT - 14, HEIGHT - 12, name if len(name) <= 90 else f"{name[:89]}…", 11, weight="bold")
    if synthetic:
        _say(axes, _LEFT - 14, HEIGHT - 18, SYNTHETIC, 9, _RED, weight="bold")
    _say(axes, _LEFT - 14, 8, NOTICE, 9, weight="bold")
    _say(axes, WIDTH - 13, 8, f"ecg-ramba {__version__}", 7, _GREY, ha="right")


def _ecg_page(record: Record, name: str, measurements: Mapping, warnings: list[dict], synthetic: bool):
    figure, axes = _page()
    _margins(axes, name, synthetic)
    strip = figure.add_axes((0, 0, 1, 1))
    strip.set_xlim(-_LEFT, WIDTH - _LEFT)
    strip.set_ylim(-_TOP, HEIGHT - _TOP)
    strip.axis("off")
    rows = [*GRID, (measurements["rhythm_lead"] or "II",)]
    width, height = SECONDS * MM_S, len(rows) * ROW_MM
    paper(strip, width, height)
    units = "10 mm/mV" if record.units == "mV" else "10 mm/SD, standardised by somebody else: not in millivolts"
    shown = f"first {min(SECONDS, record.seconds):g} s of {record.seconds:.1f} s, {record.rate:g} samples/s"
    _say(strip, width, 2.5, f"25 mm/s   {units}   {shown}, as recorded, without filter", ha="right")
    rate = measurements["heart_rate"]["mean"]
    _say(strip, 0, 2.5, "heart rate not measurable" if rate is None else f"{rate:.0f} beats/min", 9, weight="bold")
    whole, status = _drawn(record)
    for number, names in enumerate(rows):
        zero = -(number + 0.5) * ROW_MM
        _pulse(strip, zero)
        share = SECONDS / len(names)
        for place, lead in enumerate(names):
            left = place * share * MM_S
            said = {"derived": " (from I, II)", "missing": ": not recorded", "dead": ": flat"}.get(status[lead], "")
            color = {"measured": INK, "derived": _GREY}.get(status[lead], _RED)
            _say(strip, left + 1, zero + ROW_MM / 2 - 4, lead + said, color=color)
            strip.vlines(left, zero - ROW_MM / 2 + 8, zero + ROW_MM / 2 - 8, color=INK, linewidth=0.3)
            if status[lead] != "missing":
                trace(strip, whole, lead, place * share, share, left, zero)
    y = _TOP - height - 6
    grave = [w["text"] for w in warnings if w["severity"] == "warning"]
    for line in _wrapped([f"! {text}" for text in grave], 150)[:7]:
        _say(axes, _LEFT, y, line, 8, _RED)
        y -= _LINE
    return figure


def _drawn(record: Record) -> tuple[Record, dict[str, str]]:
    """The first seconds with all twelve leads, and each lead's status."""
    samples = int(SECONDS * record.rate) + 1
    signal, _ = twelve(first := dataclasses.replace(record, signal=record.signal[:, :samples]))
    status = dict(zip(LEADS, twelve(record)[1], strict=True)) if record.seconds < 60 else None
    status = status or dict(zip(LEADS, twelve(first)[1], strict=True))
    return dataclasses.replace(record, signal=signal, leads=LEADS), status


def _pulse(axes, zero: float) -> None:
    """The calibration pulse: 1 mV for 0.2 s, left of the grid."""
    left, high = -9.0, MM_MV
    x = [left, left + 1.5, left + 1.5, left + 6.5, left + 6.5, left + 8]
    axes.plot(x, [zero, zero, zero + high, zero + high, zero, zero], color=INK, linewidth=0.6, gid="calibration")


def _lines(record, measurements, prediction, facts, warnings) -> list[tuple[str, str]]:
    """(style, text) of everything that is said in words; styles: head, text, table, red."""
    said = [("head", "Warnings")]
    texts = [(("red" if w["severity"] == "warning" else "text"), w["text"]) for w in warnings]
    said += texts or [("text", "None of the rules found anything.")]
    said += _measured_lines(measurements)
    if prediction is None:
        said += [("head", "Prediction"), ("text", "None: no models were loaded, or they could not read the recording.")]
    else:
        said += _predicted_lines(prediction)
    said.append(("head", "Recording"))
    said += [("text", line) for line in _fact_lines(facts)]
    said.append(("text", f"signal SHA-256 {record.signal_digest}"))
    said += [("head", "Limits"), *(("text", text) for text in LIMITS)]
    return said


def _fact_lines(facts: Mapping, before: str = "") -> list[str]:
    """``key: value``, of facts within facts ``key, key: value``; what is empty or None is left out."""
    lines = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            lines += _fact_lines(value, f"{before}{key}, ")
        elif value or value == 0:
            lines += [f"{before}{key}: {', '.join(map(str, value)) if isinstance(value, list | tuple) else value}"]
    return lines


def _measured_lines(measured: Mapping) -> list[tuple[str, str]]:
    rr = measured["rr"]
    said = [("head", f"Measurements (beats of lead {measured['rhythm_lead'] or 'none'})")]
    rate = measured["heart_rate"]
    cells = ("heart rate", _number(rate["mean"]), "beats/min", f"{_number(rate['min'])} to {_number(rate['max'])}")
    said.append(("table", _cells(cells)))
    cells = ("RR", _number(rr["mean_ms"]), "ms", f"{rr['count']} intervals, SD {_number(rr['sd_ms'])}")
    said.append(("table", _cells(cells)))
    for row in measured["intervals"]:
        more = row["why"] or f"{row['beats']} beats, interquartile range {_number(row['spread'])} ms"
        said.append(("table", _cells((row["name"], _number(row["value"]), row["unit"], more))))
    lead = measured["delineation"]["lead"]
    said.append(("text", f"Intervals: lead {lead or 'none'}; {measured['delineation']['method']}."))
    said.append(("head", "Heart-rate variability"))
    for row in measured["hrv"]:
        if row["value"] is not None:
            said.append(("table", _cells((row["name"], f"{row['value']:.4g}", row["unit"], ""))))
    notes = list(dict.fromkeys(row["note"] for row in measured["hrv"]))
    return said + [("text", f"{note[0].upper()}{note[1:]}.") for note in notes]


def _predicted_lines(prediction: Mapping) -> list[tuple[str, str]]:
    model = prediction["model"]
    said = [("head", f"Probabilities: {model['name']}, {model['folds']} fold models, {prediction['pooling']}")]
    known = [c for c in prediction["classes"] if c["probability"] is not None]
    for row in sorted(known, key=lambda c: -c["probability"]):
        more = f"folds {row['fold_min']:.3f} to {row['fold_max']:.3f}" + ("  above threshold" * row["positive"])
        said.append(("table", _cells((row["class"], f"{row['probability']:.3f}", "", f"{row['title']}; {more}"))))
    if untrained := [c["class"] for c in prediction["classes"] if c["probability"] is None]:
        said.append(("text", f"Not trained (too few subjects): {', '.join(untrained)}."))
    said.append(("text", f"Threshold {model['threshold']:g}."))
    said.append(("head", "Groups"))
    for row in prediction["groups"]:
        value = "not given" if row["probability"] is None else f"{row['probability']:.3f}"
        said.append(("table", _cells((row["group"], value, "", f"from {', '.join(row['from'])}"))))
    said.append(("text", prediction["rule"]))
    said += _stream_lines(prediction["streams"], [c["class"] for c in sorted(known, key=lambda c: -c["probability"])])
    said += [("text", note) for note in prediction["notes"]]
    trained = f"Trained on {model['trained_on']}" + (" (SYNTHETIC)" if prediction["synthetic"] else "")
    return [*said, ("text", f"{trained}; models SHA-256 {model['digest']}")]


def _stream_lines(streams: list[dict] | None, classes: list[str]) -> list[tuple[str, str]]:
    said = [("head", "What each stream does: change of the probability when it is taken away")]
    if not streams:
        return [*said, ("text", "The models read no stream that can be taken away.")]
    for row in streams:
        changes = ", ".join(f"{c} {row['change'][c]:+.3f}" for c in classes[:6] if c in row["change"])
        said.append(("text", f"{row['title']}: {changes} ({row['how']})"))
    return said


def _cells(cells: Sequence[str]) -> str:
    return "\t".join(cells)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _wrapped(texts: Sequence[str], width: int) -> list[str]:
    return [line for text in texts for line in textwrap.wrap(text, width) or [""]]


def _text_pages(said: list[tuple[str, str]], name: str, synthetic: bool):
    """Pages of two columns."""
    column, y, axes = 2, 0.0, None
    left, figure = _LEFT - 14, None
    for style, text in said:
        rows = [text] if style in ("head", "table") else _wrapped([text], 88)
        if style == "table":
            *cells, last = text.split("\t")
            rows = [(*cells, part) for part in (textwrap.wrap(last, 54) or [""])]
            rows[1:] = [("", "", "", row[-1]) for row in rows[1:]]
        needed = len(rows) * _LINE + (3 * _LINE if style == "head" else 0)
        if y - needed < _BOTTOM:
            column, y = column + 1, HEIGHT - 26
            if column > 1:
                if figure is not None:
                    yield figure
                figure, axes = _page()
                _margins(axes, name, synthetic)
                column = 0
            left = _LEFT - 14 + column * 137
        if style == "head":
            y -= 0.6 * _LINE
            _say(axes, left, y, textwrap.shorten(text, 80), 9, weight="bold")
            y -= 1.1 * _LINE
            continue
        for row in rows:
            if style == "table":
                for at, cell, align in zip((0, 43, 44, 62), row, ("left", "right", "left", "left"), strict=True):
                    _say(axes, left + at, y, cell, 7, ha=align)
            else:
                _say(axes, left, y, row, 7, _RED if style == "red" else INK)
            y -= _LINE
    if figure is not None:
        yield figure
