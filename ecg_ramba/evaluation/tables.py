"""The words and cells of the tables, shared by the terminal, the Markdown report and the figures."""

import math
import re
from dataclasses import dataclass

import pandas as pd

from ecg_ramba.evaluation.config import (
    BELOW_SUPPORT,
    ENSEMBLE,
    FOLD_MEAN,
    FOLD_MODELS,
    NO_SUPPORT,
    POOLED_OOF,
    PROTOCOL_SUPPORT,
    SUBJECT_WEIGHTED,
)
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.rows import MACRO
from ecg_ramba.evaluation.verdicts import EQUIVALENT, HELPS, HURTS, SEEDS, UNDECIDED

HEADLINES = (FOLD_MEAN, ENSEMBLE)
SYNTHETIC = "SYNTHETIC DATA"
WARNING = "this tests the suite and says nothing of patients."
TOO_SMALL = "Small sample: too small to claim anything."


def number(value: float, sign: bool = False) -> str:
    """Three decimals; a dash where there is no number."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:{'+' if sign else ''}.3f}"
    return "0.000" if float(text) == 0 else text


def bracketed(value: float, low: float, high: float, sign: bool = False) -> str:
    """``0.892 [0.861, 0.928]``; without an interval the value alone."""
    if not math.isfinite(low):
        return number(value, sign)
    return f"{number(value, sign)} [{number(low, sign)}, {number(high, sign)}]"


def amount(value: float) -> str:
    """A count with a unit prefix: 812, 73 k, 72.8 M."""
    if not math.isfinite(value):
        return "–"
    for factor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= factor:
            return f"{value / factor:.3g}{unit}"
    return f"{value:.0f}"


def duration(seconds: float) -> str:
    """Seconds as s, min or h."""
    if not math.isfinite(seconds):
        return "–"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def kind_of(evaluation: Evaluation) -> str:
    """What titles and captions begin with: ``Synthetic: `` where the data are."""
    return "Synthetic: " if evaluation.suite.synthetic else ""


def slug(name: str) -> str:
    """A task's name as part of a file's."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)


def too_small(evaluation: Evaluation) -> bool:
    """Whether the run must not be read as evidence: few source subjects, or a headline below protocol support."""
    subjects = evaluation.suite.info["source_subjects"]
    below = any(c.head.support != PROTOCOL_SUPPORT for c in evaluation.contexts.values())
    return below or (subjects is not None and subjects < evaluation.config.claim_subjects)


def banner(evaluation: Evaluation) -> str:
    """The one sentence that stands above everything."""
    if evaluation.suite.synthetic:
        return f"{SYNTHETIC}: {WARNING}"
    return TOO_SMALL if too_small(evaluation) else "Real data."


def departures(evaluation: Evaluation) -> str:
    """What was evaluated otherwise than the protocol asks; "" where nothing was."""
    changed = evaluation.config.departures
    return f"Not the protocol's evaluation: {changed}." if changed else ""


def run_title(evaluation: Evaluation) -> str:
    """Source and targets of the run."""
    info = evaluation.suite.info
    kind = "Synthetic data: trained" if evaluation.suite.synthetic else "Trained"
    return f"{kind} on {info['source']}, tested zero-shot on {', '.join(info['targets']) or 'nothing else'}"


@dataclass(frozen=True)
class Block:
    """One headline figure of one task: a macro average, or a class where the task has fewer than three.

    ``rows``: one dict a variant: the ROC-AUC row's columns, plus ``ap`` (the average precision row) and ``f1``,
    ``brier`` values. ``counts``: the row that holds classes and support.
    """

    task: str
    unit: str
    cls: str
    support: str
    rows: list[dict]
    counts: dict

    @property
    def subject(self) -> str:
        """What is averaged, with its mark of support."""
        n = len(self.counts["classes"].split("; ")) if self.counts["classes"] else 0
        what = f"macro average over {n} class{'es' * (n != 1)}" if self.cls == MACRO else self.cls
        return what if self.support == PROTOCOL_SUPPORT else f"{what}, {self.support.upper()}"

    @property
    def size(self) -> str:
        """Units, subjects and positives in words."""
        c = self.counts
        return f"{c['units']:,} {self.unit}s, {c['subjects']} subjects, {c['positive_subjects']} positive subjects"


def blocks(evaluation: Evaluation, task: str) -> list[Block]:
    """The headline figures of a task, each with a row for every variant, failed ones included."""
    rows = evaluation.summary[(evaluation.summary["task"] == task) & evaluation.summary["estimate"].isin(HEADLINES)]
    head = evaluation.contexts[task].head
    names = [MACRO] if head.macro or not head.classes else list(head.classes)
    out = []
    for cls in names:
        known = evaluation.contexts[task].support.get(cls)
        support = known.level(evaluation.config) if known else head.support
        made = []
        for variant in evaluation.suite.variants:
            mine = rows[(rows["variant"] == variant.name) & ((rows["cls"] == cls) | (rows["status"] == "failed"))]
            by_metric = dict(zip(mine["metric"], mine.to_dict("records"), strict=True))
            row = by_metric["roc_auc"]
            row["ap"] = by_metric.get("average_precision", row | {"value": math.nan, "lo": math.nan, "hi": math.nan})
            row |= {m: by_metric[m]["value"] if m in by_metric else math.nan for m in ("f1", "brier")}
            made.append(row)
        counts = next((r for r in made if r["status"] == "ok"), made[0])
        out.append(Block(task, evaluation.contexts[task].task.unit, cls, support, made, counts))
    return out


def reasons(block: Block) -> list[str]:
    """Why figures or intervals of a block are missing, each once."""
    ok = [r for r in block.rows if r["status"] == "ok"]
    found = [r["reason"] for r in ok] + [f"transfer gap: {r['gap_reason']}" for r in ok if r["gap_reason"]]
    return list(dict.fromkeys(r for r in found if r))


HEADER = (
    *("Model", "ROC-AUC [95 %]", "difference [95 %]", "AP [95 %]", "transfer gap [95 %]", "difference of gaps [95 %]"),
    *("F1", "Brier", "parameters", "training", "verdict", "on the gap"),
)
_GAPS = (4, 5, 11)
_VERDICTS = (10, 11)


def shown_columns(block: Block) -> list[int]:
    """Columns of :data:`HEADER` that hold anything in this block: no gap columns without a gap, nor empty verdicts."""
    any_gap = any(math.isfinite(r["gap"]) for r in block.rows)
    any_verdict = any(r["verdict"] for r in block.rows)
    left_out = {*(() if any_gap else _GAPS), *(() if any_verdict else _VERDICTS)}
    return [i for i in range(len(HEADER)) if i not in left_out]


def cells(row: dict) -> list[str]:
    """One variant's cells under :data:`HEADER`."""
    title = f"{row['title']} (reference)" if row["reference"] else row["title"]
    if row["status"] == "failed":
        return [title, f"failed: {row['reason']}", *[""] * (len(HEADER) - 2)]
    ap = row["ap"]
    reference = row["reference"]
    return [
        title,
        bracketed(row["value"], row["lo"], row["hi"]),
        "reference" if reference else bracketed(row["diff"], row["diff_lo"], row["diff_hi"], sign=True),
        bracketed(ap["value"], ap["lo"], ap["hi"]),
        bracketed(row["gap"], row["gap_lo"], row["gap_hi"], sign=True),
        "reference" if reference else bracketed(row["gap_diff"], row["gap_diff_lo"], row["gap_diff_hi"], sign=True),
        number(row["f1"]),
        number(row["brier"]),
        amount(row["parameters"]),
        duration(row["seconds"]),
        row["verdict"],
        row["gap_verdict"],
    ]


_OTHERS = (
    (POOLED_OOF, "roc_auc"),
    (FOLD_MODELS, "roc_auc"),
    (SUBJECT_WEIGHTED, "roc_auc"),
    (SUBJECT_WEIGHTED, "average_precision"),
)
_SHORT = {"roc_auc": "ROC-AUC", "average_precision": "AP"}


def other_estimates(evaluation: Evaluation, block: Block) -> tuple[list[str], list[list[str]]]:
    """The headline's figure estimated otherwise: header and rows; no rows where there is none."""
    rows = evaluation.summary
    rows = rows[(rows["task"] == block.task) & (rows["cls"] == block.cls)]
    keys = [k for k in _OTHERS if ((rows["estimate"] == k[0]) & (rows["metric"] == k[1])).any()]
    made = []
    for own in block.rows:
        mine = rows[(rows["variant"] == own["variant"]) & (rows["status"] == "ok")]
        line = [own["title"]]
        for estimate, metric in keys:
            found = mine[(mine["estimate"] == estimate) & (mine["metric"] == metric)]
            line += [bracketed(*found.iloc[0][["value", "lo", "hi"]])] if len(found) else []
        if len(line) > 1:
            made.append(line)
    return ["Model", *(f"{_SHORT[m]}, {e}" for e, m in keys)], made


def class_table(evaluation: Evaluation, task: str) -> pd.DataFrame:
    """Support of every class of a task, beside the reference's (or first finished variant's) scores."""
    rows = evaluation.per_class
    rows = rows[(rows["task"] == task) & rows["estimate"].isin(HEADLINES)]
    shown = next((v.name for v in evaluation.suite.variants if v.reference), None)
    if shown is None or shown in evaluation.failures:
        shown = next((v.name for v in evaluation.suite.variants if v.name not in evaluation.failures), None)
    rows = rows[rows["variant"] == shown]
    made = []
    for cls, of in rows.groupby("cls", sort=False):
        auc = of[of["metric"] == "roc_auc"].iloc[0]
        ap = of[of["metric"] == "average_precision"]
        made.append(
            {
                "class": cls,
                "units": auc["units"],
                "positives": auc["positives"],
                "positive subjects": auc["positive_subjects"],
                "negative subjects": auc["negative_subjects"],
                "fold models": auc["folds"],
                "support": auc["support"],
                "ROC-AUC": bracketed(auc["value"], auc["lo"], auc["hi"]),
                "AP": bracketed(*ap.iloc[0][["value", "lo", "hi"]]) if len(ap) else "–",
                "prevalence": number(auc["prevalence"]),
                "paced": auc["paced"],
            }
        )
    return pd.DataFrame(made)


def verdict_legend(evaluation: Evaluation) -> str:
    """What the verdicts say, or why there are none."""
    seeds, margin = evaluation.suite.n_seeds, evaluation.config.margin
    if seeds < SEEDS:
        return f"No verdicts: {seeds} training run{'s' * (seeds != 1)} of each variant, {SEEDS} are needed (--seeds)."
    return (
        f"Verdict: whether what the reference has, and the variant lacks, {HELPS} or {HURTS}; '{EQUIVALENT}': within "
        f"{margin} by two one-sided tests; '{UNDECIDED}': neither, or below protocol support. 'On the gap': whether it "
        "makes the transfer gap smaller. Nothing is corrected for the number of rows."
    )


def support_legend(evaluation: Evaluation) -> str:
    """What the words of the support column mean."""
    c = evaluation.config
    return (
        f"Support: '{PROTOCOL_SUPPORT}' means at least {c.min_positives} positives of {c.min_subjects} positive "
        f"subjects, and as many negative subjects. '{BELOW_SUPPORT}' marks everything with less; a macro average below "
        f"it takes classes with at least {c.explore_positives} positives of {c.explore_subjects} positive subjects, "
        f"and is exploratory. '{NO_SUPPORT}': too little even for that."
    )
