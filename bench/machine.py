"""The machine that a benchmark runs on: its device, what is to be known of it, and memory measured apart from time."""

import ctypes
import gc
import os
import platform
from collections.abc import Callable
from pathlib import Path

import torch

from ecg_ramba.harness.memory import peak_mb, start_peak
from ecg_ramba.nn.backends import explain, resolve

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def synchronise() -> None:
    """Wait for the GPU, where there is one: its calls return before they are done."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def processor() -> str:
    """The model's name of the CPU or GPU."""
    if DEVICE == "cuda":
        return torch.cuda.get_device_name()
    place = Path("/proc/cpuinfo")
    lines = place.read_text().splitlines() if place.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def facts() -> dict:
    """What every timing carries: device, versions, threads, and which backend ``auto`` is."""
    return {
        "device": DEVICE,
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "capability": torch.backends.cpu.get_cpu_capability() if DEVICE == "cpu" else "",
        "matmul_precision": torch.get_float32_matmul_precision(),
        "auto": explain(resolve("auto", DEVICE), DEVICE),
    }


def peak_memory(run: Callable[[], object]) -> int:
    """Bytes that one call takes at its peak beyond what was there before; results included.

    On a CPU it is the process's resident memory, after the allocator has given back what earlier calls left to it
    (glibc; elsewhere what it still holds is not counted again).
    """
    if DEVICE == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        synchronise()
        return torch.cuda.max_memory_allocated() - before
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim:
        trim(0)
    start_peak()
    before = peak_mb()
    run()
    return int((peak_mb() - before) * 2**20)
