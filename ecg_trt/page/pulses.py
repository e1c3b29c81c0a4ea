"""Calibration pulses (1 mV, 0.2 s), whose size measures paper speed and gain.

They are detected twice: in a network's heatmap, and by the strokes of the pen on the flat page. All pulses of a page
are alike and stand at the ends of its rows, so that their windows are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from ecg_trt.layout import (
    COMMON_GAINS_MM_PER_MV,
    COMMON_SPEEDS_MM_PER_S,
    PULSE_SECONDS,
)
from ecg_trt.stages.rectify import ROW_MM, SIDE_MM
from ecg_trt.types import Array, Strip

_ENOUGH_PULSES = 2  # Pulses that must be seen, since a single patch may be anything.
_PULSE_SEEN, _MEAN_SEEN = 0.25, 0.3  # Least response at the centre of a pulse, and of their mean.
_NARROW_MM, _NARROW_SEEN = 4.0, 0.7  # Narrower patches are letters, unless their response is so high.
_PULSE_REACH_MM, _PULSE_SLACK_MM = 25, 2  # Distance of a pulse from a strip's end at most, and error of that end.
_BEFORE_MM = (_PULSE_REACH_MM, _PULSE_SLACK_MM)  # From the left of a window to the beginning, or end, of its strip.
ANY_PAPER_MM = (-np.inf, np.inf)
"""Extent of paper of which no edge is known."""
_PULSE_RISE_MM = round(max(COMMON_GAINS_MM_PER_MV)) + 3
_EDGE_MM = 3.0  # Distance from the last nodes that are seen within which a pulse may be cut.
_PULSE_FEET_MM = 5  # Distance by which the lower end of a pulse may miss the zero line.

# Window in which strokes are sought: reach beyond a strip's end, reach within the strip, depth below its zero line.
_BESIDE_MM, _WITHIN_MM, _DEEP_MM = SIDE_MM - 1.0, 2.0, 5.0
_FEET_MM = 1.5  # Error of the zero line at most.
_WIDE_MM, _HIGH_MM = 0.3, 0.2  # Strokes are thickened by this, as those of several rows do not meet exactly.
_INSET_MM = 0.7  # Distance from the strokes of a pulse to its inside, which should be empty.
_ABOVE_MM = 2.0  # Height of the stretch over its top that should be empty, too.
_LINE_SHARE = 0.28  # Quantile along a line of the paper that measures its darkness: pen covers less than the rest.
# Greatest darkness of lines, as a share of the pen's; or as a multiple of the darkness of the lines on the page's other
# side, where that is the given quantile of its columns.
_LINE_DARK, _LINE_COLUMNS, _LINE_ALIKE = 0.6, 0.9, 1.3
_PAPER_MM, _SMOOTH_MM = 1.2, 3.0  # Wider dark areas are paper and no ink; sigma of the light's changes on the paper.
_SMOOTH_PX_PER_MM = 2.0  # Scale at which light is smoothed.
_PEN_SHARE, _LEAST_PEN = 0.985, 30.0  # Quantile of darkness that counts as the pen's, and its least value.


@dataclass(frozen=True, slots=True)
class PulseSigns:
    """Signs of a page's calibration pulses.

    Attributes:
        ink: (speeds, gains) of `COMMON_SPEEDS_MM_PER_S` and `COMMON_GAINS_MM_PER_MV`: ink along the outline of such a
            pulse, 0..1.
        width_mm: of the mean pulse on the heatmap, at half of its height; 0 where there is none.
        height_mm: likewise.
        response: of the heatmap to it, 0..1.
        is_cut: it ends where the paper that is seen does, and may be wider.
    """

    ink: Array
    width_mm: float = 0.0
    height_mm: float = 0.0
    response: float = 0.0
    is_cut: bool = False


def find_pulses(
    pulse: Array, strips: Sequence[Strip], strokes: tuple[Array, Array], px_per_mm: tuple[float, float],
    paper_mm: tuple[float, float] = ANY_PAPER_MM,
) -> PulseSigns:  # fmt: skip
    """Look for calibration pulses at the ends of the strips.

    Args:
        pulse: (H, W) map of the insides of pulses at 1 px/mm of page mm.
        strips: rows of the page; a pulse stands on a row's zero line, before its beginning or behind its end.
        strokes: (strips, h, w, 3) uint8 RGB, flat windows on the beginnings of the strips, and on their ends, as
            `stroke_windows` cuts them.
        px_per_mm: (x, y) of the windows.
        paper_mm: page mm, along the rows, between which the paper is seen.
    """
    return PulseSigns(ink_of_pulses(strokes, px_per_mm), *pulses_on_map(pulse, strips, paper_mm))


def stroke_windows(strips: Sequence[Strip], side: int, origin_mm: tuple[float, float],
                   px_per_mm: tuple[float, float]) -> tuple[Array, tuple[int, int]]:  # fmt: skip
    """Corners (strips, 2), top and left in page px, of the windows on the strips' beginnings or ends, and their (h, w).

    Args:
        strips: rows of the page.
        side: 0 for beginnings, 1 for ends.
        origin_mm: page mm (x, y) of page pixel (0, 0).
        px_per_mm: (x, y) of the page.
    """
    (sx, sy), (ox, oy) = px_per_mm, origin_mm
    beside = _WITHIN_MM if side else _BESIDE_MM
    corners = [((s.zero_y_mm - ROW_MM - oy) * sy, (s.x_mm[side] - beside - ox) * sx) for s in strips]
    hw = round((ROW_MM + _DEEP_MM) * sy), 4 * round((_BESIDE_MM + _WITHIN_MM) * sx / 4)
    return np.round(corners).astype(int), hw


def ink_of_pulses(strokes: tuple[Array, Array], px_per_mm: tuple[float, float]) -> Array:
    """Measure the ink (speeds, gains), 0..1, along the outline of such a pulse, less the ink inside and above it.

    Args:
        strokes: see `find_pulses`.
        px_per_mm: (x, y) of the windows.
    """
    dark = [_darkness(windows, px_per_mm) for windows in strokes]
    # Both sides have one pen, but a side may show none of it.
    pen = max(_LEAST_PEN, *(float(np.quantile(d, _PEN_SHARE)) for d in dark))
    # Lines of the paper run through all windows; so do tall pulses of near rows, on one side, as dark as the pen.
    across = [np.quantile(d.reshape(-1, d.shape[2]), _LINE_SHARE, axis=0) for d in dark]
    most = [max(_LINE_DARK * pen, _LINE_ALIKE * float(np.quantile(lines, _LINE_COLUMNS))) for lines in across[::-1]]
    upright = [np.minimum(lines, limit) for lines, limit in zip(across, most, strict=True)]
    means = [_ink(d, pen, lines, px_per_mm).mean(0) for d, lines in zip(dark, upright, strict=True)]
    sums = [np.pad(mean.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0))) for mean in means]
    return np.array([[max(_outline(total, PULSE_SECONDS * speed, gain, px_per_mm) for total in sums)
                      for gain in COMMON_GAINS_MM_PER_MV] for speed in COMMON_SPEEDS_MM_PER_S])  # fmt: skip


def _darkness(windows: Array, px_per_mm: tuple[float, float]) -> Array:
    """Darkness (n, h, w) float32 of each pixel relative to the paper around it."""
    sx, sy = px_per_mm
    paper = np.ones((_odd(_PAPER_MM * sy), _odd(_PAPER_MM * sx)), np.uint8)
    small = [round(n / s * _SMOOTH_PX_PER_MM) for n, s in zip(windows.shape[2:0:-1], px_per_mm, strict=True)]
    found = []
    for window in windows:
        grey = cv2.cvtColor(window, cv2.COLOR_RGB2GRAY)
        light = cv2.resize(cv2.dilate(grey, paper).astype(np.float32), small, interpolation=cv2.INTER_AREA)
        smooth = cv2.GaussianBlur(light, (0, 0), _SMOOTH_MM * _SMOOTH_PX_PER_MM)
        found.append(cv2.resize(smooth, grey.shape[::-1], interpolation=cv2.INTER_LINEAR) - grey)
    return np.stack(found)


def _ink(dark: Array, pen: float, upright: Array, px_per_mm: tuple[float, float]) -> Array:
    """Ink (n, h, w) float32 in [0, 1]: darkness of each pixel relative to the pen's, without the lines of the paper.

    `upright` (w,) is the darkness of the vertical lines.
    """
    sx, sy = px_per_mm
    along = np.quantile(dark, _LINE_SHARE, axis=2)
    dark = np.clip((dark - np.maximum(np.maximum(upright, along[..., None]), 0)) / pen, 0, 1)
    thick = np.ones((_odd(2 * _HIGH_MM * sy), _odd(2 * _WIDE_MM * sx)), np.uint8)
    return np.stack([cv2.dilate(plane, thick) for plane in dark])


def _odd(px: float) -> int:
    return 2 * round(px / 2) + 1


def _outline(total: Array, wide_mm: float, high_mm: float, px_per_mm: tuple[float, float]) -> float:
    """Measure the faintest of a pulse's three strokes, less the ink inside and above it, at the best place.

    Args:
        total: (h + 1, w + 1) float64, sums of the ink of all rows and columns before.
        wide_mm: width of the pulse.
        high_mm: its height.
        px_per_mm: (x, y).
    """
    sx, sy = px_per_mm
    w, h, zero = round(wide_mm * sx), round(high_mm * sy), round(ROW_MM * sy)
    inset_x, inset_y = round(_INSET_MM * sx), round(_INSET_MM * sy)
    places = total.shape[1] - 1 - w
    feet = np.arange(zero - round(_FEET_MM * sy), zero + round(_FEET_MM * sy) + 1)
    top = feet - h

    def box(top: Array, bottom: Array, left: int, right: int) -> Array:
        """Mean of rows [top, bottom) and columns [left + p, right + p), for each place p of a pulse in the window."""
        low, high = total[bottom], total[top]
        here, there = slice(left, left + places), slice(right, right + places)
        part = low[:, there] - high[:, there] - low[:, here] + high[:, here]
        return np.asarray(part / ((bottom - top) * (right - left))[:, None])

    left, right, roof = box(top, feet + 1, 0, 1), box(top, feet + 1, w, w + 1), box(top, top + 1, 0, w + 1)
    inside = box(top + inset_y, feet - inset_y, inset_x, w + 1 - inset_x)
    above = box(top - round(_ABOVE_MM * sy), top - inset_y + 1, 0, w + 1)
    found = np.minimum(np.minimum(left, right), roof) - np.maximum(inside, above)
    return max(0.0, float(found.max()))


def pulses_on_map(
    pulse: Array, strips: Sequence[Strip], paper_mm: tuple[float, float] = ANY_PAPER_MM
) -> tuple[float, float, float, bool]:
    """Measure the mean pulse on a heatmap at half of its height.

    The response to the half of a pulse next to the trace is often lower, so that it looks too narrow.

    Args:
        pulse: see `find_pulses`.
        strips: likewise.
        paper_mm: likewise.

    Returns:
        Width and height, mm; the response to it, 0..1; and whether it ends where the paper that is seen does. All is
        0 where there is no pulse.
    """
    means = [_mean_pulse(pulse, strips, side) for side in (0, 1)]
    for side in sorted((0, 1), key=lambda side: -means[side].max()):
        patch, response = _standing(means[side]), float(means[side].max())
        if patch is not None and (patch.width_mm >= _NARROW_MM or response >= _NARROW_SEEN):
            left_mm = float(np.median([s.x_mm[side] for s in strips])) - _BEFORE_MM[side]
            begins_early = left_mm + patch.left_mm < paper_mm[0] + _EDGE_MM
            ends_late = left_mm + patch.right_mm > paper_mm[1] - _EDGE_MM
            return patch.width_mm, patch.height_mm, response, ends_late if side else begins_early
    return 0.0, 0.0, 0.0, False


def _mean_pulse(pulse: Array, strips: Sequence[Strip], side: int) -> Array:
    """Mean heatmap (H', W') of the patches on the zero lines of one side; zeros if there are too few."""
    border = _PULSE_REACH_MM + _PULSE_RISE_MM
    padded = np.pad(pulse.astype(np.float32), border)
    height, width = _PULSE_RISE_MM + _PULSE_SLACK_MM + 1, _PULSE_REACH_MM + _PULSE_SLACK_MM
    windows = np.zeros((len(strips), height, width), np.float32)
    for window, strip in zip(windows, strips, strict=True):
        top = round(strip.zero_y_mm) - _PULSE_RISE_MM + border
        left = round(strip.x_mm[side]) - _BEFORE_MM[side] + border
        part = padded[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
        window[: part.shape[0], : part.shape[1]] = part
    strength = windows.max((1, 2), initial=0)
    strong = strength > max(_PULSE_SEEN, 0.5 * strength.max(initial=0))
    if strong.sum() < max(1, min(_ENOUGH_PULSES, len(strips))):
        return np.zeros((height, width), np.float32)
    return np.asarray(windows[strong].mean(0))


class _Patch(NamedTuple):
    """A patch of a heatmap: its size at half of its height, and where it begins and ends, mm."""

    width_mm: float
    height_mm: float
    left_mm: int
    right_mm: int


def _standing(mean: Array) -> _Patch | None:
    """Measure the greatest patch on the zero line; None if it is no pulse."""
    if mean.max() < _MEAN_SEEN:
        return None
    lit = mean > 0.5 * mean.max()
    stats = cv2.connectedComponentsWithStats(lit.astype(np.uint8), connectivity=4)[2][1:]
    x, y, w, h, area = (int(v) for v in stats[stats[:, cv2.CC_STAT_AREA].argmax()])
    # The foot of a pulse is often hidden by the beginning of the trace, its top is not.
    if not (area >= 8 and w >= 2 and h >= 3 and area > 0.5 * w * h and abs(y + h - _PULSE_RISE_MM) <= _PULSE_FEET_MM):
        return None
    return _Patch(float(np.median(lit[y : y + h, x : x + w].sum(1))), float(_PULSE_RISE_MM - y), x, x + w)
