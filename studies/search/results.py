"""What a search found: the best configuration of each model and fold, and what led to it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ecg_ramba.errors import UserError
from ecg_ramba.files import write_json
from ecg_ramba.harness.cells import Context
from studies.search.study import CHANGES, REASON, SECONDS, Search

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

Found = Mapping[tuple[str, int], Sequence["FrozenTrial"]]
"""(model, fold) -> its finished trials."""

OBJECTIVE = "mean log loss of pooled probabilities on the inner validation part (lower is better)"
NEAR = 0.01
"""With a cost, the cheapest trial counts as the best whose loss is within so much of the lowest."""


def complete(trials: Sequence["FrozenTrial"]) -> list["FrozenTrial"]:
    """Those with a loss: neither pruned nor failed."""
    from optuna.trial import TrialState

    return [t for t in trials if t.state == TrialState.COMPLETE]


def best_trial(trials: Sequence["FrozenTrial"], cost: str) -> "FrozenTrial":
    """The trial with the lowest loss; with a cost, the cheapest of those within 0.01 of it."""
    done = complete(trials)
    lowest = min(t.values[0] for t in done)
    if not cost:
        return next(t for t in done if t.values[0] == lowest)
    return min((t for t in done if t.values[0] <= lowest + NEAR), key=lambda t: (t.values[1], t.values[0], t.number))


def front(trials: Sequence["FrozenTrial"]) -> list["FrozenTrial"]:
    """Trials with a loss and a cost that no other beats in one without losing in the other, by falling loss."""
    done, kept = sorted(complete(trials), key=lambda t: (t.values[0], t.values[1])), []
    for t in done:
        if not kept or t.values[1] < kept[-1].values[1]:
            kept.append(t)
    return kept[::-1]


def trial_table(search: Search, found: Found) -> pd.DataFrame:
    """One row a trial: state, loss, cost, seconds, what differs from the profile, why it failed."""
    rows = []
    for (model, fold), trials in found.items():
        for t in trials:
            values = (t.values or []) + [np.nan] * 2
            shown = t.intermediate_values.values() if t.state.name == "PRUNED" else ()
            rows.append(
                {
                    "model": model,
                    "fold": fold,
                    "trial": t.number,
                    "state": t.state.name.lower(),
                    "loss": values[0] if t.state.name == "COMPLETE" else (list(shown) or [np.nan])[-1],
                    "cost": values[1] if search.cost and t.state.name == "COMPLETE" else np.nan,
                    "seconds": t.user_attrs.get(SECONDS, np.nan),
                    "changes": ", ".join(f"{k}={v}" for k, v in t.user_attrs.get(CHANGES, {}).items()),
                    "reason": t.user_attrs.get(REASON, ""),
                }
            )
    return pd.DataFrame(rows)


def importance(trials: Sequence["FrozenTrial"]) -> dict[str, float]:
    """How much of the variance of the loss each setting explains (fANOVA, Hutter et al. 2014); {} if it cannot be said.

    That takes four complete trials of which two differ in their loss.
    """
    import optuna

    done = complete(trials)
    if len(done) < 4 or len({t.values[0] for t in done}) < 2:
        return {}
    study = optuna.create_study(direction="minimize")
    for t in done:
        study.add_trial(optuna.trial.create_trial(params=t.params, distributions=t.distributions, value=t.values[0]))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def write_best(context: Context, search: Search, found: Found, paths: Sequence[Path]) -> None:
    """Write the best configurations, in the form that ``--config`` takes, to each of the paths.

    Raises
    ------
    UserError
        If no trial of some model and fold came to a loss.
    """
    best: dict[str, dict] = {}
    for (model, fold), trials in found.items():
        if not complete(trials):
            reasons = [t.user_attrs[REASON] for t in trials if REASON in t.user_attrs]
            raise UserError(f"no trial of {model} on fold {fold} came to an end: {reasons[0] if reasons else 'pruned'}")
        chosen = best_trial(trials, search.cost)
        best.setdefault(model, {})[str(fold)] = {
            "trial": chosen.number,
            "loss": chosen.values[0],
            **({search.cost: chosen.values[1]} if search.cost else {}),
            "config": chosen.user_attrs[CHANGES],
            "training_part": context.folds[fold - 1].digest,
        }
    content = {
        "profile": context.suite.profile,
        "source": context.suite.source,
        "synthetic": context.source.synthetic,
        "objective": OBJECTIVE,
        "cost": search.cost,
        "trials": search.trials,
        "best": best,
    }
    for path in paths:
        write_json(path, content)
