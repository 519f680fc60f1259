"""The search sees its own fold's training part and nothing else, keeps every trial, and goes on where it stopped."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from wsgiref.util import setup_testing_defaults

import numpy as np
import optuna
import pandas as pd
import pytest

import ablations.__main__
import studies.__main__
from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.harness.contexts import cache_dir, load_named, make_context
from ecg_ramba.harness.executors.local import local
from ecg_ramba.harness.options import read_overrides, suite_config
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import check_search
from ecg_ramba.harness.variants import choose_variants
from studies.search.objective import inner_fold, inner_trial
from studies.search.results import best_trial, front, importance, trial_table, write_best
from studies.search.storage import open_storage, trial_owner
from studies.search.study import OWNER, REASON, Search, counted, open_study, run_search, search_key

MODEL = "hrv_logistic"


@pytest.fixture(scope="module")
def home(tiny):
    """The tiny suite's configuration without targets."""
    return dataclasses.replace(tiny, targets=())


@pytest.fixture(scope="module")
def context_of(home):
    """``context_of(data, out)``: the source's context."""

    def make(data, out):
        prepared = load_named([home.source], data, cache_dir(out), home.signal, 1, Progress())
        return make_context(home, prepared, out)[0]

    return make


def searched(context, models, trials, out, workers=1, cost="", storage=None):
    search = Search(models, trials, cost, storage, out / "search", search_key(context, cost))
    return search, run_search(context, search, local(workers), Progress())


def losses(trials):
    return [t.values[0] for t in trials]


@pytest.fixture(scope="module")
def finished(context_of, cohort, tmp_path_factory):
    """A finished search of two trials of ECG-RAMBA a fold, and where its best configuration is."""
    out = tmp_path_factory.mktemp("search")
    context = context_of(cohort, out)
    search, found = searched(context, ("ecg_ramba",), 2, out)
    write_best(context, search, found, [out / "configurations" / "tuned.json"])
    return out, context, search, found


def test_inner_parts_lie_inside_the_training_part_and_share_nobody(context_of, cohort, tmp_path):
    context = context_of(cohort, tmp_path)
    for outer in context.folds:
        inner = inner_fold(context, outer)
        train, validation, held_out = set(inner.train), set(inner.held_out), set(outer.held_out)
        assert train | validation == set(outer.train)
        assert not train & validation
        assert not (train | validation) & held_out
        assert 0.1 < len(validation) / len(outer.train) < 0.35


def test_each_fold_has_its_trials_and_its_best(finished):
    out, context, _, found = finished
    content = json.loads((out / "configurations" / "tuned.json").read_text())
    assert content["synthetic"]
    assert content["trials"] == 2
    assert set(content["best"]["ecg_ramba"]) == {"1", "2"}
    for (_, fold), trials in found.items():
        assert len(trials) == 2
        best = content["best"]["ecg_ramba"][str(fold)]
        assert best["loss"] == min(losses(trials))
        assert best["training_part"] == context.folds[fold - 1].digest


def test_the_same_search_again_adds_nothing_and_more_trials_go_on(finished):
    out, context, _, found = finished
    _, again = searched(context, ("ecg_ramba",), 2, out)
    _, more = searched(context, ("ecg_ramba",), 3, out)
    for place, trials in found.items():
        assert losses(again[place]) == losses(trials)
        assert [t.number for t in more[place]] == [0, 1, 2]
        assert losses(more[place])[:2] == losses(trials)


def test_noise_in_place_of_what_is_held_out_changes_no_trial(finished, context_of, cohort, tmp_path, replace_by_noise):
    _, context, _, found = finished
    held_out = set(context.source.records["record"].iloc[context.folds[0].held_out])
    noisy = tmp_path / "noisy"
    shutil.copytree(cohort, noisy)
    assert replace_by_noise(noisy, lambda path: path.stem in held_out) == len(held_out)
    _, changed = searched(context_of(noisy, tmp_path / "out"), ("ecg_ramba",), 2, tmp_path / "out")
    assert losses(changed["ecg_ramba", 1]) == losses(found["ecg_ramba", 1])
    assert losses(changed["ecg_ramba", 2]) != losses(found["ecg_ramba", 2])


def test_the_objective_cannot_see_a_target(context_of, tiny, cohort, tmp_path, monkeypatch):
    names = [tiny.source, *tiny.targets]
    data = load_named(names, cohort, cache_dir(tmp_path), tiny.signal, 1, Progress())
    context, _ = make_context(tiny, data, tmp_path)
    assert context.targets
    seen = []

    def train(given, cell, **others):
        seen.append((given.targets, given.target_tables))
        raise InterruptedError

    monkeypatch.setattr("studies.search.objective.train_cell", train)
    with pytest.raises(InterruptedError):
        inner_trial(context, MODEL, None, inner_fold(context, context.folds[0]))
    assert seen == [((), ())]


def test_the_best_configuration_is_used_on_its_own_splits_only(finished, run_tiny, tmp_path):
    out, _, _, _ = finished
    overrides = read_overrides("tuned", "small", out)
    result = run_tiny(out, ("ecg_ramba",), overrides=overrides)
    assert not result.failures
    with pytest.raises(LeakageError, match="searched for ecg_ramba on other data or folds"):
        run_tiny(tmp_path, ("ecg_ramba",), overrides=overrides, base_seed=5)
    content = json.loads((out / "configurations" / "tuned.json").read_text())
    content["best"]["ecg_ramba"]["1"]["config"] = {"no_such_setting": 1}
    (tmp_path / "wrong.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="no setting no_such_setting"):
        run_tiny(tmp_path, ("ecg_ramba",), overrides=read_overrides(str(tmp_path / "wrong.json"), "small", out))


def test_a_file_that_is_no_configuration_is_refused(finished, tmp_path):
    (tmp_path / "a.json").write_text("[1, 2]")
    with pytest.raises(UserError, match="no configuration file of a search"):
        read_overrides(str(tmp_path / "a.json"), "small", tmp_path)
    with pytest.raises(UserError, match=r"no configuration is called 'tuend'; did you mean tuned\?"):
        read_overrides("tuend", "small", finished[0])
    with pytest.raises(UserError, match="nox -s studies -- search"):
        read_overrides("tuned", "small", tmp_path)


def test_a_configuration_that_nothing_here_can_use_is_refused(finished, run_tiny, tmp_path):
    out = finished[0]
    with pytest.raises(UserError, match="searched under --profile small, this run's is full"):
        read_overrides("tuned", "full", out)
    with pytest.raises(UserError, match="no variant of this run is made of it"):
        run_tiny(tmp_path, (MODEL,), overrides=read_overrides("tuned", "small", out))


def test_a_network_without_prospects_ends_early(context_of, cohort, tmp_path, monkeypatch):
    context = context_of(cohort, tmp_path)
    inner = inner_fold(context, context.folds[0])
    looks = []

    def look(step, loss):
        looks.append((step, loss))
        if step == 2:
            raise optuna.TrialPruned

    from ecg_ramba.models import model_spec

    config = model_spec("resnet1d").profile("small")
    values, _ = inner_trial(context, "resnet1d", config, inner, look=lambda step, loss: looks.append((step, loss)))
    plain, _ = inner_trial(context, "resnet1d", config, inner)
    assert values == plain, "looking changes nothing"
    whole, looks = looks, []
    assert len(whole) >= 1
    assert all(np.isfinite(loss) for _, loss in whole)
    with pytest.raises(optuna.TrialPruned):
        inner_trial(context, "resnet1d", config, inner, look=look)
    assert looks == whole[: len(looks)]


def test_a_configuration_that_fails_counts_and_says_why(context_of, cohort, tmp_path, monkeypatch):
    context = context_of(cohort, tmp_path)
    original = inner_trial
    calls = []

    def fails_first(*given):
        calls.append(given)
        if len(calls) == 1:
            raise ValueError("too deep")
        return original(*given)

    monkeypatch.setattr("studies.search.study.inner_trial", fails_first)
    search, found = searched(context, (MODEL,), 2, tmp_path)
    table = trial_table(search, found)
    assert table["state"].tolist() == ["fail", "complete", "complete", "complete"]
    assert table["reason"].tolist() == ["ValueError: too deep", "", "", ""]
    assert best_trial(found[MODEL, 1], "").number == 1
    monkeypatch.setattr("studies.search.study.inner_trial", lambda *given: 1 / 0)
    search, found = searched(context, ("hrv_boosting",), 1, tmp_path)
    with pytest.raises(UserError, match="no trial of hrv_boosting on fold 1 came to an end: ZeroDivisionError"):
        write_best(context, search, found, [])


def test_a_full_disk_is_no_fault_of_a_configuration(context_of, cohort, tmp_path, monkeypatch):
    from ecg_ramba.files import explained

    def full(*given):
        with explained(tmp_path):
            raise OSError(28, "No space left on device")

    context = context_of(cohort, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("studies.search.study.inner_trial", full)
        with pytest.raises(UserError, match=r"4 of 4 trials are missing: .*No space left .*are kept"):
            searched(context, (MODEL,), 2, tmp_path)
    search, found = searched(context, (MODEL,), 2, tmp_path)
    assert trial_table(search, found)["state"].tolist() == ["complete"] * 4


def test_leakage_ends_the_search(context_of, cohort, tmp_path, monkeypatch):
    def leaks(*given):
        raise LeakageError("a held-out recording is in the inner split")

    monkeypatch.setattr("studies.search.study.inner_trial", leaks)
    with pytest.raises(UserError, match="a held-out recording is in the inner split"):
        searched(context_of(cohort, tmp_path), (MODEL,), 1, tmp_path)


def test_a_trial_whose_process_died_is_done_again(context_of, cohort, tmp_path):
    context = context_of(cohort, tmp_path)
    search = Search((MODEL,), 2, "", None, tmp_path / "search", search_key(context, ""))
    study = open_study(search, MODEL, 1)
    dead, alive = study.ask(), study.ask()
    dead.set_user_attr(OWNER, "somebody-who-died")
    with trial_owner(search.folder) as owner:
        alive.set_user_attr(OWNER, owner)
        # the lock of a process is its own: another one must find it held
        asked = "import pathlib, sys; from studies.search.storage import is_alive\n"
        asked += "print(is_alive(pathlib.Path(sys.argv[1]), sys.argv[2]))"
        argv = [sys.executable, "-c", asked, str(search.folder), owner]
        said = subprocess.run(argv, capture_output=True, text=True, check=True)
        assert said.stdout.strip() == "True"
    study.tell(alive, 0.5)
    found = run_search(context, search, local(1), Progress())
    assert [t.number for t in found[MODEL, 1]] == [1, 2]
    assert study.trials[0].state.name == "FAIL"


def test_with_a_cost_the_cheapest_of_the_good_ones_is_taken(context_of, cohort, tmp_path):
    context = context_of(cohort, tmp_path)
    search, found = searched(context, ("minirocket_linear", MODEL), 3, tmp_path, cost="latency")
    for trials in found.values():
        assert all(len(t.values) == 2 and t.values[1] > 0 for t in trials)
        best, kept = best_trial(trials, "latency"), front(trials)
        assert best.values[0] <= min(losses(trials)) + 0.01
        for t in trials:
            as_good = [o for o in trials if all(a <= b for a, b in zip(o.values, t.values, strict=True))]
            beaten = any(o.values != t.values for o in as_good)  # the same settings drawn twice have the same values
            assert (t.values in [k.values for k in kept]) == (not beaten)
    assert set(trial_table(search, found)["model"]) == {"minirocket_linear", MODEL}


def test_importance_finds_what_matters():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda t: t.suggest_float("much", 0, 1) + 0.01 * t.suggest_float("little", 0, 1), n_trials=40)
    shares = importance(study.trials)
    assert shares["much"] > 0.9
    assert importance(study.trials[:3]) == {}


WORKER = """
import pickle, sys
from pathlib import Path
from ecg_ramba.harness.executors.local import InProcess
from ecg_ramba.harness.progress import Progress
from studies.search.study import run_search
if __name__ == "__main__":
    context, search = pickle.loads(Path(sys.argv[1]).read_bytes())
    run_search(context, search, InProcess(), Progress())
"""


def several(context, search, tmp_path, processes, kill):
    """Run one search from several processes and kill some of them, each in the middle of a trial."""
    import pickle

    (tmp_path / "given").write_bytes(pickle.dumps((context, search)))
    argv = [sys.executable, "-c", WORKER, str(tmp_path / "given")]
    with open(tmp_path / "said", "w") as said:
        running = [subprocess.Popen(argv, stdout=said, stderr=said) for _ in range(processes)]
        study = open_study(search, MODEL, 1)
        killed = 0
        deadline = time.monotonic() + 300
        while killed < kill and time.monotonic() < deadline:
            time.sleep(0.05)
            trials = study.get_trials(deepcopy=False)
            victim = running[killed]
            owned = [
                t for t in trials if t.state.name == "RUNNING" and f"-{victim.pid}-" in t.user_attrs.get(OWNER, "")
            ]
            if owned and len(trials) > 5 * (killed + 1):
                victim.send_signal(signal.SIGKILL)
                victim.wait()
                killed += 1
        assert killed == kill
        for process in running[kill:]:
            assert process.wait(timeout=300) == 0, (tmp_path / "said").read_text()


def check_accounts(study, trials, killed):
    """Every trial is accounted for: exactly so many count, none twice; the killed ones failed without a value."""
    made = study.get_trials()
    assert [t.number for t in made] == list(range(len(made)))
    states = Counter(t.state.name for t in made)
    assert states["COMPLETE"] + states["PRUNED"] == trials == len(counted(made))
    assert not states["RUNNING"]
    assert not states["WAITING"]
    failed = [t for t in made if t.state.name == "FAIL"]
    assert len(failed) >= killed
    assert all(t.values is None and REASON not in t.user_attrs for t in failed)


@pytest.fixture
def one_fold(context_of, cohort, tmp_path):
    context = context_of(cohort, tmp_path)
    return dataclasses.replace(context, folds=context.folds[:1])


@pytest.mark.parametrize("trials", [pytest.param(200, marks=pytest.mark.slow), 40])
def test_trials_of_four_processes_in_postgresql_two_of_them_killed(one_fold, postgres, tmp_path, trials):
    url = postgres(f"search{trials}")
    search = Search((MODEL,), trials, "", url, tmp_path / "search", search_key(one_fold, ""))
    several(one_fold, search, tmp_path, 4, 2)
    check_accounts(open_study(search, MODEL, 1), trials, 2)


def test_processes_of_one_machine_share_a_journal_one_of_them_killed(one_fold, tmp_path):
    search = Search((MODEL,), 30, "", None, tmp_path / "search", search_key(one_fold, ""))
    several(one_fold, search, tmp_path, 3, 1)
    check_accounts(open_study(search, MODEL, 1), 30, 1)


def test_both_storages_open_in_the_dashboard(one_fold, postgres, tmp_path):
    dashboard = pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
    for storage in (None, postgres("dashboard")):
        search = Search((MODEL,), 1, "", storage, tmp_path / "search", search_key(one_fold, ""))
        run_search(one_fold, search, local(1), Progress())
        app = dashboard.wsgi(open_storage(storage, search.folder))
        said, environ = [], {"PATH_INFO": "/api/studies"}
        setup_testing_defaults(environ)
        body = b"".join(app(environ, lambda *given, said=said: said.append(given[0])))
        assert said[0].startswith("200")
        names = [s["study_name"] for s in json.loads(body)["study_summaries"]]
        assert f"{MODEL} fold 1 {search.key[:12]}" in names


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:///a.db", "without --storage trials are kept in a journal"),
        ("postgresql://me:secret@127.0.0.1:9/x", r"no database answers .*start it"),
        ("nonsense", "is no postgresql://"),
    ],
)
def test_a_storage_that_cannot_be_used_is_said_at_once(url, said, tmp_path):
    began = time.monotonic()
    with pytest.raises(UserError, match=said) as raised:
        open_storage(url, tmp_path)
    assert "secret" not in str(raised.value)
    assert time.monotonic() - began < 10


def test_a_database_that_goes_away_in_the_middle_ends_the_search_with_what_is_kept(one_fold, postgres, tmp_path):
    url = postgres("goes")
    search = Search((MODEL,), 6, "", url, tmp_path / "search", search_key(one_fold, ""))
    done = []

    class Stops(Progress):
        def stage(self, name, unit):
            made = super().stage(name, unit)
            report = made.__enter__()

            class Watch:
                def __enter__(self):
                    def watch(count, total, note=""):
                        report(count, total, note)
                        done.append(count)
                        if count == 2:
                            postgres.stop()

                    return watch

                def __exit__(self, *what):
                    return made.__exit__(*what)

            return Watch()

    with pytest.raises(UserError, match=r"--storage .*the finished trials are kept"):
        run_search(one_fold, search, local(1), Stops())
    postgres.start()
    found = run_search(one_fold, search, local(1), Progress())
    assert len(found[MODEL, 1]) == 6


def test_the_command(cohort, tmp_path, capsys, monkeypatch):
    import mlflow

    monkeypatch.chdir(tmp_path)
    argv = ["search", MODEL, "hrv_boosting", "--trials", "4", "--data", str(cohort), "--source", "synthetic-source"]
    argv += ["--folds", "2", "--workers", "1", "--name", "tuned", "--tracking", "sqlite:///m.db"]
    assert studies.__main__.main(argv) == 0
    printed = capsys.readouterr().out
    use = f"--data {cohort} --source synthetic-source --folds 2 --only default hrv_boosting --config tuned"
    assert f"use it: nox -s ablations -- {use}" in printed
    options = ablations.__main__.parser().parse_args(use.split())
    config = dataclasses.replace(suite_config(options), targets=())
    data = load_named([config.source], cohort, cache_dir(tmp_path / "runs"), config.signal, 1, Progress())
    context, _ = make_context(config, data, tmp_path)
    check_search(context, choose_variants(options.only))
    with pytest.raises(UserError, match="no variant of this run is made of it"):
        check_search(context, choose_variants([]))
    (folder,) = (tmp_path / "runs" / "studies").glob("search-*")
    table = pd.read_csv(folder / "search.csv")
    assert len(table) == 16
    assert {"search.html", "best.json", f"history-{MODEL}.png"} <= {p.name for p in folder.iterdir()}
    assert "Synthetic: " in (folder / "search.md").read_text()
    assert studies.__main__.main(argv) == 0, "again: nothing new"
    mlflow.set_tracking_uri("sqlite:///m.db")
    runs = mlflow.search_runs(search_all_experiments=True)
    assert (runs["tags.level"] == "trial").sum() == 16
    assert (runs["tags.level"] == "study").sum() == 2
    assert runs.loc[runs["tags.level"] == "trial", "metrics.inner log loss"].notna().all()
    assert os.listdir(tmp_path / "runs" / "configurations") == ["tuned.json"]
