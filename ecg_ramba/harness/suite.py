"""The suite: prepare the data, split, train every cell, predict the targets, evaluate, report.

Everything finished is kept under its content key, so the same command again does only what is missing.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ecg_ramba import __version__
from ecg_ramba.errors import LeakageError, UserError, first_line
from ecg_ramba.evaluation.manifest import write_manifest
from ecg_ramba.files import check_writable, explained, fetched, sha256_file
from ecg_ramba.harness.cells import Cell, Context, cell_key, run_cell
from ecg_ramba.harness.config import SuiteConfig, Variant
from ecg_ramba.harness.contexts import cache_dir, load_named, make_context, make_views
from ecg_ramba.harness.embeddings import embed_all
from ecg_ramba.harness.executors.jobs import Executor
from ecg_ramba.harness.feature_jobs import compute_features
from ecg_ramba.harness.outputs import SuiteResult, write_suite, write_truth, write_variants
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.splits import describe
from ecg_ramba.harness.variants import REFERENCE
from ecg_ramba.keys import digest, plain
from ecg_ramba.nn.backends import explain
from ecg_ramba.shared.pieces import publish_files, share


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


def plan_cells(context: Context, variants: Sequence[Variant]) -> tuple[list[Cell], dict[str, str]]:
    """All cells of the trained variants; folds innermost, so that a variant is soon complete.

    Returns
    -------
    cells : list of Cell
    failures : dict of str to str
        Variant -> why it has no cells: its model cannot be imported, or its settings do not fit.

    Raises
    ------
    Exception
        If the reference has none: nothing could be compared.
    """
    cells, failures = [], {}
    for v in variants:
        if not v.trained:
            continue
        try:
            places = [(f, s) for s in range(context.suite.seeds) for f in range(1, context.suite.folds + 1)]
            own = [_cell(context, v, fold, seed) for fold, seed in places]
        except (Exception, SystemExit) as error:  # a plug-in's model may fail in any way
            if v.name == REFERENCE:
                raise
            failures[v.name] = str(error) if isinstance(error, UserError) else first_line(error)
        else:
            cells += own
    return cells, failures


def _cell(context: Context, v: Variant, fold: int, seed: int) -> Cell:
    """One cell, with everything looked up that its key is made of, so that what is wrong with it is found now."""
    suite = context.suite
    config = v.configuration(suite.profile, searched(suite, v.model, fold).get("config"))
    cell = Cell(variant=v.name, model=v.model, config=config, fold=fold, seed=seed, settings=v.settings)
    cell_key(context, cell)
    return cell


def run_suite(
    config: SuiteConfig,
    variants: Sequence[Variant],
    data_dir: Path | None,
    out: Path,
    executor: Executor,
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
    executor : Executor
        Where jobs run.
    progress : Progress
        Where progress is shown.
    command : str
        The command line, for the report.

    Raises
    ------
    UserError
        For anything the user can put right; a variant or cell that fails is no error but a row with a reason.
    """
    check_writable(out)
    names = [config.source, *config.targets]
    data = load_named(names, data_dir, cache_dir(out), config.signal, executor.here, progress)
    context, counts = make_context(config, data, out)
    check_search(context, variants)
    views, lacking = make_views(context, variants, data_dir, executor.here, progress)
    context = dataclasses.replace(context, views=views)
    cells, failures = plan_cells(context, [v for v in variants if v.name not in lacking])
    failures = lacking | failures
    key = suite_key(context, variants)
    folder = out / "suites" / key[:16]
    progress.say(
        f"suite {key[:16]}: {len(cells)} cells on {context.source.name} ({describe(np.array(counts['']['fold']))}); "
        f"scan: {explain(context.suite.backend, config.device)}"
    )
    for name, reason in failures.items():
        progress.say(f"failed: {name}: {reason}")
    write_truth(context, counts, folder)
    share(executor, {d.folder for view in (context, *views.values()) for d in (view.source, *view.targets)})
    compute_features(context, cells, executor, progress)
    failures |= embed_all(context, cells, executor, progress)
    result = SuiteResult(folder, key, context, list(variants), failures=failures)
    result.configs |= {cell.variant: cell.config for cell in cells}
    cells = [cell for cell in cells if cell.variant not in failures]
    _run_cells(context, cells, executor, progress, result)
    write_variants(result)
    write_suite(result, data, counts, command)
    write_manifest(folder)
    publish_files(folder)
    if REFERENCE in result.failures:
        progress.say(f"the reference failed: {result.failures[REFERENCE]}")
    return result


def _run_cells(
    context: Context, cells: list[Cell], executor: Executor, progress: Progress, result: SuiteResult
) -> None:
    reused = 0
    with progress.stage("train and predict", unit="cells") as report:
        for done, outcome in enumerate(executor.run(run_cell, context, cells, gpu=context.suite.device != "cpu"), 1):
            cell = cells[outcome.index]
            if reason := outcome.reason or _bring(context, outcome.value):
                result.failures.setdefault(cell.variant, f"fold {cell.fold}, seed {cell.seed}: {reason}")
                log = context.out / "failures" / f"{cell_key(context, cell)[:24]}.log"
                with explained(log):
                    log.parent.mkdir(parents=True, exist_ok=True)
                    log.write_text(outcome.traceback or reason)
                progress.say(f"failed: {cell.variant} fold {cell.fold} seed {cell.seed}: {reason} (see {log})")
            else:
                result.cells.setdefault(cell.variant, []).append(outcome.value | {"fold": cell.fold, "seed": cell.seed})
                reused += outcome.value["reused"]
            report(done, len(cells))
    if reused:
        progress.say(f"{reused} of {len(cells)} cells were already done and were not run again")


def _bring(context: Context, value: dict) -> str:
    """Bring what another machine finished here, from the URL of the results; why that fails, else ""."""
    try:
        for folder in (context.out / "cells" / value["key"][:24], *(f.parent for f in value["predictions"].values())):
            fetched(folder)
    except UserError as error:
        return str(error)
    return ""
