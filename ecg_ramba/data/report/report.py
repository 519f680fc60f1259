"""``ecg-ramba data report``: read every record, count, compare, and write a page with figures and a gallery."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from ecg_ramba.data.check import Report, kind_of, load_report
from ecg_ramba.data.near import NEAR
from ecg_ramba.data.reading import Found, read_folder
from ecg_ramba.data.registry import dataset
from ecg_ramba.data.report import facts, figures
from ecg_ramba.data.report.page import Figure, Heading, Part, Table, Text, as_html, as_markdown
from ecg_ramba.ecg_paper import draw
from ecg_ramba.errors import UserError
from ecg_ramba.files import write_atomic, write_text

LISTED = 40
"""Refused files, and pairs of near duplicates, that the page lists; the CSV files have them all."""

TITLE = "Recordings, people, signals, and what would leak"


def write_report(
    data_dir: Path,
    folder: Path,
    names: Sequence[str] | None = None,
    gallery: int = 24,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Read a folder of recordings and write ``report.html``, ``report.md``, CSV tables and figures.

    Parameters
    ----------
    data_dir : Path
        See :func:`ecg_ramba.data.registry.locate`.
    folder : Path
        Where to write.
    names : sequence of str, optional
        Data sets. Default: all that are there.
    gallery : int
        Recordings drawn on ECG paper, the worst signal first.
    workers : int
        Processes that read.
    progress : callable, optional
        Called with (files read, files in all).

    Returns
    -------
    list of Path
        What was written, report.html first.

    Raises
    ------
    UserError
        When the folder or a wanted data set is not there, no record loads, or the report cannot be written.
    """
    found = read_folder(data_dir, names, progress, workers, fingerprints=True)
    if not found.checked:
        first = found.refused[0]
        raise UserError(
            f"no record of {found.data_dir} loads; the first of {len(found.refused)}: {first.file}: {first.cause}"
        )
    load = load_report(found, whole=names is None)
    frame, near = facts.records_frame(found), facts.near_pairs(found)
    parts = [
        *_opening(found, load),
        *_labels(frame, folder),
        *_people(frame, folder),
        *_signals(frame, folder),
        *_leakage(found, load, frame, near, folder),
        *_refusals(load),
        *_gallery(found, frame, folder, gallery),
    ]
    write_text(folder / "report.md", as_markdown(TITLE, parts))
    write_text(folder / "report.html", as_html(TITLE, parts, folder))
    tables = {"records.csv": _flat(frame), "near_duplicates.csv": _named(near, frame), "refused.csv": _refused(load)}
    for name, table in tables.items():
        write_atomic(folder / name, lambda p, t=table: t.to_csv(p, index=False, lineterminator="\n"))
    return [folder / name for name in ("report.html", "report.md", *tables)]


def _opening(found: Found, load: Report) -> list[Part]:
    made = [d.name for d in load.datasets if d.synthetic]
    warning = [Text(f"SYNTHETIC, nobody's recordings: {', '.join(made)}.")] if made else []
    refused = pd.Series([r.dataset for r in load.refused]).value_counts()
    rows = [
        [d.name, d.title, d.records, int(refused.get(d.name, 0)), d.unlabelled, f"{d.hours:.1f}", d.licence]
        for d in load.datasets
    ]
    header = ["data set", "title", "records", "refused", "without a label", "hours", "licence"]
    cited = sorted({f"{d.name}: {d.citation}" for d in load.datasets})
    return [
        *warning,
        Text(f"{load.records + len(load.refused)} recordings below {found.data_dir}: {load.records} load."),
        Table(header, rows),
        Text("To cite. " + " ".join(cited)),
    ]


def _labels(frame: pd.DataFrame, folder: Path) -> list[Part]:
    counts = facts.label_counts(frame)
    parts: list[Part] = [Heading("Labels")]
    if counts.empty:
        return [*parts, Text("No recording has any of the 27 classes.")]
    pairs = frame[["place", "dataset", "hospital"]].drop_duplicates("place")
    annotated = {p: dataset(d).annotated(h) for p, d, h in pairs.itertuples(index=False)}
    figures.labels(counts, annotated, folder / "figures" / "labels.png")
    note = "Where a class is unknown the publisher does not annotate it: a recording without it is not a negative."
    header = ["class", *counts.columns]
    rows = [
        [name, *(str(n) if n or name in annotated[p] else "unknown" for p, n in row.items())]
        for name, row in counts.iterrows()
    ]
    return [
        *parts,
        Text(note),
        Figure("figures/labels.png", "Recordings with each class, by data set and hospital"),
        Table(header, rows),
    ]


def _people(frame: pd.DataFrame, folder: Path) -> list[Part]:
    parts: list[Part] = [Heading("People"), Table(facts.PEOPLE, facts.people(frame))]
    if not frame["subject_known"].all():
        parts.append(Text("* Subjects are not known: each recording stands for its own."))
    if frame["age"].notna().any():
        figures.ages(frame, folder / "figures" / "ages.png")
        parts.append(Figure("figures/ages.png", "Age by sex"))
    return parts


def _signals(frame: pd.DataFrame, folder: Path) -> list[Part]:
    figures.quality(frame, folder / "figures" / "quality.png")
    repairs = frame["warnings"].explode().dropna().map(kind_of).groupby(frame["dataset"]).value_counts()
    parts: list[Part] = [
        Heading("Signals"),
        Table(facts.SIGNALS, facts.signals(frame)),
        Figure(
            "figures/quality.png", "Share of recordings beyond a deviation, and beyond a residual of Einthoven's law"
        ),
    ]
    if len(repairs):
        said = [[name, kind, str(n)] for (name, kind), n in repairs.items()]
        parts += [Text("What was repaired while reading:"), Table(["data set", "repair", "recordings"], said)]
    return parts


def _leakage(found: Found, load: Report, frame: pd.DataFrame, near: pd.DataFrame, folder: Path) -> list[Part]:
    table = facts.overlaps(frame, load.duplicates, near)
    figures.overlap(table, folder / "figures" / "overlap.png")
    compared = sum(c.fingerprint is not None for c in found.checked)
    inside = sum(len({name.split("/")[0] for name in group}) == 1 for group in load.duplicates)
    kinds = near["relation"].value_counts()
    rows = [
        ["groups with the same samples, within a data set", inside],
        ["groups with the same samples, across data sets", len(load.duplicates) - inside],
        ["groups with one publisher's number, in several forms", len(load.same_identity)],
        *(
            [f"pairs with nearly the same signal: {kind}", int(kinds.get(kind, 0))]
            for kind in (facts.SAME, facts.SUBJECT, facts.DIFFERENT)
        ),
    ]
    parts: list[Part] = [
        Heading("What would leak"),
        Text(
            f"Nearly the same: leads I and II of the first 10 s, filtered, correlate by {NEAR} or more. {compared} of "
            f"{len(frame)} recordings could be compared (both leads alive, 5 s or more); copies that begin at another "
            "moment are not found. Splits, and what a target loses before it is scored, go by exact copies, subjects "
            "and publishers' numbers; near copies under other numbers they do not know, so look at those below."
        ),
        Table(["what", "number"], rows),
        Figure("figures/overlap.png", "Recordings that have a copy, exact or near, by data set"),
    ]
    if people := facts.parts(frame):
        parts += [Text("Subjects with several recordings, which a split by recording would divide:")]
        parts += [Table(facts.PARTS, people)]
    apart = _named(near[near["relation"] == facts.DIFFERENT].sort_values("similarity", ascending=False), frame)
    if len(apart):
        parts += [Text("Nearly the same signal under different subjects:")]
        parts += [Table(list(apart.columns), apart.head(LISTED).to_numpy().tolist())]
        parts += [Text(f"{len(apart) - LISTED} more are in near_duplicates.csv.")] * (len(apart) > LISTED)
    return parts


def _refusals(load: Report) -> list[Part]:
    if not load.refused:
        return [Heading("Refused"), Text("No recording was refused.")]
    table = _refused(load)
    counts = table["cause"].map(kind_of).groupby(table["dataset"]).value_counts()
    rows = [[name, kind, str(n)] for (name, kind), n in counts.items()]
    parts: list[Part] = [Heading("Refused"), Table(["data set", "cause", "recordings"], rows)]
    parts += [Table(["file", "cause"], table[["file", "cause"]].head(LISTED).to_numpy().tolist())]
    return parts + [Text(f"{len(table) - LISTED} more are in refused.csv.")] * (len(table) > LISTED)


def _gallery(found: Found, frame: pd.DataFrame, folder: Path, count: int) -> list[Part]:
    """The worst of each data set, as many of each, the worst of all first."""
    ordered = frame.sort_values(["badness", "name"], ascending=[False, True], kind="stable")
    ordered = ordered.assign(place_in_set=ordered.groupby("dataset").cumcount())
    worst = ordered.sort_values("place_in_set", kind="stable").head(count)
    worst = worst.sort_values(["badness", "name"], ascending=[False, True], kind="stable")
    parts: list[Part] = [Heading("Gallery, worst signal first"), Text(" ".join((facts.badness.__doc__ or "").split()))]
    for row in worst.itertuples():
        record = dataset(row.dataset).read(Path(row.file))
        file = f"figures/{row.dataset}-{row.record}.png"
        said = ", ".join(sorted(row.labels)) or "no class"
        dead = f"; dead: {', '.join(row.dead_leads)}" if row.dead_leads else ""
        write_atomic(folder / file, lambda p, r=record, name=row.name: draw(r, p, name))
        law = f", Einthoven's residual {row.einthoven:.2f}" if pd.notna(row.einthoven) else ""
        parts.append(Figure(file, f"{row.name}: {said}; largest deviation {row.peak:.1f} {row.units}{law}{dead}"))
    return parts


def _named(near: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    names = frame["name"].to_numpy()
    return pd.DataFrame(
        {
            "one": names[near["one"]],
            "other": names[near["other"]],
            "similarity": near["similarity"].round(4).to_numpy(),
            "relation": near["relation"].to_numpy(),
        }
    )


def _refused(load: Report) -> pd.DataFrame:
    return pd.DataFrame(
        [(r.dataset, r.record, r.file, r.cause) for r in load.refused], columns=["dataset", "record", "file", "cause"]
    )


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    """The records' table with lists as text."""
    flat = frame.drop(columns=["name", "place"])
    for column in ("labels", "dead_leads", "warnings"):
        flat[column] = flat[column].map("; ".join)
    return flat
