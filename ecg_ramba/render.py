"""A document in files: Markdown, one HTML page that needs no other file, CSV, LaTeX tables, PNG and PDF figures."""

import base64
import html
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from ecg_ramba.document import Figure, Picture, Section, Table, Text, walk
from ecg_ramba.files import read_json, write_atomic, write_json, write_text
from ecg_ramba.markdown import markdown_table
from ecg_ramba.shared.places import SharedPath, shown

TABLES = "tables"
"""Folder of the LaTeX tables, below the document's."""

_STYLE = """
:root { color-scheme: light; --ink: #1a1a1a; --dim: #555; --line: #d9d9d9 }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink) }
body { max-width: 72rem; margin: 1.5rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; line-height: 1.25 } h2 { font-size: 1.3rem; margin-top: 2.4rem } h3 { font-size: 1.1rem }
.banner { border: 2px solid #d55e00; border-left-width: .6rem; padding: .6rem 1rem; font-weight: 600 }
nav ul { columns: 18rem; padding-left: 1.2rem; font-size: .92rem }
.wide { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums }
caption { text-align: left; color: var(--dim); padding-bottom: .35rem; font-style: italic }
th, td { padding: .25rem .65rem; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top }
th { border-bottom: 2px solid var(--ink) } th:first-child, td:first-child { text-align: left }
figure { margin: 1.2rem 0 } img { max-width: 100%; height: auto } figcaption { font-size: .86rem; color: var(--dim) }
code { font-size: .88em; overflow-wrap: anywhere }
@media print { body { max-width: none; font-size: 10pt; margin: 0 } nav { display: none } .wide { overflow: visible }
  table { font-size: 7.5pt } figure, tr { break-inside: avoid } h2, h3 { break-after: avoid } a { color: inherit } }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_document(title: str, opening: str, sections: Sequence[Section], folder: Path, stem: str) -> list[Path]:
    """Write a document: ``STEM.md`` and ``STEM.html``, its figures, its numbers and its tables.

    Parameters
    ----------
    title : str
        Says synthetic where the data are.
    opening : str
        What stands above everything, in a box: synthetic, too small to claim anything.
    sections : sequence of Section
    folder : Path
        Where to write: figures as ``NAME.png`` and ``NAME.pdf``, frames as ``STEM.csv``, tables as ``tables/NAME.tex``.
    stem : str

    Returns
    -------
    list of Path
        ``STEM.md``, ``STEM.html``, then the others. The same document gives the same bytes. What an earlier document of
        this name left there, and this one lacks, is deleted.

    Raises
    ------
    ValueError
        If two figures, tables or frames have one name.
    """
    parts = [(section, part) for _, section in walk(tuple(sections)) for part in section.parts]
    figures = {p.name: p for _, p in parts if isinstance(p, (Figure, Picture))}
    tables = {p.name: p for _, p in parts if isinstance(p, Table)}
    frames = {name: frame for _, section in walk(tuple(sections)) for name, frame in section.frames.items()}
    counted = [
        [p.name for _, p in parts if isinstance(p, (Figure, Picture))],
        [p.name for _, p in parts if isinstance(p, Table)],
        [name for _, section in walk(tuple(sections)) for name in section.frames],
    ]
    for names in counted:
        if doubled := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"the document names {', '.join(doubled)} twice")
    files = [folder / f"{stem}.md", folder / f"{stem}.html"]
    for name, frame in frames.items():
        files.append(folder / f"{name}.csv")
        write_atomic(files[-1], lambda p, f=frame: f.to_csv(p, index=False, float_format="%.8g", lineterminator="\n"))
    for table in tables.values():
        if table.rows:
            files.append(folder / TABLES / f"{table.name}.tex")
            write_text(files[-1], latex(table))
    images = {}
    for figure in figures.values():
        files.append(folder / f"{figure.name}.png")
        if isinstance(figure, Picture):
            images[figure.name] = _copied(figure.file, files[-1])
        else:
            files.append(folder / f"{figure.name}.pdf")
            images[figure.name] = _draw(figure, *files[-2:])
    write_text(files[0], markdown(title, opening, sections))
    write_text(files[1], page(title, opening, sections, images))
    _forget_earlier(folder, stem, files)
    return files


def _forget_earlier(folder: Path, stem: str, files: Sequence[Path]) -> None:
    """Delete what the last document of this name wrote here and this one did not; leave a list for the next."""
    listed, written = folder / f".{stem}.files.json", {f.relative_to(folder).as_posix() for f in files}
    earlier = set(read_json(listed)) if listed.is_file() else set()
    for name in earlier - written:
        place = folder / name
        if place.resolve().is_relative_to(folder.resolve()):
            place.unlink(missing_ok=True)
    write_json(listed, sorted(written))


def listing(files: Sequence[Path]) -> str:
    """Where a document is, in a few lines: its page and its text by name, what lies beside them by number."""
    named = sorted((f for f in files if f.suffix in (".html", ".md")), key=lambda f: f.suffix)
    others = len(files) - len(named)
    beside = [f"and {others} tables and figures beside them (CSV, LaTeX, PNG, PDF)"] if others else []
    if files and isinstance(files[0], SharedPath):
        beside.append(f"the same at {shown(files[0].parent)}")
    return "\n  ".join(["Files:", *map(str, named), *beside])


def _draw(figure: Figure, png: Path, pdf: Path) -> bytes:
    """Draw a figure into two files; the bytes of the PNG."""
    import matplotlib

    drawn = figure.draw()
    write_atomic(png, lambda p: drawn.savefig(p, format="png", dpi="figure", metadata={"Software": None}))
    nothing = dict.fromkeys(("Creator", "Producer", "CreationDate"))
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        write_atomic(pdf, lambda p: drawn.savefig(p, format="pdf", metadata=nothing))
    return png.read_bytes()


def _copied(file: Path, png: Path) -> bytes:
    content = file.read_bytes()
    write_atomic(png, lambda p: p.write_bytes(content))
    return content


def markdown(title: str, opening: str, sections: Sequence[Section]) -> str:
    """The document as Markdown; its figures by their file names."""
    parts = [f"# {title}", f"> **{opening}**" if opening else ""]
    for level, section in walk(tuple(sections)):
        parts.append(f"{'#' * level} {section.title}")
        for part in section.parts:
            match part:
                case Text(text):
                    parts.append(text)
                case Table(_, caption, header, rows):
                    parts += [f"*{caption}*" if caption else "", markdown_table(header, rows)]
                case Figure(name, caption) | Picture(name, caption):
                    parts.append(f"![{caption}]({name}.png)")
    return "\n\n".join(p for p in parts if p) + "\n"


def page(title: str, opening: str, sections: Sequence[Section], images: Mapping[str, bytes]) -> str:
    """The document as one HTML page.

    Parameters
    ----------
    title, opening : str
    sections : sequence of Section
    images : mapping
        Name of a figure -> its PNG.
    """
    body = [f"<h1>{_inline(title)}</h1>", f'<p class="banner">{_inline(opening)}</p>' if opening else ""]
    listed = "".join(f'<li><a href="#s{i}">{_inline(s.title)}</a></li>' for i, s in enumerate(sections, 1))
    body.append(f'<nav aria-label="contents"><ul>{listed}</ul></nav><main>')
    top = 0
    for level, section in walk(tuple(sections)):
        top += level == 2
        mark = f' id="s{top}"' if level == 2 else ""
        body.append(f"<h{level}{mark}>{_inline(section.title)}</h{level}>")
        for part in section.parts:
            match part:
                case Text(text):
                    body.append(_markdown_it().render(text))
                case Table(_, caption, header, rows):
                    body.append(_table(caption, header, rows))
                case Figure(name, caption) | Picture(name, caption):
                    source = f"data:image/png;base64,{base64.b64encode(images[name]).decode()}"
                    shown = html.escape(caption)
                    body.append(f'<figure><img alt="{shown}" src="{source}"><figcaption>{shown}</figcaption></figure>')
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style>"
    )
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n'
        + "\n".join(body)
        + "\n</main></body></html>\n"
    )


@cache
def _markdown_it():
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table")


def _inline(text: str) -> str:
    return _markdown_it().renderInline(text)


def _table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(tag: str, values: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{_inline(str(v))}</{tag}>" for v in values) + "</tr>"

    shown = f"<caption>{_inline(caption)}</caption>" if caption else ""
    body = "\n".join(line("td", row) for row in rows)
    return f'<div class="wide"><table>{shown}<thead>{line("th", header)}</thead><tbody>{body}</tbody></table></div>'


def latex(table: Table) -> str:
    """A table for a paper: ``booktabs`` lines, caption and label."""
    import pandas as pd

    frame = pd.DataFrame([[str(v) for v in row] for row in table.rows], columns=list(table.header))
    frame.columns = frame.columns.map(_latex_escape)
    columns = "l" + "r" * (frame.shape[1] - 1)
    style = frame.map(_latex_escape).style.hide(axis="index")
    return style.to_latex(
        hrules=True,
        column_format=columns,
        caption=_latex_escape(table.caption),
        label=f"tab:{table.name}",
        position="htbp",
    )


_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--"}
_LATEX |= {c: rf"\{c}" for c in "&%$#_{}"}


def _latex_escape(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in str(text).replace("**", "").replace("`", ""))
