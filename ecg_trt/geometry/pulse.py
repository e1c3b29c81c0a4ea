"""The calibration pulse: a rectangle of 1 mV and 0.2 s."""

from __future__ import annotations

import numpy as np

from ecg_trt.types import Array

_HEIGHT_MM = (3.0, 25.0)
_WIDTH_MM = (2.0, 14.0)
_RISE_MM = 1.5  # the pen's flank, 10 to 90 %
_ROUGHNESS = 0.08  # of the height, allowed along the plateau and the foot


def measure_pulse(row: Array, px_per_mm: tuple[float, float] | float) -> tuple[float, float] | None:
    """Measures a rectangular pulse in a piece of a trace.

    The trace is split at half height between its lowest and highest level; the longest stretch above counts.
    It is a pulse if the plateau and the foot beside it are level, both flanks are steep, and the size is
    possible. Waves of the heart fail on the plateau.

    Args:
        row: (n,) rows of the trace, px, downwards, NaN = missing. The piece should hold little besides the
            pulse.
        px_per_mm: (x, y) of the page, or one number for both.

    Returns:
        (height_mm, width_mm), the width at half height; None if there is no such pulse.
    """
    sx, sy = (px_per_mm, px_per_mm) if isinstance(px_per_mm, (int, float)) else px_per_mm
    rows = np.asarray(row, np.float64)
    held = np.flatnonzero(np.isfinite(rows))
    if held.size < 3 * sx:
        return None
    rows = rows[held[0] : held[-1] + 1]
    at = np.arange(len(rows))
    good = np.isfinite(rows)
    up = -np.interp(at, at[good], rows[good]) / sy

    middle = 0.5 * (up.min() + up.max())
    span = _longest(up > middle)
    if span is None:
        return None
    start, end = span
    if start == 0 or end == len(up):
        return None
    inset = int(np.ceil(0.5 * sx))
    plateau = up[start + inset : end - inset]
    reach = int(np.ceil(2.5 * sx))
    foot = np.concatenate([up[max(start - reach, 0) : max(start - inset, 0)], up[end + inset : end + reach]])
    if plateau.size < sx or foot.size < 0.5 * sx:
        return None
    low, high = float(np.median(foot)), float(np.median(plateau))
    height = high - low
    left, right = _crossing(up, start, low + 0.5 * height, -1), _crossing(up, end - 1, low + 0.5 * height, 1)
    width = (right - left) / sx
    if not (_HEIGHT_MM[0] <= height <= _HEIGHT_MM[1] and _WIDTH_MM[0] <= width <= _WIDTH_MM[1]):
        return None
    rough = max(_spread(plateau), _spread(foot))
    if rough > _ROUGHNESS * height or not _steep(up, left, right, low, height, _RISE_MM * sx):
        return None
    return height, float(width)


def _longest(above: Array) -> tuple[int, int] | None:
    """(start, end) of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], above, [False]]).astype(np.int8)))
    if not edges.size:
        return None
    k = int(np.argmax(edges[1::2] - edges[::2]))
    return int(edges[2 * k]), int(edges[2 * k + 1])


def _crossing(up: Array, inside: int, level: float, outward: int) -> float:
    """Where the trace goes through the level, walking outwards from a sample inside the pulse; sub-pixel."""
    k = inside
    while up[k] < level and 0 < k - outward < len(up) - 1:
        k -= outward
    while 0 <= k + outward < len(up) and up[k + outward] >= level:
        k += outward
    beyond = k + outward
    if not 0 <= beyond < len(up) or up[k] == up[beyond]:
        return float(k)
    return k + outward * float((up[k] - level) / (up[k] - up[beyond]))


def _spread(values: Array) -> float:
    """Half the range of the middle nine tenths."""
    low, high = np.quantile(values, [0.05, 0.95])
    return 0.5 * float(high - low)


def _steep(up: Array, left: float, right: float, low: float, height: float, limit_px: float) -> bool:
    """Whether both flanks come from 10 to 90 % of the height within the limit."""
    for edge, inward in ((left, 1), (right, -1)):
        inner, outer = round(edge + inward * 0.5 * limit_px), round(edge - inward * 0.5 * limit_px)
        if not (0 <= inner < len(up) and 0 <= outer < len(up)):
            return False
        if up[inner] < low + 0.9 * height - 0.02 * height or up[outer] > low + 0.12 * height:
            return False
    return True
