"""Every variant against the reference: p values, what could have been detected, and where the uncertainty comes from.

Three tables from the stored predictions: paired tests of each task's headline, McNemar's test of each class's
decisions, and the shares of subjects and of seeds in the variance.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecg_ramba.evaluation.config import RANKING_METRICS, EvaluationConfig
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.headline_figures import HeadlineFigure, figures_of, influences_of, paired_draws, pairs_of
from ecg_ramba.evaluation.mcnemar import clustered_mcnemar
from ecg_ramba.evaluation.measure import TaskContext
from ecg_ramba.evaluation.permutation import PERMUTATIONS, Exchanges, exchange_test
from ecg_ramba.evaluation.power import power
from ecg_ramba.evaluation.rows import how_sure, no_interval
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.evaluation.seed_variance import components
from ecg_ramba.evaluation.suite import Variant
from ecg_ramba.evaluation.verdicts import SEEDS

_WHO = ("data", "task", "dataset", "role", "variant", "title", "kind", "cls", "classes", "support", "subjects")
_SURE = ("seeds", "how_sure", "reason")
TESTS = (
    *(*_WHO, "metric", "value", "p", "p_holm", "family", "family_size", "smallest_p", "patterns", "exhaustive"),
    *("standard_error", "detectable", "growth", "margin", "p_equivalent", "mcnemar_chi2", "mcnemar_p", *_SURE),
)
MCNEMAR = (
    *(*_WHO, "units", "threshold", "right", "right_reference", "discordant", "better", "chi2", "p", *_SURE),
)  # fmt: skip
VARIANCE = (
    *(*_WHO, "of", "value", "variance", "share_subjects", "share_seeds", "share_both", "seed_sd", "seed_sd_lo"),
    *("seed_sd_hi", "subject_sd", "set_to_zero", *_SURE),
)
MODELS, POOLINGS = "models", "poolings"
"""Families of Holm's correction: models of their own, and other poolings of windows that another variant predicted."""
SCORE, DIFFERENCE = "score", "difference from the reference"


@dataclass(frozen=True)
class Statistics:
    """The three tables; columns as in :data:`TESTS`, :data:`MCNEMAR` and :data:`VARIANCE`."""

    tests: pd.DataFrame
    mcnemar: pd.DataFrame
    variance: pd.DataFrame


def statistics_of(
    evaluation: Evaluation,
    reader: ScoreReader | None = None,
    progress: Callable[[int, int], None] | None = None,
    permutations: int = PERMUTATIONS,
) -> Statistics:
    """All tests of an evaluation.

    Parameters
    ----------
    evaluation : Evaluation
    reader : ScoreReader, optional
        Of its suite.
    progress : callable, optional
        Called with (variants done, variants in all).
    permutations : int
        Exchanges that are drawn where there are more patterns than that.

    Returns
    -------
    Statistics
        A row for every variant but the reference, also where it failed or there is no reference: then with the reason.

    Raises
    ------
    UserError
        If predictions that were scored can no longer be read.
    """
    reader = reader or ScoreReader.of(evaluation)
    suite, failures = evaluation.suite, evaluation.failures
    ready = sorted((v for v in suite.variants if v.name not in failures), key=lambda v: (not v.reference, v.windows))
    figures = {name: figures_of(c, evaluation.config) for name, c in evaluation.contexts.items()}
    reference: dict[str, np.ndarray] = {}
    rows: dict[str, tuple[list, list, list]] = {}
    for done, variant in enumerate(ready, 1):
        scores = {name: reader.scores(variant, c.task).headline for name, c in evaluation.contexts.items()}
        reference = scores if variant.reference else reference
        rows[variant.name] = _variant_rows(evaluation, variant, figures, scores, reference, permutations)
        if progress:
            progress(done, len(ready))
    for variant in suite.variants:
        if variant.name in failures:
            rows[variant.name] = _failed_rows(evaluation, variant, figures, f"failed: {failures[variant.name]}")
    place = {name: i for i, name in enumerate(evaluation.contexts)}
    frames = []
    for part, columns in enumerate((TESTS, MCNEMAR, VARIANCE)):
        made = sorted((r for v in suite.variants for r in rows[v.name][part]), key=lambda r: place[r["task"]])
        frames.append(pd.DataFrame(made, columns=list(columns)))
    return Statistics(holm(frames[0]), *frames[1:])


def tests_of(
    evaluation: Evaluation,
    reader: ScoreReader | None = None,  # noqa: PT028 - no pytest test
    progress: Callable[[int, int], None] | None = None,  # noqa: PT028
    permutations: int = PERMUTATIONS,  # noqa: PT028
) -> pd.DataFrame:
    """The paired tests of :func:`statistics_of`: one row a task, figure, variant and metric."""
    return statistics_of(evaluation, reader, progress, permutations).tests


def holm(tests: pd.DataFrame) -> pd.DataFrame:
    """Fill in ``p_holm`` and ``family_size``, over the variants of a task's figure, one metric and family.

    Holm 1979, "A simple sequentially rejective multiple test procedure": the i-th smallest of m p values times
    m - i + 1, and never below the one before it. Rows without a p value belong to no family.
    """
    tests = tests.copy()
    for _, of in tests[tests["p"].notna()].groupby(["task", "cls", "metric", "family"], sort=False):
        ordered = of.sort_values("p", kind="stable")
        left = np.arange(len(of), 0, -1)
        tests.loc[ordered.index, "p_holm"] = np.minimum(np.maximum.accumulate(left * ordered["p"].to_numpy(float)), 1.0)
        tests.loc[of.index, "family_size"] = len(of)
    return tests


def _identity(evaluation: Evaluation, variant: Variant, task: str) -> dict:
    """Columns that say whose row it is, with the numbers that a row may lack."""
    suite, of = evaluation.suite, evaluation.contexts[task].task
    return {
        **dict.fromkeys((*TESTS, *MCNEMAR, *VARIANCE), math.nan),
        "data": "synthetic" if suite.synthetic else "real",
        "task": task,
        "dataset": of.dataset,
        "role": of.role,
        "variant": variant.name,
        "title": variant.title_on(of),
        "kind": variant.kind,
        "family": POOLINGS if variant.kind == "pooling" else MODELS,
        "family_size": 0,
        "margin": evaluation.config.margin,
        "threshold": evaluation.config.threshold,
        "patterns": 0,
        "exhaustive": False,
        "set_to_zero": "",
        "seeds": suite.n_seeds,
        "how_sure": how_sure(suite.n_seeds),
        "reason": "",
    }


def _of_figure(figure: HeadlineFigure) -> dict:
    return {
        "cls": figure.cls,
        "classes": "; ".join(figure.classes),
        "support": figure.support,
        "subjects": figure.subjects,
    }


def _of_class(context: TaskContext, cls: str, config: EvaluationConfig) -> dict:
    support = context.support[cls]
    counts = {"cls": cls, "classes": cls, "support": support.level(config)}
    return counts | {"subjects": support.subjects, "units": support.units}


def _failed_rows(evaluation: Evaluation, variant: Variant, figures, reason: str) -> tuple[list, list, list]:
    tests, classes, variance = [], [], []
    for name, context in evaluation.contexts.items():
        base = _identity(evaluation, variant, name) | {"reason": reason}
        for figure in figures[name]:
            tests += [base | _of_figure(figure) | {"metric": metric} for metric in RANKING_METRICS]
            variance.append(base | _of_figure(figure) | {"of": SCORE})
        classes += [base | _of_class(context, cls, evaluation.config) for cls in context.support]
    return ([], [], variance) if variant.reference else (tests, classes, variance)


def _variant_rows(evaluation: Evaluation, variant: Variant, figures, scores, reference, permutations):
    """Rows of a variant that has predictions; of the reference only those of its own variance."""
    tests, classes, variance = [], [], []
    for name, context in evaluation.contexts.items():
        base = _identity(evaluation, variant, name)
        own, other = scores[name], reference.get(name)
        for figure in figures[name]:
            about = base | _of_figure(figure)
            variance += _variance_rows(about, figure, context, own, None if variant.reference else other)
            if not variant.reference:
                tests += _test_rows(about, figure, context, own, other, evaluation.config, permutations)
        if not variant.reference:
            classes += [
                base | _of_class(context, cls, evaluation.config) | _mcnemar(context, k, own, other, evaluation.config)
                for k, cls in enumerate(context.support)
            ]
    return tests, classes, variance


NO_REFERENCE = "no reference to compare with in this run"


def _test_rows(about, figure: HeadlineFigure, context, own, other, config, permutations) -> list[dict]:
    """Both metrics of one figure: tested, and what a test of this size can show."""
    reason = figure.reason or (NO_REFERENCE if other is None else "")
    if reason:
        return [about | {"metric": metric, "reason": reason} for metric in RANKING_METRICS]
    exchanges = Exchanges.of((context.task.name, context.task.dataset), figure.subjects, permutations, config.seed)
    tested = exchange_test(pairs_of(figure, context, own, other), exchanges)
    reason = no_interval(context, figure.classes, config)
    draws = None if reason else paired_draws(figure, context, own, other)
    about |= {"reason": reason, "smallest_p": exchanges.smallest, "patterns": exchanges.patterns}
    about |= {"exhaustive": exchanges.exhaustive}
    if len(figure.classes) == 1:
        found = _mcnemar(context, figure.ks[0], own, other, config)
        about |= {"mcnemar_chi2": found["chi2"], "mcnemar_p": found["p"]}
        about["reason"] = "; ".join(filter(None, [reason, found["reason"]]))
    rows = []
    for i, metric in enumerate(RANKING_METRICS):
        able = power(None if draws is None else draws[i], config.margin)
        row = {"metric": metric, "value": tested[metric].difference, "p": tested[metric].p}
        row |= {"standard_error": able.error, "detectable": able.detectable, "growth": able.growth}
        rows.append(about | row | {"p_equivalent": able.equivalence})
    return rows


def _mcnemar(context: TaskContext, k: int, own, other, config: EvaluationConfig) -> dict:
    """McNemar columns of one class: decisions at the threshold, all seeds of a subject in its cluster."""
    at = context.support[context.task.scores[k].name].scored
    if other is None or not at.any():
        return {"reason": NO_REFERENCE if other is None else "no labelled unit, or no model trained on it"}
    positive = context.units.positive[at, k]
    mine, theirs = ((s[:, at, k] >= config.threshold) == positive for s in (own, other))
    found = clustered_mcnemar(mine.sum(0), theirs.sum(0), context.units.subject[at])
    return {
        "right": mine.mean(),
        "right_reference": theirs.mean(),
        "discordant": found.discordant,
        "better": found.better,
        "chi2": found.chi2,
        "p": found.p,
        "reason": found.reason,
    }


def _variance_rows(about, figure: HeadlineFigure, context, own, other) -> list[dict]:
    """Where the uncertainty of the headline ROC-AUC comes from, and that of its difference from the reference."""
    seeds = len(own)
    reason = figure.reason
    if not reason and seeds < SEEDS:
        runs = "one training run has" if seeds == 1 else f"{seeds} training runs have"
        reason = f"{runs} no variance between seeds to go by; {SEEDS} are needed (--seeds)"
    if not reason and figure.subjects < 2:
        reason = "one subject has no variance between subjects"
    if reason:
        return [about | {"of": SCORE, "reason": reason}]
    table = influences_of(figure, context, own)
    tables = [(SCORE, table)]
    if other is not None:
        tables.append((DIFFERENCE, table - influences_of(figure, context, other)))
    rows = []
    for what, values in tables:
        c = components(values)
        row = {"of": what, "value": c.value, "variance": c.by_subjects + c.by_seeds + c.by_both}
        row |= dict(zip(("share_subjects", "share_seeds", "share_both"), c.shares, strict=True))
        row |= {"seed_sd": c.seed_sd, "seed_sd_lo": c.seed_low, "seed_sd_hi": c.seed_high}
        rows.append(about | row | {"subject_sd": c.subject_sd, "set_to_zero": ", ".join(c.negative)})
    return rows
