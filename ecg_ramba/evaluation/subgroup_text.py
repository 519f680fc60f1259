"""Subgroups in a report: does a model rank as well in one sex, age band, hospital or device as in the others?"""

import pandas as pd

from ecg_ramba.document import Figure, Section, Table, Text
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.people import FILE, read_people
from ecg_ramba.evaluation.rows import MACRO
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.evaluation.shown import left_unsaid, shown_variants
from ecg_ramba.evaluation.subgroup_figure import subgroups_figure
from ecg_ramba.evaluation.subgroup_rows import DRAWS, subgroup_frame
from ecg_ramba.evaluation.subgroups import UNKNOWN
from ecg_ramba.evaluation.tables import bracketed, kind_of, number, slug


def subgroups_section(evaluation: Evaluation, reader: ScoreReader) -> Section:
    """Headline scores by subgroup; the frame ``subgroups`` has every class.

    Parameters
    ----------
    evaluation : Evaluation
    reader : ScoreReader
        Of the same suite.
    """
    kind = kind_of(evaluation)
    title = f"{kind}Subgroups"
    people = read_people(evaluation.suite)
    if people is None:
        text = f"This run is older than {FILE}, which says who was recorded where: run the suite again for subgroups."
        return Section(title, (Text(text),))
    frame = subgroup_frame(evaluation, reader, people)
    if not len(frame):
        text = "No subgroups: every task has one sex, age band, hospital and device only, or no variant finished."
        return Section(title, (Text(text),))
    tasks = [_task(evaluation, name, frame[frame["task"] == name]) for name in evaluation.contexts]
    return Section(title, (Text(_how(evaluation)), *tasks), {"subgroups": frame})


def _how(evaluation: Evaluation) -> str:
    c = evaluation.config
    draws = min(DRAWS, c.draws)
    lines = [
        "The headline's ROC-AUC and AP within each subgroup (source: mean over folds; targets: the ensemble), and the "
        "difference from everybody else of the same task. AP is to be read against the subgroup's own prevalence: it "
        "differs where prevalence does, so only the differences of ROC-AUC are printed.",
        f"Intervals: {draws:,} bootstrap draws of subjects, the first of the task's, both sides of a difference drawn "
        f"together, spread where there are few of them. None below {c.interval_subjects} positive or "
        f"{c.interval_subjects} negative subjects, or where more than {c.max_missing:.0%} of the draws lack an outcome "
        "(at the source: in a fold).",
        f"A macro average is over headline classes with intervals on both sides, {c.macro_classes} or more, so two "
        "subgroups need not average the same classes; they are listed in subgroups.csv.",
        f"An attribute with one value in a task is left out; '{UNKNOWN}' is a row of its own. Ages are in years.",
        "Nothing is corrected for the number of rows: among many subgroups some differ by chance. A difference may "
        "come from other diagnoses, devices or ages in the subgroup and is no evidence of cause. "
        + left_unsaid(evaluation),
    ]
    return "\n".join(f"- {line.strip()}" for line in lines)


HEADER = ("Subgroup", "Model", "units", "subjects", "positives", "ROC-AUC", "difference", "AP", "prevalence")


def _task(evaluation: Evaluation, name: str, rows: pd.DataFrame) -> Section:
    context, kind = evaluation.contexts[name], kind_of(evaluation)
    title = f"{kind}{name}: subgroups{' (derived)' if context.task.derived else ''}"
    if not len(rows):
        return Section(title, (Text("Of every attribute there is one value only, or none is known."),))
    names = [v.name for v in shown_variants(evaluation)]
    leads = [MACRO] if context.head.macro else list(context.head.classes)
    lead = rows[rows["cls"].isin(leads) & rows["variant"].isin(names)]
    supported = lead["reason"] == ""
    shown, parts = lead[supported], []
    for cls in leads:
        of = shown[shown["cls"] == cls]
        groups = of.groupby(["attribute", "group"], sort=False).ngroup()
        order = of.assign(group_number=groups, model=of["variant"].map(names.index))
        lines = [_line(r) for r in order.sort_values(["group_number", "model"]).to_dict("records")]
        if not lines:
            continue
        level = f"{evaluation.config.level:.0%}".replace("%", " %")
        header = [f"{h} [{level}]" if h in ("ROC-AUC", "difference", "AP") else h for h in HEADER]
        what = "macro averages" if cls == MACRO else cls
        caption = f"{kind}{name}: subgroups, {what}; {of.iloc[0]['how_sure']}; not corrected for the number of rows"
        stem = f"subgroups-{slug(name)}" + ("" if cls == MACRO else f"-{slug(cls)}")
        parts.append(Table(stem, caption, header, lines))
    without = lead[~supported].drop_duplicates(["cls", "attribute", "group"])
    if len(without):
        reasons: dict[str, list[str]] = {}
        for r in without.to_dict("records"):
            what = f"{r['attribute']} {r['group']}" + ("" if r["cls"] == MACRO else f" ({r['cls']})")
            reasons.setdefault(r["reason"], []).append(what)
        said = "; ".join(f"{', '.join(w)} ({reason})" for reason, w in reasons.items())
        parts.append(Text(f"Not shown: {said}. Points, where there are any, are in subgroups.csv."))
    if len(shown):
        caption = f"{kind}{name}: ROC-AUC by subgroup, and its difference from everybody else"
        parts.append(Figure(f"subgroups-{slug(name)}", caption, lambda: subgroups_figure(evaluation, name, shown)))
    return Section(title, tuple(parts))


def _line(r: dict) -> list[str]:
    model = f"{r['title']} (reference)" if r["reference"] else r["title"]
    counts = [f"{r[n]:.0f}" for n in ("units", "subjects", "positives")]
    figures = [bracketed(r[m], r[f"{m}_lo"], r[f"{m}_hi"]) for m in ("roc_auc", "average_precision")]
    apart = bracketed(r["roc_auc_diff"], r["roc_auc_diff_lo"], r["roc_auc_diff_hi"], sign=True)
    return [f"{r['attribute']} {r['group']}", model, *counts, figures[0], apart, figures[1], number(r["prevalence"])]
