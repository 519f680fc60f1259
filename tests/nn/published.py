"""The published network written a second time, plainly, from its description: stock modules and the bare recurrence.

Its state dict has the published checkpoints' names, so it serves to write files in their format and as the oracle for
what this suite computes from them. Nothing is fast.
"""

import torch
import torch.nn.functional as F
from torch import nn


def attention(width, heads):
    return nn.MultiheadAttention(width, heads, batch_first=True)


def attend(module, query, key):
    return module(query, key, key, need_weights=False)[0]


class ChannelNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, channels, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1))

    def forward(self, x):
        centred = x - x.mean(1, keepdim=True)
        spread = torch.sqrt((centred**2).sum(1, keepdim=True) / (x.shape[1] - 1))
        return centred / (spread + 1e-5) * self.gamma + self.beta


class ConvNeXt(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.dwconv = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = ChannelNorm(width)
        self.pwconv1 = nn.Linear(width, 4 * width)
        self.pwconv2 = nn.Linear(4 * width, width)

    def forward(self, x):
        h = self.norm(self.dwconv(x)).transpose(1, 2)
        return x + self.pwconv2(F.gelu(self.pwconv1(h))).transpose(1, 2)


class LeadGate(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.temporal_pool = nn.Sequential(
            *(nn.Conv1d(1, width // 2, 50, 25), nn.GELU(), nn.AdaptiveAvgPool1d(16)),
            *(nn.Conv1d(width // 2, width, 3, padding=1), nn.GELU(), nn.AdaptiveAvgPool1d(4)),
        )
        self.lead_embed = nn.Embedding(12, 4 * width)
        self.attn = attention(4 * width, 4)
        self.scale_proj = nn.Linear(4 * width, 1)

    def forward(self, x):
        h = torch.stack([self.temporal_pool(x[:, i : i + 1]).flatten(1) for i in range(12)], 1) + self.lead_embed.weight
        return x * torch.sigmoid(self.scale_proj(attend(self.attn, h, h)))


class Tokenizer(nn.Module):
    def __init__(self, width, tokens):
        super().__init__()
        self.tokens, c = tokens, width // 3

        def branch(k1, s1, k2, s2):
            first = nn.Conv1d(12, c, k1, s1, k1 // 2), nn.BatchNorm1d(c), nn.GELU()
            return nn.Sequential(*first, nn.Conv1d(c, c, k2, s2, k2 // 2), nn.BatchNorm1d(c), nn.GELU())

        self.fine, self.medium, self.coarse = branch(3, 2, 3, 2), branch(7, 4, 5, 2), branch(15, 8, 7, 2)
        self.proj = nn.Conv1d(3 * c, width, 1)
        self.blocks = nn.Sequential(ConvNeXt(width), ConvNeXt(width))

    def forward(self, x):
        scales = [F.adaptive_avg_pool1d(b(x), self.tokens) for b in (self.fine, self.medium, self.coarse)]
        return self.blocks(self.proj(torch.cat(scales, 1))).transpose(1, 2)


def feed_forward(width):
    return nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))


class Perceiver(nn.Module):
    def __init__(self, components, width, latents, heads):
        super().__init__()
        self.input_proj = nn.Linear(components, width)
        self.latents = nn.Parameter(0.02 * torch.randn(1, latents, width))
        self.cross_attn, self.self_attn = attention(width, heads), attention(width, heads)
        self.norm_q, self.norm_kv, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(4))
        self.ffn = feed_forward(width)

    def forward(self, x):
        h = self.latents.repeat(len(x), 1, 1)
        h = h + attend(self.cross_attn, self.norm_q(h), self.norm_kv(self.input_proj(x))[:, None])
        h = h + attend(self.self_attn, self.norm2(h), self.norm2(h))
        return h + self.ffn(self.norm3(h))


class Fusion(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.m2r, self.r2m = attention(width, heads), attention(width, heads)
        self.n1, self.n2, self.n3, self.n4 = (nn.LayerNorm(width) for _ in range(4))
        self.gate = nn.Sequential(nn.Linear(2 * width, width), nn.Sigmoid())

    def forward(self, signal, morphology):
        one = signal + attend(self.m2r, self.n1(signal), self.n2(morphology))
        other = morphology + attend(self.r2m, self.n3(morphology), self.n4(signal))
        return torch.cat([one, other], 1)


class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))


class Mamba2(nn.Module):
    def __init__(self, width, state, headdim):
        super().__init__()
        self.inner, self.state, self.heads = 2 * width, state, 2 * width // headdim
        channels = self.inner + 2 * state
        self.in_proj = nn.Linear(width, self.inner + channels + self.heads, bias=False)
        self.conv1d = nn.Conv1d(channels, channels, 4, padding=3, groups=channels)
        self.dt_bias = nn.Parameter(torch.randn(self.heads) - 3)
        self.A_log = nn.Parameter(torch.rand(self.heads) * 2)
        self.D = nn.Parameter(torch.randn(self.heads))
        self.norm = Norm(self.inner)
        self.out_proj = nn.Linear(self.inner, width, bias=False)

    def forward(self, u):
        z, xbc, dt = self.in_proj(u).split([self.inner, self.inner + 2 * self.state, self.heads], -1)
        xbc = F.silu(self.conv1d(xbc.transpose(1, 2))[..., : u.shape[1]].transpose(1, 2))
        x, b, c = xbc.split([self.inner, self.state, self.state], -1)
        x, dt = x.unflatten(-1, (self.heads, -1)), F.softplus(dt + self.dt_bias)
        h, rows = x.new_zeros(len(u), self.heads, x.shape[-1], self.state), []
        for t in range(u.shape[1]):
            decay = torch.exp(-dt[:, t] * self.A_log.exp())[..., None, None]
            h = decay * h + (dt[:, t, :, None] * x[:, t])[..., None] * b[:, t, None, None]
            rows.append((h * c[:, t, None, None]).sum(-1) + self.D[:, None] * x[:, t])
        y = torch.stack(rows, 1).flatten(2) * F.silu(z)
        return self.out_proj(y / torch.sqrt((y**2).mean(-1, keepdim=True) + 1e-5) * self.norm.weight)


class SwiGLU(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.w1, self.w2, self.w3 = (
            nn.Linear(width, 4 * width),
            nn.Linear(width, 4 * width),
            nn.Linear(4 * width, width),
        )


class Block(nn.Module):
    def __init__(self, width, state, headdim):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.fwd, self.bwd = Mamba2(width, state, headdim), Mamba2(width, state, headdim)
        self.gate = nn.Sequential(nn.Linear(2 * width, width), nn.Sigmoid())
        self.ffn = SwiGLU(width)

    def forward(self, x):
        h = self.norm1(x)
        fwd, bwd = self.fwd(h), self.bwd(h.flip(1)).flip(1)
        z = self.gate(torch.cat([fwd, bwd], -1))
        x = x + z * fwd + (1 - z) * bwd
        h = self.norm2(x)
        return x + self.ffn.w3(F.silu(self.ffn.w1(h)) * self.ffn.w2(h))


class Published(nn.Module):
    """signal (B, 12, T), components (B, C), slots (B, 36) -> logits (B, 27); sizes as published unless named."""

    def __init__(
        self, width=384, layers=16, tokens=625, latents=64, heads=8, state=64, headdim=64, gate=64, components=3072
    ):
        super().__init__()
        self.spatial_attn = LeadGate(gate)
        self.tok = Tokenizer(width, tokens)
        self.rocket_perceiver = Perceiver(components, width, latents, heads)
        self.hrv_proj = nn.Sequential(nn.Linear(36, width), nn.GELU())
        self.cross_fusion = Fusion(width, heads)
        self.feature_proj = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU())
        self.final_latents = nn.Parameter(0.02 * torch.randn(1, latents, width))
        self.final_cross_attn, self.final_self_attn = attention(width, heads), attention(width, heads)
        self.final_norm1, self.final_norm2, self.final_norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.final_ffn = feed_forward(width)
        self.layers = nn.ModuleList(Block(width, state, headdim) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(width, 27))

    def forward(self, signal, components, slots):
        fused = self.cross_fusion(self.tok(self.spatial_attn(signal)), self.rocket_perceiver(components))
        x = self.feature_proj(torch.cat([fused, self.hrv_proj(slots)[:, None]], 1))
        h = self.final_latents.repeat(len(x), 1, 1)
        h = h + attend(self.final_cross_attn, self.final_norm1(h), x)
        h = h + attend(self.final_self_attn, self.final_norm2(h), self.final_norm2(h))
        h = h + self.final_ffn(self.final_norm3(h))
        for layer in self.layers:
            h = layer(h)
        return self.head(self.norm(h).mean(1))


TINY = {"width": 48, "layers": 2, "tokens": 40, "latents": 6, "state": 8, "headdim": 16, "gate": 8, "components": 20}
"""Sizes for tests; heads stay eight."""


def shaken(network, seed=0):
    """Every weight and running statistic away from where it starts, as after training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2.0, generator=generator)
            elif value.is_floating_point():
                value.add_(0.1 * torch.randn(value.shape, generator=generator))
    return network.eval()
