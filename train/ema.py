"""Exponential moving average of the weights, which is what is validated and exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Tensors = tuple[Tensor, ...] | list[Tensor]


def warmed_up_decay(decay: float, steps: int) -> float:
    """Decay of the average at a step: it rises to `decay`, so that the first weights are soon forgotten."""
    return min(decay, (1 + steps) / (10 + steps))


def average_of(model: nn.Module, decay: float) -> AveragedModel:
    """Begin an average of parameters and buffers with a copy of the model; it counts the steps in ``n_averaged``."""

    @torch.no_grad()
    def lerp(averages: Tensors, values: Tensors, steps: Tensor | int) -> None:
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, values, 1 - warmed_up_decay(decay, int(steps)))
        else:
            torch._foreach_copy_(averages, values)

    averaged = AveragedModel(model, multi_avg_fn=lerp, use_buffers=True)
    averaged.n_averaged.fill_(1)  # the copy counts as the first value, or the first step would replace it
    return averaged.eval()
