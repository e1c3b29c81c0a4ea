"""Time of the columns of a page: one after the other, or all of the same seconds.

Most devices print columns in sequence. Some print the same seconds in every column, and a longer rhythm strip below.
Under both readings beats should come at the same instants in all rows that are said to show one time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecg_trt.layout import LARGE_BOX_MM, is_unnamed
from ecg_trt.signal.beat_speed import heights_mm
from ecg_trt.signal.beats import find_beats, steepness
from ecg_trt.types import Array, PageWarning, RectifiedPage, Segment, Strip, TraceMap, WarningCode

_PRIOR = -5.0  # Log-odds of the same seconds in all columns, of one page in 150, before the beats are compared.
_LEAST_BEATS = 2  # In a column.
_BEAT_S = 0.004  # Error of the distance between two beats, mean absolute.
# Standard deviations of the distance between the steepest instants of one beat in two sets of leads, and of that with
# an error of the rows' beginnings; and the share of the latter.
_LEAD_S, _ROW_S, _ROW_SHARE = 0.015, 0.06, 0.2
_OTHER_SHARE = 0.05  # Of beats that are extra beats in one reading, noise, or not seen.
_STEADY_SHARE = 0.8  # Of pages whose rhythm goes on from column to column as its intervals say.
_STEPS = 400  # Of one interval, by which a rhythm may move from column to column.
_OTHER_COLUMN = 1e-4  # Probability that most beats of a column are.
_BOX_ERROR_MM = 0.5  # Distance from a whole number of large boxes at which a row is that long.
_BORDER_REACH_MM, _BORDER_SEEN = 1.5, 0.3  # Error of a row's beginning or end, and least response to a border.
# Rows of one time are steep at the same instants: log-odds of a difference of 1 between two correlations of their
# steepness, which is smoothed as broadly as a beat is; correlation that columns of one time have at least, 0.96 on two
# such pages; and lags that are tried.
_LIKENESS, _BEAT_BREADTH_S, _ALIKE, _LAGS = 12.0, 0.03, 0.85, 11
_MOST = 8.0  # Greatest log-odds that one column gives.


@dataclass(frozen=True, slots=True)
class ColumnTimes:
    """Strips placed in time, and the log-odds of the same seconds in all columns against one after the other."""

    strips: tuple[Strip, ...]
    log_odds: float

    @property
    def warnings(self) -> tuple[PageWarning, ...]:
        """Tell that columns were placed at one time."""
        if self.log_odds <= 0:
            return ()
        text = "Beats come at the same instants in all columns: they were placed at the same seconds, not in sequence."
        return (PageWarning(WarningCode.COLUMNS_SIMULTANEOUS, text),)


def place_columns(page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap, speed: float) -> ColumnTimes:
    """Place the columns of a page in time.

    Args:
        page: frame of the trace.
        strips: named strips.
        trace: rows of the pen.
        speed: paper speed, mm/s.

    Returns:
        The strips; where the columns show the same seconds, `Segment.earlier_mm` says so.
    """
    log_odds = _PRIOR + same_log_odds(page, strips, trace, speed)
    if log_odds <= 0:
        return ColumnTimes(tuple(strips), log_odds)
    placed = [
        replace(s, segments=tuple(replace(g, earlier_mm=g.x_mm[0] - s.segments[0].x_mm[0]) for g in s.segments))
        for s in strips
    ]
    return ColumnTimes(tuple(placed), log_odds)


def continue_rows(page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap, speed: float) -> tuple[Strip, ...]:
    """Place rows that carry one name, or none, one after the other, as watches and handheld recorders print them.

    Rows of equal length that show the same instants, as their beats tell, are different leads and stay beside each
    other.

    Arguments as of `place_columns`.

    Returns:
        The strips; rows that continue the one above carry the name of the first.
    """
    names = {g.lead for s in strips for g in s.segments}
    is_one = len(names) == 1 or all(is_unnamed(name) for name in names)
    if len(strips) < 2 or not is_one or any(len(s.segments) != 1 for s in strips):
        return tuple(strips)
    height, fs = heights_mm(page, strips, trace), page.px_per_mm[0] * speed
    rows = [_beats(height[k : k + 1], page.column(s.x_mm[0]), page.column(s.x_mm[1]), fs) for k, s in enumerate(strips)]
    length_s = min(s.x_mm[1] - s.x_mm[0] for s in strips) / speed
    same = _same_seconds(rows, [k * length_s for k in range(len(rows))], length_s)
    if same > 0:
        return tuple(strips)
    start, end = (_common_border(page, strips, trace, side) for side in (0, 1))
    boxes = LARGE_BOX_MM * round((end - start) / LARGE_BOX_MM)  # Rows go from one edge of the grid to the other.
    end = start + boxes if abs(boxes - (end - start)) < _BOX_ERROR_MM else end
    lead = strips[0].segments[0].lead
    return tuple(
        replace(s, x_mm=(start, end), segments=(Segment(lead, (start, end), earlier_mm=-k * (end - start)),))
        for k, s in enumerate(strips)
    )


def _common_border(page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap, side: int) -> float:
    """Find where rows that are alike begin or end, page mm: the median of the borders seen near there."""
    found = []
    for strip, border in zip(strips, trace.border, strict=True):
        first, last = page.columns_between((strip.x_mm[side] - _BORDER_REACH_MM, strip.x_mm[side] + _BORDER_REACH_MM))
        near = border[max(0, first) : max(0, last)]
        if near.max(initial=0) > _BORDER_SEEN:
            found.append(float(page.x_mm(max(0, first) + int(near.argmax()))))
    return float(np.median(found or [strip.x_mm[side] for strip in strips]))


def same_log_odds(page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap, speed: float) -> float:
    """Natural log-odds that all columns show the same seconds, from the beats alone; 0 where there are too few.

    Arguments as of `place_columns`.
    """
    most = max((len(s.segments) for s in strips), default=0)
    rows = [k for k, s in enumerate(strips) if len(s.segments) == most]
    if most < 2:
        return 0.0
    height = _from_one_start(heights_mm(page, strips, trace), page, strips)
    fs = page.px_per_mm[0] * speed
    shift = strips[0].x_mm[0] - strips[rows[0]].x_mm[0]
    edges, ends = ([page.column(g.x_mm[side] + shift) for g in strips[rows[0]].segments] for side in (0, 1))
    columns = [_beats(height[rows], a, b, fs) for a, b in zip(edges, ends, strict=True)]
    length_s = min(b - a for a, b in zip(edges, ends, strict=True)) / fs
    total = _same_seconds(columns, [(edge - edges[0]) / fs for edge in edges], length_s)
    rhythm = [k for k, s in enumerate(strips) if len(s.segments) == 1]
    shown = [_steepness(height[rows], a, b, fs) for a, b in zip(edges, ends, strict=True)]
    total -= sum(
        min(_MOST, _LIKENESS * max(0.0, _ALIKE - _likeness(shown[0], column, fs)))
        for beats, column in zip(columns[1:], shown[1:], strict=True)
        if min(len(columns[0]), len(beats)) >= _LEAST_BEATS
    )
    if rhythm:
        below = [_steepness(height[rhythm], a, b, fs) for a, b in zip(edges, ends, strict=True)]
        total += sum(
            _limited(_LIKENESS * (_likeness(below[0], column, fs) - _likeness(own, column, fs)))
            for own, column in zip(below[1:], shown[1:], strict=True)
        )
    return total


def _steepness(height: Array, start: float, end: float, fs: float) -> Array:
    """Smoothed steepness (n,) of rows between two columns of the page."""
    from scipy.ndimage import gaussian_filter1d

    part = _between(height, start, end)
    return gaussian_filter1d(np.nan_to_num(steepness(part)), _BEAT_BREADTH_S * fs) if part.size else np.zeros(0)


def _likeness(first: Array, other: Array, fs: float) -> float:
    """Greatest correlation of two courses (n,) with a lag that rows of one time may have; 0 for too short ones."""
    n, most = min(len(first), len(other)), round(_LEAD_S * fs)
    if n <= 4 * most or not (np.ptp(first) > 0 and np.ptp(other) > 0):
        return 0.0
    lags = np.unique(np.linspace(0, 2 * most, _LAGS).round().astype(int))
    shifted = np.lib.stride_tricks.sliding_window_view(other[:n], n - 2 * most)[lags]
    middle = first[most : n - most] - first[most : n - most].mean()
    shifted = shifted - shifted.mean(1, keepdims=True)
    size = np.linalg.norm(middle) * np.linalg.norm(shifted, axis=1)
    return float((shifted @ middle / np.maximum(size, 1e-12)).max())


def _from_one_start(height: Array, page: RectifiedPage, strips: Sequence[Strip]) -> Array:
    """Shift rows (strips, W) whose paper ran obliquely, so that all begin where the first does."""
    first = strips[0].x_mm[0]
    return np.stack([np.roll(row, round((first - strip.x_mm[0]) * page.px_per_mm[0]))
                     for row, strip in zip(height, strips, strict=True)])  # fmt: skip


def _limited(log_odds: float) -> float:
    """Limit the evidence of one column: all its beats may be off together."""
    return float(np.clip(log_odds, -_MOST, _MOST))


def _beats(height: Array, start: float, end: float, fs: float) -> Array:
    """Times (beats,) of the beats between two columns of the page, s from the first."""
    return np.asarray(find_beats(_between(height, start, end), fs) / fs)


def _between(height: Array, start: float, end: float) -> Array:
    """Cut rows (rows, W) between two columns of the page; (rows, 0) where that is one column or none."""
    a, b = max(0, round(start)), min(height.shape[1], round(end))
    return height[:, a:b] if b - a > 1 else height[:, :0]


def _offsets(first: Array, other: Array) -> tuple[Array, float]:
    """Distance (n,) of each beat from the nearest of the other column, s, and the mean distance of two beats."""
    apart = np.concatenate([np.diff(first), np.diff(other)])
    return other[np.abs(other[:, None] - first).argmin(0)] - first, float(np.mean(apart))


def _log_one_place(middle: float, apart: float) -> float:
    """Log-density of the median offset of two columns that show the same seconds."""
    density = (1 - _ROW_SHARE) * _normal(middle, _LEAD_S) + _ROW_SHARE * _normal(middle, _ROW_S)
    return float(np.log(density + _OTHER_COLUMN / apart))


def _log_one_shape(first: Array, offset: Array, apart: float, length_s: float) -> float:
    """Log-likelihood of the offsets around their median, of two columns that show the same seconds."""
    middle = float(np.median(offset))
    inside = (first + middle > 0) & (first + middle < length_s)
    return float(_around(offset[inside] - middle, _BEAT_S, apart).sum())


def _same_seconds(columns: Sequence[Array], starts_s: Sequence[float], length_s: float) -> float:
    """Log-odds that columns show the same seconds, against one after the other.

    In sequence, a rhythm moves against the columns by one step from each to the next: by what their length is more than
    a whole number of its intervals. The step is integrated over. A steady rhythm whose interval divides the length does
    not move, and then says little.

    Args:
        columns: times of the beats of each column, s from its beginning.
        starts_s: where each begins, if they are in sequence, s.
        length_s: of the shortest column.
    """
    first, intervals = columns[0], np.concatenate([np.diff(beats) for beats in columns])
    shown = [(start, beats) for start, beats in zip(starts_s, columns, strict=True) if len(beats) >= _LEAST_BEATS][1:]
    if len(first) < _LEAST_BEATS or not shown:
        return 0.0
    interval = float(np.median(intervals))
    varied = max(float(np.median(np.abs(intervals - interval))) * 1.5, 1.25 * _BEAT_S)
    count = length_s / interval
    error = float(np.hypot(_LEAD_S, varied * np.sqrt(count + count**2 / len(intervals))))
    step = (np.arange(_STEPS) / _STEPS - 0.5) * interval
    density = _STEADY_SHARE * _normal(_wrapped(step + length_s, interval), error) + (1 - _STEADY_SHARE) / interval
    sequence = np.log(density * interval / _STEPS)
    log_odds = 0.0
    for start, beats in shown:
        offset, apart = _offsets(first, beats)
        middle = float(np.median(offset))
        other_shape = float(_around(offset - middle, varied, apart).sum())
        log_odds += _limited(_log_one_shape(first, offset, apart, length_s) - other_shape)
        log_odds += _log_one_place(middle, apart)
        spread = float(np.hypot(_LEAD_S, varied * np.sqrt(start / interval)))
        sequence += np.log(
            _normal(_wrapped(middle - step * start / length_s, interval), spread) + _OTHER_COLUMN / apart
        )
    return log_odds - float(np.logaddexp.reduce(sequence))


def _wrapped(offset: Array, interval: float) -> Array:
    """Bring offsets to within half an interval of 0."""
    return (offset + interval / 2) % interval - interval / 2


def _normal(distance: Array | float, spread: float) -> Array:
    """Density of the normal distribution."""
    return np.asarray(np.exp(-0.5 * (np.asarray(distance) / spread) ** 2) / (np.sqrt(2 * np.pi) * spread))


def _around(distance: Array, spread: float, apart: float) -> Array:
    """Log-density of distances with a mean absolute error, or of beats that have nothing to do with each other."""
    own = (1 - _OTHER_SHARE) * np.exp(-np.abs(distance) / spread) / (2 * spread)
    return np.asarray(np.log(own + _OTHER_SHARE / apart))
