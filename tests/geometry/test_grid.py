from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_trt.errors import OptionError, PageError
from ecg_trt.geometry.grid import dense_map, grid_taps, page_points, photo_points
from ecg_trt.geometry.homography import apply_homography, jacobian
from ecg_trt.geometry.indexing import grid_array, index_grid
from ecg_trt.geometry.surface import fill_holes, fit_surface, without_misindexed_patches


def lattice(rows: int, cols: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(cols), np.arange(rows)), -1).astype(float)


def camera(seed: int, rows: int, cols: int) -> np.ndarray:
    """photo_from_index, any turn, some slant, pitch about 40 px."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(-np.pi, np.pi)
    h = np.eye(3)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    h[:2, :2] = 40 * turn @ (np.eye(2) + rng.uniform(-0.15, 0.15, (2, 2)))
    h[2, :2] = rng.uniform(-0.4, 0.4, 2) / max(rows, cols)
    to_middle, from_middle = np.eye(3), np.eye(3)
    to_middle[:2, 2], from_middle[:2, 2] = [-cols / 2, -rows / 2], 2000
    return from_middle @ h @ to_middle


def steps(h: np.ndarray, rows: int, cols: int) -> tuple[np.ndarray, np.ndarray]:
    j = jacobian(h, np.array([cols / 2, rows / 2]))
    return j[:, 0], j[:, 1]


def axes(pitch: float) -> tuple[np.ndarray, np.ndarray]:
    return np.array([pitch, 0.0]), np.array([0.0, pitch])


@given(seed=st.integers(0, 100_000), rows=st.integers(6, 24), cols=st.integers(6, 24))
@settings(max_examples=30, deadline=None)
def test_walk_finds_the_lattice(seed: int, rows: int, cols: int) -> None:
    rng, h = np.random.default_rng(seed), camera(seed, rows, cols)
    index = lattice(rows, cols).reshape(-1, 2)
    xy = apply_homography(h, index) + rng.uniform(-1, 1, (rows * cols, 2))
    kept = rng.random(len(xy)) > 0.08
    clutter = rng.uniform(xy.min(0), xy.max(0), (len(xy) // 20, 2))
    order = rng.permutation(kept.sum() + len(clutter))
    points = np.vstack([xy[kept], clutter])[order]
    score = np.r_[rng.uniform(0.6, 1, kept.sum()), rng.uniform(0.2, 0.6, len(clutter))][order]
    truth = np.vstack([index[kept], np.full((len(clutter), 2), np.nan)])[order]

    walk = index_grid(points, score, *steps(h, rows, cols))
    real = np.isfinite(truth[:, 0])
    assert walk.index.dtype == np.int32
    assert np.array_equal(walk.found, walk.index[:, 0] >= 0)
    assert walk.found[real].sum() >= 0.95 * real.sum() - 2  # on a lattice of six rows, clutter may cost two nodes
    offset = walk.index[walk.found & real] - truth[walk.found & real]
    common = np.median(offset, axis=0)
    assert (offset == common).all(axis=1).mean() > 0.99
    assert len(np.unique(walk.index[walk.found], axis=0)) == walk.found.sum()


def test_walk_follows_a_fold_and_bridges_gaps() -> None:
    index = lattice(20, 30)
    xy = index * 40.0
    beyond = np.maximum(index[..., 0] - 14, 0)
    xy[..., 0] -= beyond * 8  # beyond the crease, the paper leans away
    xy[..., 1] += beyond * 6
    kept = np.ones((20, 30), bool)
    kept[:, 8:10] = False
    walk = index_grid(xy[kept], np.ones(kept.sum()), *axes(40))
    assert walk.found.all()
    assert np.array_equal(walk.index, index[kept])
    nodes = grid_array(xy[kept], walk)
    assert np.allclose(nodes[kept], xy[kept])
    assert np.isnan(nodes[~kept]).all()


def test_walk_keeps_the_larger_sheet() -> None:
    large, small = lattice(10, 10) * 30, lattice(4, 5) * 30 + [700, 13]
    xy = np.vstack([small.reshape(-1, 2), large.reshape(-1, 2), [[np.nan, 0]]])
    walk = index_grid(xy, np.r_[np.ones(20), np.full(100, 0.5), 1], *axes(30))
    assert walk.found.tolist() == [False] * 20 + [True] * 100 + [False]


def test_walk_of_nothing_and_bad_steps() -> None:
    walk = index_grid(np.zeros((0, 2)), np.zeros(0), *axes(1))
    assert walk.index.shape == (0, 2)
    assert grid_array(np.zeros((0, 2)), walk).shape == (0, 0, 2)
    assert index_grid(np.ones((1, 2)), np.ones(1), *axes(5)).found.all()
    with pytest.raises(OptionError):
        index_grid(np.ones((1, 2)), np.ones(1), *axes(5)[:1] * 2)
    with pytest.raises(OptionError):
        index_grid(np.ones((1, 2)), np.ones(2), *axes(5))


def test_surface_drops_outliers_alone() -> None:
    rng, h = np.random.default_rng(5), camera(5, 30, 40)
    xy = apply_homography(h, lattice(30, 40))
    xy += 8 * np.sin(xy[..., ::-1] / 200)
    noisy = xy + rng.normal(0, 0.3, xy.shape)
    wrong = rng.random((30, 40)) < 0.02
    noisy[wrong] += rng.choice([-1, 1], (wrong.sum(), 2)) * 12
    noisy[rng.random((30, 40)) < 0.05] = np.nan
    cleaned, residual = fit_surface(noisy)
    seen = np.isfinite(noisy[..., 0])
    assert cleaned.dtype == np.float32
    assert np.isnan(cleaned[wrong]).all()
    assert np.isfinite(cleaned[seen & ~wrong]).all(-1).mean() > 0.99
    assert 0.1 < residual < 0.5


def test_surface_accepts_a_crease_along_the_lattice() -> None:
    xy = lattice(20, 30) * 40.0
    xy[:, 15:, 0] -= 10 * np.arange(15)
    cleaned, residual = fit_surface(xy)
    assert np.isfinite(cleaned).all()
    assert residual < 2


def test_surface_of_too_little() -> None:
    cleaned, residual = fit_surface(np.full((3, 4, 2), np.nan))
    assert np.isnan(cleaned).all()
    assert np.isnan(residual)
    with pytest.raises(OptionError):
        fit_surface(np.zeros((3, 4)))


@pytest.mark.parametrize("margin", [0, 3])
def test_fill_is_exact_for_a_homography(margin: int) -> None:
    h = camera(9, 20, 30)
    whole = apply_homography(h, lattice(20 + 2 * margin, 30 + 2 * margin) - margin)
    nodes = whole[margin : margin + 20, margin : margin + 30].copy()
    nodes[5:11, 7:19] = np.nan
    nodes[:4, :6] = np.nan
    filled = fill_holes(nodes, margin)
    assert filled.shape == whole.shape
    assert np.abs(filled - whole).max() < 0.02


def test_fill_keeps_measured_nodes_and_stays_sane() -> None:
    rng = np.random.default_rng(4)
    nodes = lattice(15, 20) * 40 + rng.normal(0, 3, (15, 20, 2))
    nodes[3:12, 12:] = np.nan
    filled = fill_holes(nodes, 10)
    inner = filled[10:25, 10:30]
    seen = np.isfinite(nodes)
    assert np.array_equal(inner[seen], nodes[seen].astype(np.float32))
    assert np.abs(filled - (lattice(35, 40) - 10) * 40).max() < 40


def test_fill_refuses_a_line() -> None:
    nodes = np.full((6, 6, 2), np.nan)
    nodes[2] = lattice(6, 6)[2]
    with pytest.raises(PageError):
        fill_holes(nodes)
    with pytest.raises(OptionError):
        fill_holes(lattice(3, 3), -1)


def pages_index(hw: tuple[int, int]) -> np.ndarray:
    at = np.stack(np.meshgrid(np.arange(hw[1]) / 10, np.arange(hw[0]) / 8), -1)
    return (at + np.array([3.0, 4.0])) / 5


def test_dense_map_of_a_homography() -> None:
    h = camera(11, 20, 30)
    hw = (700, 1400)
    photo = dense_map(apply_homography(h, lattice(20, 30)), 5.0, (3.0, 4.0), (10.0, 8.0), hw)
    assert photo.shape == (*hw, 2)
    assert photo.dtype == np.float32
    assert np.abs(photo - apply_homography(h, pages_index(hw))).max() < 0.02


def test_dense_map_of_a_sine_fold() -> None:
    def bend(index: np.ndarray) -> np.ndarray:
        out = index * 60.0
        out[..., 1] += 12 * np.sin(2 * np.pi * index[..., 0] / 16)
        return out

    hw = (700, 1400)
    photo = dense_map(bend(lattice(20, 30)), 5.0, (3.0, 4.0), (10.0, 8.0), hw)
    error = np.abs(photo - bend(pages_index(hw)))
    assert error[..., 0].max() < 1e-3
    assert error[..., 1].max() < 0.1


def test_dense_map_leaves_holes_blank() -> None:
    nodes = lattice(6, 8) * 40 + 100
    nodes[2, 3] = np.nan
    photo = dense_map(nodes, 5.0, (-5.0, -5.0), (2.0, 2.0), (70, 90))
    mm = np.stack(np.meshgrid(np.arange(90) / 2 - 5, np.arange(70) / 2 - 5), -1)
    outside = (mm < 0).any(-1) | (mm > [35, 25]).any(-1)
    # A point on a line between cells belongs to the cell after it.
    hole = ((mm >= [10, 5]) & (mm < [20, 15])).all(-1)
    assert np.array_equal(np.isnan(photo[..., 0]), outside | hole)
    seen = ~(outside | hole)
    assert np.abs(photo[seen] - (mm[seen] * 8 + 100)).max() < 1e-3
    assert np.isnan(dense_map(np.full((3, 3, 2), np.nan), 5, (0, 0), (1, 1), (4, 4))).all()


def test_dense_map_refuses_nonsense() -> None:
    with pytest.raises(OptionError):
        dense_map(np.zeros((1, 5, 2)), 5, (0, 0), (1, 1), (4, 4))
    with pytest.raises(OptionError):
        dense_map(np.zeros((5, 5, 2)), 0, (0, 0), (1, 1), (4, 4))


@pytest.mark.parametrize("shape", [(2, 2), (3, 5), (12, 9)], ids=str)
def test_some_places_of_the_map_are_those_of_the_whole(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    nodes = 8 * lattice(*shape) + rng.normal(0, 2, (*shape, 2))
    nodes[rng.random(shape) < 0.1] = np.nan
    frame = (5.0, (-3.0, -2.0), (3.0, 2.0), (shape[0] * 11, shape[1] * 16))
    rows, columns = np.arange(0, shape[0] * 11, 4), np.arange(1, shape[1] * 16, 3)
    some, whole = grid_taps(nodes, *frame).places(rows, columns), dense_map(nodes, *frame)
    assert np.allclose(some, whole[np.ix_(rows, columns)], atol=1e-3, equal_nan=True)


@pytest.mark.parametrize("shape", [(2, 2), (3, 5), (12, 9)], ids=str)
def test_single_points_are_mapped_as_the_pixels_are(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    nodes = 8 * lattice(*shape) + rng.normal(0, 0.5, (*shape, 2))
    nodes[rng.random(shape) < 0.05] = np.nan
    hw = (shape[0] * 11, shape[1] * 16)
    mm = np.stack(np.meshgrid(np.arange(hw[1]) / 3 - 3, np.arange(hw[0]) / 2 - 2), -1)
    whole = dense_map(nodes, 5.0, (-3.0, -2.0), (3.0, 2.0), hw)
    assert np.allclose(photo_points(nodes, 5.0, mm), whole, atol=1e-3, equal_nan=True)


def test_points_of_the_photo_are_mapped_back() -> None:
    nodes = lattice(20, 30) * 40.0
    nodes[..., 1] += 25 * np.sin(2 * np.pi * nodes[..., 0] / 640)
    nodes[7, 9] = np.nan
    mm = np.random.default_rng(2).uniform((0, 0), (145, 95), (500, 2))
    photo = photo_points(nodes, 5.0, mm)
    seen = np.isfinite(photo).all(1)
    assert 450 < seen.sum() < 500
    back = page_points(nodes, 5.0, photo)
    assert np.abs(back - mm)[seen].max() < 1e-6
    assert np.isnan(back[~seen]).all()
    assert np.isnan(page_points(nodes, 5.0, np.array([[-300.0, 50.0], [50.0, 4000.0]]))).all()
    assert np.isnan(photo_points(nodes, 5.0, np.array([np.nan, 5.0]))).all()


def _flat_sheet() -> np.ndarray:
    """(30, 50, 2) px of a sheet seen at a slant, a sixth of its nodes missing."""
    index = np.stack(np.meshgrid(np.arange(50.0), np.arange(30.0)), -1)
    nodes = apply_homography(np.array([[40.0, 2.0, 90.0], [-1.0, 39.0, 60.0], [1e-4, 2e-4, 1.0]]), index)
    nodes += np.random.default_rng(0).normal(0, 0.4, nodes.shape)
    nodes[np.random.default_rng(1).random(nodes.shape[:2]) < 1 / 6] = np.nan
    return np.asarray(nodes, np.float32)


@pytest.mark.parametrize("by", [(16.0, 0.0), (0.0, -20.0)])
def test_a_part_that_slipped_leaves_a_flat_sheet(by: tuple[float, float]) -> None:
    sheet = _flat_sheet()
    np.testing.assert_array_equal(without_misindexed_patches(sheet), sheet)
    slipped = sheet.copy()
    slipped[10:20, 4:12] += np.array(by, np.float32)
    left = without_misindexed_patches(slipped)
    assert np.isnan(left[10:20, 4:12]).all()
    left[10:20, 4:12] = sheet[10:20, 4:12]
    np.testing.assert_array_equal(left, sheet)


def test_a_fold_and_single_nodes_are_no_slips() -> None:
    folded = _flat_sheet()
    folded[:, 25:, 1] += 8.0 * np.arange(25)  # bent upwards beyond a crease
    folded[12:24, 40:48, 0] += 16.0
    np.testing.assert_array_equal(without_misindexed_patches(folded), folded)
    single = _flat_sheet()
    single[12, 7] += 16.0
    np.testing.assert_array_equal(without_misindexed_patches(single), single)
    line = np.full((4, 30, 2), np.nan, np.float32)
    line[1] = np.stack([40.0 * np.arange(30), np.zeros(30)], -1)
    np.testing.assert_array_equal(without_misindexed_patches(line), line)
