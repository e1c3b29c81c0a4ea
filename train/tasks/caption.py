"""Training of the caption network (printed speed and gain): `python -m train.run --stage caption --minutes 30`."""

from __future__ import annotations

import torch

from train.data.samples import Sample, caption_samples
from train.losses import Maps, Target, Targets
from train.tasks.task import Task

_CENTRE_HEAT = 0.99  # heatmap value in the middle of a word
_NEAR_HEAT = 0.4  # heatmap value at 1.3 mm from the middle
_BACKGROUND_WEIGHT = 0.25  # of a cell far from every word: with 0.03, edges and names were read as calibration text
_READ_THRESHOLD = 0.35  # sigmoid above which the metrics count a word as read


def targets(truth: Maps) -> Targets:
    """Cells near the middle of a word of the calibration text; near any, its class counts most."""
    value = truth["setting"]
    near = (value > _NEAR_HEAT).float()
    there = near.amax(1, keepdim=True)
    return {"setting": Target(near, (value >= 0) * (there + (1 - there) * _BACKGROUND_WEIGHT))}


def measure(out: Maps, truth: Maps) -> dict[str, float]:
    """Recall of words shown whole, and precision of the words read against all that the crop shows a part of."""
    there = truth["setting"].amax((2, 3))
    read = (torch.sigmoid(out["setting"]) * (truth["setting"] >= 0)).amax((2, 3)) > _READ_THRESHOLD
    shown, partly = there > _CENTRE_HEAT, there > 0
    return {
        "recall": (read & shown).sum().item() / max(1, shown.sum().item()),
        "precision": (read & partly).sum().item() / max(1, read.sum().item()),
    }


def is_positive(sample: Sample) -> bool:
    """Tell if a crop shows the middle of a word of the calibration text."""
    return bool(sample["setting"].max() > _CENTRE_HEAT)


# The truth of user datasets does not say what is printed on the page.
TASK = Task("caption", caption_samples, targets, measure, is_positive, {"setting": {"bce": 1.0}},
            batch=32, user_layouts=())  # fmt: skip
