"""Training of the networks of heartbeats: `python -m train.run train/experiments/heartbeat.toml`.

``heartbeat`` ships: it learns the patients of DS1, from beats as paper shows them, and is tested on the patients of
DS2. ``heartbeat_table`` is a yardstick: beats as the public table has them, split at random.
"""

from __future__ import annotations

import torch

from train.data.heartbeats import heartbeat_samples, open_recordings, open_rows, table_samples, vary
from train.data.samples import Sample
from train.losses import Maps, Target, Targets
from train.tasks.task import Task

_HEAD = "beat_class"
_LOSS = {_HEAD: {"cross_entropy": {"weight": 1.0, "smoothing": 0.05}}}


def targets(truth: Maps) -> Targets:
    """The class of each beat."""
    classes = truth["class"]
    return {_HEAD: Target(classes, torch.ones_like(classes, dtype=torch.float32))}


def measure(out: Maps, truth: Maps) -> dict[str, float]:
    """Share of beats whose class is right, and of those that are normal or not as they are called."""
    found, classes = out[_HEAD].argmax(1), truth["class"]
    return {
        "right": (found == classes).float().mean().item(),
        "binary_right": ((found > 0) == (classes > 0)).float().mean().item(),
    }


def is_positive(sample: Sample) -> bool:
    """Tell if a beat is not normal."""
    return bool(sample["class"] > 0)


TASK = Task("heartbeat", heartbeat_samples, targets, measure, is_positive, _LOSS, batch=128, user_layouts=(),
            vary=vary, open_source=open_recordings)  # fmt: skip
TABLE_TASK = Task("heartbeat_table", table_samples, targets, measure, is_positive, _LOSS, batch=128, user_layouts=(),
                  vary=vary, open_source=open_rows)  # fmt: skip
