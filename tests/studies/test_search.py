"""The search sees its own fold's training part and nothing else, keeps every trial, and goes on where it stopped."""

import dataclasses
import json
import shutil

import pytest

from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.harness.contexts import cache_dir, load_named, make_context
from ecg_ramba.harness.options import read_overrides
from ecg_ramba.harness.progress import Progress
from studies.search import inner_fold, search


@pytest.fixture(scope="module")
def home(tiny):
    """The tiny suite's configuration without targets."""
    return dataclasses.replace(tiny, targets=())


@pytest.fixture(scope="module")
def searched(home, cohort, tmp_path_factory):
    """A finished search of two trials a fold."""
    out = tmp_path_factory.mktemp("search")
    path, found = search("ecg_ramba", home, 2, cohort, out, 1, Progress())
    return out, path, found


def test_inner_parts_lie_inside_the_training_part_and_share_nobody(home, cohort, tmp_path):
    data = load_named([home.source], cohort, cache_dir(tmp_path), home.signal, 1, Progress())
    context, _ = make_context(home, data, tmp_path)
    for outer in context.folds:
        inner = inner_fold(context, outer)
        train, validation, held_out = set(inner.train), set(inner.held_out), set(outer.held_out)
        assert train | validation == set(outer.train)
        assert not train & validation
        assert not (train | validation) & held_out
        assert 0.1 < len(validation) / len(outer.train) < 0.35


def test_each_fold_has_its_trials_and_its_best(searched):
    _, path, found = searched
    content = json.loads(path.read_text())
    assert content["synthetic"]
    assert set(content["best"]) == {"1", "2"}
    for study in found:
        losses = [t["loss"] for t in study["trials"]]
        assert len(losses) == 2
        assert study["best"]["loss"] == min(losses)


def test_the_same_command_again_adds_nothing_and_more_trials_go_on(searched, home, cohort):
    out, path, found = searched
    before = json.loads(path.read_text())
    search("ecg_ramba", home, 2, cohort, out, 1, Progress())
    assert json.loads(path.read_text()) == before
    _, more = search("ecg_ramba", home, 3, cohort, out, 1, Progress())
    for old, new in zip(found, more, strict=True):
        assert [t["number"] for t in new["trials"]] == [0, 1, 2]
        assert [t["loss"] for t in new["trials"][:2]] == [t["loss"] for t in old["trials"]]


def test_noise_in_place_of_what_is_held_out_changes_no_trial(searched, home, cohort, tmp_path, replace_by_noise):
    _, _, found = searched
    data = load_named([home.source], cohort, cache_dir(tmp_path), home.signal, 1, Progress())
    context, _ = make_context(home, data, tmp_path)
    held_out = set(context.source.records["record"].iloc[context.folds[0].held_out])
    noisy = tmp_path / "noisy"
    shutil.copytree(cohort, noisy)
    assert replace_by_noise(noisy, lambda path: path.stem in held_out) == len(held_out)
    _, changed = search("ecg_ramba", home, 2, noisy, tmp_path / "out", 1, Progress())
    assert [t["loss"] for t in changed[0]["trials"]] == [t["loss"] for t in found[0]["trials"]]
    assert [t["loss"] for t in changed[1]["trials"]] != [t["loss"] for t in found[1]["trials"]]


def test_the_best_configuration_is_used_on_its_own_splits_only(searched, run_tiny, tmp_path):
    out, path, _ = searched
    overrides = read_overrides(path, "small")
    content = json.loads(path.read_text())
    result = run_tiny(out, ("ecg_ramba",), overrides=overrides)
    assert not result.failures
    with pytest.raises(LeakageError, match="searched for ecg_ramba on other data or folds"):
        run_tiny(tmp_path, ("ecg_ramba",), overrides=overrides, base_seed=5)
    content["best"]["1"]["config"] = {"no_such_setting": 1}
    (tmp_path / "wrong.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="no setting no_such_setting"):
        run_tiny(tmp_path, ("ecg_ramba",), overrides=read_overrides(tmp_path / "wrong.json", "small"))


def test_a_file_that_is_no_configuration_is_refused(tmp_path):
    (tmp_path / "a.json").write_text("[1, 2]")
    with pytest.raises(UserError, match="no configuration file of a search"):
        read_overrides(tmp_path / "a.json", "small")


def test_a_configuration_that_nothing_here_can_use_is_refused(searched, run_tiny, tmp_path):
    _, path, _ = searched
    with pytest.raises(UserError, match="searched under --profile small, this run's is full"):
        read_overrides(path, "full")
    with pytest.raises(UserError, match="no variant of this run is made of it"):
        run_tiny(tmp_path, ("hrv_logistic",), overrides=read_overrides(path, "small"))
