"""1-D ResNet on the raw 12-lead signal.

Stem convolution with a stride, then residual blocks of two convolutions (kernels 5 and 3, batch norm, ReLU), each
block after the first halving the length; mean over the valid part; one linear layer. The layout of resnet1d_wang in
the PTB-XL benchmark, which runs at 100 Hz: the stem's stride of 5 brings 500 Hz to the same rate.

References: Wang, Yan and Oates 2017, arXiv:1611.06455; Strodthoff et al. 2021, IEEE JBHI, arXiv:2004.13701.

Parameters for 24 classes: 205,800 (small), 454,424 (full).
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
from ecg_ramba.nn.side import side_streams, side_tokens


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """Sizes.

    Parameters
    ----------
    widths : tuple of int
        Channels of each residual block.
    kernel, stride : int
        Of the stem.
    kernels : tuple of two int
        Of the two convolutions of a block.
    dropout : float
        In front of the last layer.
    use_morphology, use_rhythm : bool
        MiniRocket tokens and heart-rate variability, their means beside the encoder's in front of the last layer.
    side_width : int
        Width of each of the two.
    """

    widths: tuple[int, ...] = (128, 128, 128)
    kernel: int = 15
    stride: int = 5
    kernels: tuple[int, int] = (5, 3)
    dropout: float = 0.2
    use_morphology: bool = False
    use_rhythm: bool = False
    side_width: int = 64


class ResidualBlock(nn.Module):
    """Two convolutions with batch norm and a shortcut (a 1x1 convolution where the shape changes)."""

    def __init__(self, channels_in: int, channels: int, kernels: tuple[int, int], stride: int):
        super().__init__()
        first, second = kernels
        self.conv1 = nn.Conv1d(channels_in, channels, first, stride, first // 2, bias=False)
        self.norm1 = nn.BatchNorm1d(channels)
        self.conv2 = nn.Conv1d(channels, channels, second, 1, second // 2, bias=False)
        self.norm2 = nn.BatchNorm1d(channels)
        self.shortcut = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv1d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm1d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, T) -> (B, channels, T / stride)."""
        h = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(h)) + self.shortcut(x))


class ResNet1d(nn.Module):
    """Stem, residual blocks, mean over time, linear."""

    def __init__(self, config: ResNetConfig, shape: InputShape):
        super().__init__()
        first = config.widths[0]
        self.stem = nn.Sequential(
            nn.Conv1d(shape.leads, first, config.kernel, config.stride, config.kernel // 2, bias=False),
            nn.BatchNorm1d(first),
            nn.ReLU(),
        )
        channels = (first, *config.widths)
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(channels[i], channels[i + 1], config.kernels, 1 if i == 0 else 2)
                for i in range(len(config.widths))
            )
        )
        self.side = side_tokens(shape, config.side_width, config)
        width = channels[-1] + (len(self.side.sizes) * config.side_width if self.side else 0)
        self.head = nn.Sequential(Dropout(config.dropout), nn.Linear(width, shape.classes))

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, classes)."""
        x = self.blocks(self.stem(visible_signal(batch))).transpose(1, 2)
        x = masked_mean(x, token_mask(batch, x.shape[1]))
        if self.side is not None:
            x = torch.cat([x, self.side.means(batch)], dim=1)
        return self.head(x)


def profile(name: str) -> ResNetConfig:
    """``full`` has the benchmark's widths, ``small`` fewer channels at the same depth."""
    check_profile("resnet1d", name)
    return ResNetConfig() if name == "full" else ResNetConfig(widths=(24, 48, 96, 128))


def search_space(trial, config: ResNetConfig) -> ResNetConfig:
    """Dropout, kernels and depth."""
    depth = trial.suggest_int("depth", 2, len(config.widths) + 1)
    first, second = trial.suggest_categorical("kernels", ["3-3", "5-3", "9-5"]).split("-")
    return replace(
        config,
        widths=(config.widths + config.widths[-1:])[:depth],
        kernels=(int(first), int(second)),
        dropout=trial.suggest_float("dropout", 0.0, 0.5),
    )


SPEC = ModelSpec(
    name="resnet1d",
    title="1-D ResNet",
    reference="Wang et al. 2017, arXiv:1611.06455; Strodthoff et al. 2021, arXiv:2004.13701",
    kind="network",
    profile=profile,
    streams=side_streams,
    build=ResNet1d,
    search_space=search_space,
)
