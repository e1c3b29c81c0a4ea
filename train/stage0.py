"""Trains the align network: `python -m train.stage0 --minutes 30 --signals DIR`."""

from __future__ import annotations

import torch
from torch import Tensor

from train.data.samples import align_sample
from train.loop import Maps, Task, run
from train.losses import align_loss


def measure(out: Maps, truth: Maps) -> dict[str, float]:
    """Share of right directions, mean scale error, page overlap."""
    on = truth["page"][:, 0] > 0.5
    if not on.any():
        return {"upright": float("nan"), "angle_deg": float("nan"), "scale_err": float("nan"), "iou": float("nan")}

    def unit(m: Tensor) -> Tensor:
        return m / m.norm(dim=1, keepdim=True).clamp(min=1e-6)

    cos = (unit(out["axes"][:, :2]) * truth["axes"][:, :2]).sum(1)[on].clamp(-1, 1)
    found = out["page"][:, 0] > 0
    return {
        "upright": (cos > 0.7).float().mean().item(),
        "angle_deg": torch.rad2deg(torch.acos(cos)).median().item(),
        "scale_err": (out["log_scale"] - truth["log_scale"]).abs().mean(1)[on].mean().item(),
        "iou": ((found & on).sum() / (found | on).sum()).item(),
    }


TASK = Task("stage0", lambda rng, source: [align_sample(rng, source)], align_loss, measure, 8, 2e-3)

if __name__ == "__main__":
    run(TASK)
