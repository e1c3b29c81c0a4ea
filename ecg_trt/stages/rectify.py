"""Stage 1: the paper's grid, and heatmaps of the print on it.

The network sees the page, roughly rectified at about 4 px/mm. It locates the intersections of the 5 mm grid, its nodes,
to a fraction of a pixel; these are indexed by row and column. It also predicts heatmaps of zero lines, starts and ends
of segments, calibration pulses, lead names and calibration text, which are resampled to page mm through the grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ecg_trt.backends.base import Backend, static_hw
from ecg_trt.geometry.grid import dense_map
from ecg_trt.geometry.homography import apply_homography
from ecg_trt.geometry.indexing import grid_array, index_grid
from ecg_trt.geometry.surface import fill_holes, fit_surface, without_misindexed_patches
from ecg_trt.layout import LARGE_BOX_MM
from ecg_trt.ops.base import ImageOps
from ecg_trt.stages.scaling import (
    BESIDE_GREY,
    FLAT_PX_PER_MM,
    RECTIFY_MAX_PX,
    RECTIFY_PX_PER_MM,
    RECTIFY_STRIDE,
)
from ecg_trt.types import Array, GridWarp, PageAlignment, Photo, RectifiedPage, Strip

SIDE_MM, ROW_MM = 18.0, 27.0
"""Margins of the flat page beside the strips, and above and below them: farther off there is mostly text."""
_MARGIN_MM = 10.0
_NODE_THRESHOLD = 0.3
_LEAST_NODES = 40
_LEAST_SHARE = 0.12  # Least share of the nodes that a page of this size would have.
_MOST_RESIDUAL = 0.07  # Cells; a greater residual means that other crossing lines were taken for nodes.
_BORDER_CELLS = 3  # Cells by which the grid is continued outwards.
_HEATMAPS = ("zero", "start", "end", "pulse", "label")


@dataclass(frozen=True, slots=True)
class PageHeatmaps:
    """Heatmaps of the print on the page, at 1 px/mm: pixel (x, y) is page mm (x, y).

    Attributes:
        zero: (H, W) float32 in [0, 1], zero lines of the strips.
        start: (H, W), starts of segments, on the zero line.
        end: (H, W), ends of strips.
        pulse: (H, W), inside of calibration pulses.
        label: (words, H, W), centres of the words of `layout.MARKED_WORDS`.
    """

    zero: Array
    start: Array
    end: Array
    pulse: Array
    label: Array

    def warped(self, source_mm: Array, mm_per_cell: float) -> PageHeatmaps:
        """Bring the heatmaps to another frame of the page; they are 0 where the old one shows nothing.

        Args:
            source_mm: (rows, cols, 2) page mm of these heatmaps at the nodes of the new frame's grid.
            mm_per_cell: spacing of that grid, mm.
        """
        hw = tuple(round(mm_per_cell * (n - 1)) for n in source_mm.shape[:2])
        x, y = np.moveaxis(dense_map(source_mm, mm_per_cell, (0.0, 0.0), (1.0, 1.0), (hw[0], hw[1])), -1, 0)

        def moved(plane: Array) -> Array:
            return np.asarray(cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))

        planes = {name: moved(getattr(self, name)) for name in ("zero", "start", "end", "pulse")}
        return PageHeatmaps(label=np.stack([moved(plane) for plane in self.label]), **planes)


class Rectify:
    """Stage 1: photo and alignment to grid, heatmaps and the flat page.

    Args:
        backend: runs the network ``stage1``.
        ops: pixel work.
    """

    def __init__(self, backend: Backend, ops: ImageOps) -> None:
        self.backend, self.ops = backend, ops

    def __call__(self, photo: Photo, alignment: PageAlignment) -> tuple[GridWarp, PageHeatmaps]:
        """Find the grid; where none is printed or seen, take a regular one by the alignment (residual_px = NaN)."""
        buffer_hw = static_hw(self.backend)
        canvas_from_page, hw = _canvas(alignment, buffer_hw)
        canvas_from_photo = canvas_from_page @ alignment.page_from_photo
        canvas = self.ops.warp_homography(photo.image, canvas_from_photo, hw, fill=BESIDE_GREY, buffer_hw=buffer_hw)
        out = self.backend.infer({"image": canvas.reshape(1, *canvas.shape)})
        maps = {name: out[name].reshape(*out[name].shape[1:]) for name in ("node", "offset", *_HEATMAPS)}
        node = maps["node"].reshape(*maps["node"].shape[1:])
        xy, score = self.ops.node_candidates(node, maps["offset"], _NODE_THRESHOLD, RECTIFY_STRIDE)
        pitch = LARGE_BOX_MM * canvas_from_page[0, 0]
        expected = hw[0] * hw[1] / pitch**2
        nodes, residual = _index_nodes(xy, score, pitch, expected)
        if nodes is None:
            nodes = _regular_nodes(canvas_from_page, alignment.size_mm)
            measured: Array = np.zeros(nodes.shape[:2], bool)
        else:
            measured = np.pad(np.isfinite(nodes).all(-1), _BORDER_CELLS)
            nodes = fill_holes(nodes, margin_cells=_BORDER_CELLS)
        maps_on_page = self.ops.page_heatmaps(
            {name: maps[name] for name in _HEATMAPS}, nodes, LARGE_BOX_MM, RECTIFY_STRIDE
        )
        heatmaps = PageHeatmaps(
            label=maps_on_page["label"], **{n: maps_on_page[n][0] for n in _HEATMAPS if n != "label"}
        )
        photo_from_canvas = np.linalg.inv(canvas_from_photo)
        node_xy = apply_homography(photo_from_canvas, nodes.astype(np.float64)).astype(np.float32)
        scale = float(np.sqrt(abs(np.linalg.det(photo_from_canvas[:2, :2])))) / photo_from_canvas[2, 2]
        return GridWarp(node_xy, LARGE_BOX_MM, residual * scale, measured), heatmaps

    def flatten(self, photo: Photo, grid: GridWarp, px_per_mm: tuple[float, float], origin_mm: tuple[float, float],
                size_mm: tuple[float, float]) -> RectifiedPage:  # fmt: skip
        """Resample part of the page, once, straight from the photo."""
        hw = (round(size_mm[1] * px_per_mm[1]), round(size_mm[0] * px_per_mm[0]))
        image, seen = self.ops.rectify(
            photo.image, grid.node_xy, grid.mm_per_cell, origin_mm, px_per_mm, hw, "cubic", BESIDE_GREY
        )
        return RectifiedPage(image, px_per_mm, origin_mm, seen, px_per_mm_of(grid))

    def flatten_rows(
        self, photo: Photo, grid: GridWarp, strips: Sequence[Strip], px_per_mm: tuple[float, float] = FLAT_PX_PER_MM,
        row_mm: float = ROW_MM,
    ) -> RectifiedPage:  # fmt: skip
        """Resample the part of the page that shows some strips, `row_mm` above and below their zero lines."""
        return self.flatten(photo, grid, px_per_mm, *region_of(strips, row_mm))


def px_per_mm_of(grid: GridWarp) -> float:
    """Resolution of the photo on the page: the median distance of neighbouring nodes."""
    step = np.diff(grid.node_xy.astype(np.float64), axis=1)
    return float(np.nanmedian(np.linalg.norm(step, axis=-1))) / grid.mm_per_cell


def region_of(strips: Sequence[Strip], row_mm: float = ROW_MM) -> tuple[tuple[float, float], tuple[float, float]]:
    """Origin and size (x, y), mm, of the part of the page that is rectified for these strips.

    Args:
        strips: rows of the page.
        row_mm: margin above and below their zero lines.
    """
    x0, x1 = min(s.x_mm[0] for s in strips) - SIDE_MM, max(s.x_mm[1] for s in strips) + SIDE_MM
    y0, y1 = strips[0].zero_y_mm - row_mm, strips[-1].zero_y_mm + row_mm
    return (x0, y0), (x1 - x0, y1 - y0)


def _canvas(alignment: PageAlignment, most_hw: tuple[int, int] | None) -> tuple[Array, tuple[int, int]]:
    """Lay out the canvas: canvas_from_page (3, 3) and (H, W), multiples of 32, at most `most_hw` if that is given."""
    w, h = (side + 2 * _MARGIN_MM for side in alignment.size_mm)
    scale = min(RECTIFY_PX_PER_MM, float(np.sqrt(RECTIFY_MAX_PX / (w * h))))
    hw = (int(h * scale) // 32 * 32 + 32, int(w * scale) // 32 * 32 + 32)
    while hw[0] * hw[1] > RECTIFY_MAX_PX or (most_hw is not None and (hw[0] > most_hw[0] or hw[1] > most_hw[1])):
        scale *= 0.99
        hw = (int(h * scale) // 32 * 32 + 32, int(w * scale) // 32 * 32 + 32)
    left, top = (hw[1] / scale - w) / 2 + _MARGIN_MM, (hw[0] / scale - h) / 2 + _MARGIN_MM
    return np.array([[scale, 0, scale * left - 0.5], [0, scale, scale * top - 0.5], [0, 0, 1.0]]), hw


def _index_nodes(xy: Array, score: Array, pitch: float, expected: float) -> tuple[Array | None, float]:
    """Index the nodes: (rows, cols, 2) canvas px with NaN for the missing, and the RMS of the surface fit."""
    if len(xy) < _LEAST_NODES:
        return None, float("nan")
    indexed = index_grid(xy, score, np.array([pitch, 0.0]), np.array([0.0, pitch]))
    if indexed.found.sum() < max(_LEAST_NODES, _LEAST_SHARE * expected):
        return None, float("nan")
    nodes, residual = fit_surface(grid_array(xy, indexed))
    if not residual < _MOST_RESIDUAL * pitch:
        return None, float("nan")
    return without_misindexed_patches(nodes), residual


def _regular_nodes(canvas_from_page: Array, size_mm: tuple[float, float]) -> Array:
    """Nodes of a regular grid by the alignment alone, with a border."""
    cols, rows = (int(np.ceil(side / LARGE_BOX_MM)) + 1 + 2 * _BORDER_CELLS for side in size_mm)
    grid = np.stack(np.meshgrid(np.arange(cols), np.arange(rows)), -1) - _BORDER_CELLS
    return apply_homography(canvas_from_page, LARGE_BOX_MM * grid).astype(np.float32)
