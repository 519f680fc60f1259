"""Calls of the library on tensors, in the threads of torch's own OpenMP pool."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

import torch
from torch import Tensor

from ecg_ramba.native.library import library, number


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


def call(kind: str, problem: ctypes.Structure, dtype: torch.dtype, which: int, instructions: str) -> None:
    """A function of the library, for tensors of one dtype, in as many threads as torch has."""
    function = getattr(library(), f"{kind}_double" if dtype == torch.float64 else f"{kind}_float")
    if function(ctypes.byref(problem), number(instructions), torch.get_num_threads(), which, _openmp()):
        raise MemoryError("no memory was left for the native backend")


def contiguous_rows(t: Tensor) -> Tensor:
    """The tensor with its last axis contiguous."""
    return t if t.stride(-1) == 1 or t.shape[-1] == 1 else t.contiguous()
