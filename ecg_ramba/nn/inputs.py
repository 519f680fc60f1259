"""What every network does first with a batch: make sure that nothing absent or padded can be seen.

Shape suffixes: B batch, E leads, T samples, L tokens.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecg_ramba.models import Batch, InputShape


def visible_signal(batch: Batch) -> Tensor:
    """The batch's signal (B, leads, T) with zeros for absent leads and padded samples, whatever stands there."""
    x_BET = torch.where(batch.leads[:, :, None], batch.signal, 0.0)
    return x_BET if _all_valid(batch) else torch.where(batch.valid[:, None, :], x_BET, 0.0)


def _all_valid(batch: Batch) -> bool:
    """No padding in the batch, so masks would change nothing.

    Asked on a CPU only: elsewhere it would wait; and not of a network that is being exported, for all batches at once.
    """
    if batch.valid is None or batch.valid.device.type != "cpu" or torch.compiler.is_exporting():
        return batch.valid is None
    return bool(batch.valid.all())


def visible_rhythm(batch: Batch, flags: bool = True) -> Tensor:
    """Rhythm values (zero where not measurable) and their validity flags, (B, 2 R) float; (B, R) without flags."""
    values = batch.rhythm.masked_fill(~batch.rhythm_valid, 0.0)
    return torch.cat([values, batch.rhythm_valid.to(values.dtype)], dim=-1) if flags else values


def token_mask(batch: Batch, tokens: int) -> Tensor | None:
    """(B, tokens) bool: at least half of the token's samples are inside the recording. None if all are."""
    if _all_valid(batch):
        return None
    return F.adaptive_avg_pool1d(batch.valid[:, None].to(batch.signal.dtype), tokens)[:, 0] >= 0.5


def masked_mean(x_BLD: Tensor, valid_BL: Tensor | None) -> Tensor:
    """Mean over the sequence, padding left out; (B, D). A sequence without one valid token gives zeros."""
    if valid_BL is None:
        return x_BLD.mean(1)
    weight_BL = valid_BL.to(x_BLD.dtype)
    total_BD = x_BLD.masked_fill(~valid_BL[..., None], 0.0).sum(1)
    return total_BD / weight_BL.sum(1, keepdim=True).clamp_min(1.0)


def example_batch(
    shape: InputShape, streams: frozenset[str], size: int = 1, seed: int = 0, device: str = "cpu"
) -> Batch:
    """A batch of noise with everything present: for counting, warming up and tests. Not data.

    Parameters
    ----------
    shape : InputShape
        Sizes.
    streams : frozenset of str
        Which streams to fill; the others are None.
    size, seed, device
        Number of windows, seed of the noise, where it lies.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(*sizes: int) -> Tensor:
        return torch.randn(*sizes, generator=generator).to(device)

    def true(*sizes: int) -> Tensor:
        return torch.ones(*sizes, dtype=torch.bool, device=device)

    morphology = None
    if "morphology" in streams:
        morphology = noise(size, len(shape.components), max(shape.components))
        for group, components in enumerate(shape.components):
            morphology[:, group, components:] = 0
    return Batch(
        leads=true(size, shape.leads),
        signal=noise(size, shape.leads, shape.samples) if "signal" in streams else None,
        valid=true(size, shape.samples) if "signal" in streams else None,
        morphology=morphology,
        rhythm=noise(size, shape.rhythm) if "rhythm" in streams else None,
        rhythm_valid=true(size, shape.rhythm) if "rhythm" in streams else None,
    )


class PatchEmbedding(nn.Module):
    """Non-overlapping patches of all leads, each mapped linearly to a token; a last partial patch is padded.

    Parameters
    ----------
    leads, samples, patch, width : int
        Leads and samples of a window, samples of a patch, width of a token.
    """

    def __init__(self, leads: int, samples: int, patch: int, width: int):
        super().__init__()
        if patch < 1:
            raise ValueError(f"a patch holds at least one sample, got {patch}")
        self.patch = patch
        self.tokens = -(-samples // patch)
        self.proj = nn.Linear(leads * patch, width)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Tokens (B, L, width) and which of them lie at least half inside the recording (B, L), or None."""
        x_BET = visible_signal(batch)
        short = self.tokens * self.patch - x_BET.shape[-1]
        x_BET = F.pad(x_BET, (0, short)) if short else x_BET
        patches = x_BET.unflatten(-1, (self.tokens, self.patch)).transpose(1, 2).flatten(2)
        return self.proj(patches), token_mask(batch, self.tokens)
