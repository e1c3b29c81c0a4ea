"""Training of the rectify network (stage 1): `python -m train.run --stage stage1 --minutes 60`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from train.data.samples import Sample, rectify_samples
from train.losses import Maps, Target, Targets
from train.tasks.task import Task


def targets(truth: Maps) -> Targets:
    """Grid nodes with sub-cell offsets next to them, zero lines, starts and ends, pulses, paper and lead names."""
    maps = {name: Target.of_map(value) for name, value in truth.items() if name != "offset"}
    return {**maps, "offset": Target(truth["offset"], (truth["node"] > 0.2).float())}


def _peaks(heat: Tensor, threshold: float) -> Tensor:
    return (heat == F.max_pool2d(heat, 3, 1, 1)) & (heat > threshold)


def measure(out: Maps, truth: Maps) -> dict[str, float]:
    """Node recall and precision, median node error (px at 4 px/mm), label recall and precision."""
    true_node = _peaks(truth["node"], 0.5)
    found = _peaks(torch.sigmoid(out["node"]), 0.3)
    near = F.max_pool2d(found.float(), 3, 1, 1) > 0
    nearby = truth["node"] > 0.2
    both = found & nearby
    error = 4 * (out["offset"] - truth["offset"]).norm(dim=1, keepdim=True)[both]
    label, predicted = _peaks(truth["label"], 0.6), _peaks(torch.sigmoid(out["label"]), 0.3)
    label_near = F.max_pool2d(predicted.float(), 5, 1, 2) > 0
    truth_near = F.max_pool2d(label.float(), 5, 1, 2) > 0
    return {
        "node_recall": (near & true_node).sum().item() / max(1, true_node.sum().item()),
        "node_precision": both.sum().item() / max(1, found.sum().item()),
        "node_err_px": error.median().item() if len(error) else float("nan"),
        "node_err_p90": error.quantile(0.9).item() if len(error) else float("nan"),
        "label_recall": (label_near & label).sum().item() / max(1, label.sum().item()),
        "label_precision": (truth_near & predicted).sum().item() / max(1, predicted.sum().item()),
    }


def is_positive(sample: Sample) -> bool:
    """Tell if a crop shows a page."""
    return bool(sample["paper"].max() > 0)


TASK = Task(
    "stage1", rectify_samples, targets, measure, is_positive,
    {
        "node": {"heatmap_focal": 1.0}, "offset": {"smooth_l1": 4.0}, "zero": {"bce": 2.0},
        "start": {"heatmap_focal": 1.0}, "end": {"heatmap_focal": 0.5}, "pulse": {"bce": 6.0},
        "paper": {"bce": 0.3}, "label": {"heatmap_focal": 1.0},
    },
)  # fmt: skip
