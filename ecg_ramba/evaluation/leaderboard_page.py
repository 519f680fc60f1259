"""The leaderboard to read: Markdown, and one HTML page whose tables sort by a click and that needs no other file."""

import base64
import hashlib
import html
import math
from collections.abc import Sequence
from pathlib import Path

from ecg_ramba.document import Section, Table, Text
from ecg_ramba.evaluation.config import NO_SUPPORT, PROTOCOL_SUPPORT
from ecg_ramba.evaluation.leaderboard import Column, Entry, Group, board_table
from ecg_ramba.evaluation.tables import SYNTHETIC, WARNING, amount, bracketed
from ecg_ramba.files import write_atomic, write_text
from ecg_ramba.render import markdown

STEM = "leaderboard"
TITLE = "Leaderboard"
FACTS = ("parameters", "trained on", "data", "seeds", "date", "commit")
HOW = (
    "Headline ROC-AUC [95 %] of each task, with the average precision (AP) below or after it; the source out-of-fold, "
    "targets zero-shot, as in each run's report, which `ecg-ramba verify RUN` computes again. Rows are in the order of "
    "the first target's ROC-AUC. Order is no evidence: intervals that overlap decide nothing, and "
    "`ecg-ramba compare A B` tests a pair on the same subjects. Runs stand in one table only where units, labels, "
    "label mapping, classes and evaluation settings are the same."
)

_SCRIPT = """
document.querySelectorAll("table.board").forEach(table => {
  table.querySelectorAll("thead button").forEach(button => button.addEventListener("click", () => {
    const head = button.closest("th"), at = head.cellIndex, body = table.tBodies[0];
    const down = head.getAttribute("aria-sort") === "ascending" ||
      (head.dataset.kind === "number" && head.getAttribute("aria-sort") !== "descending");
    table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = row => row.cells[at].dataset.value ?? row.cells[at].textContent.trim();
    const rows = [...body.rows].sort((a, b) => {
      const failed = (a.dataset.failed ?? "") .localeCompare(b.dataset.failed ?? "");
      if (failed) return failed;
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = head.dataset.kind === "number" ? Number(x) - Number(y) : x.localeCompare(y);
      return down ? -order : order;
    });
    rows.forEach(row => body.append(row));
  }));
});
"""
_STYLE = """
:root { color-scheme: light; --ink: #1a1a1a; --dim: #555; --line: #d9d9d9 }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 84rem; margin: 1.2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.25rem; margin-top: 2rem }
.banner { border: 2px solid #d55e00; border-left-width: .6rem; padding: .6rem 1rem; font-weight: 600 }
.wide { overflow-x: auto; border-bottom: 1px solid var(--line) }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums }
caption { text-align: left; color: var(--dim); padding-bottom: .35rem }
th, td { padding: .35rem .7rem; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff; max-width: 14rem }
thead th { border-bottom: 2px solid var(--ink) }
button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0; padding: .2rem 0;
  cursor: pointer; text-align: inherit; min-height: 2rem }
button::after { content: " \\2195"; color: var(--dim) }
[aria-sort=ascending] button::after { content: " \\25B2" } [aria-sort=descending] button::after { content: " \\25BC" }
small { display: block; color: var(--dim) }
.mark { display: inline-block; border: 1px solid currentColor; border-radius: .3rem; padding: 0 .3rem;
  font-size: .75rem; color: #8a3d00 } .mark.synthetic { color: #004d7a; border-style: dashed }
code { overflow-wrap: anywhere }
@media (max-width: 40rem) { body { font-size: 15px; padding: 0 .6rem }
  th:first-child, td:first-child { max-width: 9rem } }
@media print { .wide { overflow: visible } button::after { content: "" } }
"""


def write_board(groups: Sequence[Group], folder: Path) -> list[Path]:
    """Write leaderboard.md, leaderboard.html and leaderboard.csv; returns them in that order."""
    files = [folder / f"{STEM}.{kind}" for kind in ("md", "html", "csv")]
    write_text(files[0], markdown(board_title(groups), opening(groups), board_sections(groups)))
    write_text(files[1], board_page(groups))
    frame = board_table(groups)
    write_atomic(files[2], lambda p: frame.to_csv(p, index=False, float_format="%.8g", lineterminator="\n"))
    return files


def _synthetic(groups: Sequence[Group]) -> list[bool]:
    return [bool(e.info["synthetic"]) for g in groups for e in g.entries]


def board_title(groups: Sequence[Group]) -> str:
    """The page's title; says synthetic where everything is."""
    return f"Synthetic data: {TITLE.lower()}" if all(_synthetic(groups)) else TITLE


def opening(groups: Sequence[Group]) -> str:
    """What stands above everything."""
    made = _synthetic(groups)
    if all(made):
        return f"{SYNTHETIC}: {WARNING}"
    return f"Some rows are {SYNTHETIC}, and marked: they say nothing of patients." if any(made) else "Real data."


def column_title(column: Column) -> str:
    """A column as printed."""
    task, cls = column
    return task if cls == "macro" else f"{task}: {cls}"


def below(cell: dict) -> bool:
    """Whether a figure is below the protocol's support."""
    return cell["support"] not in (PROTOCOL_SUPPORT, NO_SUPPORT)


def _facts(entry: Entry) -> list[str]:
    info = entry.info
    seeds = info["seeds"] if isinstance(info["seeds"], int) else len(info["seeds"])
    kind = "synthetic" if info["synthetic"] else "real"
    commit = (info["commit"] or "")[:7] + ("+" if (info["commit"] or "").endswith("+") else "")
    return [amount(entry.parameters), info["source"], kind, str(seeds), (info["created"] or "")[:10], commit]


def _group_title(number: int, groups: Sequence[Group]) -> str:
    return "Ranking" if len(groups) == 1 else f"Ranking {number} of {len(groups)}"


def _caption(group: Group) -> str:
    """What each column is over."""
    said = []
    for task, cls in group.columns:
        stick = group.yardsticks[task]
        over = f"macro over {', '.join(stick.classes)}, " if cls == "macro" and stick.classes else ""
        said.append(f"{column_title((task, cls))}: {over}{stick.n_units:,} units")
    return "; ".join(dict.fromkeys(said))


def board_sections(groups: Sequence[Group]) -> list[Section]:
    """The Markdown document's sections: one a group."""
    sections = [Section("How to read it", (Text(HOW),))]
    for number, group in enumerate(groups, 1):
        columns = group.columns
        header = ["model", "run", *map(column_title, columns), *FACTS]
        rows = []
        for entry in group.ranked():
            cells = [_plain(entry.cells.get(c)) for c in columns]
            if entry.failure:
                cells = [f"failed: {entry.failure}", *[""] * (len(columns) - 1)] if columns else []
            title = f"{entry.title} (reference)" if entry.reference else entry.title
            rows.append([title, f"`{entry.run}`", *cells, *_facts(entry)])
        why = (
            [Text("Apart from the rankings above, because:\n\n" + "\n".join(f"- {w}" for w in group.why))]
            if group.why
            else []
        )
        table = Table(f"board-{number}", _caption(group), header, rows)
        sections.append(Section(_group_title(number, groups), (*why, table)))
    return sections


def _plain(cell: dict | None) -> str:
    if cell is None:
        return "not scored"
    if not math.isfinite(cell["value"]):
        return f"– ({cell['reason']})"
    ap = f", AP {bracketed(cell['ap'], cell['ap_lo'], cell['ap_hi'])}" if math.isfinite(cell["ap"]) else ""
    return f"{bracketed(cell['value'], cell['lo'], cell['hi'])}{ap}" + (f", {cell['support']}" if below(cell) else "")


def board_page(groups: Sequence[Group]) -> str:
    """The whole HTML page."""
    body = [f"<h1>{html.escape(board_title(groups))}</h1>", f'<p class="banner">{html.escape(opening(groups))}</p>']
    body.append(f"<p>{html.escape(HOW).replace('`', '')} Headings sort.</p>")
    for number, group in enumerate(groups, 1):
        body.append(f"<h2>{_group_title(number, groups)}</h2>")
        if group.why:
            listed = "".join(f"<li>{html.escape(w)}</li>" for w in group.why)
            body.append(f"<p>Apart from the rankings above, because:</p><ul>{listed}</ul>")
        body.append(_html_table(group))
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{html.escape(board_title(groups))}</title><style>{_STYLE}</style>"
    )
    script = f"<script>{_SCRIPT}</script>"
    text = "\n".join(body)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{text}\n{script}\n</body></html>\n'


def _html_table(group: Group) -> str:
    columns = group.columns
    kinds = [("model", "word"), *((column_title(c), "number") for c in columns)]
    kinds += [(name, "number" if name in ("parameters", "seeds") else "word") for name in FACTS]
    heads = "".join(
        f'<th scope="col" data-kind="{kind}"><button type="button">{html.escape(name)}</button></th>'
        for name, kind in kinds
    )
    rows = "\n".join(_html_row(entry, columns) for entry in group.ranked())
    caption = f"<caption>{html.escape(_caption(group))}</caption>"
    table = f'<table class="board">{caption}<thead><tr>{heads}</tr></thead><tbody>\n{rows}\n</tbody></table>'
    return f'<div class="wide" tabindex="0" role="region" aria-label="ranking">{table}</div>'


def _html_row(entry: Entry, columns: Sequence[Column]) -> str:
    mark = '<span class="mark synthetic">synthetic</span>' if entry.info["synthetic"] else ""
    reference = " (reference)" if entry.reference else ""
    name = f"{html.escape(entry.title)}{reference}<small>{html.escape(entry.run)}</small>{mark}"
    cells = [f'<td data-value="{html.escape(entry.title)}">{name}</td>']
    if entry.failure:
        why = f"<strong>failed</strong><small>{html.escape(entry.failure)}</small>"
        cells += [f'<td data-value="">{why if i == 0 else ""}</td>' for i in range(len(columns))]
    else:
        cells += [_html_cell(entry.cells.get(c)) for c in columns]
    raw = {"parameters": entry.parameters}
    for fact, text in zip(FACTS, _facts(entry), strict=True):
        value = raw.get(fact, text)
        value = "" if isinstance(value, float) and not math.isfinite(value) else value
        cells.append(f'<td data-value="{html.escape(str(value))}">{html.escape(text)}</td>')
    failed = ' data-failed="1"' if entry.failure else ""
    return f"<tr{failed}>{''.join(cells)}</tr>"


def _html_cell(cell: dict | None) -> str:
    if cell is None:
        return '<td data-value=""><small>not scored</small></td>'
    if not math.isfinite(cell["value"]):
        return f'<td data-value="">–<small>{html.escape(cell["reason"])}</small></td>'
    text = bracketed(cell["value"], cell["lo"], cell["hi"])
    ap = f"<small>AP {bracketed(cell['ap'], cell['ap_lo'], cell['ap_hi'])}</small>" if math.isfinite(cell["ap"]) else ""
    mark = f'<span class="mark">{html.escape(cell["support"])}</span>' if below(cell) else ""
    return f'<td data-value="{cell["value"]:.8g}">{text}{ap}{mark}</td>'
