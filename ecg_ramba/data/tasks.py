"""Tasks: what is scored on each data set, and the truth each score is compared with.

A task's class score is an operation over class probabilities, taken per window and then pooled over the unit. The
definitions and the labels are plain tables, so that every metric is a function of two files.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecg_ramba.data.index import episodes_of
from ecg_ramba.data.labels import LabelSpace
from ecg_ramba.data.record import Episode
from ecg_ramba.data.store import Prepared
from ecg_ramba.errors import UserError
from ecg_ramba.signal import SEGMENT

AF_AFL = "AF|AFL"
AF_RHYTHMS = ("AFIB", "AFL")
SUPERCLASSES = {
    "NORM": ("max", ("SNR", "SB", "STach", "SA")),
    "MI": ("max", ("QAb",)),
    "STTC": ("max", ("TInv", "TAb", "LQT")),
    "CD": ("max", ("LBBB", "RBBB", "CRBBB", "IRBBB", "IAVB", "LAnFB", "NSIVCB")),
}
"""The paper's mapping of PTB-XL's superclasses. Sinus rhythm is not a normal ECG, so NORM is reported both ways."""
TRUTH_COLUMNS = (
    "task", "dataset", "record", "segment", "subject", "fold", "cls", "positive", "known", "paced", "hospital",
)  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """Labels of a data set's recordings in one label space: ``y`` and ``known`` are (n_records, classes) bool."""

    space: LabelSpace
    y: np.ndarray
    known: np.ndarray


def truth_of(data: Prepared, space: LabelSpace) -> Truth:
    """Labels with what is unknown: a class the publisher never annotates is unknown, not negative."""
    index = {c: i for i, c in enumerate(space.classes)}
    y = np.zeros((len(data.records), len(index)), dtype=bool)
    known = np.zeros_like(y)
    annotated = {h: space.merge(c) for h, c in data.annotated.items()}
    for i, (labels, hospital) in enumerate(zip(data.records["labels"], data.records["hospital"], strict=True)):
        y[i, [index[c] for c in space.merge(labels)]] = True
        known[i, [index[c] for c in annotated[hospital]]] = True
    return Truth(space, y & known, known)


def build_tasks(
    source: Prepared | None,
    targets: list[Prepared],
    space: LabelSpace,
    trained: frozenset[str],
    fold: np.ndarray | None,
) -> tuple[list[dict], pd.DataFrame, dict[str, int]]:
    """Task definitions and the table of truth for a suite.

    Parameters
    ----------
    source, targets : Prepared
        Already without unlabelled and overlapping recordings; None for a source that is not scored.
    space : LabelSpace
        Classes of the outputs.
    trained : frozenset of str
        Classes that at least one fold trains; others cannot be scored.
    fold : (n_source,) int array
        Held-out fold of each source recording; not read without a source.

    Returns
    -------
    tasks : list of dict
        As stored in tasks.json.
    truth : DataFrame
        As stored in labels.parquet, one row a unit and class.
    dropped : dict
        Data set -> number of segments that cross an episode's border, left out of the window task.
    """
    tasks, frames, dropped = [], [], {}
    if source is not None:
        home, frame = _class_task(source, space, trained, "source", "source", fold)
        tasks.append(home)
        frames.append(frame)
    for target in targets:
        outside = np.full(len(target.records), -1)
        if target.records["episodes"].notna().any():
            made, counts = _episode_tasks(target, trained)
            dropped[target.name] = counts
        else:
            made = [_class_task(target, space, trained, target.name, "target", outside)]
            if any(target.records["superclasses"]):
                made += _superclass_tasks(target, space, trained)
        for task, frame in made:
            if task["scores"]:
                tasks.append(task)
                frames.append(frame)
    if not frames:
        names = ", ".join(t.name for t in targets)
        raise UserError(f"{names}: no class is both annotated there and trained, so nothing can be scored")
    return tasks, pd.concat(frames, ignore_index=True), dropped


def _task(name, data: Prepared, unit, role, scores, macro, notes=()) -> dict:
    return {
        "task": name,
        "dataset": data.name,
        "unit": unit,
        "role": role,
        "scores": scores,
        "macro": macro,
        "derived": data.derived,
        "synthetic": data.synthetic,
        "notes": list(notes),
    }


def _frame(task: str, data: Prepared, rows, segment, fold, cls: str, positive, known) -> pd.DataFrame:
    """Rows of the truth table; ``rows`` indexes the recordings, the rest is per unit or a scalar."""
    records = data.records.iloc[rows]
    columns = {
        "task": task,
        "dataset": data.name,
        "record": records["record"].to_numpy(),
        "segment": np.broadcast_to(np.int32(segment), len(rows)),
        "subject": records["subject"].to_numpy(),
        "fold": np.broadcast_to(np.int16(fold), len(rows)),
        "cls": cls,
        "positive": positive,
        "known": known,
        "paced": records["paced"].to_numpy(),
        "hospital": records["hospital"].to_numpy(),
    }
    return pd.DataFrame(columns)[list(TRUTH_COLUMNS)]


def _class_task(data, space, classes, name, role, fold) -> tuple[dict, pd.DataFrame]:
    """Each class that the data set annotates and the source trains, and ``AF|AFL`` in place of the two in macros."""
    truth = truth_of(data, space)
    rows = np.arange(len(data.records))
    scores, frames = {}, []
    for i, c in enumerate(space.classes):
        if c in classes and truth.known[:, i].any():
            scores[c] = {"op": "max", "of": [c]}
            frames.append(_frame(name, data, rows, -1, fold, c, truth.y[:, i], truth.known[:, i]))
    either = [c for c in ("AF", "AFL") if c in classes or c in scores]
    notes = []
    if either:
        notes = _union_notes(classes)
        af = [space.classes.index(c) for c in ("AF", "AFL")]
        positive = truth.y[:, af].any(1)
        # A hospital that codes all its fibrillation and flutter under one of the two still knows their union.
        known = truth.known[:, af].any(1)
        if known.any():
            scores[AF_AFL] = {"op": "max", "of": either}
            frames.append(_frame(name, data, rows, -1, fold, AF_AFL, positive, known))
    macro = [c for c in scores if c not in ("AF", "AFL") or AF_AFL not in scores]
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=TRUTH_COLUMNS)
    return _task(name, data, "record", role, scores, macro, notes), frame


def _union_notes(trained) -> list[str]:
    """Which of AF and AFL the score of their union lacks."""
    missing = [c for c in ("AF", "AFL") if c not in trained]
    return [f"{AF_AFL}: {c} not trained at the source, so the other's probability stands alone" for c in missing]


def _superclass_tasks(data: Prepared, space: LabelSpace, trained) -> list[tuple[dict, pd.DataFrame]]:
    """PTB-XL's diagnostic superclasses on all folds and on fold 10, its customary test fold."""
    has = data.records["superclasses"].map(bool).to_numpy()
    made = []
    for name, rows in (
        (f"{data.name}-superclass", np.arange(len(data.records))),
        (f"{data.name}-superclass-fold10", np.flatnonzero(data.records["strat_fold"] == 10)),
    ):
        scores, frames, notes = {}, [], []
        for superclass, (op, members) in SUPERCLASSES.items():
            of = [c for c in members if c in trained and c in space.classes]
            missing = [c for c in members if c in space.classes and c not in trained]
            if missing:
                notes.append(f"{superclass}: {', '.join(missing)} not trained at the source")
            if of:
                scores[superclass] = {"op": op, "of": of}
        abnormal = sorted({c for s in ("MI", "STTC", "CD") if s in scores for c in scores[s]["of"]})
        if abnormal:
            scores["NORM (1 - max abnormal)"] = {"op": "1-max", "of": abnormal}
        for cls in scores:
            superclass = cls.split(" ")[0]
            positive = np.array([superclass in s for s in data.records["superclasses"].iloc[rows]], dtype=bool)
            frames.append(_frame(name, data, rows, -1, -1, cls, positive, has[rows]))
        macro = [c for c in SUPERCLASSES if c in scores]
        if frames and len(rows):
            made.append((_task(name, data, "record", "target", scores, macro, notes), pd.concat(frames)))
    return made


def in_af(start: float, end: float, episodes: tuple[Episode, ...]) -> bool | None:
    """Whether a stretch lies wholly inside AF or flutter (True), wholly outside (False), or crosses a border (None)."""
    overlap = sum(max(0.0, min(end, e.end) - max(start, e.start)) for e in episodes if e.rhythm in AF_RHYTHMS)
    tolerance = 1e-6
    if overlap <= tolerance:
        return False
    return True if overlap >= end - start - tolerance else None


def _episode_tasks(data: Prepared, trained) -> tuple[list[tuple[dict, pd.DataFrame]], int]:
    """CPSC-2021's two tasks: 10 s segments inside or outside AF, and recordings with any AF."""
    of = [c for c in ("AF", "AFL") if c in trained]
    if not of:
        return [], 0
    scores = {AF_AFL: {"op": "max", "of": of}}
    rows, segment, inside, crossing = [], [], [], 0
    any_af = np.zeros(len(data.records), dtype=bool)
    for i, record in enumerate(data.records.itertuples()):
        episodes = episodes_of(record.episodes) or ()
        any_af[i] = any(e.rhythm in AF_RHYTHMS for e in episodes)
        for s in range(record.n_segments):
            at = record.first_segment + s
            state = in_af(data.start[at], data.start[at] + data.valid[at] / (SEGMENT / 10), episodes)
            if state is None:
                crossing += 1
                continue
            rows.append(i)
            segment.append(s)
            inside.append(state)
    window, whole = f"{data.name}-window", f"{data.name}-record"
    notes = _union_notes(trained)
    rows = np.array(rows, dtype=int)
    made = []
    if len(rows):
        frame = _frame(window, data, rows, np.array(segment), -1, AF_AFL, np.array(inside), True)
        crossed = f"{crossing} segments cross an episode's border and are left out"
        made.append((_task(window, data, "segment", "target", scores, [AF_AFL], [crossed, *notes]), frame))
    everything = np.arange(len(data.records))
    frame = _frame(whole, data, everything, -1, -1, AF_AFL, any_af, True)
    made.append((_task(whole, data, "record", "target", scores, [AF_AFL], notes), frame))
    return made, crossing
