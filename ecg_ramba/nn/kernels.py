"""MiniRocket inside a network: its kernels, some or all of them trainable, from the signal to one token a dilation.

The 84 kernels of nine taps, six of them -1 and three 2, at dilations 1, 2, 4 ... as long as a kernel fits into a window
(nine dilations for 2500 samples), each over its own random leads, and of each convolution the proportion of positive
values. What a network cannot do as MiniRocket does, and what stands for it here:

- MiniRocket's biases are quantiles of the convolution over training windows. Here the convolution is divided by its
  root mean square over the window, and compared with fixed levels: the quantiles that a Laplace distribution would
  have (a convolved ECG is small between beats and large in them), spread evenly as MiniRocket's are. A window's result
  depends on no other window, and the scale of a trained kernel means nothing.
- A count of positive values has no gradient: it is the mean of a sigmoid of temperature :data:`TEMPERATURE`.
- In place of the principal components of the training windows there are fixed random directions, orthonormal within a
  dilation; a batch norm without parameters gives them unit variance, which the reference takes from training windows.
- Only every :data:`STRIDE`-th position is evaluated (16 ms apart; the band ends at 40 Hz), and every kernel pads with
  zeros, where MiniRocket leaves the borders out for half of them.

Everything that is drawn has a fixed seed: it is the same in every fold and run, and for every share of trainable
kernels, so that all shares are the same function before training.

Reference: Dempster, Schmidt and Webb, "MINIROCKET: a very fast (almost) deterministic transform for time series
classification", KDD 2021, arXiv:2012.08791.

Shape suffixes: B batch, E leads, T samples, P positions, G dilations, K kernels, N taps, Q levels of a kernel,
F features of a dilation (K x Q), C directions of a dilation, D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecg_ramba.features.minirocket import KERNELS, TAPS
from ecg_ramba.models import Batch
from ecg_ramba.nn.inputs import visible_signal
from ecg_ramba.nn.perceiver import GroupProjection

STRIDE = 8
"""Samples from one evaluated position to the next."""

TEMPERATURE = 0.1
"""Width of the soft threshold, in root mean squares of the convolution."""

FLOOR = 1e-4
"""Least root mean square, in standard deviations of a lead: a kernel all of whose leads are absent gives zeros."""

EPSILON = 1e-6
"""Added to the variance of a direction; proportions vary by some hundredths from window to window."""

SEED = 0
"""Of leads, directions and which kernels learn."""


class KernelTokens(nn.Module):
    """One token a dilation: soft proportions of positive values, fixed random directions, one learned linear map.

    With no kernel trainable, the parameters are those of the reference's
    :class:`~ecg_ramba.nn.perceiver.GroupProjection` with the same sum of components and tokens. A trainable kernel adds
    its taps and levels at every dilation.

    Parameters
    ----------
    leads, samples : int
        Shape of a window; the dilations follow from ``samples``.
    width : int
        Width of a token.
    total : int
        Directions and tokens together: the learned maps have ``total * width`` parameters.
    trainable : float
        Share of the kernels whose taps and levels are parameters, rounded to whole kernels of each dilation.
    temperature : float
        Of the sigmoid.

    Raises
    ------
    ValueError
        If a window is shorter than a kernel, or ``total`` leaves a dilation without a direction.
    """

    def __init__(
        self,
        leads: int,
        samples: int,
        width: int,
        total: int,
        trainable: float = 0.0,
        temperature: float = TEMPERATURE,
    ):
        super().__init__()
        self.dilations = tuple(2**i for i in range(samples.bit_length()) if (TAPS - 1) * 2**i < samples)
        groups = len(self.dilations)
        if not groups or total < 2 * groups:
            raise ValueError(f"{samples} samples and {total} directions and tokens: at least {TAPS} and two a dilation")
        each, more = divmod(total - groups, groups)
        components = tuple(each + (g < more) for g in range(groups))
        levels = max(2, -(-max(components) // KERNELS))
        self.temperature, self.trained = temperature, round(trainable * KERNELS)

        rng = np.random.default_rng(SEED)
        leads_GKE = _lead_sets(rng, groups, leads)
        expected_GKQ = _even(groups * KERNELS * levels).reshape(groups, KERNELS, levels)
        directions_GKQC = np.zeros((groups, KERNELS * levels, max(components)))
        for g, count in enumerate(components):
            directions_GKQC[g, :, :count] = np.linalg.qr(rng.standard_normal((KERNELS * levels, count)))[0]
        directions_GKQC = directions_GKQC.reshape(groups, KERNELS, levels, -1)
        # the trainable kernels of a dilation stand first, whatever their number, and take all that is theirs along
        order_GK = np.stack([_split(rng.permutation(KERNELS), self.trained) for _ in range(groups)])

        def ordered(values_GK: np.ndarray) -> Tensor:
            return torch.from_numpy(np.stack([v[order] for v, order in zip(values_GK, order_GK, strict=True)])).float()

        self.register_buffer("leads", ordered(leads_GKE))
        self.register_buffer("directions", ordered(directions_GKQC).flatten(1, 2))
        weight_GKN = ordered(np.broadcast_to(_kernels(), (groups, KERNELS, TAPS)))
        level_GKQ = ordered(_laplace_level(expected_GKQ))
        for name, values in (("weight", weight_GKN), ("level", level_GKQ)):
            learned, frozen = values[:, : self.trained].clone(), values[:, self.trained :].clone()
            self.register_parameter(name, nn.Parameter(learned) if self.trained else None)
            self.register_buffer(f"frozen_{name}", frozen if self.trained < KERNELS else None)
        self.norm = nn.BatchNorm1d(groups * max(components), eps=EPSILON, affine=False)
        self.tokens = GroupProjection(components, width)

    def forward(self, batch: Batch) -> Tensor:
        """Tokens (B, G, width) of a batch's signal."""
        x_BET = visible_signal(batch)
        # MiniRocket's features are computed in full precision, and so are these
        with torch.autocast(x_BET.device.type, enabled=False):
            features_BGF = self.proportions(x_BET, batch.valid)
            x_BGC = torch.bmm(features_BGF.transpose(0, 1), self.directions).transpose(0, 1)
            x_BGC = self._unit_variance(x_BGC.flatten(1)).view_as(x_BGC)
        return self.tokens(x_BGC)

    def _unit_variance(self, x_BC: Tensor) -> Tensor:
        """Batch norm; a training batch of one window, which has no variance, is scaled by what was seen before."""
        norm = self.norm
        training = norm.training and len(x_BC) > 1
        return F.batch_norm(x_BC, norm.running_mean, norm.running_var, None, None, training, norm.momentum, norm.eps)

    def proportions(self, x_BET: Tensor, valid_BT: Tensor | None = None) -> Tensor:
        """Soft proportions of positive values, of each dilation its trainable kernels first.

        Parameters
        ----------
        x_BET : Tensor
            (batch, leads, samples), z-scored; zero for absent leads and padded samples.
        valid_BT : Tensor, optional
            (batch, samples) bool; positions where it is False do not count.

        Returns
        -------
        Tensor
            (batch, dilations, kernels x levels), between 0 and 1.
        """
        counted_BP = torch.ones_like(x_BET[:, 0, ::STRIDE])
        if valid_BT is not None:
            counted_BP = valid_BT[:, ::STRIDE].to(x_BET.dtype)
        weight_B1P = (counted_BP / counted_BP.sum(1, keepdim=True).clamp_min(1.0))[:, None]
        groups = []
        for g, dilation in enumerate(self.dilations):
            reach = (TAPS - 1) // 2 * dilation
            patches_BEPN = F.pad(x_BET, (reach, reach)).unfold(-1, 2 * reach + 1, STRIDE)[..., ::dilation]
            patches_BPF = patches_BEPN.transpose(1, 2).flatten(2)
            # apart, so that nothing is kept for a backward pass of kernels that do not learn
            parts = [self._shares(patches_BPF, weight_B1P, *part) for part in self._parts(g)]
            groups.append(torch.cat(parts, dim=1).flatten(1))
        return torch.stack(groups, dim=1)

    def _parts(self, g: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Taps, levels and leads of the trainable and of the frozen kernels of a dilation, as far as there are any."""
        if self.weight is not None:
            yield self.weight[g], self.level[g], self.leads[g, : self.trained]
        if self.frozen_weight is not None:
            yield self.frozen_weight[g], self.frozen_level[g], self.leads[g, self.trained :]

    def _shares(
        self, patches_BPF: Tensor, weight_B1P: Tensor, taps_KN: Tensor, level_KQ: Tensor, leads_KE: Tensor
    ) -> Tensor:
        """(B, K, Q); the sum over a kernel's leads and its convolution are one product over patches of all leads."""
        y_BPK = F.linear(patches_BPF, (leads_KE[:, :, None] * taps_KN[:, None]).flatten(1))
        power_B1K = torch.bmm(weight_B1P, y_BPK.square())
        z_BPK = y_BPK * (torch.rsqrt(power_B1K + FLOOR**2) / self.temperature)
        level_QK = level_KQ.t() / self.temperature
        shares = [torch.bmm(weight_B1P, (z_BPK - level_K).sigmoid_())[:, 0] for level_K in level_QK]
        return torch.stack(shares, dim=-1)


def _kernels() -> np.ndarray:
    """(84, 9): -1 everywhere, but 2 at three of the nine taps."""
    made = np.full((KERNELS, TAPS), -1.0)
    for kernel, twos in zip(made, combinations(range(TAPS), 3), strict=True):
        kernel[list(twos)] = 2.0
    return made


def _lead_sets(rng: np.random.Generator, groups: int, leads: int) -> np.ndarray:
    """(G, 84, E) bool: one to nine leads for each kernel of each dilation, few more often than many, as MiniRocket."""
    chosen = np.zeros((groups * KERNELS, leads), dtype=bool)
    counts = (2 ** rng.uniform(0, np.log2(min(leads, TAPS) + 1), len(chosen))).astype(int)
    for row, count in zip(chosen, counts, strict=True):
        row[rng.permutation(leads)[:count]] = True
    return chosen.reshape(groups, KERNELS, leads)


def _even(count: int) -> np.ndarray:
    """Proportions in (0, 1), evenly spread however many there are: multiples of the golden ratio, as MiniRocket."""
    return np.arange(1, count + 1) * (np.sqrt(5) + 1) / 2 % 1


def _laplace_level(share: np.ndarray) -> np.ndarray:
    """What a Laplace variable of root mean square 1 exceeds with that probability."""
    side = np.where(share < 0.5, 1.0, -1.0)
    return -side * np.log(2 * np.minimum(share, 1 - share)) / np.sqrt(2)


def _split(order: np.ndarray, first: int) -> np.ndarray:
    """The same kernels, the first so many in ascending order and then the others in theirs."""
    return np.concatenate([np.sort(order[:first]), np.sort(order[first:])])
