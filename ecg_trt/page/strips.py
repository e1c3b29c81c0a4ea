"""Detection of strips in the heatmaps of the flat page: pure functions on maps at 1 px/mm.

Maps are (H, W) float32 in [0, 1], pixel (x, y) is page mm (x, y).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np

from ecg_trt.layout import MOST_COLUMNS, standard_row_length, standard_row_lengths_mm, unnamed
from ecg_trt.thresholds import RunThresholds, load_thresholds
from ecg_trt.types import Array, RectifiedPage, Segment, Strip, TraceMap

_LEAST_ROW_PITCH_MM = 7
_BESIDE_STRONGEST = (0.3, 0.1)  # Least response of a row, and of a faint one, as a share of the strongest one's.
_UNREAD_LENGTH = 0.5  # Least length of a faint row that was not read, as a share of the shortest that was.
_ROW_SPREAD_MM, _MEAN_SHIFTS = 1.2, 8  # Spread of the window in which a row's middle is found, and steps towards it.
# Parts of one row lie at most 0.45 pitches apart in height, and 0.25 if they overlap by more than 3 mm. The pitch is
# the 75th percentile of the distances between rows.
_DRIFT, _TWICE, _OVERLAP_MM, _PITCH = 0.45, 0.25, 3.0, 75
_SLANTS_RAD = np.deg2rad(np.arange(-7.0, 7.25, 0.5))
# Ratio by which rows must stand out more along a slanted direction, and response of two rows that must be seen.
_CLEARLY_SLANTED, _SLANTED_MM = 1.3, 40.0
# Some printers are a per cent fast or slow: scales of a row's length that are tried, and the sum of responses that
# another scale must gain.
_SCALES, _OTHER_LENGTH = (0.988, 0.99, 0.992, 0.994, 1.006, 1.008, 1.01, 1.012), 0.08
_ANY_SCALE = tuple(np.linspace(0.92, 1.08, 41))  # Scales that are tried where no grid gives the size of the page.
_SPAN_REACH_MM = 10.0  # Error of the ends of a row at most.
_LONG = 0.8  # Ratio to the longest row; shorter rows may be seen in part.
_ALIKE_MM = (25.0, 40.0)  # Greatest difference of a row's beginning and end from the others' for it to be like them.
_CUT_MM = 3.0  # Distance by which a row that the picture cuts may begin later than it is seen.
_LEAST_SHARE = 0.7  # Least share of a row that must be in the picture.
# Mean response of all rows that counts as a segment start; number of four such starts that fix a row's place; numbers
# of equal columns that begin with them in a row that the picture cuts.
_START_SEEN, _ENOUGH_STARTS, _COLUMN_COUNTS = 0.1, 3, (4, 6)
# Spread of single borders about the page's, and distance at which the pen must show within a lead.
_BORDER_MM, _INSIDE_MM = 0.15, 0.5
# Spread of the shift, and of one where names or pulses were taken for the rows' beginning; the log-odds of the latter,
# and the shift from which it counts as one.
_SHIFT_MM, _FAR_MM, _FAR, _NEAR_MM = 0.7, 6.0, -5.0, 2.0
SHIFT_REACH_MM = 12.0  # Greatest shift.
_PULSE_GAP_MM = np.arange(3.0, 16.0, 0.1)  # Between two columns, where a pulse stands before each of them.
_AS_LIKELY = 0.5  # Log-odds below the best, at which another gap is as likely.
_PULSE_EACH = -4.0  # Log-odds of a pulse before each column, one page in fifty.
# Response to borders that is as frequent between columns as elsewhere, and what is added to all.
_FAINT, _ELSEWHERE = 0.08, 0.02
_COLUMNS = -4.0  # Log-odds of equal columns on a page of no known layout, of which each strip was read as one lead.
_UNCERTAIN = 0.05  # Least probability of a border to be missed, or to be something else.
_BORDER_SEEN, _LEAST_SEEN = 0.1, 1e-9  # Least sum of the responses to borders for each strip; of a logarithm.


def find_strips(zero: Array, thresholds: RunThresholds | None = None, *, faint: bool = False) -> list[Strip]:
    """Find the rows in the map of zero lines, from the top.

    Args:
        zero: (H, W).
        thresholds: of the response along a row; those of the package if None.
        faint: find rows, too, of which no part is clearly seen, as where noise hides them.
    """
    thresholds = thresholds or load_thresholds().strip
    if faint:
        thresholds = replace(thresholds, upper=thresholds.lower)
    profile = cv2.GaussianBlur(zero.sum(1)[:, None].astype(np.float32), (1, 0), 0.1, sigmaY=1.0)[:, 0]
    strongest = float(np.sort(profile)[-max(1, len(profile) // 60)])
    limit = max(thresholds.lower * thresholds.least_mm, _BESIDE_STRONGEST[faint] * strongest)
    strips: list[Strip] = []
    for y in np.argsort(-profile):
        if profile[y] < limit:
            break
        if any(abs(y - s.zero_y_mm) < _LEAST_ROW_PITCH_MM for s in strips):
            continue
        span = _extent(zero[max(0, y - 3) : y + 4].max(0), thresholds)
        if span is None:
            continue
        middle = _middle_of(profile, float(y))
        score = float(np.clip(profile[y] / (span[1] - span[0]) / 0.8, 0, 1))
        strips.append(Strip(middle, span, score))
    return _joined(sorted(strips, key=lambda s: s.zero_y_mm))


def _middle_of(profile: Array, y: float) -> float:
    """Move a row to the middle of what is seen about it, by mean shift: it never jumps where two rows are as high."""
    rows = np.arange(len(profile))
    for _ in range(_MEAN_SHIFTS):
        near = profile * np.exp(-0.5 * ((rows - y) / _ROW_SPREAD_MM) ** 2)
        y = float((near * rows).sum() / near.sum())
    return y


def unread_mm(found: Sequence[Strip], read: Sequence[Strip]) -> float:
    """Measure the length of rows, and of parts of rows, that are seen on a page and belong to no lead, mm.

    A row counts that is seen as well as the faintest of those that were read, or is half as long as the shortest at
    least: a shadow or a line of text is faint and short.

    Args:
        found: rows of the page, by `find_strips`.
        read: those of them that were named, with the beginnings and ends of their leads.
    """
    total, least_mm = 0.0, load_thresholds().strip.least_mm
    faintest = min((r.score for r in read), default=0.0)
    shortest_mm = min((r.x_mm[1] - r.x_mm[0] for r in read), default=0.0)
    for strip in found:
        own = next((r for r in read if abs(r.zero_y_mm - strip.zero_y_mm) < _LEAST_ROW_PITCH_MM), None)
        if own is None:
            length_mm = strip.x_mm[1] - strip.x_mm[0]
            total += length_mm * (strip.score >= faintest or length_mm >= _UNREAD_LENGTH * shortest_mm)
        else:
            beyond = own.x_mm[0] - strip.x_mm[0], strip.x_mm[1] - own.x_mm[1]
            total += sum(length for length in beyond if length > least_mm)
    return total


def slant_of(zero: Array) -> float:
    """Measure the angle (radians, x towards y) of the rows in the map of zero lines; 0 where none stands out."""
    y, x = np.nonzero(zero > load_thresholds().strip.lower)
    if not len(y):
        return 0.0
    profiles = []
    for angle in _SLANTS_RAD:
        rows = np.round(y - np.tan(angle) * x).astype(int)
        profiles.append(cv2.GaussianBlur(np.bincount(rows - rows.min(), zero[y, x])[None], (0, 0), 1.0)[0])
    sharpness = [float((profile**2).sum()) for profile in profiles]
    best = int(np.argmax(sharpness))
    profile, first = profiles[best], int(profiles[best].argmax())
    apart = np.abs(np.arange(len(profile)) - first) >= _LEAST_ROW_PITCH_MM
    if profile[first] < _SLANTED_MM or profile[apart].max(initial=0) < _SLANTED_MM:
        return 0.0
    return float(_SLANTS_RAD[best]) if sharpness[best] > _CLEARLY_SLANTED * sharpness[len(profiles) // 2] else 0.0


def _joined(strips: Sequence[Strip]) -> list[Strip]:
    """Join strips that stand beside each other at nearly one height: they are parts of a row that drifts."""
    if len(strips) < 2:
        return list(strips)
    pitch_mm = float(np.percentile(np.diff([s.zero_y_mm for s in strips]), _PITCH))
    whole = [strips[0]]
    for strip in strips[1:]:
        above = whole[-1]
        overlaps = _shared_mm(above, strip) > _OVERLAP_MM
        if strip.zero_y_mm - above.zero_y_mm > (_TWICE if overlaps else _DRIFT) * pitch_mm:
            whole.append(strip)
            continue
        (a, b), (c, d) = above.x_mm, strip.x_mm
        share = (d - c) / (b - a + d - c)
        middle = above.zero_y_mm + share * (strip.zero_y_mm - above.zero_y_mm)
        whole[-1] = Strip(middle, (min(a, c), max(b, d)), above.score + share * (strip.score - above.score))
    return whole


def _shared_mm(one: Strip, other: Strip) -> float:
    """Length of the overlap of two strips, mm; negative for the gap between them."""
    return min(one.x_mm[1], other.x_mm[1]) - max(one.x_mm[0], other.x_mm[0])


def _extent(line: Array, thresholds: RunThresholds, gap_mm: int = 30) -> tuple[float, float] | None:
    """Find the first and last mm of the longest stretch of a line, gaps bridged."""
    response = cv2.blur(line[None], (5, 1))[0]
    lit = np.flatnonzero(response > thresholds.lower)
    if not len(lit):
        return None
    runs = np.split(lit, np.flatnonzero(np.diff(lit) > gap_mm) + 1)
    run = max(runs, key=len)
    is_row = run[-1] - run[0] >= thresholds.least_mm and response[run].max() > thresholds.upper
    return (float(run[0]), float(run[-1])) if is_row else None


def agree_on_span(strips: Sequence[Strip], start: Array, end: Array, *, is_scaled: bool = True) -> list[Strip]:
    """Align the strips of a page to a common beginning and end where most of them share these.

    The heatmap of zero lines fades at their ends; those of starts and ends are sharper, and sharpest between the
    columns of a row. So a row of about a standard length is taken to be just that long, and placed where the responses
    at its ends and at its quarters add up to most. So is a shorter row that shows enough of these starts, because the
    picture ends before the row does.

    Args:
        strips: rows of the page.
        start: (H, W) map of segment starts.
        end: (H, W) map of segment ends.
        is_scaled: True if a grid gives the scale of the map; else other lengths of rows are tried, too.
    """
    if not strips:
        return []
    rows = [round(s.zero_y_mm) for s in strips]
    starts, ends = (
        cv2.GaussianBlur(np.mean([heat[max(0, y - 3) : y + 4].max(0) for y in rows], axis=0)[None], (0, 0), 1.0)[0]
        for heat in (start, end)
    )
    spans = np.array([s.x_mm for s in strips])
    lengths = np.diff(spans)[:, 0]
    is_long = lengths > _LONG * lengths.max()
    low, high = map(float, np.median(spans[is_long] if is_long.mean() >= 0.5 else spans, axis=0))
    shared = (low, high)
    length = standard_row_length(high - low)
    if length is not None:
        middle = (low + high - length) / 2
        reach = middle - _SPAN_REACH_MM, middle + _SPAN_REACH_MM
        standard = _laid(starts, ends, length, reach)
        others = [_laid(starts, ends, length * scale, reach) for scale in (_SCALES if is_scaled else _ANY_SCALE)]
        best = max(others, key=lambda row: row.total)
        is_other = best.starts_seen >= _ENOUGH_STARTS and best.total > standard.total + _OTHER_LENGTH
        shared = best.span if is_other else standard.span
    else:
        for length in standard_row_lengths_mm():
            if _LEAST_SHARE * length < high - low < length:
                for count in _COLUMN_COUNTS:
                    whole = _laid(starts, ends, length, (high - length - _CUT_MM, low + _CUT_MM), count)
                    shared = whole.span if whole.starts_seen >= count - 1 else shared
    is_near = np.abs(spans - (low, high)) < _ALIKE_MM
    alike = np.asarray(is_near.all(1))
    if (is_near.mean(0) >= 0.5).all():  # A row that is seen in part is as long as the others.
        beyond = (spans - shared) * (-1, 1)
        alike |= (beyond < _ALIKE_MM).all(1)
    return [replace(s, x_mm=shared) if is_alike else s for s, is_alike in zip(strips, alike, strict=True)]


class _Laid(NamedTuple):
    """Row of some length, placed where responses add up to most, and how many of its columns show a start."""

    span: tuple[float, float]
    total: float
    starts_seen: int


def _laid(starts: Array, ends: Array, length: float, reach: tuple[float, float], count: int = 4) -> _Laid:
    """Place a row of a number of equal columns so that it begins within reach."""
    at = np.arange(*reach, 0.25)
    begins = [np.interp(at + k * length / count, np.arange(len(starts)), starts, 0, 0) for k in range(count)]
    total = np.sum(begins, axis=0) + np.interp(at + length, np.arange(len(ends)), ends, 0, 0)
    total -= 1e-3 * np.abs(at - at.mean())  # Without any response, the middle is taken.
    best = int(total.argmax())
    starts_seen = sum(bool(response[best] > _START_SEEN) for response in begins)
    return _Laid((float(at[best]), float(at[best]) + length), float(total[best]), starts_seen)


def border_responses(
    strips: Sequence[Strip], page: RectifiedPage, trace: TraceMap, shift_mm: Array
) -> Iterator[tuple[float, float, Array]]:
    """Measure how clearly each lead begins, and each row ends, at some distances from where its strip has it.

    Args:
        strips: named strips.
        page: frame of the trace.
        trace: its borders and confidences.
        shift_mm: (n,) distances.

    Yields:
        Place of a border (x, y), page mm, and the response (n,) to it, with the pen inside the lead.
    """
    px_per_mm = page.px_per_mm[0]
    for strip, border, confidence in zip(strips, trace.border, trace.confidence, strict=True):
        heat = cv2.GaussianBlur(border[None], (0, 0), _BORDER_MM * px_per_mm)[0]
        columns, pen = np.arange(len(border)), cv2.blur(confidence[None], (2 * round(px_per_mm / 4) + 1, 1))[0]
        for x_mm, inwards in [*((s.x_mm[0], _INSIDE_MM) for s in strip.segments), (strip.x_mm[1], -_INSIDE_MM)]:
            at = page.column(x_mm + shift_mm)
            response = np.interp(at, columns, heat) * np.interp(at + inwards * px_per_mm, columns, pen)
            yield x_mm, strip.zero_y_mm, response


def shift_to_borders(
    strips: Sequence[Strip], page: RectifiedPage, trace: TraceMap, reach_mm: float = SHIFT_REACH_MM
) -> tuple[Strip, ...]:
    """Shift the strips of a page, all by one distance, to where most of their leads begin and end.

    Printers set separators to whole dots, and a trace's first stroke hides behind a pulse or a name, so that single
    borders are off by 0.2 mm; all of a page together are not.

    Args:
        strips: named strips.
        page: frame of the trace.
        trace: its borders and confidences.
        reach_mm: greatest shift.

    Returns:
        The strips, moved; unchanged where too few borders are seen.
    """
    px_per_mm = page.px_per_mm[0]
    shift_mm = np.arange(-round(reach_mm * px_per_mm), round(reach_mm * px_per_mm) + 1) / px_per_mm
    responses = [response for *_, response in border_responses(strips, page, trace, shift_mm)]
    seen = np.sum([np.zeros(len(shift_mm)), *responses], 0)
    evidence = np.sum([np.zeros(len(shift_mm)), *(np.log1p(response / _UNCERTAIN) for response in responses)], 0)
    likelihood = evidence + np.logaddexp(-0.5 * (shift_mm / _SHIFT_MM) ** 2, _FAR - 0.5 * (shift_mm / _FAR_MM) ** 2)
    about = float(shift_mm[likelihood.argmax()])
    likely = seen * np.exp(-0.5 * ((shift_mm - about * (abs(about) > _NEAR_MM)) / _SHIFT_MM) ** 2)
    best = int(likely.argmax())
    if not strips or seen[best] < _BORDER_SEEN * len(strips) or not 0 < best < len(seen) - 1:
        return tuple(strips)
    left, top, right = np.log(np.maximum(likely[best - 1 : best + 2], _LEAST_SEEN))  # A bell is a parabola here.
    shift = float(shift_mm[best]) + 0.5 * (left - right) / min(left - 2 * top + right, -_LEAST_SEEN) / px_per_mm
    return tuple(s.moved(float(shift)) for s in strips)


def part_columns(strips: Sequence[Strip], page: RectifiedPage, trace: TraceMap) -> tuple[Strip, ...]:
    """Make room between columns where a calibration pulse stands before each of them.

    Columns stay equally long relative to each other. Where a gap of one width between all columns explains the borders
    that the trace shows better than columns that meet, by likelihood, they are parted by it; time does not pass in it.

    Args:
        strips: named strips.
        page: frame of the trace.
        trace: its borders.
    """
    parted = [k for k, strip in enumerate(strips) if len(strip.segments) > 1]
    if not parted:
        return tuple(strips)
    columns = np.arange(trace.border.shape[1])
    heat = cv2.GaussianBlur(_wide_borders(page, trace), (0, 0), _BORDER_MM * page.px_per_mm[0], sigmaY=0.1)[parted]

    def odds(row: int, x_mm: Array) -> Array:
        seen = np.interp(page.column(x_mm), columns, heat[row]).clip(_UNCERTAIN, 1 - _UNCERTAIN)
        return np.asarray(np.log(seen / (1 - seen)))

    total = np.full(len(_PULSE_GAP_MM), _PULSE_EACH)
    for row, k in enumerate(parted):
        (start, end), segments = strips[k].x_mm, strips[k].segments
        shrink = 1 - _PULSE_GAP_MM * (len(segments) - 1) / (end - start)
        for n, segment in enumerate(segments[1:], 1):
            meeting = segment.x_mm[0]
            ends = start + (meeting - start) * shrink + (n - 1) * _PULSE_GAP_MM
            total += odds(row, ends) + odds(row, ends + _PULSE_GAP_MM) - odds(row, np.array([meeting]))
    if total.max() <= 0:
        return tuple(strips)
    gap = float(_PULSE_GAP_MM[total > total.max() - _AS_LIKELY].mean())
    return tuple(_with_gap(s, gap) if len(s.segments) > 1 else s for s in strips)


def _wide_borders(page: RectifiedPage, trace: TraceMap) -> Array:
    """Greatest response (strips, W) to borders within their spread."""
    size = 2 * round(2 * _BORDER_MM * page.px_per_mm[0]) + 1
    return np.asarray(cv2.dilate(trace.border.astype(np.float32), np.ones((1, size))))


def split_rows(strips: Sequence[Strip], page: RectifiedPage, trace: TraceMap) -> tuple[tuple[Strip, ...], float]:
    """Split rows of one segment into the equal columns whose borders the trace shows best.

    Args:
        strips: strips of a page of no known layout, each of one segment.
        page: frame of the trace.
        trace: its borders.

    Returns:
        The strips, their columns unnamed but the first, and the log-odds of these columns against none, by the borders.
    """
    columns, heat = np.arange(trace.border.shape[1]), _wide_borders(page, trace)
    log_odds = []
    for n in range(2, MOST_COLUMNS + 1):
        borders = [page.column(np.linspace(*s.x_mm, n + 1)[1:-1]) for s in strips]
        seen = np.array([np.interp(at, columns, row) for at, row in zip(borders, heat, strict=True)])
        log_odds.append(_COLUMNS + float(np.log((seen + _ELSEWHERE) / _FAINT).sum()))
    parts = int(np.argmax(log_odds)) + 2
    parted = []
    for k, strip in enumerate(strips):
        edges = np.linspace(*strip.x_mm, parts + 1).tolist()
        names = strip.segments[0].lead, *(unnamed(len(strips) + k * parts + n) for n in range(1, parts))
        segments = tuple(Segment(name, edge) for name, edge in zip(names, pairwise(edges), strict=True))
        parted.append(replace(strip, segments=segments))
    return tuple(parted), max(log_odds)


def _with_gap(strip: Strip, gap_mm: float) -> Strip:
    """Part the columns of a strip, whose beginning and end stay, by a gap."""
    start, end = strip.x_mm
    shrink = 1 - gap_mm * (len(strip.segments) - 1) / (end - start)

    def moved(x: float, n: int) -> float:
        return start + (x - start) * shrink + n * gap_mm

    segments = tuple(
        replace(g, x_mm=(moved(g.x_mm[0], n), moved(g.x_mm[1], n)), earlier_mm=n * gap_mm)
        for n, g in enumerate(strip.segments)
    )
    return replace(strip, segments=segments)
