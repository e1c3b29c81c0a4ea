"""Maps from the pixels of the flat page to the photo, interpolated between the intersections of the paper's grid.

The intersection (col, row), a node, lies at (col, row) * mm_per_cell page mm; page px (x, y) lies at
origin_mm + (x, y) / px_per_mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecg_trt.errors import OptionError, PageError
from ecg_trt.geometry.homography import apply_homography, fit_homography, jacobian
from ecg_trt.geometry.surface import fill_holes
from ecg_trt.types import Array

_SLACK = 1e-6  # Cells by which the rim of a page may lie beyond the grid; it absorbs rounding errors.
_STEPS = 12  # Of Newton's method from the photo back to the page; folds take most.


@dataclass(frozen=True, slots=True)
class AxisTaps:
    """Nodes and weights from which each pixel along one axis of the page is interpolated.

    Attributes:
        first: (m,) int32, the first of four nodes that follow one another.
        weight: (m, 4) float64; 0 for nodes that do not exist, where an axis has fewer than four.
        cell: (m,) int32, the cell in which the pixel lies, -1 outside the grid.
    """

    first: Array
    weight: Array
    cell: Array


@dataclass(frozen=True, slots=True)
class GridTaps:
    """Separable interpolation of a page's pixels from the nodes of its grid.

    A pixel's photo position is the sum of y.weight[i] * x.weight[j] * node_xy[y.first + i, x.first + j].

    Attributes:
        node_xy: (rows, cols, 2) float64 photo px, none missing.
        blank: (rows - 1, cols - 1) bool, cells that had a missing corner.
        x: taps of each column of the page.
        y: taps of each row of the page.
    """

    node_xy: Array
    blank: Array
    x: AxisTaps
    y: AxisTaps

    def places(self, rows: Array, columns: Array) -> Array:
        """Map some rows and columns of the page: (rows, columns, 2) float32 photo px, NaN outside the grid."""
        n, m = self.node_xy.shape[:2]
        along = self.node_xy.transpose(0, 2, 1) @ _matrix(self.x.first[columns], self.x.weight[columns], m).T
        flat = _matrix(self.y.first[rows], self.y.weight[rows], n) @ along.reshape(n, -1)
        out = np.ascontiguousarray(flat.reshape(-1, 2, len(columns)).transpose(0, 2, 1), np.float32)
        return self._blanked(out, self.y.cell[rows], self.x.cell[columns])

    def points(self) -> Array:
        """Map as many points as both axes have taps: (n, 2) float64 photo px, NaN outside the grid."""
        rows, columns = (taps.first[:, None] + np.arange(4) for taps in (self.y, self.x))
        near = self.node_xy[np.minimum(rows, self.node_xy.shape[0] - 1)[:, :, None],
                            np.minimum(columns, self.node_xy.shape[1] - 1)[:, None]]  # fmt: skip
        out = np.einsum("ni,nj,nijk->nk", self.y.weight, self.x.weight, near)
        is_off = (self.y.cell < 0) | (self.x.cell < 0) | self.blank[self.y.cell, self.x.cell]
        out[is_off] = np.nan
        return out

    def blanked(self, out: Array) -> Array:
        """Write NaN into a map (H, W, 2) of all of the page's pixels where there is no grid, and return it."""
        return self._blanked(out, self.y.cell, self.x.cell)

    def _blanked(self, out: Array, row: Array, column: Array) -> Array:
        out[row < 0] = np.nan
        out[:, column < 0] = np.nan
        if self.blank.any():
            out[self.blank[row][:, column]] = np.nan
        return out


def axis_taps(at: Array, n: int) -> AxisTaps:
    """Compute the taps of bicubic interpolation (Keys, 1981, a = -1/2) along one axis.

    Args:
        at: (m,) positions, in nodes.
        n: number of nodes, 2 or more. The node that is missing beyond each end is extrapolated from the three next
            to it, or from two where there are no more.
    """
    cell = np.clip(np.floor(at), 0, n - 2).astype(np.int32)
    t = np.asarray(at - cell)[:, None]
    square, cube = t**2, t**3
    wide = np.hstack(
        [
            -0.5 * t + square - 0.5 * cube,
            1 - 2.5 * square + 1.5 * cube,
            0.5 * t + 2 * square - 1.5 * cube,
            -0.5 * square + 0.5 * cube,
        ]
    )
    first = np.clip(cell - 1, 0, max(n - 4, 0)).astype(np.int32)
    weight = np.where(((cell > 0) & (cell < n - 2))[:, None], wide, 0.0)
    rim = np.flatnonzero((cell <= 0) | (cell >= n - 2))
    if rim.size:
        weight[rim] = _rim_weights(cell[rim], first[rim], wide[rim], n)
    return AxisTaps(first, weight, np.where((at < -_SLACK) | (at > n - 1 + _SLACK), -1, cell).astype(np.int32))


def _rim_weights(cell: Array, first: Array, wide: Array, n: int) -> Array:
    """Weights (m, 4) of pixels whose cell lacks a neighbouring node on at least one side."""
    ghost = np.array([3.0, -3.0, 1.0]) if n > 2 else np.array([2.0, -1.0])
    weight = np.zeros((len(cell), 4))
    every = np.arange(len(cell))
    for k in range(4):
        node = cell - 1 + k
        real = (node >= 0) & (node < n)
        weight[every[real], (node - first)[real]] += wide[real, k]
        for step, share in enumerate(ghost):
            weight[node < 0, step] += share * wide[node < 0, k]
            beyond = node >= n
            weight[every[beyond], (n - 1 - step - first)[beyond]] += share * wide[beyond, k]
    return weight


def dense_map(
    node_xy: Array,
    mm_per_cell: float,
    origin_mm: tuple[float, float],
    px_per_mm: tuple[float, float],
    out_hw: tuple[int, int],
) -> Array:
    """Map every page pixel to its photo position.

    The page's axes are the grid's, so the bicubic interpolation (Keys, 1981, a = -1/2, which keeps
    quadratics) separates into two small matrices, and the whole map is two matrix products. At the rim the
    surface is continued as a quadratic. (`cv2.remap` would round each coordinate to 1/32 of a cell.)

    Args:
        node_xy: (rows, cols, 2) photo px, NaN = missing, at least 2 x 2.
        mm_per_cell: spacing of the grid, mm.
        origin_mm: page mm of page pixel (0, 0).
        px_per_mm: (x, y) of the page.
        out_hw: (height, width) of the page, px.

    Returns:
        (H, W, 2) float32 photo px; NaN outside the grid and in cells with a missing corner.

    Raises:
        OptionError: fewer than 2 x 2 nodes, or sizes that are not positive.
    """
    taps = grid_taps(node_xy, mm_per_cell, origin_mm, px_per_mm, out_hw)
    nodes, (height, width) = taps.node_xy, out_hw
    rows, cols = nodes.shape[:2]
    along = nodes.transpose(0, 2, 1) @ _matrix(taps.x.first, taps.x.weight, cols).T
    lines = np.ascontiguousarray(along.transpose(0, 2, 1).reshape(rows, -1), np.float32)
    out = _columns(_matrix(taps.y.first, taps.y.weight, rows).astype(np.float32), lines, taps.y.first)
    return taps.blanked(out.reshape(height, width, 2))


def grid_taps(
    node_xy: Array,
    mm_per_cell: float,
    origin_mm: tuple[float, float],
    px_per_mm: tuple[float, float],
    out_hw: tuple[int, int],
) -> GridTaps:
    """Compute the taps of `dense_map`; arguments and errors are the same."""
    nodes, blank = _whole(node_xy)
    if not min(mm_per_cell, *px_per_mm, *out_hw) > 0:
        raise _bad(
            "The page cannot be mapped",
            f"{mm_per_cell} mm a cell, {px_per_mm} px/mm, page {out_hw}",
            "numbers above zero",
        )
    col = (origin_mm[0] + np.arange(out_hw[1]) / px_per_mm[0]) / mm_per_cell
    row = (origin_mm[1] + np.arange(out_hw[0]) / px_per_mm[1]) / mm_per_cell
    return GridTaps(nodes, blank, axis_taps(col, nodes.shape[1]), axis_taps(row, nodes.shape[0]))


def photo_points(node_xy: Array, mm_per_cell: float, xy_mm: Array) -> Array:
    """Map points of the page to the photo, as `dense_map` does its pixels.

    Args:
        node_xy: (rows, cols, 2) photo px, NaN = missing, at least 2 x 2.
        mm_per_cell: spacing of the grid, mm.
        xy_mm: (..., 2) page mm.

    Returns:
        (..., 2) float64 photo px; NaN outside the grid and in cells with a missing corner.

    Raises:
        OptionError: fewer than 2 x 2 nodes.
    """
    nodes, blank = _whole(node_xy)
    points = np.asarray(xy_mm, np.float64)
    col, row = (points.reshape(-1, 2) / mm_per_cell).T
    known = np.isfinite(col) & np.isfinite(row)
    col, row = np.where(known, col, -1.0), np.where(known, row, -1.0)
    taps = GridTaps(nodes, blank, axis_taps(col, nodes.shape[1]), axis_taps(row, nodes.shape[0]))
    return taps.points().reshape(points.shape)


def node_mm(shape: tuple[int, ...], mm_per_cell: float) -> Array:
    """Places (rows, columns, 2) float64 of the nodes of a grid of shape (rows, columns, ..), page mm."""
    rows, columns, *_ = shape
    return mm_per_cell * np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).astype(np.float64)


def page_points(node_xy: Array, mm_per_cell: float, xy_px: Array) -> Array:
    """Map points of the photo to the page; the inverse of `photo_points`, by Newton's method.

    Args:
        node_xy: (rows, cols, 2) photo px, NaN = missing, at least 2 x 2.
        mm_per_cell: spacing of the grid, mm.
        xy_px: (..., 2) photo px.

    Returns:
        (..., 2) float64 page mm; NaN outside the grid and in cells with a missing corner.

    Raises:
        OptionError: fewer than 2 x 2 nodes.
        PageError: fewer than four nodes, or all of them (nearly) on one line.
    """
    nodes = np.asarray(node_xy, np.float64)
    last_mm = mm_per_cell * (np.array(nodes.shape[1::-1]) - 1)
    grid_mm = node_mm(nodes.shape, mm_per_cell)
    plane = fit_homography(nodes.reshape(-1, 2), grid_mm.reshape(-1, 2), threshold=mm_per_cell).dst_from_src
    target = np.asarray(xy_px, np.float64)
    page = apply_homography(plane, target)
    for _ in range(_STEPS):
        at = page.clip(0, last_mm)
        step = np.einsum("...ij,...j->...i", jacobian(plane, target), target - photo_points(nodes, mm_per_cell, at))
        page = at + step
    slack = _SLACK * mm_per_cell
    is_off = np.any((page < -slack) | (page > last_mm + slack), axis=-1, keepdims=True)
    return np.where(is_off, np.nan, page)


def _whole(node_xy: Array) -> tuple[Array, Array]:
    """Check a grid, and fill in missing nodes: nodes (rows, cols, 2) float64, cells (rows - 1, cols - 1) to blank."""
    nodes = np.asarray(node_xy, np.float64)
    if nodes.ndim != 3 or nodes.shape[2] != 2 or min(nodes.shape[:2]) < 2:
        raise _bad("The page cannot be mapped", f"nodes of shape {nodes.shape}", "(rows, cols, 2), at least 2 x 2")
    missing = np.asarray(~np.isfinite(nodes).all(-1))
    if missing.all():
        nodes = np.zeros_like(nodes)
    elif missing.any():
        nodes = _stand_ins(nodes, missing)
    return nodes, missing[:-1, :-1] | missing[1:, :-1] | missing[:-1, 1:] | missing[1:, 1:]


def _bad(what: str, got: str, expected: str) -> OptionError:
    return OptionError(what, got=got, expected=expected, hint="Check the grid and the page's scale.")


def _stand_ins(nodes: Array, missing: Array) -> Array:
    """Fill missing nodes, so that cells beside a hole can be interpolated; the cells of the hole are blanked later."""
    try:
        return fill_holes(nodes).astype(np.float64)
    except PageError:
        return np.where(missing[..., None], np.nanmean(nodes[~missing], axis=0), nodes)


def _matrix(first: Array, weight: Array, n: int) -> Array:
    """Expand taps to a dense matrix (m, n) with the weight of every node."""
    out = np.zeros((len(first), n + 3))
    np.put_along_axis(out, first[:, None] + np.arange(4), weight, axis=1)
    return out[:, :n]


def _columns(weights: Array, lines: Array, first: Array) -> Array:
    """Multiply weights (H, n) by lines (n, W), taking rows with the same taps together, as most weights are zero."""
    out = np.empty((len(weights), lines.shape[1]), np.float32)
    ends = np.append(np.flatnonzero(np.diff(first)) + 1, len(first))
    start = 0
    for end in ends:
        low, high = int(first[start]), min(int(first[start]) + 4, len(lines))
        np.matmul(weights[start:end, low:high], lines[low:high], out=out[start:end])
        start = end
    return out
