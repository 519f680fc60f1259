"""The worst errors of a run: what was scored most confidently and wrongly, drawn on ECG paper where it can be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ecg_ramba.document import Figure, Section, Table, Text
from ecg_ramba.errors import RecordError, UserError
from ecg_ramba.evaluation.config import NO_SUPPORT
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.people import read_people
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.evaluation.scores import nan_mean
from ecg_ramba.evaluation.suite import Variant
from ecg_ramba.evaluation.tables import kind_of, slug

if TYPE_CHECKING:
    from ecg_ramba.data.record import Record

LISTED = 20
"""Deviations of negatives, and of positives, of each task in errors.csv."""
DRAWN = 2
"""False alarms, and misses, of each task that are drawn."""
SEGMENT_S = 10.0
COLUMNS = ["data", "task", "dataset", "record", "segment", "subject", "cls", "positive", "score", "file"]


def errors_section(evaluation: Evaluation, reader: ScoreReader) -> Section:
    """Errors of the reference, or of the first variant that finished."""
    kind = kind_of(evaluation)
    variant = _shown(evaluation)
    if variant is None:
        return Section(f"{kind}Worst errors", (Text("No variant finished."),))
    frame = errors_frame(evaluation, reader, variant)
    parts: list = [
        Text(
            f"What {variant.title} scored most wrongly: negatives with the highest score and positives with the "
            "lowest, on the wrong side of the threshold, classes of the headline only, one a subject. A label may be "
            f"wrong as well as a score. The {LISTED} largest deviations of each task, either way, are in errors.csv."
        )
    ]
    threshold = evaluation.config.threshold
    wrong = frame[frame["positive"] != (frame["score"] >= threshold)]
    drawn = [row for task in evaluation.contexts for row in _drawn(wrong[wrong["task"] == task])]
    rows = [[r["task"], r["record"], _where(r), r["cls"], _label(r), f"{r['score']:.3f}"] for r in drawn]
    if not rows:
        parts.append(Text("Among these none is on the wrong side."))
    else:
        header = ["task", "record", "segment", "class", "label", "score"]
        parts.append(Table("errors", f"{kind}Worst errors of {variant.title}", header, rows))
    places = {d["name"]: d.get("place", "") for d in evaluation.suite.info["data"]}
    lacking: dict[str, int] = {}
    for row in drawn:
        read = _Reading(places.get(row["dataset"], ""), row["dataset"], row["file"])
        if not read.there:
            lacking[row["dataset"]] = lacking.get(row["dataset"], 0) + 1
            continue
        where = "" if row["segment"] < 0 else f"-{row['segment']}"  # one record may hold a false alarm and a miss
        name = slug(f"error-{row['task']}-{row['cls']}-{row['record']}{where}")
        parts.append(Figure(name, kind + _title(row), lambda row=row, read=read: _paper(row, read)))
    for dataset, n in lacking.items():
        place = places.get(dataset)
        why = f"they are not in {place} any more" if place else "where they were read from is not known"
        parts.append(Text(f"{n} recordings of {dataset} are not drawn: {why}."))
    return Section(f"{kind}Worst errors", tuple(parts), {"errors": frame})


def _shown(evaluation: Evaluation) -> Variant | None:
    finished = [v for v in evaluation.suite.variants if v.name not in evaluation.failures]
    return next((v for v in finished if v.reference), finished[0] if finished else None)


def errors_frame(evaluation: Evaluation, reader: ScoreReader, variant: Variant) -> pd.DataFrame:
    """The :data:`LISTED` largest errors of each task either way, largest first; columns as in :data:`COLUMNS`.

    Negatives and positives are listed apart: where the ones are many, none of the others would be among the largest.
    """
    people = read_people(evaluation.suite)
    files = {} if people is None else people.set_index(["dataset", "record"])["file"].to_dict()
    made = []
    for context in evaluation.contexts.values():
        if context.head.support == NO_SUPPORT:
            continue
        score = nan_mean(reader.scores(variant, context.task).headline)
        names = [s.name for s in context.task.scores]
        found = [_of_class(context, names.index(cls), score) for cls in context.head.classes]
        rows = pd.concat(found, ignore_index=True)
        rows["error"] = np.where(rows["positive"], 1 - rows["score"], rows["score"])
        order = ["error", "record", "segment", "cls"]
        rows = rows.sort_values(order, ascending=[False, True, True, True]).groupby("positive").head(LISTED)
        rows["task"], rows["dataset"] = context.task.name, context.task.dataset
        rows["file"] = [files.get((context.task.dataset, r), "") for r in rows["record"]]
        made.append(rows)
    frame = pd.concat(made, ignore_index=True) if made else pd.DataFrame(columns=COLUMNS)
    frame["data"] = "synthetic" if evaluation.suite.synthetic else "real"
    return frame[COLUMNS]


def _of_class(context, k: int, score: np.ndarray) -> pd.DataFrame:
    """The largest errors of one class, both ways."""
    units, name = context.units, context.task.scores[k].name
    at = np.flatnonzero(context.support[name].scored & np.isfinite(score[:, k]))
    positive = units.positive[at, k]
    error = np.where(positive, 1 - score[at, k], score[at, k])
    kept = [np.flatnonzero(side)[np.argsort(-error[side], kind="stable")[:LISTED]] for side in (positive, ~positive)]
    at = at[np.concatenate(kept)]
    subject = units.subjects[units.subject[at]]
    columns = {"record": units.record[at], "segment": units.segment[at], "subject": subject, "cls": name}
    return pd.DataFrame(columns | {"positive": units.positive[at, k], "score": score[at, k]})


def _drawn(frame: pd.DataFrame) -> list[dict]:
    """The worst false alarms and misses of one task, one a subject."""
    rows = []
    for positive in (False, True):
        rows += frame[frame["positive"] == positive].drop_duplicates("subject").head(DRAWN).to_dict("records")
    return rows


def _label(row: dict) -> str:
    return "positive" if row["positive"] else "negative"


def _where(row: dict) -> str:
    return "whole" if row["segment"] < 0 else f"{row['segment'] * SEGMENT_S:.0f} s"


def _title(row: dict) -> str:
    at = "" if row["segment"] < 0 else f" from {_where(row)}"
    return f"{row['dataset']} {row['record']}{at}: {row['cls']} scored {row['score']:.3f}, labelled {_label(row)}"


@dataclass(frozen=True)
class _Reading:
    """A recording's file, below a folder that may have moved."""

    place: str
    dataset: str
    file: str

    @property
    def there(self) -> bool:
        return bool(self.place and self.file) and (Path(self.place) / self.file).is_file()

    def record(self) -> Record:
        from ecg_ramba.data.registry import dataset

        return dataset(self.dataset).read(Path(self.place) / self.file)


def _paper(row: dict, reading: _Reading):
    """The recording on ECG paper; a page that says why where it cannot be read any more."""
    from ecg_ramba.ecg_paper import drawing, empty_page

    try:
        record = reading.record()
    except (RecordError, UserError) as error:
        return empty_page(f"{_title(row)}\ncannot be drawn: {error}")
    return drawing(record, _title(row), max(0, row["segment"]) * SEGMENT_S)
