"""The commands as they are typed, one after the other, on a small synthetic cohort and a cheap model."""

import json

import pandas as pd
import pytest

import ablations.__main__
from ecg_ramba import cli
from ecg_ramba.errors import UserError
from ecg_ramba.harness.options import evaluation_config

SITES = ["--source", "synthetic-source", "--folds", "2"]


@pytest.fixture(scope="module")
def place(cohort, tmp_path_factory):
    """A working directory with trained models in it."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.main(["train", "--model", "hrv_logistic", "--data", str(cohort), *SITES]) == 0
    return folder


@pytest.fixture(autouse=True)
def inside(place, monkeypatch):
    monkeypatch.chdir(place)


def suites(place):
    """suite.json of every evaluation, by folder."""
    return {p.parent: json.loads(p.read_text()) for p in place.glob("runs/evaluations/*/suite.json")}


def newest(place, before):
    """Folder and facts of the one evaluation that was not there before."""
    (made,) = (item for item in suites(place).items() if item[0] not in before)
    return made


def test_train_leaves_models_with_checksums(place):
    names = sorted(p.name for p in (place / "models").iterdir())
    assert names == ["SHA256SUMS", "fold1_best.pt", "fold2_best.pt", "training.json"]


def test_evaluate_one_fold_scores_what_it_never_saw(place, capsys):
    before = suites(place)
    assert cli.main(["evaluate", "--ckpt", "models/fold1_best.pt"]) == 0
    folder, facts = newest(place, before)
    assert (facts["source"], facts["targets"], facts["folds"]) == ("synthetic-source", [], [1])
    assert [d["records"] for d in facts["data"]] == [12]
    assert facts["source_subjects"] == 12
    assert "SYNTHETIC" in capsys.readouterr().out
    (row,) = json.loads((folder / "variants.json").read_text())
    assert row["parameters"] > 0
    assert row["seconds"] > 0


def test_evaluate_a_target_alone_and_beside_the_source(place, cohort):
    before = suites(place)
    assert cli.main(["evaluate", "--target", "synthetic-third"]) == 0
    _, alone = newest(place, before)
    assert [d["name"] for d in alone["data"]] == ["synthetic-third"]
    before = suites(place)
    assert cli.main(["evaluate", "--ckpt", "models", "--oof", "--target", "synthetic-third"]) == 0
    folder, beside = newest(place, before)
    assert [d["name"] for d in beside["data"]] == ["synthetic-source", "synthetic-third"]
    assert beside["source_subjects"] == 24
    summary = pd.read_csv(folder / "report" / "per_class.csv")
    assert summary["gap"].notna().any()


def test_evaluate_refuses_what_is_no_target(place, capsys):
    before = suites(place)
    for target, said in (("synthetic-source", "is what these models were trained on"), ("ludb", "looked for")):
        assert cli.main(["evaluate", "--target", target]) == 2
        assert said in capsys.readouterr().err
    assert cli.main(["evaluate", "--target", "synthetic-third", "synthetic-third"]) == 2
    assert "named twice" in capsys.readouterr().err
    (place / "models" / "training.json").rename(place / "kept.json")
    (place / "models" / "training.json").write_text("[]")
    assert cli.main(["evaluate"]) == 2
    assert "training.json is damaged" in capsys.readouterr().err
    (place / "kept.json").rename(place / "models" / "training.json")
    assert suites(place) == before


def test_predict_prints_each_recording_and_goes_on_after_a_bad_one(place, cohort, capsys):
    good = cohort / "synthetic-third" / "SYNT00001.hea"
    assert cli.main(["predict", "nothing.hea", str(good), "--json"]) == 2
    captured = capsys.readouterr()
    assert "nothing.hea" in captured.err
    said = json.loads(captured.out)
    assert (said["model"], said["folds"], len(said["leads"])) == ("hrv_logistic", [1, 2], 12)
    assert any(c["probability"] is not None for c in said["classes"])
    assert cli.main(["predict", str(good), "--ckpt", "models/fold2_best.pt"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "1 fold model of" in printed
    assert "not a medical device" in printed


def test_report_keeps_its_settings_until_others_are_named(place, capsys):
    (folder,) = place.glob("runs/suites/*") if not suites(place) else list(suites(place))[:1]
    said = "min_positives = 3"
    for extra, expected in ((["--min-positives", "3"], True), ([], True), (["--min-positives", "30"], False)):
        assert cli.main(["report", str(folder), *extra]) == 0
        text = " ".join((folder / "report" / "report.md").read_text().split())
        assert (said in text) == expected
        assert (said in " ".join(capsys.readouterr().out.split())) == expected


def test_evaluate_takes_the_challenges_weights(place):
    (place / "w.csv").write_text(",426783006,164909002\n426783006,1,0.5\n164909002,0.5,1\n")
    before = suites(place)
    assert cli.main(["evaluate", "--ckpt", "models", "--oof", "--challenge-weights", "w.csv", "--out", "scored"]) == 0
    (folder,) = place.glob("scored/evaluations/*")
    settings = json.loads((folder / "report" / "settings.json").read_text())
    assert settings["challenge_weights"] == str(place / "w.csv")
    assert len(settings["challenge_sha256"]) == 64
    assert "challenge score" in (folder / "report" / "report.md").read_text()
    assert suites(place) == before


@pytest.mark.parametrize("command", [cli.main, ablations.__main__.main])
def test_missing_weights_are_found_before_anything_is_done(place, cohort, capsys, command):
    data = ["--data", str(cohort), "--out", "unused", "--challenge-weights", "gone.csv"]
    words = ["evaluate"] if command is cli.main else ["--only", "class_prior", "--no-tracking"]
    assert command([*words, *data]) == 2
    assert "the challenge's weights cannot be read" in capsys.readouterr().err
    assert not (place / "unused").exists()


def test_support_of_the_ablations_comes_from_its_options():
    options = ablations.__main__.parser().parse_args(["--min-positives", "7"])
    assert (evaluation_config(options).min_positives, evaluation_config(options).min_subjects) == (7, 10)


def test_a_place_for_models_that_cannot_be_written_is_found_before_training(place, cohort, capsys):
    (place / "file").write_text("")
    argv = ["train", "--model", "hrv_logistic", "--data", str(cohort), *SITES, "--models", "file/models"]
    assert cli.main([*argv, "--out", "fresh"]) == 2
    assert "cannot write file/models" in capsys.readouterr().err
    assert not (place / "fresh").exists()


@pytest.mark.parametrize(
    "content",
    ["[]", '{"m": {"1": {}}}', '{"m": {"1": 7}}', '{"m": 7}'],
)
def test_a_damaged_configuration_is_refused(place, content):
    from ecg_ramba.harness.options import read_overrides

    (place / "c.json").write_text('{"objective": "o", "profile": "small", "best": ' + content + "}")
    with pytest.raises(UserError, match="is damaged; search again"):
        read_overrides(str(place / "c.json"), "small", place)
    with pytest.raises(UserError, match="cannot be read"):
        read_overrides(str(place), "small", place)
