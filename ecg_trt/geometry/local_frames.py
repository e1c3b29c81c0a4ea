"""Integration of local frames of the paper to positions on the page."""

from __future__ import annotations

import numpy as np

from ecg_trt.errors import OptionError
from ecg_trt.geometry.energy import GridEnergy
from ecg_trt.types import Array

_FAINT = 1e-6  # Weight of edges that only connect separate parts of the mask, relative to the mean weight.


def integrate_frames(xy: Array, mask: Array, jac: Array, weight: Array) -> Array:
    """Integrate local derivatives to positions, up to a translation.

    Between neighbouring cells a and b the page moves by (J_a + J_b) / 2 (xy_b - xy_a), the trapezoidal rule,
    which is exact where the map is quadratic. The positions are the weighted least-squares solution over the
    edges of the 4-neighbourhood (a Poisson equation). Cells outside the mask borrow the frame of the nearest
    cell inside with hardly any weight, so that separate parts of the page come out in one frame.

    Args:
        xy: photo px of the cells, a regular grid: (rows, cols, 2), or (rows * cols, 2), or (N, 2) with the N
            cells of the mask in reading order.
        mask: (rows, cols) bool, cells that lie on the page.
        jac: (rows, cols, 2, 2), d page mm / d photo px; what stands outside the mask is ignored.
        weight: (rows, cols), trust in each cell's frame.

    Returns:
        (rows, cols, 2) float64 page mm, NaN outside the mask, median over the mask zero.

    Raises:
        OptionError: shapes that do not match, an empty mask, or frames in it that are not finite.
    """
    inside = np.asarray(mask, bool)
    rows, cols = inside.shape
    frames = np.asarray(jac, np.float64)
    trust = np.asarray(weight, np.float64)
    _check(inside, frames, trust)
    places = _whole_grid(np.asarray(xy, np.float64), inside)
    frames, trust = _borrow(frames, inside), np.where(inside, np.maximum(trust, 0.0), 0.0)
    faint = _FAINT * max(float(trust[inside].mean()), 1e-12)

    energy = GridEnergy(rows, cols, reach=1)
    for axis, offset in ((1, (0, 1)), (0, (1, 0))):
        a, b = _ends(axis)
        mean = 0.5 * (frames[a] + frames[b])
        move = np.einsum("rcij,rcj->rci", mean, places[b] - places[a])
        energy.add([(0, 0), offset], [-1.0, 1.0], np.sqrt(trust[a] * trust[b]) + faint, move)
    anchor = np.zeros(inside.shape)
    anchor.flat[int(np.argmax(trust))] = max(float(trust.max()), faint)
    energy.add([(0, 0)], [1.0], anchor)
    page = energy.minimise()
    page -= np.median(page[inside], axis=0)
    page[~inside] = np.nan
    return page


def _check(inside: Array, frames: Array, trust: Array) -> None:
    if frames.shape != (*inside.shape, 2, 2) or trust.shape != inside.shape:
        raise OptionError(
            "Local frames cannot be integrated",
            got=f"mask {inside.shape}, frames {frames.shape}, weights {trust.shape}",
            expected="(rows, cols), (rows, cols, 2, 2) and (rows, cols)",
            hint="Pass one frame and one weight a cell.",
        )
    if not inside.any() or not np.isfinite(frames[inside]).all() or not np.isfinite(trust[inside]).all():
        raise OptionError(
            "Local frames cannot be integrated",
            got="an empty mask, or frames in it that are not finite",
            expected="at least one cell, every frame finite",
            hint="Leave cells without a frame out of the mask.",
        )


def _ends(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices of the first and of the second cell of all edges along one axis."""
    first, second = [slice(None)] * 2, [slice(None)] * 2
    first[axis], second[axis] = slice(None, -1), slice(1, None)
    return tuple(first), tuple(second)


def _whole_grid(xy: Array, inside: Array) -> Array:
    """Arrange positions as (rows, cols, 2); cells without one continue the regular grid of the others."""
    rows, cols = inside.shape
    if xy.size == 2 * rows * cols:
        return xy.reshape(rows, cols, 2)
    r, c = np.nonzero(inside)
    if xy.shape != (len(r), 2):
        raise OptionError(
            "Local frames cannot be integrated",
            got=f"positions {xy.shape} for a grid of {rows} x {cols} with {len(r)} cells in the mask",
            expected=f"({rows}, {cols}, 2), ({rows * cols}, 2) or ({len(r)}, 2)",
            hint="Pass one position a cell.",
        )
    design = np.column_stack([c, r, np.ones(len(r))])
    affine = np.linalg.lstsq(design, xy, rcond=None)[0]
    cc, rr = np.meshgrid(np.arange(cols), np.arange(rows))
    grid = np.stack([cc, rr, np.ones_like(cc)], axis=-1) @ affine
    grid[inside] = xy
    return np.asarray(grid)


def _borrow(frames: Array, inside: Array) -> Array:
    """Replace frames outside the mask by that of the nearest cell inside."""
    if inside.all():
        return frames
    import cv2

    _, label = cv2.distanceTransformWithLabels(
        (~inside).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(label.max() + 1, np.int64)
    owner[label[inside]] = np.flatnonzero(inside)
    return np.asarray(frames.reshape(-1, 2, 2)[owner[label]])
