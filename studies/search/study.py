"""Running trials: each is a job of its own, by whichever process or machine takes it, until every study has its number.

A study's trials are numbered by the storage. Those that count are the finished, the pruned, those that failed by their
own configuration, and those that still run; a trial with as many of them before it as were asked for is one too many
and gives way. So several machines that begin the same search at once end with exactly that number, and a trial whose
process was killed is done again under another number.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ecg_ramba.errors import LeakageError, UserError, first_line
from ecg_ramba.harness.cells import Context
from ecg_ramba.harness.executors.jobs import Executor
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.tracking import shown
from ecg_ramba.keys import digest, plain, seed_for
from ecg_ramba.models import model_spec
from studies.search.objective import inner_fold, inner_trial
from studies.search.storage import OWNER, open_storage, reap, trial_owner

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

REASON, CHANGES, SECONDS = "reason", "changes", "seconds"
"""User attributes of a trial: why its configuration failed, what differs from the profile, seconds of training."""
ROUNDS = 3
"""How often trials that were lost are tried again before the search gives up."""
WAIT_S = 2.0
KEPT = "the finished trials are kept, the same command goes on"


@dataclass(frozen=True)
class Search:
    """What is searched: so many trials for every model on every fold.

    Parameters
    ----------
    models : tuple of str
    trials : int
        For each model and fold, the same for all.
    cost : str
        What is weighed against the loss (:data:`studies.search.objective.COSTS`); "" for the loss alone.
    storage : str or None
        See :func:`studies.search.storage.open_storage`.
    folder : Path
        Of the search, in the results.
    key : str
        Of data, folds and configuration: the same search on another machine has the same.
    """

    models: tuple[str, ...]
    trials: int
    cost: str
    storage: str | None
    folder: Path
    key: str


class _Surplus(Exception):
    """One trial too many: another process had taken the last one."""


class _Failed(Exception):
    """A configuration that cannot be trained; the trial says why."""


def search_key(context: Context, cost: str) -> str:
    """Content key of a search: the suite's configuration, the folds, the objectives; not its models or their number."""
    return digest(["search", 2, plain(context.suite), [f.digest for f in context.folds], cost])


def open_study(search: Search, model: str, fold: int) -> "Study":
    """The study of a model on a fold, made if it is not there."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(
        study_name=f"{model} fold {fold} {search.key[:12]}",
        storage=open_storage(search.storage, search.folder),
        load_if_exists=True,
        directions=["minimize"] * (2 if search.cost else 1),
        pruner=optuna.pruners.NopPruner() if search.cost else optuna.pruners.MedianPruner(n_startup_trials=5),
    )


def counted(trials: Sequence["FrozenTrial"]) -> list["FrozenTrial"]:
    """The trials that count towards the number asked for; see the module's text."""
    from optuna.trial import TrialState as State

    return [
        t
        for t in trials
        if t.state in (State.COMPLETE, State.PRUNED, State.RUNNING)
        or (t.state == State.FAIL and REASON in t.user_attrs)
    ]


def ended(trials: Sequence["FrozenTrial"]) -> list["FrozenTrial"]:
    """Those of them that run no more."""
    return [t for t in counted(trials) if t.state.is_finished()]


def trial_job(shared: tuple[Context, Search], job: tuple[str, int]) -> None:
    """Run one more trial of a model on a fold (in a worker), unless there are enough."""
    context, search = shared
    model, fold = job
    study = open_study(search, model, fold)
    reap(study, search.folder, beats=search.storage is not None)
    if len(counted(study.get_trials(deepcopy=False))) >= search.trials:
        return
    with trial_owner(search.folder) as owner:
        study.optimize(
            lambda trial: _objective(context, search, model, fold, owner, trial), n_trials=1, catch=(_Surplus, _Failed)
        )


def _objective(context: Context, search: Search, model: str, fold: int, owner: str, trial: "Trial") -> list[float]:
    import optuna

    trial.set_user_attr(OWNER, owner)
    before = [t for t in counted(trial.study.get_trials(deepcopy=False)) if t.number < trial.number]
    if len(before) >= search.trials:
        raise _Surplus
    seed = seed_for(context.suite.base_seed, fold, "search", trial.number)
    trial.study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    spec = model_spec(model)
    base = spec.profile(context.suite.profile)

    def look(step: int, loss: float) -> None:
        trial.report(loss, step)
        if trial.should_prune():
            raise optuna.TrialPruned

    try:
        config = spec.search_space(trial, base)
        trial.set_user_attr(CHANGES, {k: v for k, v in plain(config).items() if plain(base).get(k) != v})
        inner = inner_fold(context, context.folds[fold - 1])
        values, log = inner_trial(context, model, config, inner, search.cost, None if search.cost else look)
    except (LeakageError, optuna.exceptions.OptunaError):
        raise
    except Exception as error:
        if isinstance(error, OSError) or isinstance(error.__cause__, OSError):
            raise  # a full disk is no fault of the configuration: the trial does not count
        trial.set_user_attr(REASON, first_line(error))
        raise _Failed from error
    trial.set_user_attr(SECONDS, log["seconds"])
    return values


def run_search(
    context: Context, search: Search, executor: Executor, progress: Progress
) -> dict[tuple[str, int], list["FrozenTrial"]]:
    """Run trials until every study has its number.

    Returns
    -------
    dict
        (model, fold) -> its finished trials, by number.

    Raises
    ------
    UserError
        If the storage cannot be had any more, or trials are lost again and again; what is finished is kept.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return _run(context, search, executor, progress)
    except (StorageInternalError, SQLAlchemyError) as error:
        raise UserError(f"--storage {shown(search.storage or '')}: {first_line(error)}; {KEPT}") from error


def _run(context: Context, search: Search, executor: Executor, progress: Progress) -> dict:
    places = [(model, fold.number) for model in search.models for fold in context.folds]
    studies, total = {place: open_study(search, *place) for place in places}, search.trials * len(places)
    without_gain, said = 0, False
    with progress.stage(f"search {', '.join(search.models)}", unit="trials") as report:
        while left := _left(search, studies):
            before, reason = sum(left.values()), ""
            jobs = [place for i in range(search.trials) for place, n in left.items() if i < n]  # folds side by side
            for outcome in executor.run(trial_job, (context, search), jobs):
                reason = reason or outcome.reason
                place = jobs[outcome.index]
                left[place] = _lacking(search, studies[place])
                report(total - sum(left.values()), total)
            now = sum(_left(search, studies).values())
            if now and _running(studies):
                if not said:
                    progress.say("waiting for trials that other processes run")
                said = True
                time.sleep(WAIT_S)
            elif now:
                without_gain = 0 if now < before else without_gain + 1
                if without_gain == ROUNDS:
                    raise UserError(f"{now} of {total} trials are missing: {reason or 'their processes died'}; {KEPT}")
        report(total, total)
    return {place: ended(study.get_trials(deepcopy=False)) for place, study in studies.items()}


def _left(search: Search, studies: dict) -> dict[tuple[str, int], int]:
    """How many trials each study lacks, where it does."""
    found = {place: _lacking(search, study) for place, study in studies.items()}
    return {place: n for place, n in found.items() if n}


def _lacking(search: Search, study: "Study") -> int:
    return max(0, search.trials - len(ended(study.get_trials(deepcopy=False))))


def _running(studies: dict) -> int:
    """How many trials run, in any process that is alive."""
    from optuna.trial import TrialState

    return sum(len(s.get_trials(deepcopy=False, states=(TrialState.RUNNING,))) for s in studies.values())
