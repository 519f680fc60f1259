"""The selective scan in C++ for the CPU, with its gradients: built by the machine's own compiler on first use.

The compiled library knows nothing of Python or torch: it takes addresses, sizes and strides through ctypes, and is kept
in the user's cache folder under a name made of the sources, the compiler and the flags, so it is built once for each of
them. It works in the threads of torch's own OpenMP pool: those go on spinning for a while after every operation of
torch, and other threads beside them would get half a core.

Reference: the recurrence of Dao and Gu 2024, arXiv:2405.21060, section 2; the method is described in kernel.h.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor

SOURCES = ("ssd.cpp", "kernel.h")
FLAGS = ("-O3", "-std=c++17", "-ffp-contract=fast", "-shared", "-fPIC", "-pthread", "-Wno-psabi")
LEVELS = ("baseline", "avx2", "avx512")
"""Instruction sets, in the order of the library's numbers; the best that the processor has is taken."""

_SIZES = ("batch", "length", "heads", "width", "state", "groups")
_INPUTS = ("x", "dt", "A", "B", "C", "D", "dy")
_STRIDES = (
    *("x_batch", "x_step", "x_head", "dt_batch", "dt_step", "dt_head"),
    *("B_batch", "B_step", "C_batch", "C_step", "dy_batch", "dy_step", "dy_head"),
)
_OUTPUTS = ("y", "dx", "ddt", "dB", "dC", "dA", "dD")


class _Problem(ctypes.Structure):
    """``Problem<T>`` of ssd.cpp; the pointers are to float or double."""

    _fields_ = [
        *((name, ctypes.c_int) for name in _SIZES),
        *((name, ctypes.c_void_p) for name in _INPUTS),
        *((name, ctypes.c_int64) for name in _STRIDES),
        *((name, ctypes.c_void_p) for name in _OUTPUTS),
    ]


class NativeUnavailable(RuntimeError):
    """Why the native backend cannot be used on this machine, in one line."""


def cache_folder() -> Path:
    """Where built libraries are kept: ``ECG_RAMBA_CACHE``, or the user's cache folder."""
    if os.environ.get("ECG_RAMBA_CACHE"):
        return Path(os.environ["ECG_RAMBA_CACHE"])
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "ecg-ramba"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ecg-ramba"


def compiler() -> list[str]:
    """The command of the C++ compiler: ``CXX``, or the first of c++, g++ and clang++ that is there.

    Raises
    ------
    NativeUnavailable
        If there is none.
    """
    named = shlex.split(os.environ.get("CXX", ""))
    for command in [named] if named else [["c++"], ["g++"], ["clang++"]]:
        if shutil.which(command[0]):
            return command
    raise NativeUnavailable(
        f"CXX names {named[0]}, which is not there" if named else "no C++ compiler is there (c++, g++ or clang++)"
    )


@functools.cache
def library() -> ctypes.CDLL:
    """The compiled library, built first if need be.

    Raises
    ------
    NativeUnavailable
        If it can be neither found nor built, with the compiler's first error.
    """
    if sys.platform == "win32":
        raise NativeUnavailable("it is not built on Windows")
    command = compiler()
    here = Path(__file__).parent
    try:
        said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise NativeUnavailable(f"{shlex.join(command)} --version fails: {error}") from None
    made_of = [(here / name).read_text(encoding="utf-8") for name in SOURCES]
    parts = [*made_of, *command, said, *FLAGS, platform.machine(), sys.platform]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
    path = cache_folder() / f"ssd-{key}.so"
    if not path.is_file():
        _build([*command, *FLAGS, str(here / SOURCES[0])], path)
    try:
        built = ctypes.CDLL(str(path))
        for name in ("ssd_float", "ssd_double"):
            getattr(built, name).argtypes = [
                ctypes.POINTER(_Problem),
                *[ctypes.c_int] * 3,
                ctypes.c_void_p,
            ]
        built.ssd_best_level()
    except (OSError, AttributeError) as error:
        raise NativeUnavailable(f"{path} cannot be loaded ({error}); delete it, and it is built again") from None
    return built


def _build(command: list[str], path: Path) -> None:
    """Compile to a temporary file and put it at ``path`` in one step, so that several processes may build at once."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".so.tmp")
        os.close(handle)
    except OSError as error:
        raise NativeUnavailable(f"cannot write {path.parent}: {error.strerror}; set ECG_RAMBA_CACHE") from None
    print(f"building the native scan with {command[0]}: once, some 20 s", file=sys.stderr)
    try:
        done = subprocess.run([*command, "-o", name], capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
            raise NativeUnavailable(f"{command[0]} cannot build it: {lines[0] if lines else done.returncode}")
        os.chmod(name, 0o755)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def level() -> str:
    """The instruction set that is used on this processor, one of :data:`LEVELS`."""
    return LEVELS[library().ssd_best_level()]


@functools.cache
def _openmp() -> ctypes.c_void_p | None:
    """Where the OpenMP pool that torch has loaded is entered; None where there is no telling: threads are started."""
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        return None
    loaded = {line.split(maxsplit=5)[-1] for line in maps.read_text().splitlines()}
    found = {path for path in loaded if Path(path).name.startswith(("libgomp", "libomp", "libiomp"))}
    of_torch = {path for path in found if Path(torch.__file__).parent in Path(path).parents}
    chosen = of_torch or found
    if len(chosen) != 1:
        return None
    entry = getattr(ctypes.CDLL(chosen.pop()), "GOMP_parallel", None)
    return entry and ctypes.cast(entry, ctypes.c_void_p)


def _groups(batch: int, heads: int) -> int:
    """Groups of heads that a sequence is split into: up to four for a single sequence, by the sizes alone."""
    return next(g for g in range(min(heads, -(-4 // batch)), 0, -1) if heads % g == 0)


def _run(tensors: dict[str, Tensor], out: dict[str, Tensor], gradients: bool, groups: int, instructions: str) -> None:
    x = tensors["x"]
    batch, length, heads, width = x.shape
    sizes = dict(zip(_SIZES, (batch, length, heads, width, tensors["B"].shape[-1], groups), strict=True))
    strides = {}
    for name in ("x", "dt", "B", "C", "dy"):
        if name in tensors:
            axes = ("batch", "step") if name in "BC" else ("batch", "step", "head")
            strides |= {f"{name}_{axis}": tensors[name].stride(i) for i, axis in enumerate(axes)}
    pointers = {name: t.data_ptr() for name, t in (tensors | out).items()}
    function = library().ssd_double if x.dtype == torch.float64 else library().ssd_float
    number = LEVELS.index(instructions or level())
    problem = _Problem(**sizes, **strides, **pointers)
    if function(ctypes.byref(problem), number, torch.get_num_threads(), int(gradients), _openmp()):
        raise MemoryError("no memory was left for the scan")


def _rows(t: Tensor) -> Tensor:
    """The tensor with its last axis contiguous."""
    return t if t.stride(-1) == 1 or t.shape[-1] == 1 else t.contiguous()


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, dt, A, B, C, D, instructions):
        tensors = {"x": _rows(x), "dt": dt, "A": A.contiguous(), "B": _rows(B), "C": _rows(C), "D": D.contiguous()}
        ctx.save_for_backward(*tensors.values())
        ctx.instructions = instructions
        y = torch.empty_like(x, memory_format=torch.contiguous_format)
        _run(tensors, {"y": y}, False, _groups(x.shape[0], x.shape[2]), instructions)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        tensors = dict(zip(("x", "dt", "A", "B", "C", "D"), ctx.saved_tensors, strict=True))
        x, A, B = (tensors[name] for name in ("x", "A", "B"))
        batch, length, heads, _ = x.shape
        groups = _groups(batch, heads)
        out = {"dx": torch.empty(x.shape, dtype=x.dtype), "ddt": x.new_empty(batch, heads, length)}
        out |= {name: x.new_empty(groups, batch, length, B.shape[-1]) for name in ("dB", "dC")}
        out |= {name: torch.empty(batch, heads, dtype=torch.float64) for name in ("dA", "dD")}
        _run(tensors | {"dy": _rows(dy)}, out, True, groups, ctx.instructions)
        dB, dC = (out[name].sum(0) if groups > 1 else out[name][0] for name in ("dB", "dC"))
        dA, dD = (out[name].sum(0).to(A.dtype) for name in ("dA", "dD"))
        return out["dx"], out["ddt"].transpose(1, 2), dA, dB, dC, dD, None


def ssd_native(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, instructions: str = "") -> Tensor:
    """The scan of :func:`ecg_ramba.nn.ssd.ssd` on tensors of one dtype, float32 or float64, on the CPU.

    Parameters
    ----------
    x, dt, A, B, C, D : Tensor
        (batch, length, heads, width), (batch, length, heads), (heads,), (batch, length, state) twice, (heads,).
    instructions : str
        One of :data:`LEVELS` in place of the best that there is (the processor must have it).

    Returns
    -------
    Tensor
        As ``x``. It does not depend on the number of threads.
    """
    return _Scan.apply(x, dt, A, B, C, D, instructions)
