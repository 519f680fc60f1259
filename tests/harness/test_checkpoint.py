"""Checkpoints: the same predictions after a round trip; damaged, foreign and hostile files are refused."""

import dataclasses
import io
import json
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch

from ecg_ramba.errors import CheckpointError, LeakageError, RecordError, UserError
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.harness.checkpoint import load_fold_model
from ecg_ramba.harness.contexts import cache_dir
from ecg_ramba.harness.predict import predict_record, prediction_json, read_recording
from ecg_ramba.harness.probabilities import probabilities
from ecg_ramba.harness.trained import (
    clear_target,
    evaluation_folder,
    held_out,
    load_models,
    publish_models,
)


@pytest.fixture(scope="module")
def published(run_tiny, tmp_path_factory):
    """A trained suite and its published models."""
    out = tmp_path_factory.mktemp("runs")
    result = run_tiny(out, ("ecg_ramba",))
    paths = publish_models(result.context, result.cells["ecg_ramba"], out / "models", None)
    return result, paths


def test_names_and_checksums(published):
    _, paths = published
    assert [p.name for p in paths] == ["fold1_best.pt", "fold2_best.pt"]
    lines = (paths[0].parent / "SHA256SUMS").read_text().splitlines()
    assert [line.split("  ")[1] for line in lines] == ["fold1_best.pt", "fold2_best.pt"]


def test_round_trip_predicts_the_stored_probabilities(published):
    result, paths = published
    model = load_fold_model(paths[0])
    data, table = result.context.targets[1], result.context.target_tables[1]
    p = probabilities(model, data, table, np.arange(len(table)), None)
    stored = pd.read_parquet(result.folder / "variants/ecg_ramba/windows.parquet")
    stored = stored[(stored["dataset"] == data.name) & (stored["fold"] == 1)]
    assert np.allclose(p, stored[list(model.classes)].to_numpy(), atol=1e-6, equal_nan=True)


def test_predicting_a_file_equals_scoring_it_as_a_target(published, cohort):
    from ecg_ramba.evaluation.pooling import Pooling, pool

    result, paths = published
    models = load_models(paths)
    table = predict_record(models, read_recording(cohort / "synthetic-third" / "SYNT00003.hea"))
    assert (table.windows, len(table.leads)) == (3, 12)
    said = json.loads(prediction_json(table, cohort / "x.hea", models))
    assert (said["model"], said["trained_on"], said["folds"], said["windows"]) == (
        *("ecg_ramba", "synthetic-source"), [1, 2], 3,
    )  # fmt: skip
    assert said["synthetic_trained"] is True
    with pytest.raises(RecordError, match="it is a folder"):
        read_recording(cohort)
    table = table.classes.set_index("class")
    stored = pd.read_parquet(result.folder / "variants/ecg_ramba/windows.parquet")
    stored = stored[stored["record"] == "SYNT00003"].groupby("start")[["AF", "TInv"]].mean()
    for c in ("AF", "TInv"):
        expected = pool(stored[c].to_numpy(), [0], Pooling())[0]
        assert np.isclose(table.loc[c, "probability"], expected, atol=1e-5)
        assert table.loc[c, "fold_min"] <= table.loc[c, "fold_max"]
    assert table.loc["LAD", "folds"] == 0
    assert np.isnan(table.loc["LAD", "probability"])


def test_evaluation_of_a_checkpoint_scores_only_what_it_never_saw(published, tmp_path):
    result, paths = published
    models = load_models(paths[:1])
    context = result.context
    rows = held_out(models[0], context.source.records)
    assert rows.tolist() == context.folds[0].held_out.tolist()
    folder = evaluation_folder(models, context.source, list(context.targets), tmp_path, cache_dir(tmp_path), "test")
    found = evaluate(folder)
    assert len(found.summary)
    trained_on = context.source.subset(context.folds[0].train)
    with pytest.raises(LeakageError, match="nothing is held out"):
        evaluation_folder(models, trained_on, [], tmp_path, cache_dir(tmp_path), "test")


def test_a_target_alone_needs_no_source_and_scores_the_same(published, tmp_path):
    result, paths = published
    models, context = load_models(paths), result.context
    alone = evaluate(evaluation_folder(models, None, context.targets, tmp_path, cache_dir(tmp_path), "test"))
    beside = evaluate(evaluation_folder(models, context.source, context.targets, tmp_path, cache_dir(tmp_path), "test"))
    keys, columns = ["task", "cls", "estimate", "metric"], ["value", "lo", "hi"]
    targets = beside.per_class[beside.per_class["role"] == "target"].set_index(keys)
    assert len(targets)
    pd.testing.assert_frame_equal(alone.per_class.set_index(keys)[columns], targets[columns])
    assert set(alone.per_class["role"]) == {"target"}
    assert alone.per_class["gap"].isna().all()
    last = evaluate(evaluation_folder(models[1:], None, context.targets, tmp_path, cache_dir(tmp_path), "test"))
    assert last.suite.folds == (2,)
    assert last.per_class["value"].notna().any()


def test_without_the_source_the_models_know_what_they_were_trained_on(published, monkeypatch):
    result, paths = published
    models, target = load_models(paths), result.context.targets[-1]
    records = target.records.copy()
    subjects, signals = models[0].facts["training_subjects"], models[0].facts["training_signals"]
    records.loc[0, "signal_digest"] = signals[0]
    records.loc[1, ["subject", "publisher"]] = subjects[0], result.context.source.records["publisher"].iloc[0]
    records.loc[2, ["subject", "publisher"]] = subjects[0], "another publisher, whose numbers mean others"
    with pytest.raises(UserError, match="have one publisher; add --oof"):
        clear_target(dataclasses.replace(target, records=records), None, models)
    monkeypatch.setattr("ecg_ramba.harness.trained.datasets", dict)  # the source's plug-in is gone
    records.loc[2, "subject"] = "nobody of the source"
    left, counts = clear_target(dataclasses.replace(target, records=records), None, models)
    assert counts["removed_overlap"] == 2
    assert not {records["record"][0], records["record"][1]} & set(left.records["record"])
    assert records["record"][2] in set(left.records["record"])


class Hostile:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (eval, ("__import__('pathlib').Path('owned').write_text('x')",))


def hostile_zip():
    buffer = io.BytesIO()
    torch.save({"format": "ecg-ramba-fold-2", "about": Hostile()}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a readable checkpoint"),
        (b"hello, this is text", "refused|not a readable checkpoint"),
        (pickle.dumps(Hostile()), "refused|not a readable checkpoint"),
        (hostile_zip(), "refused"),
    ],
    ids=["empty", "text", "pickle with code", "torch file with code"],
)
def test_files_that_are_no_checkpoint_are_refused_and_run_nothing(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_fold_model(path)
    assert not (tmp_path / "owned").exists()


def test_a_foreign_torch_file_is_refused(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"state_dict": {"layer.weight": torch.zeros(3)}}, path)
    with pytest.raises(CheckpointError, match="not a checkpoint of this suite"):
        load_fold_model(path)


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(CheckpointError, match="ecg-ramba train"):
        load_fold_model(tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="no checkpoint found"):
        load_models([])


@pytest.mark.parametrize("damage", ["truncated", "other weights", "not finite", "unknown setting"])
def test_damage_inside_is_refused(published, tmp_path, damage):
    _, paths = published
    path = tmp_path / "model.pt"
    if damage == "truncated":
        path.write_bytes(paths[0].read_bytes()[:-5000])
    else:
        content = torch.load(paths[0], weights_only=True)
        name = next(k for k, v in content["weights"].items() if v.is_floating_point())
        if damage == "other weights":
            content["weights"][name] = torch.zeros(1)
        elif damage == "not finite":
            content["weights"][name] = content["weights"][name] * float("nan")
        else:
            content["about"] = content["about"].replace('"use_rhythm"', '"use_rythm"')
        torch.save(content, path)
    with pytest.raises(CheckpointError):
        load_fold_model(path)


def test_a_file_that_differs_from_its_checksum_is_refused(published, tmp_path):
    _, paths = published
    for p in [*paths, paths[0].parent / "SHA256SUMS"]:
        (tmp_path / p.name).write_bytes(p.read_bytes())
    load_models([tmp_path / "fold1_best.pt"])
    (tmp_path / "fold1_best.pt").write_bytes((tmp_path / "fold2_best.pt").read_bytes())
    with pytest.raises(CheckpointError, match="differs from its checksum"):
        load_models([tmp_path / "fold1_best.pt"])


def test_models_that_do_not_belong_together_are_refused(published, tmp_path):
    _, paths = published
    with pytest.raises(CheckpointError, match="both fold 1"):
        load_models([paths[0], paths[0]])
    content = torch.load(paths[1], weights_only=True)

    def altered(name, **facts):
        about = json.loads(content["about"])
        about["facts"] |= facts
        torch.save(content | {"about": json.dumps(about)}, tmp_path / name)
        return tmp_path / name

    for facts in ({"source": "elsewhere"}, {"folds": 3}):
        with pytest.raises(CheckpointError, match="does not belong with"):
            load_models([paths[0], altered("foreign.pt", **facts)])
    part = json.loads(content["about"])["facts"]["training_signals"][1:]
    with pytest.raises(CheckpointError, match="different splits"):
        load_models([*paths, altered("third.pt", fold=3, training_signals=part)])
    with pytest.raises(CheckpointError, match="fold 1 lacks its model of seed 1"):
        load_models([*paths, altered("again.pt", seed=1)])
    with pytest.raises(CheckpointError, match="another split"):
        load_models([paths[1], altered("again.pt", seed=1, training_signals=part)])


def test_training_again_removes_what_an_earlier_training_left(published, tmp_path):
    result, _ = published
    models = tmp_path / "models"
    cells = result.cells["ecg_ramba"]
    publish_models(result.context, cells, models, None)
    (models / "mine.pt").write_bytes(b"not ours")
    publish_models(result.context, cells[:1], models, None)
    assert sorted(p.name for p in models.glob("*.pt")) == ["fold1_best.pt", "mine.pt"]
    with pytest.raises(CheckpointError, match="last training"):
        load_models([models / "mine.pt"])


def test_a_target_recording_that_a_model_was_trained_on_is_never_scored(published, tmp_path):
    """The source as found now may lack what the models were trained on; the checkpoints know."""
    result, paths = published
    models, context = load_models(paths), result.context
    source, target = context.source, context.targets[-1]
    stolen = target.records["signal_digest"].to_numpy(object).copy()
    stolen[:3] = source.records["signal_digest"].to_numpy()[:3]
    target = dataclasses.replace(target, records=target.records.assign(signal_digest=stolen))
    _, counts = clear_target(target, source.subset(np.arange(3, len(source.records))), models)
    assert counts["removed_overlap"] == 3


def test_a_target_recording_of_the_sources_identity_is_never_scored(published):
    """Another form of the same recording: other samples, a subject that is not known, the publisher's own number."""
    result, paths = published
    source, target = result.context.source, result.context.targets[-1]
    records = target.records.assign(subject_known=False)
    for i in range(2):
        records.loc[i, ["publisher", "publisher_id"]] = source.records.loc[i, ["publisher", "publisher_id"]].tolist()
    _, counts = clear_target(dataclasses.replace(target, records=records), source, load_models(paths))
    assert counts["removed_overlap"] == 2


def test_a_folder_without_anything_of_the_training_is_not_the_source(published, tmp_path):
    result, paths = published
    source = result.context.source
    other = [f"new{i}" for i in range(len(source.records))]
    stranger = dataclasses.replace(source, records=source.records.assign(signal_digest=other))
    with pytest.raises(UserError, match="none of the recordings these models were trained on"):
        evaluation_folder(load_models(paths), stranger, [], tmp_path, cache_dir(tmp_path), "test")


def test_checkpoints_hold_no_code(published):
    _, paths = published
    with zipfile.ZipFile(paths[0]) as z:
        (name,) = (n for n in z.namelist() if n.endswith("data.pkl"))
        opcodes = {op.name for op, _, _ in __import__("pickletools").genops(z.read(name))}
    assert "INST" not in opcodes
