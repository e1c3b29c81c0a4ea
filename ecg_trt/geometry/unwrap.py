"""Unwrapping of offsets that are known up to a whole number of small boxes."""

from __future__ import annotations

import cv2
import numpy as np

from ecg_trt.geometry.surface import median_of_finite
from ecg_trt.layout import SMALL_BOX_MM
from ecg_trt.types import Array

_LEAST_PROMINENCE = 2.0  # Height of a line's peak, in units of the spread of the rest of its profile.
_REACH = 2  # Rows and columns on either side of a node by which its offset is predicted.
_MEASURED_MM = 0.25  # Offset up to which a measured node predicts others; it may have been found on another line.
_CLEAR = 0.3  # Distance from the prediction, in small boxes, up to which an offset is not ambiguous.
_ENOUGH = 6  # Known nodes within reach that predict a node, while any has as many.


def unwrapped(offset: Array, prominence: Array, measured: Array) -> Array:
    """Unwrap the offsets of lines at nodes that were not measured themselves, from the measured ones outwards.

    A line's place is found within half a small box, and the small boxes all look alike: where the continuation of a
    grid drifts by more, the line next to the right one is found. The drift is smooth, so that each node's offset is the
    one nearest to what the nodes around it predict. One that is about midway between two stays, and predicts nothing.

    Args:
        offset: (m, n) mm.
        prominence: (m, n) of the lines, as of `LineOffsets`.
        measured: (m, n) bool, nodes whose offsets are right as they are.

    Returns:
        (m, n) mm, each of them `offset` or a whole number of small boxes more or less.
    """
    is_seen = prominence > _LEAST_PROMINENCE
    is_known, is_open = measured & is_seen & (np.abs(offset) < _MEASURED_MM), ~measured & is_seen
    out = np.where(is_known, offset, np.nan)
    while is_open.any():
        around = cv2.boxFilter(is_known.astype(np.float32), -1, (2 * _REACH + 1,) * 2, normalize=False,
                               borderType=cv2.BORDER_CONSTANT)  # fmt: skip
        around = np.rint(np.where(is_open, around, 0))
        if not around.any():
            break
        front = np.nonzero(around >= min(_ENOUGH, around.max()))
        off = (_predicted(out, *front) - offset[front]) / SMALL_BOX_MM
        is_clear = np.abs(off - np.round(off)) < _CLEAR
        out[front] = np.where(is_clear, offset[front] + SMALL_BOX_MM * np.round(off), np.nan)
        is_known[front], is_open[front] = is_clear, False
    return np.where(is_known, out, offset)


def _predicted(known: Array, rows: Array, cols: Array) -> Array:
    """Predict values (k,) by the plane through the known ones around each.

    Slopes are medians of the differences between neighbours, and the height is the median that they leave, so that
    single wrong values do not count.

    Args:
        known: (m, n), NaN = not known.
        rows: (k,) of the nodes, with known ones within reach.
        cols: (k,) likewise.
    """
    size = 2 * _REACH + 1
    padded = np.pad(known, _REACH, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))[rows, cols]
    x, y = (
        np.nan_to_num(median_of_finite(np.diff(windows, axis=axis).reshape(len(rows), -1).T))[:, None, None]
        for axis in (2, 1)
    )
    step = np.arange(-_REACH, _REACH + 1)
    height = windows - x * step - y * step[:, None]
    return median_of_finite(height.reshape(len(rows), -1).T)
