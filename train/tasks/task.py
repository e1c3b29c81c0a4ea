"""Description of one network's training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from train.config import Data
from train.data.echo import Vary, photometric
from train.data.samples import Sample
from train.data.signals import open_signals
from train.data.user_dataset import KIT, PHYSIONET
from train.losses import Maps, Targets

__all__ = ["KIT", "PHYSIONET", "Task"]


@dataclass(frozen=True, slots=True)
class Task:
    """Samples, targets and defaults of one stage; `train.tasks.TASKS` lists them all.

    Attributes:
        stage: name, as in `train.models.STAGES`.
        make: samples of one page: takes a generator, a source of pages and, by keyword, the ``kind`` of picture.
        targets: a batch's truth as the target of each head.
        measure: network output and truth to metrics that a person understands, on validation batches.
        is_positive: tells if a sample shows what the stage looks for.
        loss: head to loss to its weight, by default.
        batch: samples a step, by default.
        user_layouts: layouts of a user dataset whose truth serves this stage.
        vary: changes the appearance of a batch that is shown again.
        open_source: opens what `make` draws from: takes the settings of the data, and true for the validation's part.
    """

    stage: str
    make: Callable[..., list[Sample]]
    targets: Callable[[Maps], Targets]
    measure: Callable[[Maps, Maps], dict[str, float]]
    is_positive: Callable[[Sample], bool]
    loss: Mapping[str, Mapping[str, Any]]
    batch: int = 8
    user_layouts: tuple[str, ...] = (KIT,)
    vary: Vary = photometric
    open_source: Callable[[Data, bool], Any] = open_signals
