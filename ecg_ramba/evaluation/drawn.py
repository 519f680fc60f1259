"""Every metric of a task's scores with its bootstrap draws: those at a threshold and of probabilities as well.

:mod:`ecg_ramba.evaluation.measure` keeps draws of the ranking metrics alone, which is what headlines need. Studies that
change probabilities (pooling, calibration, adaptation) compare all of them, on the same draws of subjects.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ecg_ramba.evaluation.calibration import clipped, equal_width
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.factorial import Scored, combine
from ecg_ramba.evaluation.intervals import widened
from ecg_ramba.evaluation.measure import TaskContext, ranked_together
from ecg_ramba.evaluation.metrics import Ranking
from ecg_ramba.evaluation.parallel import each
from ecg_ramba.evaluation.scores import nan_mean

ALL_METRICS = ("roc_auc", "average_precision", "f1", "sensitivity", "specificity", "brier", "ece", "nll")
"""``nll``: negative log-likelihood, the mean of -ln of what a (clipped) score gave to the outcome that came."""
LOWER_IS_BETTER = ("brier", "ece", "nll")
_PLAIN = 6
_BLOCK = 250


def sums_by_cluster(positive, score, cluster, n_clusters: int, threshold: float, bins: int) -> np.ndarray:
    """What threshold and probability metrics are ratios of, summed over the units of each cluster.

    Parameters
    ----------
    positive : (n,) bool array
    score : (n,) array
        Probabilities.
    cluster : (n,) int array
    n_clusters : int
    threshold : float
        Of the decision, ``score >= threshold``.
    bins : int
        Equal-width bins of the calibration error.

    Returns
    -------
    (6 + bins, n_clusters) float64 array
        True and false positives, false and true negatives, squared error, negative log-likelihood, and in each bin the
        sum of label minus score.
    """
    score = np.asarray(score, np.float64)
    positive, called = np.asarray(positive, bool), score >= threshold
    safe = clipped(score)
    plain = [positive & called, ~positive & called, positive & ~called, ~positive & ~called]
    plain += [(score - positive) ** 2, -np.where(positive, np.log(safe), np.log1p(-safe))]
    out = np.empty((_PLAIN + bins, n_clusters))
    for row, values in enumerate(plain):
        out[row] = np.bincount(cluster, values, n_clusters)
    residual = np.bincount(equal_width(score, bins) * n_clusters + cluster, positive - score, bins * n_clusters)
    out[_PLAIN:] = residual.reshape(bins, n_clusters)
    return out


def metrics_of_sums(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics (…, D) of weighted sums (…, 6 + bins, D); NaN where a denominator is empty."""
    tp, fp, fn, tn, error, log = (sums[..., i, :] for i in range(_PLAIN))
    n = tp + fp + fn + tn
    return {
        "f1": np.where(tp + fn > 0, _ratio(2 * tp, 2 * tp + fp + fn), np.nan),
        "sensitivity": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "brier": _ratio(error, n),
        "ece": _ratio(np.abs(sums[..., _PLAIN:, :]).sum(axis=-2), n),
        "nll": _ratio(log, n),
    }


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.full(b.shape, np.nan), where=b > 0)


@dataclass
class DrawnMetrics:
    """The metrics of any scores of one task, on the task's own draws.

    ROC-AUC and average precision depend on the order of the units alone, so scores that order them alike (a monotone
    map of the same scores) share their draws.

    Parameters
    ----------
    context : TaskContext
        Units, support and draws.
    config : EvaluationConfig
        Threshold and bins.
    """

    context: TaskContext
    config: EvaluationConfig
    _kept: dict = field(default_factory=dict, repr=False)

    def figure(self, scores: np.ndarray, classes: Sequence[str], draws: bool = True) -> dict[str, Scored]:
        """The unweighted mean over classes of every metric, and of each of its draws.

        Parameters
        ----------
        scores : (n_seeds, n_units, K) array
            Probabilities, columns as the task's scores.
        classes : sequence of str
            At least one.
        draws : bool
            Without them only the values are computed.
        """
        each = self.classes(scores, classes, draws)
        share = {c: 1 / len(each) for c in each}
        return {m: combine(share, {c: of[m] for c, of in each.items()}) for m in ALL_METRICS}

    def classes(self, scores: np.ndarray, classes: Sequence[str], draws: bool = True) -> dict[str, dict[str, Scored]]:
        """Every metric of every class: at the source the mean over folds, over seeds with each draw's own shares."""
        parts = [self._seed(of, classes, draws) for of in scores]
        shares = self.context.draws.seeds
        out = {}
        for j, name in enumerate(classes):
            out[name] = {}
            for metric in ALL_METRICS:
                values = [v for points, _ in parts for v in points[metric][j]]
                value = float(nan_mean(np.array(values))) if values else float("nan")
                drawn = None
                if draws and values:
                    drawn = sum(s * of[metric][j] for s, (_, of) in zip(shares, parts, strict=True))
                    if metric != "nll":  # which alone is not between 0 and 1
                        drawn = widened(drawn, value, self.context.spread(name))
                out[name][metric] = Scored(value, drawn)
        return out

    def _seed(self, scores: np.ndarray, classes: Sequence[str], draws: bool) -> tuple[dict, dict]:
        """Of one seed: metric -> for each class its points (one a part), and its draws (D,)."""
        columns, units = [s.name for s in self.context.task.scores], self.context.units
        points = {m: [[] for _ in classes] for m in ALL_METRICS}
        drawn = {m: [[] for _ in classes] for m in ALL_METRICS}

        def put(metric: str, j: int, point: float, of_draws: np.ndarray | None) -> None:
            points[metric][j].append(point)
            drawn[metric][j].append(of_draws)

        for fold, places in self._parts(classes).items():
            members = np.unique(units.subject[np.concatenate([at for _, at in places])])

            def read(place: tuple[int, np.ndarray], fold=fold, members=members) -> tuple[dict, np.ndarray]:
                j, at = place
                k = columns.index(classes[j])
                y, score, subject = units.positive[at, k], scores[at, k], units.subject[at]
                local, config = np.searchsorted(members, subject), self.config
                sums = sums_by_cluster(y, score, local, len(members), config.threshold, config.bins)
                return self._ranked(classes[j], fold, y, score, subject, draws), sums

            found = each(read, places)
            for (j, _), (ranked, _) in zip(places, found, strict=True):
                for metric, (point, of_draws) in ranked.items():
                    put(metric, j, point, of_draws)
            sums = np.stack([of for _, of in found])
            whole = metrics_of_sums(sums.sum(axis=-1, keepdims=True))
            weighted = metrics_of_sums(self._weighted(sums, members)) if draws else {}
            for metric, values in whole.items():
                for i, (j, _) in enumerate(places):
                    put(metric, j, float(values[i, 0]), weighted[metric][i] if draws else None)
        if not draws:
            return points, {}
        return points, {m: [nan_mean(np.stack(d)) if d else None for d in of] for m, of in drawn.items()}

    def _parts(self, classes: Sequence[str]) -> dict[int, list[tuple[int, np.ndarray]]]:
        """Held-out fold (-1 at a target) -> number of each class that is scored there, and its units."""
        columns, out = [s.name for s in self.context.task.scores], {}
        for j, name in enumerate(classes):
            for at in ranked_together(self.context, columns.index(name)):
                out.setdefault(int(self.context.units.fold[at[0]]), []).append((j, at))
        return out

    def _ranked(self, name, fold, y, score, subject, draws: bool) -> dict[str, tuple[float, np.ndarray | None]]:
        order = np.unique(score, return_inverse=True)[1].astype(np.int32)
        key = (name, fold, draws, hashlib.blake2b(order.tobytes(), digest_size=16).digest())
        if key not in self._kept:
            ranking = Ranking(y, order, subject, len(self.context.units.subjects))
            drawn = self.context.draws.apply(ranking) if draws else (None, None)
            points = (float(v[0]) for v in ranking())
            self._kept[key] = dict(zip(ALL_METRICS, zip(points, drawn, strict=True), strict=False))
        return self._kept[key]

    def _weighted(self, sums: np.ndarray, members: np.ndarray) -> np.ndarray:
        """Sums (J, R, subjects) under each draw, (J, R, D); a block of draws at a time is widened to float64."""
        counts = self.context.draws.counts[members]
        flat = sums.reshape(-1, sums.shape[-1])
        parts = [flat @ counts[:, i : i + _BLOCK].astype(np.float64) for i in range(0, counts.shape[1], _BLOCK)]
        return np.concatenate(parts, axis=1).reshape(*sums.shape[:-1], -1)
