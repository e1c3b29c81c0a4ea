"""Rectification of pages without a grid by their rows, on which leads begin and end at known distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from ecg_trt.errors import PageError
from ecg_trt.geometry.grid import node_mm, photo_points
from ecg_trt.geometry.homography import apply_homography, fit_homography, grid_homography, jacobian
from ecg_trt.geometry.refine import Refined
from ecg_trt.geometry.surface import cauchy_weight
from ecg_trt.layout import standard_row_length
from ecg_trt.page.strips import border_responses
from ecg_trt.types import Array, GridWarp, RectifiedPage, Strip, TraceMap

_BAND_MM, _SMOOTH_MM = 4, 1.5  # Height of the band above and below a zero line that is searched, and sigma of its blur.
_SEEN = 0.05  # Least blurred response.
_END_REACH_MM, _INNER_REACH_MM = 20.0, 7.0  # Search distance at the ends of a row, and then between them.
_LEAST_EDGES, _ALIKE_MM = 6, 3.0  # Least number of starts and ends in all; greatest difference of the ends of rows.
_LEAST_AGREEING = 0.7  # Least share of inliers.
_MOST_SCALE = 0.25  # Greatest relative error of the scale of the page.
_RANSAC_MM = 2.0
_MARGIN_MM = 55.0  # Margin of the new grid around the rows, more than is rectified at any gain.
# Distance within which borders are searched for on the trace; error of one, 0.1 to 0.5 mm; least response.
_BORDER_SHIFT_MM, _BORDER_ERROR_MM, _BORDER_SEEN = np.arange(-4.0, 4.01, 0.05), 0.3, 0.02
# Spread of the errors that are left: a shift, a stretch and a bend along the rows, at their ends; slants of the rows'
# beginnings, and of their lengths, at the first and last row, mm. And the share of the page beyond which none grows.
_LEFT_MM, _BEYOND = (2.0, 1.5, 1.0, 1.5, 1.0), 1.3
_FITS = 6


def rectify_without_grid(
    grid: GridWarp, strips: Sequence[Strip], text_mask: Array, edges: tuple[Array, Array]
) -> Refined:
    """Rectify a page so that leads begin and end where a device prints them.

    Args:
        grid: a grid that is exactly a homography.
        strips: rows of the page, with their segments.
        text_mask: (H, W) bool at 1 px/mm, the lead names.
        edges: (H, W) maps of segment starts and of segment ends.

    Returns:
        The rectified page. It is unchanged where its rows are not alike, where too few starts and ends are seen or
        agree, or where no device prints rows of such a length.
    """
    same = Refined(grid, tuple(strips), text_mask)
    found = [_edges_of(strip, *edges) for strip in strips]
    seen = np.array([(x, y, at) for row in found for x, y, at in row])
    if len(seen) < _LEAST_EDGES or np.ptp(seen[:, 2]) < 1 or np.ptp([s.x_mm for s in strips], axis=0).max() > _ALIKE_MM:
        return same
    level = np.array([np.mean([y for _, y, _ in row]) for row in found for _ in row])
    length = float(np.polyfit(seen[:, 2], seen[:, 0], 1)[0])
    standard = standard_row_length(length, slack=_MOST_SCALE)
    if standard is None:
        return same
    scale = standard / length
    low, high = scale * strips[0].zero_y_mm, scale * strips[-1].zero_y_mm
    wanted = np.column_stack([_MARGIN_MM + standard * seen[:, 2], _MARGIN_MM + scale * level - low])
    try:
        fit = fit_homography(seen[:, :2], wanted, threshold=_RANSAC_MM)
    except PageError:  # All starts and ends lie on one line.
        return same
    move = fit.dst_from_src
    corners = [(x, s.zero_y_mm) for s in (strips[0], strips[-1]) for x in s.x_mm]
    if fit.inlier.mean() < _LEAST_AGREEING or _most_stretched(move, np.array(corners)) > 1 + _MOST_SCALE:
        return same
    rows, columns = (int(np.ceil((side + 2 * _MARGIN_MM) / grid.mm_per_cell)) + 1 for side in (high - low, standard))
    mm = node_mm((rows, columns), grid.mm_per_cell)
    nodes = apply_homography(np.linalg.inv(move @ grid_homography(grid)), mm).astype(np.float32)
    size = tuple(round(grid.mm_per_cell * (n - 1)) for n in (columns, rows))
    return Refined(
        replace(grid, node_xy=nodes, measured=np.zeros((rows, columns), bool)),
        tuple(_on_new_page(strip, move, standard) for strip in strips),
        cv2.warpPerspective(text_mask.astype(np.uint8), move, size, flags=cv2.INTER_NEAREST) > 0,
        apply_homography(np.linalg.inv(move), mm),
    )


def _most_stretched(move: Array, places: Array) -> float:
    """Greatest factor by which a homography stretches or squeezes at some places (n, 2), along x or y."""
    steps = np.linalg.norm(jacobian(move, places), axis=1)
    return float(np.exp(np.abs(np.log(np.maximum(steps, 1e-6))).max()))


def _on_new_page(strip: Strip, move: Array, length: float) -> Strip:
    """Place a strip on the new page, with its standard length."""
    (a, b), middle = strip.x_mm, (sum(strip.x_mm) / 2, strip.zero_y_mm)

    def on_row(x_mm: tuple[float, float]) -> tuple[float, float]:
        first, last = (_MARGIN_MM + length * (x - a) / (b - a) for x in x_mm)
        return first, last

    segments = tuple(replace(g, x_mm=on_row(g.x_mm)) for g in strip.segments)
    zero = float(apply_homography(move, np.array([middle]))[0, 1])
    return replace(strip, zero_y_mm=zero, x_mm=on_row(strip.x_mm), segments=segments)


def _edges_of(strip: Strip, start: Array, end: Array) -> list[tuple[float, float, float]]:
    """Find the starts and ends of a strip: page mm (x, y), and the fraction of the strip at which each stands."""
    y = round(strip.zero_y_mm)
    top = max(0, y - _BAND_MM)
    starts, ends = (cv2.GaussianBlur(heat[top : y + _BAND_MM + 1], (0, 0), _SMOOTH_MM) for heat in (start, end))
    a, b = strip.x_mm
    edges = [(_peak(band, x, _END_REACH_MM), at) for band, x, at in ((starts, a, 0.0), (ends, b, 1.0))]
    first, last = (x if edge is None else edge[0] for (edge, _), x in zip(edges, (a, b), strict=True))
    for segment in strip.segments[1:]:
        at = (segment.x_mm[0] - a) / (b - a)
        edges.append((_peak(starts, first + at * (last - first), _INNER_REACH_MM), at))
    return [(edge[0], top + edge[1], at) for edge, at in edges if edge is not None]


def _peak(band: Array, at: float, reach: float) -> tuple[float, float] | None:
    """Find the peak (x, y) of a band within reach of a place along it, None if its response is low."""
    low, high = max(0, round(at - reach)), max(0, round(at + reach) + 1)
    part = band[:, low:high]
    if not part.size or part.max() < _SEEN:
        return None
    y, x = np.unravel_index(int(part.argmax()), part.shape)
    rows, columns = (slice(max(0, int(k) - 2), int(k) + 3) for k in (y, x))
    weight = part[rows, columns]
    near = np.mgrid[rows.start : rows.start + weight.shape[0], columns.start : columns.start + weight.shape[1]]
    dy, dx = (near * weight).sum((1, 2)) / weight.sum()
    return low + float(dx), float(dy)


def follow_borders(grid: GridWarp, strips: Sequence[Strip], page: RectifiedPage, trace: TraceMap) -> GridWarp | None:
    """Stretch a page without a grid along its rows, so that leads begin and end where the trace shows them to.

    The trace locates borders to some tenths of a millimetre, stage 1 to a millimetre. What is left of the page's
    perspective is fitted to them by robust least squares, each term with a prior.

    Args:
        grid: a grid that is nearly a homography, all of its nodes known.
        strips: named rows of the page.
        page: frame of the trace.
        trace: its borders and confidences.

    Returns:
        The grid in a frame in which the strips stay where they are; None where too few borders are seen.
    """
    found = []
    for x, y, response in border_responses(strips, page, trace, _BORDER_SHIFT_MM):
        best = int(response.argmax())
        if response[best] > _BORDER_SEEN:
            found.append((x, y, _BORDER_SHIFT_MM[best], response[best]))
    if len(found) < _LEAST_EDGES:
        return None
    x, y, off, seen = np.array(found).T
    ends = np.array([(s.x_mm, (s.zero_y_mm, s.zero_y_mm)) for s in strips])
    low, high = ends.min((0, 2)), ends.max((0, 2))
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1.0)

    def terms(x: Array, y: Array) -> Array:
        u, v = (np.clip((a - m) / h, -_BEYOND, _BEYOND) for a, m, h in zip((x, y), middle, half, strict=True))
        return np.stack([np.ones_like(u), u, u * u, v, u * v], -1)

    design, prior = terms(x, y), np.diag((_BORDER_ERROR_MM / np.array(_LEFT_MM)) ** 2)
    trust = seen / (seen + np.median(seen))
    factors = np.zeros(design.shape[1])
    for _ in range(_FITS):
        weighted = (design * (trust * cauchy_weight(design @ factors - off, _BORDER_ERROR_MM))[:, None]).T
        factors = np.linalg.solve(weighted @ design + prior, weighted @ off)
    mm = node_mm(grid.node_xy.shape, grid.mm_per_cell)
    last_mm = mm[-1, -1].copy()
    mm[..., 0] += terms(mm[..., 0], mm[..., 1]) @ factors
    inside = np.clip(mm, 0.0, last_mm)
    photo_from_page = np.linalg.inv(grid_homography(grid))  # Nearly; it continues the grid beyond its rim.
    beyond = apply_homography(photo_from_page, mm) - apply_homography(photo_from_page, inside)
    node_xy = photo_points(grid.node_xy, grid.mm_per_cell, inside) + beyond
    return replace(grid, node_xy=node_xy.astype(np.float32))
