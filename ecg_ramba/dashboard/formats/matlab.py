"""MATLAB files of version 4, 5 and 6 to 7.2, by scipy: numbers and text only, no code, no objects.

Read are a matrix of samples, as a variable or as a field of a structure (CPSC-2018 has ``ECG.data``), and beside it
what is called like a rate, units or lead names.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ecg_ramba.dashboard.formats.reading import MOST_CHANNELS, FormatError, Reading, checked_channels, checked_rate

RATE_NAMES = frozenset(
    ("fs", "rate", "freq", "frequency", "sfreq", "srate", "samplingrate", "samplerate", "samplefrequency", "hz")
)
UNIT_NAMES = frozenset(("units", "unit"))
LEAD_NAMES = frozenset(("leads", "lead", "leadnames", "labels", "channels", "channelnames", "names", "signames"))

DEEPEST = 3
MOST_VALUES = 2000
"""Fields and variables that are looked at; a file that holds more is not a recording."""


def read_matlab(path: Path) -> Reading:
    """Read a recording.

    Raises
    ------
    FormatError
        If it is damaged, holds functions or objects, or no matrix that could be an ECG.
    """
    values = list(_values(_loaded(path)))
    where, signal = _signal(values)
    notes = [f"the samples are the variable {where}"]
    rate = next((_number(v) for name, v in values if _plain(name) in RATE_NAMES and _number(v) is not None), None)
    units = next((text for name, v in values if _plain(name) in UNIT_NAMES and (text := _texts(v))), [])
    named = [_texts(v) for name, v in values if _plain(name) in LEAD_NAMES]
    names = next((texts for texts in named if len(texts) == len(signal)), [""] * len(signal))
    if len(units) not in (1, len(signal)):
        units = [""]
    return Reading(
        format="MATLAB",
        signal=signal,
        names=tuple(names),
        units=tuple(units * len(signal) if len(units) == 1 else units),
        rate=None if rate is None else checked_rate(rate, "the rate in it"),
        notes=tuple(notes),
    )


def _loaded(path: Path) -> dict:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        return loadmat(path, struct_as_record=True, chars_as_strings=True, verify_compressed_data_integrity=True)
    except NotImplementedError:
        raise FormatError("it is a MATLAB v7.3 (HDF5) file, which is not read; save it with save(…, '-v7')") from None
    except (MatReadError, zlib.error, ValueError, TypeError, LookupError, EOFError, OSError, OverflowError) as error:
        raise FormatError(f"it is named .mat and is no MATLAB file that can be read ({error})") from None


def _values(loaded: dict) -> Iterator[tuple[str, np.ndarray]]:
    """Every array of the file with its name, structures opened; refuses what is more than numbers and text."""
    from scipy.io.matlab import MatlabFunction, MatlabObject, MatlabOpaque

    found = 0
    waiting = [(name, value, 0) for name, value in loaded.items() if not name.startswith("__")]
    while waiting:
        name, value, depth = waiting.pop(0)
        found += 1
        if found > MOST_VALUES:
            raise FormatError(f"it holds more than {MOST_VALUES} variables and fields: no recording")
        if isinstance(value, (MatlabFunction, MatlabObject, MatlabOpaque)):
            raise FormatError(f"its variable {name[:40]!r} is a MATLAB function or object: refused; save numbers only")
        if not isinstance(value, np.ndarray):
            continue
        if value.dtype.names is not None or value.dtype == object:
            if depth == DEEPEST:
                continue
            if value.dtype == object and _all_text(value):
                yield name, value
                continue
            fields = value.dtype.names or ("",)
            for element in value.ravel()[:100]:
                for field in fields:
                    inner = element[field] if field else element
                    waiting.append((f"{name}.{field}" if field else name, inner, depth + 1))
        else:
            yield name, value


def _all_text(value: np.ndarray) -> bool:
    return all(isinstance(one, str) or (isinstance(one, np.ndarray) and one.dtype.kind == "U") for one in value.flat)


def _signal(values: list) -> tuple[str, np.ndarray]:
    """The largest matrix of numbers that is much longer than it is wide; leads as rows."""
    matrices = []
    for name, value in values:
        if value.dtype.kind not in "iuf" or value.size < 2:
            continue
        shape = tuple(n for n in value.shape if n != 1)
        if len(shape) == 1 and shape[0] > MOST_CHANNELS:
            matrices.append((name, value.reshape(1, -1)))
        elif len(shape) == 2 and min(shape) <= MOST_CHANNELS < max(shape):
            matrix = value.reshape(shape)
            matrices.append((name, matrix if shape[0] < shape[1] else matrix.T))
    if not matrices:
        shapes = ", ".join(f"{name[:40]} {'x'.join(map(str, v.shape))}" for name, v in values[:10])
        raise FormatError(
            f"it holds no matrix of at most {MOST_CHANNELS} leads by more samples; it holds {shapes or 'no variable'}"
        )
    name, matrix = max(matrices, key=lambda found: found[1].size)
    same = [n for n, m in matrices if m.size == matrix.size]
    if len(same) > 1:
        raise FormatError(f"it holds several matrices that may be the ECG ({', '.join(same[:5])}); save one alone")
    checked_channels(len(matrix), name)
    return name, matrix.astype(np.float64 if matrix.dtype.itemsize > 4 else np.float32)


def _plain(name: str) -> str:
    return "".join(c for c in name.rpartition(".")[2].lower() if c.isalpha())


def _number(value: np.ndarray) -> float | None:
    if value.dtype.kind in "iuf" and value.size == 1:
        return float(value.ravel()[0])
    return None


def _texts(value: np.ndarray) -> list[str]:
    """Texts of a char array or of a cell array of them; one with commas is taken apart."""
    if value.dtype.kind == "U":
        texts = [str(text).strip() for text in value.ravel()]
    elif value.dtype == object:
        texts = ["".join(map(str, np.ravel(one))).strip() for one in value.ravel()]
    else:
        return []
    if len(texts) == 1 and "," in texts[0]:
        texts = [text.strip() for text in texts[0].split(",")]
    return texts
