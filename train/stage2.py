"""Trains the trace network: `python -m train.stage2 --minutes 60 --signals DIR`."""

from __future__ import annotations

import torch

from train.data.samples import trace_samples
from train.loop import Maps, Task, run
from train.losses import expected_row, trace_loss


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


TASK = Task("stage2", trace_samples, trace_loss, measure, 12, 2e-3)

if __name__ == "__main__":
    run(TASK)
