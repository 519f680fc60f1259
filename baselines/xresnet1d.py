"""xresnet1d on the raw 12-lead signal: the strongest network of the PTB-XL benchmark.

The signal is averaged down to 100 Hz; a stem of three convolutions and a max pool; stages of bottleneck blocks whose
shortcut averages before its 1x1 convolution and whose last batch norm starts at zero; mean and maximum over the valid
part; one linear layer. ``full`` is xresnet1d101.

References: He et al. 2019 (bag of tricks), arXiv:1812.01187; Strodthoff et al. 2021, IEEE JBHI, arXiv:2004.13701.

Parameters for 24 classes: 73,496 (small), 1,816,984 (full).
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
class XResNetConfig:
    """Sizes.

    Parameters
    ----------
    blocks : tuple of int
        Blocks of each stage; a stage after the first halves the length.
    widths : tuple of int
        Inner channels of each stage's blocks.
    expansion : int
        Outer channels of a block over its inner ones.
    stem : tuple of int
        Channels of the three first convolutions.
    kernel : int
        Length of all convolutions but the 1x1 ones, odd.
    stride : int
        Samples averaged into one.
    dropout : float
        In front of the last layer.
    """

    blocks: tuple[int, ...] = (3, 4, 23, 3)
    widths: tuple[int, ...] = (64, 64, 64, 64)
    expansion: int = 4
    stem: tuple[int, ...] = (32, 32, 64)
    kernel: int = 5
    stride: int = 5
    dropout: float = 0.5


def _convolution(channels_in: int, channels: int, kernel: int, stride: int = 1, zero: bool = False) -> nn.Sequential:
    norm = nn.BatchNorm1d(channels)
    nn.init.constant_(norm.weight, 0.0 if zero else 1.0)
    return nn.Sequential(nn.Conv1d(channels_in, channels, kernel, stride, kernel // 2, bias=False), norm)


class Bottleneck(nn.Module):
    """1x1, k, 1x1 convolutions with a shortcut; (B, channels_in, T) -> (B, expansion x width, T / stride)."""

    def __init__(self, channels_in: int, width: int, expansion: int, kernel: int, stride: int):
        super().__init__()
        self.conv1 = _convolution(channels_in, width, 1)
        self.conv2 = _convolution(width, width, kernel, stride)
        self.conv3 = _convolution(width, expansion * width, 1, zero=True)
        parts = [nn.AvgPool1d(stride, ceil_mode=True)] if stride > 1 else []
        parts += [_convolution(channels_in, expansion * width, 1)] if channels_in != expansion * width else []
        self.shortcut = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        """The block."""
        h = self.conv3(F.relu(self.conv2(F.relu(self.conv1(x)))))
        return F.relu(h + self.shortcut(x))


class XResNet1d(nn.Module):
    """Averaging, stem, stages, mean and maximum over time, linear."""

    def __init__(self, config: XResNetConfig, shape: InputShape):
        super().__init__()
        self.stride = config.stride
        channels = (shape.leads, *config.stem)
        self.stem = nn.ModuleList(
            _convolution(channels[i], channels[i + 1], config.kernel, 2 if i == 0 else 1)
            for i in range(len(config.stem))
        )
        blocks, width_in = [], config.stem[-1]
        for stage, (count, width) in enumerate(zip(config.blocks, config.widths, strict=True)):
            for i in range(count):
                stride = 2 if stage and not i else 1
                blocks.append(Bottleneck(width_in, width, config.expansion, config.kernel, stride))
                width_in = config.expansion * width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(Dropout(config.dropout), nn.Linear(2 * width_in, shape.classes))

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, classes)."""
        x = F.avg_pool1d(visible_signal(batch), self.stride)
        for convolution in self.stem:
            x = F.relu(convolution(x))
        x = self.blocks(F.max_pool1d(x, 3, 2, 1)).transpose(1, 2)
        valid = token_mask(batch, x.shape[1])
        highest = x if valid is None else x.masked_fill(~valid[..., None], 0.0)  # after a ReLU nothing is below 0
        return self.head(torch.cat([masked_mean(x, valid), highest.amax(1)], dim=1))


def profile(name: str) -> XResNetConfig:
    """``full`` is xresnet1d101, ``small`` has one or two blocks a stage and a quarter of the width."""
    check_profile("xresnet1d", name)
    if name == "full":
        return XResNetConfig()
    return XResNetConfig(blocks=(2, 2, 2, 2), widths=(24, 24, 24, 24), stem=(16, 16, 32), dropout=0.2)


def search_space(trial, config: XResNetConfig) -> XResNetConfig:
    """Dropout, kernel and depth."""
    depth = trial.suggest_int("blocks_a_stage", 1, 3)
    return replace(
        config,
        blocks=(depth,) * len(config.blocks),
        kernel=trial.suggest_categorical("kernel", [3, 5, 9]),
        dropout=trial.suggest_float("dropout", 0.0, 0.5),
    )


SPEC = ModelSpec(
    name="xresnet1d",
    title="xresnet1d",
    reference="He et al. 2019, arXiv:1812.01187; Strodthoff et al. 2021, arXiv:2004.13701",
    kind="network",
    profile=profile,
    streams=lambda config: frozenset({"signal"}),
    build=XResNet1d,
    search_space=search_space,
)
