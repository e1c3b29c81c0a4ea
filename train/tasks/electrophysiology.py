"""Training of the networks of the heart: `python -m train.run train/experiments/activation.toml` or `potentials.toml`.

``activation`` gives the times at which 75 points of the heart are activated, ``potentials`` their transmembrane
potentials over half a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from ecg_trt.analysis.electrophysiology import ACTIVATION_MS, POTENTIAL_RANGE_MV
from train.data.heart.samples import heart_samples, open_beats, vary
from train.data.samples import Sample
from train.losses import Maps, Target, Targets
from train.tasks.task import Task


def targets(truth: Maps, *, head: str) -> Targets:
    """The values of all points; the mean over them is the loss."""
    return {head: Target(truth[head], torch.ones_like(truth[head]))}


def measure_activation(out: Maps, truth: Maps) -> dict[str, float]:
    """Mean absolute error, and that which nine beats in ten stay below, ms."""
    error = ACTIVATION_MS * (out["activation"] - truth["activation"]).abs().mean(1)
    return {"mean_error_ms": error.mean().item(), "p90_error_ms": error.quantile(0.9).item()}


def measure_potentials(out: Maps, truth: Maps) -> dict[str, float]:
    """Root mean square error and mean absolute error, mV."""
    error = POTENTIAL_RANGE_MV * (out["potentials"] - truth["potentials"])
    return {"rms_mv": error.square().mean().sqrt().item(), "mean_error_mv": error.abs().mean().item()}


def is_positive(sample: Sample) -> bool:
    """Every beat shows a heart."""
    return True


def _task(head: str, measure: Callable[[Maps, Maps], dict[str, float]], loss: Mapping[str, Any]) -> Task:
    return Task(head, partial(heart_samples, head=head), partial(targets, head=head), measure, is_positive,
                {head: {"smooth_l1": loss}}, batch=64, user_layouts=(), vary=vary, open_source=open_beats)  # fmt: skip


ACTIVATION = _task("activation", measure_activation, {"weight": 10.0, "beta": 0.02})
# Differences are below 1, so that this is half of the mean square.
POTENTIALS = _task("potentials", measure_potentials, {"weight": 100.0, "beta": 1.0})
