"""The words and cells of the tables, shared by the terminal, the Markdown report and the figures."""

import math
from dataclasses import dataclass

import pandas as pd

from ecg_ramba.evaluation.config import BELOW_SUPPORT, ENSEMBLE, FOLD_MEAN, NO_SUPPORT, PROTOCOL_SUPPORT
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.rows import MACRO

HEADLINES = (FOLD_MEAN, ENSEMBLE)
SYNTHETIC = "SYNTHETIC DATA"
WARNING = "Synthetic data: this tests the suite and says nothing of patients."
TOO_SMALL = "Small sample: too small to claim anything."


def number(value: float, sign: bool = False) -> str:
    """Three decimals; a dash where there is no number."""
    return "–" if not math.isfinite(value) else f"{value:{'+' if sign else ''}.3f}"


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


def too_small(evaluation: Evaluation) -> bool:
    """Whether the run must not be read as evidence: few source subjects, or a headline below protocol support."""
    source = evaluation.suite.info["source"]
    subjects = max((d["subjects"] for d in evaluation.suite.info["data"] if d["name"] == source), default=0)
    below = any(c.head.support != PROTOCOL_SUPPORT for c in evaluation.contexts.values())
    return below or subjects < evaluation.config.claim_subjects


def banner(evaluation: Evaluation) -> str:
    """The one sentence that stands above everything."""
    if evaluation.suite.synthetic:
        return f"{SYNTHETIC}. {WARNING}"
    return TOO_SMALL if too_small(evaluation) else "Real data."


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
    cls: str
    support: str
    rows: list[dict]
    counts: dict

    @property
    def subject(self) -> str:
        """What is averaged, with its mark of support."""
        n = len(self.counts["classes"].split("; ")) if self.counts["classes"] else 0
        what = f"macro average over {n} classes" if self.cls == MACRO else self.cls
        return what if self.support == PROTOCOL_SUPPORT else f"{what}, {self.support.upper()}"

    @property
    def size(self) -> str:
        """Units, subjects and positives in words."""
        c = self.counts
        return f"{c['units']} units, {c['subjects']} subjects, {c['positive_subjects']} positive subjects"


def blocks(evaluation: Evaluation, task: str) -> list[Block]:
    """The headline figures of a task, each with a row for every variant, failed ones included."""
    rows = evaluation.summary[(evaluation.summary["task"] == task) & evaluation.summary["estimate"].isin(HEADLINES)]
    head = evaluation.contexts[task].head
    names = [MACRO] if head.macro or not head.classes else list(head.classes)
    out = []
    for cls in names:
        made = []
        for variant in evaluation.suite.variants:
            mine = rows[(rows["variant"] == variant.name) & ((rows["cls"] == cls) | (rows["status"] == "failed"))]
            by_metric = {m: r for m, r in zip(mine["metric"], mine.to_dict("records"), strict=True)}
            row = by_metric["roc_auc"]
            row["ap"] = by_metric.get("average_precision", row | {"value": math.nan, "lo": math.nan, "hi": math.nan})
            row |= {m: by_metric[m]["value"] if m in by_metric else math.nan for m in ("f1", "brier")}
            made.append(row)
        counts = next((r for r in made if r["status"] == "ok"), made[0])
        out.append(Block(task, cls, counts["support"], made, counts))
    return out


def reasons(block: Block) -> list[str]:
    """Why figures or intervals of a block are missing, each once."""
    ok = [r for r in block.rows if r["status"] == "ok"]
    found = [r["reason"] for r in ok] + [f"transfer gap: {r['gap_reason']}" for r in ok if r["gap_reason"]]
    return list(dict.fromkeys(r for r in found if r))


HEADER = (
    *("Model", "ROC-AUC [95 %]", "difference [95 %]", "AP [95 %]", "transfer gap [95 %]", "difference of gaps [95 %]"),
    *("F1", "Brier", "parameters", "training"),
)


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
    ]


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


def support_legend(evaluation: Evaluation) -> str:
    """What the words of the support column mean."""
    c = evaluation.config
    return (
        f"Support: '{PROTOCOL_SUPPORT}' means at least {c.min_positives} positives of {c.min_subjects} positive subjects, and as "
        f"many negative subjects. '{BELOW_SUPPORT}' marks everything with less; a macro average below it takes classes with "
        f"at least {c.explore_positives} positives of {c.explore_subjects} positive subjects, and is exploratory. "
        f"'{NO_SUPPORT}': too little even for that."
    )
