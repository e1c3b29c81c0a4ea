"""Unwrapping of offsets that are known up to a whole number of small boxes."""

from __future__ import annotations

import numpy as np

from ecg_trt.geometry.surface import median_of_finite
from ecg_trt.types import Array

_SMALL_BOX_MM = 1.0
_LEAST_PROMINENCE = 2.0  # Height of a line's peak, in units of the spread of the rest of its profile.
_STEPS = [(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if r or c]


def unwrapped(offset: Array, prominence: Array, measured: Array) -> Array:
    """Unwrap the offsets of lines at nodes that were not measured themselves, from the measured ones outwards.

    A line's place is found within half a small box, and the small boxes all look alike: where the continuation of a
    grid drifts by more, the line next to the right one is found. The drift is smooth, so that each node's offset is the
    one nearest to what its neighbours predict: the same offset, or the straight continuation of two.

    Args:
        offset: (m, n) mm.
        prominence: (m, n) of the lines, as of `LineOffsets`.
        measured: (m, n) bool, nodes whose offsets are right as they are.

    Returns:
        (m, n) mm, each of them `offset` or a whole number of small boxes more or less.
    """
    is_known = measured & (prominence > _LEAST_PROMINENCE)
    is_open = ~measured & (prominence > _LEAST_PROMINENCE)
    out = np.where(is_known, offset, np.nan)
    while is_open.any():
        predicted = _predictions(out)
        is_next = is_open & np.isfinite(predicted)
        if not is_next.any():
            break
        boxes = np.round((predicted[is_next] - offset[is_next]) / _SMALL_BOX_MM)
        out[is_next] = offset[is_next] + _SMALL_BOX_MM * boxes
        is_open &= ~is_next
    return np.where(np.isfinite(out), out, offset)


def _predictions(known: Array) -> Array:
    """Predict values (m, n) by the known ones next to them, NaN where there are none."""
    padded = np.pad(known, 2, constant_values=np.nan)
    m, n = known.shape

    def at(r: int, c: int) -> Array:
        return padded[2 + r : 2 + r + m, 2 + c : 2 + c + n]

    straight = np.stack([2 * at(r, c) - at(2 * r, 2 * c) for r, c in _STEPS])
    alike = np.stack([at(r, c) for r, c in _STEPS])
    best = median_of_finite(straight)
    return np.where(np.isfinite(best), best, median_of_finite(alike))
