"""Scales and strides on which networks, training data and decoding agree."""

from __future__ import annotations

import math
from typing import Any

from ecg_trt.layout import STANDARD_GAIN_MM_PER_MV
from ecg_trt.networks import NETWORKS

ALIGN_INPUT_PX = NETWORKS["stage0"].hw[0]
ALIGN_STRIDE = 8
ALIGN_LOG_SCALE_UNIT = math.log(1.5)  # The network predicts log(px per mm) less this.

RECTIFY_PX_PER_MM = NETWORKS["stage1"].px_per_mm[0]
RECTIFY_STRIDE = 4
RECTIFY_MAX_PX = 960 * 1216

FLAT_PX_PER_MM = (10.0, 4.5)  # Along x and y, at which the lines and pulses of the flat page are measured.
TRACE_PX_PER_MM = NETWORKS["stage2"].px_per_mm  # Along time, along voltage.
_TALL_PX_PER_MM = 3.2  # Along voltage at 20 mm/mV: a tile reaches 2.5 mV, and a pixel is 16 microvolts and not 22.
TRACE_TILE_HW = NETWORKS["stage2"].hw

CAPTION_PX_PER_MM = NETWORKS["caption"].px_per_mm[0]
CAPTION_HW = NETWORKS["caption"].hw
CAPTION_STRIDE = 2  # Along the line; across it, all rows are one.

BESIDE_GREY = 114  # Grey that fills a network's input where the photo shows nothing.


def trace_px_per_mm(gain_mm_per_mv: float) -> tuple[float, float]:
    """Scale of the page, along time and voltage, at which traces of this gain are read."""
    return TRACE_PX_PER_MM if gain_mm_per_mv <= STANDARD_GAIN_MM_PER_MV else (TRACE_PX_PER_MM[0], _TALL_PX_PER_MM)


def trace_reach_mm(px_per_mm: tuple[float, float]) -> float:
    """Height above and below a strip's zero line that its tiles show at this scale, mm."""
    return TRACE_TILE_HW[0] / 2 / px_per_mm[1]


def cell_centre(index: Any, stride: int) -> Any:
    """Pixel coordinate of the middle of output cell `index` (number or array); pixel centres lie at integers."""
    return stride * index + (stride - 1) / 2
