"""Signs of paper speed and gain on a page: its print, its pulses and its rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecg_trt.ops.base import ImageOps
from ecg_trt.page.candidate import LocatedPage
from ecg_trt.page.pulses import ANY_PAPER_MM, find_pulses, stroke_windows
from ecg_trt.page.scales import ScaleSigns
from ecg_trt.stages.caption import Printed
from ecg_trt.types import Array, RectifiedPage, Strip

_MOST_ROWS = 0.5  # Share of the rows of the grid that must show a column of it.


class CalibrationReader:
    """Reader of what a page shows of its paper speed and gain before its traces are known.

    Args:
        ops: pixel work.
    """

    def __init__(self, ops: ImageOps) -> None:
        self.ops = ops

    def __call__(self, printed: Printed, located: LocatedPage, page: RectifiedPage) -> ScaleSigns:
        """Gather what a page shows of its scales before its traces are known.

        Args:
            printed: what `Caption` reads.
            located: the page.
            page: the flat page, in its frame.
        """
        naming, grid = located.naming, located.grid
        top, bottom = (round(naming.strips[k].zero_y_mm / grid.mm_per_cell) for k in (0, -1))
        columns = np.flatnonzero(grid.measured[top : bottom + 1].mean(0) > _MOST_ROWS)
        seen = (float(columns[0]), float(columns[-1])) if len(columns) else ANY_PAPER_MM
        paper_mm = grid.mm_per_cell * seen[0], grid.mm_per_cell * seen[1]
        windows = self._windows(page, naming.strips)
        pulses = find_pulses(located.heatmaps.pulse, naming.strips, windows, page.px_per_mm, paper_mm)
        return ScaleSigns(printed, pulses, naming.longest_mm, naming.layout.seconds if naming.is_known else 0.0)

    def _windows(self, page: RectifiedPage, strips: Sequence[Strip]) -> tuple[Array, Array]:
        """Crop windows around the strips' beginnings and their ends, each (strips, h, w, 3) uint8 on the host."""
        (first, hw), (last, _) = (stroke_windows(strips, side, page.origin_mm, page.px_per_mm) for side in (0, 1))
        (windows,) = self.ops.download(self.ops.crop_tiles(page.image, np.concatenate([first, last]), hw))
        return windows[: len(strips)], windows[len(strips) :]
