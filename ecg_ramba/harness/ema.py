"""Exponential moving average of a network's weights and buffers: what is scored is what is saved."""

import torch
from torch import nn


class WeightAverage:
    """EMA with warm-up: decay ``min(decay, (1 + t) / (10 + t))`` at step t.

    Floating-point buffers (BatchNorm's running statistics) are averaged with the same decay, integer ones copied.
    """

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        self.step = 0
        self.state = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the weights after an optimiser step."""
        self.step += 1
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        averages, values = [], []
        for name, value in module.state_dict().items():
            average = self.state[name]
            if value.is_floating_point():
                averages.append(average)
                values.append(value.detach())
            else:
                average.copy_(value)
        torch._foreach_lerp_(averages, values, 1 - decay)

    def copy_to(self, module: nn.Module) -> None:
        """Put the average into a network."""
        module.load_state_dict(self.state)
