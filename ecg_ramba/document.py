"""A report as data: sections of text, tables and figures, which Markdown, HTML, CSV and LaTeX are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Drawing


@dataclass(frozen=True)
class Text:
    """Paragraphs and lists, in the Markdown that reports use: ``**bold**``, ``*italic*``, ```code```, ``- item``."""

    markdown: str


@dataclass(frozen=True)
class Table:
    """A table to read.

    Parameters
    ----------
    name : str
        Stem of its LaTeX file, unique in the document.
    caption : str
        What it shows, over what; says synthetic where it is.
    header : list of str
    rows : list of list of str
        Cells as printed.
    """

    name: str
    caption: str
    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Figure:
    """A figure; ``draw`` makes it, so that nothing is drawn that no output wants.

    ``name`` is the stem of its files, unique in the document; ``caption`` says what it shows to somebody who cannot
    see it.
    """

    name: str
    caption: str
    draw: Callable[[], Drawing] = field(repr=False)


@dataclass(frozen=True)
class Picture:
    """A figure that was drawn before: its PNG."""

    name: str
    caption: str
    file: Path


@dataclass(frozen=True)
class Section:
    """A heading and what is below it.

    Parameters
    ----------
    title : str
    parts : tuple of Text, Table, Figure, Picture or Section
        A section within a section is one level lower.
    frames : dict of str to DataFrame
        File stem -> the numbers behind it, unrounded, for CSV.
    """

    title: str
    parts: tuple[Text | Table | Figure | Picture | Section, ...]
    frames: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False)


def walk(sections: tuple[Section, ...], level: int = 2) -> Iterator[tuple[int, Section]]:
    """Every section with the level of its heading, in reading order."""
    for section in sections:
        yield level, section
        yield from walk(tuple(p for p in section.parts if isinstance(p, Section)), level + 1)
