"""The photo with the outline of the flat page in it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ecg_trt.geometry.grid import grid_taps
from ecg_trt.types import Array, GridWarp, PhotoView, RectifiedPage

_OUTLINE, _HALO = (0, 70, 230), (255, 255, 255)
_PEN_SHARE = 0.003  # Width of the outline, of the picture's longer side.
_SHIFT = 4  # OpenCV takes coordinates in 1/16 px.


def draw_photo(photo: PhotoView, grid: GridWarp, page: RectifiedPage) -> Array:
    """Draw the photo, and in it the outline of the part of the page that was flattened.

    Args:
        photo: to draw on.
        grid: of the paper in the photo.
        page: the flat page.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    canvas = photo.image.copy()
    pen = max(1, round(_PEN_SHARE * max(canvas.shape)))
    most = np.array(canvas.shape[1::-1]) - 1 - pen
    # What lies outside the photo is drawn along its rim.
    outline = _fixed_point(photo.points(page_outline(grid, page)).clip(pen, most))
    for colour, width in ((_HALO, 2 * pen), (_OUTLINE, pen)):
        cv2.polylines(canvas, [outline], True, colour, width, cv2.LINE_AA, _SHIFT)
    return canvas


def page_outline(grid: GridWarp, page: RectifiedPage) -> Array:
    """Find the border of the flat page in the photo.

    Args:
        grid: of the paper in the photo.
        page: the flat page.

    Returns:
        (n, 2) photo px, clockwise on the page, as far as the grid goes.
    """
    rows, columns = (np.arange(n) for n in page.seen.shape)
    taps = grid_taps(grid.node_xy, grid.mm_per_cell, page.origin_mm, page.px_per_mm, page.seen.shape)
    within = np.flatnonzero(taps.y.cell >= 0), np.flatnonzero(taps.x.cell >= 0)
    if not all(side.size for side in within):
        return np.empty((0, 2))
    top, bottom = taps.places(within[0][[0, -1]], columns)
    left, right = taps.places(rows, within[1][[0, -1]]).transpose(1, 0, 2)
    border = np.concatenate((top, right, bottom[::-1], left[::-1]))
    return border[np.isfinite(border).all(-1)]


def fill_polygons(canvas: Array, polygons: Sequence[Array]) -> None:
    """Fill polygons, each (n, 2) px, with 1; where they overlap an even number of times, nothing is filled."""
    cv2.fillPoly(canvas, [_fixed_point(points) for points in polygons], 1, cv2.LINE_8, _SHIFT)


def _fixed_point(points: Array) -> Array:
    """Convert points (n, 2) to what OpenCV draws in 1/16 px: (n, 1, 2) int32."""
    return np.rint(points * 2**_SHIFT).astype(np.int32)[:, None]
