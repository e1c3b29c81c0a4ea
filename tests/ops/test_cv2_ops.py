from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.errors import OptionError
from ecg_trt.geometry.homography import apply_homography, letterbox, turn_about
from ecg_trt.ops.base import Interpolation
from ecg_trt.ops.cv2_ops import Cv2Ops
from ecg_trt.ops.select import open_ops

OPS = Cv2Ops()


def smooth(h: int, w: int, scale: float = 1.0) -> np.ndarray:
    """A smooth picture sampled at pixel centres; `scale` source px a pixel, corners kept."""
    x, y = np.meshgrid((np.arange(w) + 0.5) * scale - 0.5, (np.arange(h) + 0.5) * scale - 0.5)
    planes = [np.sin(x / 31) * np.cos(y / 23), np.cos(x / 37 + y / 29), x / 1000 + y / 700]
    return np.stack(planes, -1).astype(np.float32)


def test_open_ops() -> None:
    assert isinstance(open_ops(), Cv2Ops)


@pytest.mark.parametrize("scale", [0.2, 1 / 3, 0.4, 0.7, 1.0, 1.6])
def test_letterbox_has_the_named_convention(scale: float) -> None:
    image = smooth(300, 420)
    out_hw = (round(300 * scale), round(420 * scale))
    matrix = letterbox((300, 420), out_hw)
    out = OPS.warp_homography(image, matrix, out_hw)
    assert out.dtype == np.float32
    assert np.abs(out - smooth(*out_hw, 1 / scale))[3:-3, 3:-3].max() < 0.012


def test_letterbox_fills_around_and_averages_stripes() -> None:
    image = np.tile(np.array([[0, 255]], np.uint8), (400, 200))[..., None].repeat(3, 2)
    out = OPS.warp_homography(image, letterbox((400, 400), (100, 150)), (100, 150), fill=9)
    assert out.dtype == np.uint8
    assert (out[:, :25] == 9).all()
    assert (out[:, 125:] == 9).all()
    assert np.abs(out[:, 26:124].astype(int) - 127).max() <= 1


def test_unit_letterbox_is_a_copy() -> None:
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    out = OPS.warp_homography(image, letterbox((20, 30), (26, 30)), (26, 30))
    assert np.array_equal(out[3:23], image)
    assert not np.shares_memory(out, image)


@pytest.mark.parametrize(("interpolation", "tolerance"), [("linear", 0.002), ("cubic", 0.004)])
def test_warp_is_the_homography(interpolation: Interpolation, tolerance: float) -> None:
    h = np.array([[0.9, 0.1, 5], [-0.08, 1.1, 20], [1e-4, -5e-5, 1]])
    out = OPS.warp_homography(smooth(300, 420), h, (280, 380), interpolation)
    at = apply_homography(np.linalg.inv(h), np.stack(np.meshgrid(np.arange(380), np.arange(280)), -1))
    x, y = at[..., 0], at[..., 1]
    inside = (x > 4) & (x < 415) & (y > 4) & (y < 295)
    assert inside.mean() > 0.7
    expected = np.sin(x / 31) * np.cos(y / 23)
    assert np.abs(out[..., 0] - expected)[inside].max() < tolerance


def test_strong_shrinking_does_not_alias() -> None:
    stripes = np.tile(np.array([0, 0, 255, 255], np.uint8), (800, 200))
    h = np.diag([0.11, 0.11, 1.0])
    h[0, 1] = 0.01
    out = OPS.warp_homography(stripes, h, (80, 85))
    assert out.shape == (80, 85)
    assert np.ptp(out[5:-5, 10:-10].astype(int)) < 40
    places = np.stack(np.meshgrid(np.arange(80) * 9.7 + 10, np.arange(80) * 9.7 + 10), -1).astype(np.float32)
    out, seen = OPS.remap(stripes, places)
    assert seen.all()
    assert np.ptp(out.astype(int)) < 40


@pytest.mark.parametrize("step", [0.8, 1.0, 2.5])
def test_remap_reads_where_the_map_says(step: float) -> None:
    at = np.stack(np.meshgrid(np.arange(120) * step + 10.3, np.arange(90) * step + 7.6), -1).astype(np.float32)
    out, seen = OPS.remap(smooth(300, 420), at)
    assert seen.all()
    assert np.abs(out[..., 0] - np.sin(at[..., 0] / 31) * np.cos(at[..., 1] / 23)).max() < 6e-3


def test_remap_marks_what_is_not_seen() -> None:
    image = np.full((10, 12, 3), 50, np.uint8)
    at = np.stack(np.meshgrid(np.arange(-3.0, 15), np.arange(-3.0, 13)), -1).astype(np.float32)
    at[8, 8] = np.nan
    before = at.copy()
    out, seen = OPS.remap(image, at, "cubic", 200)
    expected = np.zeros((16, 18), bool)
    expected[3:13, 3:15] = True
    expected[8, 8] = False
    assert np.array_equal(seen, expected)
    assert (out[seen] == 50).all()  # the rim is not mixed with the fill
    assert (out[~seen] == 200).all()
    assert np.array_equal(at, before, equal_nan=True)
    out, seen = OPS.remap(image[..., 0], np.full((3, 4, 2), np.nan, np.float32))
    assert not seen.any()
    assert out.shape == (3, 4)


def test_very_long_images() -> None:
    image = np.zeros((4, 40_000), np.float32) + np.arange(40_000, dtype=np.float32)
    at = np.stack(np.meshgrid(np.arange(36_000.0, 36_050), np.arange(3.0)), -1).astype(np.float32)
    out, seen = OPS.remap(image, at, "linear")
    assert seen.all()
    assert np.abs(out - at[..., 0]).max() < 0.05
    long = np.zeros((200, 40_000), np.uint8)
    assert OPS.warp_homography(long, letterbox((200, 40_000), (4, 400)), (4, 400)).shape == (4, 400)
    with pytest.raises(OptionError, match="40000"):
        OPS.warp_homography(image, np.eye(3), (4, 400))


def test_ruling_is_that_of_what_the_photo_shows() -> None:
    sheet = np.full((400, 500, 3), 230, np.uint8)
    sheet[::15], sheet[:, ::15] = 120, 120
    for angle in (-0.3, 0.0, 0.1):
        view = turn_about(angle, (250.0, 200.0))
        found, coherence = OPS.grid_orientation(sheet, view, (420, 560))
        assert found == pytest.approx(angle, abs=0.01)
        assert coherence > 0.2
    assert OPS.grid_orientation(sheet, np.array([[1.0, 0, 900], [0, 1, 0], [0, 0, 1]]), (50, 60)) == (0, 0)


def test_bad_arguments() -> None:
    image = np.zeros((5, 5), np.uint8)
    for call in (
        lambda: OPS.warp_homography(image.astype(np.int64), np.eye(3), (5, 5)),
        lambda: OPS.warp_homography(image, np.eye(3), (0, 5)),
        lambda: OPS.warp_homography(image, np.zeros((3, 3)), (5, 5)),
        lambda: OPS.warp_homography(image, np.eye(3), (5, 50_000)),
        lambda: OPS.remap(image, np.zeros((5, 5, 3), np.float32)),
    ):
        with pytest.raises(OptionError):
            call()


def test_cut_is_grey_beyond_the_page() -> None:
    image = np.arange(5 * 8 * 3, dtype=np.uint8).reshape(5, 8, 3)
    inside, beyond, nowhere = OPS.crop_tiles(image, np.array([(1, 2), (-2, 6), (100, 100)]), (3, 4))
    np.testing.assert_array_equal(inside, image[1:4, 2:6])
    assert (beyond[:2] == 114).all() and (beyond[:, 2:] == 114).all()
    np.testing.assert_array_equal(beyond[2:, :2], image[:1, 6:])
    assert (nowhere == 114).all()
