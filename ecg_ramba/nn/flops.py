"""Floating-point operations of one forward pass.

Counted by torch's own counter from the shapes of matrix products, convolutions and attention, which counts as its two
products whichever kernel runs it; a multiply-add counts two. The scan counts as its portable form does, whichever
backend runs it: matrix products, masked halves included (:func:`ssd_flops` gives the same from the sizes), so that a
model's figure does not depend on the machine. Elementwise work (norms, activations, depthwise convolutions, the
recurrence between chunks) is not counted.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from ecg_ramba.models import Batch, InputShape, ModelSpec
from ecg_ramba.nn.backends import with_backend
from ecg_ramba.nn.inputs import example_batch
from ecg_ramba.nn.ssd import QUADRATIC_LIMIT, SHARED_CHUNK


def count_flops(module: nn.Module, *inputs) -> dict[str, int]:
    """FLOPs of one forward pass in evaluation mode, in all (key ``""``) and by qualified name of each submodule.

    Parameters
    ----------
    module : nn.Module
        What to run; its mode is restored.
    *inputs
        Its arguments.
    """
    training = module.training
    module.eval()
    # the counter knows every fused attention but the CPU's
    own = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}
    counter = FlopCounterMode(display=False, depth=None, custom_mapping=own)
    try:
        with torch.enable_grad(), counter:  # its module names need gradients
            module(*inputs)
    finally:
        module.train(training)
    counts = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}
    root = type(module).__name__
    out = {name.removeprefix(root + "."): n for name, n in counts.items() if name.startswith(root + ".")}
    return {"": counts.get("Global", 0), **out}


def _attention_flops(query, key, value, *_, **__) -> int:
    """From the shapes, as for the counter's own kernels: a mask changes nothing."""
    return sdpa_flop_count(query, key, value)


def window_flops(spec: ModelSpec, config, shape: InputShape) -> int | None:
    """Forward FLOPs of one window through a network; None for an estimator."""
    if spec.kind != "network":
        return None
    batch: Batch = example_batch(shape, spec.streams(config))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the scan's form depends on how far its decays reach
        network = spec.build(with_backend(config, "torch"), shape)
    return count_flops(network, batch)[""]


def ssd_flops(batch: int, length: int, heads: int, width: int, state: int, chunk: int = SHARED_CHUNK) -> int:
    """FLOPs of the matrix products of one scan, forward.

    Per position: scores against a chunk (state), their product with the input (heads x width), and, where there is
    more than one chunk, the state's update and its reading.
    """
    features = heads * width
    if length <= QUADRATIC_LIMIT:
        return 2 * batch * length * length * (state + features)
    chunks = -(-length // chunk)
    inside = 2 * batch * chunks * chunk * chunk * (state + features)
    between = 2 * 2 * batch * (chunks - 1) * chunk * state * features
    return inside + between
