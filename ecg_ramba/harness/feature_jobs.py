"""Morphology of all folds computed before the cells that want it, each once, by the workers."""

import time
from collections.abc import Sequence

from ecg_ramba.data.store import Prepared
from ecg_ramba.errors import UserError
from ecg_ramba.files import check_space, explained, is_complete
from ecg_ramba.harness.cells import Cell, Context, view_key
from ecg_ramba.harness.config import SuiteConfig
from ecg_ramba.harness.executors.jobs import Executor
from ecg_ramba.harness.feature_cost import LARGE, FeatureCost, fold_cost, in_words, seconds_a_window
from ecg_ramba.harness.features import (
    fit_morphology,
    morphology_columns,
    random_features,
    store_both_columns,
    transform_folder,
)
from ecg_ramba.harness.inputs import WindowTable, window_table
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.variants import REFERENCE
from ecg_ramba.keys import digest
from ecg_ramba.models import model_spec
from ecg_ramba.signal import SEGMENT


def kernel_inputs(context: Context, suite: SuiteConfig) -> list[tuple[Prepared, WindowTable]]:
    """What the morphology kernels read of the source and of each target: windows or whole segments."""
    samples = SEGMENT if suite.features.samples == SEGMENT else suite.inputs.samples
    data = (context.source, *context.targets)
    tables = (context.source_table, *context.target_tables)
    return [
        (d, table if samples == table.samples else window_table(d, samples))
        for d, table in zip(data, tables, strict=True)
    ]


def kernel_job(context: Context, job: tuple[Cell, int, bool]) -> None:
    """Features of kernels that need no fit, of one data set, once for all folds (in a worker)."""
    cell, place, limb = job
    context = context.of(cell)
    random_features(*kernel_inputs(context, context.suite)[place], limb, context.cache)


def feature_job(context: Context, job: tuple[Cell, int]) -> float:
    """Fit a cell's morphology transform on its fold, compute its components everywhere (in a worker, by so many
    threads, which the result does not depend on); seconds taken."""
    began = time.perf_counter()
    cell, threads = job
    context = context.of(cell)
    suite, fold = context.suite, cell.fold
    source, *targets = kernel_inputs(context, suite)
    asked = (context.folds[fold - 1], suite.features, suite.base_seed, suite.budget.lead_dropout)
    transform = fit_morphology(*source, *asked, context.cache, threads)
    store_both_columns(*source, transform, context.cache, threads)
    for target in targets:
        morphology_columns(*target, transform, False, context.cache, threads)
    return time.perf_counter() - began


def compute_features(context: Context, cells: Sequence[Cell], executor: Executor, progress: Progress) -> None:
    """Morphology of all folds, once for every way in which the cells want it.

    Where it fails, the cells that want it fail with it, one by one; only the reference's stops the run.

    Raises
    ------
    UserError
        If the reference's features fail.
    """
    wanted: dict[str, list[Cell]] = {}
    unfitted: dict[str, Cell] = {}
    for cell in cells:
        if "morphology" in model_spec(cell.model).streams(cell.config):
            suite = context.of(cell).suite
            asked = [view_key(suite), suite.features, suite.budget.lead_dropout, suite.inputs.samples, cell.fold]
            wanted.setdefault(digest(asked), []).append(cell)
            if suite.features.kernels == "random":
                unfitted.setdefault(view_key(suite), cell)
    groups = list(wanted.values())
    _say_cost(context, [group[0] for group in groups], executor, progress)
    places = [(0, True), *((place, False) for place in range(1 + len(context.targets)))]
    parts = [(cell, *place) for cell in unfitted.values() for place in places]
    _run("random kernels", "data sets", kernel_job, parts, [[job[0]] for job in parts], context, executor, progress)
    threads = max(1, min(executor.workers // max(1, len(groups)), executor.cores))
    jobs = [(group[0], threads) for group in groups]
    _run("features", "folds", feature_job, jobs, groups, context, executor, progress, threads)


def _say_cost(context: Context, cells: Sequence[Cell], executor: Executor, progress: Progress) -> None:
    """Say what large features will cost, and refuse what the disk cannot hold, before anything is computed."""
    cost, first = FeatureCost(), None
    for cell in cells:
        view = context.of(cell)
        suite, fold = view.suite, view.folds[cell.fold - 1]
        (source, table), *targets = kernel_inputs(view, suite)
        place = transform_folder(table, fold, suite.features, suite.base_seed, suite.budget.lead_dropout, context.cache)
        if is_complete(place):
            continue  # fitted already: most likely its components are there as well
        train, sizes = len(table.of_records(fold.train)), [len(t) for _, t in targets]
        cost += fold_cost(suite.features, train, len(fold.train), len(table), sizes)
        if first is None and suite.features.kernels == "minirocket":
            first = (source, table, suite.features)
    if not cost.windows:
        return
    with explained(context.cache):
        context.cache.mkdir(parents=True, exist_ok=True)
    check_space(context.cache, cost.bytes, "features")
    if first and cost.windows >= LARGE:
        progress.say(in_words(cost, seconds_a_window(*first), executor.workers))


def _run(
    stage: str,
    unit: str,
    function,
    jobs: list,
    groups: list,
    context,
    executor: Executor,
    progress: Progress,
    threads=1,
) -> None:
    """Run jobs under a progress bar; ``groups`` holds the cells that want each job's result."""
    if not jobs:
        return
    with progress.stage(stage, unit=unit) as report:
        for done, outcome in enumerate(executor.run(function, context, jobs, threads), 1):
            if outcome.reason:
                group = groups[outcome.index]
                said = f"{stage} of {group[0].variant}, fold {group[0].fold}, failed: {outcome.reason}"
                if any(c.variant == REFERENCE for c in group):
                    raise UserError(f"{said}\n{outcome.traceback}")
                progress.say(said)
            report(done, len(jobs))
