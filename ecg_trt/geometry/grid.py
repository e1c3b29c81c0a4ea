"""The paper's lattice: walked, cleaned, completed, and spread to every pixel of the flat page.

Page mm and lattice agree by (col, row) * mm_per_cell; page px (x, y) lies at origin_mm + (x, y) / px_per_mm.
"""

from __future__ import annotations

import numpy as np

from ecg_trt.errors import OptionError, PageError
from ecg_trt.geometry.surface import fill_holes, fit_surface
from ecg_trt.geometry.walk import LatticeWalk, lattice_to_array, walk_lattice
from ecg_trt.types import Array

__all__ = ["LatticeWalk", "dense_map", "fill_holes", "fit_surface", "lattice_to_array", "walk_lattice"]


def dense_map(
    node_xy: Array,
    mm_per_cell: float,
    origin_mm: tuple[float, float],
    px_per_mm: tuple[float, float],
    out_hw: tuple[int, int],
) -> Array:
    """Photo position of every page pixel.

    The page's axes are the lattice's, so the bicubic interpolation (Keys, 1981, a = -1/2, which keeps
    quadratics) separates into two small matrices, and the whole map is two matrix products. At the rim the
    surface is continued as a quadratic. (`cv2.remap` would round each coordinate to 1/32 of a cell.)

    Args:
        node_xy: (rows, cols, 2) photo px, NaN = missing, at least 2 x 2.
        mm_per_cell: spacing of the lattice, mm.
        origin_mm: page mm of page pixel (0, 0).
        px_per_mm: (x, y) of the page.
        out_hw: (height, width) of the page, px.

    Returns:
        (H, W, 2) float32 photo px; NaN outside the lattice and in cells with a missing corner.

    Raises:
        OptionError: fewer than 2 x 2 nodes, or sizes that are not positive.
    """
    nodes = np.asarray(node_xy, np.float64)
    if nodes.ndim != 3 or nodes.shape[2] != 2 or min(nodes.shape[:2]) < 2:
        raise _bad(
            "The page cannot be mapped", f"nodes of shape {nodes.shape}", "(rows, cols, 2), at least 2 x 2"
        )
    if not min(mm_per_cell, *px_per_mm, *out_hw) > 0:
        raise _bad(
            "The page cannot be mapped",
            f"{mm_per_cell} mm a cell, {px_per_mm} px/mm, page {out_hw}",
            "numbers above zero",
        )
    rows, cols = nodes.shape[:2]
    col = (origin_mm[0] + np.arange(out_hw[1]) / px_per_mm[0]) / mm_per_cell
    row = (origin_mm[1] + np.arange(out_hw[0]) / px_per_mm[1]) / mm_per_cell
    missing = np.asarray(~np.isfinite(nodes).all(-1))
    if missing.any():
        if missing.all():
            return np.full((*out_hw, 2), np.nan, np.float32)
        nodes = _stand_ins(nodes, missing)
    along = nodes.transpose(0, 2, 1) @ _cubic(col, cols).T
    lines = np.ascontiguousarray(along.transpose(0, 2, 1).reshape(rows, -1), np.float32)
    out = _columns(_cubic(row, rows).astype(np.float32), lines, _cell_of(row, rows)).reshape(*out_hw, 2)
    _blank(out, row, col, missing)
    return out


def _bad(what: str, got: str, expected: str) -> OptionError:
    return OptionError(what, got=got, expected=expected, mend="Check the lattice and the page's scale.")


def _stand_ins(nodes: Array, missing: Array) -> Array:
    """Values for missing nodes, so that the cells beside a hole can be bent; their own are blanked later."""
    try:
        return fill_holes(nodes).astype(np.float64)
    except PageError:
        return np.where(missing[..., None], np.nanmean(nodes[~missing], axis=0), nodes)


def _cell_of(at: Array, n: int) -> Array:
    return np.asarray(np.clip(np.floor(at), 0, n - 2).astype(np.int64))


def _cubic(at: Array, n: int) -> Array:
    """(len(at), n) weights of n samples at integers for values at fractional positions."""
    cell = _cell_of(at, n)
    t = (at - cell)[:, None]
    taps = np.hstack(
        [
            -0.5 * t + t**2 - 0.5 * t**3,
            1 - 2.5 * t**2 + 1.5 * t**3,
            0.5 * t + 2 * t**2 - 1.5 * t**3,
            -0.5 * t**2 + 0.5 * t**3,
        ]
    )
    # One sample beyond each end, continued from the three next to it (two, where there are no more).
    wide = np.zeros((len(at), n + 2))
    np.put_along_axis(wide, cell[:, None] + np.arange(4), taps, axis=1)
    ghost = np.array([3.0, -3.0, 1.0]) if n > 2 else np.array([2.0, -1.0])
    inner = wide[:, 1:-1].copy()
    inner[:, : len(ghost)] += wide[:, :1] * ghost
    inner[:, n - len(ghost) :] += wide[:, -1:] * ghost[::-1]
    return inner


def _columns(weights: Array, lines: Array, cell: Array) -> Array:
    """Weights (H, n) @ lines (n, W), a cell's rows at a time, since most weights are zero."""
    out = np.empty((len(weights), lines.shape[1]), np.float32)
    ends = np.append(np.flatnonzero(np.diff(cell)) + 1, len(cell))
    start = 0
    for end in ends:
        # At the rim, the three samples next to it stand in for the one beyond.
        low, high = max(int(cell[start]) - 2, 0), min(int(cell[start]) + 4, len(lines))
        np.matmul(weights[start:end, low:high], lines[low:high], out=out[start:end])
        start = end
    return out


def _blank(out: Array, row: Array, col: Array, missing: Array) -> None:
    """Sets to NaN what lies outside the lattice or in a cell with a missing corner."""
    rows, cols = missing.shape
    slack = 1e-6
    out[(row < -slack) | (row > rows - 1 + slack)] = np.nan
    out[:, (col < -slack) | (col > cols - 1 + slack)] = np.nan
    if missing.any():
        cell = missing[:-1, :-1] | missing[1:, :-1] | missing[:-1, 1:] | missing[1:, 1:]
        out[cell[_cell_of(row, rows)][:, _cell_of(col, cols)]] = np.nan
