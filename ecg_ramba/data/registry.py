"""Which data sets there are, and where below a folder their files lie.

Data sets are found through the entry points of the group ``ecg_ramba.datasets``, this project's own included; each
names a tuple of :class:`ecg_ramba.data.base.DataSet`.
"""

import os
import re
import warnings
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

from ecg_ramba.data.base import DataSet, walk
from ecg_ramba.errors import PlugInWarning, UserError, first_line, unknown_name

GROUP = "ecg_ramba.datasets"
_DEPTH = 5
_VERSION = re.compile(r"v?\d+(\.\d+)+")
_SIGNAL_FOLDERS = {"wfdbrecords", "records100", "records500"}


def datasets() -> dict[str, DataSet]:
    """All registered data sets by name.

    A plug-in that cannot be imported is left out with a warning.

    Raises
    ------
    UserError
        When two data sets have one name.
    """
    found: dict[str, DataSet] = {}
    points = {(p.name, p.value): p for p in entry_points(group=GROUP)}
    for _, point in sorted(points.items()):
        try:
            members = tuple(point.load())
            wrong = next((type(m).__name__ for m in members if not isinstance(m, DataSet)), "")
            if wrong:
                raise TypeError(f"it holds a {wrong}, a tuple of DataSet is needed")
        except (Exception, SystemExit) as error:  # noqa: BLE001  a plug-in's module may fail in any way
            why = first_line(error)
            said = f"data sets of {point.value} are left out, it cannot be imported: {why}"
            warnings.warn(said, PlugInWarning, stacklevel=2)
            continue
        for dataset in members:
            if dataset.name in found and found[dataset.name] is not dataset:
                raise UserError(f"two data sets are called {dataset.name!r} (one in {point.value}); rename one")
            found[dataset.name] = dataset
    return found


def dataset(name: str) -> DataSet:
    """The registered data set of that name.

    Raises
    ------
    UserError
        When there is none; the message names the nearest.
    """
    return _choose(datasets(), name)


def _choose(known: dict[str, DataSet], name: str) -> DataSet:
    if name not in known:
        raise unknown_name("data set", name, known)
    return known[name]


def locate(data_dir: Path, names: Sequence[str] | None = None) -> dict[str, Path]:
    """Folders of data sets below (or at) a folder.

    Parameters
    ----------
    data_dir : Path
        Holds the data sets' folders under any of their names (the publisher's long ones, the challenge's, short
        ones), at most five deep, or is itself such a folder.
    names : sequence of str, optional
        Data sets wanted; each must be there. Default: all that are there, without views such as ``chapman-ningbo``.

    Returns
    -------
    dict of str to Path
        Data set name -> the folder to pass to its ``find``.

    Raises
    ------
    UserError
        For an unknown name; when the folder is missing, or holds none of a wanted data set's records: the message
        says what was looked for and what was found.
    """
    data_dir = Path(data_dir).expanduser()
    known = datasets()
    wanted = [_choose(known, n) for n in names] if names is not None else [d for d in known.values() if not d.view_of]
    folders = _folders(data_dir)
    places = {d.name: _place(d, data_dir, folders) for d in wanted}
    if names is None and not any(places.values()):
        # No folder has a known name: perhaps this folder holds the records of one data set.
        places = {d.name: data_dir if d.find(data_dir) else None for d in wanted}
    elif names is not None:
        for d in wanted:
            if places[d.name] is None and d.find(data_dir):
                places[d.name] = data_dir
    missing = [d for d in wanted if places[d.name] is None]
    if names is not None and missing:
        raise UserError(_not_found(missing[0], data_dir, folders))
    found = {name: place for name, place in places.items() if place is not None}
    if not found and (archives := sorted(path.name for path in data_dir.glob("*.zip"))):
        raise UserError(
            f"{data_dir} holds archives: unpack {', '.join(archives)} first: "
            f"ecg-ramba data unpack {data_dir}/*.zip --to {data_dir}"
        )
    if not found:
        raise UserError(
            f"{data_dir} holds none of the data sets {', '.join(d.name for d in wanted)}: found {_listing(data_dir)}; "
            "give the folder that holds theirs, or one of theirs"
        )
    return found


def _folders(data_dir: Path) -> list[Path]:
    """``data_dir`` and the folders below it, shallow ones first; signal folders are not entered."""
    try:
        if not data_dir.is_dir():
            kind = "is a file, not a folder" if data_dir.exists() else "is not there"
            raise UserError(f"{data_dir} {kind}; give the folder that holds the data sets")
        os.listdir(data_dir)
    except OSError as error:
        raise UserError(f"{data_dir} cannot be read: {error.strerror}") from None
    found = [data_dir]
    for here, subfolders, _ in walk(data_dir):
        found += [here / d for d in subfolders]
        deep = len(here.relative_to(data_dir).parts) + 1 >= _DEPTH
        subfolders[:] = [] if deep else [d for d in subfolders if d.lower() not in _SIGNAL_FOLDERS]
    return sorted(found, key=lambda p: len(p.parts))


def plain_name(folder: str) -> str:
    """A folder's name without case, version and the difference between ``-`` and ``_``."""
    return re.sub(r"-v?\d+(\.\d+)+$", "", folder.lower().replace("_", "-"))


def _named(dataset: DataSet, folders: list[Path]) -> list[Path]:
    """Folders with one of a data set's names, in the order of the names, each followed by its version folders."""
    by_name: dict[str, list[Path]] = {}
    children: dict[Path, set[str]] = {}
    for folder in folders:
        plain = plain_name(folder.resolve().name if folder.name in ("", ".", "..") else folder.name)
        by_name.setdefault(plain, []).append(folder)
        children.setdefault(folder.parent, set()).add(plain)
    named = []
    for alias in dataset.folders:
        if "+" in alias:
            parts = {plain_name(part) for part in alias.split("+")}
            named += [folder for folder in folders if parts <= children.get(folder, set())]
            continue
        for folder in by_name.get(plain_name(alias), []):
            named.append(folder)
            named += [f for f in reversed(folders) if f.parent == folder and _VERSION.fullmatch(f.name)]
    return list(dict.fromkeys(named))


def _place(dataset: DataSet, data_dir: Path, folders: list[Path]) -> Path | None:
    """The first folder of a data set's name that holds its records, ``data_dir`` itself before the others."""
    named = sorted(_named(dataset, folders), key=lambda folder: folder != data_dir)
    return next((folder for folder in named if dataset.find(folder)), None)


def _not_found(dataset: DataSet, data_dir: Path, folders: list[Path]) -> str:
    names = ", ".join(n.replace("+", " beside ") for n in dataset.folders)
    there = _named(dataset, folders)
    if there:
        return (
            f"{there[0]} holds no recordings of {dataset.name}: looked for {dataset.layout}; "
            f"found {_listing(there[0])}; check that it is unpacked whole"
        )
    return (
        f"{data_dir} holds no recordings of {dataset.name}: looked for {dataset.layout}, in a folder named {names}; "
        f"found {_listing(data_dir)}; give the folder that holds them"
    )


def _listing(folder: Path, most: int = 8) -> str:
    """What a folder holds, in a few words."""
    entries = sorted(os.listdir(folder))
    if not entries:
        return "nothing, it is empty"
    rest = f" and {len(entries) - most} more" if len(entries) > most else ""
    return ", ".join(entries[:most]) + rest
