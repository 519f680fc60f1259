"""EDF, EDF+ and BDF recordings, by pyEDFlib."""

import os
import tempfile
from pathlib import Path

import numpy as np

from ecg_ramba.dashboard.formats.leads import lead_of
from ecg_ramba.dashboard.formats.reading import FormatError, Reading, checked_channels, checked_rate
from ecg_ramba.dashboard.formats.units import unit_of


def read_edf(path: Path) -> Reading:
    """Read a recording; of a file with other signals too, those that are named as leads.

    Raises
    ------
    FormatError
        If it is damaged, is in pieces (EDF+D), or its leads differ in rate.
    """
    import pyedflib

    _refuse_pieces(path)
    # The library wants the ending that the format has, and writes what it thinks to the terminal.
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        ending = ".bdf" if path.open("rb").read(1) == b"\xff" else ".edf"
        link = Path(scratch) / f"recording{ending}"
        os.link(path, link)
        try:
            file = pyedflib.EdfReader(str(link), pyedflib.DO_NOT_READ_ANNOTATIONS, pyedflib.CHECK_FILE_SIZE)
        except (OSError, ValueError) as error:
            said = str(error).replace(f"{link}: ", "")[:200]
            raise FormatError(f"it begins as EDF, but: {said}") from None
        try:
            return _read(file, path.stat().st_size)
        finally:
            file.close()


def _refuse_pieces(path: Path) -> None:
    """Refuse EDF+D: its records do not follow one another, and would be drawn and measured as if they did."""
    with open(path, "rb") as file:
        header = file.read(256)
    if header[192:197] not in (b"EDF+D", b"BDF+D"):
        return
    signals, records = (text.decode("ascii", "replace").strip() for text in (header[252:256], header[236:244]))
    raise FormatError(
        f"it is an {header[192:197].decode()} file: {signals} signals in {records} records with gaps of time between "
        "them, which is not read; export it without gaps (EDF+C), or each piece by itself"
    )


def _read(file, size: int) -> Reading:
    channels = range(file.signals_in_file)
    checked_channels(len(channels), "the EDF file")
    names = [file.getLabel(i).strip() for i in channels]
    units = [file.getPhysicalDimension(i).strip() for i in channels]
    rates = [float(file.getSampleFrequency(i)) for i in channels]
    chosen = [i for i in channels if lead_of(names[i])]
    notes = []
    if not chosen:
        chosen = [i for i in channels if unit_of(units[i]) and not _is_other(names[i])]
    if not chosen:
        raise FormatError(f"none of its signals is an ECG lead: {', '.join(names[:20])}")
    others = [names[i] for i in channels if i not in chosen]
    if others:
        notes.append(f"signals that are no leads are left out: {', '.join(others[:20])}")
    if len({rates[i] for i in chosen}) > 1:
        said = ", ".join(f"{names[i]} {rates[i]:g}" for i in chosen)
        raise FormatError(f"its leads have different rates ({said}), which is not read; resample them to one")
    stated = [int(n) for n in file.getNSamples()]
    if any(n < 0 for n in stated) or sum(stated) > 2 * size:
        raise FormatError(f"its header says {sum(stated)} samples, and it has {size} bytes: it is cut short")
    signal = np.stack([file.readSignal(i).astype(np.float32) for i in chosen])
    return Reading(
        format="EDF",
        signal=signal,
        names=tuple(names[i] for i in chosen),
        units=tuple(units[i] for i in chosen),
        rate=checked_rate(rates[chosen[0]], "the file's rate"),
        notes=tuple(notes),
    )


def _is_other(name: str) -> bool:
    """Whether a label says that a signal is something else than an ECG (EDF+'s standard texts)."""
    kinds = (
        "eeg",
        "emg",
        "eog",
        "erg",
        "meg",
        "mcg",
        "resp",
        "temp",
        "sao2",
        "spo2",
        "light",
        "sound",
        "event",
        "body",
    )
    return name.lower().startswith(kinds)
