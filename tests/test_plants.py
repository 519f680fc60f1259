"""The planted effects of the synthetic cohort, found by the parts that can see them and by no others.

Five cohorts of five seeds, fixed here. Networks train under the small profile; each expected effect must have the same
sign on all five, and the interval over the five must exclude chance; where chance is expected, the interval must
contain it.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from ecg_ramba.data.registry import datasets, locate
from ecg_ramba.data.store import prepare, records_digest
from ecg_ramba.data.synthetic import CohortConfig, synthesize
from ecg_ramba.evaluation.pooling import Pooling, pool
from ecg_ramba.harness.cells import Cell, probabilities, train_cell
from ecg_ramba.harness.config import SuiteConfig
from ecg_ramba.harness.executor import default_workers, run_jobs
from ecg_ramba.harness.suite import make_context
from ecg_ramba.harness.variants import all_variants

SEEDS = (11, 12, 13, 14, 15)
FOLDS = 3
SITES = ("synthetic-source", "synthetic-third")
LABELS = ("AF", "LBBB", "TInv", "QAb")
RUNS = ("ecg_ramba", "no_hrv", "placebo", "shuffled")
"""Two variants as they are; the reference with HRV permuted over subjects; the reference with labels permuted."""


def contexts(folder: Path, seed: int):
    """The suite's context on one cohort, for each of RUNS."""
    synthesize(folder / "cohort", CohortConfig(seed=seed))
    known, places = datasets(), locate(folder / "cohort", SITES)
    data = [prepare(known[n], places[n], folder / "cache") for n in SITES]
    config = SuiteConfig(source=SITES[0], targets=SITES[1:], folds=FOLDS, base_seed=seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(data[0].records))
    made = {}
    for run in RUNS:
        source = data[0]
        if run == "placebo":
            source = dataclasses.replace(source, rhythm=source.rhythm[order])
        if run == "shuffled":
            records = source.records.assign(labels=source.records["labels"].to_numpy()[order])
            source = dataclasses.replace(source, records=records, digest=records_digest(records))
        made[run], _ = make_context(config, [source, data[1]], folder / run)
    return made


def aucs(context, job) -> dict:
    """Train one fold; ROC-AUC of each label on the held-out part and at the third site (run in a worker)."""
    run, fold = job
    variant = all_variants()["no_hrv" if run == "no_hrv" else "ecg_ramba"]
    config = variant.configuration("small")
    model, _ = train_cell(context[run], Cell(variant=run, model="ecg_ramba", config=config, fold=fold, seed=0))
    shared = context[run]
    found = {}
    for place, data, table, records in (
        ("home", shared.source, shared.source_table, shared.folds[fold - 1].held_out),
        ("third", shared.targets[0], shared.target_tables[0], np.arange(len(shared.targets[0].records))),
    ):
        rows = table.of_records(records)
        p = probabilities(model, data, table, rows, shared.cache)
        record, starts = np.unique(table.record[rows], return_index=True)
        scores = np.round(pool(p, starts, Pooling()), 9)
        for label in LABELS:
            y = np.array([label in data.records["labels"].iloc[r] for r in record])
            found[place, label] = roc_auc_score(y, scores[:, model.classes.index(label)])
    return found


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """{(run, place, label): (seeds, folds) array of ROC-AUC}."""
    collected = {}
    for s, seed in enumerate(SEEDS):
        made = contexts(tmp_path_factory.mktemp(f"seed{seed}"), seed)
        jobs = [(run, fold) for run in RUNS for fold in range(1, FOLDS + 1)]
        for outcome in run_jobs(aucs, made, jobs, default_workers()):
            assert not outcome.reason, outcome.traceback
            run, fold = jobs[outcome.index]
            for (place, label), value in outcome.value.items():
                collected.setdefault((run, place, label), np.full((len(SEEDS), FOLDS), np.nan))[s, fold - 1] = value
    for key, values in collected.items():
        print(*key, np.round(values.mean(1), 2), f"mean {values.mean():.3f}")
    return collected


def interval(values):
    """95 % t interval of the mean over seeds of the seeds' means over folds."""
    means = values.mean(1)
    half = stats.t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means))
    return means.mean() - half, means.mean() + half


def check_found(values):
    """The effect has the same sign on every seed, and the interval excludes chance."""
    assert (values.mean(1) > 0.5).all(), values.mean(1)
    assert interval(values)[0] > 0.5, interval(values)


def check_chance(values):
    """The interval contains chance."""
    low, high = interval(values)
    assert low <= 0.5 <= high, (low, high, values.mean(1))


@pytest.mark.slow
@pytest.mark.parametrize("place", ["home", "third"])
@pytest.mark.parametrize("label", ["AF", "LBBB", "TInv"])
def test_the_reference_finds_rhythm_and_morphology(table, place, label):
    check_found(table["ecg_ramba", place, label])


@pytest.mark.slow
@pytest.mark.parametrize("place", ["home", "third"])
@pytest.mark.parametrize("run", ["no_hrv", "placebo"])
def test_without_hrv_or_with_a_placebo_the_rhythm_plant_is_at_chance(table, run, place):
    check_chance(table[run, place, "AF"])


@pytest.mark.slow
@pytest.mark.parametrize("run", ["no_hrv", "placebo"])
@pytest.mark.parametrize("label", ["LBBB", "TInv"])
def test_morphology_needs_no_hrv(table, run, label):
    check_found(table[run, "third", label])


@pytest.mark.slow
def test_the_shortcut_works_at_home_and_fails_abroad(table):
    check_found(table["ecg_ramba", "home", "QAb"])
    check_chance(table["ecg_ramba", "third", "QAb"])


@pytest.mark.slow
@pytest.mark.parametrize("label", LABELS)
def test_shuffled_labels_give_chance(table, label):
    check_chance(table["shuffled", "home", label])
    check_chance(table["shuffled", "third", label])
