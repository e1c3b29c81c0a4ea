"""Pictures and curves of a reading, for the page to draw."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ecg_trt.io.writers.legend import grade_of
from ecg_trt.io.writers.overlay import LEAST_CONFIDENCE
from ecg_trt.layout import upright
from ecg_trt.ops.select import open_ops
from ecg_trt.types import Array, RectifiedPage, Segment

if TYPE_CHECKING:
    from ecg_trt.reading import Reading
    from ecg_trt.record import EcgRecord

_MOST_PX_PER_MM = 8.0  # Of the flat page as it is shown; a finer one shows no more of most photos.
_MOST_FLAT_PX = 6_000_000
_MARGIN_MM = 6.0  # Of paper around what was read, so that names and print beside the rows are in view.
_STEP_MM = 0.1  # Between points of a curve.
_WHITE_PAPER, _PAPER_PERCENTILE, _MOST_GAIN = 230.0, 85.0, 3.0  # Brightness of paper as it is shown, 0 .. 255.
_EVERY = 16  # Pixels of which one is measured for it.
_UNSEEN = 128  # Grey of what the photo does not show.


def flat_page(image: Array, reading: Reading) -> RectifiedPage:
    """Flatten the part of a photo that was read, with some paper around it.

    The trace is read from a page that is fine along time and coarse along voltage; this one is for the eye, with one
    scale along both.

    Args:
        image: (H, W, 3) uint8 RGB, the photo.
        reading: what was read of it.
    """
    page = reading.page
    size_px = page.seen.shape[::-1]
    origin = tuple(page.origin_mm[k] - _MARGIN_MM for k in (0, 1))
    size = tuple(size_px[k] / page.px_per_mm[k] + 2 * _MARGIN_MM for k in (0, 1))
    finest = min(_MOST_PX_PER_MM, float(np.sqrt(_MOST_FLAT_PX / (size[0] * size[1]))))
    scale = min(finest, max(2.0, 1.25 * page.photo_px_per_mm))
    hw = round(size[1] * scale), round(size[0] * scale)
    grid = reading.grid
    flat, seen = open_ops().rectify(
        image, grid.node_xy, grid.mm_per_cell, (origin[0], origin[1]), (scale, scale), hw, interpolation="linear"
    )
    flat = _bright(flat, seen)
    flat[~seen] = _UNSEEN
    return RectifiedPage(flat, (scale, scale), (origin[0], origin[1]), seen, page.photo_px_per_mm)


def _bright(image: Array, seen: Array) -> Array:
    """Brighten a page that lies in the dark, so that the curves stand out from it."""
    paper = float(np.percentile(image[seen][::_EVERY], _PAPER_PERCENTILE)) if seen.any() else _WHITE_PAPER
    gain = min(max(_WHITE_PAPER / max(paper, 1.0), 1.0), _MOST_GAIN)
    return cv2.convertScaleAbs(image, alpha=gain)


def frame_of(reading: Reading) -> str:
    """Hash all that `flat_page` takes from a reading: readings of one photo with one hash have one flat page."""
    page, grid = reading.page, reading.grid
    place = page.origin_mm, page.px_per_mm, page.seen.shape, page.photo_px_per_mm, grid.mm_per_cell, grid.node_xy.shape
    return hashlib.sha256(repr(place).encode() + grid.node_xy.tobytes()).hexdigest()[:16]


def place_of(flat: RectifiedPage) -> dict[str, Any]:
    """Give the place of the flat page as it is shown, page mm, as plain values."""
    height, width = flat.seen.shape
    return {
        "flat": {  # Its outer edges: coordinates of the page are those of pixels' centres.
            "x_mm": _mm(flat.origin_mm[0] - 0.5 / flat.px_per_mm[0]),
            "y_mm": _mm(flat.origin_mm[1] - 0.5 / flat.px_per_mm[1]),
            "width_mm": _mm(width / flat.px_per_mm[0]),
            "height_mm": _mm(height / flat.px_per_mm[1]),
        },
    }


def page_drawing(reading: Reading) -> dict[str, Any]:
    """Describe the curves on the flat page, page mm, and the page's corners in the photo, photo px, as plain values."""
    corners = reading.corrections.corners or reading.record.outline_px
    return {
        "corners": [[round(x, 1), round(y, 1)] for x, y in corners],
        "mirrored": reading.alignment.is_mirrored,
        "quarter_turns": reading.alignment.quarter_turns,
        "speed_mm_per_s": reading.record.paper_speed_mm_per_s,
        "rows": [_row(reading, number) for number in range(len(reading.strips))],
    }


def _row(reading: Reading, number: int) -> dict[str, Any]:
    """Describe a row: its zero line, leads, and the curve in steps of about `_STEP_MM`."""
    page, trace, strip = reading.page, reading.trace, reading.strips[number]
    step = max(1, round(_STEP_MM * page.px_per_mm[0]))
    first, last = (min(max(column, 0), page.seen.shape[1]) for column in page.columns_between(strip.x_mm))
    columns = np.arange(first, last, step)
    height = page.y_mm(trace.ridge_row[number, columns].astype(np.float64))
    uncertain = trace.confidence[number, columns] < LEAST_CONFIDENCE
    return {
        "zero_y_mm": _mm(strip.zero_y_mm),
        "x_mm": [_mm(x) for x in strip.x_mm],
        "leads": [_lead(segment, reading.record) for segment in strip.segments],
        "curve": {
            "x_mm": _mm(page.x_mm(float(first))),
            "step_mm": step / page.px_per_mm[0],
            "y_mm": [_mm(y) if np.isfinite(y) else None for y in height.tolist()],
            "uncertain": [1 if flag else 0 for flag in uncertain.tolist()],
        },
    }


def _lead(segment: Segment, record: EcgRecord) -> dict[str, Any]:
    name = upright(segment.lead)[0]
    quality = float(record.quality[record.lead_names.index(name)]) if name in record.lead_names else float("nan")
    return {
        "lead": segment.lead,
        "x_mm": [_mm(x) for x in segment.x_mm],
        "gain_mm_per_mv": record.gain_of(segment.lead),
        "quality": round(quality, 3) if np.isfinite(quality) else None,
        "grade": grade_of(quality),
    }


def _mm(value: float) -> float:
    return round(float(value), 3)
