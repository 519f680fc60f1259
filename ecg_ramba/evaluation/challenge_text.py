"""The challenge's score in words and cells, for the report and the terminal."""

import math

from ecg_ramba.evaluation.config import BELOW_SUPPORT, CHALLENGE
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.tables import bracketed

HEADER = ("Model", "challenge score [95 %]", "difference [95 %]")
HOW = (
    "Challenge score: that of the PhysioNet/CinC Challenge 2021 (Reyna et al. 2021) by the weights that were named, at "
    "the fixed threshold; 1 is every label and nothing else, 0 is sinus rhythm alone for every record, less than that "
    "is below 0. It is taken over the classes that the task scores, so no figure of the challenge is comparable to it."
)


def challenge_rows(evaluation: Evaluation, task: str) -> list[list[str]]:
    """Cells under :data:`HEADER`, one row a variant, failed ones included."""
    rows = evaluation.summary
    rows = rows[(rows["task"] == task) & (rows["cls"] == CHALLENGE)].set_index("variant")
    made = []
    for variant in evaluation.suite.variants:
        if variant.name not in rows.index:
            made.append([variant.title, "failed", ""])
            continue
        row = rows.loc[variant.name]
        missing = "" if math.isnan(row["diff"]) else bracketed(*row[["diff", "diff_lo", "diff_hi"]], sign=True)
        difference = "reference" if variant.reference else missing
        title = f"{variant.title} (reference)" if variant.reference else variant.title
        made.append([title, bracketed(*row[["value", "lo", "hi"]]), difference])
    return made


def challenge_caption(evaluation: Evaluation, task: str) -> str:
    """What the score is taken over, its support, and why it has no interval."""
    rows = evaluation.summary
    rows = rows[(rows["task"] == task) & (rows["cls"] == CHALLENGE)]
    kind = "Synthetic: " if evaluation.suite.synthetic else ""
    counts = evaluation.contexts[task].challenge.counts
    note = evaluation.contexts[task].challenge_note
    size = f"{counts['units']} records, {counts['positives']} with a class besides sinus rhythm"
    below = f" {BELOW_SUPPORT.upper()}." if (rows["support"] == BELOW_SUPPORT).any() else ""
    reasons = "".join(f" {r[0].upper()}{r[1:]}." for r in dict.fromkeys(rows["reason"]) if r)
    return f"{kind}{task}: {note}; {size}.{below}{reasons}"
