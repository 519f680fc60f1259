"""ECG-RAMBA's configuration: which parts there are and their sizes, its two profiles, and what a search may vary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ecg_ramba.errors import UserError
from ecg_ramba.nn.tokenizer import SCALES


@dataclass(frozen=True, kw_only=True)
class EcgRambaConfig:
    """Which parts there are, and their sizes.

    Parameters
    ----------
    use_signal, use_morphology, use_rhythm : bool
        The three streams; at least one.
    lead_gate : bool
        Learned gate per lead in front of the tokenizer.
    scales : tuple of str
        Branches of the tokenizer, of fine, medium and coarse.
    morphology_encoder : {"minirocket", "kernels", "convolution"}
        What gives the morphology tokens: MiniRocket's components, computed outside; its kernels inside the network; or
        a convolutional encoder. The latter two read the signal, even without ``use_signal``.
    trainable_kernels : float
        Share of the ``kernels`` that are trained, from 0 to 1.
    nominal_components : int
        Number of MiniRocket's components that ``kernels`` and ``convolution`` match in parameters.
    fusion : {"cross", "concatenate"}
        Signal and morphology tokens attend to each other, or are put one after the other as they are.
    backbone_sequence : {"latents", "tokens"}
        What the backbone reads: learned latents that have attended to all tokens (as published), or the ordered
        signal, morphology and rhythm tokens themselves.
    token_order : {"time", "shuffled"}
        Order in which ``tokens`` puts the signal tokens: as recorded, or one fixed random order for all windows.
    backbone : {"mamba", "forward", "attention"}
        Bidirectional Mamba-2; the same with both mixers reading forwards; or two encoder blocks for each of its blocks,
        their feed-forward layers sized so that both backbones have as many parameters.
    d_model, layers, tokens, latents, heads : int
        Width, Mamba blocks, signal tokens, latents of both Perceivers, attention heads.
    d_state, d_conv, expand, headdim : int
        Of the Mamba-2 mixers.
    backbone_tokens : int
        Signal tokens that Mamba scans in ``tokens``: neighbours are averaged down to this number (0: all).
    feedforward : int
        How many times the width the hidden layers of ConvNeXt and Mamba blocks have.
    gate_width : int
        Of the lead gate: a lead is summarised by four times as many values.
    dropout, token_dropout, attention_dropout, head_dropout : float
        In the Mamba blocks; in tokenizer and rhythm token; on the attention weights of fusion and final Perceiver
        (none in ``small``: a CPU has no fused attention with dropout); before the last layer.
    released : bool
        The structure of the published checkpoints, name by name: MiniRocket's place is one token, the rhythm token is
        made of values without validity flags, the fusion has a gate that nothing reads, and the tokenizer's channel
        norm divides by the standard deviation of n - 1. All three streams, cross-attention, latents.
    backend : str
        Of the scan, see :func:`ecg_ramba.nn.ssd.ssd`.
    """

    use_signal: bool = True
    use_morphology: bool = True
    use_rhythm: bool = True
    lead_gate: bool = True
    scales: tuple[str, ...] = tuple(SCALES)
    morphology_encoder: Literal["minirocket", "kernels", "convolution"] = "minirocket"
    trainable_kernels: float = 0.0
    nominal_components: int = 3072
    fusion: Literal["cross", "concatenate"] = "cross"
    backbone: Literal["mamba", "forward", "attention"] = "mamba"
    token_order: Literal["time", "shuffled"] = "time"
    backbone_sequence: Literal["latents", "tokens"] = "latents"
    d_model: int = 384
    layers: int = 16
    tokens: int = 625
    latents: int = 64
    heads: int = 8
    d_state: int = 64
    d_conv: int = 4
    expand: int = 2
    headdim: int = 64
    backbone_tokens: int = 0
    feedforward: int = 4
    gate_width: int = 64
    dropout: float = 0.3
    token_dropout: float = 0.1
    attention_dropout: float = 0.1
    head_dropout: float = 0.2
    released: bool = False
    backend: str = "auto"

    def __post_init__(self):
        if not (self.use_signal or self.use_morphology or self.use_rhythm):
            raise UserError("ecg_ramba needs at least one stream; switch on use_signal, use_morphology or use_rhythm")
        choices = {
            "morphology_encoder": ("minirocket", "kernels", "convolution"),
            "backbone_sequence": ("latents", "tokens"),
            "fusion": ("cross", "concatenate"),
            "backbone": ("mamba", "forward", "attention"),
            "token_order": ("time", "shuffled"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise UserError(f"{name} is one of {', '.join(known)}, not {getattr(self, name)!r}")
        if not self.scales or not set(self.scales) <= set(SCALES):
            raise UserError(f"scales are some of {', '.join(SCALES)}, not {self.scales!r}")
        if self.token_order == "shuffled" and not (self.use_signal and self.backbone_sequence == "tokens"):
            raise UserError("token_order 'shuffled' needs use_signal and backbone_sequence 'tokens'")
        if not 0 <= self.trainable_kernels <= 1:
            raise UserError(f"trainable_kernels is a share from 0 to 1, not {self.trainable_kernels}")
        if self.trainable_kernels and self.morphology_encoder != "kernels":
            raise UserError("trainable_kernels needs morphology_encoder 'kernels'")
        parts = (self.use_signal, self.use_morphology, self.use_rhythm, self.lead_gate)
        kinds = (self.scales, self.morphology_encoder, self.fusion, self.backbone_sequence, self.backbone)
        if self.released and (not all(parts) or kinds != (tuple(SCALES), "minirocket", "cross", "latents", "mamba")):
            raise UserError("the released structure has all streams and parts; switch nothing off, or not released")
        if self.nominal_components < 1:
            raise UserError(f"nominal_components is at least 1, not {self.nominal_components}")


def profile(name: str) -> EcgRambaConfig:
    """The configuration of a profile: ``full`` is the paper's size, ``small`` is for two CPU cores."""
    if name == "full":
        return EcgRambaConfig()
    if name == "small":
        return EcgRambaConfig(
            d_model=64,
            layers=2,
            tokens=157,
            latents=32,
            nominal_components=108,
            heads=4,
            d_state=32,
            backbone_tokens=64,
            feedforward=2,
            gate_width=16,
            dropout=0.1,
            attention_dropout=0.0,
        )
    raise UserError(f"ecg_ramba has no profile {name!r}; there are: small, full")


def streams(config: EcgRambaConfig) -> frozenset[str]:
    """The streams this configuration reads; MiniRocket's place may be taken by an encoder that reads the signal."""
    features = config.use_morphology and config.morphology_encoder == "minirocket"
    learned = config.use_morphology and not features
    used = {"signal": config.use_signal or learned, "morphology": features, "rhythm": config.use_rhythm}
    return frozenset(name for name, on in used.items() if on)


def search_space(trial, config: EcgRambaConfig) -> EcgRambaConfig:
    """Dropout, state size, depth and number of latents, around the given configuration."""
    return replace(
        config,
        dropout=trial.suggest_float("dropout", 0.0, 0.4),
        head_dropout=trial.suggest_float("head_dropout", 0.0, 0.4),
        d_state=trial.suggest_categorical("d_state", [16, 32, 64]),
        layers=trial.suggest_int("layers", max(1, config.layers // 2), config.layers + config.layers // 2),
        latents=trial.suggest_categorical("latents", [16, 32, 64]),
    )
