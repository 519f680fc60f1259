"""Perceiver: a fixed set of learned latents attends to a set of inputs, then to itself.

Reference: Jaegle et al. 2021, arXiv:2103.03206.

Shape suffixes: B batch, G dilation groups, K components of a group, M latents, D width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ecg_ramba.nn.attention import Attention


class GroupProjection(nn.Module):
    """One linear map a dilation group, from its principal components to a token.

    Groups differ in the number of their components; the input is padded to the longest. The weights of all groups lie
    in one array without padding, so every parameter is used and what stands in the padding never counts.

    Parameters
    ----------
    components : tuple of int
        Number of components of each group.
    width : int
        Width of a token.
    """

    def __init__(self, components: tuple[int, ...], width: int):
        super().__init__()
        if not components or min(components) < 1:
            raise ValueError(f"every morphology group needs at least one component, got {components}")
        longest = max(components)
        rows = [g * longest + k for g, size in enumerate(components) for k in range(size)]
        self.register_buffer("rows", torch.tensor(rows), persistent=False)
        self.groups, self.longest = len(components), longest
        bounds = [1 / math.sqrt(size) for size in components for _ in range(size)]
        self.weight = nn.Parameter((torch.rand(len(rows), width) * 2 - 1) * torch.tensor(bounds)[:, None])
        self.bias = nn.Parameter((torch.rand(len(components), width) * 2 - 1) / math.sqrt(longest))

    def forward(self, x_BGK: Tensor) -> Tensor:
        """(B, groups, max components) -> tokens (B, groups, width)."""
        if x_BGK.shape[1:] != (self.groups, self.longest):
            raise ValueError(f"morphology has the shape (B, {self.groups}, {self.longest}), got {tuple(x_BGK.shape)}")
        padded = self.weight.new_zeros(self.groups * self.longest, self.weight.shape[1])
        padded = padded.index_copy(0, self.rows, self.weight)
        weight_GKD = padded.unflatten(0, (self.groups, self.longest))
        return torch.baddbmm(self.bias[:, None], x_BGK.transpose(0, 1), weight_GKD).transpose(0, 1)


class Perceiver(nn.Module):
    """Latents cross-attend to the projected inputs, then to themselves, then a feed-forward layer (2x).

    Parameters
    ----------
    input_proj : nn.Module
        Maps the inputs to tokens (B, G, width).
    width, latents, heads : int
        Width, number of latents, attention heads.
    """

    def __init__(self, input_proj: nn.Module, width: int, latents: int, heads: int = 8):
        super().__init__()
        self.input_proj = input_proj
        self.latents = nn.Parameter(torch.randn(1, latents, width) * 0.02)
        self.cross_attn = Attention(width, heads)
        self.norm_q = nn.LayerNorm(width)
        self.norm_kv = nn.LayerNorm(width)
        self.self_attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.ffn = feed_forward(width)
        self.norm3 = nn.LayerNorm(width)

    def forward(self, x, valid_BG: Tensor | None = None) -> Tensor:
        """Inputs of B windows, as ``input_proj`` takes them -> latents (B, M, width).

        Tokens that ``valid_BG`` marks False are not attended to.
        """
        keys_BGD = self.norm_kv(self.input_proj(x))
        latents_BMD = self.latents.expand(keys_BGD.shape[0], -1, -1)
        latents_BMD = latents_BMD + self.cross_attn(self.norm_q(latents_BMD), keys_BGD, valid_BG)
        latents_BMD = latents_BMD + self.self_attn(self.norm2(latents_BMD))
        return latents_BMD + self.ffn(self.norm3(latents_BMD))


def feed_forward(width: int) -> nn.Sequential:
    """The Perceiver's feed-forward layer: twice as wide, GELU."""
    return nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
