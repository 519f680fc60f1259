"""AF burden against the pooled score of AF records: whether a pooling orders them by it, and how little it still finds.

Spearman's rank correlation under bootstrap draws of subjects is that of the drawn records, repeated as often as their
subject was drawn: its ranks are mid-ranks under whole-number weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from ecg_ramba.evaluation.burden import AF_CLASS
from ecg_ramba.evaluation.intervals import interval, withheld
from ecg_ramba.evaluation.measure import TaskContext
from ecg_ramba.evaluation.pooled import DEFAULT, POOLINGS, label
from ecg_ramba.evaluation.rows import how_sure
from ecg_ramba.evaluation.scores import nan_mean
from ecg_ramba.evaluation.suite import Variant

if TYPE_CHECKING:
    from ecg_ramba.evaluation.evaluate import Evaluation

BANDS = ((0.0, 0.125), (0.125, 0.5), (0.5, 1.0), (1.0, np.inf))
"""Lower edge (within) and upper edge (outside) of burden; 12.5 and 50 % are the least burdens of Q = 3 and Q = 1."""
BAND_TITLES = ("below 12.5 %", "12.5 to 50 %", "50 to 100 %", "100 %")
SPEARMAN = "Spearman's rho of burden and score"
COLUMNS = (
    *("data", "task", "dataset", "variant", "title", "reference", "pooling", "exponent", "least_burden", "figure"),
    *("band", "value", "lo", "hi", "diff", "diff_lo", "diff_hi", "records", "subjects", "reachable", "no_burden"),
    *("seeds", "how_sure", "reason"),
)


@dataclass
class BurdenScores:
    """Rows of all variants: ``figures`` as :data:`COLUMNS`; ``records``: one row an AF record, variant and pooling."""

    figures: list[dict] = field(default_factory=list)
    records: list[pd.DataFrame] = field(default_factory=list)

    def add(self, other: BurdenScores) -> None:
        """Take in another variant's rows."""
        self.figures += other.figures
        self.records += other.records

    def frames(self) -> dict[str, pd.DataFrame]:
        """The tables as CSV files hold them; nothing without AF records of known burden."""
        if not self.figures:
            return {}
        return {
            "pooling_burden": pd.DataFrame(self.figures, columns=list(COLUMNS)),
            "pooling_burden_records": pd.concat(self.records, ignore_index=True),
        }


def midranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mid-ranks (n, D) of values (n,) of which each stands ``weights`` (n, D) times in a sample."""
    groups, group = np.unique(values, return_inverse=True)
    member = csr_array((np.ones(len(values)), (group, np.arange(len(values)))), shape=(len(groups), len(values)))
    sums = member @ weights
    return (np.cumsum(sums, axis=0) - sums + (sums + 1) / 2)[group]


def rank_correlation(x_ranks: np.ndarray, y_ranks: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson's correlation (D,) of mid-ranks (n, D) under weights (n, D); NaN where one of them does not vary."""
    total = weights.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        x = x_ranks - (weights * x_ranks).sum(axis=0) / total
        y = y_ranks - (weights * y_ranks).sum(axis=0) / total
        shared = (weights * x * y).sum(axis=0)
        spread = (weights * x * x).sum(axis=0) * (weights * y * y).sum(axis=0)
        return np.where(spread > 0, shared / np.sqrt(np.where(spread > 0, spread, 1)), np.nan)


def spearman(x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Spearman's rank correlation (D,) of x and y (n,), each pair standing ``weights`` (n, D) times in a sample.

    Spearman 1904, "The proof and measurement of association between two things".
    """
    weights = np.ones((len(x), 1)) if weights is None else np.asarray(weights, np.float64)
    return rank_correlation(midranks(x, weights), midranks(y, weights), weights)


def band_of(share: np.ndarray) -> np.ndarray:
    """Index into :data:`BANDS` of each burden."""
    return np.searchsorted([low for low, _ in BANDS], share, side="right") - 1


def burden_rows(
    evaluation: Evaluation,
    variant: Variant,
    context: TaskContext,
    pooled: Sequence[np.ndarray],
) -> BurdenScores:
    """One variant's AF records on one task: rank correlation with burden, and sensitivity by band, for each pooling.

    Parameters
    ----------
    evaluation : Evaluation
    variant : Variant
    context : TaskContext
    pooled : sequence of (n_seeds, n_units, K) arrays
        Its scores, one a pooling of :data:`POOLINGS`.

    Returns
    -------
    BurdenScores
        Empty on a task without burdens, or of which no model was trained on AF or flutter.
    """
    burden = next((b for b in evaluation.burdens if b.task == context.task.name), None)
    if burden is None or not context.support[AF_CLASS].scored.any():
        return BurdenScores()
    k = [s.name for s in context.task.scores].index(AF_CLASS)
    positive = np.flatnonzero(context.units.positive[:, k])  # sorted by record, as the burdens are
    known = np.isfinite(burden.share)
    at, share = positive[known], burden.share[known]
    subject = context.units.subject[at]
    seeds = evaluation.suite.n_seeds
    base = {
        "data": "synthetic" if evaluation.suite.synthetic else "real",
        "task": context.task.name,
        "dataset": context.task.dataset,
        "variant": variant.name,
        "title": variant.title_on(context.task),
        "reference": variant.reference,
        "records": len(at),
        "subjects": len(np.unique(subject)),
        "no_burden": int((~known).sum()),
        "seeds": seeds,
        "how_sure": how_sure(seeds),
    }
    if not len(at):
        return BurdenScores()
    weights = context.draws.counts[subject].astype(np.float64)
    made = BurdenScores()
    found = {}
    for rule, scores in zip(POOLINGS, pooled, strict=True):
        own = base | {"pooling": label(rule), "exponent": rule.exponent, "least_burden": rule.burden_limit}
        found[rule] = _figures(evaluation, context, share, scores[:, at, k], subject, weights)
        made.records.append(
            pd.DataFrame(
                {
                    **{c: own[c] for c in ("data", "task", "dataset", "variant", "pooling", "exponent")},
                    "record": context.units.record[at],
                    "subject": context.units.subjects[subject],
                    "burden": share,
                    "score": scores[:, at, k].mean(axis=0),
                }
            )
        )
        for figure, (value, draws, inside, reason) in found[rule].items():
            low, high = interval(draws, evaluation.config.level)
            reachable = int((share[inside] >= rule.burden_limit).sum())
            name, band = figure
            row = own | {"figure": name, "band": band, "value": value, "lo": low, "hi": high, "reason": reason}
            row |= {"records": int(inside.sum()), "subjects": len(np.unique(subject[inside])), "reachable": reachable}
            made.figures.append(row)
    for row, rule in zip(made.figures, [p for p in POOLINGS for _ in found[p]], strict=True):
        value, draws, _, _ = found[rule][row["figure"], row["band"]]
        other, theirs, _, _ = found[DEFAULT][row["figure"], row["band"]]
        row["diff"] = value - other
        paired = None if draws is None else draws - theirs
        row["diff_lo"], row["diff_hi"] = interval(paired, evaluation.config.level)
    return made


def _figures(evaluation, context, share, scores, subject, weights) -> dict[tuple[str, str], tuple]:
    """(figure, band) -> value, draws or None, records it is over, why there is no interval; the mean over seeds."""
    config, shares = evaluation.config, context.draws.seeds

    def combined(values: list[float], draws: list[np.ndarray], inside: np.ndarray, missing: float) -> tuple:
        subjects = len(np.unique(subject[inside]))
        least = config.interval_subjects
        reason = withheld(subjects, max(subjects, least), missing, least, config.max_missing)
        drawn = None if reason else sum(s * d for s, d in zip(shares, draws, strict=True))
        return float(nan_mean(np.array(values))), drawn, inside, reason

    everything = np.ones(len(share), bool)
    x = midranks(share, weights)
    values = [spearman(share, s)[0] for s in scores]
    draws = [rank_correlation(x, midranks(s, weights), weights) for s in scores]
    out = {(SPEARMAN, "all"): combined(values, draws, everything, float(np.isnan(draws).mean()))}
    if np.isnan(values).all():
        flat = "burden" if len(np.unique(share)) == 1 else "score"
        out[SPEARMAN, "all"] = (float("nan"), None, everything, f"no rank correlation: every AF record has one {flat}")
    band, called = band_of(share), scores >= config.threshold
    for i, title in enumerate(("all", *BAND_TITLES)):
        inside = everything if title == "all" else band == i - 1
        if not inside.any():
            continue
        total = weights[inside].sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            draws = [np.where(total > 0, c[inside] @ weights[inside] / total, np.nan) for c in called]
        values = [float(c[inside].mean()) for c in called]
        out["sensitivity", title] = combined(values, draws, inside, float((total == 0).mean()))
    return out
