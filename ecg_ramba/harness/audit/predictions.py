"""Predictions: who predicted what, what is missing, and whether the stored windows are what the models said."""

from pathlib import Path

import numpy as np
import pandas as pd

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.predictions import KEYS
from ecg_ramba.evaluation.suite import read_parquet, untrained
from ecg_ramba.files import is_complete
from ecg_ramba.harness.audit.checks import Check, Stored, judge, plural, unchecked
from ecg_ramba.keys import array_digest

PREDICTIONS = "predictions"
HELD_OUT = "each recording of the source was predicted by models of its held-out fold alone"
WHOLE = "every recording, and no other, was predicted by every seed; each target's by every fold"
SAME = "all variants predicted the same windows"
VALUES = "probabilities lie between 0 and 1, and are missing only where a fold did not train the class"
AS_SAID = "the stored windows are what the cells' models predicted, to the last bit"


def check_predictions(stored: Stored, out: Path) -> list[Check]:
    """Check every variant's windows.

    Parameters
    ----------
    stored : Stored
    out : Path
        Where the cells' own predictions lie: ``OUT/predictions/KEY-…``.
    """
    files: dict[str, list[str]] = {}
    for v in stored.suite.variants:
        if not v.failure:
            files.setdefault(v.windows, []).append(v.name)
    problems: dict[str, list[str]] = {claim: [] for claim in (HELD_OUT, WHOLE, SAME, VALUES, AS_SAID)}
    windows: dict[str, dict[str, str]] = {}
    counts = dict.fromkeys(("rows", "home", "held", "cells", "lacking"), 0)
    for file, names in files.items():
        try:
            frame = read_parquet(stored.suite.path / file)
            absent = [k for k in KEYS if k not in frame.columns]
            if absent:
                raise UserError(f"{file} lacks the columns {', '.join(absent)}")
        except UserError as error:
            problems[WHOLE].append(str(error))
            continue
        frame["record"] = frame["record"].astype(str)
        counts["rows"] += len(frame)
        problems[HELD_OUT] += _held_out(stored, names[0], frame, counts)
        problems[WHOLE] += _whole(stored, names[0], frame)
        problems[VALUES] += _values(stored, names[0], frame)
        for dataset, of in frame.groupby("dataset", sort=False):
            windows.setdefault(dataset, {}).setdefault(_windows(of), names[0])
        problems[AS_SAID] += _as_said(stored, names, frame, out, counts)
    problems[SAME] = [f"{d}: {' and '.join(of.values())} differ" for d, of in windows.items() if len(of) > 1]
    n = f"{plural(len(files), 'file')}, {counts['rows']:,} rows"
    checks = [_home(problems[HELD_OUT], counts)]
    checks += [judge(PREDICTIONS, claim, problems[claim], n) for claim in (WHOLE, SAME, VALUES)]
    return checks + _said(problems[AS_SAID], counts, out)


def _home(problems: list[str], counts: dict) -> Check:
    if not counts["home"]:
        return unchecked(PREDICTIONS, HELD_OUT, "the run scores no recording of its source")
    return judge(PREDICTIONS, HELD_OUT, problems, f"{counts['home']:,} rows of the source")


def _said(problems: list[str], counts: dict, out: Path) -> list[Check]:
    checks = []
    if counts["cells"] or problems:
        counted = f"{counts['held']:,} rows of {plural(counts['cells'], 'cell')}"
        checks.append(judge(PREDICTIONS, AS_SAID, problems, counted))
    if counts["lacking"] or not counts["cells"]:
        what = f"{plural(counts['lacking'], 'cell')}" if counts["lacking"] else "every cell"
        why = f"the predictions of {what} are not in {out / 'predictions'}, or cells.json does not name them"
        checks.append(unchecked(PREDICTIONS, AS_SAID, why))
    return checks


def _folds_of(stored: Stored) -> dict[str, int]:
    """Held-out fold of each recording of the source that is scored."""
    labels = stored.suite.labels
    home = labels[labels["task"].isin({t.name for t in stored.suite.tasks if t.source})]
    found = dict(zip(home["record"].astype(str), home["fold"].astype(int), strict=True))
    return found | (stored.held_out or {})


def _held_out(stored: Stored, name: str, frame: pd.DataFrame, counts: dict) -> list[str]:
    home = frame[frame["dataset"] == stored.suite.info["source"]]
    counts["home"] += len(home)
    fold = home["record"].map(_folds_of(stored))
    wrong = home[(fold.notna() & (fold != home["fold"])).to_numpy()].drop_duplicates(["record", "fold"])
    return [
        f"{name}: record {r.record} was predicted by fold {r.fold}, it is held out in fold {int(fold[r.Index])}"
        for r in wrong.itertuples()
    ]


def _expected(stored: Stored) -> dict[str, set[str]]:
    """Recordings that must have been predicted, by data set."""
    table = stored.people if stored.people is not None else stored.suite.labels
    return {str(d): set(of["record"].astype(str)) for d, of in table.groupby("dataset")}


def _whole(stored: Stored, name: str, frame: pd.DataFrame) -> list[str]:
    suite, out = stored.suite, []
    doubled = frame.duplicated(list(KEYS))
    if doubled.any():
        out.append(f"{name}: {frame[doubled].iloc[0]['record']} has a window twice")
    expected = _expected(stored)
    for dataset in sorted(expected.keys() | set(frame["dataset"])):
        of = frame[frame["dataset"] == dataset]
        there, wanted = set(of["record"]), expected.get(dataset, set())
        for what, records in (("no prediction of", wanted - there), ("a prediction of", there - wanted)):
            if records:
                others = "" if what.startswith("no") else ", which the run does not use"
                out.append(
                    f"{name}: {what} {plural(len(records), 'record')} of {dataset}, {min(records)} first{others}"
                )
        models = suite.n_seeds * (1 if dataset == suite.info["source"] else suite.n_folds)
        per_window = of.groupby(["record", "segment", "start"], sort=False).size()
        short = per_window[per_window != models]
        if len(short):
            record = short.index[0][0]
            out.append(
                f"{name}: {dataset}: {plural(len(short), 'window')} of other than {plural(models, 'model')}, "
                f"record {record} first"
            )
    return out


def _values(stored: Stored, name: str, frame: pd.DataFrame) -> list[str]:
    classes = [c for c in frame.columns if c not in KEYS]
    out, allowed = [], untrained(stored.suite)
    for fold, of in frame.groupby("fold"):
        p = of[classes].to_numpy(np.float32)
        absent = np.isnan(p)
        outside = ~absent & ~((p >= 0) & (p <= 1))
        for k in np.flatnonzero(outside.any(0)):
            out.append(f"{name}: {classes[k]} has {int(outside[:, k].sum())} values outside 0 to 1 in fold {fold}")
        for k in np.flatnonzero(absent.any(0)):
            if (int(fold), classes[k]) not in allowed:
                n = int(absent[:, k].sum())
                out.append(f"{name}: {classes[k]} is missing in {n} rows of fold {fold}, which trained it")
    return out


def _windows(of: pd.DataFrame) -> str:
    """Digest of the windows of one data set, in order of their names."""
    unique = of[["record", "segment", "start"]].drop_duplicates().sort_values(["record", "segment", "start"])
    return array_digest(
        unique["record"].to_numpy().astype("U"), *(unique[c].to_numpy(np.int64) for c in ("segment", "start"))
    )


def _as_said(stored: Stored, names: list[str], frame: pd.DataFrame, out: Path, counts: dict) -> list[str]:
    """A trained variant's rows against what its cells predicted, cell by cell and data set by data set."""
    problems = []
    cells = [c for c in stored.cells or [] if c["variant"] in names]
    datasets = set(frame["dataset"])
    for cell in cells:
        own = frame[(frame["fold"] == cell["fold"]) & (frame["seed"] == cell["seed"])]
        found: dict[str, list[bool]] = {}
        for place in sorted((out / "predictions").glob(f"{cell['key'][:24]}-*")):
            if not is_complete(place):
                continue
            said = read_parquet(place / "windows.parquet")
            dataset = str(said["dataset"].iloc[0]) if len(said) else ""
            mine = own[own["dataset"] == dataset]
            # the same cell may have predicted other recordings of a data set for other runs
            if len(said) == len(mine) and set(said["record"]) == set(mine["record"]):
                found.setdefault(dataset, []).append(_equal(said, mine))
                counts["held"] += len(mine)
        counts["cells"] += bool(found)
        counts["lacking"] += bool(datasets - found.keys())
        where = f"{cell['variant']}, fold {cell['fold']}, seed {cell['seed']}"
        problems += [
            f"{where}: its rows of {d} are not what it predicted" for d, same in found.items() if not any(same)
        ]
    return problems


def _equal(said: pd.DataFrame, mine: pd.DataFrame) -> bool:
    keys = ["record", "segment", "start"]
    if set(said.columns) != set(mine.columns):
        return False
    one, other = (f.sort_values(keys, ignore_index=True)[sorted(said.columns)] for f in (said, mine))
    values = [c for c in one.columns if c not in KEYS]
    same = (one[keys].astype(str).to_numpy() == other[keys].astype(str).to_numpy()).all()
    return bool(same and np.array_equal(one[values].to_numpy(), other[values].to_numpy(), equal_nan=True))
