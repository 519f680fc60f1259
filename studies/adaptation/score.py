"""What adaptation is worth on the test subjects: each share's mean over the draws of subjects, and paired differences.

An interval is of that mean, over bootstrap draws of the test subjects, the same for every variant, share and draw of
adaptation subjects. How much the choice of adaptation subjects moves a score stands beside it, as the standard
deviation over their draws: it is not in the interval.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ecg_ramba.evaluation.config import NO_SUPPORT
from ecg_ramba.evaluation.drawn import ALL_METRICS, DrawnMetrics
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.factorial import Scored, combine
from ecg_ramba.evaluation.intervals import interval
from ecg_ramba.evaluation.measure import TaskContext
from ecg_ramba.evaluation.pooled import figures_of, own_windows
from ecg_ramba.evaluation.rows import MACRO, how_sure, no_interval
from ecg_ramba.evaluation.suite import Variant
from studies.adaptation.study import TargetStudy
from studies.adaptation.variant import Adapted

STUDIES = ("calibration", "head")
COLUMNS = (
    *("data", "access", "target", "task", "unit", "study", "variant", "title", "reference", "share", "subjects_used"),
    *("true_share", "cls", "classes", "support", "metric", "value", "lo", "hi", "spread", "change", "change_lo"),
    *(
        "change_hi",
        "diff",
        "diff_lo",
        "diff_hi",
        "draws_of_subjects",
        "test_units",
        "test_subjects",
        "seeds",
        "how_sure",
    ),
    "reason",
)
DRAW_COLUMNS = ("data", "access", "target", "task", "study", "variant", "share", "draw", "cls", "metric", "value")
ZERO_SHOT, FEW_SHOT = "zero-shot", "target labels used"

Figures = dict[str, Scored]


def score_target(evaluation: Evaluation, study: TargetStudy) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score all variants on one target.

    Returns
    -------
    table : DataFrame
        Columns as :data:`COLUMNS`: headline figures of each task, one row a study, variant, share and metric.
    by_draw : DataFrame
        Columns as :data:`DRAW_COLUMNS`: the values of every draw of subjects, of headline figures and of each class.
    """
    rows, by_draw = [], []
    for i, context in enumerate(study.test.values()):
        references: dict[tuple, Figures] = {}
        for variant in own_windows(evaluation):
            drawn = DrawnMetrics(context, evaluation.config)
            base = _identity(evaluation, variant, study, context)
            adapted = study.adapted[variant.name]
            for kind in STUDIES:
                scores = _scores(adapted, kind, i)
                if scores is None:
                    rows.append(base | {"study": kind, "cls": MACRO, "metric": "roc_auc", "reason": adapted.reason})
                    continue
                made = _of_study(evaluation, study, context, drawn, base | {"study": kind}, scores, references)
                rows += made[0]
                by_draw += made[1]
    return pd.DataFrame(rows, columns=list(COLUMNS)), pd.DataFrame(by_draw, columns=list(DRAW_COLUMNS))


def _scores(adapted: Adapted, kind: str, task: int) -> np.ndarray | None:
    if kind == "calibration":
        return adapted.calibration[task]
    return adapted.head[task] if adapted.head else None


def _identity(evaluation: Evaluation, variant: Variant, study: TargetStudy, context: TaskContext) -> dict:
    seeds = evaluation.suite.n_seeds
    return {
        "data": "synthetic" if evaluation.suite.synthetic else "real",
        "target": study.name,
        "task": context.task.name,
        "unit": context.task.unit,
        "variant": variant.name,
        "title": variant.title_on(context.task),
        "reference": variant.reference,
        "test_units": len(context.units),
        "test_subjects": len(context.units.subjects),
        "seeds": seeds,
        "how_sure": how_sure(seeds),
        "reason": "",
    }


def _of_study(
    evaluation, study: TargetStudy, context: TaskContext, drawn: DrawnMetrics, base: dict, scores, references
):
    """Rows, and values by draw, of one variant under one way of adapting."""
    config, rows, by_draw = evaluation.config, [], []
    figures = figures_of(context, config)
    if not figures:
        reason = context.head.reason or "no class with enough of both outcomes among the test subjects"
        rows.append(base | {"cls": MACRO, "metric": "roc_auc", "support": NO_SUPPORT, "reason": reason})
    for cls, classes, support in figures:
        reason = no_interval(context, classes, config)
        each = [drawn.figure(of, classes, not reason) for of in scores]
        by_draw += _by_draw(base, study, cls, each)
        zero = each[0]
        for share in study.shares:
            of = [f for f, (s, _) in zip(each, study.conditions, strict=True) if s == share]
            mean = mean_of(of)
            if base["reference"]:
                references[base["study"], cls, share] = mean
            reference = None if base["reference"] else references.get((base["study"], cls, share))
            row = base | _share(study, share, len(of)) | {"cls": cls, "classes": "; ".join(classes)}
            row |= {"support": support, "reason": reason}
            rows += [row | m for m in _metric_rows(of, mean, zero, reference, config.level)]
    single = [c for c, s in context.support.items() if s.level(config) != NO_SUPPORT]
    if single:
        each = [drawn.classes(of, single, draws=False) for of in scores]
        for cls in single:
            by_draw += _by_draw(base, study, cls, [of[cls] for of in each])
    return rows, by_draw


def mean_of(figures: Sequence[Figures]) -> Figures:
    """The mean of every metric and of each of its draws."""
    share = dict.fromkeys(range(len(figures)), 1 / len(figures))
    return {m: combine(share, {i: f[m] for i, f in enumerate(figures)}) for m in ALL_METRICS}


def _metric_rows(of: Sequence[Figures], mean: Figures, zero: Figures, reference: Figures | None, level: float):
    """One dict a metric: value, spread over draws of subjects, change from 0 %, difference from the reference."""
    for metric in ALL_METRICS:
        own = mean[metric]
        row = {"metric": metric, "value": own.value}
        row["lo"], row["hi"] = interval(own.draws, level)
        row["spread"] = float(np.std([f[metric].value for f in of], ddof=1)) if len(of) > 1 else float("nan")
        for name, other in (("change", zero), ("diff", reference)):
            if other is not None:
                apart = combine({"own": 1.0, "other": -1.0}, {"own": own, "other": other[metric]})
                row[name] = apart.value
                row[f"{name}_lo"], row[f"{name}_hi"] = interval(apart.draws, level)
        yield row


def _share(study: TargetStudy, share: float, draws: int) -> dict:
    used = study.split.count(share)
    return {
        "access": FEW_SHOT if share else ZERO_SHOT,
        "share": share,
        "subjects_used": used,
        "true_share": 100 * used / study.split.subjects,
        "draws_of_subjects": draws if share else 0,
    }


def _by_draw(base: dict, study: TargetStudy, cls: str, each: Sequence[Figures]) -> list[dict]:
    same = {c: base[c] for c in ("data", "target", "task", "study", "variant")}
    return [
        same | {"access": FEW_SHOT if share else ZERO_SHOT, "share": share, "draw": draw, "cls": cls, "metric": metric}
        | {"value": figure[metric].value}
        for figure, (share, draw) in zip(each, study.conditions, strict=True)
        for metric in ALL_METRICS
    ]  # fmt: skip
