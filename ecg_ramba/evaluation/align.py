"""One task of two runs on the units, labels and classes that both have, ready to be measured on the same draws."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.intervals import Draws
from ecg_ramba.evaluation.measure import TaskContext, short_draws
from ecg_ramba.evaluation.scores import UnitScores
from ecg_ramba.evaluation.suite import Task
from ecg_ramba.evaluation.support import ClassSupport, headline
from ecg_ramba.evaluation.units import Units
from ecg_ramba.keys import seed_for

Scored = tuple[Units, UnitScores]


@dataclass(frozen=True)
class Aligned:
    """A task as both sides scored it.

    Parameters
    ----------
    a, b : TaskContext
        The same units, classes, support and draws of subjects; each with its side's own folds and seeds.
    scores_a, scores_b : UnitScores
        On those units and classes.
    only_a, only_b : int
        Units that one side alone scored.
    same_folds : bool
        Whether the source's held-out folds are the same; True at targets.
    notes : tuple of str
        Classes that one side alone can score, and why folds matter.
    """

    a: TaskContext
    b: TaskContext
    scores_a: UnitScores
    scores_b: UnitScores
    only_a: int
    only_b: int
    same_folds: bool
    notes: tuple[str, ...]


def only(units: Units, keep: np.ndarray) -> Units:
    """Some units of a task, by a mask or by number, in their own order; subjects counted anew."""
    subject, subjects = pd.factorize(units.subjects[units.subject[keep]], sort=True)
    fields = {name: getattr(units, name)[keep] for name in ("record", "segment", "fold", "positive", "known", "paced")}
    return Units(subject=subject, subjects=np.asarray(subjects, object), **fields)


def _scores(scores: UnitScores, units: np.ndarray, classes: list[int]) -> UnitScores:
    folds = None if scores.folds is None else scores.folds[:, :, units][..., classes]
    return UnitScores(scores.headline[:, units][..., classes], folds)


def align(
    task_a: Task, task_b: Task, a: Scored, b: Scored, config: EvaluationConfig, paired: bool, source: Task | None
) -> Aligned | str:
    """Bring a task of two sides together; why it cannot be compared, where it cannot.

    Parameters
    ----------
    task_a, task_b : Task
        Of one name, data set, unit and role.
    a, b : (Units, UnitScores)
    config : EvaluationConfig
    paired : bool
        Whether the two trainings differ in nothing but the model: seeds are then drawn together.
    source : Task or None
        The source's task as compared, for transfer gaps.

    Raises
    ------
    UserError
        If the labels or subjects of a unit differ.
    """
    names = [s.name for s in task_a.scores]
    common = [s.name for s in task_b.scores if s.name in names]
    common = [n for n in names if n in common]
    if not common:
        return "the two runs score no class in common"
    columns = [[[s.name for s in t.scores].index(n) for n in common] for t in (task_a, task_b)]
    index = [pd.MultiIndex.from_arrays([u.record, u.segment]) for u, _ in (a, b)]
    found = index[1].get_indexer(index[0])
    rows = [np.flatnonzero(found >= 0), found[found >= 0]]
    lacking = [len(u) - len(r) for (u, _), r in zip((a, b), rows, strict=True)]
    if not len(rows[0]):
        return f"no {task_a.unit} in common: {len(a[0])} in A, {len(b[0])} in B"
    units_a, units_b = (only(u, r) for (u, _), r in zip((a, b), rows, strict=True))
    units_a, units_b = (
        replace(u, positive=u.positive[:, c], known=u.known[:, c])
        for u, c in zip((units_a, units_b), columns, strict=True)
    )
    _same_labels(task_a, common, units_a, units_b)
    scores_a, scores_b = (_scores(s, r, c) for (_, s), r, c in zip((a, b), rows, columns, strict=True))
    task = replace(
        task_a,
        scores=tuple(task_a.scores[i] for i in columns[0]),
        macro=tuple(c for c in task_a.macro if c in common and c in task_b.macro),
    )
    finite = [np.isfinite(s.headline).all(0) for s in (scores_a, scores_b)]
    same_folds = bool((units_a.fold == units_b.fold).all())
    sides = ((units_a, scores_a), (units_b, scores_b))
    support = [
        _support(task, k, units_a.known[:, k] & finite[0][:, k] & finite[1][:, k], sides) for k in range(len(common))
    ]
    notes = _class_notes(task_a, task_b, task, common, support, finite, units_a)
    if not same_folds:
        notes.append("the source was split into other folds: subjects are drawn from all of it, not fold by fold")
    made = _contexts(task, units_a, units_b, support, config, paired, same_folds, source, sides)
    return Aligned(*made, scores_a, scores_b, *lacking, same_folds, tuple(notes))


def _same_labels(task: Task, common: list[str], a: Units, b: Units) -> None:
    """Refuse labels or subjects that differ."""
    subject = a.subjects[a.subject] != b.subjects[b.subject]
    if subject.any():
        at = int(np.argmax(subject))
        raise UserError(
            f"task {task.name}: {_unit(a, at)} is of subject {a.subjects[a.subject[at]]} in A and of "
            f"{b.subjects[b.subject[at]]} in B; the two runs are of different releases of {task.dataset}"
        )
    other = (a.known != b.known) | (a.positive != b.positive)
    if other.any():
        at, k = np.argwhere(other)[0]
        said = [("positive" if u.positive[at, k] else "negative") if u.known[at, k] else "unknown" for u in (a, b)]
        raise UserError(
            f"task {task.name}: the labels differ in {int(other.sum())} places, the first: {_unit(a, at)} is {said[0]} "
            f"for {common[k]} in A and {said[1]} in B; evaluate both runs with the same labels"
        )


def _unit(units: Units, at: int) -> str:
    segment = int(units.segment[at])
    return f"record {units.record[at]}" + (f", segment {segment}," if segment >= 0 else "")


def _support(task: Task, k: int, scored: np.ndarray, sides: tuple[Scored, Scored]) -> ClassSupport:
    """What there is of a class that both sides scored; folds are those of the side that has fewer."""
    folds, left_out = [], []
    for units, scores in sides:
        positive = units.positive[:, k]
        if task.source:
            trained = np.unique(units.fold[scored])
            usable = [f for f in trained if len(np.unique(positive[scored & (units.fold == f)])) == 2]
            folds.append(len(usable))
            left_out.append(len(trained) - len(usable))
        else:
            models = np.isfinite(scores.folds[:, :, scored, k]).any((0, 2)) if scored.any() else np.zeros(0)
            folds.append(int(models.sum()))
            left_out.append(0)
    units, positive = sides[0][0], sides[0][0].positive[:, k]
    yes, no = scored & positive, scored & ~positive
    subjects = [len(np.unique(units.subject[m])) for m in (scored, yes, no)]
    counts = {"units": int(scored.sum()), "subjects": subjects[0], "positives": int(yes.sum())}
    counts |= {"positive_subjects": subjects[1], "negative_subjects": subjects[2]}
    counts |= {"paced": int((scored & units.paced).sum()), "folds": min(folds), "left_out": max(left_out)}
    return ClassSupport(name=task.scores[k].name, scored=scored, **counts)


def _class_notes(task_a: Task, task_b: Task, task: Task, common, support, finite, units: Units) -> list[str]:
    """Classes that one of the two does not score, or reads off other classes of its model."""
    notes = []
    for own, letter in ((task_a, "A"), (task_b, "B")):
        if others := [s.name for s in own.scores if s.name not in common]:
            notes.append(f"scored by {letter} alone: {', '.join(others)}")
    of_b = {s.name: s for s in task_b.scores}
    for k, score in enumerate(task.scores):
        other = of_b[score.name]
        if set(score.of) != set(other.of) or score.op != other.op:
            notes.append(f"{score.name} is read off {', '.join(score.of)} in A and off {', '.join(other.of)} in B")
        for letter, own in zip("AB", finite, strict=True):
            left = int((units.known[:, k] & ~own[:, k]).sum())
            if left:
                notes.append(f"{score.name}: {letter} has no score of {left} {task.unit}s (not trained on it there)")
        if not support[k].units:
            notes.append(f"{score.name} is not compared: no {task.unit} has a score on both sides")
    return notes


def _contexts(
    task, units_a, units_b, support, config, paired, same_folds, source, sides
) -> tuple[TaskContext, TaskContext]:
    """The contexts of both sides: one support, one headline, one set of draws."""
    strata = units_a.strata if same_folds else np.zeros(len(units_a.subjects), int)
    n_a, n_b = (len(scores.headline) for _, scores in sides)
    draws_a = Draws.of((task.name, task.dataset), strata, n_a, config.draws, config.seed)
    draws_b = draws_a
    if not (paired and n_a == n_b):
        draws_b = Draws(draws_a.counts, _shares(n_b, config))
    head = headline(task, support, config)
    short = {}
    for k, s in enumerate(support):
        pairs = ((units_a, draws_a), (units_b, draws_b))
        short[s.name] = np.any([short_draws(u, k, s, d, task.source) for u, d in pairs], axis=0)
    least = config.explore_subjects if task.source else config.interval_subjects
    wanted = frozenset({s.name for s in support if s.meets(1, least)} | set(head.classes))
    at_home = {s.name for s in source.scores} if source and not task.source else set()
    gaps = frozenset(s.name for s in task.scores if s.name in at_home)
    by_name = {s.name: s for s in support}
    made = [
        TaskContext(task, units, by_name, head, draws, wanted, gaps, short)
        for units, draws in ((units_a, draws_a), (units_b, draws_b))
    ]
    return made[0], made[1]


def _shares(seeds: int, config: EvaluationConfig) -> np.ndarray:
    """Shares of the seeds of a training that is not paired with the other one, as in :meth:`Draws.of`."""
    if seeds < 3:
        return np.full((seeds, config.draws), 1 / seeds)
    rng = np.random.Generator(np.random.PCG64(seed_for(config.seed, "bootstrap", "seeds", "B")))
    return rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=config.draws).T / seeds
