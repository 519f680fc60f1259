"""Floating-point precision of training and prediction, and how far it is from float32 before anything is trained.

``fp32``    float32 throughout
``medium``  float32 with matrix products that may round their factors to bfloat16, where the processor has that
``bf16``    products and convolutions in bfloat16 (torch's autocast), the rest in float32
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from ecg_ramba.errors import UserError
from ecg_ramba.models import Batch

SAME = {"fp32": 1e-3, "medium": 2e-2, "bf16": 2e-2}
"""How far two probabilities of one window may be apart that differ in rounding alone."""


@contextlib.contextmanager
def computing(device: str, precision: str) -> Iterator[None]:
    """Forward passes at a precision; a backward pass needs :func:`products` alone."""
    with products(precision):
        if precision == "bf16":
            with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
                yield
        else:
            yield


@contextlib.contextmanager
def products(precision: str) -> Iterator[None]:
    """Float32 matrix products at a precision, whatever the process has set; that is restored."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if precision == "medium" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@torch.no_grad()
def check_precision(network: nn.Module, batch: Batch, device: str, precision: str) -> float:
    """Largest difference of a probability from float32's, on one batch through the network as it starts.

    Raises
    ------
    UserError
        If it is more than rounding: this device does not compute the network at that precision.
    """
    mode = network.training
    network.eval()
    with computing(device, "fp32"):
        exact = network(batch).float().sigmoid()
    with computing(device, precision):
        found = network(batch).float().sigmoid()
    network.train(mode)
    difference = float((found - exact).abs().max())
    if not difference <= SAME[precision]:
        raise UserError(
            f"--precision {precision} gives probabilities {difference:.2g} away from fp32's on {device}, more than "
            f"{SAME[precision]}; use --precision fp32"
        )
    return difference
