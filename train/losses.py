"""What each network is asked to be good at."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ecg_trt.stages.frames import TRACE_PX_PER_MM

Maps = dict[str, Tensor]


def focal_heatmap(logit: Tensor, target: Tensor) -> Tensor:
    """Penalty-reduced focal loss of Gaussian heatmaps (Law and Deng, CornerNet, 2018), for soft peaks.

    Args:
        logit: any shape.
        target: same shape, in [0, 1], negative = not judged.
    """
    judged = target >= 0
    p = torch.sigmoid(logit)
    peak = target > 0.9
    loss_peak = -F.logsigmoid(logit) * (1 - p) ** 2 * peak
    loss_rest = -F.logsigmoid(-logit) * p**2 * (1 - target.clamp(0, 1)) ** 4 * (judged & ~peak)
    return (loss_peak.sum() + loss_rest.sum()) / peak.sum().clamp(min=8)


def soft_bce(logit: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy where the target is not negative."""
    judged = (target >= 0).float()
    loss = F.binary_cross_entropy_with_logits(logit, target.clamp(0, 1), reduction="none")
    return (loss * judged).sum() / judged.sum().clamp(min=1)


def align_loss(out: Maps, truth: Maps) -> tuple[Tensor, dict[str, float]]:
    """Stage 0: page area, axes as unit vectors, log of px per mm along each."""
    on = truth["page"].clamp(0, 1)
    weight = on / on.sum().clamp(min=1)
    page = soft_bce(out["page"], truth["page"])
    axes = ((out["axes"] - truth["axes"]).abs().sum(1, keepdim=True) * weight).sum()
    scale = ((out["log_scale"] - truth["log_scale"]).abs().sum(1, keepdim=True) * weight).sum()
    loss = page + axes + 2 * scale
    return loss, {"page": page.item(), "axes": axes.item(), "scale": scale.item()}


def rectify_loss(out: Maps, truth: Maps) -> tuple[Tensor, dict[str, float]]:
    """Stage 1: lattice nodes with sub-pixel offsets, zero lines, segment starts, pulses and lead names."""
    near = (truth["node"] > 0.2).float()
    offset = (F.smooth_l1_loss(out["offset"], truth["offset"], beta=0.05, reduction="none") * near).sum()
    parts = {
        "node": focal_heatmap(out["node"], truth["node"]),
        "offset": 4 * offset / near.sum().clamp(min=1),
        "zero": 2 * soft_bce(out["zero"], truth["zero"]),
        "start": focal_heatmap(out["start"], truth["start"]),
        "end": 0.5 * focal_heatmap(out["end"], truth["end"]),
        "pulse": 6 * soft_bce(out["pulse"], truth["pulse"]),
        "paper": 0.3 * soft_bce(out["paper"], truth["paper"]),
        "label": focal_heatmap(out["label"], truth["label"]),
    }
    return torch.stack(list(parts.values())).sum(), {k: v.item() for k, v in parts.items()}


def expected_row(logit: Tensor) -> Tensor:
    """(N, H, W) logits to (N, W) expected row, taken relative to the middle so that half precision keeps its digits."""
    h = logit.shape[1]
    rows = torch.arange(h, device=logit.device, dtype=torch.float32) - (h - 1) / 2
    return torch.einsum("nhw,h->nw", logit.float().softmax(1), rows) + (h - 1) / 2


def trace_loss(out: Maps, truth: Maps) -> tuple[Tensor, dict[str, float]]:
    """Stage 2: cross-entropy of the ridge's row, its expectation, first differences and SNR of the signal itself.

    Args:
        out: ridge (N, 1, H, W) and presence (N, W), logits.
        truth: row (N, W) px, present (N, W) 0/1, judged (N, W) 0/1 (a column whose pen is cut off is not
            judged), weight (N, W) of the columns.
    """
    logit, row = out["ridge"].squeeze(1), truth["row"]
    px_per_mm = TRACE_PX_PER_MM[1]  # so that errors are weighed in mm
    on = truth["present"] * truth["judged"] * truth["weight"]
    count = on.sum().clamp(min=1)
    rows = torch.arange(logit.shape[1], device=logit.device, dtype=torch.float32)[None, :, None]
    target = torch.exp(-0.5 * ((rows - row[:, None]) / 1.0) ** 2)
    target = target / target.sum(1, keepdim=True).clamp(min=1e-6)
    ce = (-(target * logit.float().log_softmax(1)).sum(1) * on).sum() / count
    error = (expected_row(logit) - row) * (on > 0)
    l1 = (error.abs().clamp(max=40) * on).sum() / count
    pair = torch.minimum(on[:, 1:], on[:, :-1])
    step = (error.diff(dim=1).abs().clamp(max=20) * pair).sum() / count
    level = (row * (on > 0)).sum(1, keepdim=True) / (on > 0).sum(1, keepdim=True).clamp(min=1)
    power = (((row - level) * (on > 0)) ** 2).sum(1) + 100.0
    snr = torch.log10(((error**2).sum(1) + 10.0) / power).mean()
    presence = F.binary_cross_entropy_with_logits(out["presence"], truth["present"], reduction="none")
    presence = (presence * truth["judged"]).mean()
    loss = ce + 0.5 * l1 / px_per_mm + 0.5 * step / px_per_mm + 0.25 * snr + presence
    return loss, {"ce": ce.item(), "l1_px": l1.item(), "step_px": step.item(), "snr": -10 * snr.item(),
                  "presence": presence.item()}  # fmt: skip
