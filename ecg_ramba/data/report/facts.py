"""What the report says, as tables: counted from the records that were read, one row each."""

from dataclasses import fields

import numpy as np
import pandas as pd

from ecg_ramba.data.labels import PAPER27
from ecg_ramba.data.near import near_duplicates
from ecg_ramba.data.reading import Checked, Found

ARTEFACT_MV = 5.0
"""A deviation from a lead's median above this is hardly of the heart."""

EINTHOVEN = 0.1
"""A residual of Einthoven's law above this part of lead II is more than rounding."""

_KEPT = tuple(f.name for f in fields(Checked) if f.name != "fingerprint")


def records_frame(found: Found) -> pd.DataFrame:
    """One row a record that loads, with its ``place`` (data set and hospital) and ``name`` (data set/record)."""
    frame = pd.DataFrame({name: [getattr(c, name) for c in found.checked] for name in _KEPT})
    frame["place"] = [f"{d} {h}".strip() for d, h in zip(frame["dataset"], frame["hospital"], strict=True)]
    frame["name"] = frame["dataset"] + "/" + frame["record"]
    frame["badness"] = badness(frame)
    return frame


def badness(frame: pd.DataFrame) -> pd.Series:
    """How bad a recording's signal is, to put the worst first: the share of its leads that are dead; what its largest
    deviation exceeds 5 mV by, per 5 mV, at most 1; Einthoven's residual, at most 1. Not a diagnosis."""
    dead = frame["dead_leads"].map(len) / 12
    peak = frame["peak"].where(frame["units"] == "mV", 0.0)
    beyond = ((peak - ARTEFACT_MV) / ARTEFACT_MV).clip(0, 1)
    return dead + beyond + frame["einthoven"].fillna(0.0).clip(0, 1)


def label_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Records with each of the 27 classes (rows) at each place (columns); classes that are nowhere are left out."""
    counts = {
        place: {name: sum(name in labels for labels in part["labels"]) for name in PAPER27}
        for place, part in frame.groupby("place", sort=True)
    }
    table = pd.DataFrame(counts, index=list(PAPER27))
    return table[table.sum(axis=1) > 0]


def people(frame: pd.DataFrame) -> list[list[str]]:
    """Per data set: records, subjects, most records of one, age (median and quartiles), age unknown, women, sex
    unknown."""
    rows = []
    for name, part in frame.groupby("dataset", sort=True):
        ages = part["age"].dropna()
        quartiles = "–" if ages.empty else "{1:.0f} ({0:.0f} to {2:.0f})".format(*np.percentile(ages, (25, 50, 75)))
        known = part[part["sex"] != ""]
        women = f"{(known['sex'] == 'female').mean():.0%}" if len(known) else "–"
        subjects = part["subject"].value_counts()
        count = f"{len(subjects)}{'' if part['subject_known'].all() else '*'}"
        rows.append(
            [name, len(part), count, subjects.max(), quartiles, len(part) - len(ages), women, len(part) - len(known)]
        )
    return [[str(v) for v in row] for row in rows]


PEOPLE = ["data set", "records", "subjects", "most records of one", "age", "age unknown", "women", "sex unknown"]


def signals(frame: pd.DataFrame) -> list[list[str]]:
    """Per data set: rates, lengths, and recordings with dead leads, artefacts, a residual, repairs."""
    rows = []
    for name, part in frame.groupby("dataset", sort=True):
        millivolts, law = part[part["units"] == "mV"], part["einthoven"].dropna()
        shortest, middle, longest = part["seconds"].min(), part["seconds"].median(), part["seconds"].max()
        rows.append(
            [
                name,
                ", ".join(f"{rate:g}" for rate in sorted(part["rate"].unique())),
                f"{shortest:.0f} s" if shortest == longest else f"{shortest:.0f} to {longest:.0f} s ({middle:.0f})",
                _share(part["dead_leads"].map(len) > 0),
                _share(millivolts["peak"] > ARTEFACT_MV),
                _share(law > EINTHOVEN),
                _share(part["warnings"].map(len) > 0),
            ]
        )
    return rows


SIGNALS = [
    "data set",
    "Hz",
    "length (median)",
    "dead leads",
    f"beyond {ARTEFACT_MV:g} mV",
    f"Einthoven's residual above {EINTHOVEN:.0%}",
    "header repaired",
]


def _share(flags: pd.Series) -> str:
    return f"{int(flags.sum())} ({flags.mean():.1%})" if len(flags) else "–"


def near_pairs(found: Found) -> pd.DataFrame:
    """Pairs of recordings with nearly the same signal that are not the same samples.

    Returns
    -------
    DataFrame
        ``one`` and ``other`` (rows of :func:`records_frame`), ``similarity``, and ``relation``: of one recording by its
        publisher's number, of one subject, or of different subjects.
    """
    at = [i for i, c in enumerate(found.checked) if c.fingerprint is not None]
    pairs = []
    if at:
        stacked = np.stack([found.checked[i].fingerprint for i in at])
        for i, j, similarity in near_duplicates(stacked):
            one, other = found.checked[at[i]], found.checked[at[j]]
            if one.digest != other.digest:
                pairs.append((at[i], at[j], similarity, relation(one, other)))
    kinds = {"one": np.int64, "other": np.int64, "similarity": np.float64, "relation": object}
    return pd.DataFrame(pairs, columns=list(kinds)).astype(kinds)


SAME, SUBJECT, DIFFERENT = "one recording, two forms", "one subject", "different subjects"


def relation(one: Checked, other: Checked) -> str:
    """What two recordings are to each other by their publisher's numbers."""
    if one.publisher == other.publisher:
        if one.publisher_id == other.publisher_id:
            return SAME
        if one.subject_known and other.subject_known and one.subject == other.subject:
            return SUBJECT
    return DIFFERENT


def overlaps(frame: pd.DataFrame, groups: list[list[str]], near: pd.DataFrame) -> pd.DataFrame:
    """Recordings of each data set (rows) that have a copy in each data set (columns): same samples or nearly."""
    of = dict(zip(frame["name"], frame["dataset"], strict=True))
    names = frame["name"].to_numpy()
    linked: dict[str, set[str]] = {}
    for group in groups:
        for one in group:
            linked.setdefault(one, set()).update(of[other] for other in group if other != one)
    for one, other in zip(names[near["one"]], names[near["other"]], strict=True):
        linked.setdefault(one, set()).add(of[other])
        linked.setdefault(other, set()).add(of[one])
    sets = sorted(frame["dataset"].unique())
    table = pd.DataFrame(0, index=sets, columns=sets)
    for one, others in linked.items():
        for other in others:
            table.loc[of[one], other] += 1
    return table


def parts(frame: pd.DataFrame) -> list[list[str]]:
    """Per data set with known subjects: subjects of several records, and those that the publisher's folds divide."""
    rows = []
    for name, part in frame[frame["subject_known"]].groupby("dataset", sort=True):
        several = part.groupby("subject").filter(lambda g: len(g) > 1)
        divided = several[several["strat_fold"] > 0].groupby("subject")["strat_fold"].nunique() > 1
        folds = sorted(set(part["strat_fold"]) - {0})
        rows.append([name, several["subject"].nunique(), len(several), int(divided.sum()) if folds else "no folds"])
    return [[str(v) for v in row] for row in rows]


PARTS = ["data set", "subjects of several records", "their records", "in more than one of the publisher's folds"]
