"""Whether a recording is like what the models were trained on, as far as the models themselves can tell.

Each fold's model carries how its inputs were scaled on its training part: MiniRocket's components have mean 0 and
variance 1 there, and so have the rhythm figures. A recording whose figures lie far out is outside of what was seen.
The signal stream is scaled to each recording, so it can tell nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecg_ramba.data.leads import LEADS, PRECORDIAL
from ecg_ramba.data.record import Record
from ecg_ramba.features.rhythm import RHYTHM_NAMES
from ecg_ramba.harness.checkpoint import FoldModel
from ecg_ramba.harness.inputs import WindowSource

COMPONENTS_LIMIT = 4.0
"""Root mean square of a window's components, in training standard deviations; 1 is expected over the training part."""

FIGURE_LIMIT = 4.0
"""Standard deviations from the training mean beyond which a rhythm figure is outside."""

_JUDGED = ("mean_hr", "rmssd", "sdnn", "beats")


class TrainingRange:
    """Collects how far out the inputs of windows are, fold by fold, and says it in words."""

    def __init__(self, models: Sequence[FoldModel]):
        self._models = models
        self._components: list[np.ndarray] = []
        self._figures: list[np.ndarray] = []

    def add(self, fold: int, source: WindowSource) -> None:
        """The windows of a fold's model."""
        if source.morphology is not None:
            columns = np.asarray(source.morphology, np.float64)
            if source.morphology_row is None:
                columns = columns[source.rows]
            self._components.append(np.sqrt((columns**2).mean(1)))
        if source.rhythm is not None and source.rhythm.shape[1] == len(RHYTHM_NAMES):
            columns = [RHYTHM_NAMES.index(n) for n in _JUDGED]
            at = np.unique(source.table.at[source.rows])
            values = np.where(source.rhythm_valid, source.rhythm, np.nan)[at][:, columns]
            self._figures.append(np.abs(values))

    def warnings(self, record: Record) -> list[dict]:
        """Warnings of kind ``unlike_training``."""
        said = []
        if self._components and (rms := float(np.median(np.concatenate(self._components)))) > COMPONENTS_LIMIT:
            said.append(
                f"Unlike the training data: MiniRocket's components are {rms:.1f} times as far from their mean "
                f"as those of the training windows (median over windows and folds; limit {COMPONENTS_LIMIT:g})."
            )
        if self._figures:
            values = np.concatenate(self._figures)
            for i, name in enumerate(_JUDGED):
                known = values[:, i][np.isfinite(values[:, i])]
                if len(known) and (far := float(np.median(known))) > FIGURE_LIMIT:
                    said.append(
                        f"Unlike the training data: {_TITLES[name]} is {far:.1f} standard deviations from its training "
                        f"mean (limit {FIGURE_LIMIT:g})."
                    )
        limb = set(record.leads) & set(LEADS[: PRECORDIAL.start])
        if not limb:
            said.append("Unlike the training data: no limb lead; in training V1 to V6 were left out, limb leads never.")
        if record.units != "mV":
            said.append("Amplitudes are standardised, not in millivolts: limb leads cannot be derived.")
        return [{"kind": "unlike_training", "text": text, "severity": "warning"} for text in said]


_TITLES = {"mean_hr": "the heart rate", "rmssd": "RMSSD", "sdnn": "SDNN", "beats": "the number of beats in 10 s"}


def training_warnings(models: Sequence[FoldModel], record: Record, segments: int = 3) -> list[dict]:
    """The same for a recording that is not predicted: from its first segments."""
    import dataclasses

    from ecg_ramba.data.store import prepared_from_record
    from ecg_ramba.harness.inputs import window_table
    from ecg_ramba.harness.probabilities import model_source

    samples = int(np.ceil(segments * 10 * record.rate))
    part = dataclasses.replace(record, signal=record.signal[:, :samples])
    data = prepared_from_record(part, models[0].signal)
    table, range_ = window_table(data), TrainingRange(models)
    for fold, model in enumerate(models):
        source, _ = model_source(model, data, table, np.arange(len(table)), None)
        range_.add(fold, source)
    return range_.warnings(record)
