"""Telling where a recording comes from: data set or hospital, from any representation, by a cross-validated probe.

Every fold model is asked on its own: of the source only what it was not trained on, of the targets everything. Within
these units the probe is cross-validated by subject.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.intervals import Draws, interval, widened, widening
from ecg_ramba.evaluation.scores import nan_mean
from ecg_ramba.keys import array_digest, digest, seed_for
from studies.pieces import piece_folder, read_piece, write_piece
from studies.probes.activations import load_activations
from studies.probes.cross_validation import ClassScores, CrossValidated, grouped_split
from studies.probes.linear import balanced, combined_p, other_subjects_rows, p_value
from studies.probes.samples import Samples
from studies.shortcuts.questions import Question, SiteConfig, matched_weights

VERSION = 3
METRICS = ("balanced_accuracy", "roc_auc")


@dataclass(frozen=True, kw_only=True, eq=False)
class Values:
    """The values of some units: given, or the means of stored activations over their segments.

    Parameters
    ----------
    samples : Samples
        In the order of the stored activations.
    units : int array
        Which of them.
    given : (samples, d) array, optional
    folder : Path, optional
        Of the activations, whose name is their content key.
    stream : str
        Of the activations, or a name for what is given.
    """

    samples: Samples
    units: np.ndarray
    given: np.ndarray | None = None
    folder: Path | None = None
    stream: str = ""

    @property
    def key(self) -> list:
        """What decides the values."""
        of = array_digest(self.given) if self.folder is None else self.folder.name
        return [of, self.stream, self.samples.digest, array_digest(self.units)]

    def load(self) -> np.ndarray:
        """(units, d) float64; NaN where not measurable.

        Raises
        ------
        KeyError
            If the model has no such stream.
        """
        whole = self.given
        if whole is None:
            whole = self.samples.mean(load_activations(self.folder)[self.stream])
        return whole[self.units]


@dataclass(frozen=True, kw_only=True, eq=False)
class SiteJob:
    """One probe: a question put to one representation, as one fold model gives it.

    ``values`` follow each other in the order of ``y``, ``subject`` and ``units``, the numbers of the units among all;
    ``stratum``: label sets to match, None without.
    """

    question: str
    mode: str
    representation: str
    fold: int
    seed: int
    units: np.ndarray
    values: tuple[Values, ...]
    y: np.ndarray
    subject: np.ndarray
    stratum: np.ndarray | None
    sites: int
    config: SiteConfig

    def folder(self, out: Path) -> Path:
        """The piece that holds its answer."""
        label_sets = np.zeros(0) if self.stratum is None else self.stratum
        key = [VERSION, self.question, self.mode, self.fold, self.seed, [v.key for v in self.values], self.config]
        return piece_folder(out, "sites", digest([*key, array_digest(self.units, self.y, label_sets)]))

    def weigh(self, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Weights of some units: every site counts alike, and where label sets are matched each of them does."""
        return balanced(y) if self.stratum is None else matched_weights(y, self.stratum[rows])

    @property
    def weight(self) -> np.ndarray:
        """Weights of all units."""
        return self.weigh(self.y, np.arange(len(self.y)))


def site_job(out: Path, job: SiteJob) -> None:
    """Fit, predict out of the parts, permute; keep probabilities and the permutations' scores (in a worker)."""
    x = np.concatenate([v.load() for v in job.values])
    write_piece(job.folder(out), tell_sites(x, job))


def tell_sites(x: np.ndarray, job: SiteJob) -> dict[str, np.ndarray]:
    """Sites from the values (n, d) of a job's units.

    Subjects' sites are permuted whole; where label sets are matched, within a label set.

    Returns
    -------
    dict
        ``part`` (n,) of the cross-validation; ``probability`` (n, sites) out of the parts; ``permuted``
        (permutations, 2): the scores with permuted sites, each refitted.
    """
    seed = seed_for("sites", job.question, job.mode, job.fold)
    part = grouped_split(job.y, job.subject, job.config.splits, seed)
    validated = CrossValidated(x, part)
    cluster = np.unique(job.subject, return_inverse=True)[1]
    probability = validated.probabilities(job.y, job.weigh, job.sites)
    permuted = np.full((job.config.permutations, len(METRICS)), np.nan)
    for i in range(job.config.permutations):
        rng = np.random.default_rng(seed_for(seed, "permutation", i))
        y = job.y[other_subjects_rows(job.subject, rng, job.stratum)]
        weight = job.weigh(y, np.arange(len(y)))
        p = validated.probabilities(y, job.weigh, job.sites)
        permuted[i] = [v[0] for v in ClassScores(y, p, cluster, cluster.max() + 1, weight, part)()]
    return {"part": part, "probability": probability, "permuted": permuted}


def site_rows(
    jobs: Sequence[SiteJob], out: Path, question: Question, everything: Samples, c: EvaluationConfig
) -> list[dict]:
    """One question to one representation in one mode: a row a metric, averaged over the fold models.

    Parameters
    ----------
    jobs : sequence of SiteJob
        Finished, one a fold model; the same folds for every seed.
    out : Path
    question : Question
    everything : Samples
        All units.
    c : EvaluationConfig
        Draws and level of the intervals.

    Returns
    -------
    list of dict
        ``value``, ``lo``, ``hi``; ``chance``: the mean of the permutations, beside the ``nominal`` one; ``p``: of each
        fold model's permutations, combined as twice their mean, since fold models share the targets' recordings.
    """
    names, first, cluster = np.unique(everything.subject, return_index=True, return_inverse=True)
    taking = np.unique(np.concatenate([j.units for j in jobs]))
    strata = question.code[first] * (2 + everything.fold.max()) + everything.fold[first] + 1
    seeds = sorted({j.seed for j in jobs})
    draws = Draws.of(("shortcuts", question.name), strata, len(seeds), c.draws, c.seed)
    points, drawn, permuted, ps = [], {s: [] for s in seeds}, [], []
    for job in jobs:
        found = read_piece(job.folder(out))
        scores = ClassScores(job.y, found["probability"], cluster[job.units], len(names), job.weight, found["part"])
        points.append([v[0] for v in scores()])
        drawn[job.seed].append(draws.apply(scores))
        permuted.append(found["permuted"])
        ps.append([p_value(a, b) for a, b in zip(points[-1], found["permuted"].T, strict=True)])
    whole = sum(share * nan_mean(np.stack(drawn[s])) for s, share in zip(seeds, draws.seeds, strict=True))
    chance = nan_mean(np.concatenate(permuted)) if job.config.permutations else np.full(len(METRICS), np.nan)
    sites = range(len(question.sites))
    counts, rows = [int(np.sum(question.code[taking] == s)) for s in sites], []
    spread = widening(min(len(np.unique(cluster[taking][question.code[taking] == s])) for s in sites), c.level)
    for k, metric in enumerate(METRICS):
        value = float(np.mean(points, 0)[k])
        low, high = interval(widened(whole[k], value, spread), c.level)
        row = {"metric": metric, "value": value, "lo": low, "hi": high}
        row |= {"chance": float(chance[k]), "nominal": 1 / len(question.sites) if k == 0 else 0.5}
        row |= {"p": combined_p([p[k] for p in ps]), "permutations": job.config.permutations}
        row |= {"units": len(taking), "subjects": len(np.unique(cluster[taking])), "models": len(jobs)}
        row |= {"seeds": len(seeds)}
        row |= {"each": "; ".join(f"{s}: {n}" for s, n in zip(question.sites, counts, strict=True))}
        rows.append(row)
    return rows
