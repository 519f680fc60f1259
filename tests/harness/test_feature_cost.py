"""What features cost is said before they are computed, and is what they then take."""

import io
import re

import numpy as np
import pytest
from rich.console import Console

from ecg_ramba.errors import UserError
from ecg_ramba.features.transform import FeatureConfig
from ecg_ramba.harness import feature_jobs
from ecg_ramba.harness.executors.local import local
from ecg_ramba.harness.feature_cost import FeatureCost, fold_cost, in_words
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import run_suite
from ecg_ramba.harness.variants import all_variants


def test_of_one_fold():
    config = FeatureConfig(max_components=3072, records_per_component=4)
    cost = fold_cost(config, train=300, records=100, source=375, targets=[10, 20])
    assert cost == FeatureCost(fitted=300, both=375, once=30, bytes=(2 * 375 + 30) * 25 * 2)
    assert fold_cost(config, 300, 45_000, 375, []).bytes == 2 * 375 * 3072 * 2
    every = fold_cost(FeatureConfig(reduction="none"), 300, 100, 375, [])
    assert every.bytes == 2 * 375 * 9996 * 2
    assert cost + every == FeatureCost(600, 750, 30, cost.bytes + every.bytes)
    assert cost.windows == 300 + 2 * 375 + 30


def test_in_words():
    said = in_words(FeatureCost(100_000, 80_000, 40_000, 3_000_000_000), (0.006, 0.0085, 0.004), 2)
    # 100,000 windows of 6 ms, 80,000 of 8.5 ms and 40,000 of 4 ms, on two cores
    assert said == "features: 300,000 windows, about 12 min with 2 workers and 3.0 GB"


@pytest.fixture
def run(tiny, cohort, tmp_path):
    """Runs the reference on a cohort; returns what was said, and the cache."""

    def run():
        out = io.StringIO()
        run_suite(
            tiny, [all_variants()["ecg_ramba"]], cohort, tmp_path, local(1), Progress(Console(file=out, width=300))
        )
        return out.getvalue(), tmp_path / "cache"

    return run


def test_it_is_what_the_features_take(run, monkeypatch):
    monkeypatch.setattr(feature_jobs, "LARGE", 1)
    said, cache = run()
    windows, minutes = re.search(
        r"features: ([\d,]+) windows, about (\d+) min with 1 workers and 0\.0 GB", said
    ).groups()
    rows = [np.load(path, mmap_mode="r") for path in cache.glob("components/*/rows.npy")]
    assert len(rows) == 2 * 4, "two folds: the source twice, two targets"
    trained = int(windows.replace(",", "")) - sum(len(r) for r in rows)
    assert trained == 3 * 24, "three windows of each recording of the source, half of them in each fold"
    assert int(minutes) == 0
    assert "features: " not in run()[0].replace("features: 2 of 2", ""), "nothing is left to compute"


def test_what_the_disk_cannot_hold_is_not_begun(run, tmp_path, monkeypatch):
    run_features = feature_jobs.check_space
    monkeypatch.setattr(feature_jobs, "check_space", lambda *a: run_features(a[0], a[1] + 1e18, a[2]))
    with pytest.raises(UserError, match=r"features take about 1000000000\.0 GB"):
        run()
    assert not list(tmp_path.glob("cache/transforms/*"))
