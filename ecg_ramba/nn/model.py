"""ECG-RAMBA: morphology, rhythm and signal, fused and read by a bidirectional Mamba-2.

Data flow of one window::

    signal      -> lead gate -> multi-scale tokenizer -------> signal tokens -----+
    MiniRocket  -> one token a dilation group -> Perceiver --> morphology tokens -+-> cross-attention, both ways
    HRV + flags -> Linear, GELU -----------------------------> rhythm token, appended
    [signal | morphology | rhythm] -> LayerNorm, Linear, GELU
    -> latents that attend to all of it ("latents"), or the sequence as it is ("tokens")
    -> bidirectional Mamba-2 blocks -> LayerNorm, mean over tokens -> Linear -> logits

A stream that is switched off has neither tokens nor parameters. An encoder of the signal may take MiniRocket's place
(:mod:`ecg_ramba.nn.morphology`). Module names are those of the published checkpoints.

Reference: Nguyen and Tran 2025, "ECG-RAMBA: Zero-Shot ECG Generalization by Morphology-Rhythm Disentanglement and
Long-Range Modeling", arXiv:2512.23347.

Parameters for 24 classes: 408,185 (small), 72,556,345 (full) of 108 and 3,072 principal components.

Shape suffixes: B batch, L tokens, M latents, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecg_ramba.models import Batch, InputShape, ModelSpec
from ecg_ramba.nn.attention import Attention, EncoderBlock
from ecg_ramba.nn.config import EcgRambaConfig, profile, search_space, streams
from ecg_ramba.nn.dropout import Dropout
from ecg_ramba.nn.fusion import CrossAttentionFusion
from ecg_ramba.nn.inputs import masked_mean, token_mask, visible_rhythm, visible_signal
from ecg_ramba.nn.lead_gate import LeadGate
from ecg_ramba.nn.mamba import BiMambaBlock
from ecg_ramba.nn.morphology import morphology_tokens, read_morphology
from ecg_ramba.nn.perceiver import Perceiver, feed_forward
from ecg_ramba.nn.tokenizer import MultiScaleTokenizer


class EcgRamba(nn.Module):
    """The network; see the module's text.

    Parameters
    ----------
    config : EcgRambaConfig
        Parts and sizes.
    shape : InputShape
        Sizes of the inputs and number of classes.
    """

    def __init__(self, config: EcgRambaConfig, shape: InputShape):
        super().__init__()
        self.config = config
        d = config.d_model
        if config.use_signal:
            if config.lead_gate:
                self.spatial_attn = LeadGate(shape.leads, config.gate_width)
            self.tok = MultiScaleTokenizer(
                shape.leads,
                d,
                config.tokens,
                config.token_dropout,
                config.feedforward,
                config.scales,
                released=config.released,
                backend=config.backend,
            )
        if config.use_morphology:
            self.rocket_perceiver = Perceiver(morphology_tokens(config, shape), d, config.latents, config.heads)
        if config.use_rhythm:
            figures = shape.rhythm if config.released else 2 * shape.rhythm
            self.hrv_proj = nn.Sequential(nn.Linear(figures, d), nn.GELU(), Dropout(config.token_dropout))
        self.cross_fusion = self.positions = None
        if config.use_signal and config.use_morphology and config.fusion == "cross":
            self.cross_fusion = CrossAttentionFusion(d, config.heads, config.attention_dropout, config.released)
        self.feature_proj = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, d), nn.GELU())
        if config.backbone_sequence == "latents":
            self.final_latents = nn.Parameter(torch.randn(1, config.latents, d) * 0.02)
            self.final_cross_attn = Attention(d, config.heads, config.attention_dropout)
            self.final_self_attn = Attention(d, config.heads, config.attention_dropout)
            self.final_norm1, self.final_norm2, self.final_norm3 = (nn.LayerNorm(d) for _ in range(3))
            self.final_ffn = feed_forward(d)
        if config.token_order == "shuffled":
            count = config.backbone_tokens or config.tokens
            order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
            self.register_buffer("order", order, persistent=False)
        if config.backbone == "attention":
            if config.backbone_sequence == "tokens":
                self.positions = nn.Parameter(torch.randn(1, _sequence_length(config), d) * 0.02)
            self.layers = nn.ModuleList(
                EncoderBlock(d, config.heads, feedforward=_matched_width(config), dropout=config.dropout)
                for _ in range(2 * config.layers)
            )
        else:
            self.layers = nn.ModuleList(_mamba_block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(d)
        self.head = nn.Sequential(Dropout(config.head_dropout), nn.Linear(d, shape.classes))

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, classes) of a batch of windows."""
        return self.head(self.embed(batch))

    def embed(self, batch: Batch) -> Tensor:
        """The window's representation in front of the last layer, (B, d_model)."""
        x_BLD, valid_BL = self._sequence(batch)
        if self.config.backbone_sequence == "latents":
            x_BLD, valid_BL = self._read_into_latents(x_BLD, valid_BL), None
        elif self.config.use_signal and self.config.backbone_tokens:
            x_BLD, valid_BL = self._shorten(x_BLD, valid_BL)
        if self.config.token_order == "shuffled":
            x_BLD, valid_BL = self._shuffled(x_BLD), None if valid_BL is None else self._shuffled(valid_BL)
        if self.positions is not None:
            x_BLD = x_BLD + self.positions
        for layer in self.layers:
            x_BLD = layer(x_BLD, valid_BL)
        return masked_mean(self.norm(x_BLD), valid_BL)

    def _sequence(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """All tokens of the streams there are, in order, and which of them hold something."""
        parts, valid_BL = [], None
        if self.config.use_signal:
            valid_BL = token_mask(batch, self.config.tokens)
            x_BET = visible_signal(batch)
            gate_BE = self.spatial_attn(x_BET, batch.leads) if self.config.lead_gate else None
            parts.append(self.tok(x_BET, valid_BL, gate_BE))
        if self.config.use_morphology:
            parts.append(read_morphology(self.rocket_perceiver, self.config.morphology_encoder, batch))
        if self.cross_fusion is not None:
            parts = [self.cross_fusion(*parts, valid_BL)]
        if self.config.use_rhythm:
            parts.append(self.hrv_proj(visible_rhythm(batch, flags=not self.config.released))[:, None])
        x_BLD = self.feature_proj(torch.cat(parts, dim=1))
        if valid_BL is not None:
            valid_BL = F.pad(valid_BL, (0, x_BLD.shape[1] - valid_BL.shape[1]), value=True)
        return x_BLD, valid_BL

    def _shorten(self, x_BLD: Tensor, valid_BL: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Average neighbouring signal tokens down to ``backbone_tokens``; the other tokens follow as they are."""
        signal, others = x_BLD.split([self.config.tokens, x_BLD.shape[1] - self.config.tokens], dim=1)
        if valid_BL is None:
            return torch.cat([self._average(signal), others], dim=1), None
        inside, rest = valid_BL.split([self.config.tokens, others.shape[1]], dim=1)
        share = self._average(inside[..., None].to(x_BLD.dtype))
        signal = self._average(signal.masked_fill(~inside[..., None], 0.0)) / share.clamp_min(1e-6)
        return torch.cat([signal, others], dim=1), torch.cat([share[..., 0] >= 0.5, rest], dim=1)

    def _shuffled(self, x_BL: Tensor) -> Tensor:
        """The signal tokens in the fixed other order; what follows them stays where it is."""
        count = len(self.order)
        return torch.cat([x_BL[:, self.order], x_BL[:, count:]], dim=1)

    def _average(self, x_BLD: Tensor) -> Tensor:
        return F.adaptive_avg_pool1d(x_BLD.transpose(1, 2), self.config.backbone_tokens).transpose(1, 2)

    def _read_into_latents(self, x_BLD: Tensor, valid_BL: Tensor | None) -> Tensor:
        latents_BMD = self.final_latents.expand(x_BLD.shape[0], -1, -1)
        latents_BMD = latents_BMD + self.final_cross_attn(self.final_norm1(latents_BMD), x_BLD, valid_BL)
        latents_BMD = latents_BMD + self.final_self_attn(self.final_norm2(latents_BMD))
        return latents_BMD + self.final_ffn(self.final_norm3(latents_BMD))


def _mamba_block(config: EcgRambaConfig) -> BiMambaBlock:
    return BiMambaBlock(
        config.d_model,
        dropout=config.dropout,
        feedforward=config.feedforward,
        flip=config.backbone != "forward",
        d_state=config.d_state,
        d_conv=config.d_conv,
        expand=config.expand,
        headdim=config.headdim,
        backend=config.backend,
    )


def _sequence_length(config: EcgRambaConfig) -> int:
    """Tokens that the backbone reads in ``tokens``."""
    signal = (config.backbone_tokens or config.tokens) if config.use_signal else 0
    return signal + (config.latents if config.use_morphology else 0) + config.use_rhythm


def _matched_width(config: EcgRambaConfig) -> int:
    """Hidden width at which two encoder blocks have as many parameters as one bidirectional Mamba block."""
    d = config.d_model
    with torch.device("meta"):
        wanted = sum(p.numel() for p in _mamba_block(config).parameters()) / 2
        least = sum(p.numel() for p in EncoderBlock(d, config.heads, feedforward=1).parameters())
    return max(1, round(1 + (wanted - least) / (2 * d + 1)))


SPEC = ModelSpec(
    name="ecg_ramba",
    title="ECG-RAMBA",
    reference="Nguyen and Tran 2025, arXiv:2512.23347",
    kind="network",
    profile=profile,
    streams=streams,
    build=EcgRamba,
    search_space=search_space,
)
