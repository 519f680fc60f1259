"""The suite: prepare the data, split, train every cell, predict the targets, evaluate, report.

Everything finished is kept under its content key, so the same command again does only what is missing.
"""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ecg_ramba import __version__
from ecg_ramba.data.labels import label_space
from ecg_ramba.data.registry import dataset, locate
from ecg_ramba.data.store import Prepared, prepare
from ecg_ramba.data.synthetic import cohort_dir
from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.files import check_writable, explained, sha256_file
from ecg_ramba.harness.cells import Cell, Context, cell_key, run_cell
from ecg_ramba.harness.config import SuiteConfig, Variant
from ecg_ramba.harness.embeddings import embed_all
from ecg_ramba.harness.executor import run_jobs
from ecg_ramba.harness.features import fit_morphology, morphology_tokens
from ecg_ramba.harness.folds import make_source_folds
from ecg_ramba.harness.inputs import window_table
from ecg_ramba.harness.outputs import SuiteResult, write_suite, write_truth, write_variants
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.splits import describe, overlap_with_source
from ecg_ramba.harness.variants import REFERENCE
from ecg_ramba.keys import digest, plain, seed_for
from ecg_ramba.models import model_spec
from ecg_ramba.signal import SignalConfig


def cache_dir(out: Path) -> Path:
    """Where prepared data and features are kept: ``ECG_RAMBA_CACHE``, or a folder beside the results."""
    place = os.environ.get("ECG_RAMBA_CACHE")
    return Path(place) if place else out / "cache"


def load_named(
    names: Sequence[str], data_dir: Path | None, cache: Path, signal: SignalConfig, workers: int, progress: Progress
) -> list[Prepared]:
    """Data sets by name, prepared; without a data folder the synthetic cohort is made and used."""
    known = {name: dataset(name) for name in names}
    if len(known) < len(names):
        raise UserError(f"a data set is named twice among {', '.join(names)}; name each once")
    folders = {}
    real = [n for n in names if not known[n].synthetic]
    if real:
        if data_dir is None:
            raise UserError(f"{', '.join(real)}: say where the recordings are with --data DIR")
        folders |= locate(data_dir, real)
    made = [n for n in names if known[n].synthetic]
    if made:
        folders |= locate(data_dir if data_dir and not real else cohort_dir(cache), made)
    prepared = []
    for name in names:
        with progress.stage(f"prepare {name}", unit="recordings") as report:
            prepared.append(prepare(known[name], folders[name], cache, signal, workers, report))
        if refused := prepared[-1].refused:
            first = f"{refused[0]['file']}: {refused[0]['cause']}"
            progress.say(f"{name}: {len(refused)} recordings refused and left out, the first: {first}")
    return prepared


def make_context(config: SuiteConfig, data: list[Prepared], out: Path) -> tuple[Context, dict]:
    """Splits, labels and cleared targets; with what was left out, counted.

    Returns
    -------
    context : Context
    counts : dict
        Data set -> {"unlabelled": n, "removed_overlap": n}.
    """
    space = label_space(config.label_space)
    counts, cleared = {}, []
    for place, d in enumerate(data):
        labelled = d.records["labelled"].to_numpy()
        keep = labelled.copy()
        if place:
            keep &= ~overlap_with_source(d.records, data[0].records)
        counts[d.name] = {"unlabelled": int((~labelled).sum()), "removed_overlap": int((labelled & ~keep).sum())}
        if not keep.any():
            raise UserError(
                f"{d.name}: no recording is left (unlabelled, or all overlap with the source {data[0].name})"
            )
        cleared.append(d.subset(np.flatnonzero(keep)))
    source, *targets = cleared
    seed = seed_for(config.base_seed, source.name, "folds")
    truth, number, folds = make_source_folds(source, space, config.folds, seed)
    context = Context(
        suite=config,
        source=source,
        source_table=window_table(source),
        targets=tuple(targets),
        target_tables=tuple(window_table(t) for t in targets),
        truth=truth,
        folds=tuple(folds),
        out=out,
        cache=cache_dir(out),
    )
    return context, counts | {"": {"fold": number.tolist()}}


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


def feature_job(context: Context, cell: Cell) -> float:
    """Fit the morphology transform of a cell's fold and compute its tokens everywhere (in a worker); seconds taken."""
    began = time.perf_counter()
    suite, fold = context.of(cell).suite, cell.fold
    transform = fit_morphology(
        context.source, context.source_table, context.folds[fold - 1], suite.features, suite.base_seed,
        suite.budget.lead_dropout, context.cache,
    )  # fmt: skip
    for limb in (False, True):
        morphology_tokens(context.source, context.source_table, transform, limb, context.cache)
    for data, table in zip(context.targets, context.target_tables, strict=True):
        morphology_tokens(data, table, transform, False, context.cache)
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
    _features(context, cells, workers, progress)
    result = SuiteResult(folder, key, context, list(variants))
    result.failures |= embed_all(context, cells, workers, progress)
    cells = [c for c in cells if c.variant not in result.failures]
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
            wanted.setdefault(digest([suite.features, suite.budget.lead_dropout, cell.fold]), cell)
    if not wanted:
        return
    jobs = list(wanted.values())
    with progress.stage("features", unit="folds") as report:
        for done, outcome in enumerate(run_jobs(feature_job, context, jobs, workers), 1):
            if outcome.reason:
                fold = jobs[outcome.index].fold
                raise UserError(f"features of fold {fold} failed: {outcome.reason}\n{outcome.traceback}")
            report(done, len(jobs))


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
