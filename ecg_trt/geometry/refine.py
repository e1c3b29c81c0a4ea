"""A second look at the lattice: the printed lines themselves, on the page that the first look has flattened.

A line that lies where it should has its darkness at a multiple of 5 mm; where it has not, the distance is what the
first look got wrong there. Windows along the lines make this far finer than any single crossing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from ecg_trt.geometry.offsets import LineOffsets, LinePlaces, darkness
from ecg_trt.layout import standard_row_length
from ecg_trt.types import Array, GridWarp, RectifiedPage, Strip

_LEAST_PROMINENCE = 3.0  # peak over the spread of the profile's rest
_OUTLIER_MM = 0.2
_BLUR_NODES = (0.5, 0.7)  # of offsets between nodes, across and along the lines
_FLAT_MM = 0.025  # median distance from a cubic at which paper still counts as flat
_OFF_MM = 0.06  # a node that far off it hardly counts
_ROUGH_MM = 7.5  # lines that lie off a cubic were rounded to whole pixels if those that near lie off elsewhere
_CUBIC_TERMS = 10
_FINE_WINDOW_MM = 5.0
_LEAST_FINE, _LEAST_SEEN = 0.12, 0.5  # of the darkness that must follow the 1 mm lines, and on how much of the page
_WINDOW_SHARES = (0.125, 0.75, 0.125)  # of neighbouring nodes in a window of one cell, straight lines between nodes


def _trusted(offset: Array, prominence: Array) -> Array:
    """(m, n) float32 in 0..1, low for offsets of lines that are hardly seen or disagree with all around.

    It changes little by little, so that rounding errors do too.
    """
    weight = (prominence / _LEAST_PROMINENCE - 0.5).clip(0, 1).astype(np.float32)
    filled = np.where(weight > 0.5, offset, _average(offset, weight, (1.5, 1.5))).astype(np.float32)
    off = np.abs(offset - cv2.medianBlur(filled, 5)) / _OUTLIER_MM
    return np.asarray(weight * (1.5 - off).clip(0, 1).astype(np.float32))


def _settle(offset: Array, prominence: Array) -> tuple[Array, Array]:
    """Offsets (m, n), those that are not to be trusted taken from neighbours; and which are."""
    weight = _trusted(offset, prominence)
    return np.where(weight > 0.5, offset, _average(offset, weight, (1.0, 1.0))), weight > 0.5


def _sharpen(offset: Array) -> Array:
    """Undoes the window's averaging down the lines (m, n), to first order: the paper moves linearly between nodes."""
    padded = np.pad(offset, ((1, 1), (0, 0)), mode="edge")
    a, b, c = _WINDOW_SHARES
    return 2 * offset - (a * padded[:-2] + b * offset + c * padded[2:])


def _average(offset: Array, weight: Array, sigma: tuple[float, float]) -> Array:
    """Weighted Gaussian mean over neighbours (x, y); falls to 0 where nothing was seen."""
    total, share = (
        cv2.GaussianBlur(a.astype(np.float32), (0, 0), sigma[0], sigmaY=sigma[1], borderType=cv2.BORDER_REFLECT)
        for a in (offset * weight, weight)
    )
    return np.asarray(total / np.maximum(share, 0.05))


def _lean_on_neighbours(nodes: Array, frame: Array, unseen: Array) -> Array:
    """Lays what was not seen of a node between its neighbours, which mostly were.

    Args:
        nodes: (rows, cols, 2) photo px.
        frame: (rows, cols, 2, 2) photo px a cell, [component, axis].
        unseen: (rows, cols, 2) bool, by axis.
    """
    inverse = np.linalg.inv(frame)
    for _ in range(6):
        middle = nodes.copy()
        middle[1:-1, 1:-1] = (nodes[1:-1, :-2] + nodes[1:-1, 2:] + nodes[:-2, 1:-1] + nodes[2:, 1:-1]) / 4
        miss = np.einsum("rcij,rcj->rci", inverse, middle - nodes)
        nodes = nodes + np.einsum("rcij,rcj->rci", frame, miss * unseen)
    return nodes


def _moved(grid: GridWarp, move: Array) -> tuple[Array, Array]:
    """Nodes (rows, cols, 2) photo px, moved by (rows, cols, 2) cells, and their frame, for `_lean_on_neighbours`."""
    nodes = grid.node_xy.astype(np.float64)
    frame = np.stack([np.gradient(nodes, axis=1), np.gradient(nodes, axis=0)], -1)
    return nodes + np.einsum("rcij,rcj->rci", frame, move), frame


def refine_lattice(
    grid: GridWarp, offsets: LineOffsets, places: LinePlaces, px_per_mm: tuple[float, float], hw: tuple[int, int]
) -> GridWarp:
    """Moves the nodes so that the page's lines come to lie on multiples of the lattice.

    Args:
        grid: the lattice of the first look.
        offsets: of the lines on the page (or part of it) that was flattened with it.
        places: of its lines on that page.
        px_per_mm: (x, y) of that page.
        hw: its height and width, px.

    Returns:
        The lattice with its nodes moved by at most half a small box; nodes outside the page follow their neighbours.
    """
    dx, seen_x = _settle(offsets.x, offsets.x_prominence)
    dy, seen_y = _settle(offsets.y.T, offsets.y_prominence.T)
    nodes, frame = _moved(grid, np.stack([_sharpen(dx), _sharpen(dy).T], -1) / grid.mm_per_cell)
    inside = np.outer(
        *((mm > 0) & (mm * s < n) for mm, s, n in zip((places.y_mm, places.x_mm), px_per_mm[::-1], hw, strict=True))
    )
    unseen = np.stack([~seen_x & inside, ~seen_y.T & inside], -1)
    nodes = _lean_on_neighbours(nodes, frame, unseen)
    return GridWarp(nodes.astype(np.float32), grid.mm_per_cell, grid.residual_px, grid.measured)


def halved(grid: GridWarp) -> GridWarp:
    """A lattice with nodes in the middle between those of `grid`, on cubics through four of them."""

    def between(nodes: Array) -> Array:
        ends = 2 * nodes[:1] - nodes[1:2], 2 * nodes[-1:] - nodes[-2:-1]
        a, b, c, d = (np.concatenate([ends[0], nodes, ends[1]])[k : len(nodes) - 1 + k] for k in range(4))
        out = np.empty((2 * len(nodes) - 1, *nodes.shape[1:]))
        out[::2], out[1::2] = nodes, (9 * (b + c) - a - d) / 16
        return out

    nodes = between(between(grid.node_xy.astype(np.float64)).swapaxes(0, 1)).swapaxes(0, 1)
    measured = grid.measured.repeat(2, 0).repeat(2, 1)
    measured = measured[:-1, :-1] & measured[1:, 1:]  # a node between two, where both were
    return GridWarp(nodes.astype(np.float32), grid.mm_per_cell / 2, grid.residual_px, measured)


def follow_lines(grid: GridWarp, offsets: LineOffsets) -> GridWarp:
    """Lets a halved lattice follow its printed lines between the crossings.

    Args:
        grid: from `halved`; every other row and column of nodes is a printed line.
        offsets: of these lines at all nodes along them.

    Returns:
        The lattice with its nodes moved: along x by what upright lines say, in between by the mean of two; likewise y.
    """
    moves = []
    for offset, prominence in ((offsets.x, offsets.x_prominence), (offsets.y.T, offsets.y_prominence.T)):
        line = _average(offset, _trusted(offset, prominence), _BLUR_NODES)
        every = line.repeat(2, 1)
        moves.append((every[:, :-1] + every[:, 1:])[:, : 2 * line.shape[1] - 1] / 2)
    nodes, _ = _moved(grid, np.stack([moves[0], moves[1].T], -1) / grid.mm_per_cell)
    return GridWarp(nodes.astype(np.float32), grid.mm_per_cell, grid.residual_px, grid.measured)


def smooth_if_flat(grid: GridWarp) -> GridWarp:
    """Lays the nodes on a smooth surface where the paper is flat, as in scans.

    A cubic in the lattice's coordinates, fitted robustly, follows perspective and lens but no fold. Where most nodes
    lie on it within some hundredths of a millimetre, those that do not are errors and not paper. Neither are whole
    lines that lie off: what draws a page rounds its lines to whole pixels, and not its trace.

    Args:
        grid: a refined lattice.

    Returns:
        The lattice with its nodes on the surface, or as it was where the paper is not flat.
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
        return grid
    inside = np.zeros(nodes.shape[:2], bool)
    inside[max(0, rows.min() - 1) : rows.max() + 2, max(0, cols.min() - 1) : cols.max() + 2] = True
    nodes = np.where(inside[..., None], surface, nodes)
    return GridWarp(nodes.astype(np.float32), grid.mm_per_cell, grid.residual_px, grid.measured)


def _cubic(nodes: Array, measured: Array, mm_per_cell: float) -> Array:
    """(rows, cols, 2) photo px of the cubic in row and column that fits most of the measured nodes."""
    rows, cols = np.nonzero(measured)
    pitch = float(np.median(np.linalg.norm(np.diff(nodes, axis=1), axis=-1)))
    row, col = np.mgrid[: nodes.shape[0], : nodes.shape[1]]
    u, v = (2 * (a - b.mean()) / np.ptp(b) for a, b in ((col, cols), (row, rows)))
    terms = np.stack([u**i * v**j for i in range(4) for j in range(4 - i)], -1)
    seen, wanted = terms[measured], nodes[measured]
    weight = np.ones(len(seen))
    for _ in range(8):
        root = np.sqrt(weight)[:, None]
        factors = np.linalg.lstsq(seen * root, wanted * root, rcond=None)[0]
        miss = np.linalg.norm(seen @ factors - wanted, axis=1) * mm_per_cell / pitch
        weight = 1 / (1 + (miss / _OFF_MM) ** 2)  # Cauchy's
    return np.asarray(terms @ factors)


def _unrounded(off: Array, seen: Array, mm_per_cell: float) -> Array:
    """Distances (m, n) of n lines from a surface, without what all of a line has and its neighbours have not."""
    whole = np.zeros(off.shape[1])
    some = np.asarray(seen.any(0))
    whole[some] = np.nanmedian(np.where(seen, off, np.nan)[:, some], axis=0)
    sigma = (_ROUGH_MM / mm_per_cell, 0.1)
    around = _average(whole[None], some[None].astype(np.float32), sigma)[0]
    return np.asarray(off - (whole - around))


def follow_small_boxes(grid: GridWarp, page: RectifiedPage) -> tuple[GridWarp, Array] | None:
    """Lays the lattice along the 1 mm lines where the 5 mm lines cannot be told from them.

    The phase of the darkness at one cycle a millimetre, window by window, is the distance of the lines from whole
    millimetres; followed from window to window it is the distance from where `grid` expects them, up to a constant.

    Args:
        grid: a lattice whose scale is right within a few per cent.
        page: the page (or part of it) that was flattened with it.

    Returns:
        The lattice with its nodes moved, and the moves (rows, cols, 2) in mm along the page's x and y, their median
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
    nodes, _ = _moved(grid, move / grid.mm_per_cell)
    on_page = np.outer((y_mm > 0) & (y_mm * sy < dark.shape[0]), (x_mm > 0) & (x_mm * sx < dark.shape[1]))
    return GridWarp(nodes.astype(np.float32), grid.mm_per_cell, grid.residual_px, on_page), move


class Refined(NamedTuple):
    """A page after a closer look at its lattice.

    Attributes:
        grid: the lattice.
        strips: rows on it.
        letters: (H, W) bool at 1 px/mm on it, where lead names stand.
    """

    grid: GridWarp
    strips: tuple[Strip, ...]
    letters: Array


def carried(strips: Sequence[Strip], move: Array, mm_per_cell: float) -> tuple[Strip, ...]:
    """Strips after the nodes of their lattice have moved.

    Args:
        strips: in page mm of the old lattice.
        move: (rows, cols, 2) mm, from `follow_small_boxes`.
        mm_per_cell: of the lattice.
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
    """(m, n) mm by which upright 1 mm lines lie beyond whole millimetres, near at_mm x lines_mm; None if unseen."""
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
