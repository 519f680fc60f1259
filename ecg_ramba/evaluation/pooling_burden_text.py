"""AF burden and pooled score in words, tables and a figure."""

import pandas as pd

from ecg_ramba.document import Figure, Section, Table, Text
from ecg_ramba.evaluation.burden import HOW
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.pooling_burden import BAND_TITLES, SPEARMAN, BurdenScores
from ecg_ramba.evaluation.pooling_figures import draw_burden
from ecg_ramba.evaluation.tables import bracketed, slug

FEW = 30
"""AF records below which the text says that they are few."""


def burden_section(evaluation: Evaluation, scores: BurdenScores, kind: str) -> list[Section]:
    """The burden's sections, one a task with rhythm episodes; nothing without them."""
    made = []
    frames = scores.frames()
    if not frames:
        return made
    figures, records = frames["pooling_burden"], frames["pooling_burden_records"]
    for task, of in figures.groupby("task", sort=False):
        made.append(
            Section(f"{kind}{task}: AF burden and pooled score", tuple(_parts(evaluation, task, of, records, kind)))
        )
    return made


def _parts(evaluation: Evaluation, task: str, rows: pd.DataFrame, records: pd.DataFrame, kind: str) -> list:
    first = rows[rows["variant"] == rows["variant"].iloc[0]]
    title, sure = first["title"].iloc[0], first["how_sure"].iloc[0]
    poolings = list(dict.fromkeys(first["pooling"]))
    whole = first[first["figure"] == SPEARMAN].iloc[0]
    left = f" {whole['no_burden']} AF records have no labelled segment and are left out." if whole["no_burden"] else ""
    text = (
        f"{HOW} {whole['records']} AF records of {whole['subjects']} subjects.{left} The least burden that a pooling "
        "can reach at 0.5 is what an errorless window model would need; the geometric mean needs every window. A rank "
        "correlation near 1 means that the score orders AF records by how much AF they hold."
    )
    if whole["records"] < FEW:
        text += f" **Small sample: fewer than {FEW} AF records; their order is decided by a few of them.**"
    bands = [b for b in ("all", *BAND_TITLES) if (first["band"] == b).any()]
    own = records[(records["task"] == task) & (records["variant"] == rows["variant"].iloc[0])]
    about = f"{kind}{task}, {title}; {sure}"
    header = ["pooling", "least burden", "rho [95 %]", *(f"sensitivity, {b} [95 %]" for b in bands)]
    cells = []
    for pooling in poolings:
        of = first[first["pooling"] == pooling]
        cells.append([pooling, f"{of['least_burden'].iloc[0]:.1%}", _cell(of, SPEARMAN, "all")])
        cells[-1] += [_cell(of, "sensitivity", band) for band in bands]
    caption = f"{about}: Spearman's rho of AF burden and pooled score, and sensitivity at 0.5 by AF burden."
    parts = [Text(text), Table(f"pooling-burden-{slug(task)}", caption, header, cells)]
    counted = [_count(first, band) for band in bands]
    parts.append(Text(f"Records by burden: {'; '.join(counted)}."))
    caption = f"{about}: pooled score of each AF record against its AF burden, one panel a pooling; the least burden."
    parts.append(Figure(f"pooling-burden-{slug(task)}", caption, lambda: draw_burden(evaluation, task, own, first)))
    cells = []
    for variant in dict.fromkeys(rows["variant"]):
        of = rows[(rows["variant"] == variant) & (rows["figure"] == SPEARMAN)]
        cells.append([of["title"].iloc[0], *(_cell(of[of["pooling"] == p], SPEARMAN, "all") for p in poolings)])
    caption = f"{kind}{task}; {sure}: Spearman's rho [95 %] of AF burden and pooled score, every variant by pooling."
    parts.append(Table(f"pooling-rho-{slug(task)}", caption, ["Model", *poolings], cells))
    return [*parts, *(Text(f"{line}.") for line in dict.fromkeys(map(_why, first.to_dict("records"))) if line)]


def _why(row: dict) -> str:
    """Why a figure has no interval, or no value, with what it is; "" where it has both."""
    return row["reason"] and f"{row['figure'][0].upper()}{row['figure'][1:]}, {row['band']}: {row['reason']}"


def _count(rows: pd.DataFrame, band: str) -> str:
    of = rows[(rows["band"] == band) & (rows["figure"] == "sensitivity")].iloc[0]
    return f"{band}: {of['records']} of {of['subjects']} subjects"


def _cell(rows: pd.DataFrame, figure: str, band: str) -> str:
    row = rows[(rows["figure"] == figure) & (rows["band"] == band)].iloc[0]
    return bracketed(row["value"], row["lo"], row["hi"], sign=figure == SPEARMAN)
