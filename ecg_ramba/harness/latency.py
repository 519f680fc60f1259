"""How long a trained model takes for one window, and how many it does a second: the model alone, without features."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ecg_ramba.harness.inputs import WindowSource, to_batch
from ecg_ramba.models import ModelSpec

BATCH = 256
ONE, MANY = 15, 3
"""Repetitions whose median counts, of one window and of a batch."""


def speed(spec: ModelSpec, fitted: Any, source: WindowSource, device: str, precision: str) -> dict[str, float]:
    """``latency_ms`` of one window by itself and ``windows_per_second`` of a batch; medians, after two calls.

    The windows are gathered before the clock starts.
    """
    one, many = (source.windows(np.arange(n), np.zeros(n, dtype=bool)) for n in (1, min(BATCH, len(source))))
    if spec.kind != "network":
        took = [_median(lambda w=w: fitted.predict_proba(w), n) for w, n in ((one, ONE), (many, MANY))]
    else:
        import torch

        from ecg_ramba.harness.precision import computing

        def forward(batch) -> None:
            with torch.inference_mode(), computing(device, precision):
                fitted(batch)
            if torch.device(device).type == "cuda":
                torch.cuda.synchronize(device)

        fitted.eval()
        took = [_median(lambda w=w: forward(to_batch(w, device)), n) for w, n in ((one, ONE), (many, MANY))]
    return {"latency_ms": 1000 * took[0], "windows_per_second": len(many.leads) / took[1]}


def _median(call: Callable[[], Any], repetitions: int) -> float:
    """Median seconds of a call, after two that do not count."""
    call()
    call()
    took = []
    for _ in range(repetitions):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return statistics.median(took)
