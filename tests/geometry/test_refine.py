"""The second look at the lattice, on a page whose lattice is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecg_trt.geometry.grid import dense_map
from ecg_trt.geometry.offsets import LinePlaces, line_offsets
from ecg_trt.geometry.refine import (
    follow_lines,
    follow_small_boxes,
    refine_grid,
    smoothed,
    subdivided,
    warped,
    without_strays,
)
from ecg_trt.ops.cv2_ops import Cv2Ops
from ecg_trt.synth.page import draw_page
from ecg_trt.synth.signals import simulate
from ecg_trt.synth.spec import GridStyle, draw_spec
from ecg_trt.types import GridWarp, RectifiedPage, Segment, Strip

_PX_PER_MM = (10.0, 8.0)


def _refined(grid: GridWarp, image: np.ndarray) -> GridWarp:
    places = LinePlaces.of(grid, (0.0, 0.0))
    return refine_grid(grid, line_offsets(image, _PX_PER_MM, places), places, _PX_PER_MM, image.shape[:2])


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
    assert seen.mean() > 0.9
    refined = _refined(grid, image)
    inner = np.s_[3:-3, 3:-3]
    before = np.sqrt(np.mean((noisy - true)[inner] ** 2))
    after = np.sqrt(np.mean((refined.node_xy - true)[inner] ** 2))
    assert after < 0.45 * before
    assert np.abs(np.median((refined.node_xy - true)[inner], axis=(0, 1))).max() < 0.15  # px: no bias


def test_a_blank_page_moves_nothing() -> None:
    nodes = np.stack(np.meshgrid(50.0 * np.arange(20), 50.0 * np.arange(12)), -1).astype(np.float32)
    grid = GridWarp(nodes, 5.0, 0.0, np.ones(nodes.shape[:2], bool))
    blank = np.full((440, 950, 3), 240, np.uint8)
    np.testing.assert_allclose(_refined(grid, blank).node_xy, nodes, atol=1e-3)


def _fine_paper(x_mm: np.ndarray, y_mm: np.ndarray) -> np.ndarray:
    """A page on which only 1 mm lines are printed, seen where (x_mm, y_mm) say."""
    lines = np.maximum(np.cos(2 * np.pi * x_mm) ** 9, np.cos(2 * np.pi * y_mm) ** 9).clip(0, 1)
    return np.repeat((235 - 70 * lines)[..., None], 3, axis=2).astype(np.uint8)


def test_small_boxes_correct_a_scale_that_is_off() -> None:
    sx, sy = _PX_PER_MM
    x, y = np.meshgrid(np.arange(1900) / sx, np.arange(900) / sy)
    # What the page calls x is really 3 % more, and bends a little.
    image = _fine_paper(1.03 * x + 0.3 * np.sin(y / 20), 0.98 * y)
    nodes = np.stack(np.meshgrid(50.0 * np.arange(39), 50.0 * np.arange(23)), -1).astype(np.float32)
    grid = GridWarp(nodes, 5.0, float("nan"), np.zeros(nodes.shape[:2], bool))
    page = RectifiedPage(image, _PX_PER_MM, (0.0, 0.0), np.ones(image.shape[:2], bool), 10.0)
    found = follow_small_boxes(grid, page)
    assert found is not None and found[0].is_seen
    columns, rows = found[0].node_xy[4:-4, 4:-4, 0] / 10, found[0].node_xy[4:-4, 4:-4, 1] / 10
    true_x = 1.03 * columns + 0.3 * np.sin(rows / 20)
    np.testing.assert_allclose(np.diff(true_x, axis=1), 5.0, atol=0.03)
    np.testing.assert_allclose(np.diff(0.98 * rows, axis=0), 5.0, atol=0.03)


def test_paper_without_small_boxes_is_left_alone() -> None:
    noise = np.random.default_rng(0).integers(190, 240, (500, 900, 3), np.uint8)
    nodes = np.stack(np.meshgrid(50.0 * np.arange(19), 50.0 * np.arange(13)), -1).astype(np.float32)
    grid = GridWarp(nodes, 5.0, float("nan"), np.zeros(nodes.shape[:2], bool))
    assert follow_small_boxes(grid, RectifiedPage(noise, _PX_PER_MM, (0.0, 0.0), noise[..., 0] > 0, 10.0)) is None


def test_specks_on_white_paper_are_no_small_boxes() -> None:
    rng = np.random.default_rng(3)
    image = np.full((500, 900, 3), 255, np.uint8)
    for x, y in rng.integers((20, 20), (880, 480), (25, 2)):
        image[y : y + 3, x : x + 4] = 0
    nodes = np.stack(np.meshgrid(50.0 * np.arange(19), 50.0 * np.arange(13)), -1).astype(np.float32)
    grid = GridWarp(nodes, 5.0, float("nan"), np.zeros(nodes.shape[:2], bool))
    assert follow_small_boxes(grid, RectifiedPage(image, _PX_PER_MM, (0.0, 0.0), image[..., 0] >= 0, 10.0)) is None


def test_strips_are_carried_along() -> None:
    move = np.zeros((20, 60, 2))
    move[..., 0], move[..., 1] = 0.04 * 5 * np.arange(60), -1.5
    strip = Strip(50.0, (10.0, 270.0), 0.8, (Segment("I", (10.0, 140.0)), Segment("V1", (140.0, 270.0))))
    (found,) = warped([strip], move, 5.0)
    assert found.zero_y_mm == pytest.approx(51.5)
    assert found.x_mm[1] - found.x_mm[0] == pytest.approx(250.0)  # 249.6 is a row of 250
    assert [s.lead for s in found.segments] == ["I", "V1"]
    assert found.segments[1].x_mm[0] == pytest.approx(sum(found.x_mm) / 2)


def _nodes(bend_px: float, noise_px: float) -> tuple[np.ndarray, GridWarp]:
    rng = np.random.default_rng(1)
    x, y = np.meshgrid(50.0 * np.arange(40), 50.0 * np.arange(28))
    true = np.stack([x + 1e-5 * x * y, y + bend_px * np.abs(np.sin(x / 150))], -1)
    noisy = true + rng.normal(0, noise_px, true.shape)
    noisy[10:14, 20] += 4.0  # a pen was taken for a line
    return true, GridWarp(noisy.astype(np.float32), 5.0, 0.1, np.ones(x.shape, bool))


def _error(grid: GridWarp, true: np.ndarray) -> float:
    return float(np.sqrt(np.mean((grid.node_xy - true) ** 2)))


def test_flat_paper_is_smoothed_and_folded_paper_is_not() -> None:
    true, grid = _nodes(0.0, 0.2)
    assert np.abs(smoothed(grid).node_xy - true).max() < 0.2
    folded_true, folded = _nodes(4.0, 1.0)
    found = smoothed(replace(folded, mm_per_cell=2.5))  # as after `follow_lines`
    assert _error(found, folded_true) < 0.9 * _error(folded, folded_true)
    bent = np.ptp(found.node_xy[14] - np.linspace(found.node_xy[14, 0], found.node_xy[14, -1], 40), axis=0)[1]
    assert bent > 3.0, "a fold stays a fold"


def test_strays_and_drift_of_flat_paper_are_taken_back() -> None:
    true, grid = _nodes(0.0, 1.0)
    nodes, measured = grid.node_xy.copy(), grid.measured.copy()
    nodes[5:9, 30, 0] += 10.0  # four nodes that lie on the next 1 mm line
    measured[:, 34:] = False
    nodes[:, 34:, 1] += 8.0  # beyond the last nodes that were seen
    found = without_strays(GridWarp(nodes, 5.0, 0.1, measured))
    assert np.abs(found.node_xy - true)[5:9, 30].max() < 3 and np.abs(found.node_xy - true)[2:-2, 34:].max() < 4
    assert not found.measured[5:9, 30].any() and found.measured[:, :30].mean() > 0.97
    _, folded = _nodes(8.0, 0.2)
    assert without_strays(folded) is folded, "paper that is bent has steps of its own"


def test_lines_rounded_to_pixels_are_flat_paper_all_the_same() -> None:
    true, grid = _nodes(0.0, 0.05)
    rounded = grid.node_xy + np.stack(
        np.meshgrid(*(np.random.default_rng(n).uniform(-0.6, 0.6, n) for n in true.shape[1::-1])), -1
    )
    found = smoothed(GridWarp(rounded.astype(np.float32), 5.0, 0.1, grid.measured))
    assert np.sqrt(np.mean((found.node_xy - true) ** 2)) < 0.5 * np.sqrt(np.mean((rounded - true) ** 2))


def test_lines_rounded_to_pixels_are_less_so_on_folded_paper() -> None:
    true, grid = _nodes(8.0, 0.05)
    rounded = grid.node_xy.copy()
    rounded[..., 0] += np.random.default_rng(4).uniform(-0.6, 0.6, true.shape[1])
    found = smoothed(GridWarp(rounded, 5.0, 0.1, grid.measured))
    inner = np.s_[:, 4:-4, 0]
    assert (found.node_xy - true)[inner].std() < 0.85 * (rounded - true)[inner].std()


def test_halved_nodes_lie_on_the_curve_between() -> None:
    x, y = np.meshgrid(50.0 * np.arange(9), 50.0 * np.arange(7))
    grid = GridWarp(np.stack([x + 1e-5 * y**3, y - 0.01 * x**2], -1).astype(np.float32), 5.0, 0.1, x < 200)
    half = subdivided(grid)
    fx, fy = np.meshgrid(25.0 * np.arange(17), 25.0 * np.arange(13))
    inner = np.s_[2:-2, 2:-2]
    np.testing.assert_allclose(
        half.node_xy[inner], np.stack([fx + 1e-5 * fy**3, fy - 0.01 * fx**2], -1)[inner], atol=1e-3
    )
    np.testing.assert_array_equal(half.node_xy[::2, ::2], grid.node_xy)
    np.testing.assert_array_equal(half.measured, fx <= 150)
    assert half.mm_per_cell == 2.5


def test_lines_are_followed_between_the_crossings() -> None:
    sx, sy = _PX_PER_MM
    x, y = np.meshgrid(np.arange(1000) / sx, np.arange(700) / sy)

    def bend(mm: np.ndarray) -> np.ndarray:
        return 0.12 * np.sin(2 * np.pi * mm / 25)

    ink = np.zeros(x.shape)
    for pitch, depth in ((5, 90), (1, 50)):
        far = [np.abs(at - pitch * np.round(at / pitch)) for at in (x - bend(y), y)]
        ink = np.maximum(ink, depth * np.exp(-0.5 * (np.minimum(*far) / 0.12) ** 2))
    image = np.repeat((235 - ink)[..., None], 3, axis=2).astype(np.uint8)
    straight = np.stack(np.meshgrid(50.0 * np.arange(21), 40.0 * np.arange(18)), -1).astype(np.float32)
    grid = subdivided(GridWarp(straight, 5.0, 0.1, np.ones(straight.shape[:2], bool)))
    found = follow_lines(grid, line_offsets(image, _PX_PER_MM, LinePlaces.of(grid, (0.0, 0.0), every=2)))
    wanted = np.broadcast_to(sx * bend(2.5 * np.arange(35))[:, None], (35, 41))
    moved = (found.node_xy - grid.node_xy)[4:-4, 4:-4]
    assert np.abs(moved[..., 0] - wanted[4:-4, 4:-4]).max() < 0.45 * np.abs(wanted).max()
    assert np.corrcoef(moved[..., 0].ravel(), wanted[4:-4, 4:-4].ravel())[0, 1] > 0.97
    assert np.abs(moved[..., 1]).max() < 0.2
