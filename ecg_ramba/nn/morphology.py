"""What fills the morphology stream: MiniRocket's features, or an encoder of the signal in their place.

The encoders that read the signal are controls, and of one size with what they replace: the reference's learned map
from principal components to tokens. How many components a fold has follows from its training recordings, of which an
encoder of the signal is told nothing; so it matches a nominal number, ``nominal_components`` of the configuration:
3072 in ``full``, the most there are (from 12,288 training recordings on), and 108 in ``small``, what 432 recordings
give. For another number of recordings, set it to the components that the reference reports. Only what is trained by
gradient counts: neither MiniRocket's biases nor the components' loadings, which are fitted without labels.

Shape suffixes: B batch, E leads, T samples, C channels, G tokens, D width.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ecg_ramba.errors import UserError
from ecg_ramba.models import Batch, InputShape
from ecg_ramba.nn.config import EcgRambaConfig
from ecg_ramba.nn.inputs import token_mask, visible_signal
from ecg_ramba.nn.kernels import KernelTokens
from ecg_ramba.nn.perceiver import GroupProjection, Perceiver

GROUPS = 27
"""Dilation groups, so tokens, of canonical MiniRocket for windows of 2500 samples."""

_LAYERS = ((15, 4), (7, 4), (7, 2))
"""Taps and stride of the three convolutions: a token's values see 270 ms of signal each."""


class ConvolutionTokens(nn.Module):
    """Three strided convolutions with batch norm and GELU, averaged over time to 27 tokens, and a linear map.

    A plain learned encoder. The first two convolutions have equally many channels, the third as many as fill the size.
    As in the tokenizer, padding is zeros to a convolution; tokens mostly inside it are for the reader to leave out.

    Parameters
    ----------
    leads, width : int
        Leads of a window, width of a token.
    total : int
        The encoder has as near to ``total * width`` parameters as whole channels allow.
    """

    def __init__(self, leads: int, width: int, total: int):
        super().__init__()
        channels, last = _channels(leads, width, total * width)
        layers = []
        for (taps, stride), before, after in zip(
            _LAYERS, (leads, channels, channels), (channels, channels, last), strict=True
        ):
            layers += [nn.Conv1d(before, after, taps, stride, taps // 2), nn.BatchNorm1d(after), nn.GELU()]
        self.layers = nn.Sequential(*layers)
        self.proj = nn.Linear(last, width)

    def forward(self, batch: Batch) -> Tensor:
        """Tokens (B, 27, width) of a batch's signal, in the order of time."""
        x_BCT = self.layers(visible_signal(batch))
        return self.proj(F.adaptive_avg_pool1d(x_BCT, GROUPS).transpose(1, 2))


def morphology_tokens(config: EcgRambaConfig, shape: InputShape) -> nn.Module:
    """What gives the morphology tokens: of the batch's MiniRocket components, or of the batch itself.

    Parameters
    ----------
    config : EcgRambaConfig
        Which encoder, its width and its size.
    shape : InputShape
        Sizes of the inputs; ``components`` matters to MiniRocket alone.
    """
    total = config.nominal_components + GROUPS
    if config.morphology_encoder == "kernels":
        return KernelTokens(shape.leads, shape.samples, config.d_model, total, config.trainable_kernels)
    if config.morphology_encoder == "convolution":
        return ConvolutionTokens(shape.leads, config.d_model, total)
    if config.released:
        if len(shape.components) != 1:
            raise UserError("the released structure reads MiniRocket as one token; set features.grouping to single")
        return nn.Linear(shape.components[0], config.d_model)  # one group is one token
    return GroupProjection(shape.components, config.d_model)


def read_morphology(perceiver: Perceiver, encoder: str, batch: Batch) -> Tensor:
    """Latents (B, M, D) of a Perceiver over the tokens of :func:`morphology_tokens`."""
    if encoder == "minirocket":
        return perceiver(batch.morphology)
    # a kernel's token is of the whole window, a convolution's of its place in it
    return perceiver(batch, token_mask(batch, GROUPS) if encoder == "convolution" else None)


def _channels(leads: int, width: int, parameters: int) -> tuple[int, int]:
    """Channels of the first two convolutions, and of the third, for about so many parameters in all."""
    (one, _), (two, _), (three, _) = _LAYERS

    def size(channels: int, last: int) -> int:
        # a convolution's bias and a batch norm's two parameters make three a channel
        weights = leads * channels * one + channels**2 * two + channels * last * three + last * width
        return weights + 3 * (2 * channels + last) + width

    channels = 1
    while size(channels + 1, channels + 1) <= parameters:
        channels += 1
    spare = parameters - size(channels, 0)
    return channels, max(1, round(spare / (size(channels, 1) - size(channels, 0))))
