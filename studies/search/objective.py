"""What a trial is worth: log loss on an inner validation part, and what the model costs."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from ecg_ramba.data.tasks import truth_of
from ecg_ramba.errors import LeakageError
from ecg_ramba.evaluation.pooling import Pooling, pool
from ecg_ramba.harness.cells import Cell, Context, train_cell
from ecg_ramba.harness.checkpoint import FoldModel
from ecg_ramba.harness.features import window_source
from ecg_ramba.harness.folds import Fold, training_part
from ecg_ramba.harness.latency import speed
from ecg_ramba.harness.probabilities import probabilities
from ecg_ramba.harness.splits import inner_split
from ecg_ramba.keys import seed_for

LOOKS = 4
"""How often the loss is taken while a network trains, so that a trial without prospects ends early."""

COSTS = ("flops", "latency")
"""What may be weighed against the loss: operations of one window, or milliseconds for it."""


def inner_fold(context: Context, outer: Fold) -> Fold:
    """The outer fold's training part, split again: four fifths of its subjects train, one fifth validates.

    Raises
    ------
    LeakageError
        If anything held out from the outer fold were in it (our own mistake, checked all the same).
    """
    records = context.source.records.iloc[outer.train].reset_index(drop=True)
    truth = truth_of(context.source, context.truth.space)
    seed = seed_for(context.suite.base_seed, outer.number, "inner validation")
    validation = inner_split(records, truth.y[outer.train], seed)
    made = training_part(context.source, truth, outer.train[~validation], outer.train[validation], outer.number)
    if set(made.train) & set(outer.held_out) or set(made.held_out) & set(outer.held_out):
        raise LeakageError("a held-out recording is in the inner split")
    return made


def inner_loss(context: Context, model: FoldModel, inner: Fold) -> float:
    """Mean log loss of the pooled probabilities on the inner validation part, over known labels of trained classes."""
    table = context.source_table
    rows = table.of_records(inner.held_out)
    p = probabilities(model, context.source, table, rows, context.cache, context.suite.device)
    record, starts = np.unique(table.record[rows], return_index=True)  # windows lie in order of their recordings
    pooled = np.clip(pool(p, starts, Pooling()), 1e-6, 1 - 1e-6)
    y, known = context.truth.y[record], context.truth.known[record] & inner.trained
    loss = -np.where(y, np.log(pooled), np.log1p(-pooled))
    return float(loss[known].mean())


def inner_trial(
    context: Context,
    model: str,
    config: Any,
    inner: Fold,
    cost: str = "",
    look: Callable[[int, float], None] | None = None,
) -> tuple[list[float], dict]:
    """Train on the inner training part and score on the inner validation part.

    Parameters
    ----------
    context : Context
        Of the source; targets in it are put away before anything is trained.
    model, config : str, configuration
    inner : Fold
        Of :func:`inner_fold`.
    cost : str
        One of :data:`COSTS`, or "".
    look : callable, optional
        Called a few times while a network trains, with (look, loss so far); what it raises ends the trial.

    Returns
    -------
    values : list of float
        The loss, and the cost if one was asked for.
    log : dict
        Of the training.
    """
    folds = tuple(inner if f.number == inner.number else f for f in context.folds)
    narrowed = dataclasses.replace(context, folds=folds, targets=(), target_tables=())
    cell = Cell(variant=f"search {model}", model=model, config=config, fold=inner.number, seed=0)

    def on_epoch(epoch: int, epochs: int, make: Callable[[], FoldModel]) -> None:
        seen, before = LOOKS * epoch // epochs, LOOKS * (epoch - 1) // epochs
        if before < seen < LOOKS:  # the last look is the result itself
            look(seen, inner_loss(narrowed, make(), inner))

    fitted, log = train_cell(narrowed, cell, on_epoch=on_epoch if look else None)
    values = [inner_loss(narrowed, fitted, inner)]
    if cost == "flops":
        values.append(float(log["flops"]))
    elif cost == "latency":
        values.append(_latency_ms(narrowed, fitted, inner))
    return values, log


def _latency_ms(context: Context, model: FoldModel, inner: Fold) -> float:
    """Milliseconds for one window, the model alone."""
    rows = context.source_table.of_records(inner.held_out)
    asked = (model.streams, model.morphology, model.rhythm, context.cache, model.inputs)
    source = window_source(context.source, context.source_table, rows, *asked)
    return speed(model.spec, model.fitted, source, context.suite.device, context.suite.precision)["latency_ms"]
