"""Surface of the paper over its grid: outliers, holes and margins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecg_trt.errors import OptionError, PageError
from ecg_trt.geometry.energy import GridEnergy, add_bending, add_stretch
from ecg_trt.geometry.homography import apply_homography, fit_homography
from ecg_trt.types import Array

_REACH = 2
_KNOWN = 1e6  # Weight that pins a measured node, against a bending weight of 1.
_PLANE_NODES = 500  # Number of nodes to which the homography is fitted, about.
_STRETCH = 0.05  # Weight of the tension that brings the plate back to the homography.
# Predictions of a node from others, each exact for one kind of sheet: [(d_row, d_col, coefficient), ...].
_CROSS = [(0, 1), (0, -1), (1, 0), (-1, 0)]
_PREDICTIONS = [
    *[[(r, c, 0.5), (-r, -c, 0.5)] for r, c in ((0, 1), (1, 0), (1, 1), (1, -1))],
    *[[(r, c, 2.0), (2 * r, 2 * c, -1.0)] for r, c in _CROSS],
    *[[(r, 0, 1.0), (0, c, 1.0), (r, c, -1.0)] for r in (-1, 1) for c in (-1, 1)],
]


@dataclass(frozen=True, slots=True)
class _PatchLimits:
    """Limits by which mis-indexed patches are recognised; distances are in pitches of the grid.

    Attributes:
        on_plane: distance of inliers from the plane.
        connected: greatest step of the residual between neighbouring nodes of one patch.
        off_plane: least distance of a mis-indexed patch from the plane.
        least_nodes: least number of nodes of a mis-indexed patch.
        flat: median distance from the plane up to which paper is flat: 0.03 on scans, 0.1 and more on photos.
        page_share: least share of all nodes that the patch of the page has.
        plane_nodes: number of nodes to which the plane is fitted, about.
    """

    on_plane: float = 0.1
    connected: float = 0.12
    off_plane: float = 0.15
    least_nodes: int = 12
    flat: float = 0.04
    page_share: float = 0.55
    plane_nodes: int = 250


_PATCH = _PatchLimits()


def fit_surface(
    node_xy: Array, *, sigmas: float = 4.0, least: float = 0.05, most: float = 0.3, rounds: int = 4
) -> tuple[Array, float]:
    """Remove nodes that do not lie on the sheet which their neighbours span.

    Each node is compared with the median of up to twelve predictions from its neighbours: means of opposite
    ones, straight continuations, and completed parallelograms, some of which hold even next to a crease. The
    limit is `sigmas` times the local spread of these differences, so that crumpled parts are judged by their
    own measure. In each round only the worst node of a neighbourhood goes, since it spoils the predictions
    around it.

    Args:
        node_xy: (rows, cols, 2) photo px, NaN = missing.
        sigmas: limit in robust standard deviations of the neighbourhood.
        least: limit below which no node is removed, in pitches.
        most: limit above which every node is removed, in pitches.
        rounds: of removal.

    Returns:
        (rows, cols, 2) float32 with outliers, and nodes that nothing confirms, set to NaN; and the RMS
        distance of the others from a smoothing thin plate, photo px (NaN if none is left).

    Raises:
        OptionError: not a (rows, cols, 2) array.
    """
    nodes = _as_nodes(node_xy).copy()
    pitch = _pitch(nodes)
    if not np.isfinite(pitch):
        return np.full_like(nodes, np.nan, np.float32), float("nan")
    for _ in range(rounds):
        miss = np.linalg.norm(nodes - _median_prediction(nodes), axis=-1)
        around = _shifted(miss, _REACH)
        spread = 1.4826 * median_of_finite(around.reshape(-1, *miss.shape))
        limit = np.clip(sigmas * spread, least * pitch, most * pitch)
        ring = around[1:4, 1:4].reshape(-1, *miss.shape)
        worst = miss >= np.fmax.reduce(ring, axis=0)
        wrong = (miss > limit) & worst
        if not wrong.any():
            break
        nodes[wrong] = np.nan
    nodes[~np.isfinite(miss)] = np.nan
    return nodes.astype(np.float32), _plate_residual(nodes)


def without_misindexed_patches(node_xy: Array) -> Array:
    """Remove mis-indexed patches from the grid of a flat page: dotted lines are easily taken for their neighbours.

    Nodes belong to one patch if their residuals from a homography differ by little from one node to the next. Where
    the greatest patch is flat and another lies clearly off it, only the greatest stays. Paper that is bent is left as
    it is, because a fold may look the same.

    Args:
        node_xy: (rows, cols, 2) px, NaN = missing.

    Returns:
        (rows, cols, 2), nodes of other patches set to NaN.
    """
    row, col = np.nonzero(np.isfinite(node_xy).all(-1))
    index, nodes = np.stack([col, row], -1).astype(np.float64), node_xy[row, col].astype(np.float64)
    off, some = np.full(node_xy.shape, np.nan), slice(None, None, 1 + len(index) // _PATCH.plane_nodes)
    try:
        plane = fit_homography(nodes[some], index[some], threshold=_PATCH.on_plane).dst_from_src
    except PageError:  # All nodes lie on one line.
        return node_xy
    off[row, col] = apply_homography(plane, nodes) - index
    far = np.abs(off[row, col]).max(1)
    if (far > _PATCH.off_plane).sum() < _PATCH.least_nodes or np.median(far) > 4 * _PATCH.flat:
        return node_xy
    patch = _patches(off)[row, col]
    names, size = np.unique(patch, return_counts=True)
    stays = patch == names[size.argmax()]
    has_misindexed = any(np.median(far[patch == name]) > _PATCH.off_plane for name in names[size >= _PATCH.least_nodes])
    if not has_misindexed or np.median(far[stays]) > _PATCH.flat or stays.mean() < _PATCH.page_share:
        return node_xy
    out = node_xy.copy()
    out[row[~stays], col[~stays]] = np.nan
    return out


def _patches(off: Array) -> Array:
    """Number the patches of connected nodes: (rows, cols), from the residuals `off` (rows, cols, 2) in pitches."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    rows, cols = off.shape[:2]
    number = np.arange(rows * cols).reshape(rows, cols)
    pairs = []
    for down, right in ((0, 1), (1, 0), (0, 2), (2, 0), (1, 1), (1, -1)):
        here = np.s_[: rows - down, max(0, -right) : cols - max(0, right)]
        there = np.s_[down:, max(0, right) : cols + min(0, right)]
        connected = (np.abs(off[here] - off[there]) < _PATCH.connected).all(-1)
        pairs.append((number[here][connected], number[there][connected]))
    ends = tuple(np.concatenate(side) for side in zip(*pairs, strict=True))
    links = coo_matrix((np.ones(len(ends[0])), ends), shape=(number.size, number.size))
    return np.asarray(connected_components(links, directed=False)[1].reshape(rows, cols))


def fill_holes(node_xy: Array, margin_cells: int = 0) -> Array:
    """Fill the holes of a grid, and continue it outwards.

    The departure from the homography that fits the nodes best is continued as a plate under tension: near a
    measured node it follows the local slope, and it comes back to the homography within some five cells, so
    that nothing explodes in large holes or in the margin. Measured nodes stay as they are.

    Args:
        node_xy: (rows, cols, 2) photo px, NaN = missing.
        margin_cells: cells added on each side.

    Returns:
        (rows + 2 margin, cols + 2 margin, 2) float32, no NaN. Node (r, c) of the input is at (r + margin, c +
        margin).

    Raises:
        OptionError: not a (rows, cols, 2) array, or a negative margin.
        PageError: fewer than three nodes, or all on one line.
    """
    if margin_cells < 0:
        raise OptionError(
            "The grid cannot be continued",
            got=f"a margin of {margin_cells} cells",
            expected="zero or more",
            hint="Pass the number of cells to add on each side.",
        )
    pad = [(margin_cells, margin_cells)] * 2 + [(0, 0)]
    nodes = np.pad(_as_nodes(node_xy), pad, constant_values=np.nan)
    known = np.asarray(np.isfinite(nodes).all(-1))
    if known.all():
        return nodes.astype(np.float32)
    plane = _plane(nodes, known)
    energy = GridEnergy(*known.shape, reach=2)
    add_bending(energy, 1.0)
    add_stretch(energy, _STRETCH)
    departure = np.where(known[..., None], nodes - plane, 0.0)
    energy.add([(0, 0)], [1.0], np.where(known, _KNOWN, 1e-3), departure)
    filled = plane + energy.minimise()
    filled[known] = nodes[known]
    return filled.astype(np.float32)


def cauchy_weight(distance: Array, half: float) -> Array:
    """Weigh observations by 0..1, a half at a distance of `half`, so that those far off hardly count."""
    return np.asarray(1 / (1 + (distance / half) ** 2))


def robust_plate(node_xy: Array, measured: Array, *, weight: float, half: float, fits: int = 3) -> Array:
    """Fit a plate under tension to nodes of some noise, of which some lie far off it, and continue it beyond them.

    Args:
        node_xy: (rows, cols, 2) px, none missing.
        measured: (rows, cols) bool, the nodes that count.
        weight: of a node, against a bending weight of 1.
        half: distance from the plate, in pitches, at which a node counts half (Cauchy).
        fits: number of fits, each with the weights that follow from the one before.

    Returns:
        (rows, cols, 2) float64 px.
    """
    pitch, plane, share = _pitch(node_xy), _plane(node_xy, measured), measured.astype(np.float64)
    departure = np.where(measured[..., None], node_xy - plane, 0.0)
    for _ in range(fits):
        energy = GridEnergy(*measured.shape, reach=2)
        add_bending(energy, 1.0)
        add_stretch(energy, _STRETCH)
        energy.add([(0, 0)], [1.0], np.maximum(weight * share, 1e-3), departure)
        plate = plane + energy.minimise()
        share = measured * cauchy_weight(np.linalg.norm(node_xy - plate, axis=-1) / pitch, half)
    return np.asarray(plate)


def without_noise(node_xy: Array, measured: Array, *, weight: float, half: float, rounds: int = 8) -> Array:
    """Bring nodes to a plate without tension, as `robust_plate` does, on a fine grid and not beyond its nodes.

    Garcia's robust smoothing of gridded data (Computational Statistics & Data Analysis 54, 2010): the plate is solved
    by a cosine transform, again and again where nodes count in part.

    Args:
        node_xy: (rows, cols, 2) px, none missing.
        measured: (rows, cols) bool, the nodes that count.
        weight: of a node, against a bending weight of 1.
        half: distance from the plate, in pitches, at which a node counts half (Cauchy).
        rounds: number of transforms.

    Returns:
        (rows, cols, 2) float64 px.
    """
    from scipy.fft import dctn, idctn

    pitch, plane, share = _pitch(node_xy), _plane(node_xy, measured), measured.astype(np.float64)
    curvature = np.add.outer(*(2 - 2 * np.cos(np.pi * np.arange(n) / n) for n in measured.shape))
    damping = (1 / (1 + curvature**2 / weight))[..., None]
    departure = node_xy - plane
    plate = departure
    for _ in range(rounds):
        pulled = plate + share[..., None] * (departure - plate)
        plate = idctn(damping * dctn(pulled, axes=(0, 1), norm="ortho"), axes=(0, 1), norm="ortho")
        share = measured * cauchy_weight(np.linalg.norm(departure - plate, axis=-1) / pitch, half)
    return np.asarray(plane + plate)


def _as_nodes(node_xy: Array) -> Array:
    nodes = np.asarray(node_xy, np.float64)
    if nodes.ndim != 3 or nodes.shape[2] != 2:
        raise OptionError(
            "Not a grid",
            got=f"an array of shape {nodes.shape}",
            expected="(rows, cols, 2)",
            hint="Pass the nodes' photo px, NaN where a node is missing.",
        )
    return np.where(np.isfinite(nodes).all(-1, keepdims=True), nodes, np.nan)


def _pitch(nodes: Array) -> float:
    """Median distance of neighbouring nodes, px; NaN if there are none."""
    steps = [np.linalg.norm(np.diff(nodes, axis=k), axis=-1).ravel() for k in (0, 1)]
    lengths = np.concatenate(steps)
    lengths = lengths[np.isfinite(lengths)]
    return float(np.median(lengths)) if lengths.size else float("nan")


def _shifted(field: Array, reach: int) -> Array:
    """Stack shifted copies of a field: [reach + r, reach + c] of the result is the field r rows down, c columns on."""
    pad = [(reach, reach)] * 2 + [(0, 0)] * (field.ndim - 2)
    padded = np.pad(field, pad, constant_values=np.nan)
    span = 2 * reach + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, (span, span), axis=(0, 1))
    return np.asarray(np.moveaxis(windows, (-2, -1), (0, 1)))


def median_of_finite(values: Array) -> Array:
    """Median over the first axis of the values that are not NaN; NaN where all are."""
    ordered = np.sort(values, axis=0)  # NaN is sorted last.
    count = np.isfinite(values).sum(axis=0)
    last = np.maximum(count - 1, 0)
    low = np.take_along_axis(ordered, (last // 2)[None], axis=0)[0]
    high = np.take_along_axis(ordered, (count // 2).clip(0, last)[None], axis=0)[0]
    return np.asarray(0.5 * (low + high))


def _median_prediction(nodes: Array) -> Array:
    near = _shifted(nodes, _REACH)
    stack = np.stack([sum(k * near[_REACH + r, _REACH + c] for r, c, k in terms) for terms in _PREDICTIONS])
    return median_of_finite(stack)


def _plate_residual(nodes: Array) -> float:
    known = np.asarray(np.isfinite(nodes).all(-1))
    if known.sum() < 4 or min(known.shape) < 2:
        return 0.0 if known.any() else float("nan")
    try:
        plane = _plane(nodes, known)
    except PageError:
        return 0.0
    energy = GridEnergy(*known.shape, reach=2)
    add_bending(energy, 1.0)
    departure = np.where(known[..., None], nodes - plane, 0.0)
    energy.add([(0, 0)], [1.0], np.where(known, 1.0, 1e-6), departure)
    miss = (departure - energy.minimise())[known]
    return float(np.sqrt(np.mean(np.sum(miss**2, axis=-1))))


def _plane(nodes: Array, known: Array) -> Array:
    """Fit a homography to the known nodes, or an affine map near a horizon, and evaluate it: (rows, cols, 2) px."""
    row, col = np.nonzero(known)
    some = slice(None, None, 1 + len(row) // _PLANE_NODES)
    row, col = row[some], col[some]
    index = np.column_stack([col, row]).astype(np.float64)
    design = np.column_stack([index, np.ones(len(index))])
    if len(index) < 3 or np.linalg.matrix_rank(design) < 3:
        raise PageError(
            "The paper's grid cannot be completed",
            got=f"{len(index)} nodes, on one line at most",
            expected="nodes in at least two rows and two columns",
            hint="Take the photo from nearer, or in better light.",
        )
    cc, rr = np.meshgrid(np.arange(known.shape[1]), np.arange(known.shape[0]))
    grid = np.stack([cc, rr], axis=-1).astype(np.float64)
    affine = np.linalg.lstsq(design, nodes[row, col], rcond=None)[0]
    flat = np.concatenate([grid, np.ones_like(grid[..., :1])], axis=-1) @ affine
    homography = _perspective(index, nodes[row, col], affine)
    if homography is None:
        return np.asarray(flat)
    depth = grid @ homography[2, :2] + homography[2, 2]
    # A plane that nearly reaches the horizon is a bad fit, as crumpled paper makes it; the affine map is safer.
    if depth.min() < 0.2 * np.median(depth):
        return np.asarray(flat)
    return apply_homography(homography, grid)


def _perspective(index: Array, xy: Array, affine: Array) -> Array | None:
    """Refine an affine map to the least-squares homography (3, 3) by Gauss-Newton; None where that diverges."""
    if len(index) < 8:
        return None
    centre, scale = index.mean(0), max(float(np.ptp(index)), 1.0)
    p = (index - centre) / scale
    ones = np.ones(len(p))
    h = np.eye(3)
    h[:2, :2], h[:2, 2] = affine[:2].T * scale, affine[2] + centre @ affine[:2]
    for _ in range(6):
        depth = p @ h[2, :2] + 1.0
        if depth.min() < 0.1:
            return None
        q = apply_homography(h, p)
        base = np.column_stack([p, ones]) / depth[:, None]
        zero = np.zeros_like(base)
        slope = -base[:, :2]
        rows = np.vstack([np.hstack([base, zero, slope * q[:, :1]]), np.hstack([zero, base, slope * q[:, 1:]])])
        try:  # Normal equations: points are scaled to the unit square, and nodes of a grid determine all of them well.
            step = np.linalg.solve(rows.T @ rows, rows.T @ (xy - q).T.ravel())
        except np.linalg.LinAlgError:
            return None
        h += np.append(step, 0.0).reshape(3, 3)
    back = np.array([[1 / scale, 0, -centre[0] / scale], [0, 1 / scale, -centre[1] / scale], [0, 0, 1]])
    return np.asarray(h @ back)
