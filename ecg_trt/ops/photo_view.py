"""The photo at a size for pictures that people look at."""

from __future__ import annotations

import numpy as np

from ecg_trt.ops.base import ImageOps
from ecg_trt.types import Array, PhotoView

VIEW_PX = 1280
"""Longer side of a view at most: for this, the pixel work on a GPU has memory from the start (stage 1's input)."""


def view_of(ops: ImageOps, image: Array) -> PhotoView:
    """Reduce a photo, and bring it to the host.

    Args:
        ops: the pixel work.
        image: (H, W, 3) uint8, where the pixel work has it.
    """
    height, width = image.shape[:2]
    scale = min(1.0, VIEW_PX / max(height, width))
    if scale == 1.0:
        return PhotoView(ops.download(image)[0], scale)
    shift = 0.5 * scale - 0.5  # Pixels are resampled by their edges.
    view_from_photo = np.array([[scale, 0, shift], [0, scale, shift], [0, 0, 1.0]])
    hw = max(1, round(height * scale)), max(1, round(width * scale))
    return PhotoView(ops.download(ops.warp_homography(image, view_from_photo, hw))[0], scale)
