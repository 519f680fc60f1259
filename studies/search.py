"""Optuna search of a model's own settings, fold by fold, on an inner part of the source's training subjects.

Each outer fold has a study of its own that sees that fold's training part alone: four fifths of its subjects train, one
fifth validates. So neither a target nor anything held out can steer a choice; the best configuration of each fold is
used for that fold. Trials are kept in a journal file: the same command again goes on where it stopped.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_ramba.data.tasks import truth_of
from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.evaluation.pooling import Pooling, pool
from ecg_ramba.files import check_writable, write_json
from ecg_ramba.harness.cells import Cell, Context, train_cell
from ecg_ramba.harness.config import SuiteConfig
from ecg_ramba.harness.contexts import cache_dir, load_named, make_context
from ecg_ramba.harness.executor import run_jobs
from ecg_ramba.harness.folds import Fold, training_part
from ecg_ramba.harness.probabilities import probabilities
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.splits import inner_split
from ecg_ramba.keys import digest, plain, seed_for
from ecg_ramba.models import model_spec


@dataclass(frozen=True)
class SearchJob:
    """One fold's study: which model, how many trials, where its journal lies."""

    model: str
    fold: int
    trials: int
    journal: Path


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


def inner_loss(context: Context, model: str, config, inner: Fold) -> tuple[float, dict]:
    """Train on the inner training part; mean log loss of the pooled probabilities on the inner validation part."""
    folds = tuple(inner if f.number == inner.number else f for f in context.folds)
    narrowed = dataclasses.replace(context, folds=folds, targets=(), target_tables=())
    cell = Cell(variant=f"search {model}", model=model, config=config, fold=inner.number, seed=0)
    fitted, log = train_cell(narrowed, cell)
    table = context.source_table
    rows = table.of_records(inner.held_out)
    p = probabilities(fitted, context.source, table, rows, context.cache, context.suite.device)
    record, starts = np.unique(table.record[rows], return_index=True)  # windows lie in order of their recordings
    pooled = np.clip(pool(p, starts, Pooling()), 1e-6, 1 - 1e-6)
    y, known = context.truth.y[record], context.truth.known[record] & inner.trained
    loss = -np.where(y, np.log(pooled), np.log1p(-pooled))
    return float(loss[known].mean()), log


def search_fold(context: Context, job: SearchJob) -> dict:
    """Run one fold's study (in a worker) up to its number of trials; returns its trials and the best one."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spec = model_spec(job.model)
    base = spec.profile(context.suite.profile)
    inner = inner_fold(context, context.folds[job.fold - 1])
    job.journal.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name=f"{job.model} fold {job.fold}",
        storage=JournalStorage(JournalFileBackend(str(job.journal))),
        load_if_exists=True,
        direction="minimize",
        sampler=optuna.samplers.TPESampler(seed=seed_for(context.suite.base_seed, job.fold, "search")),
    )

    def objective(trial: optuna.Trial) -> float:
        config = spec.search_space(trial, base)
        loss, log = inner_loss(context, job.model, config, inner)
        changed = {k: v for k, v in plain(config).items() if plain(base).get(k) != v}
        trial.set_user_attr("changes", changed)
        trial.set_user_attr("seconds", log["seconds"])
        return loss

    done = [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    study.optimize(objective, n_trials=max(0, job.trials - len(done)))
    done = [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    best = min(done, key=lambda t: t.value)
    trials = [
        {"number": t.number, "loss": t.value, "params": t.params, "seconds": t.user_attrs["seconds"]} for t in done
    ]
    return {
        "fold": job.fold,
        "trials": trials,
        "best": {
            "trial": best.number,
            "loss": best.value,
            "config": best.user_attrs["changes"],
            "training_part": context.folds[job.fold - 1].digest,
        },
    }


def search(
    model: str, config: SuiteConfig, trials: int, data_dir: Path | None, out: Path, workers: int, progress: Progress
) -> tuple[Path, Sequence[dict]]:
    """Search one model's settings on every fold and save the best configuration of each.

    Returns
    -------
    path : Path
        ``best.json``, which ``nox -s ablations -- --config`` accepts.
    studies : sequence of dict
        One a fold, with its trials.

    Raises
    ------
    UserError
        If the model has no search space, or a trial fails.
    """
    spec = model_spec(model)
    if spec.search_space is None:
        raise UserError(f"model {model!r} has no search space; give its SPEC a search_space(trial, config)")
    check_writable(out)
    data = load_named([config.source], data_dir, cache_dir(out), config.signal, workers, progress)
    context, _ = make_context(dataclasses.replace(config, targets=()), data, out)
    key = digest([model, plain(context.suite), [f.digest for f in context.folds]])
    folder = out / "studies" / f"search-{model}-{key[:12]}"
    jobs = [SearchJob(model, f.number, trials, folder / f"fold{f.number}.journal") for f in context.folds]
    studies = []
    with progress.stage(f"search {model}: {trials} trials a fold", unit="folds") as report:
        for outcome in run_jobs(search_fold, context, jobs, workers):
            if outcome.reason:
                raise UserError(f"the search on fold {jobs[outcome.index].fold} failed: {outcome.reason}")
            studies.append(outcome.value)
            report(len(studies), len(jobs))
    studies.sort(key=lambda s: s["fold"])
    path = folder / "best.json"
    write_json(
        path,
        {
            "model": model,
            "profile": config.profile,
            "source": config.source,
            "synthetic": data[0].synthetic,
            "objective": "mean log loss of pooled probabilities on the inner validation part (lower is better)",
            "best": {str(s["fold"]): s["best"] for s in studies},
            "trials": {str(s["fold"]): s["trials"] for s in studies},
        },
    )
    return path, studies


def log_search(model: str, studies: Sequence[dict], path: Path, synthetic: bool, uri: str) -> None:
    """Log the search to MLflow: one run, and under it one run a trial."""
    from ecg_ramba.harness.tracking import LATER, experiment_run, tracking

    kind = "synthetic" if synthetic else "real"
    name = f"{'SYNTHETIC ' if synthetic else ''}search {model}"
    with (
        tracking(uri, LATER) as mlflow,
        experiment_run(mlflow, name, {"level": "study", "data": kind, "model": model}),
    ):
        mlflow.log_artifact(str(path))
        for study in studies:
            mlflow.log_metric(f"fold {study['fold']}/best inner log loss", study["best"]["loss"])
            for trial in study["trials"]:
                tags = {"level": "trial", "data": kind, "model": model, "fold": str(study["fold"])}
                with mlflow.start_run(
                    run_name=f"{name} fold {study['fold']} trial {trial['number']}", nested=True, tags=tags
                ):
                    mlflow.log_params(trial["params"])
                    mlflow.log_metrics({"inner log loss": trial["loss"], "seconds": trial["seconds"]})
