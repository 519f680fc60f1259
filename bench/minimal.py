"""The scan as its paper prints it (Dao and Gu 2024, arXiv:2405.21060, listing 1): the yardstick of the timings.

Every head has B and C of its own here, as there, and a chunk's decays are an array of heads x chunk x chunk.

Shape suffixes: B batch, K chunks, Q and S positions in a chunk, H heads, P head width, N state size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def segment_sums(a: Tensor) -> Tensor:
    """(..., Q) -> (..., Q, S): the sum of a over S + 1 to Q where S <= Q, else -inf."""
    length = a.shape[-1]
    rows = a[..., None].expand(*a.shape, length)
    below = torch.ones(length, length, dtype=torch.bool, device=a.device).tril(-1)
    sums = rows.masked_fill(~below, 0).cumsum(-2)
    return sums.masked_fill(~below.logical_or(torch.eye(length, dtype=torch.bool, device=a.device)), -torch.inf)


def ssd_minimal(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, chunk: int = 64) -> Tensor:
    """As :func:`ecg_ramba.nn.ssd.ssd` without D; the length is padded to whole chunks."""
    length, heads = x.shape[1:3]
    pad = -length % chunk
    a = F.pad(dt * A, (0, 0, 0, pad)).unflatten(1, (-1, chunk)).permute(0, 3, 1, 2)
    x_BKQHP = F.pad(x * dt[..., None].to(x.dtype), (0, 0, 0, 0, 0, pad)).unflatten(1, (-1, chunk))
    B_BKQHN, C_BKQHN = (
        F.pad(v, (0, 0, 0, pad)).unflatten(1, (-1, chunk))[:, :, :, None].expand(-1, -1, -1, heads, -1) for v in (B, C)
    )
    a_BHKQ = a.cumsum(-1)
    decay_BHKQS = segment_sums(a).exp().to(x.dtype)
    inside = torch.einsum("bkqhn,bkshn,bhkqs,bkshp->bkqhp", C_BKQHN, B_BKQHN, decay_BHKQS, x_BKQHP)
    to_end_BHKQ = (a_BHKQ[..., -1:] - a_BHKQ).exp().to(x.dtype)
    added_BKHPN = torch.einsum("bkqhn,bhkq,bkqhp->bkhpn", B_BKQHN, to_end_BHKQ, x_BKQHP)
    added_BKHPN = torch.cat([torch.zeros_like(added_BKHPN[:, :1]), added_BKHPN], dim=1)
    between = segment_sums(F.pad(a_BHKQ[..., -1], (1, 0))).exp().to(x.dtype)
    states_BKHPN = torch.einsum("bhzk,bkhpn->bzhpn", between, added_BKHPN)[:, :-1]
    carried = torch.einsum("bkqhn,bkhpn,bhkq->bkqhp", C_BKQHN, states_BKHPN, a_BHKQ.exp().to(x.dtype))
    return (inside + carried).flatten(1, 2)[:, :length]
