"""The C++ scan: every instruction set, any number of threads, long sequences; and how it is built, or is not."""

import subprocess
import sys

import pytest
import torch

from ecg_ramba.native import library as native
from ecg_ramba.native.library import LEVELS, NativeUnavailable, level
from ecg_ramba.native.scan import ssd_native
from ecg_ramba.nn import backends
from ecg_ramba.nn.ssd import ssd, ssd_recurrent
from tests.nn.scans import NAMES, inputs, needs_native, relative


def gradients(function, tensors, *rest):
    y = function(*tensors, *rest)
    cotangent = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(y.dtype)
    return y.detach(), torch.autograd.grad(y, tensors, cotangent)


@needs_native
@pytest.mark.parametrize("instructions", LEVELS)
@pytest.mark.parametrize(("heads", "width", "state"), [(1, 1, 1), (3, 5, 6), (2, 64, 64), (2, 17, 33)])
def test_every_instruction_set(instructions, heads, width, state):
    if LEVELS.index(instructions) > LEVELS.index(level()):
        pytest.skip(f"this processor has no {instructions}")
    tensors = inputs(2, 70, heads, width, state)
    y, found = gradients(ssd_native, tensors, instructions)
    expected, targets = gradients(ssd_recurrent, tensors)
    assert relative(y, expected) < 1e-13
    for name, value, target in zip(NAMES, found, targets, strict=True):
        assert relative(value, target) < 1e-11, name


@needs_native
@pytest.mark.parametrize("length", [256, 257, 288, 513, 700])
def test_lengths_at_which_the_decays_gradient_is_taken_anew(length):
    tensors = inputs(1, length, 2, 3, 4)
    y, found = gradients(ssd_native, tensors)
    expected, targets = gradients(ssd_recurrent, tensors)
    assert relative(y, expected) < 1e-13
    for name, value, target in zip(NAMES, found, targets, strict=True):
        assert relative(value, target) < 1e-11, name


@needs_native
@pytest.mark.parametrize(("batch", "length"), [(1, 5000), (2, 625), (1, 31), (1, 32), (1, 33)])
def test_float32_against_the_recurrence_in_float64(batch, length):
    tensors = inputs(batch, length, 2, 16, 16, dtype=torch.float32, dt_scale=0.2)
    y, found = gradients(ssd_native, tensors)
    expected, targets = gradients(ssd_recurrent, [t.detach().double().requires_grad_() for t in tensors])
    assert relative(y.double(), expected) < 1e-6
    for name, value, target in zip(NAMES, found, targets, strict=True):
        assert relative(value.double(), target) < 2e-5, name


@needs_native
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_the_number_of_threads_changes_no_bit(batch):
    tensors = inputs(batch, 100, 12, 8, 8, dtype=torch.float32)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(gradients(ssd_native, tensors))
    finally:
        torch.set_num_threads(before)
    for y, found in results[1:]:
        assert torch.equal(y, results[0][0])
        assert all(torch.equal(a, b) for a, b in zip(found, results[0][1], strict=True))


@needs_native
def test_auto_is_native_on_a_cpu_and_says_with_what():
    assert backends.resolve("auto") == "native"
    assert backends.explain("native") == f"native ({level()})"
    tensors = [t.detach() for t in inputs(1, 40, 2, 3, 4, dtype=torch.float32)]
    assert torch.equal(ssd(*tensors), ssd(*tensors, backend="native"))
    assert not torch.equal(ssd(*tensors), ssd(*tensors, backend="torch"))


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """No library loaded yet, an empty cache; forgotten again afterwards."""
    monkeypatch.setenv("ECG_RAMBA_CACHE", str(tmp_path / "cache"))
    for kept in (native.library, native.unavailable, backends.unusable):
        kept.cache_clear()
    yield tmp_path
    for kept in (native.library, native.unavailable, backends.unusable):
        kept.cache_clear()


def test_without_a_compiler_auto_is_torch_with_the_reason(fresh, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert backends.resolve("auto") == "torch"
    assert backends.explain("torch") == "torch (native cannot be used: CXX names no-such-compiler, which is not there)"
    with pytest.raises(backends.UserError, match="native of the scan cannot be used here: CXX names no-such-compiler"):
        backends.resolve("native")
    tensors = [t.detach() for t in inputs(1, 40, 2, 3, 4)]
    torch.testing.assert_close(ssd(*tensors), ssd_recurrent(*tensors))


def test_a_compiler_that_fails_is_quoted(fresh, monkeypatch):
    script = fresh / "cxx"
    script.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "ssd.cpp:1: error: out of order" >&2\nexit 1\n')
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    with pytest.raises(NativeUnavailable, match=r"cannot build it: ssd\.cpp:1: error: out of order"):
        native.library()
    assert list((fresh / "cache").iterdir()) == []


@needs_native
def test_a_damaged_library_is_named(fresh, monkeypatch):
    def build(command, path):
        path.parent.mkdir()
        path.write_bytes(b"not a library")

    monkeypatch.setattr(native, "_build", build)
    with pytest.raises(NativeUnavailable, match=r"ssd-[0-9a-f]{24}\.so cannot be loaded .* delete it"):
        native.library()


def test_a_cache_that_cannot_be_written_is_named(fresh, monkeypatch):
    (fresh / "cache").write_text("a file in its place")
    with pytest.raises(NativeUnavailable, match=r"cannot write .*; set ECG_RAMBA_CACHE"):
        native.library()


def test_names_are_known_without_torch():
    code = "import sys, ecg_ramba.nn.backends; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
