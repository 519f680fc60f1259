"""A search in words, tables and figures."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ecg_ramba.document import Figure, Section, Table, Text
from ecg_ramba.harness.cells import Context
from studies.search.results import NEAR, OBJECTIVE, Found, best_trial, complete, front, importance, trial_table
from studies.search.study import CHANGES, Search

STEM = "search"
COSTS = {"flops": "operations of a window", "latency": "milliseconds a window"}


def search_sections(context: Context, search: Search, found: Found) -> list[Section]:
    """All sections of a search, in reading order."""
    kind = "Synthetic: " if context.source.synthetic else ""
    return [_about(context, search, found, kind), *(_model(search, found, m, kind) for m in search.models)]


def _about(context: Context, search: Search, found: Found, kind: str) -> Section:
    text = (
        f"{search.trials} trials of each model on each of {len(context.folds)} folds of {context.source.name}, "
        "the same number for all. A trial trains on four fifths of the subjects of the fold's training part; its worth "
        f"is the {OBJECTIVE}. What a fold holds out, and every target, takes no part in it; each fold uses its own "
        "best configuration. An inner validation part is a choice made on few subjects: its loss is not an estimate of "
        "how the model does elsewhere."
    )
    if search.cost:
        text += (
            f" Weighed against {COSTS[search.cost]}: of the trials within {NEAR} of the lowest loss the cheapest is "
            "taken; no trial is ended early."
        )
    else:
        text += " Networks without prospects are ended early (median rule, Akiba et al. 2019)."
    header = ["model", "fold", "loss", *([search.cost] if search.cost else []), "ended early", "failed", "best"]
    rows = []
    for (model, fold), trials in found.items():
        best, states = best_trial(trials, search.cost), [t.state.name for t in trials]
        cost = [f"{best.values[1]:.4g}"] if search.cost else []
        counts = [str(states.count("PRUNED")), str(states.count("FAIL"))]
        rows.append([model, str(fold), f"{best.values[0]:.4f}", *cost, *counts, _changes(best)])
    table = Table("best", f"{kind}The best configuration of each fold", header, rows)
    return Section(f"{kind}what was found", (Text(text), table), {STEM: trial_table(search, found)})


def _model(search: Search, found: Found, model: str, kind: str) -> Section:
    of = {fold: trials for (name, fold), trials in found.items() if name == model}
    parts: list = [Figure(f"history-{model}", f"{kind}{model}: lowest loss so far, by fold", lambda: _history(of))]
    shares = {fold: importance(trials) for fold, trials in of.items()}
    if any(shares.values()):
        frame = pd.DataFrame([s for s in shares.values() if s]).mean().sort_values(ascending=False)
        rows = [[name, f"{value:.2f}"] for name, value in frame.items()]
        caption = f"{kind}{model}: share of the loss's variance that each setting explains (fANOVA), mean over folds"
        parts.append(Table(f"importance-{model}", caption, ["setting", "share"], rows))
        parts.append(Figure(f"importance-{model}-bars", caption, lambda: _bars(frame)))
    if search.cost:
        title = f"{kind}{model}: loss against {COSTS[search.cost]}"
        parts.append(Figure(f"front-{model}", title, lambda: _front(of, COSTS[search.cost])))
        rows = [
            [
                str(fold),
                str(t.number),
                f"{t.values[0]:.4f}",
                f"{t.values[1]:.4g}",
                _changes(t),
            ]
            for fold, trials in of.items()
            for t in front(trials)
        ]
        header = ["fold", "trial", "loss", search.cost, "configuration"]
        parts.append(Table(f"front-{model}-trials", f"{kind}{model}: trials that no other beats in both", header, rows))
    return Section(f"{kind}{model}", tuple(parts))


def _changes(trial) -> str:
    """What a trial has other than the profile, numbers as short as they are told apart."""
    said = (f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in trial.user_attrs[CHANGES].items())
    return ", ".join(said) or "the profile as it is"


def _canvas(width: float = 6.4, height: float = 3.6):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    made = Canvas(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(made)
    return made, made.subplots()


def _history(of: dict[int, Sequence]):
    made, axes = _canvas()
    for fold, trials in of.items():
        done = complete(trials)
        axes.step(
            np.arange(1, len(done) + 1),
            np.minimum.accumulate([t.values[0] for t in done]),
            where="post",
            label=f"fold {fold}",
        )
    axes.set(xlabel="complete trials", ylabel="lowest inner log loss")
    axes.legend(frameon=False, fontsize=8)
    return made


def _bars(shares: pd.Series):
    made, axes = _canvas(height=0.4 * len(shares) + 0.9)
    axes.barh(shares.index[::-1], shares.to_numpy()[::-1], color="#0072B2")
    axes.set(xlabel="share of the variance of the loss", xlim=(0, 1))
    return made


def _front(of: dict[int, Sequence], cost: str):
    made, axes = _canvas()
    for fold, trials in of.items():
        done, best = complete(trials), front(trials)
        (line,) = axes.plot([t.values[1] for t in best], [t.values[0] for t in best], marker="o", label=f"fold {fold}")
        axes.scatter([t.values[1] for t in done], [t.values[0] for t in done], s=8, color=line.get_color(), alpha=0.5)
    axes.set(xlabel=cost, ylabel="inner log loss", xscale="log")
    axes.legend(frameon=False, fontsize=8)
    return made
