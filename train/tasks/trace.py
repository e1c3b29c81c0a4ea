"""Training of the trace network (stage 2): `python -m train.run --stage stage2 --minutes 60`."""

from __future__ import annotations

import torch
from torch import Tensor

from ecg_trt.stages.scaling import TRACE_PX_PER_MM
from train.data.echo import photometric
from train.data.samples import Sample, trace_samples
from train.losses import Maps, Target, Targets, expected_row
from train.tasks.task import KIT, PHYSIONET, Task

# Of crops that are shown again: greatest change of scale (its logarithm), move, and slant from end to end.
_MAX_STRETCH, _MAX_MOVE_ROWS, _MAX_SLANT_ROWS = 0.15, 6.0, 4.0
_POSITIVE_COLUMNS = 0.75  # share of a crop's columns
_MIN_COLUMNS = 80  # of a crop whose SNR is measured
_PEAK = 0.9  # of a border's heat: at most 0.05 mm away


def targets(truth: Maps) -> Targets:
    """The pen's row where it shows and is not cut off; presence of this strip's pen, and borders, in each column."""
    judged = truth["judged"]
    return {
        "ridge": Target(truth["row"], truth["present"] * judged * truth["weight"]),
        "presence": Target(truth["present"], judged, count=judged.numel()),
        "border": Target.of_map(truth["border"]),
    }


def measure(out: Maps, truth: Maps) -> dict[str, float]:
    """Metrics of the crops.

    Signal-to-noise ratio, dB; median error of the row, px; share of columns with right presence; and median distance
    of the heads' strongest border from the nearest true one, mm, in crops that show one.
    """
    row = expected_row(out["ridge"][:, 0])
    on = (truth["present"] * truth["judged"]) > 0.5
    snr = []
    for k in range(len(row)):
        if on[k].sum() > _MIN_COLUMNS:
            t, p = truth["row"][k][on[k]], row[k][on[k]]
            noise = ((p - t) - (p - t).mean()).square().sum() + 1e-3
            snr.append((10 * torch.log10((t - t.mean()).square().sum() / noise + 1e-3)).item())
    right = ((out["presence"] > 0) == (truth["present"] > 0.5)).float().mean().item()
    return {"snr_db": float(sum(snr) / max(1, len(snr))), "median_px": (row - truth["row"]).abs()[on].median().item(),
            "presence_right": right, "border_mm": _border_error(out["border"], truth["border"])}  # fmt: skip


def _border_error(logit: Tensor, heat: Tensor) -> float:
    """Median over the crops with a border of the distance from the strongest response to a border, mm."""
    shown = heat.amax(1) > _PEAK
    if not shown.any():
        return float("nan")
    columns = torch.arange(heat.shape[1], device=heat.device)
    far = (logit[shown].argmax(1, keepdim=True) - columns).abs().float()
    far[heat[shown] < _PEAK] = torch.inf
    return far.amin(1).median().item() / TRACE_PX_PER_MM[0]


def vary(image: Tensor, truth: Maps) -> tuple[Tensor, Maps]:
    """Mirror a batch in time; stretch, slant and move each crop, with its truth; change light and noise."""
    if torch.rand(()) < 0.5:
        image, truth = image.flip(2), {name: value.flip(1) for name, value in truth.items()}
    return photometric(*_warped(image, truth))


def _warped(image: Tensor, truth: Maps) -> tuple[Tensor, Maps]:
    """Crops resampled at other scales in time and voltage, moved and slanted by some rows."""
    (n, height, width), device = image.shape[:3], image.device

    def spread(most: float) -> Tensor:
        return (2 * torch.rand(n, 1, device=device) - 1) * most

    across = torch.arange(width, device=device) - (width - 1) / 2
    down = torch.arange(height, device=device) - (height - 1) / 2
    column = across * torch.exp(spread(_MAX_STRETCH))  # (N, W) seen by each column of the result, from the middle
    rise = torch.exp(spread(_MAX_STRETCH))
    lift = spread(_MAX_MOVE_ROWS) + across / width * spread(_MAX_SLANT_ROWS)
    row = down[None, :, None] * rise[..., None] + lift[:, None]
    grid = torch.stack([column[:, None].expand_as(row) / (width / 2), row / (height / 2)], -1)
    seen = torch.nn.functional.grid_sample(image.permute(0, 3, 1, 2).float(), grid, padding_mode="border",
                                           align_corners=False).permute(0, 2, 3, 1)  # fmt: skip
    at = column + (width - 1) / 2
    inside = (at >= 0) & (at <= width - 1)
    left = at.clamp(0, width - 1).floor().long().clamp(max=width - 2)
    share = at.clamp(0, width - 1) - left
    near = {name: value.gather(1, left + (share > 0.5)) for name, value in truth.items()}
    old = torch.lerp(truth["row"].gather(1, left), truth["row"].gather(1, left + 1), share)
    new = (old - (height - 1) / 2 - lift) / rise + (height - 1) / 2
    judged = near["judged"] * ((near["present"] < 0.5) | (new > 1) & (new < height - 2)) * inside
    border = torch.where(inside, near["border"], -1.0)
    return seen, near | {"row": new.clamp(0, height - 1), "judged": judged, "border": border}


def is_positive(sample: Sample) -> bool:
    """Tell if a crop shows a trace in three quarters of its columns."""
    return bool(sample["present"].mean() > _POSITIVE_COLUMNS)


TASK = Task(
    "stage2", trace_samples, targets, measure, is_positive,
    {"ridge": {"cross_entropy": 1.0, "l1": 0.5, "difference_l1": 0.5, "snr": 0.25}, "presence": {"bce": 1.0},
     "border": {"bce": 5.0}},
    batch=12, user_layouts=(KIT, PHYSIONET), vary=vary,
)  # fmt: skip
