"""The table of weights of the PhysioNet/CinC Challenge 2021, read from the user's copy: none is part of this suite.

The published ``weights.csv`` (physionetchallenges/evaluation-2021) heads its rows and columns with SNOMED codes,
``a|b`` for a class of two; of its 26 classes this suite has 24.
"""

import csv
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_ramba.data.labels import PAPER27, label_space, snomed_labels
from ecg_ramba.errors import UserError, first_line

SINUS = "SNR"
_CODES = re.compile(r"\d+(\|\d+)*")


@dataclass(frozen=True)
class Weights:
    """The challenge's table of weights.

    Parameters
    ----------
    file : str
        Its name, without folder.
    sha256 : str
        Of its bytes (hex).
    names : tuple of K str
        Its classes by this suite's names; by their codes where the suite has no such class.
    members : tuple of K frozenset of str
        Those of the 27 classes that each stands for; empty where there is none.
    values : (K, K) float64 array
        Row: label, column: output.
    """

    file: str
    sha256: str
    names: tuple[str, ...]
    members: tuple[frozenset[str], ...]
    values: np.ndarray


def read_weights(path: Path, sha256: str = "") -> Weights:
    """The published ``weights.csv``; what the challenges score as one diagnosis becomes one class.

    Parameters
    ----------
    path : Path
        SNOMED codes head its rows and columns; ``a|b`` is one class of two codes.
    sha256 : str
        What the file must still be, if given.

    Raises
    ------
    UserError
        If the file is missing, is not the one that ``sha256`` names, or is no such table.
    """
    try:
        content = path.read_bytes()
        table = [[cell.strip() for cell in row] for row in csv.reader(content.decode("utf-8-sig").splitlines())]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else first_line(error)
        raise UserError(
            f"{path}: the challenge's weights cannot be read ({why}); name them with --challenge-weights FILE, or "
            "leave the score out with --challenge-weights none"
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if sha256 and found != sha256:
        raise UserError(
            f"{path}: the challenge's weights have changed since the last report; put the file back (SHA-256 "
            f"{sha256[:16]}), or name the new one with --challenge-weights FILE"
        )
    try:
        names, members, values = _merged(*_parsed([row for row in table if any(row)]))
    except ValueError as error:
        raise UserError(f"{path}: {error}; take the challenge's weights.csv as it is published") from None
    return Weights(path.name, found, names, members, values)


def _parsed(table: list[list[str]]) -> tuple[list[str], np.ndarray]:
    """Headings and values; ValueError says what is wrong."""
    if len(table) < 2:
        raise ValueError("it holds no table of weights")
    heads, size = table[0][1:], len(table) - 1
    if any(len(row) != size + 1 for row in table):
        width = next(len(row) - 1 for row in table if len(row) != size + 1)
        raise ValueError(f"its table is not square: {size} rows, and one of {width} columns")
    wrong = next((h for h in heads if not _CODES.fullmatch(h)), None)
    if wrong is not None:
        raise ValueError(f"{wrong!r} heads a column, and is no SNOMED code")
    if [row[0] for row in table[1:]] != heads:
        raise ValueError("its rows and columns are not the same classes in the same order")
    codes = [code for head in heads for code in head.split("|")]
    doubled = next((c for c in codes if codes.count(c) > 1), None)
    if doubled:
        raise ValueError(f"the code {doubled} stands in it twice")
    values = np.array([[_number(cell) for cell in row[1:]] for row in table[1:]])
    if not np.isfinite(values).all():
        i, j = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(f"the weight of {heads[i]} and {heads[j]} is {table[i + 1][j + 1]!r}, no number")
    return heads, values


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan


def _merged(heads: list[str], values: np.ndarray) -> tuple[tuple[str, ...], tuple[frozenset[str], ...], np.ndarray]:
    """Names, members and values of the classes, equivalent ones once."""
    space = label_space("merged24")
    classes = [space.merge(snomed_labels(head.split("|"))) for head in heads]
    kept: list[int] = []
    for i, own in enumerate(classes):
        same = next((j for j in kept if classes[j] & own), None)
        if same is None:
            kept.append(i)
        elif classes[same] != own:
            raise ValueError(f"{heads[same]} and {heads[i]} share a diagnosis")
        elif (values[i] != values[same]).any() or (values[:, i] != values[:, same]).any():
            raise ValueError(f"{heads[same]} and {heads[i]} are one diagnosis with different weights")
    if {SINUS} not in classes:
        raise ValueError("sinus rhythm (426783006) is no class of its own in it")
    names = tuple("|".join(c for c in PAPER27 if c in classes[i]) or heads[i] for i in kept)
    members = tuple(frozenset(c for c in PAPER27 if space.merge([c]) <= classes[i]) for i in kept)
    return names, members, values[np.ix_(kept, kept)]
