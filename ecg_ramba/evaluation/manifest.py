"""Digests of everything that a run stored and its report is made of: ``manifest.json``, a SHA-256 for each file."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ecg_ramba.errors import UserError
from ecg_ramba.files import read_json, sha256_file, write_json

MANIFEST = "manifest.json"
NEEDED = ("suite.json", "variants.json", "tasks.json", "labels.parquet")
"""Files without which nothing can be evaluated."""
FURTHER = ("splits.json", "records.parquet", "cells.json")
"""Files that an older run, or one of trained models, may lack."""


@dataclass(frozen=True)
class Digests:
    """A run's files held against its manifest.

    ``sha256``: of the manifest itself, which thereby names the whole run; ``files``: how many it lists; ``problems``:
    what is not as it says, one line each.
    """

    sha256: str
    files: int
    problems: tuple[str, ...]


def stored_files(folder: Path) -> list[str]:
    """What a manifest lists: the run's own files and each finished variant's windows, relative to its folder.

    Raises
    ------
    UserError
        If variants.json is missing or damaged.
    """
    place = folder / "variants.json"
    rows = read_json(place)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{place} is damaged (no list of variants); run the suite again")
    windows = {str(row["windows"]) for row in rows if row.get("status") == "ok" and row.get("windows")}
    return [*NEEDED, *(name for name in FURTHER if (folder / name).is_file()), *sorted(windows)]


def write_manifest(folder: Path) -> Path:
    """Write ``manifest.json``; the last thing that a run does before its report.

    Parameters
    ----------
    folder : Path
        A run's: ``runs/suites/KEY`` or ``runs/evaluations/KEY``.

    Returns
    -------
    Path
        The manifest.

    Raises
    ------
    UserError
        If a file that it must list is not there, or the manifest cannot be written.
    """
    folder, files = Path(folder), {}
    for name in stored_files(folder):
        try:
            files[name] = {"bytes": (folder / name).stat().st_size, "sha256": sha256_file(folder / name)}
        except OSError as error:
            raise UserError(f"{folder / name} cannot be read ({error.strerror}); run the suite again") from None
    write_json(folder / MANIFEST, {"files": files})
    return folder / MANIFEST


def check_manifest(folder: Path) -> Digests | None:
    """Hold a run's files against its manifest; None where it has none.

    Raises
    ------
    UserError
        If the manifest is damaged, or names a file outside of the run.
    """
    place = folder / MANIFEST
    if not place.is_file():
        return None
    files = _listed(place)
    problems = [problem for name, facts in files.items() if (problem := _problem(folder, name, facts))]
    there = stored_files(folder) if (folder / "variants.json").is_file() else NEEDED
    problems += [f"{name} is not in {MANIFEST}" for name in there if name not in files]
    return Digests(sha256_file(place), len(files), tuple(problems))


def _listed(place: Path) -> dict[str, dict]:
    content = read_json(place)
    files = content.get("files") if isinstance(content, dict) else None
    if not isinstance(files, dict):
        raise UserError(f"{place} is damaged (it lists no files); take the run as it was published, or run it again")
    for name, facts in files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise UserError(f"{place} names {name!r}, which is outside of the run; it is not one of this suite's")
        if not isinstance(facts, dict) or {"bytes", "sha256"} - set(facts):
            raise UserError(f"{place} is damaged ({name} has no size or digest); take it as it was published")
    return files


def _problem(folder: Path, name: str, facts: dict) -> str:
    """What is wrong with a file; "" where nothing is."""
    path = folder / name
    if not path.is_file():
        return f"{name} is not there"
    size = path.stat().st_size
    if size != facts["bytes"]:
        return f"{name} has {size} bytes, {MANIFEST} says {facts['bytes']}"
    found = sha256_file(path)
    return "" if found == facts["sha256"] else f"{name} has SHA-256 {found}, {MANIFEST} says {facts['sha256']}"
