"""Predictions of a model from elsewhere, as a Parquet or CSV file in the form of ``windows.parquet``.

Columns: dataset, record, segment, start, fold, seed, and one of probabilities for each class, as in the windows.parquet
of any trained variant of the same run, whose rows say what to predict: the source's recordings by the model of their
held-out fold alone, each target's by the model of every fold. Classes that the run trains in no fold may be left out;
for others that a model does not know give 0.5.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.evaluation.predictions import KEYS, Predictions


def read_foreign(path: Path, classes: Sequence[str] = ()) -> pd.DataFrame:
    """A file of predictions, in its own order; records as text, probabilities as numbers, NaN where they are none.

    Parameters
    ----------
    path : Path
        Parquet, or CSV by its suffix.
    classes : sequence of str
        Classes that must have a column.

    Raises
    ------
    UserError
        For a damaged file, missing columns, or a window that is there twice.
    """
    try:
        text = {"dataset": str, "record": str}  # a record may be called 00012
        frame = pd.read_csv(path, dtype=text) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None
    absent = [k for k in [*KEYS, *classes] if k not in frame.columns]
    if absent:
        raise UserError(f"{path}: lacks the columns {', '.join(absent)}; see windows.parquet of a trained variant")
    frame["record"] = frame["record"].astype(str)
    doubled = frame.duplicated(list(KEYS))
    if doubled.any():
        row = frame[doubled].iloc[0]
        raise UserError(f"{path}: {row['dataset']} record {row['record']} has a window twice")
    for name in frame.columns.difference(KEYS):
        if not pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = pd.to_numeric(frame[name], errors="coerce")  # words are no probabilities: refused where used
    return frame


def read_external(path: Path, expected: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The file's predictions in the order of ``expected``, every class a column, NaN where that has NaN.

    Parameters
    ----------
    path : Path
    expected : DataFrame
        What a trained variant of the run predicted: NaN where its fold was not trained on the class.
    classes : sequence of str
        Classes of the run.

    Raises
    ------
    UserError
        For a damaged file, missing columns or windows, doubled windows, or values that are no probabilities.
    LeakageError
        If a recording of the source was predicted by a model that was not its held-out fold's.
    """
    keys = list(KEYS)
    wanted = [c for c in classes if expected[c].notna().any()]
    frame = read_foreign(path, wanted)
    found = expected[keys].merge(frame[[*keys, *wanted]], on=keys, how="left", indicator=True)
    lacking = found["_merge"] == "left_only"
    if lacking.any():
        row, n = found[lacking].iloc[0], int(lacking.sum())
        known = frame[(frame["dataset"] == row["dataset"]) & (frame["record"] == row["record"])]
        if len(known) and not (known["fold"] == row["fold"]).any():
            raise LeakageError(
                f"{path}: {row['dataset']} record {row['record']} must be predicted by fold {row['fold']}, and only "
                f"fold {', '.join(map(str, sorted(known['fold'].unique())))} did"
            )
        raise UserError(
            f"{path}: {n} of {len(expected)} windows are missing, the first of {row['dataset']} record "
            f"{row['record']}, fold {row['fold']}, seed {row['seed']}"
        )
    probability = found[wanted].astype(np.float32).reindex(columns=list(classes))
    known = expected[list(classes)].notna().to_numpy()
    values = probability.to_numpy()[known]
    if not ((values >= 0) & (values <= 1)).all():
        raise UserError(f"{path}: values that are no probabilities (missing, or outside 0 to 1)")
    out = expected[keys].reset_index(drop=True)
    return pd.concat([out, probability.where(known)], axis=1)


def held_to(
    frame: pd.DataFrame, path: Path, dataset: str, own: Predictions, seeds: Sequence[int], source: bool
) -> Predictions:
    """A file's predictions of a data set in the form of a run's own, as far as they go.

    Parameters
    ----------
    frame : DataFrame
        From :func:`read_foreign`.
    path : Path
        For messages.
    dataset : str
    own : Predictions
        What a variant of the run predicted there: which windows, by which folds; NaN where a fold did not train a
        class.
    seeds : sequence of int
        Numbers of the run's seeds, in the order of ``own``.
    source : bool
        Whether the data set is the run's source, predicted by held-out folds alone.

    Returns
    -------
    Predictions
        Of the recordings that the file predicts whole: every window, by every fold and seed that the run has. NaN where
        the run did not train a class, and in classes that the file has no column for.

    Raises
    ------
    UserError
        If no recording is predicted whole, or a value is no probability.
    LeakageError
        If a recording of the source was predicted by a model that was not its held-out fold's.
    """
    rows = frame[frame["dataset"] == dataset].reset_index(drop=True)
    n, folds = len(own.record), own.folds
    index = pd.MultiIndex.from_frame(rows[["seed", "fold", "record", "segment", "start"]])
    at = np.empty((len(seeds), len(folds), n), np.intp)
    for s, seed in enumerate(seeds):
        for f, fold in enumerate(folds):
            fold = own.fold if source else np.full(n, fold)
            asked = pd.MultiIndex.from_arrays([np.full(n, seed), fold, own.record, own.segment, own.start])
            at[s, f] = index.get_indexer(asked)
    codes, records = pd.factorize(own.record)
    whole = np.ones(len(records), bool)
    whole[codes[(at < 0).any((0, 1))]] = False
    if source:
        _no_leak(rows, path, dataset, own, records[~whole])
    if not whole.any():
        raise UserError(
            f"{path}: no record of {dataset} has all the windows that the run predicts, by each of its "
            f"{len(folds) if not source else 1} fold models and {len(seeds)} seeds; see windows.parquet of a variant"
        )
    kept = whole[codes]
    at = at[:, :, kept]
    lacking = tuple(c for c in own.classes if c not in rows.columns)
    p = rows.reindex(columns=list(own.classes)).to_numpy(np.float32)[at]
    p[np.isnan(own.probability[:, :, kept])] = np.nan
    wrong = ~((p >= 0) & (p <= 1)) & ~np.isnan(own.probability[:, :, kept])
    wrong[..., [own.classes.index(c) for c in lacking]] = False
    if wrong.any():
        _, _, window, cls = np.argwhere(wrong)[0]
        raise UserError(
            f"{path}: {dataset} record {own.record[kept][window]} has a value for {own.classes[cls]} that is no "
            "probability (missing, or outside 0 to 1)"
        )
    fold = None if own.fold is None else own.fold[kept]
    return Predictions(own.classes, own.record[kept], own.segment[kept], own.start[kept], fold, folds, p)


def _no_leak(rows: pd.DataFrame, path: Path, dataset: str, own: Predictions, lacking: np.ndarray) -> None:
    """Refuse a file whose recordings of the source were predicted by models of other folds than their held-out one."""
    held_out = dict(zip(own.record, own.fold.tolist(), strict=True))
    found = rows[rows["record"].isin(set(lacking))]
    for record, folds in found.groupby("record")["fold"]:
        if held_out[record] not in set(folds):
            raise LeakageError(
                f"{path}: {dataset} record {record} must be predicted by fold {held_out[record]}, and only fold "
                f"{', '.join(map(str, sorted(set(folds))))} did"
            )
