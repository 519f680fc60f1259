"""The factorial design of a task in words: a grid of scores, and a table of effects."""

import math

import pandas as pd

from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.rows import MACRO
from ecg_ramba.evaluation.tables import bracketed

GRID = "backbone"
"""The factor whose levels are the columns of the grid."""

HOW = (
    "Effects are means of paired differences in ROC-AUC between variants that differ in that factor alone; an "
    "interaction is the difference of two such differences. They are on the same bootstrap draws as the table above, "
    "and nothing is corrected for their number."
)


def effects_table(evaluation: Evaluation) -> pd.DataFrame:
    """All effects of all tasks, one row each, as in effects.csv."""
    rows = [
        {
            "data": "synthetic" if evaluation.suite.synthetic else "real",
            "task": task,
            "effect": e.name,
            "order": e.order,
            "contrasts": e.contrasts,
            "value": e.value,
            "lo": e.low,
            "hi": e.high,
            "seeds": evaluation.suite.n_seeds,
        }
        for task, found in evaluation.factorial.items()
        for e in found
    ]
    columns = ["data", "task", "effect", "order", "contrasts", "value", "lo", "hi", "seeds"]
    return pd.DataFrame(rows, columns=columns)


def grid(evaluation: Evaluation, task: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the scores: one row a combination of the other factors, one column a level of :data:`GRID`."""
    context = evaluation.contexts[task]
    head = MACRO if context.head.macro else context.head.classes[0]
    rows = evaluation.summary
    rows = rows[(rows["task"] == task) & (rows["cls"] == head) & (rows["metric"] == "roc_auc")]
    rows = rows[(rows["estimate"] == context.estimate) & (rows["status"] == "ok")].set_index("variant")
    cells: dict[str, dict[str, str]] = {}
    columns: list[str] = []
    for variant in evaluation.suite.variants:
        if not variant.factors or variant.name not in rows.index:
            continue
        levels = dict(variant.factors)
        column = levels.pop(GRID, "all")
        present = " + ".join(sorted(name for name, level in levels.items() if level != "off")) or "nothing"
        columns += [] if column in columns else [column]
        cells.setdefault(present, {})[column] = bracketed(*rows.loc[variant.name, ["value", "lo", "hi"]])
    order = sorted(cells, key=lambda name: (-name.count("+"), name))
    return ["streams", *columns], [[name, *(cells[name].get(c, "") for c in columns)] for name in order]


def effect_rows(evaluation: Evaluation, task: str) -> list[list[str]]:
    """Cells of the table of effects: name, value with interval, pairs or squares."""
    found = [e for e in evaluation.factorial[task] if math.isfinite(e.value)]
    return [[e.name, bracketed(e.value, e.low, e.high, sign=True), str(e.contrasts)] for e in found]
