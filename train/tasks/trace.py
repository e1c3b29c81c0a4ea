"""Training of the trace network (stage 2): `python -m train.run --stage stage2 --minutes 60`."""

from __future__ import annotations

import torch

from train.data.echo import photometric
from train.data.samples import Sample, trace_samples
from train.losses import Maps, Target, Targets, expected_row
from train.tasks.task import KIT, PHYSIONET, Task

_MAX_ROLL_ROWS = 6  # 1.3 mm at 4.5 px/mm, about the spread with which crops are drawn
_POSITIVE_COLUMNS = 0.75  # share of a crop's columns
_MIN_COLUMNS = 40  # of a crop whose SNR is measured


def targets(truth: Maps) -> Targets:
    """The pen's row where it shows and is not cut off, and the presence of this strip's pen in each column."""
    judged = truth["judged"]
    return {
        "ridge": Target(truth["row"], truth["present"] * judged * truth["weight"]),
        "presence": Target(truth["present"], judged, count=judged.numel()),
    }


def measure(out: Maps, truth: Maps) -> dict[str, float]:
    """Signal-to-noise ratio of the crops, dB, median error of the row, px, and share of columns with right presence."""
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
            "presence_right": right}  # fmt: skip


def vary(image: torch.Tensor, truth: Maps) -> tuple[torch.Tensor, Maps]:
    """Change light and noise; mirror a batch in time, and move it by some rows, with its truth."""
    image, truth = photometric(image, truth)
    if torch.rand(()) < 0.5:
        image, truth = image.flip(2), {name: value.flip(1) for name, value in truth.items()}
    rows, height = int(torch.randint(-_MAX_ROLL_ROWS, _MAX_ROLL_ROWS + 1, ())), image.shape[1]
    row = truth["row"] + rows
    inside = (row > 1) & (row < height - 2)
    judged = torch.where(truth["present"] > 0.5, truth["judged"] * inside, truth["judged"])
    return image.roll(rows, 1), {**truth, "row": row.clamp(0, height - 1), "judged": judged}


def is_positive(sample: Sample) -> bool:
    """Tell if a crop shows a trace in three quarters of its columns."""
    return bool(sample["present"].mean() > _POSITIVE_COLUMNS)


TASK = Task(
    "stage2", trace_samples, targets, measure, is_positive,
    {"ridge": {"cross_entropy": 1.0, "l1": 0.5, "difference_l1": 0.5, "snr": 0.25}, "presence": {"bce": 1.0}},
    batch=12, user_layouts=(KIT, PHYSIONET), vary=vary,
)  # fmt: skip
