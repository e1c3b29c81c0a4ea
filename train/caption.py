"""Trains the network that reads printed paper speed and gain: `python -m train.caption --minutes 30 --signals DIR`."""

from __future__ import annotations

import torch

from train.data.samples import caption_samples
from train.losses import Maps, Target, Targets
from train.task import Task

_SHOWN = 0.99  # heat in the middle of a word
_NEAR = 0.4  # heat at 1.3 mm from it
_ELSEWHERE = 0.25  # weight of a cell that is near to none: with 0.03, edges and names were read as settings
_READ = 0.35


def targets(truth: Maps) -> Targets:
    """Whether a printed setting has its middle nearby; where any has, it counts most which one it is."""
    value = truth["setting"]
    near = (value > _NEAR).float()
    there = near.amax(1, keepdim=True)
    return {"setting": Target(near, (value >= 0) * (there + (1 - there) * _ELSEWHERE))}


def measure(out: Maps, truth: Maps) -> dict[str, float]:
    """Of the settings shown, how many are read, and of those read, how many are shown in that crop at all."""
    there = truth["setting"].amax((2, 3))
    read = (torch.sigmoid(out["setting"]) * (truth["setting"] >= 0)).amax((2, 3)) > _READ
    shown, partly = there > _SHOWN, there > 0
    return {
        "recall": (read & shown).sum().item() / max(1, shown.sum().item()),
        "precision": (read & partly).sum().item() / max(1, read.sum().item()),
    }


TASK = Task("caption", caption_samples, targets, measure, lambda sample: bool(sample["setting"].max() > _SHOWN),
            takes_own_pages=False)  # fmt: skip

if __name__ == "__main__":
    from train.run import train_stage

    train_stage(TASK.stage)
