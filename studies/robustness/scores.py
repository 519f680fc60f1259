"""What stresses do to scores: paired degradation of each model, and how it differs from the reference's.

Everything is computed by the evaluation's own functions on the units that have a stressed prediction: clean and
stressed scores are of the same recordings, the same fold ensemble and the same bootstrap draws of subjects. The clean
scores are those of the control, whose recordings were read, prepared and predicted again beside the stressed ones.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.measure import TaskContext, measure
from ecg_ramba.evaluation.predictions import Predictions
from ecg_ramba.evaluation.scores import unit_scores
from ecg_ramba.evaluation.suite import Variant
from ecg_ramba.harness.config import Variant as Asked
from studies.robustness.rows import Found, base_row, figures, label_free
from studies.robustness.stresses import CONTROL, Stress
from studies.robustness.study import Study
from studies.robustness.units import restricted, scored_units
from studies.robustness.windows import LEFT_OUT, Reader

COLUMNS = [
    *("data", "task", "dataset", "stress", "group", "family", "level", "variant", "title", "reference", "status"),
    *("cls", "support", "classes", "metric", "clean", "stressed", "diff", "lo", "hi", "excess", "excess_lo"),
    *("excess_hi", "verdict", "units", "subjects", "positives", "positive_subjects", "recordings", "refused"),
    *("seeds", "how_sure", "reason"),
]
"""``diff``: stressed minus clean; ``excess``: the variant's ``diff`` minus the reference's; ``refused``: recordings
that the stress does not apply to, or that cannot be prepared under it; they are left out for all variants."""
CONTROLS = ["data", "dataset", "variant", "predictions", "differ", "largest", "allowed", "status", "reason"]


@dataclass(frozen=True)
class Robustness:
    """The study's numbers: ``table`` as in :data:`COLUMNS`, ``control`` as in :data:`CONTROLS`."""

    table: pd.DataFrame
    control: pd.DataFrame
    study: Study
    evaluation: Evaluation


def assess(
    study: Study,
    evaluation: Evaluation,
    asked: Sequence[Asked],
    chosen: Sequence[Stress],
    failures: Mapping,
    report: Callable[[int, int], None],
) -> Robustness:
    """Score every variant under every stress on every task of the targets.

    Parameters
    ----------
    study, evaluation, asked, failures
        As for :class:`studies.robustness.windows.Reader`.
    chosen : sequence of Stress
        The control among them.
    report : callable
        Called with (stresses of data sets done, all of them).
    """
    reader = Reader(study, evaluation, asked, failures)
    data = {"data": "synthetic" if evaluation.suite.synthetic else "real"}
    rows, controls, done = [], [], 0
    for dataset in study.parts:
        controls += reader.check(dataset)
        scored = _Scored(reader, dataset)
        for stress in chosen:
            rows += scored.rows(stress)
            done += 1
            report(done, len(study.parts) * len(chosen))
    table = pd.DataFrame([data | row for row in rows], columns=COLUMNS)
    place = {name: i for i, name in enumerate(evaluation.contexts)}
    table = table.sort_values("task", key=lambda c: c.map(place), kind="stable", ignore_index=True)
    return Robustness(table, pd.DataFrame([data | row for row in controls], columns=CONTROLS), study, evaluation)


@dataclass
class _Scored:
    """Rows of one data set; what is the same for many stresses is kept."""

    reader: Reader
    dataset: str
    _contexts: dict = field(default_factory=dict)
    _control: dict = field(default_factory=dict)
    _clean: dict = field(default_factory=dict)

    def rows(self, stress: Stress) -> list[dict]:
        """All rows of a stress: every task of the data set, every variant."""
        reader, place = self.reader, (self.dataset, stress.name)
        evaluation = reader.evaluation
        variants = sorted(evaluation.suite.variants, key=lambda v: not v.reference)
        refused = reader.refused(place)
        lacking, windows = {}, {}
        for v in variants:
            status, why = reader.reason(place, v)
            if not status:  # without its control nothing can be compared
                status, why = reader.reason((self.dataset, CONTROL), v)
            lacking[v.name] = {"status": status, "reason": why}
            if not status:
                windows[v.name] = reader.windows(place, v)
                if v.name not in self._control:
                    self._control[v.name] = reader.windows((self.dataset, CONTROL), v)
        rows = []
        for name, full in evaluation.contexts.items():
            if full.task.dataset != self.dataset or full.task.source:
                continue
            context = self._context(name, stress, windows, [r["record"] for r in refused])
            reference = None
            for v in variants:
                base = base_row(evaluation, full, stress, v) | {"refused": len(refused)}
                if v.name not in windows:
                    rows.append(base | lacking[v.name])
                elif context is None:
                    rows.append(base | {"status": LEFT_OUT, "reason": _nothing(full)})
                else:
                    found = self._measured(context, windows[v.name], v, stress.name)
                    rows += figures(evaluation, context, base, found, None if v.reference else reference)
                    reference = found if v.reference else reference
        order = {v.name: i for i, v in enumerate(evaluation.suite.variants)}
        return sorted(rows, key=lambda r: order[r["variant"]])

    def _context(self, name: str, stress: Stress, windows, refused: list[str]) -> TaskContext | None:
        """The task on what all variants can be scored on; None if that is nothing."""
        full = self.reader.evaluation.contexts[name]
        recordings = self.reader.study.parts[self.dataset].recordings
        mask = ~np.isin(full.units.record.astype(str), refused)
        for found in list(windows.values())[:1]:  # all variants have the same windows, but for the refused
            mask &= scored_units(full, found, recordings, stress.moved)
        if not windows or not mask.any():
            return None
        key = (name, mask.tobytes())
        if key not in self._contexts:
            self._contexts[key] = restricted(self.reader.evaluation, full, mask)
        return self._contexts[key]

    def _measured(self, context: TaskContext, windows: Predictions, v: Variant, stress: str) -> Found:
        config = self.reader.evaluation.config
        key = (v.name, id(context))
        if key not in self._clean:
            scores = unit_scores(self._control[v.name], context.task, context.units, v.pooling, CONTROL)
            self._clean[key] = (scores.headline, measure(context, scores, config))
        scores = unit_scores(windows, context.task, context.units, v.pooling, stress)
        clean, measured = self._clean[key]
        return Found(measured, measure(context, scores, config), label_free(context, clean, scores.headline, config))


def _nothing(full: TaskContext) -> str:
    if full.task.unit == "record":
        return "no recording was predicted as a whole, and its label need not hold of a part"
    return "no segment of the task was predicted"
