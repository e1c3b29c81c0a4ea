"""Paper speed and gain of a page: from its user, its pulses, its print, its rows."""

from __future__ import annotations

from collections.abc import Sequence

from ecg_trt.config import AUTO, Options
from ecg_trt.geometry.naming import Naming
from ecg_trt.geometry.pulses import read_pulses, stroke_windows
from ecg_trt.geometry.scales import Scales, read_scales
from ecg_trt.ops.base import ImageOps
from ecg_trt.stages.caption import Caption
from ecg_trt.stages.rectify import PageMarks
from ecg_trt.types import Array, GridWarp, Photo, RectifiedPage, Strip


class ReadScales:
    """Gathers all that a page says about its scales.

    Args:
        caption: reads what is printed.
        ops: pixel work.
        options: `speed` and `gain`, where they are given.
    """

    def __init__(self, caption: Caption, ops: ImageOps, options: Options) -> None:
        self.caption, self.ops = caption, ops
        self.speed, self.gain = (None if value == AUTO else float(value) for value in (options.speed, options.gain))

    def __call__(self, photo: Photo, grid: GridWarp, marks: PageMarks, naming: Naming, page: RectifiedPage,
                 strips: Sequence[Strip]) -> Scales:  # fmt: skip
        """Speed and gain.

        Args:
            photo: the photo.
            grid: the lattice that the marks were brought to the page with.
            marks: what stage 1 saw.
            naming: strips and layout, as they were found in the marks.
            page: the flat page, by a lattice that may be a finer one.
            strips: the same strips on that page.
        """
        if self.speed is not None and self.gain is not None:
            return Scales(self.speed, self.gain, (), ())
        beginnings, ends = (self._windows(page, strips, side) for side in (0, 1))
        pulses = read_pulses(marks.pulse, naming.strips, (beginnings, ends), page.px_per_mm)
        printed = self.caption(photo, grid, marks.label)
        return read_scales(printed, pulses, naming, speed=self.speed, gain=self.gain)

    def _windows(self, page: RectifiedPage, strips: Sequence[Strip], side: int) -> Array:
        """(strips, h, w, 3) uint8 on the host, around the strips' beginnings or ends."""
        corners, hw = stroke_windows(strips, side, page.origin_mm, page.px_per_mm)
        (windows,) = self.ops.download(self.ops.cut(page.image, corners, hw))
        return windows
