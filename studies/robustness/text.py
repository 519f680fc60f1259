"""The robustness study in words: its sections, with tables, figures and numbers."""

import pandas as pd

from ecg_ramba.document import Figure, Section, Table, Text
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.measure import TaskContext
from ecg_ramba.evaluation.rows import MACRO, how_sure
from ecg_ramba.evaluation.tables import bracketed, kind_of, number, run_title, slug
from ecg_ramba.evaluation.verdicts import SEEDS
from studies.robustness.figures import against_snr, heat_map
from studies.robustness.rows import FLIPPED, MOVED, SHIFT
from studies.robustness.scores import Robustness
from studies.robustness.stresses import CONTROL, STRESSES

TITLE = "robustness to what may go wrong with a recording"
STEM = "robustness"
SNR = (
    "A stress acts on the signal as recorded, in its units and at its rate; resampling, filtering, scaling, heart-rate "
    "variability and MiniRocket come after it and are computed again. Signal-to-noise ratio: mean square of a "
    "lead after its median is removed, over the mean square of the noise, in dB, over the whole recording and for "
    "each lead by itself; noise is independent between leads, and the same at every level but for its strength. What "
    "the band-pass of the suite takes away (most of the powerline, much of wander and muscle noise) models never see."
    " Leads that are taken away are absent, as if they had not been recorded; limb leads that follow from I and II "
    "are derived where both are left. A recording begun later has its first seconds behind its end (the seam lies in "
    "its last window); segments are then scored only where the next one has the same labels."
)


def sections(found: Robustness) -> list[Section]:
    """All sections of the study, in reading order."""
    kind = kind_of(found.evaluation)
    frames = {STEM: found.table, "control": found.control}
    said, *control = _control(found)
    about = Section(f"{kind}what was done", (Text(_about(found)), said), frames)
    tasks = [_task(found, name) for name in dict.fromkeys(found.table["task"])]
    listed = [[f"`{s.name}`", s.title, s.group] for n, s in STRESSES.items() if n in set(found.table["stress"])]
    names = Table("stresses", f"{kind}The stresses, as --stress names them", ["name", "stress", "group"], listed)
    left = [f"`{name}`" for name in STRESSES if name not in set(found.table["stress"])]
    absent = [Text(f"Not run: {', '.join(left)}; --stress names them, or their family or group.")] if left else []
    ends = [Section(f"{kind}the control", tuple(control))] if control else []
    ends.append(Section(f"{kind}the stresses", (names, *absent)))
    if rows := without_numbers(found.table):
        header = ["task", "stress", "models", "reason"]
        table = Table("without-numbers", f"{kind}What has no numbers, and why", header, rows)
        ends.append(Section(f"{kind}without numbers", (table,)))
    return [about, *tasks, *ends]


def _about(found: Robustness) -> str:
    evaluation, study = found.evaluation, found.study
    config, seeds = evaluation.config, evaluation.suite.n_seeds
    chosen = []
    for name, part in study.parts.items():
        there = next(d["records"] for d in evaluation.suite.info["data"] if d["name"] == name)
        n = len(part.recordings)
        text = f"all {n} recordings of {name}" if n == there else f"{n} of {there:,} recordings of {name}"
        cut = sum(bool(part.segments) and r.segments > part.segments for r in part.recordings)
        chosen.append(text + (f", of {cut} of them the first {part.segments} segments of 10 s alone" if cut else ""))
    parts = [f"{run_title(evaluation)}. Stressed: {'; '.join(chosen)}. Nothing is fitted to them."]
    if any(text[:3] != "all" for text in chosen):
        parts.append(
            "Which ones is drawn with their labels, so that each class has positives and negatives: prevalence is not "
            "that of the data set, and clean scores are not those of the main table."
        )
    if any(", of " in text for text in chosen):
        parts.append("A recording of which a part was predicted is left out of tasks that score whole recordings.")
    sure = (
        f"Each difference is stressed minus clean on the same recordings with the same fold models; intervals hold "
        f"{config.level:.0%} of {config.draws:,} bootstrap draws of subjects, the same for all models and stresses, so "
        "differences are paired; draws of few subjects are spread as the evaluation's are. Nothing is corrected for "
        "their number. A model at chance has nothing to lose: read a difference beside the clean score. "
        f"{how_sure(seeds).capitalize()}"
    )
    if seeds < SEEDS:
        sure += (
            f": how far another would move them is in no interval, so there is no verdict ({SEEDS} seeds are needed)"
        )
    return "\n\n".join([" ".join(parts), SNR, f"{sure}."])


def _control(found: Robustness) -> list:
    """What the control says: that reading the recordings again changes no prediction, or how much it does."""
    table, kind = found.control, kind_of(found.evaluation)
    if not len(table):
        return [Text("No control: no variant has predictions.")]
    total, differ = int(table["predictions"].sum()), int(table["differ"].sum())
    said = "changes no prediction" if not differ else f"changes {differ:,} predictions"
    text = f"**Control: the identity stress {said}** of {total:,} compared with those that the suite stored, to the bit"
    if differ:
        largest = table["largest"].max()
        text += f"; the largest change is {largest:.2g} (rounding, by how many windows are predicted together)"
    rows = [
        [r["dataset"], r["variant"], f"{r['predictions']:,}", f"{r['differ']:,}", f"{r['largest']:.2g}", r["reason"]]
        for r in table.to_dict("records")
    ]
    header = ["data set", "variant", "predictions", "changed", "largest change", "reason"]
    return [Text(f"{text}."), Table("control", f"{kind}The control", header, rows)]


def lead_classes(context: TaskContext) -> tuple[str, ...]:
    """What a task leads with: the macro average, or each of its few classes."""
    return (MACRO,) if context.head.macro else context.head.classes


def _task(found: Robustness, task: str) -> Section:
    evaluation, kind = found.evaluation, kind_of(found.evaluation)
    context, rows = evaluation.contexts[task], found.table[found.table["task"] == task]
    parts: list = []
    for cls in lead_classes(context):
        lead = rows[(rows["metric"] == "roc_auc") & ((rows["cls"] == cls) | (rows["cls"] == ""))]
        parts += _lead(evaluation, task, cls, lead, kind)
    free = rows[rows["metric"].isin([SHIFT, MOVED, FLIPPED]) & (rows["stress"] != CONTROL)]
    if len(free):
        classes = sorted(set(free["classes"]))
        parts.append(Table(f"shift-{slug(task)}", *_label_free(evaluation, task, free, classes, kind)))
    return Section(f"{kind}{task}, zero-shot on {context.task.dataset}", tuple(parts))


def _lead(evaluation: Evaluation, task: str, cls: str, rows: pd.DataFrame, kind: str) -> list:
    """One headline figure under every stress: summary, heat map, noise, tables."""
    name = slug(task) if cls == MACRO else f"{slug(task)}-{slug(cls)}"
    what = "macro average" if cls == MACRO else cls
    scored = rows[rows["diff"].notna() & (rows["stress"] != CONTROL)]
    if not len(scored):
        asked = rows[rows["stress"] != CONTROL] if (rows["stress"] != CONTROL).any() else rows
        reasons = [f"{r[0].upper()}{r[1:]}." for r in dict.fromkeys(asked["reason"]) if r]
        return [Text(" ".join([f"{task}, {what}: no figure.", *reasons]))]
    title = f"{task}: what stresses do to the ROC-AUC, {what}"
    parts = [
        Text(summary(evaluation, rows, what)),
        Figure(f"heat-{name}", f"{kind}{title}", lambda: heat_map(evaluation, rows, title)),
    ]
    if (scored["group"] == "noise").any():
        noise = f"{task}: ROC-AUC against the signal-to-noise ratio, {what}"
        parts.append(Figure(f"noise-{name}", f"{kind}{noise}", lambda: against_snr(evaluation, rows, noise)))
    sure = how_sure(evaluation.suite.n_seeds)
    header, made = grid(rows, "diff", "lo", "hi")
    caption = (
        f"{kind}{task}, {what}: ROC-AUC stressed minus clean [95 %]; the first row is the clean score itself; {sure}"
    )
    parts.append(Table(f"degradation-{name}", caption, header, made))
    if scored["excess"].notna().any():
        header, made = grid(rows[~rows["reference"]], "excess", "excess_lo", "excess_hi", verdicts=True)
        caption = (
            f"{kind}{task}, {what}: each model's degradation minus the reference's [95 %]; below zero, it loses more"
        )
        parts.append(Table(f"excess-{name}", caption, header, made))
    reasons = [r for r in dict.fromkeys(scored["reason"]) if r]
    return [*parts, *(Text(f"{r[0].upper()}{r[1:]}.") for r in reasons)]


def summary(evaluation: Evaluation, rows: pd.DataFrame, what: str) -> str:
    """What one headline figure shows, in a few sentences.

    Parameters
    ----------
    evaluation : Evaluation
    rows : DataFrame
        ROC-AUC of one task and figure, a row a stress and variant.
    what : str
        The figure's name.
    """
    told = rows[(rows["stress"] != CONTROL) & rows["diff"].notna()]
    first = told[told["reference"]] if told["reference"].any() else told[told["variant"] == told["variant"].iloc[0]]
    model, sampled = first["title"].iloc[0], first.iloc[0]
    classes, said = set(first["classes"]), []
    over = (
        f"over {first['classes'].iloc[0]}" if len(classes) == 1 else "over classes that differ between stresses (CSV)"
    )
    said.append(
        f"**{what}**, {over}; {sampled['units']} units of {sampled['subjects']} subjects, "
        f"{sampled['positive_subjects']} of them positive; support: {', '.join(sorted(set(first['support'])))}."
    )
    worst = first[first["diff"] < 0].nsmallest(3, "diff").to_dict("records")
    losses = [f"{STRESSES[r['stress']].title} {bracketed(r['diff'], r['lo'], r['hi'], True)}" for r in worst]
    said.append(f"{model} loses most under: {'; '.join(losses) or 'none of them'}.")
    bounded = first[first["lo"].notna()]
    if len(bounded):
        below, above = int((bounded["hi"] < 0).sum()), int((bounded["lo"] > 0).sum())
        said.append(f"Of {len(bounded)} stresses, {below} have an interval below zero, {above} above.")
    other = told[~told["reference"] & told["excess_lo"].notna()]
    if len(other):
        apart = other[(other["excess_hi"] < 0) | (other["excess_lo"] > 0)]
        more, chance = int((apart["excess_hi"] < 0).sum()), (1 - evaluation.config.level) * len(other)
        said.append(
            f"Of {len(other)} comparisons of a model's degradation with the reference's, {more} say that it loses more "
            f"and {len(apart) - more} that it loses less; by chance alone about {chance:.0f} at most would say either."
        )
    return " ".join(said)


def grid(
    rows: pd.DataFrame, value: str, low: str, high: str, verdicts: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table of stresses by models; its first row holds clean scores if ``value`` is ``diff``.

    A stress without any number has no row: see :func:`without_numbers`.
    """
    models = dict(zip(rows["variant"], rows["title"], strict=True))
    made = []
    for stress, of in rows.groupby("stress", sort=False):
        by = {r["variant"]: r for r in of.to_dict("records")}
        clean = stress == CONTROL
        if (clean and value != "diff") or not of["diff"].notna().any():
            continue
        cells = []
        for model in models:
            r = by.get(model)
            if r is None or r["status"] != "ok":
                cells.append(r["status"] if r else "–")
            elif clean:
                cells.append(number(r["clean"]))
            else:
                mark = f", {r['verdict']}" if verdicts and r["verdict"] else ""
                cells.append(bracketed(r[value], r[low], r[high], sign=True) + mark)
        units = max(int(u) for u in of["units"])
        made.append(["clean score" if clean else STRESSES[stress].title, str(units) if units else "–", *cells])
    return ["stress", "units", *models.values()], made


def _label_free(evaluation: Evaluation, task: str, rows: pd.DataFrame, classes: list[str], kind: str):
    """Caption, header and rows of what needs no labels."""
    models = dict(zip(rows["variant"], rows["title"], strict=True))
    made = []
    for stress, of in rows.groupby("stress", sort=False):
        by = of.set_index(["variant", "metric"])["diff"].to_dict()
        cells = [
            "–"
            if (m, MOVED) not in by
            else f"{number(by[m, SHIFT], True)} / {number(by[m, MOVED])} / {by[m, FLIPPED]:.1%}"
            for m in models
        ]
        made.append([STRESSES[stress].title, *cells])
    over = classes[0] if len(classes) == 1 else "the classes of each stress's headline (CSV)"
    caption = (
        f"{kind}{task}: mean change of the probability / mean absolute change / share of decisions at "
        f"{evaluation.config.threshold:g} that change, over {over}; no labels needed, intervals in the CSV"
    )
    return caption, ["stress", *models.values()], made


def without_numbers(table: pd.DataFrame) -> list[list[str]]:
    """Task, stress, models and reason of everything that has no number, together where these are the same."""
    rows = table[(table["metric"] == "roc_auc") & table["diff"].isna() & (table["reason"] != "")]
    made, everyone = [], {task: list(dict.fromkeys(of["title"])) for task, of in table.groupby("task", sort=False)}
    for (task, reason), of in rows.groupby(["task", "reason"], sort=False):
        by_stress = {s: tuple(dict.fromkeys(r["title"])) for s, r in of.groupby("stress", sort=False)}
        for models in dict.fromkeys(by_stress.values()):
            names = [STRESSES[s].title for s, m in by_stress.items() if m == models]
            who = "all" if list(models) == everyone[task] else ", ".join(models)
            made.append([task, "; ".join(names), who, reason])
    return made
