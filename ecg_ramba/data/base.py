"""What a data set is: a name, the folders it is known under, and three thin methods.

To add one, subclass :class:`DataSet` (or make an instance of a reader that fits, for example
:class:`ecg_ramba.data.snomed.SnomedDataSet`), put it in a ``DATASETS`` tuple and name that tuple under the entry
point ``ecg_ramba.datasets``.
"""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from ecg_ramba.data.labels import annotated_classes
from ecg_ramba.data.record import Quality, Record
from ecg_ramba.errors import UserError

MAX_DEPTH = 6
"""How many folders deep records are looked for; no publisher's layout is deeper."""


class DataSet(ABC):
    """A data set: where its records are and how one is read.

    Parameters
    ----------
    name : str
        Short name, unique over all registered data sets, for example ``georgia``.
    title : str
        Full title.
    publisher : str
        Whose records these are: part of a record's identity, shared by copies in other forms.
    licence, citation : str
        As the publisher states them.
    folders : tuple of str
        Folder names it is known under; case, ``-``/``_`` and a trailing version (``-1.0.3``) do not matter.
    pattern : str
        Regular expression that a record's whole name (the header's file name without ``.hea``) matches.
    layout : str
        What its folder holds, in words, for error messages.
    synthetic : bool
        Made by this project, not measured on anybody.
    view_of : str
        Name of the data set this one is a part of ("" where it is none). Views are left out unless asked for by name.
    annotated : mapping of hospital to classes, optional
        Which of the 27 classes the publisher annotates. Default: ``labels.toml``, by name and hospital.
    """

    def __init__(
        self,
        *,
        name: str,
        title: str,
        publisher: str,
        licence: str,
        citation: str,
        folders: tuple[str, ...],
        pattern: str,
        layout: str,
        synthetic: bool = False,
        view_of: str = "",
        annotated: Mapping[str, Iterable[str]] | None = None,
    ):
        self.name = name
        self.title = title
        self.publisher = publisher
        self.licence = licence
        self.citation = citation
        self.folders = folders
        self.pattern = re.compile(pattern)
        self.layout = layout
        self.synthetic = synthetic
        self.view_of = view_of
        self._annotated = None if annotated is None else {h: frozenset(c) for h, c in annotated.items()}

    def find(self, root: Path) -> list[Path]:
        """Header files of this data set below ``root``, sorted; empty when the layout is not this data set's."""
        return header_files(root, self.pattern, synthetic=self.synthetic)

    @abstractmethod
    def read(self, header: Path) -> Record:
        """Read one record.

        Raises
        ------
        RecordError
            Naming the file at fault and the cause.
        """

    def annotated(self, hospital: str = "") -> frozenset[str]:
        """Which of the 27 classes (before merging) the publisher annotates at a hospital.

        ``""`` is the data set as a whole: the union of its hospitals.
        """
        if self._annotated is None:
            return annotated_classes(self.name, hospital)
        if hospital in self._annotated:
            return self._annotated[hospital]
        if hospital == "":
            return frozenset().union(*self._annotated.values())
        raise UserError(f"data set {self.name} has no hospital '{hospital}'; it has {sorted(self._annotated)}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


def header_files(root: Path, pattern: re.Pattern[str], *, synthetic: bool = False) -> list[Path]:
    """Header files below ``root`` whose name without ``.hea`` matches ``pattern`` in full, sorted by path.

    Hidden folders are left out, and so are folders named ``synthetic…`` unless they are asked for, so that made-up
    records never enter a real data set by their names.
    """
    root = Path(root)
    found = []
    for here, subfolders, files in walk(root):
        if not synthetic:
            subfolders[:] = [d for d in subfolders if not d.lower().startswith("synthetic")]
        if len(here.relative_to(root).parts) >= MAX_DEPTH:
            subfolders[:] = []
        found += [here / f for f in files if f.endswith(".hea") and pattern.fullmatch(f[:-4])]
    return sorted(found)


def walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """``os.walk`` in sorted order: links followed, each folder once, hidden ones left out.

    As there, removing names from the list of subfolders keeps them from being entered.

    Raises
    ------
    UserError
        For a folder that cannot be listed: what is in it would be left out unsaid.
    """

    def refuse(error: OSError):
        raise UserError(f"{error.filename} cannot be read: {error.strerror}")

    seen = {os.path.realpath(root)}
    for folder, subfolders, files in os.walk(root, onerror=refuse, followlinks=True):
        entered = []
        for name in sorted(subfolders):
            real = os.path.realpath(os.path.join(folder, name))
            if not name.startswith(".") and real not in seen:
                seen.add(real)
                entered.append(name)
        subfolders[:] = entered
        yield Path(folder), subfolders, sorted(files)


def quality_of(signal: np.ndarray, leads: tuple[str, ...], units: str = "mV") -> Quality:
    """What is wrong with a signal: constant leads, the largest deviation from a lead's median, Einthoven's law.

    Parameters
    ----------
    signal : (n_leads, n_samples) array
        Finite values.
    leads : tuple of str
        Names of the rows.
    units : str
        Einthoven's law is of potentials: of another unit nothing is said.
    """
    low, high = signal.min(axis=1), signal.max(axis=1)
    # Partitioning at one index is several times faster than np.median and near enough for a figure of quality.
    middle = np.partition(signal, signal.shape[1] // 2, axis=1)[:, signal.shape[1] // 2]
    dead = tuple(name for name, flat in zip(leads, low == high, strict=True) if flat)
    peak = float(np.maximum(high - middle, middle - low).max())
    law = _einthoven(signal, leads) if units == "mV" else float("nan")
    return Quality(dead_leads=dead, peak_mv=peak, einthoven=law)


def _einthoven(signal: np.ndarray, leads: tuple[str, ...]) -> float:
    """How far lead II is from I + III, constants apart, as a part of lead II; NaN where that cannot be said."""
    if not {"I", "II", "III"} <= set(leads):
        return float("nan")
    i, ii, iii = (signal[row] for row in map(leads.index, ("I", "II", "III")))
    size = float(ii.std(dtype=np.float64))
    return float((i + iii - ii).std(dtype=np.float64)) / size if size else float("nan")


def lone_record(source: str, name: str, signal: np.ndarray, leads: tuple[str, ...], rate: float, **rest) -> Record:
    """A recording of no data set: its own subject, without labels.

    Parameters
    ----------
    source : str
        Where it comes from, such as ``file`` or ``uploaded``.
    name : str
    signal : (leads, samples) float32 array
    leads : tuple of str
    rate : float
    **rest
        Further fields, such as ``units``, or ``quality`` in place of :func:`quality_of` of the signal.
    """
    facts = {"publisher": source, "publisher_id": name, "subject": name, "subject_known": False, "labelled": False}
    if "quality" not in rest:
        rest["quality"] = quality_of(signal, leads, rest.get("units", "mV"))
    return Record(signal=signal, leads=leads, rate=rate, source=source, record=name, **facts, **rest)
