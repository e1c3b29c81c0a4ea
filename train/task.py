"""What distinguishes one stage's training from another's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from train.data.echo import Vary, photometric
from train.data.samples import Sample
from train.losses import Maps, Targets


@dataclass(frozen=True, slots=True)
class Task:
    """One stage.

    Attributes:
        stage: name in `train.models.STAGES`.
        make: samples of one page: a generator, a source of pages and, by keyword, the ``kind`` of picture.
        targets: a batch's truth to what each head should answer.
        measure: network output and truth to figures a person understands, on validation batches.
        is_positive: whether a sample shows what the stage looks for.
        takes_own_pages: whether the truth of one's own pages tells what the stage looks for.
        vary: gives a batch that is shown again another look.
    """

    stage: str
    make: Callable[..., list[Sample]]
    targets: Callable[[Maps], Targets]
    measure: Callable[[Maps, Maps], dict[str, float]]
    is_positive: Callable[[Sample], bool]
    takes_own_pages: bool = True
    vary: Vary = photometric
