"""The camera and the paper against themselves and against closed forms."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ecg_trt.synth.capture import Capture, degrade, draw_capture, photograph
from ecg_trt.synth.light import Photometrics, draw_photometrics
from ecg_trt.synth.paper_surface import MARGIN_MM, draw_surface
from ecg_trt.types import Array

SIZE_MM = (297.0, 210.0)
PHOTO_HW = (900, 1200)


def _lattice(px_per_mm: float = 4.0) -> Array:
    """A white page with a dark line every 5 mm."""
    width, height = (round(side * px_per_mm) for side in SIZE_MM)
    page = np.full((height, width, 3), 250, np.uint8)
    page[:: round(5 * px_per_mm)] = page[:, :: round(5 * px_per_mm)] = (220, 120, 120)
    return page


def _photo_points(capture: Capture, window: tuple[int, int, int, int]) -> Array:
    x0, y0, width, height = window
    x, y = np.meshgrid(np.arange(x0, x0 + width), np.arange(y0, y0 + height))
    return np.stack([x, y], -1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["photo", "scan", "render"])
def test_map_agrees_with_the_exact_formula(kind: str, seed: int) -> None:
    capture = draw_capture(np.random.default_rng(seed), SIZE_MM, PHOTO_HW, kind=kind)
    window = (401, 303, 250, 190)
    exact = capture.page_from_photo(_photo_points(capture, window))
    assert np.abs(capture.page_map(window=window) - exact).max() < 0.02
    for stride in (3, 16):
        coarse = capture.page_map(stride, window)
        assert coarse.shape == (*exact[::stride, ::stride].shape,)
        assert coarse.dtype == np.float32
        assert np.abs(coarse - exact[::stride, ::stride]).max() < 0.02


@pytest.mark.parametrize("seed", range(5))
def test_there_and_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    capture = draw_capture(rng, SIZE_MM, PHOTO_HW, kind="photo", severity=1.0)
    page = rng.random((30, 2)) * SIZE_MM
    np.testing.assert_allclose(capture.page_from_photo(capture.photo_from_page(page)), page, atol=1e-4)


def test_render_is_an_exact_scaling() -> None:
    capture = draw_capture(np.random.default_rng(0), (300.0, 225.0), PHOTO_HW, kind="render")
    corners = capture.page_from_photo(np.array([[0, 0], [1199, 899]]))
    np.testing.assert_allclose(corners, [[0.125, 0.125], [299.875, 224.875]])
    assert capture.px_per_mm == pytest.approx(4.0)


def test_render_returns_the_page_itself() -> None:
    rng = np.random.default_rng(1)
    page = rng.integers(0, 256, (900, 1200, 3)).astype(np.uint8)
    capture = draw_capture(rng, (300.0, 225.0), PHOTO_HW, kind="render")
    plain = Capture(
        capture.kind, capture.surface, capture.plane_from_photo, capture.photo_hw, 0.0, capture.size_mm, Photometrics(0)
    )
    picture = photograph(page, 4.0, plain, rng)
    assert np.abs(picture[2:-2, 2:-2].astype(int) - page[2:-2, 2:-2]).max() <= 2


def test_severity_zero_is_exactly_flat() -> None:
    surface = draw_surface(np.random.default_rng(3), SIZE_MM, 0.0)
    assert surface.flat and not surface.displacement_mm.any() and (surface.shading == 1).all()


@pytest.mark.parametrize("seed", range(8))
def test_displacement_is_bounded_and_invertible(seed: int) -> None:
    surface = draw_surface(np.random.default_rng(seed), SIZE_MM, 1.0)
    move = surface.displacement_mm
    assert 0.05 < np.abs(move).max() <= 6.0
    assert max(np.abs(np.diff(move, axis=0)).max(), np.abs(np.diff(move, axis=1)).max()) < 0.4
    assert 0.3 < surface.shading.min() <= surface.shading.max() < 1.4
    node = np.array([[20.0, 33.0]])
    np.testing.assert_allclose(surface.displace(node)[0], move[33 + int(MARGIN_MM), 20 + int(MARGIN_MM)])


def test_most_of_the_page_is_in_the_frame() -> None:
    rng = np.random.default_rng(5)
    seen = []
    for _ in range(40):
        capture = draw_capture(rng, SIZE_MM, PHOTO_HW, kind="photo", severity=0.0)
        xy = capture.photo_from_page(rng.random((200, 2)) * SIZE_MM)
        seen.append(((xy >= 0) & (xy < (PHOTO_HW[1], PHOTO_HW[0]))).all(-1).mean())
    assert np.mean(seen) > 0.93 and min(seen) > 0.6


def test_same_seed_same_picture() -> None:
    page = _lattice()
    first, second = (
        photograph(page, 4.0, draw_capture(rng, SIZE_MM, PHOTO_HW), rng, window=(300, 200, 256, 200))
        for rng in (np.random.default_rng(11), np.random.default_rng(11))
    )
    assert first.dtype == np.uint8 and first.shape == (200, 256, 3)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("seed", range(10))
def test_a_window_is_a_part_of_the_whole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    capture = draw_capture(rng, SIZE_MM, PHOTO_HW, kind="photo")
    window = (250, 180, 320, 240)
    pair = (
        photograph(_lattice(), 4.0, capture, rng)[180:420, 250:570],
        photograph(_lattice(), 4.0, capture, rng, window=window),
    )
    small = [cv2.resize(image, (16, 12), interpolation=cv2.INTER_AREA).astype(float) for image in pair]
    assert np.abs(small[0] - small[1]).mean() < 6


def test_lattice_lies_where_the_map_says() -> None:
    rng = np.random.default_rng(2)
    capture = draw_capture(rng, SIZE_MM, PHOTO_HW, kind="photo", severity=0.6)
    clean = Capture("photo", capture.surface, capture.plane_from_photo, PHOTO_HW, capture.k1, SIZE_MM, Photometrics(0))
    picture = photograph(_lattice(), 4.0, clean, rng)
    where = clean.page_map()
    inside = ((where > 12) & (where < np.array(SIZE_MM) - 12)).all(-1)
    # a raster line's only row lies at (row + 0.5) / 4 mm
    off = np.abs((where - 0.125 + 2.5) % 5 - 2.5).min(-1)
    redness = picture[..., 0].astype(float) - picture[..., 1]
    assert redness[inside & (off < 0.1)].mean() > 4 * max(redness[inside & (off > 0.8)].mean(), 0.5)


def test_background_is_used_outside_the_page() -> None:
    rng = np.random.default_rng(4)
    capture = draw_capture(rng, SIZE_MM, (600, 1200), kind="scan", severity=0.0)
    plain = Capture("scan", capture.surface, capture.plane_from_photo, capture.photo_hw, 0.0, SIZE_MM, Photometrics(0))
    green = np.zeros((8, 8, 3), np.uint8)
    green[..., 1] = 200
    picture = photograph(_lattice(), 4.0, plain, rng, background=green)
    assert (picture[300, 3] == (0, 200, 0)).all()
    assert picture[300, 600].min() > 100


@pytest.mark.parametrize("kind", ["photo", "scan", "render"])
def test_degrade_keeps_shape_and_picture(kind: str) -> None:
    page = _lattice()[:200, :300]
    for seed in range(12):
        rng = np.random.default_rng(seed)
        out = degrade(page, draw_photometrics(rng, kind, SIZE_MM, 5.0), rng)
        assert out.shape == page.shape and out.dtype == np.uint8
        assert out.mean() > 90


def test_grain_of_a_picture_larger_than_the_bank() -> None:
    rng = np.random.default_rng(0)
    out = degrade(np.full((1100, 1300, 3), 128, np.uint8), Photometrics(0, noise=(5.0, 0.0, 0.0)), rng)
    assert out.std() == pytest.approx(5.0, abs=0.3)
