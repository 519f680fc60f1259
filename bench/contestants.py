"""Who is timed against whom: Mamba-2 by each backend, attention, and peers where they are installed.

Four parts, at the paper's width (384; 12 heads of 64, state 64; attention with as many features):

``core``           the scan, against scaled dot-product attention
``mixer``          one causal Mamba-2 layer, against one attention layer
``bidirectional``  two mixers and their gate, against one attention layer, which sees both ways already
``block``          the whole residual block, against an encoder block of equal width, and one of equal parameters
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.minimal import ssd_minimal
from ecg_ramba.nn.attention import Attention, EncoderBlock
from ecg_ramba.nn.backends import BACKENDS, unusable
from ecg_ramba.nn.mamba import BiMambaBlock, Mamba2
from ecg_ramba.nn.ssd import ssd

WIDTH, STATE, HEAD = 384, 64, 64
INNER_HEADS = 2 * WIDTH // HEAD
ATTENTION_HEADS = WIDTH // HEAD


class Scan(nn.Module):
    """The scan alone."""

    def __init__(self, function: Callable[..., Tensor], **options):
        super().__init__()
        self.function, self.options = function, options

    def forward(self, x, dt, A, B, C):
        """Inputs as in :func:`ecg_ramba.nn.ssd.ssd`."""
        return self.function(x, dt, A, B, C, **self.options)


class DotProduct(nn.Module):
    """Scaled dot-product attention alone, at as many features as the scan has."""

    def forward(self, q, k, v):
        """Queries, keys and values, (batch, heads, length, head)."""
        return F.scaled_dot_product_attention(q, k, v)


class Bidirectional(nn.Module):
    """Two mixers, one on the flipped sequence, and the gate between them: a block without norms and feed-forward."""

    def __init__(self, backend: str):
        super().__init__()
        self.fwd, self.bwd = Mamba2(WIDTH, backend=backend), Mamba2(WIDTH, backend=backend)
        self.gate = nn.Sequential(nn.Linear(2 * WIDTH, WIDTH), nn.Sigmoid())

    def forward(self, x):
        """(batch, length, width) -> the same."""
        fwd, bwd = self.fwd(x), self.bwd(x.flip(1)).flip(1)
        return torch.lerp(bwd, fwd, self.gate(torch.cat([fwd, bwd], dim=-1)))


class Products(nn.Module):
    """The two matrix products of a Mamba-2 layer and nothing else: what no scan can be faster than."""

    def __init__(self):
        super().__init__()
        layer = Mamba2(WIDTH)
        self.in_proj, self.out_proj, self.inner = layer.in_proj, layer.out_proj, layer.inner

    def forward(self, x):
        """(batch, length, width) -> the same."""
        return self.out_proj(self.in_proj(x)[..., : self.inner])


def transformers_mixer() -> nn.Module:
    """Mamba2Mixer of the package transformers, its torch path with chunks of 64 (its default of 256 is slower)."""
    from transformers import Mamba2Config
    from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

    config = Mamba2Config(
        hidden_size=WIDTH, num_heads=INNER_HEADS, head_dim=HEAD, state_size=STATE, n_groups=1, expand=2, chunk_size=64
    )
    return Mamba2Mixer(config, layer_idx=0)


def mamba1_block() -> nn.Module:
    """MambaBlock of the package mambapy: Mamba-1 at its usual state of 16, by a parallel scan in torch.

    Its Mamba-2 is that of mamba_ssm, which is here already.
    """
    from mambapy.mamba import MambaBlock, MambaConfig

    return MambaBlock(MambaConfig(d_model=WIDTH, n_layers=1))


def parameters(module: nn.Module) -> int:
    """Number of trained values."""
    return sum(p.numel() for p in module.parameters())


def equal_encoder() -> EncoderBlock:
    """The encoder block whose feed-forward layer is as wide as makes it as large as a bidirectional Mamba block."""
    narrow, wide = (parameters(EncoderBlock(WIDTH, ATTENTION_HEADS, feedforward=n)) for n in (1, 2))
    spare = parameters(BiMambaBlock(WIDTH)) - narrow
    return EncoderBlock(WIDTH, ATTENTION_HEADS, feedforward=1 + round(spare / (wide - narrow)))


@dataclass(frozen=True)
class Contestant:
    """One line of a comparison: ``build`` makes it, ``needs`` names a package or backend that it cannot do without."""

    name: str
    part: str
    build: Callable[[], nn.Module]
    needs: str = ""

    def missing(self, device: str) -> str:
        """Why it cannot take part, or ""."""
        if self.needs in BACKENDS:
            return unusable(self.needs, device)
        return "" if not self.needs or find_spec(self.needs) else f"{self.needs} is not installed"


def _by_backend(part: str, build: Callable[[str], nn.Module]) -> list[Contestant]:
    return [Contestant(f"mamba_{name}", part, lambda name=name: build(name), name) for name in BACKENDS]


CONTESTANTS: tuple[Contestant, ...] = (
    *_by_backend("core", lambda backend: Scan(ssd, backend=backend)),
    Contestant("mamba_minimal", "core", lambda: Scan(ssd_minimal)),
    Contestant("attention", "core", DotProduct),
    *_by_backend("mixer", lambda backend: Mamba2(WIDTH, backend=backend)),
    Contestant("mamba_transformers", "mixer", transformers_mixer, "transformers"),
    Contestant("mamba1_mambapy", "mixer", mamba1_block, "mambapy"),
    Contestant("mamba_products_alone", "mixer", Products),
    Contestant("attention", "mixer", lambda: Attention(WIDTH, ATTENTION_HEADS)),
    *_by_backend("bidirectional", Bidirectional),
    Contestant("attention", "bidirectional", lambda: Attention(WIDTH, ATTENTION_HEADS)),
    *_by_backend("block", lambda backend: BiMambaBlock(WIDTH, backend=backend)),
    Contestant("attention_equal_width", "block", lambda: EncoderBlock(WIDTH, ATTENTION_HEADS)),
    Contestant("attention_equal_parameters", "block", equal_encoder),
)


def inputs(contestant: Contestant, batch: int, length: int, device: str, dtype: torch.dtype) -> list[Tensor]:
    """What it is called with, all of which want gradients; steps and decay rates of a scan stay in float32."""

    def normal(*sizes: int) -> Tensor:
        return torch.randn(*sizes, device=device).to(dtype)

    if contestant.part != "core":
        made = [normal(batch, length, WIDTH)]
    elif contestant.name == "attention":
        made = [normal(batch, INNER_HEADS, length, HEAD) for _ in range(3)]
    else:
        steps = torch.exp(torch.empty(batch, length, INNER_HEADS, device=device).uniform_(-6.9, -2.3))
        rates = -torch.empty(INNER_HEADS, device=device).uniform_(1, 16)
        x, B, C = normal(batch, length, INNER_HEADS, HEAD), *(normal(batch, length, STATE) for _ in range(2))
        made = [x, steps, rates, B, C]
    return [t.requires_grad_() for t in made]
