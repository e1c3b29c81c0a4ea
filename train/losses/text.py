"""Loss of text."""

from __future__ import annotations

import torch
from torch import Tensor

from train.losses.target import Target


def ctc(answer: Tensor, target: Target) -> Tensor:
    """Connectionist temporal classification (Graves 2006), a character: -log of the probability of the true text.

    Args:
        answer: (N, 1, C, T) logits, class 0 the gap.
        target: value (N, L) classes, filled up with 0.
    """
    logits = answer.squeeze(1).permute(2, 0, 1).float().log_softmax(-1)
    lengths = (target.value > 0).sum(1)
    columns = torch.full_like(lengths, logits.shape[0])
    loss = torch.nn.functional.ctc_loss(logits, target.value.long(), columns, lengths, reduction="none",
                                        zero_infinity=True)  # fmt: skip
    return (loss / lengths.clamp(min=1)).mean()
