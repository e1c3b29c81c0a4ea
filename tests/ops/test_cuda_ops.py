"""The pixel work on the GPU against the CPU's, and against the formulas."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ecg_trt.errors import OptionError
from ecg_trt.geometry.grid import dense_map
from ecg_trt.geometry.homography import apply_homography, letterbox
from ecg_trt.ops.base import Interpolation, TextMask
from ecg_trt.ops.cuda_ops import CudaOps
from ecg_trt.ops.cv2_ops import Cv2Ops
from ecg_trt.types import Array
from tests.ops.parity import agree, bent_nodes, noise

CPU = Cv2Ops()


def weights(interpolation: str, x: Array) -> tuple[Array, Array]:
    """First tap (m,) and weights (m, taps) in float64, from the formulas."""
    taps = {"linear": 2, "cubic": 4}[interpolation]
    first = np.floor(x).astype(int) - taps // 2 + 1
    d = np.abs(x[:, None] - first[:, None] - np.arange(taps))
    if interpolation == "linear":
        return first, 1 - d
    inner, outer = 1.25 * d**3 - 2.25 * d**2 + 1, -0.75 * (d**3 - 5 * d**2 + 8 * d - 4)
    return first, np.where(d <= 1, inner, outer)


def exactly(image: Array, xy: Array, interpolation: str, fill: float | None) -> Array:
    """Reads an image (H, W, 3) at positions (..., 2), in float64; borders replicated where `fill` is None."""
    h, w = image.shape[:2]
    flat = xy.reshape(-1, 2)
    (x0, wx), (y0, wy) = (weights(interpolation, flat[:, k]) for k in (0, 1))
    columns, rows = x0[:, None] + np.arange(wx.shape[1]), y0[:, None] + np.arange(wy.shape[1])
    near = image[rows.clip(0, h - 1)[:, :, None], columns.clip(0, w - 1)[:, None]].astype(np.float64)
    if fill is not None:
        outside = ((rows < 0) | (rows >= h))[:, :, None] | ((columns < 0) | (columns >= w))[:, None]
        near[outside] = fill
    out = np.einsum("ny,nx,nyxc->nc", wy, wx, near)
    return np.rint(out).clip(0, 255).reshape(*xy.shape[:-1], 3)


HOMOGRAPHIES = {
    "tilted": np.array([[0.9, 0.1, 5], [-0.08, 1.1, 2], [1e-3, -5e-4, 1]]),
    "turned": np.array([[0.0, -1, 20.25], [1, 0, 3.125], [0, 0, 1]]),
    "enlarged": np.diag([3.1, 2.7, 1.0]),
    "away": np.array([[1.0, 0, 500], [0, 1, 0], [0, 0, 1]]),
    "near the horizon": np.array([[1.0, 0, 0], [0, 1, 0], [0.04, 0, 1]]),
}


@pytest.mark.parametrize("hw", [(61, 47), (1, 1), (1, 9), (17, 1), (2, 3)], ids=str)
@pytest.mark.parametrize("name", HOMOGRAPHIES)
@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_warp(gpu: CudaOps, interpolation: Interpolation, name: str, hw: tuple[int, int]) -> None:
    image, h, out_hw = noise(*hw, 3), HOMOGRAPHIES[name], (53, 45)
    (got,) = gpu.download(gpu.warp_homography(image, h, out_hw, interpolation, fill=114))
    expected = CPU.warp_homography(image, h, out_hw, interpolation, fill=114)
    at = apply_homography(np.linalg.inv(h), np.stack(np.meshgrid(np.arange(45), np.arange(53)), -1))
    sound = np.isfinite(at).all(-1)  # OpenCV takes the horizon for pixel (0, 0)
    assert sound.mean() > 0.97
    agree(interpolation, got[sound], expected[sound])
    agree("exact", got[sound], exactly(image, at[sound], interpolation, 114))


def test_warp_at_full_size(gpu: CudaOps) -> None:
    image = cv2.resize(noise(300, 400, 3), (4000, 3000), interpolation=cv2.INTER_CUBIC)
    h = np.array([[0.28, 0.011, 12.3], [-0.009, 0.31, 4.5], [1e-5, -2e-5, 1]])
    (got,) = gpu.download(gpu.warp_homography(image, h, (960, 1216), "cubic", fill=114))
    agree("cubic", got, CPU.warp_homography(image, h, (960, 1216), "cubic", fill=114))


@pytest.mark.parametrize("shift", [(0, 0), (3, -7), (-60, 2)])
def test_whole_shifts_are_copies(gpu: CudaOps, shift: tuple[int, int]) -> None:
    image, h = noise(40, 50, 3), np.eye(3)
    h[:2, 2] = shift
    (got,) = gpu.download(gpu.warp_homography(image, h, (45, 38), fill=9))
    assert np.array_equal(got, CPU.warp_homography(image, h, (45, 38), fill=9))


@pytest.mark.parametrize("factor", [2, 3, 7])
def test_averaging(gpu: CudaOps, factor: int) -> None:
    image = noise(21 * factor, 19 * factor, 3)
    matrix = letterbox(image.shape[:2], (21, 19))
    (got,) = gpu.download(gpu.warp_homography(image, matrix, (21, 19)))
    agree("reduce", got, cv2.resize(image, (19, 21), interpolation=cv2.INTER_AREA))
    image = image[:-1, : -(factor // 2)]  # a rest at the rim is left out
    (got,) = gpu.download(gpu.warp_homography(image, matrix, (20, 18)))
    agree("linear", got, CPU.warp_homography(image, matrix, (20, 18)))


@pytest.mark.parametrize("scale", [0.13, 0.31, 0.5, 0.9])
def test_letterbox_and_strong_shrinking(gpu: CudaOps, scale: float) -> None:
    image, hw = noise(211, 157, 3), (round(211 * scale) + 6, round(157 * scale))
    matrix = letterbox((211, 157), hw)
    (got,) = gpu.download(gpu.warp_homography(image, matrix, hw, fill=7))
    agree("linear", got, CPU.warp_homography(image, matrix, hw, fill=7))
    matrix = matrix @ np.array([[1, 0.03, 0], [-0.02, 1, 0], [0, 0, 1]])
    (got,) = gpu.download(gpu.warp_homography(image, matrix, hw, "cubic"))
    agree("cubic", got, CPU.warp_homography(image, matrix, hw, "cubic"))


@pytest.mark.parametrize(("pitch", "px_per_mm"), [(20.0, (9.0, 6.0)), (60.0, (4.0, 3.0))])
@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_flatten_needs_no_map(
    gpu: CudaOps, interpolation: Interpolation, pitch: float, px_per_mm: tuple[float, float]
) -> None:
    nodes, image = bent_nodes(7, 6, pitch, 0.05), noise(int(5.5 * pitch), int(4.5 * pitch), 3)
    frame = (5.0, (-1.0, -2.0), px_per_mm, (131, 187))
    got, seen = gpu.download(*gpu.rectify(image, nodes, *frame, interpolation, 114))
    expected, expected_seen = CPU.rectify(image, nodes, *frame, interpolation, 114)
    assert (seen != expected_seen).mean() < 1e-3  # a rounding of the photo's very edge
    both = seen & expected_seen
    assert 0.2 < both.mean() < 1
    agree("rectify", got[both], expected[both])
    assert (got[~seen] == 114).all()


@pytest.mark.parametrize("holes", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("shape", [(2, 2), (2, 5), (3, 3), (6, 4), (20, 30)], ids=str)
def test_flatten_by_any_lattice(gpu: CudaOps, shape: tuple[int, int], holes: float) -> None:
    nodes, image = bent_nodes(*shape, 20.0, holes), noise(20 * shape[0], 20 * shape[1], 3)
    frame = (5.0, (-3.3, -2.1), (3.9, 2.7), (shape[0] * 14 + 3, shape[1] * 20 + 1))
    got, seen = gpu.download(*gpu.rectify(image, nodes, *frame))
    expected, expected_seen = CPU.rectify(image, nodes, *frame)
    assert seen.dtype == bool
    assert (seen != expected_seen).mean() < 1e-3
    assert (got[~seen] == 255).all()
    both = seen & expected_seen
    assert both.any() == (holes < 1)
    if both.any():
        agree("rectify", got[both], expected[both])
        agree("exact", got[both], exactly(image, dense_map(nodes, *frame)[both], "cubic", None))


@pytest.mark.parametrize("hw", [(1, 1), (1, 5), (7, 1)])
def test_flatten_of_tiny_photos(gpu: CudaOps, hw: tuple[int, int]) -> None:
    image, nodes = noise(*hw, 3), bent_nodes(4, 4, 3.0) - np.float32(1.7)
    frame = (5.0, (0.0, 0.0), (2.3, 2.1), (31, 33))
    got, seen = gpu.download(*gpu.rectify(image, nodes, *frame, "cubic", 3))
    expected, expected_seen = CPU.rectify(image, nodes, *frame, "cubic", 3)
    assert seen.any() and np.array_equal(seen, expected_seen)
    agree("rectify", got, expected)


def test_cut(gpu: CudaOps) -> None:
    page = noise(70, 90, 3)
    corners = np.array([(0, 0), (-5, 13), (60, 83), (-100, 0), (3, 400), (20, -30)])
    (got,) = gpu.download(gpu.crop_tiles(gpu.upload(page), corners, (24, 32)))
    agree("crop", got, CPU.crop_tiles(page, corners, (24, 32)))
    assert (got[3] == 114).all() and np.array_equal(got[0], page[:24, :32])


def test_at_rows(gpu: CudaOps) -> None:
    image, nodes = noise(40, 41, 3), bent_nodes(4, 4, 12.0)
    _, seen = gpu.rectify(image, nodes, 5.0, (-2.0, 0.0), (3.0, 3.0), (37, 43))
    row = np.random.default_rng(0).integers(0, 37, (3, 43))
    got = gpu.gather_rows(seen, row)
    assert got.any() and not got.all()
    agree("crop", got, CPU.gather_rows(gpu.download(seen)[0], row))
    for wrong in (row[:, 1:], row + 36, row - 37):
        for ops in (gpu, CPU):
            with pytest.raises(OptionError):
                ops.gather_rows(seen, wrong)  # type: ignore[arg-type]


def test_a_view_in_a_larger_room(gpu: CudaOps) -> None:
    image, h = noise(40, 50, 3), np.array([[0.7, 0.1, 3], [-0.1, 0.8, 2], [1e-4, 0, 1]])
    (got,) = gpu.download(gpu.warp_homography(image, h, (30, 33), fill=7, buffer_hw=(41, 64)))
    assert got.shape == (41, 64, 3)
    (alone,) = gpu.download(gpu.warp_homography(image, h, (30, 33), fill=7))
    assert np.array_equal(got[:30, :33], alone)
    assert (got[30:] == 7).all() and (got[:, 33:] == 7).all()
    agree("linear", got, CPU.warp_homography(image, h, (30, 33), fill=7, buffer_hw=(41, 64)))


def test_grey(gpu: CudaOps) -> None:
    for image in (noise(41, 37, 3), noise(1, 1, 3)):
        agree("grey", gpu.download(gpu.grey(image))[0], cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def test_what_cannot_be_done_is_refused(gpu: CudaOps) -> None:
    image, page = noise(5, 5, 3), gpu.upload(noise(8, 8, 3))
    nodes, logits, mask = bent_nodes(3, 3, 9.0), np.zeros((1, 9, 5), np.float32), np.ones((2, 3), bool)
    for call in (
        lambda: gpu.upload(noise(5, 5)),
        lambda: gpu.upload(image.astype(np.float32)),
        lambda: gpu.warp_homography(image, np.zeros((3, 3)), (5, 5)),
        lambda: gpu.warp_homography(image, np.eye(3), (0, 5)),
        lambda: gpu.warp_homography(image, np.eye(3), (5, 5), buffer_hw=(5, 4)),
        lambda: gpu.rectify(image, nodes[:1], 5, (0, 0), (1, 1), (4, 4)),
        lambda: gpu.rectify(image, nodes, 5, (0, 0), (1, 1), (0, 4)),
        lambda: gpu.crop_tiles(page, np.zeros((0, 2)), (4, 4)),
        lambda: gpu.crop_tiles(page, np.zeros((1, 2)), (4, 5)),
        lambda: gpu.ridge(np.zeros((4, 5), np.float32)),
        lambda: gpu.ridge(np.zeros((1, 4, 5))),
        lambda: gpu.node_candidates(np.zeros((0, 5), np.float32), np.zeros((2, 0, 5), np.float32), 0.3, 4),
        lambda: gpu.node_candidates(np.zeros((4, 5), np.float32), np.zeros((2, 5, 5), np.float32), 0.3, 4),
        lambda: gpu.ridge(logits, TextMask(mask, np.zeros((1, 6), int), np.zeros((1, 5), int), 3.0)),
        lambda: gpu.ridge(logits, TextMask(mask, np.zeros((1, 9), int), np.full((1, 5), 3), 3.0)),
    ):
        with pytest.raises(OptionError):
            call()
