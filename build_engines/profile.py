"""What is to be built of a network: static shapes, and what its outputs mean to who compares them.

Any ONNX network can be built, given such a spec; the package's own are in `SPECS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ecg_trt.errors import BuildError
from ecg_trt.stages.scaling import (
    ALIGN_INPUT_PX,
    CAPTION_HW,
    CAPTION_PX_PER_MM,
    RECTIFY_PX_PER_MM,
    TRACE_PX_PER_MM,
    TRACE_TILE_HW,
)

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """One network to build.

    Attributes:
        stage: its name, for example "stage0".
        shapes: input name to static shape, the one optimization profile of the plan.
        px_per_mm: scale of the paper in its image along x and y, for pictures to compare on.
        ridge: the output (n, 1, H, W) of logits whose soft-argmax over H is a height in px, or "".
        presence: the output (n, W) of logits that tell in which columns the ridge counts, or "".
    """

    stage: str
    shapes: Mapping[str, Shape]
    px_per_mm: tuple[float, float] = (4.0, 4.0)
    ridge: str = ""
    presence: str = ""


SPECS = {
    spec.stage: spec
    for spec in (
        NetworkSpec("stage0", {"image": (1, ALIGN_INPUT_PX, ALIGN_INPUT_PX, 3)}, px_per_mm=(1.7, 1.7)),
        # Room for an A4 page at full scale, upright or lying.
        NetworkSpec("stage1", {"image": (1, 1280, 1280, 3)}, px_per_mm=(RECTIFY_PX_PER_MM, RECTIFY_PX_PER_MM)),
        # A 3x4+1 page has four strips of two tiles.
        NetworkSpec("stage2", {"image": (8, *TRACE_TILE_HW, 3)}, TRACE_PX_PER_MM, ridge="ridge", presence="presence"),
        NetworkSpec("caption", {"image": (1, *CAPTION_HW, 3)}, (CAPTION_PX_PER_MM, CAPTION_PX_PER_MM)),
    )
}


def spec_of(stage: str) -> NetworkSpec:
    """The spec of one of the package's networks.

    Raises:
        BuildError: there is none of this name.
    """
    if stage not in SPECS:
        raise BuildError(
            "The network cannot be built",
            got=f"stage {stage!r}",
            expected=f"one of {', '.join(SPECS)}",
            mend="Choose one of these, or leave --stage out to build all.",
        )
    return SPECS[stage]
