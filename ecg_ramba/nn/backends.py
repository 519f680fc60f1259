"""What runs the selective scan: which backends there are, whether this machine can use them, and which one is taken.

``torch``      portable matrix products, always there (:mod:`ecg_ramba.nn.ssd`)
``native``     C++ for the CPU, built by the machine's compiler on first use (:mod:`ecg_ramba.native`)
``mamba_ssm``  the Triton kernels of the package of that name, for a CUDA GPU; the layer's convolution by the kernel of
               causal_conv1d where that works too

A backend that is named is used or refused, never replaced. ``auto`` takes mamba_ssm on a GPU and native on the CPU
where they can be used, else torch. This module imports neither torch nor a backend until it has to.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from ecg_ramba.errors import UserError, first_line

BACKENDS = ("torch", "native", "mamba_ssm")


@functools.cache
def unusable(name: str, device: str = "cpu") -> str:
    """Why a backend cannot be used on a device (``cpu``, ``cuda``), in one line; "" if it can."""
    kind = device.partition(":")[0]
    if name == "torch":
        return ""
    if name == "native":
        if kind != "cpu":
            return f"it runs on the CPU, not on {kind}"
        from ecg_ramba.native.library import unavailable

        return unavailable()
    if name == "mamba_ssm":
        if kind != "cuda":
            return f"it runs on a CUDA GPU, not on {kind}"
        return _probe_mamba_ssm(device)
    raise UserError(f"no backend of the scan is called {name!r}; there are: auto, {', '.join(BACKENDS)}")


def _probe_mamba_ssm(device: str) -> str:
    """Call the kernel once: a version number says nothing of whether it was built for this GPU."""
    import torch

    try:
        from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

        x = torch.ones(1, 16, 1, 16, device=device)
        B = torch.ones(1, 16, 1, 16, device=device)
        y = mamba_chunk_scan_combined(x, x[..., 0], -torch.ones(1, device=device), B, B, chunk_size=16)
        torch.cuda.synchronize(device)
    except Exception as error:  # noqa: BLE001  a package built for another GPU, torch or Python fails in any way
        return f"mamba_ssm fails: {first_line(error)}"
    return "" if torch.isfinite(y).all() else "mamba_ssm's kernel gives values that are not finite"


@functools.cache
def without_causal_conv1d(device: str) -> str:
    """Why the kernel of causal_conv1d cannot be used on a device, in one line; "" if it can. It is called once."""
    import torch

    try:
        from causal_conv1d import causal_conv1d_fn

        x = torch.ones(1, 8, 8, device=device)
        y = causal_conv1d_fn(x, torch.ones(8, 4, device=device), torch.ones(8, device=device), activation="silu")
        torch.cuda.synchronize(device)
    except Exception as error:  # noqa: BLE001  a package built for another GPU, torch or Python fails in any way
        return f"causal_conv1d fails: {first_line(error)}"
    return "" if torch.isfinite(y).all() else "causal_conv1d's kernel gives values that are not finite"


def resolve(name: str, device: str = "cpu") -> str:
    """The backend that ``auto`` means on a device, or the named one.

    Raises
    ------
    UserError
        If there is none of that name, or it cannot be used here.
    """
    if name == "auto":
        fast = "native" if device.partition(":")[0] == "cpu" else "mamba_ssm"
        return "torch" if unusable(fast, device) else fast
    reason = unusable(name, device)
    if reason:
        raise UserError(f"the backend {name} of the scan cannot be used here: {reason}; use auto or torch")
    return name


def explain(name: str, device: str = "cpu") -> str:
    """A backend in words for a log: with the instruction set, or with why ``auto`` found nothing faster."""
    if name == "native":
        from ecg_ramba.native.library import level

        return f"native ({level()})"
    if name == "mamba_ssm":
        reason = without_causal_conv1d(device)
        return f"mamba_ssm (its convolution in torch: {reason})" if reason else "mamba_ssm with causal_conv1d"
    fast = "native" if device.partition(":")[0] == "cpu" else "mamba_ssm"
    reason = unusable(fast, device) if name == "torch" else ""
    return f"{name} ({fast} cannot be used: {reason})" if reason else name


def with_backend(config: Any, name: str) -> Any:
    """A model's configuration with ``name`` where it leaves the backend open; any other as it is."""
    if getattr(config, "backend", None) != "auto":
        return config
    return dataclasses.replace(config, backend=name)
