"""The statistics of a large task: bootstrap draws of twelve models, and permutations of one of them against another.

Made-up scores. Asked on two cores: 2,000 draws of ROC-AUC and average precision of twelve models, 24 classes and 20,000
recordings within 60 s; 10,000 permutations of one macro average of as many within 120 s.
"""

import numpy as np
import pytest

from bench.machine import facts
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.headline_figures import figures_of, pairs_of
from ecg_ramba.evaluation.intervals import Draws
from ecg_ramba.evaluation.measure import TaskContext, measure
from ecg_ramba.evaluation.parallel import cores
from ecg_ramba.evaluation.permutation import PERMUTATIONS, Exchanges, exchange_test
from ecg_ramba.evaluation.scores import DECIMALS, UnitScores
from ecg_ramba.evaluation.suite import Score, Task
from ecg_ramba.evaluation.support import class_support, headline
from ecg_ramba.evaluation.units import Units

CLASSES = tuple(f"class{i}" for i in range(24))
LARGE, SMALL = {"records": 20_000, "models": 12, "draws": 2000}, {"records": 300, "models": 2, "draws": 50}


def task_context(records: int, draws: int) -> TaskContext:
    """A target task of 24 classes, common and rare ones; most subjects have one recording."""
    rng = np.random.default_rng(0)
    prevalence = np.geomspace(0.4, 0.1 if records < 1000 else 0.005, len(CLASSES))
    subject = np.sort(rng.integers(0, records, records))
    names, code = np.unique(subject, return_inverse=True)
    ones = np.ones(records, int)
    units = Units(
        record=np.arange(records).astype(str),
        segment=-ones,
        subject=code,
        subjects=names.astype(str),
        fold=-ones,
        positive=rng.random((records, len(CLASSES))) < prevalence,
        known=np.ones((records, len(CLASSES)), bool),
        paced=np.zeros(records, bool),
    )
    scores = tuple(Score(c, "max", (c,)) for c in CLASSES)
    task = Task("bench", "bench", "record", "target", scores, CLASSES, False, ())
    support = class_support(task, units, (1,), set())
    head = headline(task, support, EvaluationConfig())
    by_name = {s.name: s for s in support}
    drawn = Draws.of(("bench",), units.strata, 1, draws, 0)
    return TaskContext(task, units, by_name, head, drawn, frozenset(CLASSES), frozenset(), {})


def model_scores(context: TaskContext, number: int) -> np.ndarray:
    """Probabilities of a model, (1, records, classes), rounded as pooled scores are."""
    rng = np.random.default_rng(1 + number)
    logit = 1.5 * (context.units.positive - 0.5) + rng.normal(size=context.units.positive.shape)
    return np.round(1 / (1 + np.exp(-logit)), DECIMALS)[None]


def timed(benchmark, group: str, function, count: int, size: dict):
    """One timing, one call: what is timed takes seconds."""
    benchmark.group = group
    benchmark.extra_info |= facts() | {"cores": cores(), "count": count, "data": "synthetic"} | size
    return benchmark.pedantic(function, rounds=1 if benchmark.disabled else 3, iterations=1)


def test_bootstrap(benchmark):
    """Every metric of every model, and the draws of the two that have intervals."""
    size = SMALL if benchmark.disabled else LARGE
    context = task_context(size["records"], size["draws"])
    none = np.zeros((1, 0, size["records"], len(CLASSES)))
    models = [UnitScores(model_scores(context, m), none) for m in range(size["models"])]
    config = EvaluationConfig(draws=size["draws"])
    found = timed(benchmark, "bootstrap", lambda: [measure(context, m, config) for m in models], len(models), size)
    drawn = [d for of in found for measured in of.values() for d in measured.draws.values()]
    assert len(drawn) == 2 * len(CLASSES) * len(models)
    assert all(np.isfinite(d).all() for d in drawn)


@pytest.mark.parametrize("of", ["macro average", "one class"])
def test_permutations(benchmark, of):
    """Both metrics, two models."""
    size = SMALL if benchmark.disabled else LARGE
    context = task_context(size["records"], 1)
    (figure,) = figures_of(context, EvaluationConfig())
    pairs = pairs_of(figure, context, model_scores(context, 0), model_scores(context, 1))
    pairs = pairs if of == "macro average" else pairs[:1]
    exchanges = Exchanges.of(("bench",), figure.subjects, 200 if benchmark.disabled else PERMUTATIONS, 0)
    found = timed(benchmark, "permutations", lambda: exchange_test(pairs, exchanges), exchanges.patterns, size)
    assert all(0 < tested.p <= 1 for tested in found.values())
