"""Which recordings are stressed, and by which models they are read.

Nothing is fitted to them, so labels may decide which recordings are looked at: where a data set has more than asked
for, they are drawn so that each class of its headlines has positives and negatives. Such a sample is enriched: its
prevalence is not the data set's, and its clean scores are not those of the main table.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_ramba.data.registry import dataset, locate
from ecg_ramba.data.synthetic import cohort_dir
from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.harness.outputs import SuiteResult
from ecg_ramba.keys import seed_for
from studies.robustness.data import Part, Recording
from studies.robustness.study import Model, Study

RECORDS, SEGMENTS = 100, 2
"""Recordings of a data set, and 10 s segments of a recording, that are looked at unless others are asked for."""


def choose_recordings(
    evaluation: Evaluation, name: str, records: pd.DataFrame, most: int, segments: int, seed: int
) -> np.ndarray:
    """Rows of the recordings of a data set that are stressed, ascending.

    Parameters
    ----------
    evaluation : Evaluation
        Whose tasks are scored.
    name : str
        The data set.
    records : DataFrame
        Its recordings, as the suite used them.
    most : int
        How many; 0: all.
    segments : int
        Of each only the first segments are scored (0: all).
    seed : int
        Of the draw.

    Returns
    -------
    (n,) int array
        All where there are no more. Else each draw takes the next recording, in an order that is random but takes every
        subject once before any a second time, of the class and outcome (positive or negative) that has fewest so far.
    """
    if not most or len(records) <= most:
        return np.arange(len(records))
    strata = _strata(evaluation, name, records, segments)
    shuffled = np.random.Generator(np.random.PCG64(seed)).permutation(len(records))
    again = records["subject"].iloc[shuffled].groupby(records["subject"].iloc[shuffled].to_numpy()).cumcount()
    order = shuffled[np.argsort(again.to_numpy(), kind="stable")]
    queues = [order[column[order]].tolist()[::-1] for column in strata.T]
    counts, chosen = np.zeros(len(queues), dtype=int), np.zeros(len(records), dtype=bool)
    while chosen.sum() < most:
        for queue in queues:
            while queue and chosen[queue[-1]]:
                queue.pop()
        left = [i for i, queue in enumerate(queues) if queue]
        if not left:
            rest = order[~chosen[order]]
            chosen[rest[: most - chosen.sum()]] = True
            break
        taken = queues[min(left, key=lambda i: counts[i])].pop()
        chosen[taken] = True
        counts += strata[taken]
    return np.flatnonzero(chosen)


def _strata(evaluation: Evaluation, name: str, records: pd.DataFrame, segments: int) -> np.ndarray:
    """(recordings, strata) bool: what has a positive unit of a headline class, and what has a negative one."""
    row = pd.Index(records["record"])
    columns = []
    for context in evaluation.contexts.values():
        task, units = context.task, context.units
        if task.dataset != name:
            continue
        of = row.get_indexer(units.record)
        kept = of >= 0
        if segments:
            kept &= (
                units.segment < segments if task.unit == "segment" else records["n_segments"].to_numpy()[of] <= segments
            )
        classes = [s.name for s in task.scores]
        for cls in context.head.classes or task.macro:
            k = classes.index(cls)
            for outcome in (units.positive[:, k], ~units.positive[:, k]):
                column = np.zeros(len(records), dtype=bool)
                column[of[kept & units.known[:, k] & outcome]] = True
                columns.append(column)
    return np.stack(columns, axis=1) if columns else np.zeros((len(records), 0), dtype=bool)


def plan(
    result: SuiteResult, evaluation: Evaluation, data_dir: Path | None, most: int = RECORDS, segments: int = SEGMENTS
) -> Study:
    """What the study runs on: every trained variant that finished, and recordings of every target that is scored.

    Parameters
    ----------
    result, evaluation : SuiteResult, Evaluation
        The finished suite.
    data_dir : Path or None
        Where the recordings are; None: the synthetic cohort.
    most, segments : int
        Recordings of a data set, and 10 s segments of a recording, at most; 0: all.

    Raises
    ------
    UserError
        If there is no target, or its files are not where they were.
    """
    context, models, parts = result.context, {}, {}
    for variant in result.variants:
        cells = sorted(result.cells.get(variant.name, []), key=lambda c: (c["seed"], c["fold"]))
        if len(cells) < context.suite.folds * context.suite.seeds or variant.name in evaluation.failures:
            continue
        suite = context.suite.changed(variant.settings)
        keys = tuple(c["key"] for c in cells)
        models[variant.name] = Model(variant.name, keys, suite.signal, suite.backend, suite.device)
    scored = {c.task.dataset for c in evaluation.contexts.values() if not c.task.source}
    targets = [t for t in context.targets if t.name in scored]
    if not targets:
        raise UserError("no target of this suite is scored, and only targets are stressed; name some with --target")
    names = [context.source.name, *(t.name for t in context.targets)]
    folders, cohort = _folders(names, data_dir, context.cache)
    for target in targets:
        seed = seed_for(context.suite.base_seed, "robustness", target.name)
        rows = choose_recordings(evaluation, target.name, target.records, most, segments, seed)
        chosen = target.records.iloc[rows]
        columns = (chosen[c].tolist() for c in ("record", "file", "signal_digest", "n_segments", "dropped_tail_s"))
        recordings = tuple(Recording(*of) for of in zip(*columns, strict=True))
        parts[target.name] = Part(target.name, folders[target.name], recordings, segments)
    return Study(models, parts, context.truth.space, context.suite.base_seed, context.out, cohort)


def _folders(names: Sequence[str], data_dir: Path | None, cache: Path) -> tuple[dict[str, Path], Path | None]:
    """Where the suite found each data set; and the cohort in the cache, if some are of it."""
    made = [n for n in names if dataset(n).synthetic]
    real = [n for n in names if n not in made]
    found = locate(data_dir, real) if real else {}
    cohort = cohort_dir(cache) if made and (real or not data_dir) else None
    places = locate(cohort or data_dir, made) if made else {}
    if cohort:  # which may be a shared path, and then its parts are to be so too
        places = {name: cohort / place.relative_to(cohort) for name, place in places.items()}
    return found | places, cohort
