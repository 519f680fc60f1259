"""The study of shortcuts in words: a document of sections, tables and figures."""

from __future__ import annotations

import math
from functools import partial

import pandas as pd

from ecg_ramba.document import Figure, Section, Table, Text
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.rows import how_sure
from ecg_ramba.evaluation.tables import bracketed, kind_of, number, slug
from studies.shortcuts.figure import draw_sites
from studies.shortcuts.questions import DATA_SET, SiteConfig
from studies.shortcuts.study import Shortcuts
from studies.shortcuts.views import AS_RECORDED, LABELS_MATCHED, MATCHED

TITLE = "what tells sites apart, and which scores do not travel"

_WHY = (
    "A network that can tell where a recording comes from can use that in place of the heart, wherever a label is "
    "commoner at one place. Whether it does is not shown here; whether it could is."
)
_LABELS = (
    "Each class predicted from the name of the site alone, by the share of positives there; only sites that annotate "
    "the class. 0.5 is the least by construction, and chance is what permuted sites give. 'Explained' is the part of "
    "the label's entropy that the name explains (Theil's U). A shortcut needs both: a label that the site says "
    "something of, and a representation that tells the site. A network trained on one site alone meets only one, so "
    "this matters for training on several hospitals, and for what a class means at each."
)
_TRAVEL = (
    "The transfer gap of every class: ROC-AUC out-of-fold at the source minus the fold models' at the target. A class "
    "that is known well at home and not abroad may rest on a site's artefact, on another use of the label, or on "
    "other patients; the gap does not say which."
)
_PLANT = (
    "In the synthetic cohort QAb is the shortcut plant: a hum at the source, nothing at the third site. Its gap is "
    "what a shortcut costs; the gaps of LBBB and TInv, whose plants are the same at both, are not."
)
_HOSPITALS = (
    "Two hospitals of one publication: one format, other patients and another use of the labels. Each is once the "
    "source and once the target; only classes that both annotate are scored at the target."
)


def shortcut_sections(
    found: Shortcuts, evaluation: Evaluation, config: SiteConfig, hospitals: pd.DataFrame, no_hospitals: str
) -> list[Section]:
    """The document's sections.

    Parameters
    ----------
    found : Shortcuts
    evaluation : Evaluation
        Of the suite behind it.
    config : SiteConfig
    hospitals : DataFrame
        See :func:`studies.shortcuts.hospitals.hospital_table`.
    no_hospitals : str
        Why it is empty; "" where it is not.
    """
    kind = kind_of(evaluation)
    names = list(dict.fromkeys(found.sites["question"]))
    made = [_how(found, evaluation, config, kind), *(_question(found, evaluation, name, kind) for name in names)]
    made += [_labels(found, kind), _travel(evaluation, kind), _hospitals(hospitals, no_hospitals, kind)]
    return [*made, _counts(found, kind)]


def _how(found: Shortcuts, evaluation: Evaluation, config: SiteConfig, kind: str) -> Section:
    c, seeds = evaluation.config, evaluation.suite.n_seeds
    leads = "all twelve leads" if len(found.leads) == 12 else f"the leads {', '.join(found.leads)}, which all have"
    smallest = 2 / (config.permutations + 1)
    text = (
        f"{_WHY}\n\n"
        "A multinomial logistic regression on standardised values (its strength fixed, sites weighted alike) is "
        f"cross-validated by subject in {config.splits} parts; its ROC-AUC is taken within each part. Each fold model "
        "is asked on its own, of source recordings that it was not trained on and of all target recordings; figures "
        f"are means over the fold models. Intervals: {c.level:.0%} of {c.draws:,} bootstrap draws of subjects, "
        f"predictions as they are; {how_sure(seeds)}. Chance: subjects' sites permuted {config.permutations} times and "
        "the probe refitted; p: of each fold model, combined as twice their mean, so that the smallest is "
        f"{smallest:.2g}. Nothing is corrected for the number of rows.\n\n"
        f"- {AS_RECORDED}: a recording with all its leads, the mean over its segments.\n"
        f"- {MATCHED}: one whole 10 s segment a recording, the first, on {leads}. Length and lead set then tell "
        "nothing; noise, gain, filters and the patients still do.\n"
        f"- {LABELS_MATCHED}: the same, one recording a subject, weighted so that every site has each label set at the "
        "same share. What still tells sites apart is then not how often those labels occur."
    )
    return Section(f"{kind}How sites were told apart", (Text(text),))


def _counts(found: Shortcuts, kind: str) -> Section:
    header = ["way of looking", "data set", "recordings", "used", "subjects", "left out"]
    rows = [[str(v) for v in row] for row in found.counts.to_numpy()]
    caption = f"{kind}What took part; where there are more recordings than asked for, whole subjects drawn at random."
    matching = [f"- {name}: {_matched(m)}." for name, m in found.matching.items()]
    matched = Text("Label sets are made of classes that all sites annotate:\n\n" + "\n".join(matching))
    return Section(f"{kind}What took part", (Table("shortcuts-counts", caption, header, rows), matched))


def _matched(matching) -> str:
    if not matching.classes:
        return matching.reason
    left = f"{matching.left_out} recordings with other label sets, or further ones of a subject, are left out"
    return f"{', '.join(matching.classes)}; {left}"


def _question(found: Shortcuts, evaluation: Evaluation, name: str, kind: str) -> Section:
    of = found.sites[found.sites["question"] == name]
    header = ["way of looking", "told from", "ROC-AUC [95 %]", "balanced accuracy [95 %]", "chance", "p"]
    header += ["fold models", "recordings"]
    rows = []
    for (mode, representation), both in of.groupby(["mode", "representation"], sort=False):
        by = both.set_index("metric")
        auc = by.loc["roc_auc"]
        if auc["reason"]:
            rows.append([mode, representation, f"no figure: {auc['reason']}", *[""] * 5])
            continue
        right = by.loc["balanced_accuracy"]
        cells = [bracketed(r["value"], r["lo"], r["hi"]) for r in (auc, right)]
        chance = f"{number(auc['chance'])}; {number(right['chance'])}"
        counted = [f"{auc['p']:.2g}", f"{auc['models']:.0f}", f"{auc['units']:.0f}"]
        rows.append([mode, representation, *cells, chance, *counted])
    question = found.questions[name, AS_RECORDED]
    title = "Which data set" if name == DATA_SET else f"Which {name}"
    said = [f"Sites: {', '.join(question.sites)}."] if question.sites else []
    for mode in (AS_RECORDED, MATCHED):
        left_out = found.questions[name, mode].left_out
        said += [f"Left out ({mode}): {site}, {why}." for site, why in left_out.items()]
    if question.sites:
        said.append(f"Without any knowledge ROC-AUC is 0.5 and balanced accuracy {1 / len(question.sites):.2f}.")
    caption = (
        f"{kind}{title}: macro one-vs-rest ROC-AUC and balanced accuracy; under chance what permuted sites give; p of "
        "the ROC-AUC."
    )
    parts: list = [Text(" ".join(said))] if said else []
    parts.append(Table(f"shortcuts-{slug(name)}", caption, header, rows))
    if of["value"].notna().any():
        about = f"{kind}{title}: ROC-AUC of the probe from each representation, by way of looking, beside chance."
        drawn = partial(draw_sites, of, title, evaluation.suite.synthetic)
        parts.append(Figure(f"shortcuts-{slug(name)}", about, drawn))
    return Section(f"{kind}{title}", tuple(parts), {"sites": found.sites} if name == DATA_SET else {})


def _labels(found: Shortcuts, kind: str) -> Section:
    title = f"{kind}What a site's name says of the labels"
    if found.labels.empty:
        return Section(title, (Text("No class is annotated at two sites with both outcomes: no figure."),))
    header = ["sites", "class", "ROC-AUC [95 %]", "chance", "p", "explained", "recordings", "share of positives"]
    rows = []
    for r in found.labels.sort_values(["question", "value"], ascending=[True, False]).to_dict("records"):
        cells = [bracketed(r["value"], r["lo"], r["hi"]), number(r["chance"]), f"{r['p']:.2g}", f"{r['explained']:.1%}"]
        rows.append([r["question"], r["class"], *cells, str(r["units"]), r["shares"]])
    table = Table("shortcuts-labels", f"{kind}Labels told from the site's name alone.", header, rows)
    return Section(title, (Text(_LABELS), table), {"site_labels": found.labels})


def travel_table(evaluation: Evaluation) -> pd.DataFrame:
    """Each class's transfer gap: rows of the evaluation's per-class table that have one, the largest first."""
    rows = evaluation.per_class
    rows = rows[(rows["metric"] == "roc_auc") & rows["gap"].notna()]
    columns = ["data", "task", "cls", "variant", "title", "support", "gap", "gap_lo", "gap_hi", "gap_reason"]
    columns += ["positives", "positive_subjects", "how_sure"]
    return rows[columns].sort_values(["task", "gap"], ascending=[True, False], kind="stable").reset_index(drop=True)


def _travel(evaluation: Evaluation, kind: str) -> Section:
    title = f"{kind}Classes that do not travel"
    table = travel_table(evaluation)
    if table.empty:
        return Section(title, (Text("No class is scored at the source and at a target: no figure."),))
    titles = dict(zip(table["variant"], table["title"], strict=True))
    rows = []
    for (task, cls), of in table.groupby(["task", "cls"], sort=False):
        by = of.set_index("variant")
        cells = [bracketed(*by.loc[v, ["gap", "gap_lo", "gap_hi"]], sign=True) if v in by.index else "" for v in titles]
        rows.append([task, cls, *cells, of["support"].iloc[0]])
    header = ["task", "class", *titles.values(), "support"]
    caption = f"{kind}Transfer gap of every class, source minus target; {how_sure(evaluation.suite.n_seeds)}."
    text = f"{_TRAVEL}\n\n{_PLANT}" if evaluation.suite.synthetic else _TRAVEL
    return Section(title, (Text(text), Table("shortcuts-classes", caption, header, rows)), {"classes": table})


def _hospitals(hospitals: pd.DataFrame, reason: str, kind: str) -> Section:
    title = "From Shaoxing to Ningbo, and back"
    if hospitals.empty:
        return Section(f"{kind}{title}", (Text(f"No figure: {reason}."),))
    header = ["source", "task", "model", "over", "ROC-AUC [95 %]", "transfer gap [95 %]", "support"]
    rows = []
    for r in hospitals.to_dict("records"):
        if not isinstance(r["task"], str):
            rows.append([r["source"], f"no source: {r['reason']}", *[""] * 5])
            continue
        value = bracketed(r["value"], r["lo"], r["hi"]) if math.isfinite(r["value"]) else r["reason"]
        gap = bracketed(r["gap"], r["gap_lo"], r["gap_hi"], sign=True) if math.isfinite(r["gap"]) else ""
        over = str(r["classes"]).replace("; ", ", ")
        rows.append([r["source"], r["task"], r["title"], over, value, gap, r["support"]])
    sure = next((s for s in hospitals["how_sure"] if isinstance(s, str)), "no suite ran")
    caption = f"Headline ROC-AUC and transfer gap between the hospitals; {sure}."
    return Section(title, (Text(_HOSPITALS), Table("hospitals", caption, header, rows)), {"hospitals": hospitals})
