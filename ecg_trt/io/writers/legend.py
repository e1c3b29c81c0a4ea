"""Caption and legend of the overlay, and the colours that both explain."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np

from ecg_trt.errors import NOTICE
from ecg_trt.types import Array

if TYPE_CHECKING:
    from ecg_trt.record import EcgRecord

Colour: TypeAlias = "tuple[int, int, int]"

GOOD_QUALITY, POOR_QUALITY = 0.8, 0.5
"""A lead is good from the first quality on, and poor below the second."""
UNCERTAIN: Colour = (255, 130, 0)
ZERO_LINE: Colour = (90, 90, 90)
INK: Colour = (20, 20, 20)
UNSEEN: Colour = (170, 170, 170)
# Blue, violet and red differ for the colour-blind, too.
_GOOD, _FAIR, _POOR = (0, 70, 230), (160, 0, 170), (200, 20, 20)
_CAPTION_CHARACTERS = 150  # Most characters in a line of the caption.
_MOST_WARNINGS = 3
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SAMPLES: tuple[tuple[str, str, Colour], ...] = (
    ("line", f"quality {GOOD_QUALITY:g} or more", _GOOD),
    ("line", f"{POOR_QUALITY:g} to {GOOD_QUALITY:g}", _FAIR),
    ("line", f"below {POOR_QUALITY:g}", _POOR),
    ("thin line", "uncertain", UNCERTAIN),
    ("thin line", "zero line", ZERO_LINE),
    ("upright bar", "1 mV", INK),
    ("bar", "1 s", INK),
    ("box", "not in photo", UNSEEN),
)
_COLUMNS = 4


def grade_of(quality: float) -> str:
    """Grade a quality in a word, "good", "fair" or "poor", which is also a class of the pages' style; NaN is poor."""
    return "good" if quality >= GOOD_QUALITY else "fair" if quality >= POOR_QUALITY else "poor"


def quality_colour(quality: float) -> Colour:
    """Choose the colour of a quality."""
    return {"good": _GOOD, "fair": _FAIR, "poor": _POOR}[grade_of(quality)]


def draw_text(
    canvas: Array, text: str, at: tuple[int, int], height_px: float, colour: Colour, *, veil: bool = False
) -> None:
    """Write text whose baseline starts at `at`, on a white veil where the page would disturb it."""
    scale = height_px / 22.0  # Capitals of this font are 22 px high at scale 1.
    pen = max(1, round(height_px / 10.0))
    (width, height), descent = cv2.getTextSize(text, _FONT, scale, pen)
    x, y = at
    if veil:
        box = canvas[max(y - height - 2, 0) : max(y + descent, 0), max(x - 2, 0) : max(x + width + 2, 0)]
        if box.size:
            box[:] = box // 3 + 170
    cv2.putText(canvas, text, at, _FONT, scale, colour, pen, cv2.LINE_AA)


def draw_bar(canvas: Array, start: tuple[int, int], end: tuple[int, int], pen: int, tick: int) -> None:
    """Draw an upright or level bar with a tick across either end, each of half a length `tick`, px."""
    cv2.line(canvas, start, end, INK, pen)
    across = (tick, 0) if start[0] == end[0] else (0, tick)
    for x, y in (start, end):
        cv2.line(canvas, (x - across[0], y - across[1]), (x + across[0], y + across[1]), INK, pen)


def legend(width: int) -> Array:
    """Draw the legend (h, width, 3) uint8: samples of the overlay's lines, each with its meaning."""
    line = _line_px(width)
    rows = -(-len(_SAMPLES) // _COLUMNS)
    canvas = np.full((2 * line * rows, width, 3), 255, np.uint8)
    for k, (kind, text, colour) in enumerate(_SAMPLES):
        left, middle = k % _COLUMNS * (width // _COLUMNS) + line, line * (2 * (k // _COLUMNS) + 1)
        _draw_sample(canvas, kind, colour, (left, left + 3 * line // 2), middle, line)
        draw_text(canvas, text, (left + 2 * line, middle + line // 3), line * 0.7, INK)
    return canvas


def _draw_sample(canvas: Array, kind: str, colour: Colour, x: tuple[int, int], middle: int, line: int) -> None:
    """Draw one sample between two columns, around a row."""
    pen, half = max(2, line // 6), line // 2
    if kind == "box":
        cv2.rectangle(canvas, (x[0], middle - half), (x[1], middle + half), colour, -1)
    elif kind == "bar":
        draw_bar(canvas, (x[0], middle), (x[1], middle), pen, 2 * pen)
    elif kind == "upright bar":
        centre = sum(x) // 2
        draw_bar(canvas, (centre, middle + half), (centre, middle - half), pen, 2 * pen)
    else:
        cv2.line(canvas, (x[0], middle), (x[1], middle), colour, pen if kind == "line" else max(1, pen // 2))


def caption(record: EcgRecord, width: int) -> Array:
    """Draw the caption (h, width, 3) uint8: settings and mean quality, then the first warnings, then the notice."""
    line = _line_px(width)
    quality = record.mean_quality
    settings = [
        record.layout,
        f"{record.paper_speed_mm_per_s:g} mm/s",
        record.gain_text,
        f"assumed: {', '.join(record.assumed)}" if record.assumed else "",
        f"mean quality {quality:.2f}" if np.isfinite(quality) else "nothing read",
    ]
    warnings = [warning.text for warning in record.warnings[:_MOST_WARNINGS]]
    if len(record.warnings) > _MOST_WARNINGS:
        warnings[-1] = f"and {len(record.warnings) - _MOST_WARNINGS + 1} more warnings, see the JSON file"
    wrapped = [part for text in warnings for part in textwrap.wrap(text, _CAPTION_CHARACTERS)]
    by_hand = f"corrected by hand: {', '.join(record.corrected)}" if record.corrected else ""
    stated = ["  |  ".join(filter(None, settings)), *textwrap.wrap(by_hand, _CAPTION_CHARACTERS)]
    rows = [*((text, INK) for text in stated), *((part, _POOR) for part in wrapped)]
    rows.append((NOTICE.replace(",", " -"), ZERO_LINE))
    canvas = np.full((line * 2 * len(rows), width, 3), 255, np.uint8)
    cv2.rectangle(canvas, (line, line // 2), (2 * line, line // 2 + line), quality_colour(quality), -1)
    for row, (text, colour) in enumerate(rows):
        draw_text(canvas, _ascii(text), (3 * line, line * (2 * row + 1) + line // 3), line * 0.85, colour)
    return canvas


def _line_px(width: int) -> int:
    """Compute half the height of a line of the caption."""
    return max(width // 90, 12)


def _ascii(text: str) -> str:
    """Reduce text to ASCII, all that OpenCV's fonts know."""
    return text.encode("ascii", "replace").decode("ascii")
