"""Losses of maps of logits, and of maps of plain values."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from train.losses.target import Target


def bce(logit: Tensor, target: Target) -> Tensor:
    """Binary cross-entropy, the mean over what is known."""
    loss = F.binary_cross_entropy_with_logits(logit, target.value, reduction="none")
    return (loss * target.weight).sum() / target.divisor


def focal(logit: Tensor, target: Target, *, gamma: float = 2.0, alpha: float = 0.25) -> Tensor:
    """Focal loss (Lin et al., Focal Loss for Dense Object Detection, 2017, eq. 5), for targets in [0, 1].

    Args:
        logit: any shape.
        target: of the same shape.
        gamma: exponent by which easy cells count less.
        alpha: share of the positives.
    """
    p, t = torch.sigmoid(logit), target.value
    cross = F.binary_cross_entropy_with_logits(logit, t, reduction="none")
    off = (p - t).abs()  # 1 - p_t where the target is 0 or 1
    return ((alpha * t + (1 - alpha) * (1 - t)) * off**gamma * cross * target.weight).sum() / target.divisor


def heatmap_focal(logit: Tensor, target: Target) -> Tensor:
    """Penalty-reduced focal loss of Gaussian heatmaps (Law and Deng, CornerNet, 2018, eq. 1), for soft peaks."""
    p, peak = torch.sigmoid(logit), target.value > 0.9
    judged = target.weight > 0
    loss_peak = -F.logsigmoid(logit) * (1 - p) ** 2 * (peak & judged)
    loss_rest = -F.logsigmoid(-logit) * p**2 * (1 - target.value) ** 4 * (judged & ~peak)
    return (loss_peak.sum() + loss_rest.sum()) / (peak & judged).sum().clamp(min=8)


def tversky(logit: Tensor, target: Target, *, alpha: float = 0.3, beta: float = 0.7, smooth: float = 1.0) -> Tensor:
    """1 - Tversky index of each channel over the batch (Salehi et al., Tversky loss function, 2017, eq. 3).

    Args:
        logit: (N, C, h, w), or (N, W), which is one channel.
        target: of the same shape.
        alpha: penalty of false positives.
        beta: penalty of false negatives.
        smooth: cells added to both sides; a channel that is empty in both has no loss.
    """
    axes = (0, *range(2 if logit.dim() > 2 else 1, logit.dim()))
    p, t, w = torch.sigmoid(logit), target.value, target.weight
    both = (w * p * t).sum(axes)
    found, missed = (w * p * (1 - t)).sum(axes), (w * (1 - p) * t).sum(axes)
    return (1 - (both + smooth) / (both + alpha * found + beta * missed + smooth)).mean()


def dice(logit: Tensor, target: Target, *, smooth: float = 1.0) -> Tensor:
    """1 - Sorensen-Dice coefficient (Milletari et al., V-Net, 2016, without the squares): Tversky of 0.5 and 0.5."""
    return tversky(logit, target, alpha=0.5, beta=0.5, smooth=smooth)


def jaccard(logit: Tensor, target: Target, *, smooth: float = 1.0) -> Tensor:
    """1 - intersection over union (Rahman and Wang, 2016): Tversky of 1 and 1."""
    return tversky(logit, target, alpha=1.0, beta=1.0, smooth=smooth)


def l1(value: Tensor, target: Target) -> Tensor:
    """Absolute difference, summed over the channels, the mean over what is known."""
    return ((value - target.value).abs() * target.weight).sum() / target.divisor


def smooth_l1(value: Tensor, target: Target, *, beta: float = 0.05) -> Tensor:
    """Absolute difference, squared below `beta` (Girshick, Fast R-CNN, 2015, eq. 3), summed over the channels."""
    loss = F.smooth_l1_loss(value, target.value, beta=beta, reduction="none")
    return (loss * target.weight).sum() / target.divisor
