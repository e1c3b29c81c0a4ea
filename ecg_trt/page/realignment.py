"""Other alignments of a page: rotated, mirrored, scaled, or refined by an earlier candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ecg_trt.geometry.homography import apply_homography, fit_homography, grid_homography
from ecg_trt.layout import standard_row_length
from ecg_trt.page.naming import Naming
from ecg_trt.types import GridWarp, PageAlignment, Strip

_RANSAC_MM = 4.0
_MOST_RHYTHM_ROWS = 3  # Devices print no more.
_SIDE_MARGIN_MM = 22.0  # Margin around the strips in a refined alignment.
_MORE_ROWS_MM = 60.0  # Additional margin above and below them, where rows are missing.
# Additional margin beside rows of no standard length that end where the grid does, that is within 30 mm of its end.
_LONGER_MM, _EDGE_MM = 80.0, 30.0


def rotate90(alignment: PageAlignment, quarters: int) -> PageAlignment:
    """Rotate an alignment, so that the page is read after turning it clockwise by quarter turns."""
    page_from_photo, (w, h) = alignment.page_from_photo, alignment.size_mm
    for _ in range(quarters % 4):
        page_from_photo = np.array([[0, -1, h], [1, 0, 0], [0, 0, 1.0]]) @ page_from_photo
        w, h = h, w
    return replace(
        alignment, page_from_photo=page_from_photo, size_mm=(w, h),
        quarter_turns=(alignment.quarter_turns - quarters) % 4,
    )  # fmt: skip


def mirror(alignment: PageAlignment) -> PageAlignment:
    """Mirror an alignment, so that a page that was photographed through a mirror is read from left to right."""
    w = alignment.size_mm[0]
    return replace(
        alignment, page_from_photo=np.array([[-1, 0, w], [0, 1, 0], [0, 0, 1.0]]) @ alignment.page_from_photo
    )


def scale(alignment: PageAlignment, factor: float) -> PageAlignment:
    """Scale an alignment, so that the page is `factor` times as large."""
    w, h = alignment.size_mm
    larger = np.diag([factor, factor, 1.0]) @ alignment.page_from_photo
    return replace(alignment, page_from_photo=larger, size_mm=(factor * w, factor * h))


def turned_alike(alignment: PageAlignment, other: PageAlignment) -> tuple[PageAlignment, float]:
    """Turn an alignment by quarters so that it is most like another.

    Args:
        alignment: that is turned.
        other: of the same photo.

    Returns:
        The alignment as turned, and how far its corners lie from those of the other, at most, as a share of the
        diagonal, or how much longer or shorter its sides are said to be, where that is more.
    """
    turned = [rotate90(alignment, quarters) for quarters in range(4)]
    apart = [_apart(one, other) for one in turned]
    best = int(np.argmin(apart))
    return turned[best], apart[best]


def _apart(alignment: PageAlignment, other: PageAlignment) -> float:
    ends = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    size, other_size = np.array(alignment.size_mm), np.array(other.size_mm)
    corners = apply_homography(other.page_from_photo @ np.linalg.inv(alignment.page_from_photo), ends * size)
    off = np.linalg.norm(corners - ends * other_size, axis=1) / np.linalg.norm(other_size)
    return float(max(off.max(), np.abs(np.log(size / other_size)).max()))


def refine_alignment(
    alignment: PageAlignment, grid: GridWarp, strips: Sequence[Strip], *, more_rows: bool = False
) -> PageAlignment | None:
    """Refine an alignment by the grid and the strips that were found with it.

    With a grid, it is the homography of the grid's nodes, with margins for whole strips. Without one, it is scaled so
    that the rows have a standard length.

    Args:
        alignment: of the first candidate.
        grid: of the first candidate.
        strips: of the first candidate, at least one.
        more_rows: there may be rows above or below those found.

    Returns:
        None if there is nothing to go by.
    """
    x0, x1 = (float(np.median([s.x_mm[side] for s in strips])) for side in (0, 1))
    y0, y1 = strips[0].zero_y_mm, strips[-1].zero_y_mm
    length = standard_row_length(x1 - x0, slack=0.25)
    if grid.is_seen:
        rows, cols = np.nonzero(grid.measured)
        mm = grid.mm_per_cell * np.stack([cols, rows], -1).astype(np.float64)
        fit = fit_homography(grid.node_xy[rows, cols].astype(np.float64), mm, threshold=_RANSAC_MM)
        page_from_photo = fit.dst_from_src
        beside = np.full(2, max(0.0, (length or 0.0) - (x1 - x0)))
        if not beside.any() and standard_row_length(x1 - x0) is None:
            beside = _LONGER_MM * (np.array([x0 - mm[:, 0].min(), mm[:, 0].max() - x1]) < _EDGE_MM)
    elif length is not None:
        page_from_photo = grid_homography(grid)
        factor = length / (x1 - x0)
        page_from_photo = np.diag([factor, factor, 1.0]) @ page_from_photo
        x0, x1, y0, y1, beside = factor * x0, factor * x1, factor * y0, factor * y1, np.zeros(2)
    else:
        return None
    margin = _SIDE_MARGIN_MM + _MORE_ROWS_MM * more_rows
    low = np.array([x0 - beside[0] - _SIDE_MARGIN_MM, y0 - margin])
    high = np.array([x1 + beside[1] + _SIDE_MARGIN_MM, y1 + margin])
    shift = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1.0]])
    size = high - low
    return replace(alignment, page_from_photo=shift @ page_from_photo, size_mm=(float(size[0]), float(size[1])))


def may_extend_beyond_view(naming: Naming, grid: GridWarp, photo_hw: tuple[int, int]) -> bool:
    """Test whether the photo goes on beyond the view where a further row may stand.

    Below a layout of several columns that may be a rhythm strip; above or below strips of no known layout, any row.

    Args:
        naming: of the strips.
        grid: in which they were found.
        photo_hw: (height, width) of the photo, px.
    """
    zeros = [s.zero_y_mm for s in naming.strips]
    seen = np.flatnonzero(grid.measured.any(1))
    if len(zeros) < 2 or not len(seen):
        return False
    above, below = ((2 * a - b) / grid.mm_per_cell for a, b in ((zeros[0], zeros[1]), (zeros[-1], zeros[-2])))
    is_open = not naming.is_known
    rows = [above] if is_open and above < seen[0] else []
    may_have_rhythm = naming.layout.columns > 1 and len(naming.layout.rhythm_rows) < _MOST_RHYTHM_ROWS
    if below > seen[-1] and (is_open or may_have_rhythm):
        rows.append(below)
    nodes = grid.node_xy[np.clip(np.round(rows).astype(int), 0, len(grid.node_xy) - 1)]
    at = nodes[:, nodes.shape[1] // 2]
    return bool(((at > 0) & (at < np.array(photo_hw[::-1]) - 1)).all(-1).any())
