"""InceptionTime on the raw 12-lead signal, at the rate of the PTB-XL benchmark's inception1d.

The signal is averaged down to 100 Hz (it holds nothing above 40 Hz); inception modules of a bottleneck, three
convolutions of different length and a max-pooled one, concatenated, batch norm, ReLU; a shortcut around every three
modules; mean over the valid part; one linear layer.

References: Fawaz et al. 2020, Data Mining and Knowledge Discovery, arXiv:1909.04939; Strodthoff et al. 2021, IEEE JBHI,
arXiv:2004.13701.

Parameters for 24 classes: 129,816 (small), 476,440 (full).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.profiles import check_profile
from ecg_ramba.models import Batch, InputShape, ModelSpec
from ecg_ramba.nn.dropout import Dropout
from ecg_ramba.nn.inputs import masked_mean, token_mask, visible_signal


@dataclass(frozen=True, kw_only=True)
class InceptionTimeConfig:
    """Sizes.

    Parameters
    ----------
    filters : int
        Of each of the four branches of a module.
    bottleneck : int
        Channels in front of the three convolutions.
    kernels : tuple of int
        Their lengths in samples at 100 Hz, odd.
    depth : int
        Modules.
    stride : int
        Samples averaged into one.
    dropout : float
        In front of the last layer.
    """

    filters: int = 32
    bottleneck: int = 32
    kernels: tuple[int, ...] = (39, 19, 9)
    depth: int = 6
    stride: int = 5
    dropout: float = 0.2


class InceptionModule(nn.Module):
    """Bottleneck, parallel convolutions, max-pool branch; (B, channels_in, T) -> (B, (kernels + 1) x filters, T)."""

    def __init__(self, channels_in: int, config: InceptionTimeConfig):
        super().__init__()
        self.bottleneck = nn.Conv1d(channels_in, config.bottleneck, 1, bias=False)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(config.bottleneck, config.filters, k, padding=k // 2, bias=False) for k in config.kernels
        )
        self.pooled = nn.Conv1d(channels_in, config.filters, 1, bias=False)
        self.norm = nn.BatchNorm1d((len(config.kernels) + 1) * config.filters)

    def forward(self, x: Tensor) -> Tensor:
        """All branches side by side."""
        narrow = self.bottleneck(x)
        branches = [convolution(narrow) for convolution in self.convolutions]
        branches.append(self.pooled(F.max_pool1d(x, 3, 1, 1)))
        return F.relu(self.norm(torch.cat(branches, dim=1)))


class InceptionTime(nn.Module):
    """Averaging, inception modules with shortcuts, mean over time, linear."""

    def __init__(self, config: InceptionTimeConfig, shape: InputShape):
        super().__init__()
        self.stride = config.stride
        width = (len(config.kernels) + 1) * config.filters
        channels = [shape.leads, *[width] * config.depth]
        self.modules_ = nn.ModuleList(InceptionModule(channels[i], config) for i in range(config.depth))
        starts = [channels[i] for i in range(0, config.depth - 2, 3)]
        self.shortcuts = nn.ModuleList(
            nn.Sequential(nn.Conv1d(c, width, 1, bias=False), nn.BatchNorm1d(width)) for c in starts
        )
        self.head = nn.Sequential(Dropout(config.dropout), nn.Linear(width, shape.classes))

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, classes)."""
        x = F.avg_pool1d(visible_signal(batch), self.stride)
        before = x
        for i, module in enumerate(self.modules_):
            x = module(x)
            if i % 3 == 2:
                x = before = F.relu(x + self.shortcuts[i // 3](before))
        x = x.transpose(1, 2)
        return self.head(masked_mean(x, token_mask(batch, x.shape[1])))


def profile(name: str) -> InceptionTimeConfig:
    """``full`` is the published network, ``small`` has half the modules and a smaller width."""
    check_profile("inception_time", name)
    return InceptionTimeConfig() if name == "full" else InceptionTimeConfig(filters=24, bottleneck=24, depth=3)


def search_space(trial, config: InceptionTimeConfig) -> InceptionTimeConfig:
    """Dropout, kernels and width."""
    longest = trial.suggest_categorical("longest_kernel", [19, 39, 59])
    return replace(
        config,
        kernels=(longest, longest // 2 | 1, longest // 4 | 1),
        filters=trial.suggest_categorical("filters", [config.filters // 2, config.filters]),
        dropout=trial.suggest_float("dropout", 0.0, 0.5),
    )


SPEC = ModelSpec(
    name="inception_time",
    title="InceptionTime",
    reference="Fawaz et al. 2020, arXiv:1909.04939; Strodthoff et al. 2021, arXiv:2004.13701",
    kind="network",
    profile=profile,
    streams=lambda config: frozenset({"signal"}),
    build=InceptionTime,
    search_space=search_space,
)
