"""A page of headings, paragraphs, tables and figures, as Markdown and as one HTML file that needs no other."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecg_ramba.markdown import markdown_table


@dataclass(frozen=True)
class Heading:
    """A section's title."""

    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table; its first column is text, the others stand to the right."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Figure:
    """A PNG file below the page's folder, and what it shows."""

    file: str
    caption: str


Part = Heading | Text | Table | Figure

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 1100px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.7rem } h2 { font-size: 1.3rem; margin-top: 2.2rem }
table { border-collapse: collapse; font-size: .88rem; margin: 1rem 0; display: block; overflow-x: auto }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #ddd; vertical-align: top }
th:first-child, td:first-child { text-align: left }
figure { margin: 1rem 0 } img { max-width: 100% } figcaption { font-size: .85rem; color: #555 }
"""


def as_markdown(title: str, parts: Sequence[Part]) -> str:
    """The page as Markdown; figures by their file names."""
    lines = [f"# {title}"]
    for part in parts:
        match part:
            case Heading(text):
                lines.append(f"## {text}")
            case Text(text):
                lines.append(text)
            case Table(header, rows):
                lines.append(markdown_table(header, rows))
            case Figure(file, caption):
                lines.append(f"![{caption}]({file})\n\n*{caption}*")
    return "\n\n".join(lines) + "\n"


def as_html(title: str, parts: Sequence[Part], folder: Path) -> str:
    """The page as one HTML file: the figures, which lie below ``folder``, are within."""
    body = [f"<h1>{html.escape(title)}</h1>"]
    for part in parts:
        match part:
            case Heading(text):
                body.append(f"<h2>{html.escape(text)}</h2>")
            case Text(text):
                body.append(f"<p>{html.escape(text)}</p>")
            case Table(header, rows):
                body.append(_table(header, rows))
            case Figure(file, caption):
                content = base64.b64encode((folder / file).read_bytes()).decode()
                shown = html.escape(caption)
                image = f'<img alt="{shown}" src="data:image/png;base64,{content}">'
                body.append(f"<figure>{image}<figcaption>{shown}</figcaption></figure>")
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(body) + "\n</body></html>\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(tag: str, values: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(v))}</{tag}>" for v in values) + "</tr>"

    return "<table>" + line("th", header) + "\n".join(line("td", row) for row in rows) + "</table>"
