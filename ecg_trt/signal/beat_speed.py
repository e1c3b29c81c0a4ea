"""What the waves say of paper speed: on faster paper beats lie farther apart, and are broader."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecg_trt.layout import STANDARD_SPEED_MM_PER_S
from ecg_trt.signal.beats import find_beats, steepness
from ecg_trt.types import Array, RectifiedPage, Strip, TraceMap

# A linear discriminant between 798 records of PTB-XL (CC BY 4.0) laid out as 3x4+1 pages at 25 and at 50 mm/s. Of those
# at 25 mm/s it gives 0.9 in 100 odds of e^4 and more, of those at 50 mm/s 86 in 100.
_WEIGHT = np.array([31.6, 10.7, -13.2])  # of the features, in their order
_MIDDLE = np.array([1.465, 0.084, 0.278])
_MOST = 10.0  # odds are believed up to e^10
_LEAST_BEATS = 3
_AROUND_MM = 5.0  # of a beat that is looked at for its breadth
_BORDER_MM = 0.5  # beside the borders of leads


def heights_mm(page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap) -> Array:
    """(strips, W) mm above the zero line in every column of the page, NaN beside the borders of leads."""
    x = page.x_mm(np.arange(trace.ridge_row.shape[1]))
    rows = []
    for strip, row in zip(strips, trace.ridge_row, strict=True):
        inside = np.zeros(len(x), bool)
        for segment in strip.segments:
            inside |= (x > segment.x_mm[0] + _BORDER_MM) & (x < segment.x_mm[1] - _BORDER_MM)
        rows.append(np.where(inside, strip.zero_y_mm - page.y_mm(row), np.nan))
    return np.array(rows).reshape(len(strips), -1)


def fast_odds(height: Array, px_per_mm: float) -> float:
    """Natural logarithm of the odds that a page was printed at 50 mm/s and not at 25, both as likely beforehand.

    Args:
        height: (rows, W) mm, rows that show the same time, NaN where nothing is seen.
        px_per_mm: columns a mm.

    Returns:
        0 where there are fewer than three beats.
    """
    beats = find_beats(height, px_per_mm * STANDARD_SPEED_MM_PER_S)
    around = round(_AROUND_MM * px_per_mm)
    whole = [k for k in beats if around <= k < height.shape[1] - around]
    if len(whole) < _LEAST_BEATS:
        return 0.0
    steep = steepness(height)
    rest = float(np.nanmedian(steep))
    windows = np.stack([steep[k - around : k + around + 1] for k in whole])
    usual = np.median(np.where(np.isfinite(windows), windows, rest), axis=0)
    energy = np.maximum(usual**2 - rest**2, 0).cumsum()
    if not energy[-1] > 0:
        return 0.0
    low, high = (np.interp(share, energy / energy[-1], np.arange(len(energy))) for share in (0.1, 0.9))
    fineness = float(np.median([_fineness(row) for row in height if np.isfinite(row).sum() > around])) * px_per_mm
    features = [np.median(np.diff(beats)) / px_per_mm, (high - low) / px_per_mm, fineness]
    odds = float(_WEIGHT @ (np.log10(np.maximum(features, 1e-3)) - _MIDDLE))
    return float(np.clip(odds, -_MOST, _MOST))


def _fineness(row: Array) -> float:
    """RMS slope over RMS height, 1 / column."""
    return float(np.nanstd(np.gradient(row)) / max(float(np.nanstd(row)), 1e-6))
