"""Calibration in a report: what the scores mean as probabilities, what recalibration at home does, and decisions."""

import math

import pandas as pd

from ecg_ramba.document import Figure, Section, Table, Text
from ecg_ramba.evaluation.calibration import CLIP
from ecg_ramba.evaluation.calibration_figures import decision_figure, reliability_figure
from ecg_ramba.evaluation.calibration_measure import AS_PREDICTED
from ecg_ramba.evaluation.calibration_rows import calibration_frames
from ecg_ramba.evaluation.config import NO_SUPPORT, PROTOCOL_SUPPORT
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.logistic import DRAWS
from ecg_ramba.evaluation.rows import MACRO, how_sure
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.evaluation.shown import left_unsaid, shown_variants
from ecg_ramba.evaluation.tables import bracketed, kind_of, number, slug


def calibration_section(evaluation: Evaluation, reader: ScoreReader) -> Section:
    """Calibration, recalibration, thresholds and decision curves of a run.

    Parameters
    ----------
    evaluation : Evaluation
    reader : ScoreReader
        Of the same suite.

    Returns
    -------
    Section
        Headline classes in tables and figures, every class in its frames ``calibration``, ``reliability``,
        ``recalibrated``, ``thresholds`` and ``decision``.
    """
    kind = kind_of(evaluation)
    title = f"{kind}Calibration and decisions"
    if len(evaluation.failures) == len(evaluation.suite.variants):
        return Section(title, (Text("No variant finished."),))
    frames = calibration_frames(evaluation, reader)
    tasks = [_task(evaluation, name, frames) for name in evaluation.contexts]
    return Section(title, (Text(_how(evaluation)), *tasks), frames)


def _how(evaluation: Evaluation) -> str:
    c, seeds = evaluation.config, evaluation.suite.n_seeds
    lines = [
        "Source scores are out-of-fold, all folds together; target scores are the ensemble's. "
        f"{'Figures are means over seeds. ' if seeds > 1 else ''}{how_sure(seeds).capitalize()}.",
        f"ECE, MCE: mean and largest |share of positives - mean score| over {c.bins} bins of equal width. An ECE is "
        "above 0 even of calibrated scores; 'by chance' is what they would show here on average. Its interval takes "
        "that bias out (basic bootstrap, from 0 where chance could explain the ECE), so it may lie below the ECE "
        "itself. All other intervals are percentiles of the draws, spread where there are few subjects; those of "
        f"slopes and intercepts of {min(DRAWS, c.draws):,} draws.",
        "Brier = reliability - resolution + uncertainty + two terms within bins (CSV), an exact sum; uncertainty is "
        "what always saying the prevalence would score. Less is better, but more resolution.",
        "Slope and intercept: logistic regression of the label on the logit of the score. Slope below 1: scores too "
        "extreme, above 1: too timid. In the large: the intercept with the slope at 1; above 0, scores are too low on "
        f"average. Logits and log loss are of scores kept {CLIP:g} from 0 and 1.",
        "Recalibration is fitted on source labels alone: Platt (logistic, Platt's targets) and isotonic, at the source "
        "on the other folds, at targets on all out-of-fold scores of the source. No target label reaches a map. "
        "Out-of-fold scores are of single fold models and of the source's records; a target's are of the fold models' "
        "mean and may be pooled over longer records, so a map need not fit there. Where the source has no such score "
        "there is no map.",
        "Within a fold, or at a target, maps keep the order of scores: isotonic ones make ties, which move ROC-AUC and "
        "AP a little, and a Platt slope below 0 would reverse the order.",
        f"Decisions are at the fixed threshold {c.threshold:g}. PPV and NPV hold at this prevalence only. A rate has "
        f"no interval where more than {c.max_missing:.0%} of the draws leave it without a denominator.",
        "Nothing is corrected for the number of rows. " + left_unsaid(evaluation),
    ]
    return "\n".join(f"- {line.strip()}" for line in lines)


def _task(evaluation: Evaluation, name: str, frames: dict[str, pd.DataFrame]) -> Section:
    context, kind = evaluation.contexts[name], kind_of(evaluation)
    title = f"{kind}{name}: calibration{' (derived)' if context.task.derived else ''}"
    if context.head.support == NO_SUPPORT:
        reason = context.head.reason or "no headline class"
        said = f"{reason[0].upper()}{reason[1:]}. What there is by class is in calibration.csv."
        return Section(title, (Text(said),))
    of = {key: frame[frame["task"] == name] for key, frame in frames.items()}
    support = "" if context.head.support == PROTOCOL_SUPPORT else f", {context.head.support.upper()}"
    parts: list = [*_models(evaluation, name, of["calibration"], support), *_classes(evaluation, name, of, support)]
    parts += _recalibration(evaluation, name, of["recalibrated"], support)
    parts += _decisions(evaluation, name, of["thresholds"], support)
    where = f"{kind}{name}: reliability diagrams of the headline classes{support}; the numbers are in reliability.csv"
    parts.append(
        Figure(f"reliability-{slug(name)}", where, lambda: reliability_figure(evaluation, name, frames["reliability"]))
    )
    where = f"{kind}{name}: net benefit by threshold probability, headline classes{support}; numbers in decision.csv"
    parts.append(Figure(f"decision-{slug(name)}", where, lambda: decision_figure(evaluation, name, frames["decision"])))
    return Section(title, tuple(parts))


_FIGURES = (
    *(("ece", "ECE [95 %]"), ("ece_by_chance", "by chance"), ("mce", "MCE"), ("brier", "Brier [95 %]")),
    *(("reliability", "reliability"), ("resolution", "resolution"), ("uncertainty", "uncertainty")),
    *(("log_loss", "log loss"), ("slope", "slope [95 %]")),
)


def _cell(row: dict, name: str) -> str:
    low, high = row.get(f"{name}_lo", float("nan")), row.get(f"{name}_hi", float("nan"))
    return bracketed(row[name], low, high)


def _header(evaluation: Evaluation, names) -> list[str]:
    level = f"{evaluation.config.level:.0%}".replace("%", " %")
    return [title.replace("95 %", level) for _, title in names]


def _models(evaluation: Evaluation, name: str, rows: pd.DataFrame, support: str) -> list[Table]:
    """Every variant: the mean over headline classes, or each class where the task has fewer than three."""
    head, kind, made = evaluation.contexts[name].head, kind_of(evaluation), []
    for cls in [MACRO] if head.macro else head.classes:
        what = f"mean over {len(head.classes)} classes (slope: median)" if cls == MACRO else cls
        own = rows[(rows["cls"] == cls) & (rows["status"] == "ok")].to_dict("records")
        lines = [[_title(r), *(_cell(r, f) for f, _ in _FIGURES)] for r in own]
        caption = f"{kind}{name}: calibration of every variant, {what}{support}; {own[0]['how_sure']}"
        why = own[0]["reason"]
        reason = f". {why[0].upper()}{why[1:]}" if why else ""
        stem = f"calibration-{slug(name)}" + ("" if cls == MACRO else f"-{slug(cls)}")
        made.append(Table(stem, caption + reason, ["Model", *_header(evaluation, _FIGURES)], lines))
    return made


def _title(row: dict) -> str:
    return f"{row['title']} (reference)" if row["reference"] else row["title"]


_BY_CLASS = (
    *(("mean_score", "mean score"), ("ece", "ECE [95 %]"), ("ece_by_chance", "by chance"), ("brier", "Brier [95 %]")),
    *(("slope", "slope [95 %]"), ("intercept", "intercept [95 %]"), ("in_the_large", "in the large [95 %]")),
)


def _classes(evaluation: Evaluation, name: str, of: dict[str, pd.DataFrame], support: str) -> list[Table]:
    """Each headline class of the first variant shown."""
    variant, kind = shown_variants(evaluation)[0], kind_of(evaluation)
    rows = of["calibration"]
    rows = _in_order(rows[rows["variant"] == variant.name], evaluation.contexts[name].head.classes)
    lines, reasons = [], {}
    for r in rows.to_dict("records"):
        counts = f"{r['positives']:.0f} of {r['units']:.0f}"
        lines.append([r["cls"], counts, number(r["prevalence"]), *(_cell(r, f) for f, _ in _BY_CLASS)])
        for reason in filter(None, (r["reason"], r["slope_reason"])):
            reasons.setdefault(reason, []).append(r["cls"])
    header = ["Class", "positives", "prevalence", *_header(evaluation, _BY_CLASS)]
    caption = f"{kind}{name}: calibration of {variant.title} by class{support}. {_because(reasons)}".strip()
    return [Table(f"calibration-classes-{slug(name)}", caption, header, lines)]


def _in_order(rows: pd.DataFrame, classes: tuple[str, ...]) -> pd.DataFrame:
    """Rows of these classes, in their order."""
    rows = rows[rows["cls"].isin(classes)]
    return rows.sort_values("cls", key=lambda s: s.map(classes.index), kind="stable")


def _because(reasons: dict[str, list[str]]) -> str:
    return " ".join(f"{', '.join(classes)}: {reason}." for reason, classes in reasons.items())


_CHANGES = (
    *(("ece", "ECE [95 %]"), ("brier", "Brier [95 %]"), ("log_loss", "log loss"), ("slope", "slope")),
    ("brier_change", "change of Brier [95 %]"),
)


def _recalibration(evaluation: Evaluation, name: str, rows: pd.DataFrame, support: str) -> list:
    """Before and after, for the variants shown; or why there is no map."""
    head, kind, made = evaluation.contexts[name].head, kind_of(evaluation), []
    names = [v.name for v in shown_variants(evaluation)]
    rows = rows[rows["variant"].isin(names)]
    for cls in [MACRO] if head.macro else head.classes:
        own = rows[rows["cls"] == cls]
        mapped = own[own["ece"].notna() & (own["scores"] != AS_PREDICTED)]
        if not len(mapped):
            of = rows[rows["cls"].isin(head.classes if cls == MACRO else [cls]) & (rows["scores"] != AS_PREDICTED)]
            reasons: dict[str, list[str]] = {}
            for c, reason in of[["cls", "reason"]].drop_duplicates().itertuples(index=False):
                reasons.setdefault(reason, []).append(c)
            made.append(Text(f"Not recalibrated. {_because(reasons)}"))
            continue
        lines = []
        for r in own.sort_values("variant", key=lambda s: s.map(names.index), kind="stable").to_dict("records"):
            if r["scores"] != AS_PREDICTED and r["reason"] and math.isnan(r["ece"]):
                lines.append([_title(r), r["scores"], r["reason"], *[""] * (len(_CHANGES) - 1)])
            else:
                lines.append([_title(r), r["scores"], *(_change_cell(r, f) for f, _ in _CHANGES)])
        classes = own.iloc[0]["classes"].split("; ")
        what = f"mean over {len(classes)} classes (slope: median)" if cls == MACRO else cls
        without = [c for c in head.classes if c not in classes] if cls == MACRO else []
        left = f" No map for {', '.join(without)}: left out, before and after." if without else ""
        caption = f"{kind}{name}: before and after recalibration fitted on the source, {what}{support}.{left}"
        header = ["Model", "scores", *_header(evaluation, _CHANGES)]
        stem = f"recalibrated-{slug(name)}" + ("" if cls == MACRO else f"-{slug(cls)}")
        made.append(Table(stem, caption, header, lines))
    return made


def _change_cell(row: dict, name: str) -> str:
    if name != "brier_change":
        return _cell(row, name)
    if row["scores"] == AS_PREDICTED:
        return ""
    return bracketed(row[name], row[f"{name}_lo"], row[f"{name}_hi"], sign=True)


_DECISIONS = (
    *(("sensitivity", "sensitivity [95 %]"), ("specificity", "specificity [95 %]"), ("ppv", "PPV [95 %]")),
    *(("npv", "NPV [95 %]"), ("f1", "F1 [95 %]")),
)


def _decisions(evaluation: Evaluation, name: str, rows: pd.DataFrame, support: str) -> list[Table]:
    """Each headline class of the first variant shown at the threshold, for each set of scores."""
    variant, kind, threshold = shown_variants(evaluation)[0], kind_of(evaluation), evaluation.config.threshold
    rows = rows[(rows["variant"] == variant.name) & rows["headline"] & rows["scores"].isin((AS_PREDICTED, "Platt"))]
    rows = _in_order(rows[rows["called"].notna()], evaluation.contexts[name].head.classes)
    lines = [
        [r["cls"], r["scores"], f"{r['called']:.0f} of {r['units']:.0f}", *(_cell(r, f) for f, _ in _DECISIONS)]
        for r in rows.to_dict("records")
    ]
    header = ["Class", "scores", "called positive", *_header(evaluation, _DECISIONS)]
    caption = f"{kind}{name}: {variant.title} at threshold {threshold:g}{support}; isotonic and all variants in the CSV"
    return [Table(f"thresholds-{slug(name)}", caption, header, lines)]
