"""What the evaluation may be asked to do differently, and the words it uses for what it did."""

import dataclasses
from dataclasses import dataclass

from ecg_ramba.errors import UserError

FOLD_MEAN = "mean over folds"
"""Source headline: the metric on each held-out fold, then the mean."""
POOLED_OOF = "pooled out-of-fold"
"""All held-out predictions of the source in one ranking; fold models are not on one scale, so never the headline."""
ENSEMBLE = "ensemble of fold models"
"""Target headline: window probabilities averaged over the fold models, then pooled once."""
FOLD_MODELS = "mean over fold models"
"""The metric of each fold model alone on the target, then the mean: what a transfer gap compares with the source."""
SUBJECT_WEIGHTED = "subject-weighted"
"""As the ensemble, every subject with the same total weight however many segments it has."""

PROTOCOL_SUPPORT = "protocol"
BELOW_SUPPORT = "below protocol support"
NO_SUPPORT = "no figure"

RANKING_METRICS = ("roc_auc", "average_precision")
"""Metrics that carry intervals and paired differences."""
METRICS = (*RANKING_METRICS, "f1", "sensitivity", "specificity", "brier", "ece")
CHALLENGE = "challenge"
"""In place of a class: rows of the challenge's score, which is taken over a task's classes together."""
CHALLENGE_SCORE = "challenge_score"


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """Settings of the evaluation; the defaults are the protocol.

    Parameters
    ----------
    draws : int
        Bootstrap draws of subjects, shared by all models of a task.
    level : float
        Coverage of the intervals.
    permutations : int
        Exchanges of the permutation tests, where subjects have more patterns than that.
    min_positives, min_subjects : int
        A class enters a macro average with this many positives of this many positive subjects, and as many negative
        subjects.
    explore_positives, explore_subjects : int
        The same for the exploratory macro average given where the protocol's has too few classes.
    macro_classes : int
        Fewest classes of a macro average.
    interval_subjects : int
        Fewest positive, and fewest negative, subjects for an interval.
    margin : float
        Two scores this near to each other are equivalent.
    max_missing : float
        Largest share of draws that may lack the class before the interval is withheld.
    threshold : float
        Decision threshold.
    bins : int
        Equal-width bins of the expected calibration error.
    claim_subjects : int
        Below this many subjects in the source, a report calls itself too small to claim anything.
    seed : int
        Base of the bootstrap's seeds.
    challenge_weights : str
        Path of the PhysioNet/CinC Challenge 2021's ``weights.csv``, for the challenge's score; "" leaves it out.
    challenge_sha256 : str
        What that file must be; "" takes it as it is.
    """

    draws: int = 2000
    level: float = 0.95
    permutations: int = 10_000
    min_positives: int = 30
    min_subjects: int = 10
    explore_positives: int = 5
    explore_subjects: int = 5
    macro_classes: int = 3
    interval_subjects: int = 10
    margin: float = 0.02
    max_missing: float = 0.05
    threshold: float = 0.5
    bins: int = 15
    claim_subjects: int = 1000
    seed: int = 0
    challenge_weights: str = ""
    challenge_sha256: str = ""

    def __post_init__(self):
        for f in dataclasses.fields(self):
            value, kind = getattr(self, f.name), type(f.default)
            if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
                raise UserError(f"the evaluation's {f.name} is a {kind.__name__}, not {value!r}")
            least = 0 if f.name in ("seed", "max_missing", "threshold", "claim_subjects") else 1e-9
            if kind is not str and value < least:
                raise UserError(f"the evaluation's {f.name} cannot be {value!r}")
        if self.level >= 1 or self.max_missing > 1 or self.threshold > 1:
            raise UserError("the evaluation's level, max_missing and threshold lie between 0 and 1")

    @property
    def departures(self) -> str:
        """Settings that are not the protocol's, in words; "" where there are none. A further score is no departure."""
        numbers = [f for f in dataclasses.fields(self) if not isinstance(f.default, str)]
        changed = [f for f in numbers if getattr(self, f.name) != f.default]
        return ", ".join(f"{f.name} = {getattr(self, f.name)}" for f in changed)
