"""The second look at the lattice, on a page whose lattice is known."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.geometry.grid import dense_map
from ecg_trt.geometry.refine import refine_lattice
from ecg_trt.ops.cv2_ops import Cv2Ops
from ecg_trt.synth.page import GridStyle, draw_page, draw_spec
from ecg_trt.synth.signals import simulate
from ecg_trt.types import GridWarp, RectifiedPage

_PX_PER_MM = (10.0, 8.0)


@pytest.mark.parametrize(
    ("ink", "fine"), [((200, 60, 60), 0.4), ((200, 60, 60), 0.0), ((90, 90, 90), 0.0)], ids=["red", "coarse", "grey"]
)
def test_noisy_nodes_are_moved_onto_the_lines(ink: tuple[int, int, int], fine: float) -> None:
    rng = np.random.default_rng(0)
    style = GridStyle(ink, (0.8, fine), (0.3, 0.12), False)
    spec = draw_spec(rng, layout="3x4+1", paper_speed_mm_per_s=25.0, gain_mm_per_mv=10.0, clutter=0.0, grid=style)
    page = draw_page(rng, simulate(rng), 500.0, px_per_mm=10.0, spec=spec)
    x0, y0, x1, y1 = spec.grid_mm
    cols, rows = int((x1 - x0) // 5) + 1, int((y1 - y0) // 5) + 1
    true = np.stack(np.meshgrid(x0 + 5 * np.arange(cols), y0 + 5 * np.arange(rows)), -1) * 10 - 0.5
    noisy = true + rng.normal(0, 1.0, true.shape)  # 0.1 mm
    grid = GridWarp(noisy.astype(np.float32), 5.0, 1.0, np.ones((rows, cols), bool))
    size = (round((rows - 1) * 5 * _PX_PER_MM[1]), round((cols - 1) * 5 * _PX_PER_MM[0]))
    where = dense_map(grid.node_xy, 5.0, (0.0, 0.0), _PX_PER_MM, size)
    image, seen = Cv2Ops().remap(page.image, where)
    refined = refine_lattice(grid, RectifiedPage(image, _PX_PER_MM, (0.0, 0.0), seen, 10.0))
    inner = np.s_[3:-3, 3:-3]
    before = np.sqrt(np.mean((noisy - true)[inner] ** 2))
    after = np.sqrt(np.mean((refined.node_xy - true)[inner] ** 2))
    assert after < 0.45 * before
    assert np.abs(np.median((refined.node_xy - true)[inner], axis=(0, 1))).max() < 0.15  # px: no bias


def test_a_blank_page_moves_nothing() -> None:
    nodes = np.stack(np.meshgrid(50.0 * np.arange(20), 50.0 * np.arange(12)), -1).astype(np.float32)
    grid = GridWarp(nodes, 5.0, 0.0, np.ones(nodes.shape[:2], bool))
    blank = np.full((440, 950, 3), 240, np.uint8)
    page = RectifiedPage(blank, _PX_PER_MM, (0.0, 0.0), np.ones((440, 950), bool), 10.0)
    np.testing.assert_allclose(refine_lattice(grid, page).node_xy, nodes, atol=1e-3)
