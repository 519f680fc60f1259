"""Multi-scale convolutional tokenizer: from the signal to a fixed number of ordered tokens.

ConvNeXt block: Liu et al. 2022, arXiv:2201.03545, in one dimension.

Shape suffixes: B batch, E leads, T samples, C channels, K taps, L tokens, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecg_ramba.nn.depthwise import depthwise_conv
from ecg_ramba.nn.dropout import Dropout

SCALES = {"fine": ((3, 2), (3, 2)), "medium": ((7, 4), (5, 2)), "coarse": ((15, 8), (7, 2))}
"""Per branch, kernel and stride of its two convolutions."""


class ChannelNorm(nn.Module):
    """Layer norm over the channels, parameters shaped for (B, C, L); acts on channels-last input.

    ``released``: divides by the standard deviation of n - 1 plus ``eps``, as the published checkpoints were trained.
    """

    def __init__(self, channels: int, eps: float = 1e-5, released: bool = False):
        super().__init__()
        self.released = released
        self.gamma = nn.Parameter(torch.ones(1, channels, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1))
        self.eps = eps

    def forward(self, x_BLC: Tensor) -> Tensor:
        """(B, L, C) -> the same."""
        gamma, beta = self.gamma.flatten(), self.beta.flatten()
        if self.released:
            deviation_BL1, mean_BL1 = torch.std_mean(x_BLC, dim=-1, keepdim=True)
            return gamma * ((x_BLC - mean_BL1) / (deviation_BL1 + self.eps)) + beta
        return F.layer_norm(x_BLC, x_BLC.shape[-1:], gamma, beta, self.eps)


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution (7), channel norm, a feed-forward layer, residual; padding stays zero for it."""

    def __init__(
        self, width: int, dropout: float = 0.0, feedforward: int = 4, released: bool = False, backend: str = "auto"
    ):
        super().__init__()
        self.backend = backend
        self.dwconv = nn.Conv1d(width, width, kernel_size=7, padding=3, groups=width)
        self.norm = ChannelNorm(width, released=released)
        self.pwconv1 = nn.Linear(width, feedforward * width)
        self.pwconv2 = nn.Linear(feedforward * width, width)
        self.drop = Dropout(dropout)

    def forward(self, x_BLD: Tensor, valid_BL: Tensor | None = None) -> Tensor:
        """(B, L, width) -> the same."""
        h_BLD = x_BLD if valid_BL is None else x_BLD.masked_fill(~valid_BL[..., None], 0.0)
        h_BLD = depthwise_conv(h_BLD, self.dwconv.weight, self.dwconv.bias, left=3, backend=self.backend)
        h_BLD = self.norm(h_BLD)
        return x_BLD + self.drop(self.pwconv2(F.gelu(self.pwconv1(h_BLD))))


class MultiScaleTokenizer(nn.Module):
    """Three branches of strided convolutions, pooled to one length, concatenated, mixed, and two ConvNeXt blocks.

    Parameters
    ----------
    leads : int
        Input leads.
    width : int
        Width of a token; a branch has a third of it, rounded down to a multiple of 16 where that leaves any (a CPU's
        vectors; 384 / 3 = 128 stays as it is).
    tokens : int
        Number of tokens, whatever the number of samples.
    dropout : float
        In the ConvNeXt blocks.
    feedforward : int
        How many times the width their hidden layer has.
    scales : tuple of str
        Which branches of :data:`SCALES` there are; fewer have as many channels together as all three.
    released : bool
        See :class:`ChannelNorm`.
    backend : str
        See :func:`ecg_ramba.nn.depthwise.depthwise_conv`.
    """

    def __init__(
        self,
        leads: int,
        width: int,
        tokens: int,
        dropout: float = 0.1,
        feedforward: int = 4,
        scales: tuple[str, ...] = tuple(SCALES),
        released: bool = False,
        backend: str = "auto",
    ):
        super().__init__()
        channels = width // len(SCALES)
        channels = channels - channels % 16 or channels
        if channels < 1 or tokens < 1:
            raise ValueError(f"the tokenizer needs a width of at least 3 and one token, got {width} and {tokens}")
        channels = channels * len(SCALES) // len(scales)
        self.tokens, self.scales = tokens, scales
        for name in scales:
            first, second = SCALES[name]
            self.add_module(
                name,
                nn.Sequential(
                    *_convolution(leads, channels, *first),
                    *_convolution(channels, channels, *second),
                ),
            )
        self.proj = nn.Conv1d(channels * len(scales), width, 1)
        self.blocks = nn.Sequential(*(ConvNeXtBlock(width, dropout, feedforward, released, backend) for _ in range(2)))

    def forward(self, x_BET: Tensor, valid_BL: Tensor | None = None, gate_BE: Tensor | None = None) -> Tensor:
        """Signal (B, leads, T), each lead times its gate, -> tokens (B, L, width).

        Tokens that ``valid_BL`` marks False reach no other. Without ``gate_BE`` every gate is 1.
        """
        pooled = []
        for name in self.scales:
            first, *rest = getattr(self, name)
            h_BCT = first(x_BET) if gate_BE is None else gated_conv(x_BET, gate_BE, first)
            for layer in rest:
                h_BCT = layer(h_BCT)
            pooled.append(F.adaptive_avg_pool1d(h_BCT, self.tokens))
        h_BLD = F.linear(torch.cat(pooled, dim=1).transpose(1, 2), self.proj.weight[..., 0], self.proj.bias)
        for block in self.blocks:
            h_BLD = block(h_BLD, valid_BL)
        return h_BLD


def gated_conv(x_BET: Tensor, gate_BE: Tensor, convolution: nn.Conv1d) -> Tensor:
    """``convolution(x * gate)``, fast where the signal itself needs no gradient.

    The gates go onto the kernels, one set of kernels a window, and the signal is laid out as patches. The backward pass
    is then one product a window, without a gradient of the gated signal, which is what makes a convolution slow here.

    Parameters
    ----------
    x_BET : Tensor
        (batch, leads, samples).
    gate_BE : Tensor
        (batch, leads).
    convolution : nn.Conv1d
        Ungrouped, undilated, zero-padded.

    Returns
    -------
    Tensor
        (batch, channels, positions).
    """
    (taps,), (stride,), (padding,) = convolution.kernel_size, convolution.stride, convolution.padding
    patches_BETK = F.pad(x_BET, (padding, padding)).unfold(-1, taps, stride)
    patches_BFT = patches_BETK.transpose(2, 3).flatten(1, 2)  # F = leads x taps
    kernels_BCF = (convolution.weight * gate_BE[:, None, :, None]).flatten(2)
    return torch.baddbmm(convolution.bias[:, None], kernels_BCF, patches_BFT)


def _convolution(channels_in: int, channels: int, kernel: int, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv1d(channels_in, channels, kernel, stride, kernel // 2)
    return convolution, nn.BatchNorm1d(channels), nn.GELU()
