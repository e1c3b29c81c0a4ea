"""Scales and strides on which networks, training data and decoding agree."""

from __future__ import annotations

import math
from typing import Any

ALIGN_INPUT_PX = 512
ALIGN_STRIDE = 8
ALIGN_LOG_SCALE_UNIT = math.log(1.5)  # the network predicts log(px per mm) less this

RECTIFY_PX_PER_MM = 4.0
RECTIFY_STRIDE = 4
RECTIFY_MAX_PX = 960 * 1216

TRACE_PX_PER_MM = (10.0, 4.5)  # along time, along voltage: a tile reaches 3.5 mV up and down at 10 mm/mV
TRACE_TILE_HW = (320, 1344)

LARGE_BOX_MM = 5.0


def cell_centre(index: Any, stride: int) -> Any:
    """Pixel coordinate of the middle of output cell `index` (number or array); pixel centres lie at integers."""
    return stride * index + (stride - 1) / 2
