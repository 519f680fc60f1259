"""Score calibration with the labels of a few target subjects: a map of each class's unit score."""

from collections.abc import Sequence

import numpy as np

from ecg_ramba.evaluation.measure import TaskContext
from studies.adaptation.fit import BOTH, fit_map, outcomes
from studies.adaptation.split import TargetSplit

MAP_COLUMNS = (
    *("task", "share", "draw", "seed", "cls", "kind", "intercept", "slope", "units", "positives"),
    *("positive_subjects", "negative_subjects", "reason"),
)


def unit_rows(context: TaskContext, split: TargetSplit) -> np.ndarray:
    """Row in the split of each unit's record."""
    place = {name: i for i, name in enumerate(split.record)}
    return np.array([place[name] for name in context.units.record])


def calibrated(
    context: TaskContext, scores: np.ndarray, split: TargetSplit, conditions: Sequence[tuple[float, int]]
) -> tuple[np.ndarray, list[dict]]:
    """Scores of the test units under a map fitted on each condition's adaptation units.

    Parameters
    ----------
    context : TaskContext
        Of all units of the target's task.
    scores : (n_seeds, n_units, K) array
        Of the ensemble of fold models, zero-shot.
    split : TargetSplit
    conditions : sequence of (share, draw)
        Share 0 leaves the scores as they are.

    Returns
    -------
    mapped : (conditions, n_seeds, n_test, K) float64 array
    maps : list of dict
        One a condition, seed and class, as :data:`MAP_COLUMNS`, with a reason where the class keeps its scores.
    """
    row = unit_rows(context, split)
    test, subject = split.test[row], split.group[row]
    out, maps = np.repeat(scores[None, :, test], len(conditions), axis=0), []
    for mapped, (share, draw) in zip(out, conditions, strict=True):
        if share == 0:
            continue
        adapting = split.adapting(share, draw)[row]
        for k, cls in enumerate(context.task.scores):
            at = np.flatnonzero(adapting & context.support[cls.name].scored)
            positive = context.units.positive[at, k]
            yes, no = outcomes(positive, subject[at])
            for seed, own in enumerate(scores):
                made = fit_map(positive, own[at, k], subject[at])
                facts = {"task": context.task.name, "share": share, "draw": draw, "seed": seed, "cls": cls.name}
                facts |= {"units": len(at), "positives": int(positive.sum())}
                facts |= {"positive_subjects": yes, "negative_subjects": no, "reason": made.reason, "kind": made.kind}
                facts |= {"intercept": float("nan"), "slope": float("nan")}
                if made.made is not None:
                    mapped[seed, :, k] = made.made(own[test, k])
                    facts |= {"intercept": made.made.intercept, "slope": made.made.slope}
                maps.append(facts)
    return out, maps


def said_kinds(maps: Sequence[dict]) -> str:
    """How many of some maps are of which kind, in words."""
    both = sum(m["kind"] == BOTH for m in maps)
    none = sum(m["kind"] == "" for m in maps)
    return f"{both} / {len(maps) - both - none} / {none}"
