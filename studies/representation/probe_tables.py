"""Finished probes as tables: a row a stream and label, with interval and permutation control; and their contrasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.intervals import Draws, interval, widened, widening, withheld
from ecg_ramba.evaluation.metrics import Ranking
from ecg_ramba.evaluation.scores import DECIMALS, nan_mean
from studies.pieces import read_piece
from studies.probes.linear import p_value
from studies.probes.samples import Samples
from studies.representation.probing import COMPONENTS, HRV, NAMES, UNTRAINED
from studies.representation.study import MORPHOLOGY, RHYTHM, Probed

COLUMNS = [
    *("data", "variant", "dataset", "role", "stream", "group", "label", "value", "lo", "hi", "control"),
    *("difference", "diff_lo", "diff_hi", "p", "permutations", "dimension", "units", "subjects", "positives"),
    *("positive_subjects", "negative_subjects", "models", "seeds", "stopped", "reason"),
]
PAIRS = (
    ("rhythm", "morphology"),
    ("rhythm", "signal"),
    ("rhythm" + UNTRAINED, "morphology" + UNTRAINED),
    ("rhythm" + UNTRAINED, "signal" + UNTRAINED),
    (HRV, COMPONENTS),
)
"""Streams whose balance of rhythm and morphology is compared."""
EFFECTS = (((PAIRS[0], PAIRS[2]), "trained minus untrained"), ((PAIRS[0], PAIRS[4]), "streams minus features"))
"""Differences of such comparisons: what training adds to what the inputs are."""


@dataclass(frozen=True, eq=False)
class Scored:
    """A probe's ROC-AUC minus its control: the point, and bootstrap draws (None without an interval)."""

    value: float
    draws: np.ndarray | None


def over_models(per_model: Mapping[tuple[int, int], np.ndarray], shares: np.ndarray) -> np.ndarray:
    """Mean over the folds of each seed, then over seeds by each draw's shares (seeds, D); keys are (seed, fold)."""
    seeds = sorted({seed for seed, _ in per_model})
    means = [nan_mean(np.stack([v for (s, _), v in per_model.items() if s == seed])) for seed in seeds]
    return sum(share * mean for share, mean in zip(shares, means, strict=True))


def label_table(
    probed: Probed, c: EvaluationConfig, synthetic: bool
) -> tuple[pd.DataFrame, dict[tuple[str, int, str, str], Scored]]:
    """A row a variant, place, stream and label; and (variant, place, stream, label) -> its figure with draws.

    The source's figure is the mean over folds of the held-out ROC-AUC, a target's the mean over the fold models of each
    one's own; draws are of subjects, the same for all streams. The control is the mean over permutations of the
    labels, taken off as a constant.
    """
    rows, scored = [], {}
    for variant in dict.fromkeys(cell.variant for cell in probed.cells):
        jobs = [j for j in probed.probes if j.cell.variant == variant]
        pieces = {(j.cell.seed, j.cell.fold): read_piece(j.folder(probed.out)) for j in jobs}
        seeds = len({j.cell.seed for j in jobs})
        for i, place in enumerate(probed.places):
            cluster, draws = place.bootstrap(seeds, c.draws, c.seed)
            columns = [place.units.classes.index(name) for name in probed.labels]
            for stream in NAMES:
                if any(f"{stream}|score|{i}" not in p for p in pieces.values()):
                    continue
                base = {"data": "synthetic" if synthetic else "real", "variant": variant, "stream": stream}
                base |= {"dataset": place.units.dataset, "role": "target" if i else "source", "models": len(jobs)}
                base |= {"seeds": seeds, "permutations": jobs[0].permutations}
                base |= {"stopped": sum(int(p[f"{stream}|stopped"]) for p in pieces.values())}
                base |= {"dimension": max(p[f"{stream}|weight"].shape[1] for p in pieces.values())}
                for k, label in enumerate(probed.labels):
                    row, found = _label_row(place.units, i, columns[k], k, stream, pieces, cluster, draws, c)
                    group = "rhythm" if label in RHYTHM else "morphology"
                    rows.append(dict.fromkeys(COLUMNS, np.nan) | base | {"label": label, "group": group} | row)
                    if np.isfinite(found.value):
                        scored[variant, i, stream, label] = found
    return pd.DataFrame(rows, columns=COLUMNS), scored


def _label_row(units: Samples, place: int, column: int, k: int, stream: str, pieces, cluster, draws: Draws, c):
    """One figure: the columns of its row, and with its control taken off."""
    points, drawn, permuted, counted = {}, {}, {}, np.zeros(len(units), dtype=bool)
    for (seed, fold), piece in pieces.items():
        own = np.flatnonzero(units.fold == fold) if place == 0 else np.arange(len(units))
        score = piece[f"{stream}|score|{place}"][:, k]
        kept = units.known[own, column] & np.isfinite(score)
        y = units.y[own[kept], column]
        if y.all() or not y.any():
            continue
        ranking = Ranking(y, np.round(score[kept], DECIMALS), cluster[own[kept]], len(draws.counts))
        points[seed, fold] = ranking(precision=False)[0]
        drawn[seed, fold] = draws.apply(lambda w, r=ranking: r(w, precision=False))[0]
        permuted[seed, fold] = piece[f"{stream}|permuted"][:, place, k]
        counted[own[kept]] = True
    if len({seed for seed, _ in points}) < len({seed for seed, _ in pieces}):
        why = "no fold model has both outcomes: too few subjects to fit on, or only one outcome to score"
        return {"reason": why, "units": 0}, Scored(float("nan"), None)
    ones = np.full((len(draws.seeds), 1), 1 / len(draws.seeds))
    value, whole = float(over_models(points, ones)[0]), over_models(drawn, draws.seeds)
    chance = over_models(permuted, ones)
    control = float(nan_mean(chance)) if len(chance) else float("nan")
    y = units.y[:, column]
    sides = [len(np.unique(cluster[counted & side])) for side in (y, ~y)]
    missing = float(np.mean(np.any([~np.isfinite(d) for d in drawn.values()], axis=0)))
    reason = withheld(*sides, missing, c.interval_subjects, c.max_missing)
    whole = widened(whole, value, widening(min(sides), c.level))
    low, high = interval(None if reason else whole, c.level)
    row = {"value": value, "lo": low, "hi": high, "control": control, "difference": value - control}
    row |= {"diff_lo": low - control, "diff_hi": high - control, "p": p_value(value, chance), "reason": reason}
    row |= {"units": int(counted.sum()), "subjects": len(np.unique(cluster[counted]))}
    row |= {"positives": int((counted & y).sum()), "positive_subjects": sides[0], "negative_subjects": sides[1]}
    return row, Scored(value - control, None if reason else whole - control)


def grouped(labels: Sequence[str]) -> tuple[list[str], list[str]]:
    """Of some labels those of rhythm and of morphology; AF and flutter count once, by their union where it is there."""
    twice = {"AF", "AFL"} if "AF|AFL" in labels else set()
    return [n for n in labels if n in RHYTHM and n not in twice], [n for n in labels if n in MORPHOLOGY]


def contrast_table(probed: Probed, scored: Mapping, c: EvaluationConfig, synthetic: bool) -> pd.DataFrame:
    """Whether two streams differ in their balance of rhythm and morphology.

    Balance of a stream: mean over rhythm labels minus mean over morphology labels of ROC-AUC minus control. A row a
    pair of :data:`PAIRS` compares the balances of its two streams, a row of :data:`EFFECTS` two such comparisons, all
    on the same draws and over the labels that have an interval from all streams of the row; where these are none of
    rhythm or none of morphology, over all labels that are scored, without an interval.
    """
    rows = []
    for variant in dict.fromkeys(cell.variant for cell in probed.cells):
        for i, name in enumerate(probed.names):
            base = {"data": "synthetic" if synthetic else "real", "variant": variant, "dataset": name}
            for a, b in PAIRS:
                rows.append(
                    base | {"contrast": f"{a} minus {b}"} | _contrast(probed, scored, variant, i, {a: 1, b: -1}, c)
                )
            for (one, other), title in EFFECTS:
                weights = {one[0]: 1, one[1]: -1, other[0]: -1, other[1]: 1}
                rows.append(base | {"contrast": title} | _contrast(probed, scored, variant, i, weights, c))
    return pd.DataFrame(rows)


def _contrast(probed: Probed, scored: Mapping, variant: str, place: int, weights: Mapping[str, int], c) -> dict:
    labels = [n for n in probed.labels if all((variant, place, s, n) in scored for s in weights)]
    sure = [n for n in labels if all(scored[variant, place, s, n].draws is not None for s in weights)]
    rhythm, morphology = grouped(sure if all(grouped(sure)) else labels)
    row = {
        "value": np.nan,
        "lo": np.nan,
        "hi": np.nan,
        "rhythm": "; ".join(rhythm),
        "morphology": "; ".join(morphology),
    }
    if not rhythm or not morphology:
        lacking = "rhythm" if not rhythm else "morphology"
        return row | {"reason": f"no {lacking} label is scored from all streams that are compared"}
    parts = [(sign * w / len(of), scored[variant, place, s, n])
             for s, w in weights.items() for sign, of in ((1, rhythm), (-1, morphology)) for n in of]  # fmt: skip
    row["value"] = sum(w * p.value for w, p in parts)
    if any(p.draws is None for _, p in parts):
        return row | {"reason": "no interval: one of the labels has too few subjects"}
    row["lo"], row["hi"] = interval(sum(w * p.draws for w, p in parts), c.level)
    return row | {"reason": ""}
