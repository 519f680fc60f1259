"""Which sites are to be told apart, how label sets are matched between them, and what a site's name says of a label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.intervals import Draws, interval, widened, widening, withheld
from ecg_ramba.evaluation.metrics import Ranking
from ecg_ramba.evaluation.scores import DECIMALS
from ecg_ramba.keys import seed_for
from studies.probes.linear import other_subjects_rows, p_value
from studies.probes.samples import Samples

DATA_SET = "data set"
MOST_MATCHED = 3
"""Classes whose label sets are matched, at most: eight sets."""


@dataclass(frozen=True, kw_only=True)
class SiteConfig:
    """Sizes of the analysis.

    Parameters
    ----------
    permutations : int
        Permutations of the subjects' sites.
    splits : int
        Parts of the cross-validation.
    subjects : int
        Fewest subjects of a site in what one fold model is asked.
    cell : int
        Fewest subjects of each site with a label set, where label sets are matched.
    """

    permutations: int = 49
    splits: int = 5
    subjects: int = 10
    cell: int = 3


@dataclass(frozen=True, eq=False)
class Question:
    """Which sites are to be told apart, among the units of all data sets together.

    Parameters
    ----------
    name : str
        ``data set``, or ``hospital in NAME``.
    sites : tuple of str
    left_out : mapping of str to str
        Site -> why it does not take part.
    code : (n,) int array
        Site of each unit; -1 where it does not take part.
    reason : str
        Why there is no answer; "" where there is one.
    """

    name: str
    sites: tuple[str, ...]
    left_out: Mapping[str, str]
    code: np.ndarray
    reason: str = ""


def make_question(name: str, site: np.ndarray, subject: np.ndarray, least: int) -> Question:
    """Of the sites (n,) of all units ("" takes no part), those with enough subjects."""
    left_out, sites = {}, []
    for s in sorted(set(site.tolist()) - {""}):
        count = len(np.unique(subject[site == s]))
        if count < least:
            left_out[s] = f"{count} subject{'s' * (count != 1)}, {least} needed"
        else:
            sites.append(s)
    code = np.full(len(site), -1)
    if len(sites) < 2:
        return Question(name, (), left_out, code, f"fewer than two sites with {least} subjects")
    for i, s in enumerate(sites):
        code[site == s] = i
    return Question(name, tuple(sites), left_out, code)


@dataclass(frozen=True, eq=False)
class Matching:
    """Label sets that every site has: ``stratum`` (n,) int is each unit's, -1 where it takes no part.

    ``classes``: what a label set is made of; ``left_out``: units with another one, or not the first of their subject.
    """

    classes: tuple[str, ...]
    stratum: np.ndarray
    left_out: int
    reason: str = ""


def match_labels(question: Question, everything: Samples, folds: int, config: SiteConfig) -> Matching:
    """The label sets on which sites are compared at equal shares.

    Of the classes that every site annotates for all its units, the best supported ones (fewest positives, or negatives,
    at any site largest); as many of them, up to :data:`MOST_MATCHED`, as leave half of each site's subjects in label
    sets that all sites have. One unit a subject, its first.

    Parameters
    ----------
    question : Question
    everything : Samples
        All units, those of the source with their fold.
    folds : int
        The source's subjects are spread over so many, and each needs its own.
    config : SiteConfig
    """
    taking = question.code >= 0
    first = np.zeros(len(everything), dtype=bool)
    first[np.unique(everything.subject, return_index=True)[1]] = True
    units = np.flatnonzero(taking & first)
    code, y, known = question.code[units], everything.y[units], everything.known[units]
    sites = range(len(question.sites))
    spread = np.array([bool((everything.fold[units][code == s] >= 0).all()) for s in sites])
    least = np.where(spread, folds, 1) * config.cell
    support = {}
    for k, name in enumerate(everything.classes):
        if name in ("AF", "AFL") or not len(units) or not known[:, k].all():
            continue
        fewest = [min(np.sum(y[code == s, k]), np.sum(~y[code == s, k])) for s in sites]
        if (np.array(fewest) >= least).all():
            support[name] = min(fewest)
    ordered = sorted(support, key=lambda name: (-support[name], everything.classes.index(name)))[:MOST_MATCHED]
    stratum = np.full(len(everything), -1)
    for size in range(len(ordered), 0, -1):
        chosen = [everything.classes.index(name) for name in ordered[:size]]
        pattern = y[:, chosen] @ (1 << np.arange(size))
        counts = np.array([np.bincount(pattern[code == s], minlength=1 << size) for s in sites])
        shared = np.flatnonzero((counts >= least[:, None]).all(0))
        if len(shared) > 1 and (2 * counts[:, shared].sum(1) >= counts.sum(1)).all():
            kept = np.isin(pattern, shared)
            stratum[units[kept]] = pattern[kept]
            return Matching(tuple(ordered[:size]), stratum, int(taking.sum() - kept.sum()))
    reason = "no class has enough positive and negative subjects at every site to match label sets"
    return Matching((), stratum, int(taking.sum()), reason)


def matched_weights(code: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """Weights (n,) under which every site has each label set at the share that it has in all units together."""
    weight = np.zeros(len(code))
    for p in np.unique(stratum):
        for s in np.unique(code):
            cell = (code == s) & (stratum == p)
            if cell.any():
                weight[cell] = np.mean(stratum == p) / cell.sum()
    return weight


def labels_from_sites(question: Question, everything: Samples, permutations: int, c: EvaluationConfig) -> list[dict]:
    """How well each class is told from the site's name alone: by its share of positives at each site.

    Only sites that annotate the class count, and at least two must. The order of the sites is that of their own
    shares, so that 0.5 is the least; ``chance`` is what subjects' sites permuted give.

    Returns
    -------
    list of dict
        A row a class: ROC-AUC with its interval, ``chance`` and ``p`` of it, ``explained`` (:func:`explained`).
    """
    rows = []
    for k, name in enumerate(everything.classes):
        known = (question.code >= 0) & everything.known[:, k]
        sites = np.unique(question.code[known])
        y = everything.y[known, k]
        if len(sites) < 2 or not y.any() or y.all():
            continue
        code, subject = np.searchsorted(sites, question.code[known]), everything.subject[known]
        names, first, cluster = np.unique(subject, return_index=True, return_inverse=True)
        share = _shares(code, y, len(sites))
        ranking = Ranking(y, np.round(share[code], DECIMALS), cluster, len(names))
        draws = Draws.of(("shortcuts", "labels", question.name, name), code[first], 1, c.draws, c.seed)
        drawn = draws.apply(lambda w, r=ranking: r(w, precision=False))[0]
        sides = [len(np.unique(cluster[side])) for side in (y, ~y)]
        reason = withheld(*sides, float(np.mean(~np.isfinite(drawn))), c.interval_subjects, c.max_missing)
        value = float(ranking(precision=False)[0][0])
        low, high = interval(None if reason else widened(drawn, value, widening(min(sides), c.level)), c.level)
        permuted = np.empty(permutations)
        for i in range(permutations):
            rng = np.random.default_rng(seed_for("labels from sites", question.name, name, i))
            other = code[other_subjects_rows(subject, rng)]
            score = np.round(_shares(other, y, len(sites))[other], DECIMALS)
            permuted[i] = Ranking(y, score)(precision=False)[0][0]
        rows.append(
            {"question": question.name, "class": name, "value": value, "lo": low, "hi": high}
            | {"chance": float(permuted.mean()) if permutations else float("nan"), "p": p_value(value, permuted)}
            | {"explained": explained(code, y), "units": len(y), "positives": int(y.sum())}
            | {"shares": "; ".join(f"{question.sites[s]}: {v:.3f}" for s, v in zip(sites, share, strict=True))}
            | {"reason": reason}
        )
    return rows


def _shares(code: np.ndarray, y: np.ndarray, sites: int) -> np.ndarray:
    """Share of positives at each site."""
    total = np.bincount(code, minlength=sites)
    return np.divide(np.bincount(code, y, sites), total, out=np.zeros(sites), where=total > 0)


def explained(code: np.ndarray, y: np.ndarray) -> float:
    """Theil's uncertainty coefficient: the part of a label's entropy that the site explains; NaN without any."""
    table = np.array([np.bincount(code, y), np.bincount(code, ~y)]) / len(y)
    expected = np.outer(table.sum(1), table.sum(0))
    mutual = np.sum(table * np.log(np.where(table > 0, table, 1) / np.where(table > 0, expected, 1)))
    share = table.sum(1)
    entropy = -np.sum(share * np.log(np.where(share > 0, share, 1)))
    return float(mutual / entropy) if entropy > 0 else float("nan")
