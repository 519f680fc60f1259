"""Training through the pooling: the loss of a segment's windows together, not of each by itself.

Shape suffixes: N windows, S segments, W windows of a segment at most, C classes.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

NOTHING = -1e4
"""Logit of a window that a segment does not have; its probability is zero in every precision."""

POWER = 3.0


@dataclass(frozen=True)
class SegmentIndex:
    """Which windows make up each segment: ``first`` and ``count`` (S,) into ``order`` (N,), a permutation of them."""

    order: np.ndarray
    first: np.ndarray
    count: np.ndarray

    @classmethod
    def of(cls, segment: np.ndarray) -> "SegmentIndex":
        """From each window's segment (N,), any numbers."""
        order = np.argsort(segment, kind="stable")
        _, first, count = np.unique(segment[order], return_index=True, return_counts=True)
        return cls(order, first, count)

    def __len__(self) -> int:
        return len(self.first)

    def windows(self, segments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Windows (n,) of these segments, one segment after the other, and the place of each segment's (n,) in them."""
        parts = [self.order[a : a + n] for a, n in zip(self.first[segments], self.count[segments], strict=True)]
        return np.concatenate(parts), np.repeat(np.arange(len(segments)), self.count[segments])


def pool_logits(logits_NC: Tensor, segment: np.ndarray, rule: str) -> Tensor:
    """Logits of segments from those of their windows.

    Parameters
    ----------
    logits_NC : Tensor
        (N, classes); for ``attention`` (N, 2 classes): those of the classes, then those of how much each window counts
        for each class (decision-level attention, Kong et al. 2018, arXiv:1711.00927).
    segment : (N,) int array
        Segment of each window, 0 … S - 1, ascending.
    rule : {"power", "max", "geometric", "attention"}
        Power mean with Q = 3, maximum, or geometric mean of the windows' probabilities, or their weighted mean.

    Returns
    -------
    Tensor
        (S, classes).

    Raises
    ------
    ValueError
        For another rule.
    """
    counts = np.bincount(segment)
    place = np.arange(len(segment)) - np.repeat(np.cumsum(counts) - counts, counts)
    where = (torch.from_numpy(segment).to(logits_NC.device), torch.from_numpy(place).to(logits_NC.device))
    x_SWC = logits_NC.new_full((len(counts), counts.max(), logits_NC.shape[1]), NOTHING).index_put(where, logits_NC)
    if rule == "max":
        return x_SWC.amax(1)
    n_S1 = torch.from_numpy(counts).to(logits_NC)[:, None]
    if rule == "power":
        log_p = (torch.logsumexp(POWER * F.logsigmoid(x_SWC), 1) - n_S1.log()) / POWER
    elif rule == "geometric":
        there = torch.zeros_like(x_SWC[..., :1]).index_put(where, torch.ones_like(logits_NC[:, :1]))
        log_p = (F.logsigmoid(x_SWC) * there).sum(1) / n_S1
    elif rule == "attention":
        x_SWC, weight_SWC = x_SWC.chunk(2, dim=-1)
        log_p = torch.logsumexp(F.log_softmax(weight_SWC, 1) + F.logsigmoid(x_SWC), 1)
    else:
        raise ValueError(f"pooling {rule!r} is none of power, max, geometric, attention")
    log_p = log_p.clamp_max(-1e-6)  # a probability of one has no logit
    return log_p - torch.log(-torch.expm1(log_p))
