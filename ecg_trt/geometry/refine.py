"""Refinement of the grid by the printed lines themselves, measured on the page that the first grid rectified.

Where the grid is right, the darkness of a line lies at a multiple of 5 mm; elsewhere, its distance from there is the
error of the grid. Averaging windows along the lines makes this far finer than any single intersection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from ecg_trt.geometry.offsets import LineOffsets, LinePlaces, darkness
from ecg_trt.geometry.surface import cauchy_weight, median_of_finite, robust_plate, without_noise
from ecg_trt.geometry.unwrap import unwrapped
from ecg_trt.layout import standard_row_length
from ecg_trt.types import Array, GridWarp, RectifiedPage, Strip

_LEAST_PROMINENCE = 3.0  # Height of a line's peak, in units of the spread of the rest of its profile.
_OUTLIER_MM = 0.2  # Distance from the median of its neighbours at which an offset is an outlier.
_BLUR_NODES = (0.5, 0.7)  # Sigmas, in nodes, of the blur of offsets across and along the lines.
_FLAT_MM = 0.045  # Median distance from a cubic surface up to which paper counts as flat.
_OFF_MM = 0.06  # Scale of Cauchy's weight: nodes this far from the cubic count half.
# Distance from a cubic surface within which three quarters of the nodes of stage 1 lie on flat paper, 0.1 to 0.2 mm on
# scans and 0.4 to 1.1 on photos of paper that was folded, and distance of a stray from the sheet of those around.
_FLAT_NODES_MM, _STRAY_MM = 0.25, 0.6
# Weight of a node in the plate that is laid through those of stage 1, and its distance, in pitches, at which it counts
# half; the same for nodes that follow the lines of bent paper, in cells of that size. Of weights of 1, 1.5, 2, 5, 10
# and 20 the best on photos, 0.6 dB better than the nodes as they are measured.
_NOISY_WEIGHT, _NOISY_HALF = 0.1, 0.06
_BENT_WEIGHT, _BENT_CELL_MM, _BENT_HALF = 2.0, 2.5, 0.15
_ROUGH_MM = 7.5  # Sigma of the average over neighbouring lines, against which single lines count as rounded to pixels.
# Lines on either side through which a cubic is laid, nodes along a line from which its distance from there is known,
# and the share of the distance that is taken back: of 0, 0.3, 0.4 and 0.6, the best on photos of pages that were drawn
# at 200 dpi, whose lines are up to 0.06 mm off.
_LINES_AROUND, _LEAST_CROSSED, _ROUNDED_SHARE = 3, 8, 0.3
_CUBIC_TERMS = 10  # Terms of a polynomial of third degree in two variables.
_FINE_WINDOW_MM = 5.0  # Side of the window over which the phase of the 1 mm lines is averaged.
_LEAST_FINE, _LEAST_SEEN = 0.12, 0.5  # Share of the darkness in 1 mm lines, and share of the page on which it is so.
_WINDOW_SHARES = (0.125, 0.75, 0.125)  # Shares of three neighbouring nodes in the mean over a window of one cell.


def _trusted(offset: Array, prominence: Array) -> Array:
    """Weigh offsets (m, n) by 0..1, float32, low for faint lines and for offsets that disagree with their neighbours.

    The weight has no steps, so that rounding errors stay small.
    """
    weight = (prominence / _LEAST_PROMINENCE - 0.5).clip(0, 1).astype(np.float32)
    filled = np.where(weight > 0.5, offset, _average(offset, weight, (1.5, 1.5))).astype(np.float32)
    off = np.abs(offset - cv2.medianBlur(filled, 5)) / _OUTLIER_MM
    return np.asarray(weight * (1.5 - off).clip(0, 1).astype(np.float32))


def _without_outliers(offset: Array, prominence: Array) -> tuple[Array, Array]:
    """Replace unreliable offsets (m, n) by the mean of their neighbours; return them and the mask of reliable ones."""
    weight = _trusted(offset, prominence)
    return np.where(weight > 0.5, offset, _average(offset, weight, (1.0, 1.0))), weight > 0.5


def _sharpen(offset: Array) -> Array:
    """Undo the window's averaging down the lines (m, n), to first order, for paper that is straight between nodes."""
    padded = np.pad(offset, ((1, 1), (0, 0)), mode="edge")
    a, b, c = _WINDOW_SHARES
    return 2 * offset - (a * padded[:-2] + b * offset + c * padded[2:])


def _average(offset: Array, weight: Array, sigma: tuple[float, float]) -> Array:
    """Weighted Gaussian mean over neighbours, sigma (x, y); it falls to 0 where all weights are 0."""
    total, share = (
        cv2.GaussianBlur(a.astype(np.float32), (0, 0), sigma[0], sigmaY=sigma[1], borderType=cv2.BORDER_REFLECT)
        for a in (offset * weight, weight)
    )
    return np.asarray(total / np.maximum(share, 0.05))


def _lean_on_neighbours(nodes: Array, frame: Array, unseen: Array) -> Array:
    """Place the coordinates of a node that were not measured midway between its neighbours.

    Args:
        nodes: (rows, cols, 2) photo px.
        frame: (rows, cols, 2, 2) photo px a cell, [component, axis].
        unseen: (rows, cols, 2) bool, coordinates that were not measured, by axis.
    """
    inverse = np.linalg.inv(frame)
    for _ in range(6):
        middle = nodes.copy()
        middle[1:-1, 1:-1] = (nodes[1:-1, :-2] + nodes[1:-1, 2:] + nodes[:-2, 1:-1] + nodes[2:, 1:-1]) / 4
        miss = np.einsum("rcij,rcj->rci", inverse, middle - nodes)
        nodes = nodes + np.einsum("rcij,rcj->rci", frame, miss * unseen)
    return nodes


def _move_nodes(grid: GridWarp, move: Array) -> tuple[Array, Array]:
    """Move nodes by (rows, cols, 2) cells; return them, (rows, cols, 2) photo px, and their frame."""
    nodes = grid.node_xy.astype(np.float64)
    frame = np.stack([np.gradient(nodes, axis=1), np.gradient(nodes, axis=0)], -1)
    return nodes + np.einsum("rcij,rcj->rci", frame, move), frame


def refine_grid(
    grid: GridWarp, offsets: LineOffsets, places: LinePlaces, px_per_mm: tuple[float, float], hw: tuple[int, int]
) -> GridWarp:
    """Move the nodes so that the page's lines come to lie on multiples of the grid.

    Args:
        grid: the grid of stage 1.
        offsets: of the lines on the page (or part of it) that was rectified with it.
        places: of its lines on that page.
        px_per_mm: (x, y) of that page.
        hw: height and width of that page, px.

    Returns:
        The grid with its nodes moved: those that were measured by at most half a small box, others by as much as the
        continuation of the grid has drifted. Nodes outside the page follow their neighbours.
    """
    x = unwrapped(offsets.x, offsets.x_prominence, grid.measured)
    y = unwrapped(offsets.y, offsets.y_prominence, grid.measured)
    dx, seen_x = _without_outliers(x, offsets.x_prominence)
    dy, seen_y = _without_outliers(y.T, offsets.y_prominence.T)
    nodes, frame = _move_nodes(grid, np.stack([_sharpen(dx), _sharpen(dy).T], -1) / grid.mm_per_cell)
    inside = np.outer(
        *((mm > 0) & (mm * s < n) for mm, s, n in zip((places.y_mm, places.x_mm), px_per_mm[::-1], hw, strict=True))
    )
    unseen = np.stack([~seen_x & inside, ~seen_y.T & inside], -1)
    nodes = _lean_on_neighbours(nodes, frame, unseen)
    return GridWarp(nodes.astype(np.float32), grid.mm_per_cell, grid.residual_px, grid.measured)


def subdivided(grid: GridWarp) -> GridWarp:
    """Double the number of cells along both axes; new nodes lie on cubics through four old ones."""

    def between(nodes: Array) -> Array:
        ends = 2 * nodes[:1] - nodes[1:2], 2 * nodes[-1:] - nodes[-2:-1]
        a, b, c, d = (np.concatenate([ends[0], nodes, ends[1]])[k : len(nodes) - 1 + k] for k in range(4))
        out = np.empty((2 * len(nodes) - 1, *nodes.shape[1:]))
        out[::2], out[1::2] = nodes, (9 * (b + c) - a - d) / 16
        return out

    nodes = between(between(grid.node_xy.astype(np.float64)).swapaxes(0, 1)).swapaxes(0, 1)
    measured = grid.measured.repeat(2, 0).repeat(2, 1)
    measured = measured[:-1, :-1] & measured[1:, 1:]  # A node between two is measured where both are.
    return GridWarp(nodes.astype(np.float32), grid.mm_per_cell / 2, grid.residual_px, measured)


def follow_lines(grid: GridWarp, offsets: LineOffsets) -> GridWarp:
    """Let a subdivided grid follow its printed lines between the intersections.

    Args:
        grid: from `subdivided`; every other row and column of nodes is a printed line.
        offsets: of these lines at all nodes along them.

    Returns:
        The grid with its nodes moved: along x by the offsets of vertical lines, and between two lines by the mean of
        both; likewise along y.
    """
    moves = []
    for offset, prominence in ((offsets.x, offsets.x_prominence), (offsets.y.T, offsets.y_prominence.T)):
        line = _average(offset, _trusted(offset, prominence), _BLUR_NODES)
        every = line.repeat(2, 1)
        moves.append((every[:, :-1] + every[:, 1:])[:, : 2 * line.shape[1] - 1] / 2)
    nodes, _ = _move_nodes(grid, np.stack([moves[0], moves[1].T], -1) / grid.mm_per_cell)
    return GridWarp(nodes.astype(np.float32), grid.mm_per_cell, grid.residual_px, grid.measured)


def without_strays(grid: GridWarp) -> GridWarp:
    """Replace nodes of flat paper that lie off the sheet of those around, or were not measured.

    Where 5 mm lines hardly stand out from 1 mm lines, some nodes are found a millimetre off, and what is continued
    beyond the outermost ones drifts by as much, so that no line leads it back. Paper that is bent is left as it is.

    Args:
        grid: the grid of stage 1.

    Returns:
        The grid, without the strays among the measured nodes; unchanged where the paper is bent or too few were seen.
    """
    if grid.measured.sum() < 10 * _CUBIC_TERMS:
        return grid
    nodes = grid.node_xy.astype(np.float64)
    px_per_mm = _pitch(nodes) / grid.mm_per_cell

    def off_mm(surface: Array) -> Array:
        return np.asarray(np.linalg.norm(nodes - surface, axis=-1) / px_per_mm)

    if np.percentile(off_mm(_cubic(nodes, grid.measured, grid.mm_per_cell))[grid.measured], 75) > _FLAT_NODES_MM:
        return grid
    plate = robust_plate(nodes, grid.measured, weight=_NOISY_WEIGHT, half=_NOISY_HALF)
    stays = grid.measured & (off_mm(plate) < _STRAY_MM)
    return replace(grid, node_xy=np.where(stays[..., None], nodes, plate).astype(np.float32), measured=stays)


def smoothed(grid: GridWarp, nodes_a_line: int = 1) -> GridWarp:
    """Take back errors of nodes and of whole lines, as far as the paper allows.

    A cubic in the grid's coordinates, fitted robustly, follows perspective and lens but no fold. Where most nodes
    lie on it within some hundredths of a millimetre, the paper is flat, as in scans, and the distances of the others
    are errors of measurement. So are those of whole lines: software that draws a page rounds its lines to whole pixels,
    but not its trace. Where the paper is not flat, a share of these is taken back, and nodes are brought to a plate.

    Args:
        grid: a refined grid.
        nodes_a_line: every so many rows and columns of nodes are printed lines, 2 after `follow_lines`.

    Returns:
        The grid with its nodes moved, or unchanged where too few were measured.
    """
    rows, cols = np.nonzero(grid.measured)
    if len(rows) < 10 * _CUBIC_TERMS:
        return grid
    nodes = grid.node_xy.astype(np.float64)
    surface = _cubic(nodes, grid.measured, grid.mm_per_cell)
    frame = np.stack([np.gradient(surface, axis=1), np.gradient(surface, axis=0)], -1)
    off = np.einsum("rcij,rcj->rci", np.linalg.inv(frame), nodes - surface) * grid.mm_per_cell
    seen = grid.measured
    x, y = _unrounded(off[..., 0], seen, grid.mm_per_cell), _unrounded(off[..., 1].T, seen.T, grid.mm_per_cell).T
    if np.median(np.asarray(np.hypot(x, y))[seen]) > _FLAT_MM:
        return _less_noisy(_less_rounded(grid, nodes_a_line))
    inside = np.zeros(nodes.shape[:2], bool)
    inside[max(0, rows.min() - 1) : rows.max() + 2, max(0, cols.min() - 1) : cols.max() + 2] = True
    nodes = np.where(inside[..., None], surface, nodes)
    return GridWarp(nodes.astype(np.float32), grid.mm_per_cell, grid.residual_px, grid.measured)


def _less_rounded(grid: GridWarp, step: int) -> GridWarp:
    """Take back a share of what every `step`-th line of nodes is off those around: paper and camera hardly do that."""
    nodes, seen = grid.node_xy.astype(np.float64), grid.measured
    x, y = (
        np.interp(
            np.arange(n), step * np.arange(-(-n // step)), step * _off_neighbours(lines[:, ::step], on[:, ::step])
        )
        for n, lines, on in ((seen.shape[1], nodes, seen), (seen.shape[0], nodes.swapaxes(0, 1), seen.T))
    )
    moved, _ = _move_nodes(grid, -_ROUNDED_SHARE * np.stack(np.broadcast_arrays(x, y[:, None]), -1))
    return replace(grid, node_xy=moved.astype(np.float32))


def _less_noisy(grid: GridWarp) -> GridWarp:
    """Bring the measured nodes of bent paper to a plate, which is stiff against noise, and gives way to folds."""
    nodes = grid.node_xy.astype(np.float64)
    weight = _BENT_WEIGHT * (grid.mm_per_cell / _BENT_CELL_MM) ** 4  # A plate bends by the fourth power of its length.
    plate = without_noise(nodes, grid.measured, weight=weight, half=_BENT_HALF)
    return replace(grid, node_xy=np.where(grid.measured[..., None], plate, nodes).astype(np.float32))


def _off_neighbours(nodes: Array, seen: Array) -> Array:
    """Measure how far n lines (m, n, 2) lie from cubics through the lines around: (n,) spacings, 0 where not known."""
    reach = _LINES_AROUND
    off = np.zeros(nodes.shape[1])
    if nodes.shape[1] <= 2 * reach:
        return off
    places = np.delete(np.arange(-reach, reach + 1), reach)
    slope_and_value = np.linalg.pinv(np.vander(places, 4))[-2:]
    windows, known = (np.lib.stride_tricks.sliding_window_view(a, 2 * reach + 1, axis=1) for a in (nodes, seen))
    slope, value = np.moveaxis(np.delete(windows, reach, -1) @ slope_and_value.T, -1, 0)
    miss = ((windows[..., reach] - value) * slope).sum(-1) / (slope**2).sum(-1)
    crossed = known.all(-1)
    enough = crossed.sum(0) >= _LEAST_CROSSED
    off[reach:-reach][enough] = median_of_finite(np.where(crossed, miss, np.nan)[:, enough])
    return off


def _pitch(nodes: Array) -> float:
    """Median distance of neighbouring nodes along x, px."""
    return float(np.median(np.linalg.norm(np.diff(nodes, axis=1), axis=-1)))


def _cubic(nodes: Array, measured: Array, mm_per_cell: float) -> Array:
    """Fit a cubic in row and column to most of the measured nodes, and evaluate it: (rows, cols, 2) photo px."""
    rows, cols = np.nonzero(measured)
    pitch = _pitch(nodes)
    row, col = np.ogrid[: nodes.shape[0], : nodes.shape[1]]
    u, v = (2 * (a - b.mean()) / np.ptp(b) for a, b in ((col, cols), (row, rows)))
    terms = np.stack([u**i * v**j for i in range(4) for j in range(4 - i)], -1)
    seen, wanted = terms[measured], nodes[measured]
    weight = np.ones(len(seen))
    for _ in range(8):
        weighted = (seen * weight[:, None]).T
        factors = np.linalg.solve(weighted @ seen, weighted @ wanted)
        miss = np.linalg.norm(seen @ factors - wanted, axis=1) * mm_per_cell / pitch
        weight = cauchy_weight(miss, _OFF_MM)
    return np.asarray(terms @ factors)


def _unrounded(off: Array, seen: Array, mm_per_cell: float) -> Array:
    """Remove from the distances (m, n) of n lines from a surface what a whole line has and its neighbours lack."""
    whole = np.zeros(off.shape[1])
    some = np.asarray(seen.any(0))
    whole[some] = median_of_finite(np.where(seen, off, np.nan)[:, some])
    sigma = (_ROUGH_MM / mm_per_cell, 0.1)
    around = _average(whole[None], some[None].astype(np.float32), sigma)[0]
    return np.asarray(off - (whole - around))


def follow_small_boxes(grid: GridWarp, page: RectifiedPage) -> tuple[GridWarp, Array] | None:
    """Fit the grid to the 1 mm lines where the 5 mm lines do not stand out from them.

    The phase of the darkness at one cycle a millimetre, window by window, is the distance of the lines from whole
    millimetres. Unwrapped from window to window, it is the distance from where `grid` expects them, up to a constant.

    Args:
        grid: a grid whose scale is right within a few per cent.
        page: the page (or part of it) that was rectified with it.

    Returns:
        The grid with its nodes moved, and the moves (rows, cols, 2) in mm along the page's x and y, their median
        over the page being less than half a small box; None where no 1 mm lines are seen.
    """
    places = LinePlaces.of(grid, page.origin_mm)
    x_mm, y_mm = places.x_mm, places.y_mm
    sx, sy = page.px_per_mm
    dark, bare = darkness(page.image, page.px_per_mm, x_mm)
    moves = []
    dark = dark * bare
    for plane, along, across, lines, at in ((dark, sy, sx, x_mm, y_mm), (dark.T, sx, sy, y_mm, x_mm)):
        phase = _fine_phase(np.ascontiguousarray(plane), along, across, lines, at)
        if phase is None:
            return None
        moves.append(phase)
    move = np.stack([moves[0], moves[1].T], -1)
    nodes, _ = _move_nodes(grid, move / grid.mm_per_cell)
    on_page = np.outer((y_mm > 0) & (y_mm * sy < dark.shape[0]), (x_mm > 0) & (x_mm * sx < dark.shape[1]))
    return GridWarp(nodes.astype(np.float32), grid.mm_per_cell, grid.residual_px, on_page), move


class Refined(NamedTuple):
    """A refined grid and the strips on it.

    Attributes:
        grid: the refined grid.
        strips: rows in its page mm.
        text_mask: (H, W) bool at 1 px/mm of its page mm, the lead names.
        source_mm: (rows, cols, 2) page mm of the grid before, at the nodes of the refined one; None where page mm mean
            the same on both.
    """

    grid: GridWarp
    strips: tuple[Strip, ...]
    text_mask: Array
    source_mm: Array | None = None


def warped(strips: Sequence[Strip], move: Array, mm_per_cell: float) -> tuple[Strip, ...]:
    """Warp strips along with the nodes of their grid.

    Args:
        strips: in page mm of the old grid.
        move: (rows, cols, 2) mm, from `follow_small_boxes`.
        mm_per_cell: spacing of the grid, mm.
    """

    def moved(x: float, y: float) -> tuple[float, float]:
        r, c = (int(np.clip(round(v / mm_per_cell), 0, n - 1)) for v, n in ((y, move.shape[0]), (x, move.shape[1])))
        return x - float(move[r, c, 0]), y - float(move[r, c, 1])

    out = []
    for strip in strips:
        ends = [moved(x, strip.zero_y_mm)[0] for x in strip.x_mm]
        middle = moved(sum(strip.x_mm) / 2, strip.zero_y_mm)[1]
        length = standard_row_length(ends[1] - ends[0])
        low = ends[0] if length is None else (ends[0] + ends[1] - length) / 2
        high = ends[1] if length is None else low + length
        edges = np.linspace(low, high, max(1, len(strip.segments)) + 1)
        segments = tuple(replace(s, x_mm=(float(edges[k]), float(edges[k + 1]))) for k, s in enumerate(strip.segments))
        out.append(replace(strip, zero_y_mm=middle, x_mm=(low, high), segments=segments))
    return tuple(out)


def _fine_phase(dark: Array, along: float, across: float, lines_mm: Array, at_mm: Array) -> Array | None:
    """Measure (m, n) mm by which vertical 1 mm lines lie beyond whole millimetres, at at_mm x lines_mm.

    None where no 1 mm lines are seen.
    """
    turns = np.exp(-2j * np.pi * np.arange(dark.shape[1]) / across).astype(np.complex64)
    window = (2 * round(_FINE_WINDOW_MM * across / 2) + 1, 2 * round(_FINE_WINDOW_MM * along / 2) + 1)
    real, imaginary = (cv2.blur(dark * part, window) for part in (turns.real, turns.imag))
    strength = cv2.blur(np.abs(dark), window)
    rows = np.round(at_mm * along).astype(int)
    columns = np.round(lines_mm * across).astype(int)
    inside = np.outer((rows >= 0) & (rows < dark.shape[0]), (columns >= 0) & (columns < dark.shape[1]))
    at = np.ix_(np.clip(rows, 0, dark.shape[0] - 1), np.clip(columns, 0, dark.shape[1] - 1))
    wave = np.where(inside, real[at] + 1j * imaginary[at], 0)
    smooth = cv2.GaussianBlur(wave.real, (0, 0), 1.0) + 1j * cv2.GaussianBlur(wave.imag, (0, 0), 1.0)
    if np.mean(np.abs(smooth[inside]) > _LEAST_FINE * strength[at][inside].mean()) < _LEAST_SEEN:
        return None
    row, column = (int(np.median(np.flatnonzero(inside.any(axis)))) for axis in (1, 0))
    phase = np.unwrap(np.angle(smooth), axis=1)
    phase += (np.unwrap(np.angle(smooth[:, column])) - phase[:, column])[:, None]
    ends = np.flatnonzero(inside.any(0))[[0, -1]], np.flatnonzero(inside.any(1))[[0, -1]]
    phase = phase[:, np.clip(np.arange(len(columns)), *ends[0])][np.clip(np.arange(len(rows)), *ends[1])]
    offset = -phase / (2 * np.pi)
    return offset - np.round(offset[row, column])
