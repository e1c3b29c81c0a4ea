"""Corrections of a page before its traces are known: its place in the photo, and the names on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from ecg_trt.corrections import Corrections, Point
from ecg_trt.errors import OptionError
from ecg_trt.geometry.grid import photo_points
from ecg_trt.geometry.homography import apply_homography
from ecg_trt.layout import layout_of
from ecg_trt.page.naming import Naming
from ecg_trt.page.realignment import mirror, rotate90
from ecg_trt.stages.align import rotate
from ecg_trt.stages.scaling import BESIDE_GREY
from ecg_trt.types import Array, GridWarp, PageAlignment, RectifiedPage, Strip

_BESIDE_MM = 10.0  # Left visible around corners that were given, as paper bulges and hands are not exact.
_SAME_MM = 1.0  # Difference in height and in length up to which two strips are one row.


def outline(page: RectifiedPage, grid: GridWarp) -> tuple[Point, ...]:
    """Corners of what a flat page shows of its grid, photo px: top left, top right, bottom right, bottom left."""
    (rows, columns), (height, width) = grid.node_xy.shape[:2], page.seen.shape
    x = np.clip([page.x_mm(0.0), page.x_mm(float(width))], 0, grid.mm_per_cell * (columns - 1))
    y = np.clip([page.y_mm(0.0), page.y_mm(float(height))], 0, grid.mm_per_cell * (rows - 1))
    corners = np.stack([x[[0, 1, 1, 0]], y[[0, 0, 1, 1]]], -1)
    return tuple((x, y) for x, y in photo_points(grid.node_xy, grid.mm_per_cell, corners).tolist())


def aligned_by_corners(corners: Sequence[Point], sheet: PageAlignment) -> PageAlignment:
    """Align a page by the corners of its area.

    Args:
        corners: photo px, top left, top right, bottom right and bottom left of the upright page.
        sheet: alignment of the area within them, however it is turned, which gives its size.
    """
    photo = np.array(corners, np.float64)
    mm = apply_homography(sheet.page_from_photo, photo)
    top, right, bottom, left = np.linalg.norm(np.roll(mm, -1, axis=0) - mm, axis=1).tolist()
    w, h = (top + bottom) / 2, (left + right) / 2
    page = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    page_from_photo = cv2.getPerspectiveTransform(photo.astype(np.float32), page).astype(np.float64)
    x, y = (photo[2] + photo[3] - photo[0] - photo[1]).tolist()  # Downwards on the page.
    turns = round((np.arctan2(y, x) - np.pi / 2) / (np.pi / 2)) % 4
    return replace(sheet, page_from_photo=page_from_photo, size_mm=(w, h), quarter_turns=turns)


def with_way_up(alignment: PageAlignment, corrections: Corrections) -> PageAlignment:
    """Turn and mirror an alignment as the corrections say; what they leave open stays."""
    turns = alignment.quarter_turns if corrections.quarter_turns is None else corrections.quarter_turns
    is_mirrored = alignment.is_mirrored if corrections.mirrored is None else corrections.mirrored
    turned = mirror(alignment) if alignment.is_mirrored else alignment
    turned = rotate90(turned, turned.quarter_turns - turns)
    turned = mirror(turned) if is_mirrored else turned
    return rotate(turned, float(np.deg2rad(corrections.rotation_deg)))


def without_surroundings(image: Array, alignment: PageAlignment) -> Array:
    """Hide everything of a photo (H, W, 3) uint8 that lies beside the area of an alignment."""
    w, h = (side + _BESIDE_MM for side in alignment.size_mm)
    wider = np.array([[-_BESIDE_MM, -_BESIDE_MM], [w, -_BESIDE_MM], [w, h], [-_BESIDE_MM, h]])
    corners = apply_homography(np.linalg.inv(alignment.page_from_photo), wider)
    inside = cv2.fillConvexPoly(np.zeros(image.shape[:2], np.uint8), np.rint(corners).astype(np.int32), 1) > 0
    return np.where(inside[..., None], image, np.uint8(BESIDE_GREY))


def renamed(naming: Naming, names: Mapping[tuple[int, int], str]) -> Naming:
    """Give segments other names; the layout becomes the known one that prints all of them, if there is one.

    Args:
        naming: of the page.
        names: (row, column) to a name.

    Raises:
        OptionError: the page has no such row, or the row no such column.
    """
    if not names:
        return naming
    for row, column in names:
        segments = row_of(naming.strips, row).segments
        if column >= len(segments):
            raise OptionError(
                "A name cannot be corrected", got=f"column {column} of row {row}",
                expected=f"a column from 0 to {len(segments) - 1}", hint="Columns are counted from 0 at the left.",
            )  # fmt: skip
    strips = tuple(
        s.with_leads(names.get((k, n), lead) for n, lead in enumerate(s.leads)) for k, s in enumerate(naming.strips)
    )
    return replace(naming, layout=layout_of([s.leads for s in strips]) or naming.layout).with_strips(strips)


def row_of(strips: Sequence[Strip], row: int) -> Strip:
    """Take the strip of a row that a correction names.

    Raises:
        OptionError: there is none.
    """
    if row >= len(strips):
        raise OptionError("A row cannot be corrected", got=f"row {row}", expected=f"a row from 0 to {len(strips) - 1}",
                          hint="Rows are counted from 0 at the top.")  # fmt: skip
    return strips[row]


def on_traced_rows(strips: Sequence[Strip], traced: Sequence[Strip]) -> tuple[list[int], tuple[Strip, ...]] | None:
    """Place newly named strips where rows of the same height and length were traced.

    Args:
        strips: newly named.
        traced: strips whose traces are known.

    Returns:
        The index of each strip's row among those that were traced, and the strips; None if one of them was not traced.
    """
    rows, placed = [], []
    for strip in strips:
        row = next((k for k, other in enumerate(traced) if _is_same_row(strip, other)), None)
        if row is None:
            return None
        rows.append(row)
        own = traced[row]
        placed.append(strip.moved(own.x_mm[0] - strip.x_mm[0], own.zero_y_mm - strip.zero_y_mm))
    return rows, tuple(placed)


def _is_same_row(strip: Strip, other: Strip) -> bool:
    """True if two strips differ by no more than what their traces cover anyway; they may start elsewhere."""
    length, other_length = (s.x_mm[1] - s.x_mm[0] for s in (strip, other))
    return abs(strip.zero_y_mm - other.zero_y_mm) < _SAME_MM and abs(length - other_length) < _SAME_MM
