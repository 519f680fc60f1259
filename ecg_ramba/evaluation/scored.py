"""Unit scores of any variant on any task, read from the stored windows when they are asked for."""

from collections.abc import Mapping

from ecg_ramba.evaluation.predictions import Predictions, read_predictions
from ecg_ramba.evaluation.scores import UnitScores, unit_scores
from ecg_ramba.evaluation.suite import Suite, Task, Variant, untrained
from ecg_ramba.evaluation.units import Units


class ScoreReader:
    """Reads and pools a variant's windows; the last windows file stays in memory, since pooling variants share one.

    Parameters
    ----------
    suite : Suite
    units : mapping of str to Units
        Task name -> its units; ``{name: context.units …}`` of an evaluation.
    """

    def __init__(self, suite: Suite, units: Mapping[str, Units]):
        self.suite = suite
        self.units = units
        self._masked = untrained(suite)
        self._file = ""
        self._kept: dict[str, Predictions] = {}

    @classmethod
    def of(cls, evaluation) -> "ScoreReader":
        """For the suite and the units of an :class:`ecg_ramba.evaluation.evaluate.Evaluation`."""
        return cls(evaluation.suite, {name: c.units for name, c in evaluation.contexts.items()})

    def windows(self, variant: Variant, task: Task) -> Predictions:
        """Window probabilities of a variant on a task's data set.

        Raises
        ------
        UserError
            Naming the file, for doubled, missing or impossible rows; LeakageError if a source record was predicted by
            a model that had it in training.
        """
        if self._file != variant.windows:
            self._file, self._kept = variant.windows, {}
        key = f"{task.role}:{task.dataset}"
        if key not in self._kept:
            units = self.units[task.name]
            held_out = dict(zip(units.record, units.fold.tolist(), strict=True)) if task.source else None
            self._kept[key] = read_predictions(self.suite, variant.windows, task.dataset, held_out, self._masked)
        return self._kept[key]

    def scores(self, variant: Variant, task: Task) -> UnitScores:
        """A variant's score of every unit of a task, pooled as the variant says.

        Raises
        ------
        UserError
            As for :meth:`windows`, and if a unit has no window.
        """
        where = str(self.suite.path / variant.windows)
        return unit_scores(self.windows(variant, task), task, self.units[task.name], variant.pooling, where)
