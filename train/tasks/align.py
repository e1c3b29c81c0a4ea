"""Training of the align network (stage 0): `python -m train.run --stage stage0 --minutes 30`."""

from __future__ import annotations

import numpy as np
from torch import Tensor, acos, rad2deg

from train.data.samples import Sample, align_sample
from train.data.signals import PageSource
from train.losses import Maps, Target, Targets
from train.tasks.task import Task

_UPRIGHT_COS = 0.7  # of 45 degrees: beyond it the page would be taken for a rotated one


def make(rng: np.random.Generator, source: PageSource, *, kind: str | None = None) -> list[Sample]:
    """Draw one photo of one page."""
    return [align_sample(rng, source, kind=kind)]


def targets(truth: Maps) -> Targets:
    """Page area; where there is paper, axes as unit vectors and the log of px per mm along each."""
    on = truth["page"].clamp(0, 1)
    values = {name: Target(truth[name], on) for name in ("axes", "log_scale")}
    return {"page": Target.of_map(truth["page"]), **values}


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
        "upright": (cos > _UPRIGHT_COS).float().mean().item(),
        "angle_deg": rad2deg(acos(cos)).median().item(),
        "scale_err": (out["log_scale"] - truth["log_scale"]).abs().mean(1)[on].mean().item(),
        "iou": ((found & on).sum() / (found | on).sum()).item(),
    }


def is_positive(sample: Sample) -> bool:
    """Tell if a photo shows a page."""
    return bool(sample["page"].max() > 0)


TASK = Task("stage0", make, targets, measure, is_positive,
            {"page": {"bce": 1.0}, "axes": {"l1": 1.0}, "log_scale": {"l1": 2.0}})  # fmt: skip
