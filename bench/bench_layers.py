"""Mamba-2 against attention, from the scan alone to whole blocks; forward, and forward with backward.

``pytest bench --benchmark-only`` times lengths 64 to 5000 (10000 on a GPU), batches of 1 and 8, float32 and bfloat16;
``-k`` chooses: ``-k "core and L625 and float32"``, ``-k "block and B1 and backward"``. Groups are by length, so that
all that can be compared stand together. A plain ``pytest`` runs each at 64 and at 625 tokens once, untimed.
``python -m bench report FILE`` makes tables and figures of what ``--benchmark-json FILE`` wrote.
"""

import contextlib
import time

import pytest
import torch

from bench.contestants import CONTESTANTS, Contestant, inputs, parameters
from bench.machine import DEVICE, facts, peak_memory, synchronise
from ecg_ramba.nn.flops import count_flops

LENGTHS = (64, 256, 625, 1250, 2500, 5000)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SECONDS = 1.0
"""How long the rounds of a case take together, within 5 to 30 rounds."""


def pytest_generate_tests(metafunc):
    """All lengths and batches where they are timed; else the shortest in each dtype, and 625 in float32."""
    lengths = (*LENGTHS, 10_000) if DEVICE == "cuda" else LENGTHS
    sizes = [(length, batch, dtype) for length in lengths for batch in (1, 8) for dtype in DTYPES]
    if not metafunc.config.getoption("benchmark_only"):
        sizes = [(64, 1, "float32"), (64, 1, "bfloat16"), (625, 1, "float32")]
    here = [c for c in CONTESTANTS if DEVICE == "cuda" or c.needs != "mamba_ssm"]
    metafunc.parametrize("direction", ["forward", "backward"])
    metafunc.parametrize(("length", "batch", "dtype"), sizes, ids=[f"L{n}-B{b}-{d}" for n, b, d in sizes])
    metafunc.parametrize("contestant", here, ids=[f"{c.part}-{c.name}" for c in here])


def test_time(benchmark, contestant: Contestant, length: int, batch: int, direction: str, dtype: str):
    """One forward pass, or one with its backward pass."""
    missing = contestant.missing(DEVICE)
    if missing:
        pytest.skip(f"{contestant.name}: {missing}")
    torch.manual_seed(0)
    module = contestant.build().to(DEVICE).eval()
    given = inputs(contestant, batch, length, DEVICE, DTYPES[dtype] if contestant.part == "core" else torch.float32)
    wanted = [*given, *module.parameters()]
    mixed = dtype == "bfloat16" and contestant.part != "core"

    def run():
        with torch.autocast(DEVICE, torch.bfloat16) if mixed else contextlib.nullcontext():
            if direction == "forward":
                with torch.no_grad():
                    out = [module(*given)]
            else:
                y = module(*given)
                out = torch.autograd.grad(y, wanted, torch.ones_like(y), allow_unused=True)
        synchronise()
        return out

    began = time.perf_counter()
    result = run()
    first = time.perf_counter() - began
    rounds = 1 if benchmark.disabled else int(min(30, max(5, SECONDS / first)))
    benchmark.group = f"L{length}"
    benchmark.extra_info |= facts() | {
        "part": contestant.part,
        "contestant": contestant.name,
        "length": length,
        "batch": batch,
        "direction": direction,
        "dtype": dtype,
        "parameters": parameters(module),
    }
    if not benchmark.disabled:
        benchmark.extra_info["forward_flops"] = count_flops(module, *given)[""]
        del result
        benchmark.extra_info["peak_bytes"] = peak_memory(run)
    result = benchmark.pedantic(run, warmup_rounds=0 if benchmark.disabled else 2, rounds=rounds, iterations=1)
    assert all(torch.isfinite(t).all() for t in result if t is not None)
