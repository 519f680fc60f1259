"""The load report as text for a terminal."""

from collections import Counter

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ecg_ramba.data.check import DataSetReport, Report, kind_of

SHOWN = 20
"""Refused files and groups of duplicates that are listed one by one; the JSON has them all."""


def render(report: Report, console: Console) -> None:
    """Print the report: data sets, labels, what was repaired, what is twice there, what was refused and why."""
    console.print(_datasets_table(report))
    console.print(_labels_table(report))
    _print_notes(report, console)
    _print_groups("same samples", report.duplicates, console)
    _print_groups("same publisher and record number", report.same_identity, console)
    _print_refused(report, console)
    for what, paths in (("headers of no known data set", report.unclaimed), ("signals without header", report.orphans)):
        if paths:
            console.print(f"{len(paths)} {what}:", *_some(paths), sep="\n  ", markup=False, highlight=False)
    cited: dict[str, list[str]] = {}
    for d in report.datasets:
        cited.setdefault(d.citation, []).append(f"{_name(d)} ({d.licence})")
    console.print("To cite:", highlight=False)
    for citation, names in cited.items():
        console.print(f"  {', '.join(names)}: {citation}", markup=False, highlight=False, soft_wrap=True)
    refused = len(report.refused)
    total = report.records + refused
    console.print(f"{total} records: {report.records} load, {refused} refused", highlight=False)


def _name(d: DataSetReport) -> str:
    return f"{d.name} (synthetic)" if d.synthetic and "synthetic" not in d.name else d.name


def _datasets_table(report: Report) -> Table:
    unknown = any(not d.subjects_known for d in report.datasets)
    table = Table(
        title=f"Recordings in {escape(report.data_dir)}",
        caption="* subject not known: each record stands for its own" if unknown else None,
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("data set", no_wrap=True)
    for column in ("read", "refused", "subjects", "Hz", "seconds", "dead\nleads", "no\nlabel", "no\nclass"):
        table.add_column(column, justify="right", no_wrap=True)
    refused = Counter(r.dataset for r in report.refused)
    for d in report.datasets:
        lengths = (f"{d.seconds_min:.0f}", f"{d.seconds_max:.0f}")
        table.add_row(
            _name(d),
            str(d.records),
            str(refused[d.name]),
            f"{d.subjects}{'' if d.subjects_known else '*'}",
            ", ".join(d.rates),
            "-".join(dict.fromkeys(lengths)),
            str(d.records_with_dead_leads),
            str(d.unlabelled),
            str(d.none_of_classes),
        )
    return table


def _labels_table(report: Report) -> Table:
    table = Table(title="Records with each of the 27 classes", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("data set", no_wrap=True)
    table.add_column("class and records")
    for d in report.datasets:
        most_first = sorted(d.labels.items(), key=lambda item: -item[1])
        table.add_row(_name(d), ", ".join(f"{name} {n}" for name, n in most_first) or "none")
    return table


def _print_notes(report: Report, console: Console) -> None:
    for d in report.datasets:
        notes = [f"{n} x {kind}" for kind, n in d.warnings.items()]
        notes += [f"{d.paced} paced"] if d.paced else []
        notes += [f"{d.episodes} rhythm episodes"] if d.episodes else []
        notes += [f"{place}: {n} records" for place, n in d.hospitals.items()]
        notes += [f"dead: {', '.join(f'{lead} {n}' for lead, n in d.dead_leads.items())}"] if d.dead_leads else []
        if notes:
            console.print(f"{_name(d)}: {'; '.join(notes)}", markup=False, highlight=False)


def _print_groups(what: str, groups: list[list[str]], console: Console) -> None:
    """Groups counted by the data sets they join, with a few of them as examples."""
    if not groups:
        console.print(f"No records with the {what}.", highlight=False)
        return
    kinds = Counter(" = ".join(sorted({name.split("/")[0] for name in group})) for group in groups)
    for kind, n in sorted(kinds.items()):
        where = "between" if " = " in kind else "within"
        console.print(f"{n} groups with the {what} {where} {kind}", markup=False, highlight=False)
    inside = [group for group in groups if len({name.split("/")[0] for name in group}) == 1]
    for line in _some([" = ".join(group) for group in inside]):
        console.print(f"  {line}", markup=False, highlight=False)


def _print_refused(report: Report, console: Console) -> None:
    for (name, kind), n in sorted(Counter((r.dataset, kind_of(r.cause)) for r in report.refused).items()):
        console.print(f"refused in {name}: {n} x {kind}", markup=False, highlight=False)
    for line in _some([f"{r.file}: {r.cause}" for r in report.refused]):
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def _some(lines: list[str]) -> list[str]:
    rest = len(lines) - SHOWN
    return lines[:SHOWN] + ([f"and {rest} more (all in the JSON)"] if rest > 0 else [])
