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
from ecg_ramba.evaluation.predictions import KEYS
from ecg_ramba.harness.config import Variant


def external_variants(named: Sequence[str]) -> list[Variant]:
    """Variants from ``NAME=FILE`` texts.

    Raises
    ------
    UserError
        For a text of another form, a file that is not there, or a name that is taken.
    """
    made = {}
    for text in named:
        name, _, file = text.partition("=")
        path = Path(file)
        if not name or not file:
            raise UserError(f"--predictions {text!r}: write NAME=FILE")
        if not path.is_file():
            raise UserError(f"--predictions {name}: {path} is not there")
        if name in made:
            raise UserError(f"--predictions {name} is given twice")
        made[name] = Variant(
            name=name, title=f"{name} (from a file)", predictions=str(path), claim="a model from elsewhere"
        )
    return list(made.values())


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
    try:
        frame = pd.read_csv(path) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None
    keys = list(KEYS)
    wanted = [c for c in classes if expected[c].notna().any()]
    absent = [k for k in [*keys, *wanted] if k not in frame.columns]
    if absent:
        raise UserError(f"{path}: lacks the columns {', '.join(absent)}; see windows.parquet of a trained variant")
    frame["record"] = frame["record"].astype(str)
    doubled = frame.duplicated(keys)
    if doubled.any():
        row = frame[doubled].iloc[0]
        raise UserError(f"{path}: {row['dataset']} record {row['record']} has a window twice")
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
