"""``ecg-ramba data report``: read every record, count, compare, and write a page with figures and a gallery."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from ecg_ramba.data.check import Report, kind_of, load_report
from ecg_ramba.data.near import NEAR
from ecg_ramba.data.reading import Found, read_folder
from ecg_ramba.data.registry import dataset
from ecg_ramba.data.report import facts, figures
from ecg_ramba.document import Figure, Section, Table, Text
from ecg_ramba.ecg_paper import drawing
from ecg_ramba.errors import UserError
from ecg_ramba.render import write_document

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
    """Read a folder of recordings and write ``report.md``, ``report.html``, CSV tables and figures.

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
        What was written, report.md and report.html first.

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
    made = [d.name for d in load.datasets if d.synthetic]
    warning = f"SYNTHETIC, nobody's recordings: {', '.join(made)}." if made else ""
    sections = [
        _opening(found, load, frame),
        _labels(frame),
        _people(frame),
        _signals(frame),
        _leakage(found, load, frame, near),
        _refusals(load),
        _gallery(frame, gallery),
    ]
    return write_document(TITLE, warning, sections, folder, "report")


def _opening(found: Found, load: Report, frame: pd.DataFrame) -> Section:
    refused = pd.Series([r.dataset for r in load.refused]).value_counts()
    rows = [
        [d.name, d.title, str(d.records), str(refused.get(d.name, 0)), str(d.unlabelled), f"{d.hours:.1f}", d.licence]
        for d in load.datasets
    ]
    header = ["data set", "title", "records", "refused", "without a label", "hours", "licence"]
    cited = sorted({f"{d.name}: {d.citation}" for d in load.datasets})
    parts = (
        Text(f"{load.records + len(load.refused)} recordings below {found.data_dir}: {load.records} load."),
        Table("datasets", "What was read", header, rows),
        Text("To cite. " + " ".join(cited)),
    )
    return Section("Data sets", parts, {"records": _flat(frame)})


def _labels(frame: pd.DataFrame) -> Section:
    counts = facts.label_counts(frame)
    if counts.empty:
        return Section("Labels", (Text("No recording has any of the 27 classes."),))
    pairs = frame[["place", "dataset", "hospital"]].drop_duplicates("place")
    annotated = {p: dataset(d).annotated(h) for p, d, h in pairs.itertuples(index=False)}
    note = "Where a class is unknown the publisher does not annotate it: a recording without it is not a negative."
    header = ["class", *counts.columns]
    rows = [
        [name, *(str(n) if n or name in annotated[p] else "unknown" for p, n in row.items())]
        for name, row in counts.iterrows()
    ]
    caption = "Recordings with each class, by data set and hospital"
    parts = (
        Text(note),
        Figure("labels", caption, lambda: figures.labels(counts, annotated)),
        Table("labels", caption, header, rows),
    )
    return Section("Labels", parts)


def _people(frame: pd.DataFrame) -> Section:
    parts: list = [Table("people", "Subjects, age and sex", list(facts.PEOPLE), facts.people(frame))]
    if not frame["subject_known"].all():
        parts.append(Text("\\* Subjects are not known: each recording stands for its own."))
    if frame["age"].notna().any():
        parts.append(Figure("ages", "Age by sex", lambda: figures.ages(frame)))
    return Section("People", tuple(parts))


def _signals(frame: pd.DataFrame) -> Section:
    repairs = frame["warnings"].explode().dropna().map(kind_of).groupby(frame["dataset"]).value_counts()
    caption = "Share of recordings beyond a deviation, and beyond a residual of Einthoven's law"
    parts: list = [
        Table("signals", "Rates, lengths, dead leads, artefacts", list(facts.SIGNALS), facts.signals(frame)),
        Figure("quality", caption, lambda: figures.quality(frame)),
    ]
    if len(repairs):
        said = [[name, kind, str(n)] for (name, kind), n in repairs.items()]
        parts.append(Table("repairs", "What was repaired while reading", ["data set", "repair", "recordings"], said))
    return Section("Signals", tuple(parts))


def _leakage(found: Found, load: Report, frame: pd.DataFrame, near: pd.DataFrame) -> Section:
    table = facts.overlaps(frame, load.duplicates, near)
    compared = sum(c.fingerprint is not None for c in found.checked)
    inside = sum(len({name.split("/")[0] for name in group}) == 1 for group in load.duplicates)
    kinds = near["relation"].value_counts()
    rows = [
        ["groups with the same samples, within a data set", str(inside)],
        ["groups with the same samples, across data sets", str(len(load.duplicates) - inside)],
        ["groups with one publisher's number, in several forms", str(len(load.same_identity))],
        *(
            [f"pairs with nearly the same signal: {kind}", str(kinds.get(kind, 0))]
            for kind in (facts.SAME, facts.SUBJECT, facts.DIFFERENT)
        ),
    ]
    parts: list = [
        Text(
            f"Nearly the same: leads I and II of the first 10 s, filtered, correlate by {NEAR} or more. {compared} of "
            f"{len(frame)} recordings could be compared (both leads alive, 5 s or more); copies that begin at another "
            "moment are not found. Splits, and what a target loses before it is scored, go by exact copies, subjects "
            "and publishers' numbers; near copies under other numbers they do not know, so look at those below."
        ),
        Table("leakage", "Copies", ["what", "number"], rows),
        Figure("overlap", "Recordings that have a copy, exact or near, by data set", lambda: figures.overlap(table)),
    ]
    if people := facts.parts(frame):
        caption = "Subjects with several recordings, which a split by recording would divide"
        parts.append(Table("parts", caption, list(facts.PARTS), people))
    apart = _named(near[near["relation"] == facts.DIFFERENT].sort_values("similarity", ascending=False), frame)
    if len(apart):
        rows = apart.head(LISTED).astype(str).to_numpy().tolist()
        parts.append(Table("near", "Nearly the same signal under different subjects", list(apart.columns), rows))
        parts += [Text(f"{len(apart) - LISTED} more are in near_duplicates.csv.")] * (len(apart) > LISTED)
    return Section("What would leak", tuple(parts), {"near_duplicates": _named(near, frame)})


def _refusals(load: Report) -> Section:
    table = _refused(load)
    if not load.refused:
        return Section("Refused", (Text("No recording was refused."),), {"refused": table})
    counts = table["cause"].map(kind_of).groupby(table["dataset"]).value_counts()
    rows = [[name, kind, str(n)] for (name, kind), n in counts.items()]
    listed = table[["file", "cause"]].head(LISTED).to_numpy().tolist()
    parts: list = [
        Table("causes", "Why recordings cannot be used", ["data set", "cause", "recordings"], rows),
        Table("refused", "Files that were refused", ["file", "cause"], listed),
    ]
    parts += [Text(f"{len(table) - LISTED} more are in refused.csv.")] * (len(table) > LISTED)
    return Section("Refused", tuple(parts), {"refused": table})


def _gallery(frame: pd.DataFrame, count: int) -> Section:
    """The worst of each data set, as many of each, the worst of all first."""
    ordered = frame.sort_values(["badness", "name"], ascending=[False, True], kind="stable")
    ordered = ordered.assign(place_in_set=ordered.groupby("dataset").cumcount())
    worst = ordered.sort_values("place_in_set", kind="stable").head(count)
    worst = worst.sort_values(["badness", "name"], ascending=[False, True], kind="stable")
    parts: list = [Text(" ".join((facts.badness.__doc__ or "").split()))]
    for row in worst.itertuples():
        said = ", ".join(sorted(row.labels)) or "no class"
        dead = f"; dead: {', '.join(row.dead_leads)}" if row.dead_leads else ""
        law = f", Einthoven's residual {row.einthoven:.2f}" if pd.notna(row.einthoven) else ""
        caption = f"{row.name}: {said}; largest deviation {row.peak:.1f} {row.units}{law}{dead}"
        parts.append(Figure(f"{row.dataset}-{row.record}", caption, lambda row=row: _page(row)))
    return Section("Gallery, worst signal first", tuple(parts))


def _page(row):
    return drawing(dataset(row.dataset).read(Path(row.file)), row.name)


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
