"""Losses of a trace: logits over the rows of each column, or the row that they expect.

Errors are in millimetres of the paper. `Target.value` is the pen's row (N, W), px, `Target.weight` that of the columns,
0 where the pen is not visible.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ecg_trt.stages.scaling import TRACE_PX_PER_MM
from train.losses.target import Target

_PX_PER_MM = TRACE_PX_PER_MM[1]
_STEPS = TRACE_PX_PER_MM[0] / 10  # Columns in 0.1 mm.
_FARTHEST_PX, _STEEPEST_PX = 40, 20  # an error beyond these is a wrong trace, and no worse for being farther


def expected_row(logit: Tensor) -> Tensor:
    """(N, H, W) logits to (N, W) expected row, taken relative to the middle so that half precision keeps its digits."""
    h = logit.shape[1]
    rows = torch.arange(h, device=logit.device, dtype=torch.float32) - (h - 1) / 2
    return torch.einsum("nhw,h->nw", logit.float().softmax(1), rows) + (h - 1) / 2


def as_map(target: Target, height: int, sigma: float = 1.0) -> Target:
    """The trace as a map (N, 1, H, W): a Gaussian of `sigma` px around the pen; empty where no pen is seen."""
    rows = torch.arange(height, device=target.value.device, dtype=torch.float32)[None, :, None]
    heat = torch.exp(-0.5 * ((rows - target.value[:, None]) / sigma) ** 2) * (target.weight > 0)[:, None]
    return Target(heat[:, None], torch.ones_like(heat[:, None]))


def cross_entropy(logit: Tensor, target: Target, *, sigma: float = 1.0) -> Tensor:
    """Cross-entropy of each column's softmax against a Gaussian of `sigma` px around the pen.

    Soft labels as in Diaz and Marathe, Soft Labels for Ordinal Regression, 2019.
    """
    heat = as_map(target, logit.shape[1], sigma).value[:, 0]
    share = heat / heat.sum(1, keepdim=True).clamp(min=1e-6)
    return (-(share * logit.float().log_softmax(1)).sum(1) * target.weight).sum() / target.divisor


def _error(row: Tensor, target: Target) -> Tensor:
    return (row - target.value) * (target.weight > 0)


def l1(row: Tensor, target: Target) -> Tensor:
    """Absolute error of the soft-argmax, mm (Sun et al., Integral Human Pose Regression, 2018)."""
    error = _error(row, target).abs().clamp(max=_FARTHEST_PX)
    return (error * target.weight).sum() / target.divisor / _PX_PER_MM


def difference_l1(row: Tensor, target: Target) -> Tensor:
    """Absolute error of the step from each column to the next, mm for each 0.1 mm along time."""
    both = torch.minimum(target.weight[:, 1:], target.weight[:, :-1])
    error = _error(row, target).diff(dim=1).abs().clamp(max=_STEEPEST_PX)
    return _STEPS * (error * both).sum() / target.divisor / _PX_PER_MM


def snr(row: Tensor, target: Target) -> Tensor:
    """log10 of noise power over signal power, the mean over the crops: -1/10 of their SNR in dB.

    The score of the PhysioNet 2025 digitization challenge; both powers have a floor, as some crops show a flat line.
    """
    on = (target.weight > 0).float()
    level = (target.value * on).sum(1, keepdim=True) / on.sum(1, keepdim=True).clamp(min=1)
    power = ((target.value - level) * on).square().sum(1) + 100.0
    return torch.log10((_error(row, target).square().sum(1) + 10.0) / power).mean()


def stft(row: Tensor, target: Target, *, longest: int = 128) -> Tensor:
    """Multi-resolution STFT loss (Yamamoto et al., Parallel WaveGAN, 2020, eqs. 4 to 7), of rows in mm.

    Spectral convergence and L1 of log magnitudes at windows of 16, 32, .. columns; columns without a
    visible pen are taken to be right.

    Args:
        row: (N, W) px.
        target: the pen.
        longest: window, columns.
    """
    on = target.weight > 0
    level = (target.value * on).sum(1, keepdim=True) / on.sum(1, keepdim=True).clamp(min=1)
    predicted, true = ((torch.where(on, r, level) - level) / _PX_PER_MM for r in (row, target.value))
    total, sizes = row.new_zeros(()), [n for n in (16, 32, 64, 128, 256) if n <= min(longest, row.shape[1])]
    for size in sizes:
        a, b = (_magnitude(r, size) for r in (predicted, true))
        total = total + (a - b).norm() / b.norm().clamp(min=1e-3) + (a.log() - b.log()).abs().mean()
    return total / max(1, len(sizes))


def _magnitude(row: Tensor, size: int) -> Tensor:
    window = torch.hann_window(size, device=row.device)
    spectrum = torch.stft(row, size, size // 4, window=window, return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square() + 0.01).sqrt()  # 0.1 mm: below it is the pen's width
