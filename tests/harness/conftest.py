"""A small synthetic cohort and a short budget, so that whole suites run in seconds."""

import dataclasses

import pytest

from ecg_ramba.data.synthetic import CohortConfig, synthesize
from ecg_ramba.features.transform import FeatureConfig
from ecg_ramba.harness.config import Budget, SuiteConfig
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import run_suite
from ecg_ramba.harness.variants import all_variants

TINY = SuiteConfig(
    source="synthetic-source",
    targets=("synthetic-rhythm", "synthetic-third"),
    folds=2,
    features=FeatureConfig(num_kernels=336),
    budget=Budget(epochs=2, min_steps=6),
)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """WFDB files of a small synthetic cohort."""
    folder = tmp_path_factory.mktemp("cohort") / "cohort"
    synthesize(folder, CohortConfig(source=24, third=12, subjects=3))
    return folder


@pytest.fixture(scope="session")
def tiny():
    """The configuration of a suite that takes seconds."""
    return TINY


@pytest.fixture(scope="session")
def run_tiny(cohort):
    """Runs a tiny suite: ``run_tiny(out, names, data=…, workers=…, **changes)``."""

    def run(out, names=("ecg_ramba", "hrv_logistic"), data=None, workers=1, **changes):
        variants = [all_variants()[n] for n in names]
        return run_suite(dataclasses.replace(TINY, **changes), variants, data or cohort, out, workers, Progress())

    return run
