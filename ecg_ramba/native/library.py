"""The compiled library: built by the machine's own compiler on first use, loaded, and called.

It knows nothing of Python or torch: it takes addresses, sizes and strides through ctypes, and is kept in the user's
cache folder under a name made of the sources, the compiler and the flags, so it is built once for each of them. What
is called between operations of torch works in the threads of torch's own OpenMP pool: those go on spinning for a while
after every operation, and other threads beside them would get half a core.
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

SOURCES = ("ssd.cpp", "vectors.h", "kernel.h", "rows.h", "rocket.h")
FLAGS = ("-O3", "-std=c++17", "-ffp-contract=fast", "-shared", "-fPIC", "-pthread", "-Wno-psabi")
LEVELS = ("baseline", "avx2", "avx512")
"""Instruction sets, in the order of the library's numbers; the best that the processor has is taken."""

SIZES = ("batch", "length", "heads", "width", "state", "groups")
_INPUTS = ("x", "dt", "A", "B", "C", "D", "dy")
_STRIDES = (
    *("x_batch", "x_step", "x_head", "dt_batch", "dt_step", "dt_head"),
    *("B_batch", "B_step", "C_batch", "C_step", "dy_batch", "dy_step", "dy_head"),
)
_OUTPUTS = ("y", "dx", "ddt", "dB", "dC", "dA", "dD")


class Problem(ctypes.Structure):
    """``Problem<T>`` of ssd.cpp; the pointers are to float or double."""

    _fields_ = [
        *((name, ctypes.c_int) for name in SIZES),
        *((name, ctypes.c_void_p) for name in _INPUTS),
        *((name, ctypes.c_int64) for name in _STRIDES),
        *((name, ctypes.c_void_p) for name in _OUTPUTS),
    ]


class Rows(ctypes.Structure):
    """``Rows<T>`` of ssd.cpp."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("batch", "length", "width", "taps", "left", "silu", "parts")),
        ("eps", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("x", "z", "weight", "bias", "dy")),
        *((f"{name}_{axis}", ctypes.c_int64) for name in ("x", "z", "dy") for axis in ("batch", "step")),
        *((name, ctypes.c_void_p) for name in ("y", "dx", "dz", "dweight", "dbias")),
    ]


class Rocket(ctypes.Structure):
    """``Rocket`` of ssd.cpp."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("windows", "leads", "samples", "dilations", "features")),
        *(
            (name, ctypes.c_void_p)
            for name in ("leads_per_kernel", "lead_indices", "dilation", "features_per_dilation")
        ),
        *((name, ctypes.c_void_p) for name in ("biases", "x", "out", "dropped", "out_without")),
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
        for kind, structure in (("ssd", Problem), ("rows", Rows)):
            for name in (f"{kind}_float", f"{kind}_double"):
                getattr(built, name).argtypes = [ctypes.POINTER(structure), *[ctypes.c_int] * 3, ctypes.c_void_p]
        built.rocket_float.argtypes = [ctypes.POINTER(Rocket), *[ctypes.c_int] * 2]
        built.ssd_best_level()
    except (OSError, AttributeError) as error:
        raise NativeUnavailable(f"{path} cannot be loaded ({error}); delete it, and it is built again") from None
    return built


@functools.cache
def unavailable() -> str:
    """Why the library cannot be used on this machine, in one line; "" if it can."""
    try:
        library()
    except NativeUnavailable as error:
        return str(error)
    return ""


def _build(command: list[str], path: Path) -> None:
    """Compile to a temporary file and put it at ``path`` in one step, so that several processes may build at once."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".so.tmp")
        os.close(handle)
    except OSError as error:
        raise NativeUnavailable(f"cannot write {path.parent}: {error.strerror}; set ECG_RAMBA_CACHE") from None
    print(f"building the native backend with {command[0]}: once, some 20 s", file=sys.stderr)
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


def number(instructions: str = "") -> int:
    """The library's number of an instruction set; by default of the best."""
    return LEVELS.index(instructions or level())
