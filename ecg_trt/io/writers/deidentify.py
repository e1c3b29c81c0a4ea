"""Pictures and records without what may name a patient.

Of a page only its rows are kept: what lies near the curves, the lead names that were read, and the calibration pulses.
Header, footer, margins, what is written between the rows, and everything beside the page become plain paper. What is
written on a curve, or nearer to it than `_ROUND_MM`, stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ecg_trt.geometry.grid import dense_map
from ecg_trt.io.writers.notes import without_file_names
from ecg_trt.io.writers.overlay import LEAST_CONFIDENCE
from ecg_trt.io.writers.photo_picture import fill_polygons
from ecg_trt.layout import MARKED_WORDS
from ecg_trt.types import Array, GridWarp, PhotoView, RectifiedPage, Strip, TraceMap

if TYPE_CHECKING:
    from ecg_trt.reading import Reading
    from ecg_trt.stages.rectify import PageHeatmaps

_PX_PER_MM = 2.0  # Of the mask of what is kept.
_ROUND_MM = 4.0  # Distance, along either axis, within which what lies around a curve, zero line or pulse is kept.
_PULSE_SEEN, _NAME_SEEN = 0.5, 0.25  # Least responses of the heatmaps.
# Where a name may stand, from the start of its lead on the zero line: left, right, above, below; and half its size.
_NAME_REACH_MM = (-9.0, 32.0, -16.0, 13.0)
_NAME_HALF_MM = (5.0, 3.0)
_WHITE = (255, 255, 255)


def deidentified(reading: Reading) -> Reading:
    """Blank everything but the rows in the flat page and in the photo, and drop the file's name.

    Args:
        reading: of a photo, as `Digitizer.read` gives it.

    Returns:
        A reading whose pictures and record can be written in any format.
    """
    page, photo = reading.page, reading.photo
    kept = _kept(page, reading.strips, reading.trace, reading.heatmaps)
    return replace(
        reading.with_page(replace(page, image=_blanked(page.image, _on_page(kept, page)))),
        record=without_file_names(reading.record),
        photo=replace(photo, image=_blanked(photo.image, _on_photo(kept, page, reading.grid, photo))),
    )


def _kept(page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap, heatmaps: PageHeatmaps) -> Array:
    """Mask what is kept: (H, W) uint8, 0 or 1, of the flat page at `_PX_PER_MM`."""
    height, width = (
        round(n / side * _PX_PER_MM) for n, side in zip(page.seen.shape, page.px_per_mm[::-1], strict=True)
    )
    kept = _pulses(heatmaps.pulse, page, (height, width))
    for strip, ridge, confidence in zip(strips, trace.ridge_row, trace.confidence, strict=True):
        x_mm = page.x_mm(np.arange(ridge.size))
        # What is followed without confidence may be print instead of a curve.
        is_curve = np.isfinite(ridge) & (confidence >= LEAST_CONFIDENCE)
        within = is_curve & (x_mm >= strip.x_mm[0]) & (x_mm <= strip.x_mm[1])
        curve = np.stack((x_mm, page.y_mm(ridge)), -1)[within]
        zero = np.array([(x, strip.zero_y_mm) for x in strip.x_mm])
        for points in (curve, zero):
            cv2.polylines(kept, [_to_mask(points, page)], False, 1)
    side = 2 * round(_ROUND_MM * _PX_PER_MM) + 1
    kept = cv2.dilate(kept, np.ones((side, side), np.uint8))
    for name in _names(strips, heatmaps.label):
        corners = _to_mask(np.array([name - _NAME_HALF_MM, name + _NAME_HALF_MM]), page)
        cv2.rectangle(kept, corners[0, 0].tolist(), corners[1, 0].tolist(), 1, -1)
    return kept


def _to_mask(xy_mm: Array, page: RectifiedPage) -> Array:
    """Convert points (n, 2), page mm, to (n, 1, 2) int32 px of the mask."""
    return np.rint((xy_mm - page.origin_mm) * _PX_PER_MM).astype(np.int32).reshape(-1, 1, 2)


def _pulses(heatmap: Array, page: RectifiedPage, shape: tuple[int, int]) -> Array:
    """Bring the calibration pulses of a heatmap to a mask of a shape, uint8, 0 or 1."""
    mask_from_page = np.array([[_PX_PER_MM, 0.0, 0.0], [0.0, _PX_PER_MM, 0.0]])
    mask_from_page[:, 2] = -_PX_PER_MM * np.array(page.origin_mm)
    pulses = (heatmap > _PULSE_SEEN).astype(np.uint8)  # At 1 px/mm: pixel (x, y) is page mm (x, y).
    return np.asarray(cv2.warpAffine(pulses, mask_from_page, shape[::-1], flags=cv2.INTER_NEAREST))


def _names(strips: Sequence[Strip], label: Array) -> Iterator[Array]:
    """Locate the lead names that are read where they are expected: (2,) page mm of each."""
    left, right, above, below = _NAME_REACH_MM
    for strip in strips:
        for segment in (segment for segment in strip.segments if segment.lead in MARKED_WORDS):
            x0, x1 = (max(round(segment.x_mm[0] + side), 0) for side in (left, right))
            y0, y1 = (max(round(strip.zero_y_mm + side), 0) for side in (above, below))
            reach = label[MARKED_WORDS.index(segment.lead), y0:y1, x0:x1]
            if reach.size and reach.max() > _NAME_SEEN:
                row, column = np.unravel_index(reach.argmax(), reach.shape)
                yield np.array([x0 + column, y0 + row], np.float64)


def _on_page(kept: Array, page: RectifiedPage) -> Array:
    """Bring the mask to the flat page's pixels, bool."""
    height, width = page.seen.shape
    return np.asarray(cv2.resize(kept, (width, height), interpolation=cv2.INTER_NEAREST) > 0)


def _on_photo(kept: Array, page: RectifiedPage, grid: GridWarp, photo: PhotoView) -> Array:
    """Bring the mask to the pixels of the photo's view, bool: its outlines are mapped through the grid, and filled."""
    shape = (kept.shape[0], kept.shape[1])
    photo_xy = dense_map(grid.node_xy, grid.mm_per_cell, page.origin_mm, (_PX_PER_MM, _PX_PER_MM), shape)
    mapped = kept * np.isfinite(photo_xy).all(-1).astype(np.uint8)
    outlines, _ = cv2.findContours(mapped, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    polygons = [photo.points(photo_xy[outline[:, 0, 1], outline[:, 0, 0]]) for outline in outlines]
    canvas = np.zeros(photo.image.shape[:2], np.uint8)
    fill_polygons(canvas, polygons)
    return canvas > 0


def _blanked(image: Array, kept: Array) -> Array:
    """Fill all but the kept pixels with the paper's colour, the median of what is kept."""
    colour = np.median(image[kept], axis=0).astype(np.uint8) if kept.any() else np.array(_WHITE, np.uint8)
    return np.where(kept[..., None], image, colour)
