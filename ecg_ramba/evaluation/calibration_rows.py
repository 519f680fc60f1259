"""Calibration, recalibration, threshold and decision tables of an evaluation: every variant, task and class."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ecg_ramba.evaluation.calibration import equal_mass, equal_width, reliability
from ecg_ramba.evaluation.calibration_draws import ece_interval
from ecg_ramba.evaluation.calibration_measure import AS_PREDICTED, LINE, TERMS, Figures, average, measure_sets
from ecg_ramba.evaluation.config import ENSEMBLE, NO_SUPPORT, POOLED_OOF
from ecg_ramba.evaluation.decision_curve import THRESHOLDS, net_benefit, treat_all
from ecg_ramba.evaluation.intervals import interval
from ecg_ramba.evaluation.measure import TaskContext
from ecg_ramba.evaluation.parallel import each
from ecg_ramba.evaluation.recalibration import METHODS, Maps, SourceScores, fit_maps, no_maps, recalibrated
from ecg_ramba.evaluation.rows import MACRO, how_sure, identity, no_interval
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.evaluation.suite import Score, Variant
from ecg_ramba.evaluation.thresholds import RATES

if TYPE_CHECKING:
    from ecg_ramba.evaluation.evaluate import Evaluation

_KEYS = ("data", "task", "dataset", "role", "derived", "variant", "title", "kind", "reference", "status")
_COUNTS = ("units", "subjects", "positives", "positive_subjects", "negative_subjects", "prevalence")
_BRIEF = ("data", "task", "variant", "title", "cls", "headline", "support", "estimate", "units", "positives")
FRAMES = ("calibration", "reliability", "recalibrated", "thresholds", "decision")


def calibration_frames(
    evaluation: "Evaluation", reader: ScoreReader, progress: Callable[[int, int], None] | None = None
) -> dict[str, pd.DataFrame]:
    """All tables, unrounded; keys as :data:`FRAMES`.

    Parameters
    ----------
    evaluation : Evaluation
    reader : ScoreReader
        Of the same suite.
    progress : callable, optional
        Called with (variants done, variants in all).

    Returns
    -------
    dict of str to DataFrame
        ``calibration``: one row a task, variant and class, and the mean over headline classes (its slope is their
        median). ``reliability``: one row a bin. ``recalibrated``, ``thresholds``: one row a set of scores, as
        predicted, Platt, isotonic. ``decision``: one row a threshold probability. Where there is no number there is a
        reason; a variant that failed has one row a task.
    """
    rows: dict[str, list[dict]] = {name: [] for name in FRAMES}
    finished = [v for v in evaluation.suite.variants if v.name not in evaluation.failures]
    for done, variant in enumerate(sorted(finished, key=lambda v: v.windows), 1):
        maps = _maps(evaluation, reader, variant)
        for context in evaluation.contexts.values():
            _task_rows(rows, evaluation, variant, context, reader.scores(variant, context.task).headline, maps)
        if progress:
            progress(done, len(finished))
    for variant in evaluation.suite.variants:
        if variant.name in evaluation.failures:
            reason = evaluation.failures[variant.name]
            for context in evaluation.contexts.values():
                failed = _base(evaluation, variant, context) | {"status": "failed", "reason": reason}
                rows["calibration"].append(failed)
    return {name: _ordered(evaluation, made) for name, made in rows.items()}


def _ordered(evaluation: "Evaluation", rows: list[dict]) -> pd.DataFrame:
    """Rows by task, then variant, as the suite has them; their own order kept within."""
    tasks = {t.name: i for i, t in enumerate(evaluation.suite.tasks)}
    variants = {v.name: i for i, v in enumerate(evaluation.suite.variants)}
    return pd.DataFrame(sorted(rows, key=lambda r: (tasks[r["task"]], variants[r["variant"]])))


def _maps(evaluation: "Evaluation", reader: ScoreReader, variant: Variant) -> dict[str, Maps]:
    """Maps of a variant by method, from its source scores; none where the suite has no source task."""
    source = next((c for c in evaluation.contexts.values() if c.task.source), None)
    if source is None:
        return {method: {} for method in METHODS}
    seen = SourceScores.of(source, reader.scores(variant, source.task))
    return {method: fit_maps(seen, method) for method in METHODS}


def _base(evaluation: "Evaluation", variant: Variant, context: TaskContext) -> dict:
    made = identity(evaluation.suite, variant, context)
    base = {k: made[k] for k in _KEYS}
    return base | {"estimate": POOLED_OOF if context.task.source else ENSEMBLE}


def _closing(evaluation: "Evaluation", reason: str) -> dict:
    config, seeds = evaluation.config, evaluation.suite.n_seeds
    return {"bins": config.bins, "draws": config.draws, "seeds": seeds, "how_sure": how_sure(seeds), "reason": reason}


def _task_rows(rows, evaluation, variant: Variant, context: TaskContext, scores: np.ndarray, maps) -> None:
    """Append all rows of a variant on a task; ``scores`` are (n_seeds, n_units, K)."""
    base = _base(evaluation, variant, context)
    names = [cls.name for cls in context.task.scores]
    found = each(lambda k: _class_rows(evaluation, base, context, k, scores[:, :, k], maps), range(len(names)))
    for own, _, _ in found:
        for frame, of in own.items():
            rows[frame] += of
    made = {name: figures for name, (_, figures, _) in zip(names, found, strict=True)}
    without = {name: why for name, (_, _, why) in zip(names, found, strict=True)}
    _macro_rows(rows, evaluation, base, context, made, without)


def _class_rows(evaluation, base: dict, context: TaskContext, k: int, scores: np.ndarray, maps):
    """Rows of one class by frame, its figures by set of scores, and why a set is not there."""
    cls, config = context.task.scores[k], evaluation.config
    support = context.support[cls.name]
    own = base | {"cls": cls.name, "headline": cls.name in context.head.classes, "support": support.level(config)}
    own |= {"classes": cls.name} | {name: getattr(support, name) for name in _COUNTS}
    if not support.scored.any():
        reason = "no labelled unit, or no model trained on it"
        return {"calibration": [own | _closing(evaluation, reason)]}, {}, {}
    sets, without = _sets(context, cls, scores, maps)
    reason = no_interval(context, (cls.name,), config)
    wanted = not reason or cls.name in context.head.classes  # a macro's draws may be wanted where a class's are not
    made = measure_sets(context, k, sets, wanted, config)
    shown = {name: Figures(of.value, {} if reason else of.draws, of.reason) for name, of in made.items()}
    closing, brief = _closing(evaluation, reason), {name: own[name] for name in _BRIEF}
    positive, before = context.units.positive[support.scored, k], sets[AS_PREDICTED]
    rows = {
        "calibration": [own | _calibration(shown[AS_PREDICTED], config) | closing],
        "recalibrated": _recalibrated(own, shown, without, maps, cls, config, closing),
        "thresholds": _thresholds(own, shown, without, config, closing),
        "reliability": [brief | b for b in _bins(positive, before, config.bins)],
        "decision": [brief | d for d in _decisions(positive, before)],
    }
    return rows, made, without


def _sets(context: TaskContext, cls: Score, scores: np.ndarray, maps: Mapping[str, Maps]):
    """Scores of a class's scored units by set, (n_seeds, n) each, and why a set is not there."""
    at = context.support[cls.name].scored
    sets, without = {AS_PREDICTED: scores[:, at]}, {}
    for method, of in maps.items():
        reason = no_maps(context, cls, of)
        if reason:
            without[method] = reason
        else:
            sets[method] = recalibrated(context, cls, scores, of)[:, at]
    return sets, without


def _bounds(name: str, made: Figures, config) -> dict[str, float]:
    """``NAME_lo`` and ``NAME_hi``; NaN without draws, or where too many of them have no number."""
    draws = made.draws.get(name)
    if draws is not None and np.mean(~np.isfinite(draws)) > config.max_missing:
        draws = None
    low, high = interval(draws, config.level)
    if name == "ece":
        low, high = ece_interval(made.value[name], draws, made.draws.get("ece_by_chance"), config.level)
    return {f"{name}_lo": low, f"{name}_hi": high}


def _with_bounds(names, made: Figures, bounded, config) -> dict[str, float]:
    chance = made.draws.get("ece_by_chance")
    out = {"ece_by_chance": math.nan if chance is None else float(np.nanmean(chance))} if "ece" in names else {}
    for name in names:
        out[name] = made.value.get(name, math.nan)
        out |= _bounds(name, made, config) if name in bounded else {}
    return out


_CALIBRATION = ("mean_score", "ece", "ece_equal_mass", "mce", "brier", *TERMS, "log_loss", *LINE)


def _calibration(made: Figures, config) -> dict:
    out = _with_bounds(_CALIBRATION, made, ("ece", "brier", *LINE), config)
    reason = made.reason
    lacking = np.mean(~np.isfinite(made.draws["slope"])) if "slope" in made.draws else 0.0
    if lacking > config.max_missing:
        reason = f"no interval: {lacking:.1%} of the draws have no finite slope, at most {config.max_missing:.0%} may"
    return out | {"clipped": made.value["clipped"], "slope_reason": reason}


def _recalibrated(own: dict, made: Mapping[str, Figures], without, maps, cls: Score, config, closing) -> list[dict]:
    """One row a set of scores: before, and after each method."""
    out = [own | {"scores": AS_PREDICTED} | _after(made, AS_PREDICTED, config) | closing]
    for method in METHODS:
        row = own | {"scores": method}
        if method in without:
            out.append(row | closing | {"reason": without[method]})
            continue
        of = maps[method][cls]
        fitted = {"fit_units": of[0].units, "fit_positives": of[0].positives}
        out.append(row | _after(made, method, config) | fitted | closing)
    return out


def _after(made: Mapping[str, Figures], name: str, config) -> dict:
    """Figures of a set of scores, and its Brier score minus that as predicted, on the same draws."""
    own, before = made[name], made[AS_PREDICTED]
    out = _with_bounds(("ece", "brier", "log_loss", *LINE), own, ("ece", "brier"), config)
    out |= {"clipped": own.value["clipped"], "slope_reason": own.reason}
    if name == AS_PREDICTED:
        return out
    paired = own.draws["brier"] - before.draws["brier"] if own.draws and before.draws else None
    low, high = interval(paired, config.level)
    change = own.value["brier"] - before.value["brier"]
    return out | {"brier_change": change, "brier_change_lo": low, "brier_change_hi": high}


def _thresholds(own: dict, made: Mapping[str, Figures], without, config, closing) -> list[dict]:
    out = []
    for name in (AS_PREDICTED, *METHODS):
        row = own | {"scores": name, "threshold": config.threshold}
        if name in without:
            out.append(row | closing | {"reason": without[name]})
        else:
            figures = _with_bounds((*RATES, "called"), made[name], (*RATES, "called"), config)
            out.append(row | figures | closing)
    return out


def _bins(positive: np.ndarray, scores: np.ndarray, bins: int) -> list[dict]:
    """One row a bin that is not empty, of both kinds; several seeds count together."""
    y, all_scores, n = np.tile(positive, len(scores)), scores.ravel(), len(scores)
    out = []
    for kind, slot in (("equal width", equal_width), ("equal mass", equal_mass)):
        by = reliability(y, all_scores, np.concatenate([slot(s, bins) for s in scores]), bins)
        for b in np.flatnonzero(by.count):
            row = {"binning": kind, "bin": int(b) + 1, "bin_units": by.count[b] / n, "bin_score": by.score[b]}
            out.append(row | {"bin_observed": by.observed[b]})
    return out


def _decisions(positive: np.ndarray, scores: np.ndarray) -> list[dict]:
    own = np.mean([net_benefit(positive, s) for s in scores], axis=0)
    everybody = treat_all(float(positive.mean()))
    columns = ("threshold", "net_benefit", "treat_all")
    return [dict(zip(columns, map(float, row), strict=True)) for row in zip(THRESHOLDS, own, everybody, strict=True)]


def _macro_rows(rows, evaluation, base: dict, context: TaskContext, made, without) -> None:
    """Means over the headline classes; after recalibration over those of them that have maps, before and after."""
    head, config = context.head, evaluation.config
    if not head.macro or head.support == NO_SUPPORT:
        return
    mapped = tuple(c for c in head.classes if not without[c])
    for frame, classes in (("calibration", head.classes), ("recalibrated", mapped)):
        if not classes:
            continue
        reason = no_interval(context, classes, config)
        own = base | {"cls": MACRO, "headline": True, "support": head.support, "classes": "; ".join(classes)}
        names = (AS_PREDICTED,) if frame == "calibration" else (AS_PREDICTED, *METHODS)
        over = {n: average([made[c][n] for c in classes], not reason) for n in names}
        closing = _closing(evaluation, reason)
        if frame == "calibration":
            rows[frame].append(own | _calibration(over[AS_PREDICTED], config) | closing)
        else:
            rows[frame] += [own | {"scores": n} | _after(over, n, config) | closing for n in names]
