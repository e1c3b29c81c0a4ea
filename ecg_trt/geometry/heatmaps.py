"""Decoding of a network's heatmaps to points, and resampling of them to the page."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from ecg_trt.geometry.grid import dense_map
from ecg_trt.types import Array

_MOST_MOVE = 1.5  # Cells by which a predicted offset may move a peak; larger ones point at a neighbouring peak.


def sigmoid(logit: Array) -> Array:
    """Sigmoid of logits, in their own dtype."""
    return np.asarray(1 / (1 + np.exp(-logit)))


def peaks(heat: Array, offset: Array, threshold: float, stride: int) -> tuple[Array, Array]:
    """Find the peaks of a heatmap and move them by their offsets.

    Args:
        heat: (h, w) float32 in [0, 1].
        offset: (2, h, w), x and y from the centre of a cell to the point, cells.
        threshold: least height of a peak.
        stride: px a cell; cell k has its middle at px stride * k + (stride - 1) / 2.

    Returns:
        (N, 2) float64 px, and (N,) float64 heights.
    """
    high = (heat == cv2.dilate(heat, np.ones((3, 3), np.uint8))) & (heat > threshold)
    rows, cols = np.nonzero(high)
    move = np.clip(offset[:, rows, cols], -_MOST_MOVE, _MOST_MOVE)
    xy = stride * np.stack([cols + move[0], rows + move[1]], -1).astype(np.float64) + (stride - 1) / 2
    return xy, heat[rows, cols].astype(np.float64)


def heatmaps_on_page(heat: Mapping[str, Array], node_xy: Array, mm_per_cell: float, stride: int) -> dict[str, Array]:
    """Resample heatmaps to page mm, 1 px/mm, through the grid that was found in them.

    Args:
        heat: name to (C, h, w) float32.
        node_xy: (rows, cols, 2) canvas px of the grid's nodes.
        mm_per_cell: spacing of the grid, mm.
        stride: canvas px a cell of the heatmaps.

    Returns:
        Name to (C, H, W) float32: pixel (x, y) is page mm (x, y); 0 where there is no grid.
    """
    size = (int(mm_per_cell * (node_xy.shape[0] - 1)), int(mm_per_cell * (node_xy.shape[1] - 1)))
    where = dense_map(node_xy, mm_per_cell, (0.0, 0.0), (1.0, 1.0), size)
    # The cell -2 lies outside the map, where the border's 0 is read.
    cell = np.nan_to_num((where - (stride - 1) / 2) / stride, nan=-2.0).astype(np.float32)

    def bring(plane: Array) -> Array:
        return np.asarray(cv2.remap(plane, cell, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))

    return {name: np.stack([bring(plane) for plane in planes]) for name, planes in heat.items()}
