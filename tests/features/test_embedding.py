"""Embeddings: what a frozen model is given of a window, and every way in which it is refused."""

import dataclasses
import pickle
import sys

import numpy as np
import pytest
import torch
from scipy.signal import resample_poly

from ecg_ramba.data.leads import LEADS
from ecg_ramba.errors import CheckpointError, LeakageError, UserError
from ecg_ramba.features.embedding import BATCH, Embedder, check_alone, embeddings, fingerprint, samples_of_window
from ecg_ramba.signal import WindowView

LEAD_ORDER = ("V6", "II", "I", "aVF")
WEIGHT = np.random.default_rng(3).normal(size=(2 * len(LEAD_ORDER), 5)).astype(np.float32)
N = BATCH + 6


class Moments(torch.nn.Module):
    """Mean and spread of each lead, times a fixed matrix; ``fault`` spoils it."""

    def __init__(self, fault=""):
        super().__init__()
        self.fault = fault
        self.register_buffer("weight", torch.from_numpy(WEIGHT))

    def forward(self, x):
        e = torch.cat([x.mean(2), x.std(2, correction=0)], 1) @ self.weight
        return {
            "": lambda: e,
            "nan": lambda: e / (x.abs().sum(2).min(1, keepdim=True).values > 0),
            "batch": lambda: e - e.mean(0),
            "three axes": lambda: e[:, :, None],
            "whole numbers": lambda: e.long(),
            "one row": lambda: e[:1],
            "no column": lambda: e[:, :0],
        }[self.fault]()


@pytest.fixture
def scripted(tmp_path):
    """An embedder with a TorchScript file: ``scripted(fault, **changes)``."""

    def make(fault="", **changes):
        path = tmp_path / "tiny.ts"
        torch.jit.trace(Moments(fault), torch.randn(3, 4, 1300), check_trace=False).save(str(path))
        return of_files(weights=str(path), **changes)

    return make


def of_files(weights="", python="", **changes):
    plain = {"name": "tiny", "rate": 250.0, "leads": LEAD_ORDER, "samples": 1300} | changes
    return Embedder(weights=weights, python=python, sha256=fingerprint(weights, python), **plain)


@pytest.fixture(scope="module")
def view():
    segments = np.random.default_rng(0).normal(size=(N, 12, 5000)).astype(np.float32).cumsum(2) / 40
    segments[3, 1:] = 0
    return WindowView(segments, np.arange(N)[::-1], np.arange(N) % 3 * 1250)


def embedded(embedder, view, limb=False):
    return np.concatenate(list(embeddings(embedder, view, limb, "cpu")))


def oracle(view, limb, samples=1300):
    """The same embeddings, window by window and lead by lead."""
    out = []
    for at, start in zip(view.segment, view.start, strict=True):
        rows = []
        for lead in LEAD_ORDER:
            x = view.segments[at, LEADS.index(lead), start : start + 2500].astype(np.float64)
            x = resample_poly(np.zeros(2500) if limb and lead.startswith("V") else x, 1, 2)
            rows.append(np.concatenate([x, np.zeros(max(0, samples - 1250))])[:samples])
        out.append([x.mean() for x in rows] + [np.sqrt(((x - x.mean()) ** 2).mean()) for x in rows])
    return np.array(out) @ WEIGHT


@pytest.mark.parametrize("limb", [False, True])
@pytest.mark.parametrize("samples", [1300, 1250, 1000])
def test_a_model_gets_its_own_leads_rate_and_length(scripted, view, limb, samples):
    found = embedded(scripted(samples=samples), view, limb)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, oracle(view, limb, samples), atol=2e-4)
    check_alone(scripted(samples=samples), view, limb, "cpu", found)


def test_samples_of_a_window():
    assert [samples_of_window(r) for r in (500, 250, 100, 360, 257)] == [2500, 1250, 500, 1800, 1285]


def test_only_a_batch_is_read_at_a_time(scripted):
    class View:
        read = 0

        def __len__(self):
            return 5 * BATCH

        def __getitem__(self, rows):
            n = len(range(len(self))[rows])
            View.read += n
            return np.ones((n, 12, 2500), np.float32)

    for i, part in enumerate(embeddings(scripted(), View(), False, "cpu"), 1):
        assert part.shape == (BATCH, 5)
        assert View.read == i * BATCH


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("nan", "returns NaN or infinity for 1 of 6 windows; some of them have leads that are absent"),
        ("three axes", r"returns the shape \(64, 5, 1\) for an input of \(64, 4, 1300\)"),
        ("one row", r"returns the shape \(1, 5\) for an input of \(64, 4, 1300\)"),
        ("no column", r"returns the shape \(64, 0\)"),
        ("whole numbers", r"returns a tensor of torch.int64; a \(B, D\) float tensor is needed"),
    ],
)
def test_values_that_are_no_embedding_are_refused(scripted, view, fault, message):
    with pytest.raises(UserError, match=f"foundation model 'tiny' {message}"):
        embedded(scripted(fault), view)


def test_an_input_that_does_not_fit_says_torchs_own_reason(scripted, view):
    with pytest.raises(UserError, match=r"failed on an input of shape \(64, 1, 1300\) \(RuntimeError: mat1 and") as e:
        embedded(scripted(leads=("I",)), view)
    assert "\n" not in str(e.value)


def test_a_model_that_reads_its_batch_is_refused(scripted, view):
    model = scripted("batch")
    found = embedded(model, view)
    with pytest.raises(LeakageError, match="'tiny' says something else of a window when others are beside it"):
        check_alone(model, view, False, "cpu", found)


def test_a_model_that_remembers_what_it_saw_is_refused(view, module):
    module("memory", "def make():\n    seen = []\n    return lambda x: seen.append(0) or x[:, 0, :5] * len(seen)\n")
    model = of_files(python="memory:make")
    found = embedded(model, view)
    with pytest.raises(LeakageError, match="says something else of a window"):
        check_alone(model, view, False, "cpu", found)


class Hostile:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (eval, ("__import__('pathlib').Path('owned').write_text('x')",))


@pytest.mark.parametrize("how", ["empty", "text", "truncated", "pickle", "torch file"])
def test_a_file_that_is_no_torchscript_is_refused_and_runs_nothing(scripted, view, tmp_path, monkeypatch, how):
    monkeypatch.chdir(tmp_path)
    scripted()
    file = tmp_path / "tiny.ts"
    whole = file.read_bytes()
    content = {"empty": b"", "text": b"hello", "truncated": whole[: len(whole) // 2], "pickle": pickle.dumps(Hostile())}
    if how == "torch file":
        torch.save({"model": Hostile()}, file)
    else:
        file.write_bytes(content[how])
    with pytest.raises(UserError, match=r"'tiny': .*tiny.ts cannot be loaded \(RuntimeError: ") as caught:
        embedded(of_files(str(file)), view)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "owned").exists()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module beside its weights, on the path: ``module(name, source)``."""
    monkeypatch.syspath_prepend(tmp_path)
    np.save(tmp_path / "w.npy", WEIGHT)

    def write(name, source):
        (tmp_path / f"{name}.py").write_text(source)
        return str(tmp_path / "w.npy")

    yield write
    for name in {p.stem for p in tmp_path.glob("*.py")} & set(sys.modules):
        del sys.modules[name]


def test_a_python_function_makes_the_same_model(scripted, view, module, tmp_path):
    source = (
        "import numpy as np, torch\n"
        "def make(weights):\n"
        "    w = torch.from_numpy(np.load(weights))\n"
        "    return lambda x: torch.cat([x.mean(2), x.std(2, correction=0)], 1) @ w\n"
    )
    file = module("my_embedder", source)
    mine = of_files(file, "my_embedder:make")
    assert "my_embedder" not in sys.modules, "a description runs nothing"
    np.testing.assert_allclose(embedded(mine, view), embedded(scripted(), view), atol=1e-5)
    np.save(file, WEIGHT + 1)
    with pytest.raises(CheckpointError, match=r"my_embedder:make and .*w.npy has the SHA-256"):
        embedded(mine, view)
    np.save(file, WEIGHT)
    module("my_embedder", source + "# changed\n")
    assert of_files(file, "my_embedder:make").key != mine.key


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("make = 3", "cannot be loaded .TypeError: 'int' object is not callable"),
        ("other = 3", "cannot be loaded .*has no attribute 'make'"),
        ("def make(): raise SystemExit('no licence')", "cannot be loaded .SystemExit: no licence"),
        ("import nothing_of_this_name", "cannot be loaded .ModuleNotFoundError"),
        ("def make(): return 3", "returns a int, not a callable"),
        ("def make(): return lambda x: [1]", "returns a list; a .B, D. float tensor is needed"),
        ("def make(): return lambda x: x[:, 0, : 7 + (len(x) != 64)]", "returns 8 values a window, and 7 before"),
        ("def make(): return lambda x: 1 / 0", "failed on an input of shape .* .ZeroDivisionError"),
    ],
)
def test_a_python_function_that_fails_is_said(view, module, source, message):
    module("mine", source)
    with pytest.raises(UserError, match=f"foundation model 'tiny'.* {message}"):
        embedded(of_files(python="mine:make"), view)


def test_the_key_is_what_decides_the_values(scripted):
    one = scripted()
    for same in ({"name": "other"}, {"weights": "elsewhere"}, {"overlap": {"x": "none"}}, {"output": "logits"}):
        assert dataclasses.replace(one, **same).key == one.key
    for other in ({"rate": 500.0}, {"leads": LEADS}, {"samples": 9}, {"sha256": "x"}, {"python": "a:b"}):
        assert dataclasses.replace(one, **other).key != one.key
