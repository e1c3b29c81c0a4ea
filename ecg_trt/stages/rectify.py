"""Stage 1: the paper's own lattice, and what is printed where.

The network looks at the page, roughly straightened at about 4 px/mm. It finds the nodes of the 5 mm lattice to a
fraction of a pixel; the lines are walked from node to node. Beside the lattice it marks zero lines, the starts and ends
of segments, calibration pulses, lead names and printed settings; these maps are brought to page mm through the very
lattice found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecg_trt.backends.base import Backend, static_hw
from ecg_trt.geometry.homography import apply_homography
from ecg_trt.geometry.surface import fill_holes, fit_surface, without_slips
from ecg_trt.geometry.walk import lattice_to_array, walk_lattice
from ecg_trt.ops.base import ImageOps
from ecg_trt.stages.scaling import (
    BESIDE_GREY,
    LARGE_BOX_MM,
    RECTIFY_MAX_PX,
    RECTIFY_PX_PER_MM,
    RECTIFY_STRIDE,
    TRACE_PX_PER_MM,
)
from ecg_trt.types import Array, GridWarp, PageAlignment, Photo, RectifiedPage, Strip

SIDE_MM, ROW_MM = 18.0, 27.0
"""How far beside the strips the page is flattened, and above and below: farther off there is mostly text."""
_MARGIN_MM = 10.0
_NODE_THRESHOLD = 0.3
_LEAST_NODES = 40
_LEAST_SHARE = 0.12  # of the nodes that a page of this size would have
_MOST_RESIDUAL = 0.07  # of a cell; beyond it, other crossings were taken for nodes
_BORDER_CELLS = 3
_MARKS = ("zero", "start", "end", "pulse", "label")


@dataclass(frozen=True, slots=True)
class PageMarks:
    """What the network saw on the page, at 1 px/mm: pixel (x, y) is page mm (x, y).

    Attributes:
        zero: (H, W) float32 in [0, 1], zero lines of the strips.
        start: (H, W), starts of segments, on the zero line.
        end: (H, W), ends of strips.
        pulse: (H, W), inside of calibration pulses.
        label: (words, H, W), middles of the words of `layout.MARKED_WORDS`.
    """

    zero: Array
    start: Array
    end: Array
    pulse: Array
    label: Array


class Rectify:
    """Photo and alignment to lattice, marks and the flat page.

    Args:
        backend: runs the network ``stage1``.
        ops: pixel work.
    """

    def __init__(self, backend: Backend, ops: ImageOps) -> None:
        self.backend, self.ops = backend, ops

    def __call__(self, photo: Photo, alignment: PageAlignment) -> tuple[GridWarp, PageMarks]:
        """Finds the lattice; falls back to the alignment's own where none is printed or seen (residual_px = NaN)."""
        buffer_hw = static_hw(self.backend)
        canvas_from_page, hw = _canvas(alignment, buffer_hw)
        canvas_from_photo = canvas_from_page @ alignment.page_from_photo
        canvas = self.ops.warp_homography(photo.image, canvas_from_photo, hw, fill=BESIDE_GREY, buffer_hw=buffer_hw)
        out = self.backend.infer({"image": canvas.reshape(1, *canvas.shape)})
        maps = {name: out[name].reshape(*out[name].shape[1:]) for name in ("node", "offset", *_MARKS)}
        node = maps["node"].reshape(*maps["node"].shape[1:])
        xy, score = self.ops.node_candidates(node, maps["offset"], _NODE_THRESHOLD, RECTIFY_STRIDE)
        pitch = LARGE_BOX_MM * canvas_from_page[0, 0]
        expected = hw[0] * hw[1] / pitch**2
        nodes, residual = _lattice(xy, score, pitch, expected)
        if nodes is None:
            nodes = _regular_nodes(canvas_from_page, alignment.size_mm)
            measured: Array = np.zeros(nodes.shape[:2], bool)
        else:
            measured = np.pad(np.isfinite(nodes).all(-1), _BORDER_CELLS)
            nodes = fill_holes(nodes, margin_cells=_BORDER_CELLS)
        heat = self.ops.page_heatmaps({name: maps[name] for name in _MARKS}, nodes, LARGE_BOX_MM, RECTIFY_STRIDE)
        marks = PageMarks(label=heat["label"], **{n: heat[n][0] for n in _MARKS if n != "label"})
        photo_from_canvas = np.linalg.inv(canvas_from_photo)
        node_xy = apply_homography(photo_from_canvas, nodes.astype(np.float64)).astype(np.float32)
        scale = float(np.sqrt(abs(np.linalg.det(photo_from_canvas[:2, :2])))) / photo_from_canvas[2, 2]
        return GridWarp(node_xy, LARGE_BOX_MM, residual * scale, measured), marks

    def flatten(self, photo: Photo, grid: GridWarp, px_per_mm: tuple[float, float], origin_mm: tuple[float, float],
                size_mm: tuple[float, float]) -> RectifiedPage:  # fmt: skip
        """Resamples part of the page, once, straight from the photo."""
        hw = (round(size_mm[1] * px_per_mm[1]), round(size_mm[0] * px_per_mm[0]))
        image, seen = self.ops.rectify(
            photo.image, grid.node_xy, grid.mm_per_cell, origin_mm, px_per_mm, hw, "cubic", BESIDE_GREY
        )
        return RectifiedPage(image, px_per_mm, origin_mm, seen, px_per_mm_of(grid))

    def flatten_rows(
        self, photo: Photo, grid: GridWarp, strips: Sequence[Strip], px_per_mm: tuple[float, float] = TRACE_PX_PER_MM,
        row_mm: float = ROW_MM,
    ) -> RectifiedPage:  # fmt: skip
        """The same, of the part that shows some strips, `row_mm` above and below their zero lines."""
        return self.flatten(photo, grid, px_per_mm, *region_of(strips, row_mm))


def px_per_mm_of(grid: GridWarp) -> float:
    """Resolution of the photo on the page: the median distance of neighbouring nodes."""
    step = np.diff(grid.node_xy.astype(np.float64), axis=1)
    return float(np.nanmedian(np.linalg.norm(step, axis=-1))) / grid.mm_per_cell


def region_of(strips: Sequence[Strip], row_mm: float = ROW_MM) -> tuple[tuple[float, float], tuple[float, float]]:
    """Origin and size (x, y), mm, of the part of the page that is flattened for these strips.

    Args:
        strips: rows of the page.
        row_mm: how far above and below their zero lines they are looked at.
    """
    x0, x1 = min(s.x_mm[0] for s in strips) - SIDE_MM, max(s.x_mm[1] for s in strips) + SIDE_MM
    y0, y1 = strips[0].zero_y_mm - row_mm, strips[-1].zero_y_mm + row_mm
    return (x0, y0), (x1 - x0, y1 - y0)


def _canvas(alignment: PageAlignment, room: tuple[int, int] | None) -> tuple[Array, tuple[int, int]]:
    """canvas_from_page (3, 3) and the canvas's (H, W), multiples of 32, within the room if there is one."""
    w, h = (side + 2 * _MARGIN_MM for side in alignment.size_mm)
    scale = min(RECTIFY_PX_PER_MM, float(np.sqrt(RECTIFY_MAX_PX / (w * h))))
    hw = (int(h * scale) // 32 * 32 + 32, int(w * scale) // 32 * 32 + 32)
    while hw[0] * hw[1] > RECTIFY_MAX_PX or (room is not None and (hw[0] > room[0] or hw[1] > room[1])):
        scale *= 0.99
        hw = (int(h * scale) // 32 * 32 + 32, int(w * scale) // 32 * 32 + 32)
    left, top = (hw[1] / scale - w) / 2 + _MARGIN_MM, (hw[0] / scale - h) / 2 + _MARGIN_MM
    return np.array([[scale, 0, scale * left - 0.5], [0, scale, scale * top - 0.5], [0, 0, 1.0]]), hw


def _lattice(xy: Array, score: Array, pitch: float, expected: float) -> tuple[Array | None, float]:
    """(rows, cols, 2) canvas px with NaN for the missing, and the RMS of the surface fit."""
    if len(xy) < _LEAST_NODES:
        return None, float("nan")
    walk = walk_lattice(xy, score, np.array([pitch, 0.0]), np.array([0.0, pitch]))
    if walk.found.sum() < max(_LEAST_NODES, _LEAST_SHARE * expected):
        return None, float("nan")
    nodes, residual = fit_surface(lattice_to_array(xy, walk))
    if not residual < _MOST_RESIDUAL * pitch:
        return None, float("nan")
    return without_slips(nodes), residual


def _regular_nodes(canvas_from_page: Array, size_mm: tuple[float, float]) -> Array:
    """Nodes where the alignment alone expects them, with a border."""
    cols, rows = (int(np.ceil(side / LARGE_BOX_MM)) + 1 + 2 * _BORDER_CELLS for side in size_mm)
    grid = np.stack(np.meshgrid(np.arange(cols), np.arange(rows)), -1) - _BORDER_CELLS
    return apply_homography(canvas_from_page, LARGE_BOX_MM * grid).astype(np.float32)
