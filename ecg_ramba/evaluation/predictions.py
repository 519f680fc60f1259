"""A variant's ``windows.parquet`` as checked arrays."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.evaluation.suite import Suite, read_parquet

KEYS = ("dataset", "record", "segment", "start", "fold", "seed")


@dataclass(frozen=True)
class Predictions:
    """Window probabilities of one variant on one data set, sorted by record, segment and start.

    Parameters
    ----------
    classes : tuple of str
    record : (n_windows,) str array
    segment, start : (n_windows,) int arrays
        Segment of the record; first sample of the window in it, at 500 Hz.
    fold : (n_windows,) int array or None
        Source: fold whose model predicted. Targets: None, ``folds`` names them.
    folds : tuple of int
    probability : (n_seeds, n_folds, n_windows, n_classes) float32 array
        One fold (the held-out one) at the source, all of them at a target. NaN where a fold did not train a class.
    """

    classes: tuple[str, ...]
    record: np.ndarray
    segment: np.ndarray
    start: np.ndarray
    fold: np.ndarray | None
    folds: tuple[int, ...]
    probability: np.ndarray


def _sorted(rows: pd.DataFrame, path: Path, dataset: str, by_fold: bool) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Rows ordered by seed (and fold), record, segment, start; their record codes; the record names."""
    code, names = pd.factorize(rows["record"].astype(str), sort=True)
    keys = [rows["start"].to_numpy(), rows["segment"].to_numpy(), code]
    keys += [rows["fold"].to_numpy()] if by_fold else []
    keys += [rows["seed"].to_numpy()]
    order = np.lexsort(keys)
    ordered = [k[order] for k in keys]
    same = np.logical_and.reduce([k[1:] == k[:-1] for k in ordered])
    if same.any():
        at = order[np.argmax(same)]
        raise UserError(f"{path}: {dataset} record {names[code[at]]} has a window twice; delete the file and run again")
    return rows.iloc[order], code[order], np.asarray(names, object)


def _blocks(rows: pd.DataFrame, code: np.ndarray, n: int, path: Path, dataset: str) -> None:
    """Every one of ``n`` models (seeds, folds) must have predicted the same windows."""
    if len(rows) % n:
        raise UserError(f"{path}: {dataset}: not every fold and seed predicted the same windows; run again")
    for values in (code, rows["segment"].to_numpy(), rows["start"].to_numpy()):
        grid = values.reshape(n, -1)
        if (grid != grid[0]).any():
            raise UserError(f"{path}: {dataset}: not every fold and seed predicted the same windows; run again")


def _check_values(p: np.ndarray, owner: np.ndarray, classes, path: Path, dataset: str, allowed) -> None:
    """Probabilities in [0, 1]; NaN only for whole (fold, class) pairs known to be untrained."""
    absent = np.isnan(p)
    bad = ~absent & ~((p >= 0) & (p <= 1))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        value = p[row, column]
        raise UserError(
            f"{path}: {dataset}: {classes[column]} has probability {value:g}, outside 0 to 1; the model is at fault"
        )
    for fold in np.unique(owner):
        for column in np.flatnonzero(absent[owner == fold].any(axis=0)):
            if (int(fold), classes[column]) not in allowed:
                raise UserError(
                    f"{path}: {dataset}: {classes[column]} is NaN in fold {fold}, though suite.json does not list that "
                    "pair as untrained; the model is at fault"
                )


def read_predictions(suite: Suite, windows: str, dataset: str, held_out: dict[str, int] | None, allowed) -> Predictions:
    """Read one data set's rows of a variant's ``windows.parquet``.

    Parameters
    ----------
    suite : Suite
    windows : str
        Path of the file relative to the suite.
    dataset : str
    held_out : dict of record -> fold, or None
        The source's held-out folds; None for a target.
    allowed : set of (fold, class)
        Pairs that were not trained: the only ones that may be NaN, and masked whatever the model says.

    Raises
    ------
    UserError
        Naming the file, for doubled, missing or impossible rows; LeakageError if a source record was predicted by a
        model that had it in training.
    """
    path = suite.path / windows
    try:
        names = pq.read_schema(path).names if path.is_file() else None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({str(error).splitlines()[0]}); run the suite again") from error
    if names is None:
        raise UserError(f"{path}: no such file; run the suite again")
    absent = [k for k in KEYS if k not in names]
    if absent:
        raise UserError(f"{path}: lacks the column{'s' * (len(absent) > 1)} {', '.join(absent)}; run the suite again")
    rows = read_parquet(path, filters=[("dataset", "==", dataset)])
    if not len(rows):
        raise UserError(f"{path}: no predictions for {dataset}; run the suite again")
    classes = tuple(c for c in rows.columns if c not in KEYS)
    n_seeds = rows["seed"].nunique()
    if n_seeds != suite.n_seeds:
        raise UserError(f"{path}: {dataset}: {n_seeds} of {suite.n_seeds} seeds are there; run the suite again")
    by_fold = held_out is None
    folds = tuple(int(f) for f in np.unique(rows["fold"])) if by_fold else (-1,)
    if by_fold and len(folds) != suite.n_folds:
        raise UserError(
            f"{path}: {dataset}: {len(folds)} of {suite.n_folds} fold models predicted it; run the suite again"
        )
    rows, code, records = _sorted(rows, path, dataset, by_fold)
    fold = rows["fold"].to_numpy(np.int64)
    if not by_fold:
        expected = np.array([held_out.get(r, -2) for r in records])[code]
        leaked = (expected != -2) & (fold != expected)
        if leaked.any():
            record = records[code[np.argmax(leaked)]]
            raise LeakageError(f"{path}: {dataset} record {record} was predicted by a model trained on it; run again")
    _blocks(rows, code, n_seeds * len(folds), path, dataset)
    p = rows[list(classes)].to_numpy(np.float32)
    _check_values(p, fold, classes, path, dataset, allowed)
    for at, cls in allowed:
        if cls in classes:
            p[fold == at, classes.index(cls)] = np.nan
    n = len(rows) // (n_seeds * len(folds))
    return Predictions(
        classes=classes,
        record=records[code[:n]],
        segment=rows["segment"].to_numpy(np.int64)[:n],
        start=rows["start"].to_numpy(np.int64)[:n],
        fold=None if by_fold else fold[:n],
        folds=folds,
        probability=p.reshape(n_seeds, len(folds), n, len(classes)),
    )
