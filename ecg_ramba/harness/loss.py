"""Losses over known labels only: binary cross-entropy and the asymmetric loss, on one scale.

Both are means over the (window, class) pairs whose label is known, so that neither the number of classes nor the
switch from one to the other changes the size of a step.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def masked_bce(logits: Tensor, y: Tensor, weight: Tensor, total: Tensor | None = None) -> Tensor:
    """Binary cross-entropy, weighted mean.

    Parameters
    ----------
    logits, y, weight : (B, classes) tensors
        ``y`` in {0, 1}; ``weight`` is 0 where the label is unknown or the class is not trained.
    total : tensor, optional
        What the weighted sum is divided by; the sum of the weights unless these are a part of a batch.
    """
    loss = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
    return (loss * weight).sum() / (weight.sum() if total is None else total).clamp_min(1e-12)


def masked_asymmetric(
    logits: Tensor,
    y: Tensor,
    weight: Tensor,
    gamma_negative: float = 2.5,
    gamma_positive: float = 0.0,
    shift: float = 0.05,
    total: Tensor | None = None,
) -> Tensor:
    """Asymmetric loss, weighted mean (Ridnik et al. 2021, "Asymmetric Loss for Multi-Label Classification").

    Easy negatives are down-weighted by ``p_m ** gamma_negative`` with the shifted probability
    ``p_m = max(p - shift, 0)``; positives by ``(1 - p) ** gamma_positive``. ``total``: see
    :func:`masked_bce`.
    """
    p = torch.sigmoid(logits)
    shifted = (p - shift).clamp_min(0)
    positive = y * (1 - p).pow(gamma_positive) * F.logsigmoid(logits)
    negative = (1 - y) * shifted.pow(gamma_negative) * torch.log1p(-shifted.clamp_max(1 - 1e-6))
    return -((positive + negative) * weight).sum() / (weight.sum() if total is None else total).clamp_min(1e-12)


def class_weight(y: Tensor, known: Tensor) -> Tensor:
    """Weight of positives per class: negatives / positives among known labels, at most 20 (classes,)."""
    positives = (y * known).sum(0)
    negatives = ((1 - y) * known).sum(0)
    return (negatives / positives.clamp_min(1)).clamp(1, 20)
