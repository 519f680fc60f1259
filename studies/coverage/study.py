"""How often a 95 % interval of the evaluation holds the true ROC-AUC, or the true paired difference, by simulation.

Subjects have unequal numbers of records and a random effect each, so records of one subject resemble each other. Scores
of a model are normal and the outcome is the subject's, so two records of different outcome are of different subjects:
the true ROC-AUC is known exactly, and the observed one is unbiased at any number of subjects. The intervals are those
of the evaluation, by its own draws and metrics, spread as it spreads them; beside them stand the plain percentiles of
the same draws, and those of a bootstrap that draws records and knows of no subjects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.intervals import Draws, interval, widened, widening, withheld
from ecg_ramba.evaluation.metrics import Ranking
from ecg_ramba.harness.executors.jobs import Executor
from ecg_ramba.harness.progress import Progress
from ecg_ramba.keys import digest, plain, seed_for
from studies.pieces import piece_folder, read_piece, run_pieces, write_piece

VERSION = 2
"""Raised when simulations of the same design would come out otherwise."""
CHUNK = 50
"""Simulations of one piece: what is done again at most after a stop."""
ENOUGH, LOW, HIGH = 100, 0.93, 0.97
"""What was expected before anything was simulated: from so many subjects on, coverage between these."""
BY_SUBJECT, BY_PLAIN, BY_RECORD = "subjects", "subjects, plain percentiles", "records"
BOOTSTRAPS = (BY_SUBJECT, BY_PLAIN, BY_RECORD)
SCORE, DIFFERENCE = "ROC-AUC", "paired difference"
COLUMNS = ("value", "difference", "positive_subjects", "negative_subjects", "missing")
ENDS = ("low", "high")
BOUNDS = tuple(f"{by}: {of}, {end}" for by in BOOTSTRAPS for of in (SCORE, DIFFERENCE) for end in ENDS)


@dataclass(frozen=True, kw_only=True)
class Design:
    """What is simulated; chosen before anything was.

    Parameters
    ----------
    auc, other : float
        True ROC-AUC of the model whose interval is looked at, and of the one that it is compared with.
    prevalence : float
        Share of positive subjects; each is so by chance.
    records : float
        Mean number of records of a subject, geometric from one up: most have few, some very many.
    correlation : float
        Share of a score's variance that all records of a subject have in common.
    between : float
        Correlation of the two models' scores of one record, in the subject's part and in the rest.
    folds : int
        As the source is scored: the mean of so many folds' figures, subjects drawn within folds. 1: as a target is.
    draws : int
        Bootstrap draws.
    level : float
        What the intervals promise.
    seed : int
    """

    auc: float = 0.85
    other: float = 0.80
    prevalence: float = 0.4
    records: float = 5.0
    correlation: float = 0.5
    between: float = 0.7
    folds: int = 1
    draws: int = EvaluationConfig().draws
    level: float = EvaluationConfig().level
    seed: int = 0

    @property
    def truth(self) -> dict[str, float]:
        """The quantities that the intervals are of."""
        return {SCORE: self.auc, DIFFERENCE: self.auc - self.other}


@dataclass(frozen=True)
class Sample:
    """One simulated data set: ``positive`` (n,), ``subject`` (n,), ``scores`` (2, n) of the two models."""

    positive: np.ndarray
    subject: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Piece:
    """Simulations ``first`` to ``first + count - 1`` with so many subjects."""

    subjects: int
    first: int
    count: int


def draw_sample(design: Design, subjects: int, number: int) -> Sample:
    """The data set of simulation ``number``; the same whatever else is simulated.

    With a total variance of one, a shift of sqrt(2) z(AUC) between the outcomes makes the ROC-AUC what is asked for.
    """
    rng = np.random.Generator(np.random.PCG64(seed_for(design.seed, "coverage", subjects, number)))
    ill = rng.random(subjects) < design.prevalence
    subject = np.repeat(np.arange(subjects), rng.geometric(1 / design.records, subjects))
    mix = np.linalg.cholesky(np.array([[1.0, design.between], [design.between, 1.0]]))
    own = mix @ rng.standard_normal((2, subjects))
    rest = mix @ rng.standard_normal((2, len(subject)))
    noise = np.sqrt(design.correlation) * own[:, subject] + np.sqrt(1 - design.correlation) * rest
    shift = np.sqrt(2) * norm.ppf([design.auc, design.other])
    return Sample(ill[subject], subject, shift[:, None] * ill[subject] + noise)


def simulate(design: Design, subjects: int, number: int) -> dict[str, float]:
    """One simulation: points and bounds by :data:`COLUMNS` and :data:`BOUNDS`; NaN where a fold has one outcome."""
    sample = draw_sample(design, subjects, number)
    units = len(sample.subject)
    yes, no = (np.unique(sample.subject[m]) for m in (sample.positive, ~sample.positive))
    row = dict.fromkeys((*COLUMNS, *BOUNDS), np.nan)
    row |= {"positive_subjects": len(yes), "negative_subjects": len(no), "missing": 1.0}
    fold = np.arange(subjects) % design.folds
    if any(len(np.unique(sample.positive[fold[sample.subject] == f])) < 2 for f in range(design.folds)):
        return row
    drawn_by = ((BY_SUBJECT, sample.subject, fold), (BY_RECORD, np.arange(units), fold[sample.subject]))
    for by, cluster, strata in drawn_by:
        axes, clusters = ("coverage", by, str(subjects), str(number)), len(strata)
        draws = Draws.of(axes, strata, 1, design.draws, design.seed)
        parts = [fold[sample.subject] == f for f in range(design.folds)]
        rankings = [[Ranking(sample.positive[p], s[p], cluster[p], clusters) for p in parts] for s in sample.scores]
        points = [np.mean([r(precision=False)[0][0] for r in of]) for of in rankings]
        drawn = [np.mean([draws.apply(lambda w, r=r: r(w, precision=False))[0] for r in of], 0) for of in rankings]
        if by == BY_SUBJECT:
            row |= _bounds(BY_PLAIN, drawn, design)
            spread = widening(min(len(yes), len(no)), design.level)
            drawn = [widened(d, point, spread) for d, point in zip(drawn, points, strict=True)]
        row |= _bounds(by, drawn, design)
        row |= {"value": points[0], "difference": points[0] - points[1]}
        if by == BY_SUBJECT:
            row["missing"] = np.isnan(drawn[0]).mean()
    return row


def _bounds(by: str, drawn: Sequence[np.ndarray], design: Design) -> dict[str, float]:
    ends = {SCORE: interval(drawn[0], design.level), DIFFERENCE: interval(drawn[0] - drawn[1], design.level)}
    return {f"{by}: {of}, {end}": bound for of, both in ends.items() for end, bound in zip(ENDS, both, strict=True)}


def simulate_piece(shared: tuple[Design, Path], piece: Piece) -> None:
    """Run a piece's simulations and keep them (in a worker)."""
    design, out = shared
    numbers = range(piece.first, piece.first + piece.count)
    rows = [simulate(design, piece.subjects, number) for number in numbers]
    values = np.array([[row[c] for c in (*COLUMNS, *BOUNDS)] for row in rows])
    write_piece(_folder(out, design, piece), {"values": values})


def _folder(out: Path, design: Design, piece: Piece) -> Path:
    key = digest([VERSION, plain(design), piece.subjects, piece.first, piece.count])
    return piece_folder(out, "coverage", key)


def simulate_all(
    design: Design, subjects: Sequence[int], simulations: int, out: Path, executor: Executor, progress: Progress
) -> pd.DataFrame:
    """All simulations, those of an earlier run read from their pieces.

    Returns
    -------
    DataFrame
        One row a simulation: ``subjects``, ``number`` and the columns of :func:`simulate`.

    Raises
    ------
    UserError
        If a data set would have fewer than two subjects, or a piece failed.
    """
    if few := [n for n in subjects if n < 2]:
        raise UserError(f"--subjects {few[0]}: two subjects at least, one for each outcome")
    pieces = [
        Piece(n, first, min(CHUNK, simulations - first))
        for n in sorted(set(subjects), reverse=True)  # the longest first, so that no core waits at the end
        for first in range(0, simulations, CHUNK)
    ]
    folders = [_folder(out, design, p) for p in pieces]
    failed = run_pieces(simulate_piece, (design, out), pieces, folders, executor, progress, "coverage")
    if failed:
        i, reason = next(iter(failed.items()))
        raise UserError(f"simulations of {pieces[i].subjects} subjects failed: {reason}; run again to go on")
    frames = []
    for piece, folder in zip(pieces, folders, strict=True):
        frame = pd.DataFrame(read_piece(folder)["values"], columns=[*COLUMNS, *BOUNDS])
        frame.insert(0, "subjects", piece.subjects)
        frame.insert(1, "number", np.arange(piece.first, piece.first + piece.count))
        frames.append(frame)
    return pd.concat(frames).sort_values(["subjects", "number"]).reset_index(drop=True)


def coverage_table(design: Design, found: pd.DataFrame) -> pd.DataFrame:
    """How often the intervals hold the truth, one row a number of subjects, bootstrap and quantity.

    Returns
    -------
    DataFrame
        ``coverage`` with its own 95 % interval (Wilson 1927) over ``simulations`` data sets that have both outcomes
        (``one_outcome`` have not); ``width``, mean; and ``reported``: of those data sets, how many the evaluation would
        give an interval for, with the coverage of these alone.
    """
    from statsmodels.stats.proportion import proportion_confint

    config, rows = EvaluationConfig(), []
    for subjects, of in found.groupby("subjects"):
        known = of[of["value"].notna()]
        counts = known[["positive_subjects", "negative_subjects", "missing"]].itertuples(index=False)
        given = np.array(
            [not withheld(int(p), int(n), m, config.interval_subjects, config.max_missing) for p, n, m in counts], bool
        )
        for by in BOOTSTRAPS:
            for what, truth in design.truth.items():
                low, high = (known[f"{by}: {what}, {end}"].to_numpy() for end in ENDS)
                held = (low <= truth) & (truth <= high)
                row = {"subjects": subjects, "bootstrap": by, "of": what, "truth": truth, "simulations": len(known)}
                row |= {"one_outcome": len(of) - len(known), "coverage": held.mean() if len(known) else np.nan}
                row["lo"], row["hi"] = _wilson(proportion_confint, held)
                row |= {"width": (high - low).mean() if len(known) else np.nan, "reported": int(given.sum())}
                row["coverage_reported"] = held[given].mean() if given.any() else np.nan
                row["lo_reported"], row["hi_reported"] = _wilson(proportion_confint, held[given])
                rows.append(row)
    return pd.DataFrame(rows)


def _wilson(proportion_confint, held: np.ndarray) -> tuple[float, float]:
    if not len(held):
        return np.nan, np.nan
    return proportion_confint(int(held.sum()), len(held), method="wilson")
