"""Stressed window probabilities of every variant of a suite, and the control: that reading again changes nothing."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.predictions import Predictions, read_predictions
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.evaluation.suite import Variant, untrained
from ecg_ramba.harness.config import Variant as Asked
from ecg_ramba.harness.precision import SAME
from studies.robustness.stresses import CONTROL
from studies.robustness.study import Place, Study, in_words, piece_facts

FAILED, LEFT_OUT = "failed", "left out"


class Reader:
    """Stressed window probabilities of every variant of a suite, or why there are none.

    Parameters
    ----------
    study : Study
    evaluation : Evaluation
    asked : sequence of Variant
        As the suite was asked for: which variants pool or average others.
    failures : dict
        Of :func:`studies.robustness.study.run_study`.
    """

    def __init__(self, study: Study, evaluation: Evaluation, asked: Sequence[Asked], failures: Mapping):
        self.study, self.evaluation, self.failures = study, evaluation, failures
        self._asked = {v.name: v for v in asked}
        self._masked = untrained(evaluation.suite)
        self._stored = ScoreReader.of(evaluation)
        self._control: dict[tuple[str, str], str] = {}

    def refused(self, place: Place) -> list[dict]:
        """Recordings that some variant could not be given under a stress, each once, with the cause."""
        found = [piece_facts(self.study, place, v) for v in self.study.models]
        return list({r["record"]: r for f in found if f for r in f["refused"]}.values())

    def reason(self, place: Place, variant: Variant) -> tuple[str, str]:
        """Why a variant has no predictions under a stress: failed or left out, and the reason; ("", "") if it has."""
        if why := variant.failure or self.evaluation.failures.get(variant.name, ""):
            return FAILED, why
        asked = self._asked[variant.name]
        if asked.predictions:
            return LEFT_OUT, "its predictions come from elsewhere, so it cannot be asked about other recordings"
        for name in made_of(asked):
            if why := self.failures.get(place, {}).get(name) or self._control.get((place[0], name)):
                return FAILED, why
            found = piece_facts(self.study, place, name) if name in self.study.models else None
            if found is None:
                return FAILED, f"{name} has no predictions here; run the study again"
            if not found["windows"]:
                return LEFT_OUT, in_words(found["refused"])
        return "", ""

    def windows(self, place: Place, variant: Variant) -> Predictions:
        """Window probabilities of a variant under a stress; of an ensemble the mean of its members'."""
        members = [self._piece(place, name) for name in made_of(self._asked[variant.name])]
        if len(members) == 1:
            return members[0]
        mean = np.mean([m.probability for m in members], axis=0, dtype=np.float64).astype(np.float32)
        return Predictions(**{**members[0].__dict__, "probability": mean})

    def _piece(self, place: Place, name: str) -> Predictions:
        path = self.study.piece(place, name) / "windows.parquet"
        return read_predictions(self.evaluation.suite, str(path.absolute()), place[0], None, self._masked)

    def check(self, dataset: str) -> list[dict]:
        """Compare the control with the suite's stored predictions, for each trained variant on a data set.

        A variant whose control differs by more than rounding has no numbers there from now on: what it says of a
        recording then depends on which others it comes with.

        Returns
        -------
        list of dict
            ``dataset``, ``variant``, ``predictions`` compared, how many ``differ``, the ``largest`` difference, what is
            ``allowed``, ``status`` and ``reason``.
        """
        rows, place = [], (dataset, CONTROL)
        contexts = self.evaluation.contexts.values()
        task = next(c.task for c in contexts if c.task.dataset == dataset and not c.task.source)
        allowed = SAME[self.evaluation.suite.info["precision"]]
        for variant in self.evaluation.suite.variants:
            if variant.name not in self.study.models or self.reason(place, variant)[0]:
                continue
            found, stored = self._piece(place, variant.name), self._stored.windows(variant, task)
            at = _index(stored).get_indexer(_index(found))
            if (at < 0).any():
                raise UserError(f"{dataset}: the control predicts windows that the suite lacks; run the suite again")
            a, b = found.probability, stored.probability[:, :, at]
            apart = np.abs(a - b)[~(np.isnan(a) & np.isnan(b))]
            largest = float(apart.max(initial=0))
            row = {"dataset": dataset, "variant": variant.name, "predictions": apart.size, "allowed": allowed}
            row |= {"differ": int((apart != 0).sum()), "largest": largest, "status": "ok", "reason": ""}
            if not largest <= allowed:
                why = (
                    f"the control changes its predictions by up to {largest:.2g}, and rounding by {allowed:g} at most: "
                    "what it says of a recording depends on the others beside it"
                )
                self._control[dataset, variant.name] = why
                row |= {"status": FAILED, "reason": why}
            rows.append(row)
        return rows


def made_of(asked: Asked) -> tuple[str, ...]:
    """The trained variants whose predictions a variant is made of."""
    return asked.mean_of or ((asked.windows_of,) if asked.windows_of else (asked.name,))


def _index(p: Predictions) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([p.record.astype(str), p.segment, p.start])
