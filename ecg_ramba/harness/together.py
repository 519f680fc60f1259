"""Data-parallel training: several processes (``torchrun``) train one network, each on its share of every batch.

Gradients are those of the whole batch: each process's loss is divided by the whole batch's weight. BatchNorm sees a
process's own share, and its running statistics are the first process's.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ecg_ramba.errors import UserError


@dataclass(frozen=True)
class Group:
    """The processes that train together; ``rank`` is this one's number among ``size``."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes what comes out."""
        return self.rank == 0

    def share(self, rows: np.ndarray, limb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """This process's part of a batch.

        Raises
        ------
        UserError
            If there is nothing for some process.
        """
        if len(rows) < self.size:
            raise UserError(f"a batch of {len(rows)} cannot be shared by {self.size} processes; take fewer")
        return rows[self.rank :: self.size], limb[self.rank :: self.size]

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all processes, of a number without gradient."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        torch.distributed.all_reduce(total)
        return total / self.size

    def wrapped(self, network: nn.Module, device: str) -> nn.Module:
        """The network as it is called in training: its gradients become the mean over all processes."""
        if self.size == 1:
            return network
        devices = [torch.device(device)] if torch.device(device).type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=devices)

    def agree(self, value: Any) -> Any:
        """The first process's value, in every process."""
        if self.size == 1:
            return value
        held = [value]
        torch.distributed.broadcast_object_list(held)
        return held[0]

    def all(self, value: Any) -> list:
        """Every process's value, by rank."""
        if self.size == 1:
            return [value]
        values = [None] * self.size
        torch.distributed.all_gather_object(values, value)
        return values


def group() -> Group:
    """Those that train together now; this process alone unless it was started by ``torchrun``."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return Group()
    return Group(torch.distributed.get_rank(), torch.distributed.get_world_size())
