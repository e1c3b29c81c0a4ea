"""Loss of one class out of several."""

from __future__ import annotations

import torch
from torch import Tensor

from train.losses.target import Target


def cross_entropy(answer: Tensor, target: Target, *, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of a softmax, a sample.

    Args:
        answer: (N, C) logits.
        target: value (N,) classes.
        smoothing: share of the truth that is spread over all classes (Szegedy et al. 2016, section 7).
    """
    loss = torch.nn.functional.cross_entropy(
        answer.float(), target.value.long(), reduction="none", label_smoothing=smoothing
    )
    return (loss * target.weight).sum() / target.divisor
