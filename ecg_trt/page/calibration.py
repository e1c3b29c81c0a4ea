"""Paper speed and gain of a page: from its user, its pulses, its print, its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ecg_trt.config import AUTO, Options
from ecg_trt.ops.base import ImageOps
from ecg_trt.page.naming import Naming
from ecg_trt.page.pulses import read_pulses, stroke_windows
from ecg_trt.page.scales import Scales, read_scales
from ecg_trt.stages.rectify import PageMarks
from ecg_trt.types import Array, RectifiedPage, Strip


class ReadScales:
    """Gathers all that a page says about its scales.

    Args:
        ops: pixel work.
        options: `speed` and `gain`, where they are given.
    """

    def __init__(self, ops: ImageOps, options: Options) -> None:
        self.ops = ops
        self.speed, self.gain = (None if value == AUTO else float(value) for value in (options.speed, options.gain))

    @property
    def are_given(self) -> bool:
        """Whether there is nothing to be read."""
        return self._given is not None

    @property
    def _given(self) -> Scales | None:
        return None if self.speed is None or self.gain is None else Scales(self.speed, self.gain, (), ())

    def __call__(self, printed: Mapping[str, float], marks: PageMarks, naming: Naming, page: RectifiedPage,
                 strips: Sequence[Strip]) -> Callable[[float], Scales]:  # fmt: skip
        """Speed and gain, given what the waves say of speed (`signal.beat_speed.fast_odds`), 0 before there are any.

        Args:
            printed: what `Caption` reads.
            marks: what stage 1 saw.
            naming: strips and layout, as they were found in the marks.
            page: the flat page, by a lattice that may be a finer one.
            strips: the same strips on that page.
        """
        given = self._given
        if given is not None:
            return lambda odds: given
        pulses = read_pulses(marks.pulse, naming.strips, self._windows(page, strips), page.px_per_mm)
        return lambda odds: read_scales(printed, pulses, naming, waves=odds, speed=self.speed, gain=self.gain)

    def _windows(self, page: RectifiedPage, strips: Sequence[Strip]) -> tuple[Array, Array]:
        """Two times (strips, h, w, 3) uint8 on the host: around the strips' beginnings, and around their ends."""
        (first, hw), (last, _) = (stroke_windows(strips, side, page.origin_mm, page.px_per_mm) for side in (0, 1))
        (windows,) = self.ops.download(self.ops.cut(page.image, np.concatenate([first, last]), hw))
        return windows[: len(strips)], windows[len(strips) :]
