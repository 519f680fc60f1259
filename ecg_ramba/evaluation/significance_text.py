"""The tests in words and tables: the section "Statistics" of a report."""

import math

import pandas as pd

from ecg_ramba.document import Section, Table, Text
from ecg_ramba.evaluation.config import PROTOCOL_SUPPORT
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.mcnemar import LEAST, NO_MCNEMAR
from ecg_ramba.evaluation.rows import MACRO, how_sure
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.evaluation.significance import DIFFERENCE, POOLINGS, Statistics, statistics_of
from ecg_ramba.evaluation.tables import kind_of, number, slug
from ecg_ramba.evaluation.verdicts import SEEDS

TITLE = "Statistics"


def section(evaluation: Evaluation, reader: ScoreReader | None = None, progress=None) -> Section:
    """Run all tests and write them up.

    Parameters
    ----------
    evaluation : Evaluation
    reader : ScoreReader, optional
        Of its suite.
    progress : callable, optional
        Called with (variants done, variants in all).

    Returns
    -------
    Section
        A table a headline figure, the legend before them, and as frames ``tests``, ``mcnemar`` and ``variance``.
    """
    return statistics_section(evaluation, statistics_of(evaluation, reader, progress, evaluation.config.permutations))


def statistics_section(evaluation: Evaluation, found: Statistics) -> Section:
    """The section from tests that were run already."""
    parts: list = [Text(legend(evaluation, found.tests))]
    for (task, cls), rows in found.tests.groupby(["task", "cls"], sort=False):
        parts += _figure(evaluation, task, cls, rows)
    parts += _variance(evaluation, found.variance)
    frames = {"tests": found.tests, "mcnemar": found.mcnemar, "variance": found.variance}
    return Section(f"{kind_of(evaluation)}{TITLE}", tuple(parts), frames)


def legend(evaluation: Evaluation, tests: pd.DataFrame) -> str:
    """What the columns are, in plain words."""
    c, seeds = evaluation.config, evaluation.suite.n_seeds
    runs = "the one trained model" if seeds == 1 else f"the mean over the {seeds} training runs"
    lines = [
        "**p**: a permutation test of the variant against the reference. For each subject, a coin decides whether the "
        "predictions of the two (all its recordings and windows, of every seed) are exchanged; p is the share of "
        "exchanges after which the two differ by as much as they do. ROC-AUC and average precision are taken on the "
        "ranks that each model gives, because an exchange puts scores of both into one ranking and two models need "
        "not mean the same by the same probability. All variants of a task meet the same exchanges.",
        "**Holm**: the same p, corrected for the number of variants tested on that figure (Holm 1979). Models are one "
        f"family; other poolings of stored windows{_pooled(tests)} are a family of their own, since nothing was "
        "trained for them.",
        "**Detectable**: the smallest true difference that these subjects would have shown with 80 % power at a "
        f"two-sided 5 %. **Subjects for {c.margin:g}**: by how many times they would have to grow for that to be "
        f"{c.margin:g}, if the whole error shrank with their number; the part that comes from the training seed does "
        "not.",
        f"**Equivalent**: p of two one-sided tests that the difference is within {c.margin:g} either way, on the "
        "bootstrap draws. A large p of either kind shows nothing: it is not evidence that two models are equal.",
        "**McNemar**: whether the two are right equally often at the threshold "
        f"{c.threshold:g}, several decisions of one subject counted together (Obuchowski 1998); of every class in "
        f"mcnemar.csv, which also says where there is no p: fewer than {LEAST} subjects in whom the two differ. For a "
        "rare class it mostly compares specificity.",
    ]
    sure = (
        f"**What p is about**: {runs} of each variant, on other subjects like these. Another seed is another model, "
        "and a small p does not say that it would do as well: "
    )
    if seeds < SEEDS:
        trained = "once (single training run)" if seeds == 1 else f"{seeds} times"
        sure += f"each variant was trained {trained}, so p values are of these trained models, not of the methods."
    else:
        sure += "how far seeds move a score stands below."
    return "\n".join(f"- {line}" for line in [*lines, sure])


def _pooled(tests: pd.DataFrame) -> str:
    return "" if (tests["family"] == POOLINGS).any() else " (none here)"


def p_text(p: float) -> str:
    """A p value as printed: three decimals, or as many as it takes."""
    if not math.isfinite(p):
        return "–"
    return f"{p:.3f}" if p >= 0.0095 else f"{p:.4f}" if p >= 0.000095 else f"{p:.1e}"


def _figure(evaluation: Evaluation, task: str, cls: str, rows: pd.DataFrame) -> list:
    """One headline figure: its table, and the reasons why numbers are missing."""
    single = cls != MACRO
    header = ["Model", "ROC-AUC difference", "ROC-AUC p", "ROC-AUC p (Holm)", "AP difference", "AP p", "AP p (Holm)"]
    header += ["detectable (ROC-AUC)", f"subjects for {evaluation.config.margin:g}", "equivalent p (ROC-AUC)"]
    header += ["McNemar p"] if single else []
    cells, reasons = [], {}
    for _, of in rows.groupby("variant", sort=False):
        by_metric = {r["metric"]: r for r in of.to_dict("records")}
        auc, ap = by_metric["roc_auc"], by_metric["average_precision"]
        line = [auc["title"]]
        for r in (auc, ap):
            line += [number(r["value"], sign=True), p_text(r["p"]), p_text(r["p_holm"])]
        line += [number(auc["detectable"]), _times(auc["growth"]), p_text(auc["p_equivalent"])]
        cells.append(line + ([p_text(auc["mcnemar_p"])] if single else []))
        if reason := "; ".join(r for r in auc["reason"].split("; ") if not r.startswith(NO_MCNEMAR)):
            reasons.setdefault(reason, []).append(auc["title"])
    said = [
        f"{'all' if len(titles) == len(cells) else ', '.join(titles)}: {reason}" for reason, titles in reasons.items()
    ]
    caption = _caption(evaluation, task, cls, rows)
    if rows["p"].isna().all():
        return [Text(f"{caption} No test. {'; '.join(said)}.")]
    name = f"tests-{slug(task)}" + (f"-{slug(cls)}" if single else "")
    return [Table(name, caption, header, cells), *([Text(f"Without a number: {'; '.join(said)}.")] if said else [])]


def _caption(evaluation: Evaluation, task: str, cls: str, rows: pd.DataFrame) -> str:
    r, seeds = rows.loc[rows["patterns"].idxmax()], evaluation.suite.n_seeds
    what = f"macro average over {r['classes']}" if cls == MACRO else cls
    support = "" if r["support"] == PROTOCOL_SUPPORT else f", {r['support'].upper()}"
    runs = f"{seeds} training runs, their mean tested" if seeds > 1 else how_sure(seeds)
    if seeds < SEEDS:
        runs += ": p values of these trained models, not of the methods"
    text = f"{kind_of(evaluation)}{task}, {what}{support}: differences from the reference; {runs}; "
    text += f"{r['subjects']:,} subjects"
    if not r["patterns"]:
        return f"{text}."
    how = f"all {r['patterns']:,} patterns" if r["exhaustive"] else f"{r['patterns']:,} exchanges"
    return f"{text}, {how}, smallest p that the test can give: {p_text(r['smallest_p'])}."


def _times(growth: float) -> str:
    """By how many times subjects would have to grow; those at hand suffice below one."""
    if not math.isfinite(growth):
        return "–"
    return "enough" if growth <= 1 else f"x {growth:.1f}" if growth < 100 else f"x {growth:,.0f}"


def _variance(evaluation: Evaluation, variance: pd.DataFrame) -> list:
    """Shares of subjects and seeds in the variance, or why there are none."""
    kind = kind_of(evaluation)
    known = variance[variance["value"].notna()]
    paired = known["of"] == DIFFERENCE  # of the reference, and where there is none of all, the scores themselves
    known = known[paired | ~known["variant"].isin(known[paired]["variant"])]
    reasons = [r for r in dict.fromkeys(variance[variance["value"].isna()]["reason"]) if r]
    if known.empty:
        return [Text("\n".join(f"- Seeds and subjects: {r}." for r in reasons))] if reasons else []
    header = [
        "Task",
        "Model",
        "of",
        "subjects",
        "seeds",
        "both",
        "one seed to another (SD) [95 %]",
        "other subjects (SD)",
    ]
    rows = []
    for r in known.to_dict("records"):
        shares = [
            f"{r[k]:.0%}" if math.isfinite(r[k]) else "–" for k in ("share_subjects", "share_seeds", "share_both")
        ]
        seed = f"{number(r['seed_sd'])} [{number(r['seed_sd_lo'])}, {number(r['seed_sd_hi'])}]"
        task = r["task"] if r["cls"] == MACRO else f"{r['task']}, {r['cls']}"
        rows.append([task, r["title"], r["of"], *shares, seed, number(r["subject_sd"])])
    seeds = evaluation.suite.n_seeds
    text = (
        f"Where the uncertainty of a headline ROC-AUC over {seeds} training runs comes from: shares of its variance "
        "that other subjects and other seeds would bring, and how the two happen to meet (crossed random effects of "
        "subject and seed on the influence of each subject). The last columns are of one training run. From "
        f"{seeds} seeds the SD between seeds is known only as well as its interval says."
    )
    if known["set_to_zero"].any():
        text += " Components that came out negative are set to zero (variance.csv names them)."
    caption = f"{kind}Subjects and seeds: shares in the variance, of all scores in variance.csv"
    return [Text(text), Table("variance", caption, header, rows)]
