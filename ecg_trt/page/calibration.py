"""Signs of paper speed and gain on a page: its print, its pulses and its rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecg_trt.ops.base import ImageOps
from ecg_trt.page.naming import Naming
from ecg_trt.page.pulses import find_pulses, stroke_windows
from ecg_trt.page.scales import ScaleSigns
from ecg_trt.stages.caption import Printed
from ecg_trt.stages.rectify import PageHeatmaps
from ecg_trt.types import Array, RectifiedPage, Strip


class CalibrationReader:
    """Reader of what a page shows of its paper speed and gain before its traces are known.

    Args:
        ops: pixel work.
    """

    def __init__(self, ops: ImageOps) -> None:
        self.ops = ops

    def __call__(self, printed: Printed, heatmaps: PageHeatmaps, naming: Naming, page: RectifiedPage) -> ScaleSigns:
        """Gather what a page shows of its scales before its traces are known.

        Args:
            printed: what `Caption` reads.
            heatmaps: heatmaps of stage 1, in the frame of `page`.
            naming: strips and layout, in the same frame.
            page: the flat page.
        """
        pulses = find_pulses(heatmaps.pulse, naming.strips, self._windows(page, naming.strips), page.px_per_mm)
        return ScaleSigns(printed, pulses, naming.longest_mm, naming.layout.seconds if naming.is_known else 0.0)

    def _windows(self, page: RectifiedPage, strips: Sequence[Strip]) -> tuple[Array, Array]:
        """Crop windows around the strips' beginnings and their ends, each (strips, h, w, 3) uint8 on the host."""
        (first, hw), (last, _) = (stroke_windows(strips, side, page.origin_mm, page.px_per_mm) for side in (0, 1))
        (windows,) = self.ops.download(self.ops.crop_tiles(page.image, np.concatenate([first, last]), hw))
        return windows[: len(strips)], windows[len(strips) :]
