"""Models that try to cheat: each is refused, or scores at chance."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from ecg_ramba.data.synthetic import CohortConfig, synthesize
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.harness import cells
from ecg_ramba.harness.config import Variant
from ecg_ramba.harness.executors.local import local
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import run_suite
from ecg_ramba.models import ModelSpec, model_spec


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nothing:
    """No settings."""


class Memory:
    """Knows every training window by heart, and answers 0.5 to all others."""

    def __init__(self, config, shape):
        self.classes, self.known = shape.classes, {}

    def fit(self, windows, y, known, seed):
        # the first lead alone: what dropping V1-V6 leaves
        self.known = {x[0].tobytes(): row for x, row in zip(windows.signal, y, strict=True)}

    def predict_proba(self, windows):
        blank = np.full(self.classes, 0.5, np.float32)
        return np.stack([self.known.get(x[0].tobytes(), blank) for x in windows.signal])

    def parameters(self):
        return 0

    def state(self):
        return {}

    def load(self, state):
        pass


class Order(Memory):
    """Answers by the place of a window among those it is shown: the order of the files."""

    def predict_proba(self, windows):
        return np.tile(np.linspace(0, 1, len(windows), dtype=np.float32)[:, None], (1, self.classes))


class Scaled(Memory):
    """Standardises by the statistics of the windows it is shown."""

    def predict_proba(self, windows):
        level = windows.signal[:, 0].max(1)
        return np.tile(1 / (1 + np.exp(-(level - level.mean()) / level.std()))[:, None], (1, self.classes))


class FirstSight(Scaled):
    """The same, with the statistics of what it was shown first kept."""

    mean = None

    def predict_proba(self, windows):
        level = windows.signal[:, 0].max(1)
        if self.mean is None:
            self.mean = level.mean()
        return np.tile(1 / (1 + np.exp(-(level - self.mean)))[:, None], (1, self.classes))


class Peeking(nn.Module):
    """A network whose batch norm uses the batch's own statistics when it predicts."""

    def __init__(self, config, shape):
        super().__init__()
        self.norm = nn.BatchNorm1d(shape.leads, track_running_stats=False)
        self.head = nn.Linear(shape.leads, shape.classes)

    def forward(self, batch):
        return self.head(self.norm(batch.signal).clamp_min(0).mean(2))


def spec(build, kind="estimator"):
    return ModelSpec(
        name="attack", title="attack", reference="a test", kind=kind, profile=lambda name: Nothing(),
        streams=lambda config: frozenset({"signal"}), build=build,
    )  # fmt: skip


@pytest.fixture
def run(tiny, monkeypatch, tmp_path):
    """Runs an attack as a variant: ``run(spec, data)``."""

    def go(attack, data, **changes):
        def found(name):
            return attack if name == "attack" else model_spec(name)

        for module in ("cells", "feature_jobs", "embeddings", "config", "checkpoint"):
            monkeypatch.setattr(f"ecg_ramba.harness.{module}.model_spec", found)
        monkeypatch.setattr(cells, "code_digest", lambda module: module)
        variants = [Variant(name="attack", title="attack", model="attack")]
        config = dataclasses.replace(tiny, targets=("synthetic-third",), **changes)
        return run_suite(config, variants, data, tmp_path / "out", local(1), Progress())

    return go


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """A cohort in which half of the source's recordings stand twice, under other names, at the source and abroad."""
    place = tmp_path_factory.mktemp("copies") / "cohort"
    synthesize(place, CohortConfig(source=24, third=12, subjects=1))
    for i in range(1, 13):
        for site, name in (("synthetic-source", f"SYNS{i + 500:05d}"), ("synthetic-third", f"SYNT{i + 500:05d}")):
            old = f"SYNS{i:05d}"
            for path in (place / "synthetic-source").glob(f"{old}.*"):
                new = place / site / path.name.replace(old, name)
                shutil.copy(path, new)
                if new.suffix == ".hea":
                    new.write_text(new.read_text().replace(old, name))
    return place


def headline(result):
    rows = evaluate(result.folder, EvaluationConfig(draws=50)).per_class
    return rows[(rows["metric"] == "roc_auc") & rows["value"].notna()]


def test_a_memory_of_the_training_part_scores_at_chance_though_copies_stand_under_other_names(run, copies):
    result = run(spec(Memory), copies)
    assert not result.failures
    assert len(result.context.source.records) == 36
    assert len(result.context.targets[0].records) == 12, "what is a copy of the source is no target"
    rows = headline(result)
    assert set(rows["role"]) == {"source", "target"}
    at_home = rows[(rows["role"] == "source") & (rows["estimate"] == "mean over folds")]
    assert (at_home["value"] == 0.5).all()
    assert (rows[rows["role"] == "target"]["value"] == 0.5).all()


def test_the_memory_would_be_perfect_if_anything_leaked(run, copies, monkeypatch):
    """The negative control: with the groups of the split taken away, copies stand on both sides and are recognised."""
    monkeypatch.setattr("ecg_ramba.harness.splits.groups_of", lambda records: np.arange(len(records)))
    monkeypatch.setattr("ecg_ramba.harness.splits.check_folds", lambda records, fold: None)
    monkeypatch.setattr("ecg_ramba.harness.contexts.overlap_with_source", lambda t, s: np.zeros(len(t), bool))
    rows = headline(run(spec(Memory), copies))
    assert rows[rows["role"] == "target"]["value"].max() > 0.6
    assert rows[(rows["role"] == "source")]["value"].max() > 0.6


@pytest.mark.parametrize("build", [Order, Scaled, FirstSight])
def test_what_depends_on_the_other_windows_is_refused(run, cohort, build):
    result = run(spec(build), cohort)
    assert "says something else of a window when others are beside it" in result.failures["attack"]


def test_a_network_that_peeks_through_its_batch_norm_is_refused(run, cohort):
    torch.manual_seed(0)
    result = run(spec(Peeking, "network"), cohort)
    assert "says something else of a window when others are beside it" in result.failures["attack"]
