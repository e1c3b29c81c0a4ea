"""Trains the trace network: `python -m train.stage2 --minutes 60 --signals DIR`."""

from __future__ import annotations

import torch

from train.data.echo import photometric
from train.data.samples import trace_samples
from train.losses import Maps, Target, Targets, expected_row
from train.task import Task

_MOST_ROWS = 6  # 1.3 mm at 4.5 px/mm, about the spread with which crops are drawn


def targets(truth: Maps) -> Targets:
    """The pen's row where it shows and is not cut off, and whether a column shows this strip's pen at all."""
    judged = truth["judged"]
    return {
        "ridge": Target(truth["row"], truth["present"] * judged * truth["weight"]),
        "presence": Target(truth["present"], judged, count=judged.numel()),
    }


def measure(out: Maps, truth: Maps) -> dict[str, float]:
    """Signal-to-noise ratio of the crops, dB, and how well presence is told."""
    row = expected_row(out["ridge"][:, 0])
    on = (truth["present"] * truth["judged"]) > 0.5
    snr = []
    for k in range(len(row)):
        if on[k].sum() > 40:
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
    rows, height = int(torch.randint(-_MOST_ROWS, _MOST_ROWS + 1, ())), image.shape[1]
    row = truth["row"] + rows
    inside = (row > 1) & (row < height - 2)
    judged = torch.where(truth["present"] > 0.5, truth["judged"] * inside, truth["judged"])
    return image.roll(rows, 1), {**truth, "row": row.clamp(0, height - 1), "judged": judged}


TASK = Task("stage2", trace_samples, targets, measure, lambda sample: bool(sample["present"].mean() > 0.75), vary=vary)

if __name__ == "__main__":
    from train.run import train_stage

    train_stage(TASK.stage)
