"""Measurements read from streams, and similarities of streams, as tables with intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.intervals import Draws, interval, widening
from ecg_ramba.evaluation.metrics import totals
from studies.pieces import read_piece
from studies.representation.delineation import FIGURES
from studies.representation.probe_tables import over_models
from studies.representation.probing import NAMES, Place
from studies.representation.study import Probed


def figure_table(probed: Probed, c: EvaluationConfig, synthetic: bool) -> pd.DataFrame:
    """Heart rate, QRS duration and QT interval from each stream: R2 of ridge regressions, a row a stream and figure.

    At the source over all held-out parts together, at a target the mean over the fold models.
    """
    rows = []
    for variant in dict.fromkeys(cell.variant for cell in probed.cells):
        jobs = [j for j in probed.probes if j.cell.variant == variant]
        pieces = {(j.cell.seed, j.cell.fold): read_piece(j.folder(probed.out)) for j in jobs}
        for i, place in enumerate(probed.places):
            draws = _figure_draws(place, len({j.cell.seed for j in jobs}), c)
            for stream in NAMES:
                if any(f"{stream}|figure|{i}" not in p for p in pieces.values()):
                    continue
                for k, figure in enumerate(FIGURES):
                    base = {"data": "synthetic" if synthetic else "real", "variant": variant, "stream": stream}
                    base |= {"dataset": place.units.dataset, "role": "target" if i else "source", "figure": figure}
                    rows.append(base | _figure_row(place, i, k, stream, pieces, *draws, c))
    return pd.DataFrame(rows)


def _figure_draws(place: Place, seeds: int, c: EvaluationConfig) -> tuple[np.ndarray, Draws]:
    _, first, cluster = np.unique(place.firsts.subject, return_index=True, return_inverse=True)
    axes = ("representation", "figures", place.firsts.dataset)
    return cluster, Draws.of(axes, place.firsts.fold[first], seeds, c.draws, c.seed)


def _figure_row(place: Place, i: int, k: int, stream: str, pieces, cluster, draws: Draws, c: EvaluationConfig) -> dict:
    points, drawn, counted = {}, {}, np.zeros(len(place.firsts), dtype=bool)
    truth = place.figures[:, k]
    for (seed, fold), predicted in _predictions(place, i, k, stream, pieces).items():
        kept = np.isfinite(predicted) & np.isfinite(truth)
        if kept.sum() < 2 or np.ptp(truth[kept]) == 0:
            continue
        score = explained_variance(truth[kept], predicted[kept], cluster[kept], len(draws.counts))
        points[seed, fold] = score(None)[0]
        drawn[seed, fold] = draws.apply(score)[0]
        counted |= kept
    row = {"value": np.nan, "lo": np.nan, "hi": np.nan, "segments": int(counted.sum()), "reason": ""}
    if len({seed for seed, _ in points}) < len({seed for seed, _ in pieces}):
        return row | {"reason": "too few segments could be measured"}
    ones = np.full((len(draws.seeds), 1), 1 / len(draws.seeds))
    row["value"] = float(over_models(points, ones)[0])
    subjects = len(np.unique(cluster[counted]))
    if subjects < c.interval_subjects:
        return row | {"reason": f"no interval: {subjects} subjects, {c.interval_subjects} needed"}
    whole = spread(over_models(drawn, draws.seeds), row["value"], subjects, c.level)
    row["lo"], row["hi"] = interval(whole, c.level)
    return row


def spread(draws: np.ndarray, value: float, subjects: int, level: float) -> np.ndarray:
    """Draws of a figure without bounds, spread about their point as those of few subjects have to be."""
    return value + widening(subjects, level) * (draws - value)


def _predictions(place: Place, i: int, k: int, stream: str, pieces) -> dict[tuple[int, int], np.ndarray]:
    """Of each fold model the predictions (firsts,) of a figure; at the source those of all folds of a seed together.

    They are in the figure's own unit, so that held-out parts add up; a part alone may have hardly any spread.
    """
    out = {}
    for (seed, fold), piece in pieces.items():
        found = piece[f"{stream}|figure|{i}"][:, k]
        if i:
            out[seed, fold] = found
        else:
            out.setdefault((seed, 0), np.full(len(place.firsts), np.nan))[place.firsts.fold == fold] = found
    return out


def explained_variance(y: np.ndarray, predicted: np.ndarray, cluster: np.ndarray, size: int) -> Callable:
    """R2 as a metric under weights of subjects: 1 minus squared error over squared deviation from the weighted mean."""
    error = (predicted - y) ** 2
    y = y - y.mean()  # R2 does not change, rounding does
    sums = np.stack([np.ones_like(y), y, y**2, error])

    def score(weights: np.ndarray | None) -> tuple[np.ndarray]:
        n, total, square, wrong = totals(sums, cluster, size, weights, None)
        spread = square - np.divide(total**2, n, out=np.zeros_like(n), where=n > 0)
        return (1 - np.divide(wrong, spread, out=np.full_like(n, np.nan), where=spread > 1e-12),)

    return score


def similarity_table(probed: Probed, c: EvaluationConfig, synthetic: bool) -> pd.DataFrame:
    """Debiased CKA of every pair of streams, a row a pair and place, averaged over fold models."""
    rows = []
    for variant in dict.fromkeys(cell.variant for cell in probed.cells):
        for i, name in enumerate(probed.names):
            jobs = [j for j in probed.similarities if j.cell.variant == variant and j.place == i]
            pieces = {(j.cell.seed, j.cell.fold): read_piece(j.folder(probed.out)) for j in jobs}
            seeds = len({j.cell.seed for j in jobs})
            _, draws = probed.places[i].bootstrap(seeds, jobs[0].draws, c.seed)
            subjects = len(np.unique(probed.places[i].units.subject[np.concatenate([j.chosen() for j in jobs])]))
            for pair in next(iter(pieces.values())):
                a, b = pair.split("|")
                found = {at: p[pair] for at, p in pieces.items()}
                ones = np.full((seeds, 1), 1 / seeds)
                value = float(over_models({at: f[:1] for at, f in found.items()}, ones)[0])
                whole = over_models({at: f[1:] for at, f in found.items()}, draws.seeds)
                low, high = interval(spread(whole, value, subjects, c.level), c.level)
                reason = "" if np.isfinite(value) else "too few subjects, or a stream that is constant"
                base = {"data": "synthetic" if synthetic else "real", "variant": variant, "dataset": name}
                base |= {"a": a, "b": b, "value": value, "lo": low, "hi": high, "subjects": subjects}
                rows.append(base | {"models": len(jobs), "reason": reason})
    return pd.DataFrame(rows)
