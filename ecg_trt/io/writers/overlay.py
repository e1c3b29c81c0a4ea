"""A picture that shows at a glance whether to trust a record: the page with what was read drawn on it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np

from ecg_trt.errors import NOTICE, OutputError
from ecg_trt.io.atomic import atomic_path
from ecg_trt.layout import upright
from ecg_trt.types import Array, RectifiedPage, Segment, Strip, TraceMap

if TYPE_CHECKING:
    from ecg_trt.record import EcgRecord

_Colour: TypeAlias = "tuple[int, int, int]"

_COLOURS: tuple[_Colour, ...] = ((0, 70, 230), (200, 0, 150), (0, 130, 60), (110, 40, 200))
_DOUBT = (255, 130, 0)
_ZERO_LINE = (90, 90, 90)
_INK = (20, 20, 20)
_UNSEEN = (170, 170, 170)
_GOOD, _FAIR, _POOR = (0, 140, 60), (220, 130, 0), (200, 20, 20)
_GOOD_QUALITY, _POOR_QUALITY = 0.8, 0.5  # The badge is green from the first mean quality on, and red below the second.

_OPACITY = 0.65
_LEAST_CONFIDENCE = 0.5  # A trace of less confidence is drawn as uncertain.
_LIGHTEN = 0.35
_PX_PER_MM = 8.0  # Of the overlay, along both axes: a trace is read at another scale along time than along voltage.
_CAPTION_CHARACTERS = 100  # Most characters in a line of the caption.
_SHIFT = 4  # OpenCV takes coordinates in 1/16 px.
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_overlay(page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap, record: EcgRecord) -> Array:
    """Draw the digitized traces, lead names, zero lines and a 1 mV bar for each strip on the page.

    Each lead's piece has a strong colour other than its neighbours', half transparent, so that the pen
    beneath stays visible; orange and thin where the network was uncertain, broken where nothing was read.

    Args:
        page: the page the trace was read from.
        strips: its printed rows, named.
        trace: rows of the trace, page px, one row a strip.
        record: what was made of it.

    Returns:
        (H', W', 3) uint8 RGB: a caption and a legend above the page, which has one scale along both axes.
    """
    page, trace = _at_one_scale(page, trace)
    canvas = cv2.addWeighted(page.image, 1.0 - _LIGHTEN, np.full_like(page.image, 255), _LIGHTEN, 0.0)
    canvas[~page.seen] = _UNSEEN
    for strip in strips:
        _draw_scale(canvas, page, strip, record.gain_of(strip.segments[0].lead))
    pieces = [
        (row, segment, _COLOURS[(at + row) % len(_COLOURS)])
        for row, strip in enumerate(strips)
        for at, segment in enumerate(strip.segments)
    ]
    ink = canvas.copy()
    for row, segment, colour in pieces:
        _draw_trace(ink, page, trace, row, segment, colour)
    canvas = cv2.addWeighted(ink, _OPACITY, canvas, 1.0 - _OPACITY, 0.0)
    for row, segment, colour in pieces:
        # Uncertain parts are opaque: orange over black ink would turn brown, which does not warn.
        _draw_trace(canvas, page, trace, row, segment, None)
        _draw_name(canvas, page, strips[row], segment, record, colour)
    return np.concatenate((_caption(record, canvas.shape[1]), _legend(canvas.shape[1]), canvas))


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


def write_image(image: Array, path: str | Path) -> Path:
    """Write a picture; the suffix (.png, .jpg, .jpeg) decides on the format.

    Args:
        image: (H, W, 3) uint8 RGB.
        path: the file, replaced if it is there.

    Returns:
        The path.

    Raises:
        OutputError: it could not be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".png", ".jpg", ".jpeg"):
        raise OutputError(
            f"{path} cannot be written",
            got=f"the suffix {path.suffix!r}",
            expected=".png, .jpg or .jpeg",
            hint="Choose another name.",
        )
    setting = [cv2.IMWRITE_PNG_COMPRESSION, 3] if suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 92]
    _, encoded = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), setting)
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
    return path


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
    ink: Array, page: RectifiedPage, trace: TraceMap, row: int, segment: Segment, colour: _Colour | None
) -> None:
    """Draw the confident parts of one lead's segment in its colour, or without a colour the uncertain ones."""
    width = trace.ridge_row.shape[1]
    left, right = (min(max(_px(page, x, 0.0)[0], 0), width) for x in segment.x_mm)
    ridge, confident = trace.ridge_row[row, left:right], trace.confidence[row, left:right] >= _LEAST_CONFIDENCE
    pen = _thickness(page)
    for start, end, is_confident in _runs(ridge, confident):
        if is_confident != (colour is not None):
            continue
        stop = min(end + 1, ridge.size)  # A run reaches over to the next one, unless a gap follows.
        stop = stop if np.isfinite(ridge[stop - 1]) else end
        points = np.stack((np.arange(left + start, left + stop), ridge[start:stop]), axis=1)
        points = np.rint(points * 2**_SHIFT).astype(np.int32)[:, None]
        thickness = pen if is_confident else max(1, pen // 2)
        cv2.polylines(ink, [points], False, colour or _DOUBT, thickness, cv2.LINE_AA, _SHIFT)


def _draw_scale(canvas: Array, page: RectifiedPage, strip: Strip, gain_mm_per_mv: float) -> None:
    """Draw the zero line, and at its left end a bar of 1 mV."""
    start, end = strip.x_mm
    cv2.line(canvas, _px(page, start, strip.zero_y_mm), _px(page, end, strip.zero_y_mm), _ZERO_LINE, 1, cv2.LINE_AA)
    x_mm = max(start - 2.0, page.origin_mm[0] + 1.0)
    foot, top = _px(page, x_mm, strip.zero_y_mm), _px(page, x_mm, strip.zero_y_mm - gain_mm_per_mv)
    pen, tick = _thickness(page), round(page.px_per_mm[0])
    cv2.line(canvas, foot, top, _INK, pen)
    for x, y in (foot, top):
        cv2.line(canvas, (x - tick // 2, y), (x + tick // 2, y), _INK, pen)
    at = (foot[0] - tick // 2, foot[1] + round(3.0 * page.px_per_mm[1]))
    _text(canvas, "1 mV", at, 1.8 * page.px_per_mm[1], _INK, veil=True)


def _draw_name(
    canvas: Array,
    page: RectifiedPage,
    strip: Strip,
    segment: Segment,
    record: EcgRecord,
    colour: _Colour,
) -> None:
    """Write the lead's name and quality above the start of its piece."""
    quality = record.quality[record.lead_names.index(upright(segment.lead)[0])]
    text = f"{segment.lead} {quality:.2f}" if np.isfinite(quality) else f"{segment.lead} -"
    at = _px(page, segment.x_mm[0] + 1.0, strip.zero_y_mm - 8.0)
    shade = colour if np.isfinite(quality) and quality >= _POOR_QUALITY else _POOR
    _text(canvas, text, at, 2.6 * page.px_per_mm[1], shade, veil=True)


def _text(canvas: Array, text: str, at: tuple[int, int], height_px: float, colour: _Colour, veil: bool = False) -> None:
    """Draw text whose baseline starts at `at`, on a white veil where the page would disturb it."""
    scale = height_px / 22.0  # Capitals of this font are 22 px high at scale 1.
    pen = max(1, round(height_px / 10.0))
    (width, height), descent = cv2.getTextSize(text, _FONT, scale, pen)
    x, y = at
    if veil:
        box = canvas[max(y - height - 2, 0) : max(y + descent, 0), max(x - 2, 0) : max(x + width + 2, 0)]
        if box.size:
            box[:] = box // 3 + 170
    cv2.putText(canvas, text, at, _FONT, scale, colour, pen, cv2.LINE_AA)


def _line_px(width: int) -> int:
    """Compute half the height of a line of the caption."""
    return max(width // 60, 12)


def _legend(width: int) -> Array:
    """Draw the legend (h, width, 3) uint8: samples of the overlay's lines, in columns, each with its meaning."""
    line = _line_px(width)
    texts = ("trace", "uncertain", "zero line", "1 mV", "poor lead", "not in photo")
    column = width // len(texts)
    legend = np.full((2 * line, width, 3), 255, np.uint8)
    pen = max(2, line // 6)
    for at, text in enumerate(texts):
        left, right, middle = at * column + line // 2, at * column + 2 * line, line
        if text == "trace":
            for part, colour in enumerate(_COLOURS):
                span = (right - left) // len(_COLOURS)
                start = left + part * span
                cv2.line(legend, (start, middle), (start + span, middle), colour, pen)
        elif text == "1 mV":
            x, top, foot, tick = (left + right) // 2, line // 3, 2 * line - line // 3, 2 * pen
            cv2.line(legend, (x, foot), (x, top), _INK, pen)
            cv2.line(legend, (x - tick, foot), (x + tick, foot), _INK, pen)
            cv2.line(legend, (x - tick, top), (x + tick, top), _INK, pen)
        elif text in ("uncertain", "zero line"):
            colour = _DOUBT if text == "uncertain" else _ZERO_LINE
            cv2.line(legend, (left, middle), (right, middle), colour, max(1, pen // 2))
        else:
            colour = _POOR if text == "poor lead" else _UNSEEN
            cv2.rectangle(legend, (left, line // 2), (right, line + line // 2), colour, -1)
        _text(legend, text, (right + line // 3, line + line // 3), line * 0.7, _INK)
    return legend


def _caption(record: EcgRecord, width: int) -> Array:
    """Draw the caption (h, width, 3) uint8: settings and mean quality, then the first warnings."""
    line = _line_px(width)
    quality = record.mean_quality
    settings = [
        record.layout,
        f"{record.paper_speed_mm_per_s:g} mm/s",
        record.gain_text,
        f"assumed: {', '.join(record.assumed)}" if record.assumed else "",
        f"mean quality {quality:.2f}" if np.isfinite(quality) else "nothing read",
    ]
    corrected = f"corrected by hand: {', '.join(record.corrected)}" if record.corrected else ""
    warnings = [warning.text for warning in record.warnings[:3]]
    if len(record.warnings) > 3:
        warnings[2] = f"and {len(record.warnings) - 2} more warnings, see the JSON file"
    wrapped = [part for text in warnings for part in textwrap.wrap(text, _CAPTION_CHARACTERS)]
    stated = ["  |  ".join(filter(None, settings)), *textwrap.wrap(corrected, _CAPTION_CHARACTERS)]
    rows = [*((text, _INK) for text in stated), *((part, _POOR) for part in wrapped)]
    rows.append((NOTICE.replace(",", " -"), _ZERO_LINE))
    caption = np.full((line * 2 * len(rows), width, 3), 255, np.uint8)
    badge = _GOOD if quality >= _GOOD_QUALITY else _FAIR if quality >= _POOR_QUALITY else _POOR
    cv2.rectangle(caption, (line, line // 2), (2 * line, line // 2 + line), badge, -1)
    for row, (text, colour) in enumerate(rows):
        _text(caption, _ascii(text), (3 * line, line * (2 * row + 1) + line // 3), line * 0.85, colour)
    return caption


def _ascii(text: str) -> str:
    """Reduce text to ASCII, all that OpenCV's fonts know."""
    return text.encode("ascii", "replace").decode("ascii")
