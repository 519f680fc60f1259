"""The index of a prepared data set: one row a recording, usable or refused, kept as Parquet."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ecg_ramba.data.record import Episode, Record

_TEXTS = pa.list_(pa.string())

SCHEMA = pa.schema(
    [
        ("record", pa.string()),
        ("file", pa.string()),
        ("refused", pa.string()),
        ("subject", pa.string()),
        ("subject_known", pa.bool_()),
        ("source", pa.string()),
        ("publisher", pa.string()),
        ("publisher_id", pa.string()),
        ("hospital", pa.string()),
        ("codes", _TEXTS),
        ("labels", _TEXTS),
        ("labelled", pa.bool_()),
        ("superclasses", _TEXTS),
        ("episodes", pa.string()),
        ("paced", pa.bool_()),
        ("strat_fold", pa.int64()),
        ("age", pa.float64()),
        ("sex", pa.string()),
        ("device", pa.string()),
        ("units", pa.string()),
        ("rate", pa.float64()),
        ("seconds", pa.float64()),
        ("dead_leads", _TEXTS),
        ("peak_mv", pa.float64()),
        ("einthoven", pa.float64()),
        ("warnings", _TEXTS),
        ("signal_digest", pa.string()),
        ("dropped_tail_s", pa.float64()),
        ("first_segment", pa.int64()),
        ("n_segments", pa.int64()),
        ("store_key", pa.string()),
    ]
)
"""Columns of the index. ``file`` is the header, below the data set's folder; ``refused`` says why a recording cannot be
used, and is null where it can; ``episodes`` is JSON, null where the source annotates none; ``einthoven`` is the
standard deviation of I + III - II as a part of that of II; ``store_key`` says what was done to the samples."""

_LISTS = tuple(field.name for field in SCHEMA if field.type == _TEXTS)


def row_of(record: Record) -> dict:
    """What is known of a recording before its samples are cut."""
    episodes = None
    if record.episodes is not None:
        episodes = json.dumps([[e.start, e.end, e.rhythm] for e in record.episodes])
    return {
        "record": record.record,
        "subject": record.subject,
        "subject_known": record.subject_known,
        "source": record.source,
        "publisher": record.publisher,
        "publisher_id": record.publisher_id,
        "hospital": record.hospital,
        "codes": list(record.codes),
        "labels": sorted(record.labels),
        "labelled": record.labelled,
        "superclasses": sorted(record.superclasses),
        "episodes": episodes,
        "paced": record.paced,
        "strat_fold": record.strat_fold,
        "age": record.age,
        "sex": record.sex,
        "device": record.device,
        "units": record.units,
        "rate": record.rate,
        "seconds": record.seconds,
        "dead_leads": list(record.quality.dead_leads),
        "peak_mv": record.quality.peak_mv,
        "einthoven": record.quality.einthoven,
        "warnings": list(record.warnings),
        "signal_digest": record.signal_digest,
    }


def table_of(rows: list[dict]) -> pa.Table:
    """Rows as a table; what a row does not say is null."""
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def frame_of(rows: list[dict]) -> pd.DataFrame:
    """Rows of usable recordings as :func:`read_index` gives them."""
    return _usable(table_of(rows).to_pandas())


def read_index(path: Path) -> tuple[pd.DataFrame, list[dict]]:
    """Usable recordings, one row each, and the refused ones as ``{"file": …, "cause": …}``."""
    rows = pd.read_parquet(path)
    refused = rows[rows["refused"].notna()]
    causes = [{"file": f, "cause": c} for f, c in zip(refused["file"], refused["refused"], strict=True)]
    return _usable(rows[rows["refused"].isna()]), causes


def _usable(rows: pd.DataFrame) -> pd.DataFrame:
    records = rows.drop(columns="refused").reset_index(drop=True)
    for column in _LISTS:
        records[column] = [tuple(v) for v in records[column]]
    records["episodes"] = [v if isinstance(v, str) else None for v in records["episodes"]]
    whole = dict.fromkeys(("strat_fold", "first_segment", "n_segments"), np.int64)
    return records.astype(whole | dict.fromkeys(("subject_known", "labelled", "paced"), bool))


def episodes_of(text: str | None) -> tuple[Episode, ...] | None:
    """Episodes from their stored form; None where the source annotates none."""
    if text is None:
        return None
    return tuple(Episode(start=a, end=b, rhythm=r) for a, b, r in json.loads(text))
