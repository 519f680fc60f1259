"""The suite: prepare the data, split, train every cell, predict the targets, evaluate, report.

Everything finished is kept under its content key, so the same command again does only what is missing.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ecg_ramba import __version__
from ecg_ramba.data.store import Prepared
from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.files import check_writable, explained, sha256_file
from ecg_ramba.harness.cells import Cell, Context, cell_key, run_cell, view_key
from ecg_ramba.harness.config import SuiteConfig, Variant
from ecg_ramba.harness.contexts import cache_dir, load_named, make_context, make_views
from ecg_ramba.harness.executor import run_jobs
from ecg_ramba.harness.features import fit_morphology, morphology_tokens, random_features
from ecg_ramba.harness.inputs import WindowTable, window_table
from ecg_ramba.harness.outputs import SuiteResult, write_suite, write_truth, write_variants
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.splits import describe
from ecg_ramba.harness.variants import REFERENCE
from ecg_ramba.keys import digest, plain
from ecg_ramba.models import model_spec
from ecg_ramba.signal import SEGMENT


def suite_key(context: Context, variants: Sequence[Variant]) -> str:
    """Content key of a suite: configuration, variants, splits and data."""
    parts = [
        plain(context.suite),
        plain(list(variants)),
        [sha256_file(Path(v.predictions)) for v in variants if v.predictions],
        [f.digest for f in context.folds],
        [d.digest for d in (context.source, *context.targets)],
        __version__,
    ]
    return digest(parts)


def searched(config: SuiteConfig, model: str, fold: int) -> Mapping:
    """What a search found for a model on a fold ({} without one)."""
    return config.overrides.get(model, {}).get(str(fold), {})


def check_search(context: Context, variants: Sequence[Variant]) -> None:
    """Refuse a searched configuration that no variant uses, or that was chosen on other training parts than this run's.

    Raises
    ------
    UserError
        If no variant is of the searched model.
    LeakageError
        If a fold's search may have seen what this run holds out.
    """
    for model in context.suite.overrides:
        if model not in {v.model for v in variants}:
            raise UserError(f"--config was searched for {model}, and no variant of this run is made of it")
        for fold in context.folds:
            facts = searched(context.suite, model, fold.number)
            if not facts or facts["training_part"] != fold.digest:
                raise LeakageError(
                    f"--config was searched for {model} on other data or folds than this run's fold {fold.number}; "
                    "search again with the same --data, --source, --folds and --base-seed"
                )


def plan_cells(config: SuiteConfig, variants: Sequence[Variant]) -> list[Cell]:
    """All cells of the trained variants; folds innermost, so that a variant is soon complete."""
    return [
        Cell(
            variant=v.name,
            model=v.model,
            config=v.configuration(config.profile, searched(config, v.model, fold).get("config")),
            fold=fold,
            seed=seed,
            settings=v.settings,
        )
        for v in variants
        if v.trained
        for seed in range(config.seeds)
        for fold in range(1, config.folds + 1)
    ]


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


def feature_job(context: Context, cell: Cell) -> float:
    """Fit the morphology transform of a cell's fold and compute its tokens everywhere (in a worker); seconds taken."""
    began = time.perf_counter()
    context = context.of(cell)
    suite, fold = context.suite, cell.fold
    source, *targets = kernel_inputs(context, suite)
    transform = fit_morphology(
        *source, context.folds[fold - 1], suite.features, suite.base_seed, suite.budget.lead_dropout, context.cache
    )
    for limb in (False, True):
        morphology_tokens(*source, transform, limb, context.cache)
    for target in targets:
        morphology_tokens(*target, transform, False, context.cache)
    return time.perf_counter() - began


def run_suite(
    config: SuiteConfig,
    variants: Sequence[Variant],
    data_dir: Path | None,
    out: Path,
    workers: int,
    progress: Progress,
    command: str = "",
) -> SuiteResult:
    """Run a suite to the stored predictions (the report is made from them).

    Parameters
    ----------
    config : SuiteConfig
    variants : sequence of Variant
        The reference among them.
    data_dir : Path or None
        Folder with the data sets; None for the synthetic cohort.
    out : Path
        Results and cache.
    workers : int
        Worker processes of one thread each.
    progress : Progress
        Where progress is shown.
    command : str
        The command line, for the report.

    Raises
    ------
    UserError
        For anything the user can put right; a cell that fails is no error but a row with a reason.
    """
    check_writable(out)
    names = [config.source, *config.targets]
    data = load_named(names, data_dir, cache_dir(out), config.signal, workers, progress)
    context, counts = make_context(config, data, out)
    check_search(context, variants)
    cells = plan_cells(config, variants)
    key = suite_key(context, variants)
    folder = out / "suites" / key[:16]
    progress.say(
        f"suite {key[:16]}: {len(cells)} cells on {context.source.name} ({describe(np.array(counts['']['fold']))})"
    )
    write_truth(context, counts, folder)
    views, failures = make_views(context, cells, data_dir, workers, progress)
    context = dataclasses.replace(context, views=views)
    result = SuiteResult(folder, key, context, list(variants), failures=failures)
    for name, reason in failures.items():
        progress.say(f"failed: {name}: {reason}")
    cells = [cell for cell in cells if cell.variant not in failures]
    _features(context, cells, workers, progress)
    _run_cells(context, cells, workers, progress, result)
    write_variants(result)
    write_suite(result, data, counts, command)
    if REFERENCE in result.failures:
        progress.say(f"the reference failed: {result.failures[REFERENCE]}")
    return result


def _features(context: Context, cells: list[Cell], workers: int, progress: Progress) -> None:
    """Morphology of all folds, once for every way in which the cells want it."""
    wanted = {}
    for cell in cells:
        if "morphology" in model_spec(cell.model).streams(cell.config):
            suite = context.of(cell).suite
            asked = [view_key(suite), suite.features, suite.budget.lead_dropout, suite.inputs.samples, cell.fold]
            wanted.setdefault(digest(asked), cell)
    if not wanted:
        return
    jobs = list(wanted.values())
    unfitted = {
        view_key(suite): cell for cell in jobs if (suite := context.of(cell).suite).features.kernels == "random"
    }
    places = [(0, True), *((place, False) for place in range(1 + len(context.targets)))]
    parts = [(cell, *place) for cell in unfitted.values() for place in places]
    for stage, unit, function, todo in (
        ("random kernels", "data sets", kernel_job, parts),
        ("features", "folds", feature_job, jobs),
    ):
        if not todo:
            continue
        with progress.stage(stage, unit=unit) as report:
            for done, outcome in enumerate(run_jobs(function, context, todo, workers), 1):
                if outcome.reason:
                    raise UserError(f"{stage} failed: {outcome.reason}\n{outcome.traceback}")
                report(done, len(todo))


def _run_cells(context: Context, cells: list[Cell], workers: int, progress: Progress, result: SuiteResult) -> None:
    reused = 0
    with progress.stage("train and predict", unit="cells") as report:
        for done, outcome in enumerate(run_jobs(run_cell, context, cells, workers), 1):
            cell = cells[outcome.index]
            if outcome.reason:
                result.failures.setdefault(cell.variant, f"fold {cell.fold}, seed {cell.seed}: {outcome.reason}")
                log = context.out / "failures" / f"{cell_key(context, cell)[:24]}.log"
                with explained(log):
                    log.parent.mkdir(parents=True, exist_ok=True)
                    log.write_text(outcome.traceback or outcome.reason)
                progress.say(f"failed: {cell.variant} fold {cell.fold} seed {cell.seed}: {outcome.reason} (see {log})")
            else:
                result.cells.setdefault(cell.variant, []).append(outcome.value | {"fold": cell.fold, "seed": cell.seed})
                reused += outcome.value["reused"]
            report(done, len(cells))
    if reused:
        progress.say(f"{reused} of {len(cells)} cells were already done and were not run again")
