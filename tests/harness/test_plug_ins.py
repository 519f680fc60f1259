"""Plug-ins that are broken: a warning and a row, and everything else goes on."""

import dataclasses
import importlib.metadata
import json
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import ablations.__main__
from ecg_ramba import cli, models
from ecg_ramba.errors import PlugInWarning, UserError
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.report import write_report
from ecg_ramba.harness import cells, variants
from ecg_ramba.harness.config import Variant
from ecg_ramba.harness.executors.local import local
from ecg_ramba.harness.options import run_command
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import run_suite
from ecg_ramba.harness.tracking import log_suite
from ecg_ramba.harness.variants import all_variants, choose_variants
from ecg_ramba.models import ModelSpec

QUICK = EvaluationConfig(draws=50, permutations=50)


def point(name, content, value=None):
    """An entry point that gives ``content``, or raises it."""

    def load():
        if isinstance(content, BaseException):
            raise content
        return content

    return SimpleNamespace(name=name, value=value or f"{name}_package:THEM", load=load)


@pytest.fixture
def plug_in(monkeypatch):
    """Adds entry points to those that are there: ``plug_in(ablations=[…], models=[…])``."""

    def add(**more):
        def entry_points(group, **chosen):
            mine = [p for p in more.get(group.split(".")[1], []) if chosen.get("name") in (None, p.name)]
            return [*importlib.metadata.entry_points(group=group, **chosen), *mine]

        monkeypatch.setattr(variants, "entry_points", entry_points)
        monkeypatch.setattr(models, "entry_points", entry_points)

    return add


BROKEN = {
    "an import that fails": ImportError("no module named torchaudio"),
    "an exit": SystemExit("go away"),
    "no list": 7,
    "a list of something else": [Variant(name="fine", title="fine"), "no_hrv"],
    "a setting without a key": [Variant(name="fine", title="fine", changes={"place": Path()})],
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_list_leaves_the_others_alone_and_is_named(plug_in, content):
    before = [v.name for v in choose_variants([])]
    plug_in(ablations=[point("mine", content)])
    with pytest.warns(PlugInWarning, match=r"ablations 'mine' \(mine_package:THEM\) cannot be imported: \w+: .*left"):
        assert [v.name for v in choose_variants([])] == before
    with pytest.warns(PlugInWarning, match="'mine'"):
        assert "fine" not in all_variants()
    with pytest.warns(PlugInWarning, match="'mine'"):
        everything = choose_variants([], everything=True)
    *known, line = everything
    assert not any(v.failure for v in known)
    assert (line.name, line.trained) == ("mine", False)
    assert "cannot be imported" in line.failure
    with (
        pytest.warns(PlugInWarning, match="'mine'"),
        pytest.raises(UserError, match=r"no variant or group is called 'fine'; .*'mine' .*cannot be imported"),
    ):
        choose_variants(["fine"])


def test_without_a_broken_list_nothing_is_said():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not any(v.failure for v in choose_variants([], everything=True))


def test_broken_lists_never_share_a_name(plug_in):
    error = ImportError("gone")
    plug_in(ablations=[point("no_hrv", error), point("mine", error), point("mine", error, "other_package:THEM")])
    with pytest.warns(PlugInWarning):
        made = choose_variants([], everything=True)
    assert [v.name for v in made if v.failure] == ["no_hrv (no_hrv_package:THEM)", "mine", "mine (other_package:THEM)"]


def test_without_the_reference_there_is_no_run(monkeypatch):
    broken = point("default", ImportError("gone"), "ablations.variants:VARIANTS")
    fine = point("mine", (Variant(name="other", title="other"),))
    monkeypatch.setattr(variants, "entry_points", lambda **k: [fine, broken])
    with pytest.raises(UserError, match=r"ablations 'default' .*cannot be imported: ImportError: gone"):
        choose_variants([])


def test_a_name_that_is_taken_stays_an_error(plug_in):
    plug_in(ablations=[point("mine", (Variant(name="no_hrv", title="mine"),))])
    with pytest.raises(UserError, match="two variants are called 'no_hrv'; rename the one in mine_package:THEM"):
        choose_variants([])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "a/b"}, "cannot be called 'a/b'"),
        ({"name": ".."}, "cannot be called"),
        ({"name": ""}, "cannot be called"),
        ({"name": 3}, "cannot be called 3"),
        ({"pooling": "max"}, "pooling is a Pooling, not 'max'"),
        ({"changes": ["use_rhythm"]}, "changes is a Mapping"),
        ({"mean_of": "no_hrv"}, "mean_of is a tuple"),
        ({"title": None}, "title is a str, not None"),
    ],
)
def test_a_variant_of_the_wrong_kind_is_refused(wrong, message):
    with pytest.raises(UserError, match=message):
        Variant(**({"name": "mine", "title": "mine"} | wrong))


def test_the_list_and_the_warning_as_they_are_printed(plug_in, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    plug_in(
        ablations=[point("mine", ImportError("gone"))], models=[point("my_model", ImportError("lost")), point("m", 7)]
    )
    assert ablations.__main__.main(["--list"]) == 0
    said = capsys.readouterr()
    assert "failed: ablations 'mine' (mine_package:THEM) cannot be imported: ImportError: gone" in said.out
    assert "no_hrv" in said.out
    line = "warning: ablations 'mine' (mine_package:THEM) cannot be imported: ImportError: gone; it is left out\n"
    assert said.err == line

    def again():
        warnings.simplefilter("always")
        for _ in range(3):
            all_variants()
        warnings.warn("something else", UserWarning, stacklevel=1)

    with pytest.warns(UserWarning, match="something else"):
        assert run_command(again) == 0
    assert capsys.readouterr().err == line
    assert cli.main(["model", "list"]) == 1
    said = capsys.readouterr().out
    assert "my_model" in said
    assert "lost" in said
    assert "hrv_logistic" in said


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nothing:
    """No settings."""


def spec(name, build=None, **changes):
    made = {
        "name": name, "title": name, "reference": "a test", "kind": "estimator", "profile": lambda profile: Nothing(),
        "streams": lambda config: frozenset({"rhythm"}), "build": build or Answers,
    }  # fmt: skip
    return point(name, ModelSpec(**(made | changes)))


class Answers:
    """An estimator that answers as its class says."""

    answer = staticmethod(lambda n, classes: np.full((n, classes), 0.5, np.float32))

    def __init__(self, config, shape):
        self.classes = shape.classes

    def fit(self, windows, y, known, seed):
        pass

    def predict_proba(self, windows):
        return self.answer(len(windows), self.classes)

    def parameters(self):
        return 0

    def state(self):
        return {}

    def load(self, state):
        pass


class Net(nn.Module):
    """A network that is sound in training and answers as its class says afterwards."""

    def __init__(self, config, shape):
        super().__init__()
        self.head = nn.Linear(shape.rhythm, shape.classes)

    def forward(self, batch):
        logits = self.head(batch.rhythm)
        return logits if self.training else self.later(logits)


def answering(answer):
    return type("Answering", (Answers,), {"answer": staticmethod(answer)})


def raising(*_):
    raise ValueError("no such profile\nand more")


@pytest.fixture
def run(tiny, cohort, tmp_path, monkeypatch):
    """Runs variants on one target beside a sound one: ``run(*variants)``; result, rows by name, evaluation."""
    # a test's own models are in no module that a key could be made of
    found = cells.code_digest
    monkeypatch.setattr(cells, "code_digest", lambda name: name if "test_plug_ins" in name else found(name))

    def go(*chosen):
        suite = dataclasses.replace(tiny, targets=("synthetic-third",))
        result = run_suite(
            suite, [all_variants()["hrv_logistic"], *chosen], cohort, tmp_path / "out", local(1), Progress()
        )
        rows = {r["name"]: r for r in json.loads((result.folder / "variants.json").read_text())}
        made = evaluate(result.folder, QUICK)
        assert rows["hrv_logistic"]["status"] == "ok"
        assert made.summary[made.summary["variant"] == "hrv_logistic"]["value"].notna().any()
        return result, rows, made

    return go


def mine(name, model=None, **changes):
    return Variant(name=name, title=name, model=model or name, **changes)


def test_a_variant_that_cannot_be_planned_is_a_row_and_the_others_go_on(plug_in, run, tmp_path, monkeypatch, capsys):
    plug_in(
        models=[point("gone", ImportError("no module named torchaudio")), spec("odd", profile=raising),
                spec("streamless", streams=raising), spec("moduleless", build=SimpleNamespace())]
    )  # fmt: skip
    chosen = [
        mine("gone"), mine("unknown"), mine("odd"), mine("streamless"), mine("moduleless"),
        mine("setting", "hrv_logistic", changes={"colour": "red"}),
        mine("part", "hrv_logistic", settings={"data.name": "x"}),
        mine("kernels", "minirocket_linear", settings={"features.num_kernels": -1}),
        mine("pooled", windows_of="gone"), mine("mean", mean_of=("gone", "hrv_logistic")),
        Variant(name="lists", title="plug-in lists", model="", failure="ablations 'lists' cannot be imported: X"),
    ]  # fmt: skip
    result, rows, made = run(*chosen)
    reasons = {
        "gone": "model 'gone' (gone_package:THEM) cannot be imported: ImportError: no module named torchaudio",
        "unknown": "no model is called 'unknown'",
        "odd": "ValueError: no such profile",
        "streamless": "ValueError: no such profile",
        "moduleless": "AttributeError",
        "setting": "model 'hrv_logistic' has no setting colour",
        "part": "a variant cannot set 'data.name'",
        "kernels": "num_kernels",
        "pooled": "gone failed, and with it the windows to pool",
        "mean": "gone failed, and with it the mean",
        "lists": "ablations 'lists' cannot be imported: X",
    }
    assert {n for n, r in rows.items() if r["status"] == "failed"} == set(reasons)
    for name, reason in reasons.items():
        assert reason in rows[name]["reason"], name
        assert "\n" not in rows[name]["reason"]
    assert set(made.failures) == set(reasons)
    assert set(made.summary["variant"]) == {"hrv_logistic", *(v.name for v in chosen)}
    said = " ".join(capsys.readouterr().err.split())
    assert "failed: gone: model 'gone'" in said

    import mlflow

    files = write_report(made, result.folder)
    assert "ablations 'lists' cannot be imported: X" in files[0].read_text()
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    log_suite(result, made, files, uri, Progress())
    client = mlflow.MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("ecg-ramba-bench").experiment_id])
    tags = {r.data.tags.get("variant"): r.data.tags for r in runs if r.data.tags["level"] == "variant"}
    assert tags["lists"]["reason"] == "ablations 'lists' cannot be imported: X"
    assert tags["gone"]["status"] == "failed"
    assert tags["hrv_logistic"]["status"] == "ok"


def test_a_reference_that_cannot_be_planned_ends_the_run(plug_in, run):
    plug_in(models=[point("gone", ImportError("lost"))])
    with pytest.raises(UserError, match=r"model 'gone' .*cannot be imported: ImportError: lost"):
        run(mine("ecg_ramba", "gone"))


def test_features_that_fail_fail_who_needs_them_and_end_the_run_of_the_reference(run, monkeypatch, capsys):
    def fit(source, table, fold, features, *rest):
        raise MemoryError("no memory left")

    monkeypatch.setattr("ecg_ramba.harness.feature_jobs.fit_morphology", fit)
    monkeypatch.setattr(cells, "fit_morphology", fit)
    _, rows, _ = run(mine("kernels", "minirocket_linear"))
    assert "MemoryError: no memory left" in rows["kernels"]["reason"]
    assert "features of kernels, fold 1, failed: MemoryError" in capsys.readouterr().err
    with pytest.raises(UserError, match="features of ecg_ramba, fold 1, failed: MemoryError: no memory left"):
        run(mine("ecg_ramba"))


def test_the_run_as_it_is_typed(monkeypatch, cohort, tmp_path, capsys):
    """With a cheap reference: unasked the broken list is a warning, with --all a row and the exit status."""
    own = (mine("ecg_ramba", "hrv_logistic"),)
    points = [point("default", own, "ablations.variants:VARIANTS"), point("mine", ImportError("gone"))]
    monkeypatch.setattr(variants, "entry_points", lambda **k: points)
    argv = ["--data", str(cohort), "--source", "synthetic-source", "--target", "synthetic-third", "--folds", "2"]
    argv += ["--no-tracking", "--workers", "1"]
    for more, status in (([], 0), (["--all"], 1)):
        out = tmp_path / f"out{status}"
        assert ablations.__main__.main([*argv, "--out", str(out), *more]) == status
        said = capsys.readouterr()
        assert said.err.count("warning: ablations 'mine'") == 1
        (summary,) = out.glob("suites/*/report/summary.csv")
        assert (",mine," in summary.read_text()) == bool(status)
        assert ("failed: mine: ablations 'mine'" in " ".join(said.out.split())) == bool(status)


ANSWERS = {
    "NaN": lambda n, k: np.full((n, k), np.nan),
    "one NaN": lambda n, k: np.where(np.arange(n)[:, None] == n - 1, np.nan, np.full((n, k), 0.5)),
    "infinite": lambda n, k: np.full((n, k), np.inf),
    "above one": lambda n, k: np.full((n, k), 1.001),
    "below zero": lambda n, k: np.full((n, k), -1e-6),
    "a class short": lambda n, k: np.full((n, k - 1), 0.5),
    "a window short": lambda n, k: np.full((n - 1, k), 0.5),
    "one column": lambda n, k: np.full(n, 0.5),
    "nothing": lambda n, k: None,
    "words": lambda n, k: [["yes"] * k] * n,
    "an exception": raising,
}
SAID = {"words": "ValueError", "an exception": "ValueError: no such profile"}


def test_answers_that_are_no_probabilities_are_rows_and_the_others_go_on(plug_in, run):
    names = {f"m{i}": how for i, how in enumerate(ANSWERS)}
    plug_in(models=[spec(name, build=answering(ANSWERS[how])) for name, how in names.items()] + [spec("sound")])
    _, rows, made = run(*map(mine, names), mine("sound"))
    assert rows["sound"]["status"] == "ok"
    assert set(made.failures) == set(names)
    for name, how in names.items():
        expected = SAID.get(how, "returned shape" if how in ("a class short", "a window short", "one column", "nothing")
                            else "returned values that are not probabilities")  # fmt: skip
        assert expected in rows[name]["reason"], how
        assert rows[name]["windows"] is None


LATER = {
    "NaN": lambda x: x * torch.nan,
    "a class short": lambda x: x[:, 1:],
    "no tensor": lambda x: None,
}


def test_networks_that_go_wrong_when_they_predict_are_rows_too(plug_in, run):
    nets = {f"n{i}": type("Later", (Net,), {"later": staticmethod(f)}) for i, f in enumerate(LATER.values())}
    in_training = type("Lost", (Net,), {"forward": lambda self, batch: self.head(batch.rhythm) * torch.nan})
    short = type("Short", (Net,), {"forward": lambda self, batch: self.head(batch.rhythm)[:, 1:]})
    nets |= {"lost": in_training, "short": short}
    plug_in(models=[spec(name, build=net, kind="network") for name, net in nets.items()])
    _, rows, made = run(*map(mine, nets))
    assert set(made.failures) == set(nets)
    assert "returned values that are not probabilities" in rows["n0"]["reason"]
    assert "the training loss is nan at step 1" in rows["lost"]["reason"]
