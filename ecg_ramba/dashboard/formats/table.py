"""Tables of samples as text: delimiter, decimal comma, header and time column are found out, and said.

Columns are leads, or rows where there are few of them and they are long. Lines before the table may state a rate or
units (``# rate: 500``, ``Sampling rate;500 Hz``).
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_ramba.dashboard.formats.leads import lead_of
from ecg_ramba.dashboard.formats.reading import MOST_CHANNELS, FormatError, Reading, checked_channels, checked_rate
from ecg_ramba.dashboard.formats.units import unit_of

LOOKED_AT = 1 << 16
"""Bytes at the begin from which the form is told."""

MOST_PREAMBLE = 100
LEAST_LINES = 5
"""So many lines of equally many numbers are a table."""

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|nan|-?inf|null|na|", re.I)
_STATED_RATE = re.compile(
    r"(?:\b(?:sampl\w*|fs|rate|frequency|abtastrate)\b[^0-9]{0,40}?)(\d+(?:[.,]\d+)?)\s*(?:hz|sps|samples|$|[;,\t])",
    re.I,
)
_STATED_UNIT = re.compile(r"\bunits?\b[^a-zµμ]{0,5}([a-zµμ]+)", re.I)
_TIME = re.compile(
    r"^(time|t|zeit|seconds?|sec|timestamps?|elapsed.*)(?![a-z])[\s_(\[]*(ms|s|sec|seconds|us|µs)?[)\]]?", re.I
)
_INDEX = re.compile(r"^(index|sample|samples|sample[ _#]*(no|number|index)?\.?|n|#|i|)$", re.I)
_TIME_UNITS = {"ms": 1e-3, "us": 1e-6, "µs": 1e-6}


@dataclass(frozen=True)
class _Form:
    delimiter: str
    decimal: str
    skip: int
    header: tuple[str, ...]


def read_table(path: Path) -> Reading:
    """Read a recording.

    Raises
    ------
    FormatError
        If it is no table of numbers that could be an ECG.
    """
    with open(path, "rb") as file:
        head = file.read(LOOKED_AT)
    encoding = _encoding(head)
    text = head.decode(encoding, "replace")
    lines = text.splitlines()
    if len(head) == LOOKED_AT:
        lines = lines[:-1] or lines
    form = _form(lines)
    values = _table(path, form, encoding)
    notes = [f"a table of {_said(form.delimiter)}" + (", decimal comma" if form.decimal == "," else "")]
    names = list(form.header)
    rows, columns = values.shape
    if rows <= MOST_CHANNELS < columns:
        values, names = values.T, []
        notes.append("leads are rows")
    elif columns > MOST_CHANNELS:
        raise FormatError(
            f"it is a table of {rows} rows and {columns} columns; an ECG has at most {MOST_CHANNELS} leads"
        )
    if not names:
        names = [""] * values.shape[1]
    preamble = "\n".join(lines[: form.skip])
    values, names, rate = _without_time(values, names, notes)
    stated = _STATED_RATE.search(preamble)
    if stated and rate is None:
        rate = checked_rate(stated[1].replace(",", "."), "the rate above the table")
    checked_channels(values.shape[1], "the table")
    named, units = zip(*(_name_and_unit(name) for name in names), strict=True)
    unit = _STATED_UNIT.search(preamble)
    if unit and unit_of(unit[1]) and not any(units):
        units = (unit[1],) * len(named)
    return Reading(format="CSV", signal=values.T, names=tuple(named), units=tuple(units), rate=rate, notes=tuple(notes))


def _encoding(head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        head[:-4].decode("utf-8-sig")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8-sig"


def _form(lines: list[str]) -> _Form:
    """Delimiter and decimal sign for which most lines are numbers, and how many lines are before them."""
    best, most, columns = None, 0, 0
    for delimiter in ("\t", ";", ",", " "):
        for decimal in (".", ","):
            if delimiter == decimal:
                continue
            first, width, count = _numbers_from(lines, delimiter, decimal)
            # Of two ways to read the same lines, the one that finds more columns, so "1;2,5" is not one number.
            if count and count * width > most:
                best, most, columns = _Form(delimiter, decimal, first, ()), count * width, width
    if best is None:
        raise FormatError(
            "it is a text file without a table of numbers; a CSV has one column a lead, and one row a sample"
        )
    if best.skip > MOST_PREAMBLE:
        raise FormatError(f"its first number comes after {best.skip} lines: no table of samples")
    _refuse_broken_rows(lines[: best.skip], best, columns)
    header: tuple[str, ...] = ()
    if best.skip:
        words = [word.strip().strip("\"'") for word in _split(lines[best.skip - 1].lstrip("# "), best.delimiter)]
        if len(words) == columns and (columns > 1 or lead_of(words[0]) or unit_of(words[0])):
            header = tuple(words)
    if best.delimiter == "," and not header and _may_be_decimals(lines[best.skip :]):
        raise FormatError(
            "it may be one column with decimal commas, or two with commas between; write decimal points, or ; between"
        )
    return _Form(best.delimiter, best.decimal, best.skip, header)


def _refuse_broken_rows(before: list[str], form: _Form, width: int) -> None:
    """Refuse a table whose first rows are damaged: they are no words above it, and would be lost."""
    for i, line in enumerate(before):
        words = _split(line, form.delimiter)
        numbers = sum(_is_number(word.strip(), form.decimal) and word.strip() != "" for word in words)
        if len(words) == width and numbers > width / 2:
            raise FormatError(
                f"line {i + 1} ({line.strip()[:40]!r}) is no row of {width} numbers as those after it are"
            )


def _may_be_decimals(lines: list[str]) -> bool:
    """Whether every line is a whole number, a comma and digits."""
    lines = [line.strip() for line in lines if line.strip()]
    return all(re.fullmatch(r"[-+]?\d+,\d+", line) for line in lines)


def _numbers_from(lines: list[str], delimiter: str, decimal: str) -> tuple[int, int, int]:
    """First line of the table, its width, and how many lines it has: the first run of lines of equally many numbers
    that is no accident, else the longest.
    """
    best = (0, 0, 0)
    first, width, count = 0, 0, 0
    for i, line in enumerate([*lines, "#"]):
        words = [word.strip().strip('"') for word in _split(line, delimiter)]
        filled = [word for word in words if word]
        fits = bool(filled) and all(_is_number(word, decimal) for word in words)
        if fits and count and len(words) == width:
            count += 1
            continue
        if best[2] < LEAST_LINES and count * width > best[1] * best[2]:
            best = (first, width, count)
        first, width, count = i, len(words), int(fits)
    return best


def _split(line: str, delimiter: str) -> list[str]:
    line = line.strip("\r\n")
    return line.split() if delimiter == " " else line.strip(" ").split(delimiter)


def _is_number(word: str, decimal: str) -> bool:
    if decimal == ",":
        if "." in word:
            return False
        word = word.replace(",", ".")
    return _NUMBER.fullmatch(word) is not None


def _table(path: Path, form: _Form, encoding: str) -> np.ndarray:
    """(rows, columns) float64 of the table; cells that are empty are NaN."""
    import pandas as pd

    try:
        with open(path, encoding=encoding, errors="replace", newline=None) as file:
            for _ in range(form.skip):
                file.readline()
            frame = pd.read_csv(
                file,
                sep=r"\s+" if form.delimiter == " " else form.delimiter,
                decimal=form.decimal,
                header=None,
                index_col=False,
                skip_blank_lines=True,
                skipinitialspace=True,
                na_values=["null", "NULL", "na"],
                low_memory=False,
            )
    except (ValueError, pd.errors.ParserError) as error:
        raise FormatError(
            f"it is a table, but not of equally long rows of numbers ({str(error).strip()[:150]})"
        ) from None
    if len(frame.columns) > 1 and frame.iloc[:, -1].isna().all():
        frame = frame.iloc[:, :-1]  # every row ends with a delimiter
    for column in frame.columns:
        if frame[column].dtype.kind not in "iufb":
            wrong = frame[column][pd.to_numeric(frame[column], errors="coerce").isna() & frame[column].notna()]
            at = int(wrong.index[0]) + form.skip + 1 if len(wrong) else form.skip + 1
            shown = str(wrong.iloc[0])[:40] if len(wrong) else "a number too large"
            raise FormatError(f"line {at} of the table has {shown!r} in column {int(column) + 1}, which is no number")
    return frame.to_numpy(dtype=np.float64)


def _without_time(values: np.ndarray, names: list[str], notes: list[str]) -> tuple[np.ndarray, list[str], float | None]:
    """The table without a column that counts time or samples, and the rate that follows from it."""
    if values.shape[1] < 2 or len(values) < 3:
        return values, names, None
    column, name = values[:, 0], names[0]
    steps = np.diff(column)
    step = float(np.median(steps)) if np.isfinite(steps).all() else 0.0
    even = step > 0 and np.abs(steps - step).max() <= 0.6 * step
    time = _TIME.match(name)
    if not even:
        if time:
            raise FormatError(f"its times ({name}) do not rise evenly: samples are missing, or it has parts of its own")
        return values, names, None
    rest = values[:, 1:], names[1:]
    whole = bool(np.all(steps == 1))
    if time is None and (whole or (_INDEX.match(name) and float(step).is_integer())):
        notes.append("its first column counts the samples")
        return *rest, None
    if time is None and name:
        return values, names, None
    # The mean step: single ones are rounded.
    step = float((column[-1] - column[0]) / (len(column) - 1))
    unit = (time[2] or "").lower() if time else ""
    second = _TIME_UNITS.get(unit, 1.0)
    if not unit and step >= 0.5:
        second = 1e-3
    rate = 1 / (step * second)
    near = round(rate)
    if near and abs(rate - near) < 0.002 * rate:
        rate = float(near)
    notes.append(f"its first column is the time in {'ms' if second == 1e-3 else 'us' if second == 1e-6 else 's'}")
    return *rest, checked_rate(rate, "the rate by its times")


def _name_and_unit(text: str) -> tuple[str, str]:
    """``II (mV)`` -> II, mV."""
    match = re.fullmatch(r"(.*?)\s*[\[(]\s*([^\])]+)\s*[\])]\s*", text)
    if match and unit_of(match[2]):
        return match[1], match[2]
    match = re.fullmatch(r"(.+?)[\s_/]+([a-zµμ]{1,2})", text, re.I)
    if match and unit_of(match[2]) and match[2].lower() != "v":
        return match[1], match[2]
    return text, ""


def _said(delimiter: str) -> str:
    return {"\t": "tabs", ";": "semicolons", ",": "commas", " ": "spaces"}[delimiter]
