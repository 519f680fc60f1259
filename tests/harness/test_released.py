"""Published checkpoints: strictly the same names and shapes, the same probabilities, nothing held out, no code run."""

import dataclasses
import json
import pickle

import numpy as np
import pytest
import torch

from ecg_ramba import cli
from ecg_ramba.data.labels import PAPER27
from ecg_ramba.data.registry import datasets
from ecg_ramba.errors import CheckpointError, LeakageError
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.features.release import RandomKernels, rhythm_slots
from ecg_ramba.harness.checkpoint import load_fold_model
from ecg_ramba.harness.contexts import cache_dir
from ecg_ramba.harness.inputs import window_table
from ecg_ramba.harness.probabilities import probabilities
from ecg_ramba.harness.released import CONFIG, import_published, read_basis, released_model
from ecg_ramba.harness.trained import evaluation_folder, load_models
from ecg_ramba.models import InputShape
from ecg_ramba.nn.model import EcgRamba
from tests.nn.published import TINY, Published, shaken

SMALL = dataclasses.replace(
    CONFIG, d_model=48, layers=2, tokens=40, latents=6, d_state=8, headdim=16, gate_width=8, nominal_components=20
)


@pytest.fixture(scope="module")
def basis(tmp_path_factory):
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("basis") / "basis.npz"
    np.savez(path, mean=rng.random(20_000), components=rng.normal(size=(20, 20_000)) / 100)
    return path


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Three small checkpoints in the published format, and the networks they are of."""
    folder = tmp_path_factory.mktemp("published")
    networks = [shaken(Published(**TINY), seed) for seed in range(3)]
    paths = [folder / f"fold{i}_best.pt" for i in (1, 2, 3)]
    torch.save({"model": networks[0].state_dict(), "epoch": 12, "score": 0.5}, paths[0])
    for network, path in zip(networks[1:], paths[1:], strict=True):
        torch.save(network.state_dict(), path)
    return networks, paths


def test_names_shapes_and_size_are_the_published():
    with torch.device("meta"):
        ours = EcgRamba(CONFIG, InputShape(components=(3072,), rhythm=36, classes=27)).state_dict()
        theirs = Published().state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    assert sum(v.numel() for k, v in ours.items() if k.startswith("layers.")) == 63_317_120
    assert round(sum(v.numel() for k, v in ours.items() if not k.endswith(buffers)) / 1e6, 2) == 72.83


@pytest.mark.parametrize("as_released", [False, True])
def test_probabilities_are_those_of_the_published_network(published, basis, third, as_released):
    """Features, windows and network against the plain ones, on recordings with all leads."""
    networks, paths = published
    data = third(as_released)
    mean, loadings = read_basis(basis, 20)
    model = released_model(paths[0], (mean, loadings), 1, 3, as_released=as_released, config=SMALL)
    table = window_table(data)
    rows = np.arange(6)
    p = probabilities(model, data, table, rows, None)
    whole = RandomKernels().transform(np.array(data.segments[:2]))
    components = torch.from_numpy(((whole - mean) @ loadings).astype(np.float32))
    slots = np.stack([rhythm_slots(data.segments[i], data.leads[i], 5000) for i in range(2)])
    slots = torch.from_numpy(np.nan_to_num(slots).astype(np.float32))
    for row in rows:
        segment = int(table.at[row])
        start, samples = (0, 5000) if as_released else (int(table.start[row]), 2500)
        signal = torch.from_numpy(data.segments[segment : segment + 1, :, start : start + samples].copy())
        with torch.no_grad():
            wanted = torch.sigmoid(networks[0](signal, components[[segment]], slots[[segment]]))[0]
        np.testing.assert_allclose(p[row], wanted.numpy(), atol=2e-5)


@pytest.fixture(scope="module")
def third(cohort, tmp_path_factory):
    """Twelve-lead recordings, by the protocol or as the release read them abroad."""
    from ecg_ramba.harness.contexts import load_named
    from ecg_ramba.harness.progress import Progress
    from ecg_ramba.signal import SignalConfig

    cache = tmp_path_factory.mktemp("cache")

    def load(as_released):
        signal = SignalConfig(filter="none", missing="zero") if as_released else SignalConfig()
        return load_named(["synthetic-third"], cohort, cache, signal, 1, Progress())[0]

    return load


@pytest.fixture(scope="module")
def imported(published, basis, tmp_path_factory):
    models = tmp_path_factory.mktemp("imported")
    return import_published(published[1], [basis], models, config=SMALL)


def test_imported_files_are_the_same_model(published, basis, imported, third):
    assert [p.name for p in imported] == ["fold1_best.pt", "fold2_best.pt", "fold3_best.pt"]
    data, rows = third(False), np.arange(5)
    for path, source in zip(imported, published[1], strict=True):
        loaded, direct = load_fold_model(path), released_model(source, read_basis(basis, 20), 1, 3, config=SMALL)
        one, other = (probabilities(m, data, window_table(data), rows, None) for m in (loaded, direct))
        np.testing.assert_array_equal(one, other)
        assert loaded.classes == PAPER27


def test_they_are_scored_abroad_in_merged_labels_and_never_at_home(imported, cohort, third, tmp_path):
    models = load_models(imported)
    data = third(False)
    found = evaluate(evaluation_folder(models, None, [data], tmp_path, cache_dir(tmp_path), "test"))
    scored = found.per_class[found.per_class["metric"] == "roc_auc"]
    assert scored["value"].notna().any()
    assert "RBBB" in set(scored["cls"]) | set(found.suite.info["classes"])
    assert "CRBBB" not in found.suite.info["classes"]
    assert found.suite.info["source_subjects"] is None
    assert any("which recordings each fold saw is not known" in note for note in found.notes)
    with pytest.raises(LeakageError, match="none is held out for certain"):
        evaluation_folder(models, data, [], tmp_path, cache_dir(tmp_path), "test")
    own = dataclasses.replace(data, records=data.records.assign(publisher=datasets()["chapman"].publisher))
    with pytest.raises(LeakageError, match="none is held out for certain"):
        evaluation_folder(models, None, [own], tmp_path, cache_dir(tmp_path), "test")


def test_from_the_command_line(published, basis, cohort, tmp_path, monkeypatch, capsys):
    from ecg_ramba.harness import released

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(released, "CONFIG", SMALL)
    names = [str(p) for p in published[1]]
    assert cli.main(["model", "import", *names, "--basis", str(basis)]) == 0
    capsys.readouterr()
    recording = str(cohort / "synthetic-third" / "SYNT00003.hea")
    assert cli.main(["predict", recording, "--json", "--ckpt", "published"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert len(said["classes"]) == 27
    assert said["trained_on"] == "chapman"
    assert all(0 <= row["probability"] <= 1 for row in said["classes"])
    assert cli.main(["evaluate", "--ckpt", "published", "--data", str(cohort), "--target", "synthetic-third"]) == 0
    said = capsys.readouterr().out
    assert "trained on chapman, tested zero-shot on synthetic-third" in said
    assert "published weights" in said
    assert cli.main(["evaluate", "--ckpt", "published", "--data", str(cohort)]) != 0
    assert "none is held out for certain" in capsys.readouterr().err
    assert cli.main(["predict", recording, "--ckpt", names[0]]) != 0
    assert f"ecg-ramba model import {names[0]}" in capsys.readouterr().err
    assert cli.main(["model", "import", *names, "--basis", str(basis), "--models", str(published[1][0].parent)]) != 0
    assert "would be overwritten" in capsys.readouterr().err


class Hostile:
    def __reduce__(self):
        return (eval, ("__import__('pathlib').Path('owned').write_text('x')",))


def test_what_is_missing_or_wrong_is_named(published, basis, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    networks, paths = published
    with pytest.raises(CheckpointError, match=r"global_pca_zeroshot\.pkl\) is needed.*joblib\.load.*--basis"):
        import_published(paths, [None], tmp_path / "out")
    with pytest.raises(CheckpointError, match="2 bases for 3 checkpoints"):
        import_published(paths, [basis, basis], tmp_path / "out")
    with pytest.raises(CheckpointError, match=r"components \(20, 20000\); finite numbers of shapes \(20000,\)"):
        read_basis(basis, 21)
    (tmp_path / "pca.pkl").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(CheckpointError, match=r"no \.npz of plain arrays; turn the release's into one: python -c"):
        read_basis(tmp_path / "pca.pkl", 20)
    np.save(tmp_path / "alone.npy", np.zeros(3))
    np.savez(tmp_path / "other.npz", centre=np.zeros(3))
    for name, message in (("alone.npy", "plain arrays"), ("other.npz", "KeyError"), ("none.npz", "does not exist")):
        with pytest.raises(CheckpointError, match=message):
            read_basis(tmp_path / name, 20)
    arrays = read_basis(basis, 20)

    def refused(content, message):
        torch.save(content, tmp_path / "bad.pt")
        with pytest.raises(CheckpointError, match=message):
            released_model(tmp_path / "bad.pt", arrays, 1, 1, config=SMALL)

    state = networks[0].state_dict()
    refused({"model": state, "config": Hostile()}, "refused")
    refused({k: v for k, v in state.items() if k != "norm.weight"}, "Missing key.*norm.weight")
    refused(state | {"extra.weight": torch.zeros(1)}, "Unexpected key.*extra.weight")
    refused(state | {"norm.weight": torch.ones(7)}, "size mismatch for norm.weight")
    refused(state | {"norm.weight": torch.full((48,), torch.nan)}, "norm.weight is not a tensor of finite numbers")
    refused({"weight": torch.zeros(1)}, "not a published ECG-RAMBA checkpoint")
    with pytest.raises(CheckpointError, match="does not exist; name the release's"):
        released_model(tmp_path / "none.pt", arrays, 1, 1, config=SMALL)
    assert not (tmp_path / "owned").exists()
