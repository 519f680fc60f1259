"""A comparison to read: in the terminal, and as a document with its numbers as CSV."""

import math

from ecg_ramba.document import Section, Table, Text
from ecg_ramba.evaluation.compare import Comparison, sure
from ecg_ramba.evaluation.sides import Side
from ecg_ramba.evaluation.tables import SYNTHETIC, TOO_SMALL, WARNING, amount, bracketed, number, slug

STEM = "compare"
HEADER = ("task", "over", "A", "B", "B - A", "p", "A's AP", "B's AP", "AP, B - A", "p (AP)", "difference of gaps")
_COUNTS = ("task", "units", "subjects", "positive subjects", "units of A alone", "units of B alone")


def compare_title(found: Comparison) -> str:
    """The document's title."""
    kind = "Synthetic data: " if found.synthetic else ""
    return f"{kind}{found.b.label} against {found.a.label}"


def compare_opening(found: Comparison) -> str:
    """What stands above everything."""
    small = any(
        s is not None and s < found.config.claim_subjects
        for s in (side.suite.info["source_subjects"] for side in (found.a, found.b) if not side.foreign)
    )
    below = (found.rows[found.rows["headline"]]["support"] != "protocol").any()
    first = f"{SYNTHETIC}: {WARNING}" if found.synthetic else TOO_SMALL if small or below else "Real data."
    said = [first, "NOT A PAIRED TRAINING: see below what differs." if found.unpaired else ""]
    if found.config.departures:
        said.append(f"Not the protocol's evaluation: {found.config.departures}.")
    return " ".join(filter(None, said))


def pairing_text(found: Comparison) -> str:
    """Whether the two trainings differ in the model alone, and in what they do besides."""
    if not found.unpaired:
        return "A paired training: source, recordings, folds, seeds, label mapping and settings are the same."
    lines = "\n".join(f"- {line}" for line in found.unpaired)
    return f"Not a paired training; a difference below may be due to any of it:\n\n{lines}"


def headline_cells(found: Comparison) -> list[list[str]]:
    """The headline figures under :data:`HEADER`, one row a figure of each task."""
    rows = found.rows[found.rows["headline"]]
    out = []
    for _, of in rows.groupby(["task", "cls"], sort=False):
        by = {r["metric"]: r for r in of.to_dict("records")}
        auc = by["roc_auc"]
        n = len(auc["classes"].split("; ")) if auc["classes"] else 0
        over = f"macro over {n}" if auc["cls"] == "macro" else auc["cls"]
        line = [auc["task"], over if auc["support"] == "protocol" else f"{over}, {auc['support'].upper()}"]
        for row in (auc, by.get("average_precision")):
            if row is None:
                line += ["–"] * 4
                continue
            line += [bracketed(row[x], row[f"{x}_lo"], row[f"{x}_hi"]) for x in "ab"]
            line += [bracketed(row["diff"], row["diff_lo"], row["diff_hi"], sign=True), p_text(row)]
        out.append([*line, bracketed(auc["gap_diff"], auc["gap_diff_lo"], auc["gap_diff_hi"], sign=True)])
    return out


def p_text(row: dict) -> str:
    """A p value to read; with the smallest that the test could give, where it is that."""
    p = row["p"]
    if not math.isfinite(p):
        return "–"
    shown = f"{p:.4f}" if p >= 1e-4 else f"{p:.1e}"
    return f"{shown} (smallest possible)" if p <= row["smallest_p"] * (1 + 1e-9) else shown


def reasons(found: Comparison) -> list[str]:
    """Why numbers are missing, each once for each task."""
    out = []
    for row in found.rows[found.rows["headline"]].to_dict("records"):
        for why in (row["reason"], row["p_reason"], row["gap_reason"] and f"transfer gap: {row['gap_reason']}"):
            out += [f"{row['task']}: {why}"] if isinstance(why, str) and why else []
    return list(dict.fromkeys(out))


def _about(a: Side, b: Side) -> list[list[str]]:
    rows = []
    facts = [
        ("run or file", lambda s: f"`{s.place}`"),
        ("variant", lambda s: s.variant.title),
        ("kind", lambda s: "a model from elsewhere" if s.foreign else s.variant.kind),
        ("pooling", lambda s: s.variant.pooling.title),
        ("parameters", lambda s: amount(s.variant.parameters)),
        ("source", lambda s: "not known" if s.foreign else s.suite.info["source"]),
        ("training runs", lambda s: str(s.suite.n_seeds)),
        ("folds", lambda s: str(s.suite.n_folds)),
        ("created", lambda s: "not known" if s.foreign else s.suite.info["created"] or "not known"),
        ("commit", lambda s: "not known" if s.foreign else f"`{s.suite.info['commit'] or 'not known'}`"),
    ]
    for name, of in facts:
        rows.append([name, of(a), of(b)])
    return rows


def compare_sections(found: Comparison) -> list[Section]:
    """The document."""
    kind = "Synthetic: " if found.synthetic else ""
    c = found.config
    how = (
        "Only units that both scored count, and classes that both were trained on. "
        f"Intervals: {c.level:.0%} of {c.draws:,} bootstrap draws of subjects, the same for both; {sure(found)}. "
        "p: paired permutation test, the two models' predictions of a subject exchanged; for the headline figures, "
        "not corrected for their number. Transfer gap: source out-of-fold minus target by the fold models' own "
        "scores; its difference is B's minus A's."
    )
    about = Table("compared", f"{kind}What is compared", ["what", "A", "B"], _about(found.a, found.b))
    first = Section("What is compared", (about, Text(pairing_text(found)), Text(how)))
    rows = found.rows
    counts = rows[rows["headline"] & (rows["metric"] == "roc_auc")].drop_duplicates("task")
    listed = [[r["task"], *(_count(r[k]) for k in _FIELDS)] for r in counts.to_dict("records")]
    parts = [
        Table(
            "headlines",
            f"{kind}Headline figures, ROC-AUC and average precision [95 %]",
            list(HEADER),
            headline_cells(found),
        ),
        Table("units", f"{kind}Units that both scored", list(_COUNTS), listed),
        *(Text(f"{r[0].upper()}{r[1:]}.") for r in reasons(found)),
    ]
    sections = [first, Section(f"{kind}Headline figures", tuple(parts), {STEM: rows})]
    for task in rows["task"].unique():
        sections.append(Section(f"{kind}{task}, class by class", (_classes(found, task, kind),)))
    if found.notes:
        sections.append(Section("Notes", (Text("\n".join(f"- {n}" for n in found.notes)),)))
    return sections


_FIELDS = ("units", "subjects", "positive_subjects", "only_a", "only_b")


def _count(value) -> str:
    return f"{int(value):,}" if math.isfinite(value) else "–"


def _classes(found: Comparison, task: str, kind: str) -> Table:
    rows = found.rows
    rows = rows[(rows["task"] == task) & (rows["metric"] == "roc_auc") & (rows["cls"] != "macro")]
    header = ["class", "units", "positives", "positive subjects", "support", "A", "B", "B - A", "prevalence"]
    made = []
    for r in rows.to_dict("records"):
        values = [bracketed(r[x], r[f"{x}_lo"], r[f"{x}_hi"]) for x in "ab"]
        values.append(bracketed(r["diff"], r["diff_lo"], r["diff_hi"], sign=True))
        counts = [_count(r[k]) for k in ("units", "positives", "positive_subjects")]
        made.append([r["cls"], *counts, r["support"], *values, number(r["prevalence"])])
    return Table(f"classes-{slug(task)}", f"{kind}{task}: ROC-AUC of every class [95 %]", header, made)


def print_comparison(found: Comparison, console) -> None:
    """Print the headline figures, and whether the trainings are paired.

    ``console``: a rich console; its width decides how many columns are shown.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table as Grid

    plain = {"markup": False, "highlight": False, "soft_wrap": True}
    console.print(compare_opening(found), style="bold yellow", markup=False, highlight=False)
    console.print(f"A: {found.a.label}\nB: {found.b.label}", style="bold", **plain)
    console.print(pairing_text(found).replace("\n\n", "\n"), **plain)
    wide = console.width >= 115
    kind = "synthetic: " if found.synthetic else ""
    grid = Grid(title=f"{kind}headline figures [95 %]", box=box.SIMPLE_HEAD, title_justify="left")
    for i, name in enumerate(("figure", "", "A", "B", "B - A", "p")):
        grid.add_column(name, justify="left" if i < 2 else "right", no_wrap=i > 0, overflow="fold")
    for cells in headline_cells(found):
        figure = f"{cells[0]}: {cells[1]}"
        for name, at in (("ROC-AUC", 2), ("AP", 6)):
            values = cells[at : at + 2] if wide else [v.split(" ")[0] for v in cells[at : at + 2]]
            difference, p = cells[at + 2], cells[at + 3].split(" ")[0]
            grid.add_row(escape(figure if at == 2 else ""), name, *map(escape, (*values, difference, p)))
        if cells[-1] != "–":
            grid.add_row("", "gap", "", "", escape(cells[-1]), "")
    console.print(grid)
    for line in [*reasons(found), *found.notes]:
        console.print(line, **plain)
