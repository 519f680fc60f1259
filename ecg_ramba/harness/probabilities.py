"""What a fold's model says of the windows of a data set, and the check that it reads each by itself."""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecg_ramba.data.labels import LabelSpace
from ecg_ramba.data.store import Prepared
from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.harness.checkpoint import FoldModel
from ecg_ramba.harness.embeddings import with_embedding
from ecg_ramba.harness.features import window_source
from ecg_ramba.harness.inputs import WindowSource, WindowTable, window_table
from ecg_ramba.signal import SEGMENT, WINDOW

PREDICTED = {WINDOW: 256, SEGMENT: 32}
"""Windows predicted together, by their length: a whole segment may be thousands of tokens."""

ALONE = 16
"""Windows of every prediction that are also predicted by a fresh copy of the model, apart from the others."""


def probabilities(
    model: FoldModel, data: Prepared, table: WindowTable, rows: np.ndarray, cache: Path | None, device="cpu"
):
    """Window probabilities (n, classes) float32 of a fold's model; NaN for classes that it was not trained on.

    Raises
    ------
    UserError
        If the model returns the wrong shape, or anything but probabilities.
    LeakageError
        If what it says of a window depends on the other windows, on their order or on what it was shown before: so
        would a model that reads the statistics of a target, or the order of its files.
    """
    source, of = model_source(model, data, table, rows, cache, device)
    p = checked_probabilities(model, source, device)
    return p if of is None else p[of]


def model_source(
    model: FoldModel, data: Prepared, table: WindowTable, rows: np.ndarray, cache: Path | None, device="cpu"
) -> tuple[WindowSource, np.ndarray | None]:
    """What a fold's model reads of these windows.

    Returns
    -------
    source : WindowSource
        The windows, or the segments that hold them where the model reads whole segments.
    of : (n,) int array, or None
        The source's row of each window; None: its own number.
    """
    of = None
    if model.shape.samples != table.samples:
        segments, of = np.unique(table.at[rows], return_inverse=True)
        table = window_table(data, model.shape.samples)
        rows = table.of_segments(segments)
    source = window_source(data, table, rows, model.streams, model.morphology, model.rhythm, cache, model.inputs)
    if "embedding" in model.streams:
        source = with_embedding(source, model.config, cache, device)
    return source, of


def checked_probabilities(model: FoldModel, source: WindowSource, device: str = "cpu") -> np.ndarray:
    """Probabilities of all windows of a source, after the checks of :func:`probabilities`."""
    table, rows = source.table, source.rows
    some = np.linspace(len(rows) - 1, 0, min(ALONE, len(rows))).astype(int)
    if model.attention:  # a segment's windows are read together
        some = np.flatnonzero(np.isin(table.at[rows], table.at[rows[some]]))[::-1]
    alone = predict_source(
        model, copy.deepcopy(model.fitted), dataclasses.replace(source, rows=source.rows[some]), device
    )
    p = predict_source(model, model.fitted, source, device)
    if p.shape != (len(rows), len(model.classes)):
        raise UserError(f"model {model.spec.name!r} returned shape {p.shape}, not {(len(rows), len(model.classes))}")
    known = p[:, model.trained]
    if not ((known >= 0) & (known <= 1)).all():
        raise UserError(f"model {model.spec.name!r} returned values that are not probabilities (NaN or outside [0, 1])")
    from ecg_ramba.harness.precision import SAME

    # another batch size changes rounding, and no more
    if not np.allclose(p[some], alone, atol=SAME[model.facts["precision"]], equal_nan=True):
        raise LeakageError(
            f"model {model.spec.name!r} says something else of a window when others are beside it; a model must read "
            "each window by itself"
        )
    return p


def predict_source(model: FoldModel, fitted: Any, source: WindowSource, device: str = "cpu") -> np.ndarray:
    """Probabilities (windows, classes) float32 as the fitted model gives them; NaN for classes without training."""
    if model.spec.kind == "network":
        from ecg_ramba.harness.train import predict_network

        network, precision, batch = fitted.to(device), model.facts["precision"], PREDICTED[model.shape.samples]
        p = predict_network(network, source, device, precision, batch, model.attention)
    else:
        p = fitted.predict_proba(source.windows(np.arange(len(source)), np.zeros(len(source), dtype=bool)))
    p = np.asarray(p, dtype=np.float32)
    if p.shape == (len(source), len(model.classes)):
        p[:, ~model.trained] = np.nan
    return p


def prediction_frame(
    model: FoldModel,
    data: Prepared,
    table: WindowTable,
    rows: np.ndarray,
    cache: Path | None,
    space: LabelSpace,
    device: str = "cpu",
) -> pd.DataFrame:
    """Window probabilities in the form of windows.parquet, in the classes of ``space``."""
    p = probabilities(model, data, table, rows, cache, device)
    frame = pd.DataFrame(
        {
            "dataset": data.name,
            "record": data.records["record"].to_numpy()[table.record[rows]],
            "segment": table.segment[rows].astype(np.int32),
            "start": table.start[rows].astype(np.int32),
            "fold": np.int16(model.facts["fold"]),
            "seed": np.int16(model.facts["seed"]),
        }
    )
    return pd.concat([frame, pd.DataFrame(merged(p, model.classes, space), columns=list(space.classes))], axis=1)


def merged(p: np.ndarray, classes: tuple[str, ...], space: LabelSpace) -> np.ndarray:
    """Probabilities (n, classes) in the classes of a coarser label space: of those that count as one, the largest.

    NaN, where a model was not trained on a class, gives way to the others' probability.
    """
    columns = [[i for i, name in enumerate(classes) if c in space.merge({name})] for c in space.classes]
    return np.stack([np.fmax.reduce(p[:, of], axis=1) for of in columns], axis=1)
