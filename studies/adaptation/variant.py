"""One variant on one target under every condition: its scores by maps and by adapted heads, and what was fitted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.predictions import Predictions
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.evaluation.suite import Variant
from ecg_ramba.harness.cells import Context
from ecg_ramba.harness.inputs import WindowTable, window_table
from studies.adaptation import adapt
from studies.adaptation.adapt import Ensemble, adaptable, adapted_probability, fit_head, unit_scores_of, window_rows
from studies.adaptation.calibrate import calibrated
from studies.adaptation.heads import HeadJob, head_folder, stored_head

if TYPE_CHECKING:
    from studies.adaptation.study import TargetStudy


@dataclass(frozen=True)
class Adapted:
    """One variant on one target: scores of the test units of each task, (conditions, n_seeds, n_units, K).

    ``head``: none with ``reason``. ``change``, ``fitted``: of the heads, (n_seeds, n_folds, conditions, C, D + 1) and
    (n_seeds, n_folds, conditions, C); ``maps``, ``notes``: what was fitted on how much, or why not.
    """

    calibration: list[np.ndarray]
    head: list[np.ndarray]
    change: np.ndarray
    fitted: np.ndarray
    maps: list[dict]
    notes: list[dict]
    reason: str

    def arrays(self) -> dict[str, np.ndarray]:
        """As a piece holds them."""
        out = {f"calibration{i}": scores for i, scores in enumerate(self.calibration)}
        out |= {f"head{i}": scores for i, scores in enumerate(self.head)}
        facts = {"maps": self.maps, "notes": self.notes, "reason": self.reason}
        return out | {"change": self.change, "fitted": self.fitted, "facts": np.array(json.dumps(facts))}

    @classmethod
    def of_arrays(cls, found: dict[str, np.ndarray], tasks: int) -> Adapted:
        """Inverse of :meth:`arrays`."""
        facts = json.loads(str(found["facts"]))
        return cls(
            calibration=[found[f"calibration{i}"] for i in range(tasks)],
            head=[found[f"head{i}"] for i in range(tasks) if f"head{i}" in found],
            change=found["change"],
            fitted=found["fitted"],
            maps=facts["maps"],
            notes=facts["notes"],
            reason=facts["reason"],
        )


def adapt_variant(
    context: Context,
    evaluation: Evaluation,
    reader: ScoreReader,
    variant: Variant,
    study: TargetStudy,
    jobs: Sequence[HeadJob],
    why: str = "",
) -> Adapted:
    """Both ways of adapting one variant to one target.

    Parameters
    ----------
    context : Context
        Of the suite.
    evaluation, reader : Evaluation, ScoreReader
    variant : Variant
    study : TargetStudy
    jobs : sequence of HeadJob
        Of its networks on this target, whose pieces are there; none where it has no head, and ``why``.
    """
    mapped, maps = [], []
    for whole in study.whole.values():
        scores = reader.scores(variant, whole.task).headline
        made, rows = calibrated(whole, scores, study.split, study.conditions)
        mapped.append(made)
        maps += rows
    if not jobs:
        shape = (0, 0, len(study.conditions), 0)
        return Adapted(mapped, [], np.zeros((*shape, 0)), np.zeros(shape, bool), maps, [], why)
    heads, change, fitted, notes = _heads(context, evaluation, reader, variant, study, jobs)
    return Adapted(mapped, heads, change, fitted, maps, notes, "")


def _heads(context, evaluation, reader, variant: Variant, study: TargetStudy, jobs: Sequence[HeadJob]):
    """Scores by adapted heads, the changes, which were fitted, and what on."""
    where = str(evaluation.suite.path / variant.windows)
    view = context.of(jobs[0].cell)
    data = view.targets[jobs[0].place]
    table = _own_table(context, jobs[0])
    labels = adapt.window_labels(data, table, view.truth.space, study.split)
    stored = _test_windows(reader, variant, study)
    space = context.truth.space
    members = [[c for c, name in enumerate(labels.classes) if k in space.merge({name})] for k in stored.classes]
    rows_of = window_rows(stored, data, table)
    asked, notes = adaptable(labels, study.split, study.conditions, sorted({c for of in members for c in of}))
    seeds = sorted({job.cell.seed for job in jobs})
    scores, change, fitted = [], [], []
    for at, seed in enumerate(seeds):
        ensemble = Ensemble.of(len(asked), len(stored.record), len(stored.classes))
        for job in (j for j in jobs if j.cell.seed == seed):
            head = stored_head(head_folder(context, job))
            fits = fit_head(head, labels, asked)
            own = stored.probability[at, stored.folds.index(job.cell.fold)]
            for a, probability in enumerate(adapted_probability(head, fits, rows_of, members, own, where)):
                ensemble.add(a, probability)
            change.append(fits.change)
            fitted.append(fits.fitted)
        scores.append(unit_scores_of(ensemble, stored, list(study.test.values()), variant.pooling, where))
    by_task = [np.stack(of, axis=1) for of in zip(*scores, strict=True)]
    changes, marks = (np.stack(of).reshape(len(seeds), -1, *of[0].shape) for of in (change, fitted))
    return by_task, changes, marks, notes


def _own_table(context: Context, job: HeadJob) -> WindowTable:
    """The target's windows of the length that the model reads."""
    view = context.of(job.cell)
    table, samples = view.target_tables[job.place], view.suite.inputs.samples
    return table if samples == table.samples else window_table(view.targets[job.place], samples)


def _test_windows(reader: ScoreReader, variant: Variant, study: TargetStudy) -> Predictions:
    """A variant's stored windows of the test recordings, of the classes that the tasks read."""
    found = reader.windows(variant, next(iter(study.whole.values())).task)
    read = {c for context in study.whole.values() for s in context.task.scores for c in s.of}
    classes = tuple(c for c in found.classes if c in read)
    rows = np.flatnonzero(np.isin(found.record.astype(str), study.split.record[study.split.test]))
    columns = [found.classes.index(c) for c in classes]
    return Predictions(
        classes=classes,
        record=found.record[rows],
        segment=found.segment[rows],
        start=found.start[rows],
        fold=None,
        folds=found.folds,
        probability=found.probability[:, :, rows][..., columns],
    )
