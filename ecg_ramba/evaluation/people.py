"""Who and what was recorded: ``records.parquet`` of a suite, one row a recording that was used."""

import pandas as pd

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.suite import Suite, read_parquet

FILE = "records.parquet"
PEOPLE = (
    *("dataset", "record", "role", "fold", "subject", "subject_known", "publisher", "publisher_id", "hospital"),
    *("device", "age", "sex", "paced", "rate", "seconds", "n_segments", "dead_leads", "peak_mv", "einthoven", "file"),
    "signal_digest",
)
"""Columns. ``role``: source or target; ``fold``: the source's held-out fold, -1 at targets; ``age`` in years, NaN where
unknown; ``sex``: male, female or ""; ``hospital``, ``device``: "" where the publisher does not say; ``rate`` in samples
a second and ``seconds`` of the recording as published; ``dead_leads``: constant leads; ``peak_mv``, ``einthoven``: as
in :class:`ecg_ramba.data.record.Quality`; ``file``: header, below the data set's folder; ``signal_digest``: SHA-256 of
the samples."""


def read_people(suite: Suite) -> pd.DataFrame | None:
    """One row a recording of each data set of a suite, columns as :data:`PEOPLE`; None where an older run has no file.

    Raises
    ------
    UserError
        Naming the file, if it is damaged, of another version, or has a recording twice.
    """
    path = suite.path / FILE
    if not path.is_file():
        return None
    people = read_parquet(path)
    absent = [c for c in PEOPLE if c not in people.columns]
    if absent:
        raise UserError(f"{path}: lacks the column{'s' * (len(absent) > 1)} {', '.join(absent)}; run the suite again")
    doubled = people.duplicated(["dataset", "record"])
    if doubled.any():
        row = people[doubled].iloc[0]
        raise UserError(f"{path}: {row['dataset']} record {row['record']} is there twice; run the suite again")
    return people[list(PEOPLE)]
