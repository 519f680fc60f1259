"""A search in MLflow: one run for the search, and under it one run for every trial, each once."""

from pathlib import Path

from ecg_ramba.harness.cells import Context
from ecg_ramba.harness.tracking import LATER, experiment_run, tracking
from studies.search.results import Found, best_trial
from studies.search.study import REASON, SECONDS, Search

TRIAL = "trial_key"
"""Tag by which a trial's run is found again."""


def log_search(context: Context, search: Search, found: Found, files: list[Path], uri: str) -> None:
    """Log what is not logged yet, so that a search that went on, or ran on many machines, has each trial once.

    Raises
    ------
    UserError
        If MLflow cannot use the place; the trials are kept where they are.
    """
    synthetic = context.source.synthetic
    title = f"{'SYNTHETIC ' if synthetic else ''}search {', '.join(search.models)}"
    tags = {"data": "synthetic" if synthetic else "real", "search": search.key[:16]}
    with tracking(uri, LATER) as mlflow, experiment_run(mlflow, title, tags | {"level": "study"}) as top:
        mlflow.log_params({"trials": search.trials, "cost": search.cost or "none", "source": context.source.name})
        for path in files:
            mlflow.log_artifact(str(path))
        logged = _logged(mlflow, top.info.experiment_id, search)
        for (model, fold), trials in found.items():
            mlflow.log_metric(f"{model}/fold {fold}/best inner log loss", best_trial(trials, search.cost).values[0])
            for trial in trials:
                key = f"{search.key[:16]} {model} {fold} {trial.number}"
                if key not in logged:
                    of = {"level": "trial", "model": model, "fold": str(fold), TRIAL: key, "state": trial.state.name}
                    _log_trial(mlflow, f"{model} fold {fold} trial {trial.number}", trial, tags | of, search.cost)


def _logged(mlflow, experiment: str, search: Search) -> set[str]:
    """Keys of the search's trials that have a finished run."""
    asked = f"tags.search = '{search.key[:16]}' and tags.level = 'trial' and attributes.status = 'FINISHED'"
    keys, token = set(), None
    while True:
        runs = mlflow.MlflowClient().search_runs([experiment], asked, max_results=1000, page_token=token)
        keys |= {r.data.tags[TRIAL] for r in runs}
        token = runs.token
        if not token:
            return keys


def _log_trial(mlflow, name: str, trial, tags: dict, cost: str) -> None:
    with mlflow.start_run(run_name=name, nested=True, tags=tags):
        mlflow.log_params(trial.params)
        if REASON in trial.user_attrs:
            mlflow.set_tag(REASON, trial.user_attrs[REASON])
        for step, loss in sorted(trial.intermediate_values.items()):
            mlflow.log_metric("inner log loss while training", loss, step=step)
        if trial.state.name == "COMPLETE":
            named = dict(zip(("inner log loss", cost), trial.values, strict=False))
            mlflow.log_metrics(named | {"seconds": trial.user_attrs[SECONDS]})
