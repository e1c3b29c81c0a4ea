"""Paper speed and gain of a page, from its user, its pulses, its print and its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ecg_trt.config import AUTO, ReadOptions
from ecg_trt.ops.base import ImageOps
from ecg_trt.page.naming import Naming
from ecg_trt.page.pulses import read_pulses, stroke_windows
from ecg_trt.page.scales import Scales, read_scales
from ecg_trt.stages.caption import Printed
from ecg_trt.stages.rectify import PageHeatmaps
from ecg_trt.types import Array, RectifiedPage, Strip


class ReadScales:
    """Reader of a page's paper speed and gain.

    Args:
        ops: pixel work.
    """

    def __init__(self, ops: ImageOps) -> None:
        self.ops = ops

    def __call__(
        self, printed: Printed, heatmaps: PageHeatmaps, naming: Naming, page: RectifiedPage,
        options: ReadOptions,
    ) -> Callable[[float], Scales]:  # fmt: skip
        """Read speed and gain, as a function of the log-odds of 50 mm/s that the beats give.

        The log-odds (`signal.beat_speed.speed_log_odds`) are known once the traces are; before that they are 0.

        Args:
            printed: what `Caption` reads.
            heatmaps: heatmaps of stage 1, in the frame of `page`.
            naming: strips and layout, in the same frame.
            page: the flat page.
            options: speed and gain, where the user gives them.
        """
        speed, gain = (None if value == AUTO else float(value) for value in (options.speed, options.gain))
        pulses = read_pulses(heatmaps.pulse, naming.strips, self._windows(page, naming.strips), page.px_per_mm)
        return lambda log_odds: read_scales(printed, pulses, naming, speed_log_odds=log_odds, speed=speed, gain=gain)

    def _windows(self, page: RectifiedPage, strips: Sequence[Strip]) -> tuple[Array, Array]:
        """Crop windows around the strips' beginnings and their ends, each (strips, h, w, 3) uint8 on the host."""
        (first, hw), (last, _) = (stroke_windows(strips, side, page.origin_mm, page.px_per_mm) for side in (0, 1))
        (windows,) = self.ops.download(self.ops.crop_tiles(page.image, np.concatenate([first, last]), hw))
        return windows[: len(strips)], windows[len(strips) :]
