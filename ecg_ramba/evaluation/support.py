"""How much a task has to say about each class, and which classes its macro average is taken over."""

from dataclasses import dataclass

import numpy as np

from ecg_ramba.evaluation.config import BELOW_SUPPORT, NO_SUPPORT, PROTOCOL_SUPPORT, EvaluationConfig
from ecg_ramba.evaluation.suite import Task
from ecg_ramba.evaluation.units import Units


@dataclass(frozen=True)
class ClassSupport:
    """Counts of one class over the units that are scored for it.

    ``scored`` (n_units,) bool: known, and predicted by a model trained on the class. ``folds``: fold models that take
    part; at the source those whose held-out part holds both outcomes. ``left_out``: trained source folds without both.
    """

    name: str
    scored: np.ndarray
    units: int
    subjects: int
    positives: int
    positive_subjects: int
    negative_subjects: int
    paced: int
    folds: int
    left_out: int

    @property
    def prevalence(self) -> float:
        """Share of positives."""
        return self.positives / self.units if self.units else float("nan")

    def meets(self, positives: int, subjects: int) -> bool:
        """Whether there are so many positives of so many subjects, and as many negative subjects."""
        enough = self.positives >= positives and self.positive_subjects >= subjects
        return enough and self.negative_subjects >= subjects and self.folds > 0

    def level(self, config: EvaluationConfig) -> str:
        """Support of the class's own row."""
        if self.meets(config.min_positives, config.min_subjects):
            return PROTOCOL_SUPPORT
        return BELOW_SUPPORT if self.positives and self.negative_subjects and self.folds else NO_SUPPORT


@dataclass(frozen=True)
class Headline:
    """What a task leads with: ``macro`` over ``classes``, or, with fewer than three classes, each class by itself."""

    classes: tuple[str, ...]
    support: str
    macro: bool
    reason: str = ""


def class_support(
    task: Task, units: Units, folds: tuple[int, ...], untrained: set[tuple[int, str]]
) -> list[ClassSupport]:
    """Counts of every class of a task, in the order of its scores."""
    out = []
    for k, score in enumerate(task.scores):
        trained = [f for f in folds if any((f, c) not in untrained for c in score.of)]
        scored = units.known[:, k].copy()
        positive = units.positive[:, k]
        left_out = 0
        if task.source:
            scored &= np.isin(units.fold, trained)
            usable = [f for f in trained if len(np.unique(positive[scored & (units.fold == f)])) == 2]
            left_out, trained = len(trained) - len(usable), usable
        elif not trained:
            scored[:] = False
        yes, no = scored & positive, scored & ~positive
        counts = [len(np.unique(units.subject[m])) for m in (scored, yes, no)]
        out.append(
            ClassSupport(
                name=score.name,
                scored=scored,
                units=int(scored.sum()),
                subjects=counts[0],
                positives=int(yes.sum()),
                positive_subjects=counts[1],
                negative_subjects=counts[2],
                paced=int((scored & units.paced).sum()),
                folds=len(trained),
                left_out=left_out,
            )
        )
    return out


def headline(task: Task, support: list[ClassSupport], config: EvaluationConfig) -> Headline:
    """Choose the classes a task's headline is taken over; the same for all models, from labels alone."""
    by_name = {s.name: s for s in support}
    candidates = [by_name[c] for c in task.macro]
    if len(candidates) < config.macro_classes:
        ok = candidates and all(c.meets(config.min_positives, config.min_subjects) for c in candidates)
        any_figure = any(c.level(config) != NO_SUPPORT for c in candidates)
        level = PROTOCOL_SUPPORT if ok else (BELOW_SUPPORT if any_figure else NO_SUPPORT)
        return Headline(task.macro, level, False, "" if any_figure else "no class has both positives and negatives")
    rules = (
        (PROTOCOL_SUPPORT, config.min_positives, config.min_subjects),
        (BELOW_SUPPORT, config.explore_positives, config.explore_subjects),
    )
    for level, positives, subjects in rules:
        names = tuple(c.name for c in candidates if c.meets(positives, subjects))
        if len(names) >= config.macro_classes:
            return Headline(names, level, True)
    n, least = len(names), f"{config.explore_positives} positives of {config.explore_subjects} subjects"
    return Headline(
        names,
        NO_SUPPORT,
        True,
        f"no macro figure: {n} class{'es' * (n != 1)} with {least}, {config.macro_classes} needed",
    )
