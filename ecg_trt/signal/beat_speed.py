"""Paper speed from the beats: on faster paper they lie farther apart and are broader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecg_trt.layout import PAPER_SPEEDS_MM_PER_S, STANDARD_SPEED_MM_PER_S
from ecg_trt.signal.beats import find_beats, steepness
from ecg_trt.types import Array, RectifiedPage, Strip, TraceMap


@dataclass(frozen=True, slots=True)
class _SpeedDiscriminant:
    """Linear discriminant of log10 of three features: distance of beats, breadth of beats, and slope/height ratio.

    Each doubling of the speed moves the means of the features by the same distance; their spread is that of hearts, and
    the same at all speeds.

    It was fitted to 798 records of PTB-XL (CC BY 4.0), laid out as 3x4+1 pages at 25 and at 50 mm/s. Log-odds of 4 and
    more are given to 0.9 % of the pages at 25 mm/s, and to 86 % of those at 50 mm/s.

    Attributes:
        weight: of each feature.
        middle: value of each feature at which both speeds are equally likely.
    """

    weight: tuple[float, float, float] = (31.6, 10.7, -13.2)
    middle: tuple[float, float, float] = (1.465, 0.084, 0.278)

    def __call__(self, features: Sequence[float]) -> Array:
        """Log-likelihood (speeds,) of `PAPER_SPEEDS_MM_PER_S` against 25 mm/s."""
        away = np.log10(np.maximum(features, 1e-3)) - np.array(self.middle)
        log_odds = float(np.array(self.weight) @ away)
        apart = np.log10(2) * float(np.array(self.weight) @ _WITH_SPEED)  # Squared distance of 50 from 25, in spreads.
        doublings = np.log2(np.array(PAPER_SPEEDS_MM_PER_S) / STANDARD_SPEED_MM_PER_S)
        return np.asarray(doublings * (log_odds + apart / 2) - doublings**2 * apart / 2)


_WITH_SPEED = np.array([1.0, 1.0, -1.0])  # Powers of the speed to which the features are proportional.
_DISCRIMINANT = _SpeedDiscriminant()
_RANGE = (1, 99)  # Percentiles of a curve's heights between which its range is measured.
_LEAST_BEATS = 3
_STEP_MM = 0.1  # Between two heights whose slope is measured, as in the records that the discriminant was fitted to.
_AROUND_MM = 5.0  # Window on either side of a beat in which its breadth is measured.
_BORDER_MM = 0.5  # Columns this near to the border of a lead are left out.


def heights_mm(page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap) -> Array:
    """Heights (strips, W) of the pen above the zero line in every column of the page, mm, NaN near borders of leads."""
    x = page.x_mm(np.arange(trace.ridge_row.shape[1]))
    rows = []
    for strip, row in zip(strips, trace.ridge_row, strict=True):
        inside = np.zeros(len(x), bool)
        for segment in strip.segments:
            inside |= (x > segment.x_mm[0] + _BORDER_MM) & (x < segment.x_mm[1] - _BORDER_MM)
        rows.append(np.where(inside, strip.zero_y_mm - page.y_mm(row), np.nan))
    return np.array(rows).reshape(len(strips), -1)


def curve_height_mm(height: Array) -> float:
    """Median over the rows (rows, W), mm, of the range of their curves; 0 if nothing is seen."""
    seen = height[np.isfinite(height).any(1)]
    return float(np.median(np.diff(np.nanpercentile(seen, _RANGE, axis=1), axis=0))) if len(seen) else 0.0


def speed_log_likelihoods(height: Array, px_per_mm: float) -> Array:
    """Log-likelihood (speeds,) of the beats at each of `PAPER_SPEEDS_MM_PER_S`, 0 at 25 mm/s.

    Args:
        height: (rows, W) mm, rows that show one time, NaN where nothing is seen.
        px_per_mm: columns a mm.

    Returns:
        Zeros where there are fewer than three beats.
    """
    nothing = np.zeros(len(PAPER_SPEEDS_MM_PER_S))
    step = max(1, round(_STEP_MM * px_per_mm))
    count = height.shape[1] // step
    height, px_per_mm = height[:, : count * step].reshape(len(height), count, step).mean(2), px_per_mm / step
    beats = find_beats(height, px_per_mm * STANDARD_SPEED_MM_PER_S)
    around = round(_AROUND_MM * px_per_mm)
    whole = [k for k in beats if around <= k < height.shape[1] - around]
    if len(whole) < _LEAST_BEATS:
        return nothing
    steep = steepness(height)
    rest = float(np.nanmedian(steep))
    windows = np.stack([steep[k - around : k + around + 1] for k in whole])
    median_beat = np.median(np.where(np.isfinite(windows), windows, rest), axis=0)
    energy = np.maximum(median_beat**2 - rest**2, 0).cumsum()
    if not energy[-1] > 0:
        return nothing
    low, high = (np.interp(share, energy / energy[-1], np.arange(len(energy))) for share in (0.1, 0.9))
    ratios = [_slope_height_ratio(row) for row in height if np.isfinite(row).sum() > around]
    ratio = float(np.median(ratios)) * px_per_mm
    features = [float(np.median(np.diff(beats))) / px_per_mm, (high - low) / px_per_mm, ratio]
    return _DISCRIMINANT(features)


def _slope_height_ratio(row: Array) -> float:
    """RMS slope over RMS height, 1 / column."""
    return float(np.nanstd(np.gradient(row)) / max(float(np.nanstd(row)), 1e-6))
