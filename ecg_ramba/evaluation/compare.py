"""Two runs, or a run and a model from elsewhere, compared on the units that both scored."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import pandas as pd

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.align import Aligned, align
from ecg_ramba.evaluation.config import METRICS, NO_SUPPORT, RANKING_METRICS, EvaluationConfig
from ecg_ramba.evaluation.headline_figures import figures_of, pairs_of
from ecg_ramba.evaluation.measure import measure
from ecg_ramba.evaluation.pairing import differences
from ecg_ramba.evaluation.permutation import PERMUTATIONS, Exchanges, exchange_test
from ecg_ramba.evaluation.rows import MACRO, Compared, figure_rows, how_sure
from ecg_ramba.evaluation.sides import Side
from ecg_ramba.evaluation.suite import Task

COLUMNS = (
    *("data", "task", "dataset", "role", "derived", "cls", "headline", "support", "classes", "estimate", "metric"),
    *("a", "a_lo", "a_hi", "b", "b_lo", "b_hi", "diff", "diff_lo", "diff_hi", "p", "smallest_p"),
    *("gap_a", "gap_a_lo", "gap_a_hi", "gap_b", "gap_b_lo", "gap_b_hi", "gap_diff", "gap_diff_lo", "gap_diff_hi"),
    *("gap_classes", "units", "subjects", "positives", "positive_subjects", "negative_subjects", "prevalence"),
    *("only_a", "only_b", "draws", "draws_short", "seeds_a", "seeds_b", "reason", "p_reason", "gap_reason"),
)
"""Columns of the comparison; ``a`` and ``b`` are the sides' values, ``diff`` is B minus A, ``only_a`` counts units that
A alone scored, ``headline`` marks the figures that a task leads with."""


@dataclass(frozen=True)
class Comparison:
    """A comparison.

    Parameters
    ----------
    a, b : Side
    rows : DataFrame
        Columns as in :data:`COLUMNS`.
    unpaired : list of str
        In what, besides the model, the two differ.
    notes : list of str
        What a reader must know: tasks and classes that are left out, and why.
    """

    a: Side
    b: Side
    rows: pd.DataFrame
    unpaired: list[str]
    notes: list[str]
    config: EvaluationConfig

    @property
    def synthetic(self) -> bool:
        """Whether any of its data was made, not recorded."""
        return self.a.suite.synthetic or self.b.suite.synthetic


def compare(
    a: Side,
    b: Side,
    config: EvaluationConfig = EvaluationConfig(),
    permutations: int = PERMUTATIONS,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Compare two sides on every task that both have.

    Parameters
    ----------
    a, b : Side
    config : EvaluationConfig
        The challenge's score is not compared.
    permutations : int
        Exchanges of the paired test, unless there are fewer.
    progress : callable, optional
        Called with (tasks done, tasks in all).

    Raises
    ------
    UserError
        If there is no task, or no unit, in common, labels differ, or predictions cannot be used.
    """
    unpaired = differences(a, b)
    notes = [*a.notes, *b.notes]
    pairs, left_out = _tasks(a, b)
    source = next((own for own, _ in pairs if own.source), None)
    aligned: dict[str, Aligned] = {}
    for own, other in pairs:
        made = align(own, other, a.scores(own), b.scores(other), config, not unpaired, source)
        if isinstance(made, str):
            left_out.append(f"{own.name}: {made}")
        else:
            aligned[own.name] = made
            notes += [f"{own.name}: {note}" for note in made.notes]
    if not aligned:
        why = "; ".join(left_out) or "no task is in both"
        raise UserError(f"{a.place} and {b.place} have nothing in common to compare ({why})")
    home = next((m for m in aligned.values() if m.a.task.source), None)
    measured = {}
    rows = []
    for done, (name, made) in enumerate(sorted(aligned.items(), key=lambda item: not item[1].a.task.source), 1):
        measured[name] = (measure(made.a, made.scores_a, config), measure(made.b, made.scores_b, config))
        at_home = measured[home.a.task.name] if home else (None, None)
        rows += _rows(a, b, made, home, measured[name], at_home, config, permutations)
        if progress:
            progress(done, len(aligned))
    place = {name: i for i, name in enumerate(aligned)}
    frame = pd.DataFrame(sorted(rows, key=lambda r: place[r["task"]]), columns=list(COLUMNS))
    return Comparison(a, b, frame, unpaired, left_out + notes, config)


def _tasks(a: Side, b: Side) -> tuple[list[tuple[Task, Task]], list[str]]:
    """Tasks of one name, data set, unit and role on both sides; the others, with why they are left out."""
    pairs, left_out = [], []
    for name in [*a.tasks, *(n for n in b.tasks if n not in a.tasks)]:
        own, other = a.tasks.get(name), b.tasks.get(name)
        if own is None or other is None:
            left_out.append(f"{name} is scored by {'A' if other is None else 'B'} alone")
        elif (own.dataset, own.unit, own.role) != (other.dataset, other.unit, other.role):
            said = [f"{t.role} {t.dataset} by {t.unit}" for t in (own, other)]
            left_out.append(f"{name} is something else in each: {said[0]} in A, {said[1]} in B")
        else:
            pairs.append((own, other))
    return pairs, left_out


def _rows(a: Side, b: Side, made: Aligned, home: Aligned | None, of, at_home, config, permutations) -> list[dict]:
    """Rows of one task: its headline figures, then every class."""
    context, head = made.a, made.a.head
    figures = [(MACRO, head.classes, head.support)] if head.macro and head.support != NO_SUPPORT else []
    figures += [(name, (name,), s.level(config)) for name, s in context.support.items()]
    tested = _tests(made, config, permutations)
    base = {"data": "synthetic" if a.suite.synthetic or b.suite.synthetic else "real", "task": context.task.name}
    base |= {"dataset": context.task.dataset, "role": context.task.role, "derived": context.task.derived}
    base |= {"only_a": made.only_a, "only_b": made.only_b, "seeds_a": a.suite.n_seeds, "seeds_b": b.suite.n_seeds}
    base |= {"draws": config.draws, "reason": "", "p_reason": "", "gap_reason": "", "gap_classes": ""}
    out = []
    if head.reason and (head.macro or not head.classes):
        none = {"cls": MACRO, "headline": True, "support": NO_SUPPORT, "classes": "; ".join(head.classes)}
        out.append(base | none | {"estimate": context.estimate, "metric": "roc_auc", "reason": head.reason})
    for cls, classes, support in figures:
        own = _figure(a, made.a, home and home.a, Compared(of[0], None, at_home[0], None), classes, config, support)
        compared = Compared(of[1], of[0], at_home[1], at_home[0])
        other = _figure(b, made.b, home and home.b, compared, classes, config, support)
        leads = cls == MACRO or (not head.macro and cls in head.classes)
        about = base | {"cls": cls, "headline": leads, "support": support, "classes": "; ".join(classes)}
        if not other or not own:
            scored = context.support[cls].units if cls in context.support else 0
            reason = "no fold holds both outcomes" if scored else f"no {context.task.unit} has a score on both sides"
            out.append(about | {"estimate": context.estimate, "metric": "roc_auc", "reason": reason})
            continue
        for metric in METRICS:
            test = tested.get(cls, {}).get(metric, {}) if leads else {}
            out.append(about | _row(own[metric], other[metric]) | test)
    return out


def _figure(side: Side, context, source, compared: Compared, classes, config, support: str) -> dict[str, dict]:
    """The headline estimate's rows of one figure, by metric; {} where there is no number at all."""
    variant = replace(side.variant, reference=compared.reference is None)
    made = figure_rows(side.suite, variant, context, source, compared, classes, config, len(classes) > 1, support)
    return {row["metric"]: row for row in made if row["estimate"] == context.estimate}


def _row(own: dict, other: dict) -> dict:
    """One metric of both sides beside each other; ``other`` was compared with ``own``."""
    row = {k: other[k] for k in ("estimate", "metric", "diff", "diff_lo", "diff_hi", "reason", "gap_reason")}
    row |= {k: other[k] for k in ("gap_diff", "gap_diff_lo", "gap_diff_hi", "gap_classes")}
    row |= {k: other[k] for k in ("units", "subjects", "positives", "positive_subjects", "negative_subjects")}
    row |= {k: other[k] for k in ("prevalence", "draws", "draws_short")}
    for letter, of in (("a", own), ("b", other)):
        row |= {letter: of["value"], f"{letter}_lo": of["lo"], f"{letter}_hi": of["hi"]}
        row |= {f"gap_{letter}": of["gap"], f"gap_{letter}_lo": of["gap_lo"], f"gap_{letter}_hi": of["gap_hi"]}
    return row


def _tests(made: Aligned, config: EvaluationConfig, permutations: int) -> dict[str, dict[str, dict]]:
    """Paired permutation tests of a task's headline figures: figure -> metric -> columns."""
    seeds = [len(s.headline) for s in (made.scores_a, made.scores_b)]
    task, out = made.a.task, {}
    for figure in figures_of(made.a, config):
        why = figure.reason
        if not why and not made.same_folds:
            why = "no p: models of other folds predicted each recording, so that they cannot be exchanged"
        if not why and seeds[0] != seeds[1]:
            why = f"no p: {seeds[0]} and {seeds[1]} training runs cannot be exchanged one for one"
        if why:
            out[figure.cls] = {metric: {"p": math.nan, "p_reason": why} for metric in RANKING_METRICS}
            continue
        exchanges = Exchanges.of((task.name, task.dataset), figure.subjects, permutations, config.seed)
        pairs = pairs_of(figure, made.a, made.scores_b.headline, made.scores_a.headline)
        tested = exchange_test(pairs, exchanges)
        out[figure.cls] = {m: {"p": t.p, "smallest_p": exchanges.smallest} for m, t in tested.items()}
    return out


def sure(comparison: Comparison) -> str:
    """What the intervals cover, in words."""
    seeds = comparison.a.suite.n_seeds, comparison.b.suite.n_seeds
    return how_sure(seeds[0]) if seeds[0] == seeds[1] else f"A: {how_sure(seeds[0])}; B: {how_sure(seeds[1])}"
