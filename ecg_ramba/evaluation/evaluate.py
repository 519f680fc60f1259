"""From a suite's stored predictions to every number of its report.

A pure function of the suite folder: it trains nothing, and imports neither torch nor mlflow.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.burden import Burden, af_burdens
from ecg_ramba.evaluation.challenge import challenge_of
from ecg_ramba.evaluation.challenge_weights import Weights, read_weights
from ecg_ramba.evaluation.config import NO_SUPPORT, EvaluationConfig
from ecg_ramba.evaluation.factorial import Effect, Scored, effects
from ecg_ramba.evaluation.intervals import Draws
from ecg_ramba.evaluation.measure import Measured, TaskContext, macro, measure, short_draws
from ecg_ramba.evaluation.rows import COLUMNS, MACRO, Compared, challenge_row, empty_row, figure_rows, no_interval
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.evaluation.suite import Suite, Task, Variant, read_suite, untrained
from ecg_ramba.evaluation.support import class_support, headline
from ecg_ramba.evaluation.units import task_units


@dataclass(frozen=True)
class Evaluation:
    """Everything a report says.

    Parameters
    ----------
    summary : DataFrame
        Headline figures, one row a task, variant, macro (or class, where a task has fewer than three), estimate and
        metric; columns as in ``rows.COLUMNS``. A variant that failed has one row a task, with its reason. The
        challenge's score, where it was asked for, is a row of the class ``challenge``.
    per_class : DataFrame
        The same for every class.
    notes : list of str
        What a reader must know: classes not trained, folds left out, files refused.
    suite : Suite
        What was evaluated.
    contexts : dict
        Task name -> what is the same for all models: units, support, macro classes.
    burdens : list of Burden
        AF burden of the AF-positive records, where a data set has rhythm episodes.
    failures : dict
        Variant -> why it has no numbers.
    headlines : dict
        Task name -> variant -> its headline ROC-AUC with its draws, for tasks with one headline figure.
    factorial : dict
        Task name -> main effects and interactions, for tasks with one headline figure, where variants name factors.
    """

    summary: pd.DataFrame
    per_class: pd.DataFrame
    notes: list[str]
    suite: Suite
    config: EvaluationConfig
    contexts: dict[str, TaskContext] = field(repr=False)
    burdens: list[Burden] = field(repr=False)
    failures: dict[str, str]
    headlines: dict[str, dict[str, Scored]] = field(repr=False)
    factorial: dict[str, list[Effect]]


def evaluate(
    suite_dir: Path,
    config: EvaluationConfig = EvaluationConfig(),
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score every variant of a suite on every task.

    Parameters
    ----------
    suite_dir : Path
        Folder with suite.json, variants.json, tasks.json, labels.parquet and the variants' windows.parquet.
    config : EvaluationConfig
    progress : callable, optional
        Called with (variants done, variants in all).

    Returns
    -------
    Evaluation

    Raises
    ------
    UserError
        If the suite's own files are missing or contradict themselves, or the challenge's weights are not those that
        ``config`` names. What is wrong with one variant's predictions
        becomes that variant's failed row instead, and the others go on.
    """
    suite = read_suite(Path(suite_dir))
    table = None
    if config.challenge_weights:
        table = read_weights(Path(config.challenge_weights), config.challenge_sha256)
        config = replace(config, challenge_sha256=table.sha256)
    contexts = _contexts(suite, config, table)
    failures = {v.name: v.failure for v in suite.variants if v.failure}
    reference: dict[str, dict[str, Measured]] | None = None
    rows: dict[str, tuple[list, list]] = {}
    headlines: dict[str, dict[str, Scored]] = {}
    reader = ScoreReader(suite, {name: c.units for name, c in contexts.items()})
    order = sorted((v for v in suite.variants if not v.failure), key=lambda v: (not v.reference, v.windows))
    for done, variant in enumerate(order, 1):
        try:
            measured = _measure_variant(variant, contexts, config, reader)
        except UserError as error:
            failures[variant.name] = str(error)
        else:
            reference = measured if variant.reference else reference
            rows[variant.name] = _variant_rows(suite, variant, contexts, measured, reference, config)
            _add_headlines(headlines, variant, contexts, measured, config)
        if progress:
            progress(done, len(order))
    for variant in suite.variants:
        if variant.name in failures:
            reason = failures[variant.name]
            made = [empty_row(suite, variant, c, _lead(c), config, reason, "failed") for c in contexts.values()]
            rows[variant.name] = (made, [])
    summary, per_class = (
        pd.DataFrame(
            _by_task([row for v in suite.variants for row in rows[v.name][part]], suite), columns=list(COLUMNS)
        )
        for part in (0, 1)
    )
    notes = _notes(suite, contexts, reference is not None)
    burdens, factorial = af_burdens(suite), _factorial(suite, headlines, config)
    return Evaluation(summary, per_class, notes, suite, config, contexts, burdens, failures, headlines, factorial)


def _factorial(suite: Suite, headlines: dict[str, dict[str, Scored]], config) -> dict[str, list[Effect]]:
    """Effects on every task that scored two variants with factors or more."""
    factors = {v.name: v.factors for v in suite.variants if v.factors}
    designs = {t: {factors[n]: s for n, s in of.items() if n in factors} for t, of in headlines.items()}
    return {task: effects(cells, config.level) for task, cells in designs.items() if len(cells) > 1}


def _add_headlines(headlines, variant: Variant, contexts: dict[str, TaskContext], measured, config) -> None:
    """Keep a variant's headline on every task that has one figure for a headline."""
    for name, context in contexts.items():
        head = context.head
        if head.support == NO_SUPPORT or not (head.macro or len(head.classes) == 1):
            continue
        figure = macro(measured[name], head.classes)
        key = (context.estimate, "roc_auc")
        draws = None if no_interval(context, head.classes, config) else figure.draws.get(key)
        headlines.setdefault(name, {})[variant.name] = Scored(figure.value[key], draws)


def _lead(context: TaskContext) -> str:
    """What the task's headline is called: the macro average, or its one class."""
    return MACRO if context.head.macro or not context.head.classes else context.head.classes[0]


def _by_task(rows: list[dict], suite: Suite) -> list[dict]:
    """Rows in the order of the tasks, the variants' order kept within each."""
    place = {t.name: i for i, t in enumerate(suite.tasks)}
    return sorted(rows, key=lambda r: place[r["task"]])


def _contexts(suite: Suite, config: EvaluationConfig, table: Weights | None) -> dict[str, TaskContext]:
    """What is the same for all models, task by task; the source first, since gaps need its support."""
    masked = untrained(suite)
    units = {t.name: task_units(suite, t) for t in suite.tasks}
    source = next((t for t in suite.tasks if t.source), None)
    if sum(t.source for t in suite.tasks) > 1:
        raise UserError(f"{suite.path / 'tasks.json'}: more than one source task; run the suite again")
    out = {}
    for task in suite.tasks:
        u = units[task.name]
        support = class_support(task, u, suite.folds, masked)
        head = headline(task, support, config)
        draws = Draws.of((task.name, task.dataset), u.strata, suite.n_seeds, config.draws, config.seed)
        shared = frozenset(s.name for s in task.scores if source and not task.source and s in source.scores)
        short = {s.name: short_draws(u, k, s, draws, task.source) for k, s in enumerate(support)}
        # The source's draws also enter the gaps of targets, whose exploratory macros may hold smaller classes.
        least = config.explore_subjects if task.source else config.interval_subjects
        wanted = {s.name for s in support if s.meets(1, least)} | set(head.classes)
        challenge = challenge_of(table, task, u, support, draws, config) if table else (None, "")
        out[task.name] = TaskContext(
            task,
            u,
            {s.name: s for s in support},
            head,
            draws,
            frozenset(wanted),
            shared,
            short,
            config.level,
            *challenge,
        )
    return out


def _measure_variant(variant: Variant, contexts, config, reader: ScoreReader) -> dict[str, dict[str, Measured]]:
    """All tasks of one variant."""
    return {c.task.name: measure(c, reader.scores(variant, c.task), config) for c in contexts.values()}


def _variant_rows(suite, variant, contexts, measured, reference, config) -> tuple[list[dict], list[dict]]:
    """Headline rows and class rows of one variant."""
    source = next((c for c in contexts.values() if c.task.source), None)
    at_source = measured[source.task.name] if source else None
    summary, per_class = [], []
    for name, context in contexts.items():
        compared = Compared(
            own=measured[name],
            reference=reference[name] if reference else None,
            own_source=at_source,
            reference_source=reference[source.task.name] if reference and source else None,
        )
        head = context.head
        if head.macro and head.support != NO_SUPPORT:
            summary += figure_rows(suite, variant, context, source, compared, head.classes, config, True, head.support)
        elif head.macro or not head.classes:
            summary.append(empty_row(suite, variant, context, MACRO, config, head.reason))
        summary += [challenge_row(suite, variant, context, compared, config)] if context.challenge else []
        for cls, support in context.support.items():
            level = support.level(config)
            made = figure_rows(suite, variant, context, source, compared, (cls,), config, False, level)
            if not made:
                made = [empty_row(suite, variant, context, cls, config, "no labelled unit, or no model trained on it")]
            per_class += made
            if not head.macro and cls in head.classes:
                summary += made
    return summary, per_class


def _notes(suite: Suite, contexts: dict[str, TaskContext], has_reference: bool) -> list[str]:
    """What a reader must know, in plain sentences."""
    notes = []
    if suite.reference is None:
        notes.append("No variant of this run is the reference, so no differences are given.")
    elif not has_reference:
        notes.append("The reference has no numbers in this run, so no differences are given.")
    scored = {c.task.dataset for c in contexts.values()}
    for name in suite.info["targets"]:
        if name not in scored:
            notes.append(f"{name} is not scored: no class is both annotated there and trained on the source.")
    folds_of: dict[str, list[int]] = {}
    for fold, cls in sorted(untrained(suite)):
        folds_of.setdefault(cls, []).append(fold)
    together: dict[tuple[int, ...], list[str]] = {}
    for cls, folds in sorted(folds_of.items()):
        together.setdefault(tuple(folds), []).append(cls)
    for folds, classes in sorted(together.items(), key=lambda item: -len(item[0])):
        where = "any fold" if len(folds) == suite.n_folds else f"fold {', '.join(map(str, folds))}"
        why = "too few positive subjects there, or not annotated by the source"
        notes.append(f"Not trained in {where} ({why}): {', '.join(classes)}.")
    for context in contexts.values():
        task: Task = context.task
        for cls, s in context.support.items():
            if task.source and s.left_out:
                folds = "fold" if s.left_out == 1 else "folds"
                notes.append(
                    f"{task.name}: {cls} is scored on {s.folds} folds; {s.left_out} {folds} without both outcomes."
                )
            elif not task.source and 0 < s.folds < suite.n_folds:
                notes.append(f"{task.name}: {cls} is predicted by {s.folds} of {suite.n_folds} fold models.")
        notes += [f"{task.name}: {note}." for note in (*task.notes, context.challenge_note) if note]
    return notes + [f"{v.title}: {v.note}." for v in suite.variants if v.overlap]
