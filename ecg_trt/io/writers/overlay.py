"""A picture that shows at a glance whether to trust a record: the page with what was read drawn on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ecg_trt.io.writers.image import fitted
from ecg_trt.io.writers.legend import (
    INK,
    UNCERTAIN,
    UNSEEN,
    ZERO_LINE,
    Colour,
    caption,
    draw_bar,
    draw_text,
    legend,
    quality_colour,
)
from ecg_trt.io.writers.photo_picture import draw_photo
from ecg_trt.layout import upright
from ecg_trt.types import Array, RectifiedPage, Segment, Strip, TraceMap

if TYPE_CHECKING:
    from ecg_trt.reading import Reading
    from ecg_trt.record import EcgRecord

OVERLAY_SUFFIX = ".overlay.png"
_OPACITY = 0.65
LEAST_CONFIDENCE = 0.5  # A trace of less confidence is uncertain.
_LIGHTEN = 0.35
_PX_PER_MM = 8.0  # Of the overlay, along both axes: a trace is read at another scale along time than along voltage.
_BORDER_MM = 6.0  # Half the height of the line between two leads of a row.
_SECOND_MM = 18.0  # Depth of the bar of 1 s below the last zero line.
_SHIFT = 4  # OpenCV takes coordinates in 1/16 px.
_PHOTO_SHARE, _GAP_PX = 0.6, 16  # Most width of the photo beside the page, as a share of the page's.


def draw_overlay(
    page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap, record: EcgRecord, photo: Array | None = None
) -> Array:
    """Draw the digitized traces, lead names, zero lines, a 1 mV bar for each strip and a 1 s bar on the page.

    A lead's quality gives its colour, half transparent, so that the pen beneath stays visible; orange and thin where
    the network was uncertain, broken where nothing was read. Grid boxes are square.

    Args:
        page: the page the trace was read from.
        strips: its printed rows, named.
        trace: rows of the trace, page px, one row a strip.
        record: what was made of it.
        photo: (h, w, 3) uint8 RGB, shown beside the page, see `draw_photo`; left out if None.

    Returns:
        (H', W', 3) uint8 RGB: a caption and a legend above the page, which has one scale along both axes.
    """
    page, trace = _at_one_scale(page, trace)
    canvas = cv2.addWeighted(page.image, 1.0 - _LIGHTEN, np.full_like(page.image, 255), _LIGHTEN, 0.0)
    canvas[~page.seen] = UNSEEN
    for strip in strips:
        _draw_scale(canvas, page, strip, record.gain_of(strip.segments[0].lead))
    if strips:
        _draw_second(canvas, page, strips[-1], record.paper_speed_mm_per_s)
    pieces = [
        (row, segment, _quality(record, segment)) for row, strip in enumerate(strips) for segment in strip.segments
    ]
    ink = canvas.copy()
    for row, segment, quality in pieces:
        _draw_trace(ink, page, trace, row, segment, quality_colour(quality))
    canvas = cv2.addWeighted(ink, _OPACITY, canvas, 1.0 - _OPACITY, 0.0)
    for row, segment, quality in pieces:
        # Uncertain parts are opaque: orange over black ink would turn brown, which does not warn.
        _draw_trace(canvas, page, trace, row, segment, None)
        _draw_name(canvas, page, strips[row], segment, quality)
    if photo is not None:
        canvas = _beside(photo, canvas)
    return np.concatenate((caption(record, canvas.shape[1]), legend(canvas.shape[1]), canvas))


def overlay_of(reading: Reading) -> Array:
    """Draw the overlay of a reading, with the photo beside the page, (H, W, 3) uint8 RGB."""
    photo = draw_photo(reading.photo, reading.grid, reading.page)
    return draw_overlay(reading.page, reading.strips, reading.trace, reading.record, photo)


def _quality(record: EcgRecord, segment: Segment) -> float:
    return float(record.quality[record.lead_names.index(upright(segment.lead)[0])])


def _beside(photo: Array, canvas: Array) -> Array:
    """Put the photo to the left of the page, scaled down where it is larger."""
    photo = fitted(photo, round(_PHOTO_SHARE * canvas.shape[1]), canvas.shape[0])
    left = np.full((canvas.shape[0], photo.shape[1] + _GAP_PX, 3), 255, np.uint8)
    left[: photo.shape[0], : photo.shape[1]] = photo
    return np.concatenate((left, canvas), axis=1)


def _at_one_scale(page: RectifiedPage, trace: TraceMap) -> tuple[RectifiedPage, TraceMap]:
    """Resample the page and its traces to `_PX_PER_MM` along both axes."""
    scale = np.array(page.px_per_mm) / _PX_PER_MM  # Pixels of the page in one of the overlay, (x, y).
    height, width = (max(1, round(side / step)) for side, step in zip(page.seen.shape, scale[::-1], strict=True))
    how = [cv2.INTER_AREA if step > 1 else cv2.INTER_LINEAR for step in scale]
    image = cv2.resize(page.image, (width, page.image.shape[0]), interpolation=how[0])
    image = cv2.resize(image, (width, height), interpolation=how[1])
    seen = cv2.resize(page.seen.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    # Pixels are resampled by their edges, and their middles are what page mm refer to.
    x_mm, y_mm = np.array(page.origin_mm) + 0.5 / _PX_PER_MM - 0.5 / np.array(page.px_per_mm)
    at = np.round((np.arange(width) + 0.5) * scale[0] - 0.5).astype(int).clip(0, trace.ridge_row.shape[1] - 1)
    ridge = (trace.ridge_row[:, at] + 0.5) / scale[1] - 0.5
    return (
        RectifiedPage(image, (_PX_PER_MM, _PX_PER_MM), (float(x_mm), float(y_mm)), seen, page.photo_px_per_mm),
        TraceMap(ridge, trace.confidence[:, at], trace.border[:, at]),
    )


def _px(page: RectifiedPage, x_mm: float, y_mm: float) -> tuple[int, int]:
    """Convert page mm to the nearest page px."""
    return round(page.column(x_mm)), round(page.row(y_mm))


def _thickness(page: RectifiedPage) -> int:
    """Choose a pen of about 0.2 mm, finer than the printer's, which remains visible on both sides."""
    return max(1, round(0.2 * page.px_per_mm[1]))


def _runs(row: Array, confident: Array) -> Iterator[tuple[int, int, bool]]:
    """Yield (start, end, is_confident) of maximal runs without NaN and of one kind of confidence."""
    kind = np.where(np.isfinite(row), np.where(confident, 2, 1), 0)
    edges = np.flatnonzero(np.diff(kind)) + 1
    for start, end in zip((0, *edges), (*edges, kind.size), strict=True):
        if end > start and kind[start]:
            yield int(start), int(end), bool(kind[start] == 2)


def _draw_trace(
    ink: Array, page: RectifiedPage, trace: TraceMap, row: int, segment: Segment, colour: Colour | None
) -> None:
    """Draw the confident parts of one lead's segment in its colour, or without a colour the uncertain ones."""
    width = trace.ridge_row.shape[1]
    left, right = (min(max(_px(page, x, 0.0)[0], 0), width) for x in segment.x_mm)
    ridge, confident = trace.ridge_row[row, left:right], trace.confidence[row, left:right] >= LEAST_CONFIDENCE
    pen = _thickness(page)
    for start, end, is_confident in _runs(ridge, confident):
        if is_confident != (colour is not None):
            continue
        stop = min(end + 1, ridge.size)  # A run reaches over to the next one, unless a gap follows.
        stop = stop if np.isfinite(ridge[stop - 1]) else end
        points = np.stack((np.arange(left + start, left + stop), ridge[start:stop]), axis=1)
        points = np.rint(points * 2**_SHIFT).astype(np.int32)[:, None]
        thickness = pen if is_confident else max(1, pen // 2)
        cv2.polylines(ink, [points], False, colour or UNCERTAIN, thickness, cv2.LINE_AA, _SHIFT)


def _draw_scale(canvas: Array, page: RectifiedPage, strip: Strip, gain_mm_per_mv: float) -> None:
    """Draw the zero line, the borders between leads, and at the left end a bar of 1 mV."""
    start, end = strip.x_mm
    cv2.line(canvas, _px(page, start, strip.zero_y_mm), _px(page, end, strip.zero_y_mm), ZERO_LINE, 1, cv2.LINE_AA)
    for segment in strip.segments[1:]:
        top, foot = (_px(page, segment.x_mm[0], strip.zero_y_mm + side * _BORDER_MM) for side in (-1, 1))
        cv2.line(canvas, top, foot, ZERO_LINE, 1, cv2.LINE_AA)
    x_mm = max(start - 2.0, page.origin_mm[0] + 1.0)
    foot, top = _px(page, x_mm, strip.zero_y_mm), _px(page, x_mm, strip.zero_y_mm - gain_mm_per_mv)
    tick = round(page.px_per_mm[0]) // 2
    draw_bar(canvas, foot, top, _thickness(page), tick)
    at = (foot[0] - tick, foot[1] + round(3.0 * page.px_per_mm[1]))
    draw_text(canvas, "1 mV", at, 1.8 * page.px_per_mm[1], INK, veil=True)


def _draw_second(canvas: Array, page: RectifiedPage, strip: Strip, speed_mm_per_s: float) -> None:
    """Draw a bar of 1 s below the start of a strip."""
    start, end = (_px(page, strip.x_mm[0] + x, strip.zero_y_mm + _SECOND_MM) for x in (0.0, speed_mm_per_s))
    tick = round(page.px_per_mm[0]) // 2
    draw_bar(canvas, start, end, _thickness(page), tick)
    draw_text(canvas, "1 s", (end[0] + 2 * tick, end[1] + tick), 1.8 * page.px_per_mm[1], INK, veil=True)


def _draw_name(canvas: Array, page: RectifiedPage, strip: Strip, segment: Segment, quality: float) -> None:
    """Write the lead's name and quality above the start of its piece."""
    text = f"{segment.lead} {quality:.2f}" if np.isfinite(quality) else f"{segment.lead} -"
    at = _px(page, segment.x_mm[0] + 1.0, strip.zero_y_mm - 8.0)
    draw_text(canvas, text, at, 2.6 * page.px_per_mm[1], quality_colour(quality), veil=True)
