"""``nox -s studies -- search MODEL``: Optuna on the inner source validation."""

import shlex

from ecg_ramba.harness.options import add_suite_options, add_tracking_options, positive, suite_config


def add_command(studies) -> None:
    """Add the study to the command line."""
    made = studies.add_parser("search", help="Optuna search of a model's settings on the inner source validation")
    made.add_argument("model", metavar="MODEL", help="a registered model, for example ecg_ramba")
    made.add_argument("--trials", type=positive, default=20, metavar="N", help="trials a fold (default 20)")
    add_suite_options(made, targets=False)
    add_tracking_options(made)
    made.set_defaults(run=run)


def run(options) -> None:
    """Search, save the best configurations, log the trials."""
    from ecg_ramba.files import read_json
    from ecg_ramba.harness.executor import default_workers
    from ecg_ramba.harness.progress import Progress
    from ecg_ramba.harness.tracking import check_tracking
    from studies.search import log_search, search

    options.target = []
    if not options.no_tracking:
        check_tracking(options.tracking)
    workers = options.workers or default_workers()
    config = suite_config(options)
    path, found = search(options.model, config, options.trials, options.data, options.out, workers, Progress())
    content = read_json(path)
    for study in found:
        best = study["best"]
        changes = ", ".join(f"{k}={v}" for k, v in best["config"].items()) or "the profile as it is"
        print(
            f"fold {study['fold']}: best inner log loss {best['loss']:.4f} in {len(study['trials'])} trials: {changes}"
        )
    if content["synthetic"]:
        print("searched on SYNTHETIC recordings: says nothing of patients")
    if not options.no_tracking:
        log_search(options.model, found, path, content["synthetic"], options.tracking)
    print(f"best configuration: {path}")
    data = f"--data {shlex.quote(str(options.data))} --source {config.source} " if options.data else ""
    print(f"use it: nox -s ablations -- {data}--config {path}")
