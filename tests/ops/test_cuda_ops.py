"""The GPU's pixel work and decoding against the CPU's: the kernels' own source, compiled for the host."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
import pytest

from ecg_trt.cuda.compile import kernel_files
from ecg_trt.cuda.device import DeviceInfo, probe
from ecg_trt.cuda.driver import open_driver
from ecg_trt.cuda.memory import DeviceArray
from ecg_trt.cuda.module import Kernels
from ecg_trt.errors import DeviceError, DeviceFaultError, DeviceMemoryError, DriverError, OptionError
from ecg_trt.geometry.grid import dense_map
from ecg_trt.geometry.homography import apply_homography, letterbox
from ecg_trt.geometry.signal import decode_ridge, follow_ridge
from ecg_trt.ops.base import Interpolation
from ecg_trt.ops.cuda_decode import Letters
from ecg_trt.ops.cuda_ops import CudaOps
from ecg_trt.ops.cuda_work import Sizes
from ecg_trt.ops.cv2_ops import Cv2Ops
from ecg_trt.ops.select import open_cuda_ops
from ecg_trt.stages.rectify import _marks_on_page, node_candidates
from ecg_trt.stages.trace import cut
from ecg_trt.types import Array
from tests.cuda.fake_driver import FakeDriver
from tests.cuda.host_kernels import host_kernels

CPU = Cv2Ops()
SMALL = Sizes(photo_px=64, view_px=64, page_px=64, tiles=1, tile_hw=(8, 8), heat_cells=64, marks_bytes=64)


@dataclass(frozen=True)
class Tolerance:
    """How far a kernel may lie from its reference, and why it may.

    Attributes:
        greatest: of all differences, in the result's unit.
        mean: of all differences.
        cause: of the difference.
    """

    greatest: float
    mean: float
    cause: str


_FRACTIONS = "OpenCV before 5 rounds positions to 1/32 px (Lanczos: still); between black and white that is 8 levels"
TOLERANCES = {
    "reduce": Tolerance(1, 0.5, "halves are rounded up here, to even there"),
    "exact": Tolerance(1, 0.01, "positions in float32, so that a value beside a half may be rounded the other way"),
    "linear": Tolerance(10, 1.0, _FRACTIONS),
    "cubic": Tolerance(10, 1.2, _FRACTIONS),
    "lanczos": Tolerance(10, 1.3, _FRACTIONS),
    "nearest": Tolerance(255, 1.0, "a position beside the border between two pixels may fall on either"),
    "map": Tolerance(2e-3, 2e-4, "px of a photo 4000 px wide; weights and nodes in float32 instead of float64"),
    "flatten": Tolerance(10, 1.2, _FRACTIONS),
    "grey": Tolerance(0, 0, "integers in both"),
    "cut": Tolerance(0, 0, "a copy"),
    "row": Tolerance(2e-4, 1e-5, "px; sums in float32 in another order"),
    "share": Tolerance(2e-5, 1e-6, "sums in float32 in another order"),
    "node": Tolerance(1e-4, 1e-5, "px; expf and float32 positions"),
    "mark": Tolerance(0.035, 0.008, "1/510 of uint8, and OpenCV's 1/32 px in a heatmap that jumps from 0 to 1"),
}


def agree(name: str, got: Array, expected: Array) -> None:
    tolerance = TOLERANCES[name]
    assert got.shape == expected.shape
    error = np.abs(got.astype(np.float64) - expected.astype(np.float64))
    assert error.max(initial=0) <= tolerance.greatest, f"{name}: {error.max()} ({tolerance.cause})"
    assert error.mean() <= tolerance.mean, f"{name}: {error.mean()} on average ({tolerance.cause})"


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def drivers() -> list[Any]:
    """The host, and where there is a GPU, every driver package that is installed: the same tests run on it."""
    real = isinstance(probe(), DeviceInfo)
    packages = [name for name, module in (("cuda-core", "cuda.core"), ("pycuda", "pycuda")) if real and _has(module)]
    return ["host", *(pytest.param(name, marks=pytest.mark.gpu) for name in packages)]


def _has(module: str) -> bool:
    return bool(find_spec(module.split(".")[0]) and find_spec(module))


@pytest.fixture
def any_cubin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake driver needs none."""
    monkeypatch.setattr("ecg_trt.cuda.module.cubin", lambda file, capability: file.encode())


@pytest.fixture(params=drivers())
def gpu(request: pytest.FixtureRequest) -> Iterator[CudaOps]:
    if request.param != "host":
        driver = open_driver(request.param)
        with CudaOps(driver, sizes=SMALL) as ops:
            yield ops
        driver.close()
        return
    request.getfixturevalue("any_cubin")
    fake = FakeDriver(host_kernels())
    with CudaOps(fake, sizes=SMALL) as ops:
        yield ops
    assert fake.faults == []
    assert fake.live == {}


def weights(interpolation: str, x: Array) -> tuple[Array, Array]:
    """First tap (m,) and weights (m, taps) in float64, from the formulas."""
    if interpolation == "nearest":
        return np.rint(x).astype(int), np.ones((len(x), 1))
    taps = {"linear": 2, "cubic": 4, "lanczos": 8}[interpolation]
    first = np.floor(x).astype(int) - taps // 2 + 1
    d = np.abs(x[:, None] - first[:, None] - np.arange(taps))
    if interpolation == "linear":
        return first, 1 - d
    if interpolation == "cubic":
        inner, outer = 1.25 * d**3 - 2.25 * d**2 + 1, -0.75 * (d**3 - 5 * d**2 + 8 * d - 4)
        return first, np.where(d <= 1, inner, outer)
    lanczos = np.sinc(d) * np.sinc(d / 4)
    return first, lanczos / lanczos.sum(1, keepdims=True)


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
@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic", "lanczos"])
def test_warp(gpu: CudaOps, interpolation: Interpolation, name: str, hw: tuple[int, int]) -> None:
    image, h, out_hw = noise(*hw, 3), HOMOGRAPHIES[name], (53, 45)
    (got,) = gpu.download(gpu.warp_homography(image, h, out_hw, interpolation, fill=114))
    expected = CPU.warp_homography(image, h, out_hw, interpolation, fill=114)
    at = apply_homography(np.linalg.inv(h), np.stack(np.meshgrid(np.arange(45), np.arange(53)), -1))
    sound = np.isfinite(at).all(-1)  # OpenCV takes the horizon for pixel (0, 0)
    assert sound.mean() > 0.97
    agree(interpolation, got[sound], expected[sound])
    if interpolation != "nearest":  # else the border between two pixels is as good as either
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
    (got,) = gpu.download(gpu.resize_letterbox(image, matrix, (21, 19)))
    agree("reduce", got, cv2.resize(image, (19, 21), interpolation=cv2.INTER_AREA))
    image = image[:-1, : -(factor // 2)]  # a rest at the rim is left out
    (got,) = gpu.download(gpu.resize_letterbox(image, matrix, (20, 18)))
    agree("linear", got, CPU.resize_letterbox(image, matrix, (20, 18)))


@pytest.mark.parametrize("scale", [0.13, 0.31, 0.5, 0.9])
def test_letterbox_and_strong_shrinking(gpu: CudaOps, scale: float) -> None:
    image, hw = noise(211, 157, 3), (round(211 * scale) + 6, round(157 * scale))
    matrix = letterbox((211, 157), hw)
    (got,) = gpu.download(gpu.resize_letterbox(image, matrix, hw, fill=7))
    agree("linear", got, CPU.resize_letterbox(image, matrix, hw, fill=7))
    matrix = matrix @ np.array([[1, 0.03, 0], [-0.02, 1, 0], [0, 0, 1]])
    (got,) = gpu.download(gpu.warp_homography(image, matrix, hw, "cubic"))
    agree("cubic", got, CPU.warp_homography(image, matrix, hw, "cubic"))


def wavy_map(hw: tuple[int, int], step: float) -> Array:
    y, x = np.mgrid[: hw[0], : hw[1]]
    places = np.stack([x * step + 3 * np.sin(y / 9) - 4, y * step + 2 * np.cos(x / 13) - 3], -1).astype(np.float32)
    places[3:7, 5] = np.nan
    places[9, 9] = [-0.5, 3]
    return places


@pytest.mark.parametrize("step", [0.4, 1.03, 2.6])
@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic", "lanczos"])
def test_remap(gpu: CudaOps, interpolation: Interpolation, step: float) -> None:
    image, places = noise(101, 83, 3), wavy_map((57, 61), step)
    got, seen = gpu.download(*gpu.remap(image, places, interpolation, 200))
    expected, expected_seen = CPU.remap(image, places, interpolation, 200)
    assert seen.dtype == bool
    assert np.array_equal(seen, expected_seen)
    assert 0.2 < seen.mean() < 1
    agree(interpolation, got, expected)
    if interpolation != "nearest" and step < 2:
        agree("exact", got[seen], exactly(image, places[seen].astype(np.float64), interpolation, None))


@pytest.mark.parametrize("hw", [(1, 1), (1, 5), (7, 1)])
def test_remap_of_tiny_images_and_nowhere(gpu: CudaOps, hw: tuple[int, int]) -> None:
    image = noise(*hw, 3)
    for places in (wavy_map((11, 13), 0.3), np.full((4, 5, 2), np.nan, np.float32), np.zeros((1, 1, 2), np.float32)):
        got, seen = gpu.download(*gpu.remap(image, places, "cubic", 3))
        expected, expected_seen = CPU.remap(image, places, "cubic", 3)
        assert np.array_equal(seen, expected_seen)
        agree("cubic", got, expected)


def bent_nodes(rows: int, cols: int, pitch: float, holes: float = 0.0) -> Array:
    rng = np.random.default_rng(rows + cols)
    nodes = pitch * np.stack(np.meshgrid(np.arange(cols), np.arange(rows)), -1)
    nodes = nodes + rng.normal(0, pitch / 20, (rows, cols, 2))
    nodes[rng.random((rows, cols)) < holes] = np.nan
    return nodes.astype(np.float32)


@pytest.mark.parametrize("holes", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("shape", [(2, 2), (2, 5), (3, 3), (6, 4), (40, 60)], ids=str)
def test_dense_map(gpu: CudaOps, shape: tuple[int, int], holes: float) -> None:
    nodes = bent_nodes(*shape, 70.0, holes)
    frame = (5.0, (-3.3, -2.1), (1.3, 0.9), (shape[0] * 5 + 3, shape[1] * 7 + 1))
    (got,) = gpu.download(gpu.dense_map(nodes, *frame))
    expected = dense_map(nodes, *frame)
    assert np.array_equal(np.isnan(got), np.isnan(expected))
    agree("map", np.nan_to_num(got), np.nan_to_num(expected))


@pytest.mark.parametrize(("pitch", "px_per_mm"), [(20.0, (9.0, 6.0)), (60.0, (4.0, 3.0))])
@pytest.mark.parametrize("interpolation", ["linear", "cubic", "lanczos"])
def test_flatten_needs_no_map(
    gpu: CudaOps, interpolation: Interpolation, pitch: float, px_per_mm: tuple[float, float]
) -> None:
    nodes, image = bent_nodes(7, 6, pitch, 0.05), noise(int(5.5 * pitch), int(4.5 * pitch), 3)
    frame = (5.0, (-1.0, -2.0), px_per_mm, (131, 187))
    got, seen = gpu.download(*gpu.flatten(image, nodes, *frame, interpolation, 114))
    expected, expected_seen = CPU.remap(image, dense_map(nodes, *frame), interpolation, 114)
    assert (seen != expected_seen).mean() < 1e-3  # a rounding of the photo's very edge
    both = seen & expected_seen
    assert 0.2 < both.mean() < 1
    agree("flatten", got[both], expected[both])
    assert (got[~seen] == 114).all()
    again, seen_again = gpu.download(*gpu.remap(image, gpu.dense_map(nodes, *frame), interpolation, 114))
    assert np.array_equal(seen, seen_again)
    agree("exact", got, again)


def test_cut(gpu: CudaOps) -> None:
    page = noise(70, 90, 3)
    corners = np.array([(0, 0), (-5, 13), (60, 83), (-100, 0), (3, 400), (20, -30)])
    (got,) = gpu.download(gpu.cut(gpu.upload(page), corners, (24, 32)))
    agree("cut", got, np.stack([cut(page, top, left, (24, 32)) for top, left in corners]))
    out = gpu.memory.array("input", (2, 24, 32, 3), np.uint8)
    assert gpu.cut(gpu.upload(page), corners[:2], (24, 32), out=out) is out
    assert np.array_equal(gpu.download(out)[0], got[:2])


def test_grey(gpu: CudaOps) -> None:
    for image in (noise(41, 37, 3), noise(1, 1, 3)):
        agree("grey", gpu.download(gpu.grey(image))[0], cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def ridge_logits(n: int, height: int, width: int) -> Array:
    """A pen's Gaussian, a letter that outshines it for a while, and noise."""
    rng = np.random.default_rng(n * height + width)
    at, x = np.arange(height)[:, None], np.arange(width)
    maps = []
    for _ in range(n):
        pen = height * (0.5 + 0.3 * np.sin(x / 9 + rng.random()))
        letter = np.where((x > width // 3) & (x < width // 3 + 9), 12.0, -40) - 0.4 * (at - height // 5) ** 2
        maps.append(np.maximum(8 - 0.4 * (at - pen) ** 2, letter).clip(-6) + rng.normal(0, 0.8, (height, width)))
    return np.stack(maps).astype(np.float32)


@pytest.mark.parametrize("shape", [(3, 97, 61), (1, 40, 5), (2, 320, 33), (1, 4, 7), (1, 81, 1)], ids=str)
@pytest.mark.parametrize("priced", [False, True])
def test_ridge(gpu: CudaOps, shape: tuple[int, int, int], priced: bool) -> None:
    logits, letters, less = ridge_logits(*shape), None, np.float32(0)
    if priced:
        rng = np.random.default_rng(1)
        mask = rng.random((9, 12)) < 0.3
        row, column = rng.integers(0, 9, shape[:2]), rng.integers(0, 12, (shape[0], shape[2]))
        letters = Letters(mask, row, column, 3.0)
        less = np.float32(3) * mask[row[:, :, None], column[:, None, :]].astype(np.float32)
    found = gpu.ridge(logits, letters)
    centre = follow_ridge(logits - less)
    expected_row, expected_share = decode_ridge(logits, centre=centre)
    row_px, share = found.followed()
    assert found.row.shape == (shape[0], 4, shape[2])
    agree("row", row_px, expected_row)
    agree("share", share, expected_share)
    assert (found.score[:, 0] == 0).all()
    assert (np.diff(found.score.clip(-1e3), axis=1) <= 0).all()


def test_ridge_of_flat_and_steep_columns(gpu: CudaOps) -> None:
    flat = np.zeros((1, 100, 3), np.float32)  # the last row of a plateau is its maximum, as on the CPU
    assert np.array_equal(gpu.ridge(flat).row[0, 0], follow_ridge(flat)[0])
    steep = np.full((1, 50, 2), -3e4, np.float32)
    steep[0, 20:23, 0], steep[0, 30, 1] = [0, 100, 3e4], 5
    position, share = gpu.ridge(steep).followed()
    assert np.allclose(position, [[22, 30]])
    assert np.allclose(share, 1)


def test_node_candidates(gpu: CudaOps) -> None:
    rng = np.random.default_rng(3)
    for hw in ((37, 53), (1, 1), (1, 8), (64, 64)):
        logit = rng.normal(-1, 2, hw).astype(np.float32)
        offset = rng.normal(0, 1, (2, *hw)).astype(np.float32)
        xy, score = gpu.node_candidates(logit, offset, 0.3, 4)
        heat = 1 / (1 + np.exp(-logit))
        assert np.abs(heat - 0.3).min() > 1e-6  # no cell so near the threshold that it may fall on either side
        expected_xy, expected_score = node_candidates(heat, offset)
        agree("node", xy, expected_xy)
        agree("node", score, expected_score)
    xy, score = gpu.node_candidates(np.full((5, 5), -9, np.float32), np.zeros((2, 5, 5), np.float32), 0.3, 4)
    assert xy.shape == (0, 2)
    assert score.shape == (0,)
    xy, _ = gpu.node_candidates(np.full((9, 9), 2, np.float32), np.zeros((2, 9, 9), np.float32), 0.3, 4)
    assert len(xy) == 81  # a plateau is all peaks, as on the CPU


@pytest.mark.parametrize("holes", [0.0, 0.1])
def test_marks(gpu: CudaOps, holes: float) -> None:
    rng = np.random.default_rng(5)
    planes = {"zero": 1, "start": 1, "end": 1, "pulse": 1, "paper": 1, "label": 12}
    logits = {name: rng.normal(0, 2, (n, 40, 45)).astype(np.float32) for name, n in planes.items()}
    nodes = bent_nodes(9, 10, 20.0, holes) - 8  # some lie outside the canvas
    expected = _marks_on_page({name: 1 / (1 + np.exp(-m)) for name, m in logits.items()}, nodes)
    got = gpu.marks(logits, nodes, 5.0, 4)
    for name in planes:
        wanted = np.nan_to_num(getattr(expected, name))  # OpenCV 5 has NaN where a lattice has a hole
        agree("mark", got[name] / 255, wanted if name == "label" else wanted[None])
    assert got["label"].shape == (12, 40, 45)


def test_a_larger_photo_makes_room_and_says_so(gpu: CudaOps, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ecg_trt.cuda.memory"):
        small = gpu.upload(noise(4, 4, 3))
        assert gpu.memory.generation == 0
        assert not caplog.records
        held = gpu.memory.device_bytes
        gpu.upload(noise(40, 50, 3))
    assert gpu.memory.generation == 1
    assert gpu.memory.device_bytes == held - 192 + 6000
    assert "memory photo: from 192 to 6000 bytes" in caplog.text
    image = noise(30, 20, 3, seed=4)
    there = gpu.upload(image)
    image[:] = 0  # the caller may do so at once
    assert there.address == gpu.upload(noise(5, 5, 3)).address != small.address
    assert gpu.memory.generation == 1


def test_a_photo_decoded_into_pinned_memory_is_not_copied_twice(gpu: CudaOps) -> None:
    memory = gpu.photo_memory(4, 5)
    memory[:] = noise(4, 5, 3)
    there = gpu.upload(memory)
    assert np.array_equal(gpu.download(there)[0], noise(4, 5, 3))
    gpu.photo_memory(4, 5)[:] = 0  # waits for the copy
    assert np.array_equal(gpu.download(there)[0], noise(4, 5, 3))


def test_what_cannot_be_done_is_refused(gpu: CudaOps) -> None:
    image, page = noise(5, 5, 3), gpu.upload(noise(8, 8, 3))
    nodes = bent_nodes(3, 3, 9.0)
    for call in (
        lambda: gpu.upload(noise(5, 5)),
        lambda: gpu.upload(image.astype(np.float32)),
        lambda: gpu.resize_letterbox(image, np.array([[0, -1, 4], [1, 0, 0], [0, 0, 1.0]]), (5, 5)),
        lambda: gpu.warp_homography(image, np.zeros((3, 3)), (5, 5)),
        lambda: gpu.warp_homography(image, np.eye(3), (0, 5)),
        lambda: gpu.warp_homography(image, np.eye(3), (5, 5), out=page),
        lambda: gpu.remap(image, np.zeros((5, 5, 3), np.float32)),
        lambda: gpu.flatten(image, nodes[:1], 5, (0, 0), (1, 1), (4, 4)),
        lambda: gpu.flatten(image, nodes, 5, (0, 0), (1, 1), (0, 4)),
        lambda: gpu.cut(page, np.zeros((0, 2)), (4, 4)),
        lambda: gpu.cut(page, np.zeros((1, 2)), (4, 5)),
        lambda: gpu.ridge(np.zeros((4, 5), np.float32)),
        lambda: gpu.ridge(np.zeros((1, 4, 5))),
        lambda: gpu.node_candidates(np.zeros((0, 5), np.float32), np.zeros((2, 0, 5), np.float32), 0.3, 4),
    ):
        with pytest.raises(OptionError):
            call()


def everything(driver: FakeDriver) -> list[Array]:
    """One pass through all that `CudaOps` does, in memory that has to grow."""
    logits, nodes = ridge_logits(1, 50, 12), bent_nodes(4, 4, 12.0)
    with CudaOps(driver, sizes=SMALL) as gpu:
        photo = gpu.upload(noise(40, 41, 3))
        out = list(gpu.download(gpu.warp_homography(photo, np.diag([0.4, 0.4, 1.0]), (16, 16)), gpu.grey(photo)))
        page, seen = gpu.flatten(photo, nodes, 5.0, (0.0, 0.0), (3.0, 3.0), (40, 40))
        out += gpu.download(page, seen, gpu.cut(page, np.array([[3, 4]]), (8, 8)))
        out += gpu.download(*gpu.remap(photo, wavy_map((20, 20), 1.0)))
        out += gpu.ridge(logits, Letters(np.eye(3), np.zeros((1, 50)), np.zeros((1, 12)), 3.0)).followed()
        out += gpu.node_candidates(logits[0], np.zeros((2, 50, 12), np.float32), 0.3, 4)
        out += gpu.marks({"label": logits}, nodes, 5.0, 4).values()
    gpu.close()
    return out


@pytest.mark.usefixtures("any_cubin")
@pytest.mark.parametrize(
    ("code", "error", "every"),
    [
        ("ILLEGAL_ADDRESS", DeviceFaultError, 1),
        ("OUT_OF_MEMORY", DeviceMemoryError, 7),
        ("NO_BINARY_FOR_GPU", DriverError, 11),
    ],
)
def test_whichever_call_fails_nothing_is_left_behind(
    code: str, error: type[DeviceError], every: int, caplog: pytest.LogCaptureFixture
) -> None:
    whole = FakeDriver()
    everything(whole)
    assert whole.live == {}
    assert whole.faults == []
    ends = {"unload_module", "free", "free_host", "destroy_stream", "destroy_event"}
    assert ends < set(whole.calls)
    for k, name in list(enumerate(whole.calls, 1))[::every]:
        driver = FakeDriver(fail_at=k, code=code)
        caplog.clear()
        if name in ends:  # giving back fails: told, and the rest is given back all the same
            everything(driver)
            assert "not given back" in caplog.text
        else:
            with pytest.raises(error, match=f"CUDA_ERROR_{code} from {name}"):
                everything(driver)
        assert driver.live == {}, f"after {name} failed"
        assert driver.faults == []


@pytest.mark.usefixtures("any_cubin")
def test_slots_share_kernels_and_nothing_else() -> None:
    driver = FakeDriver(host_kernels())
    with (
        Kernels(driver) as kernels,
        CudaOps(driver, kernels, SMALL) as one,
        open_cuda_ops(driver, kernels, SMALL) as two,
    ):
        first, second = one.upload(noise(4, 4, 3)), two.upload(noise(4, 4, 3, seed=1))
        assert one.stream.handle != two.stream.handle
        assert np.array_equal(one.download(first)[0], noise(4, 4, 3))
        assert np.array_equal(two.download(second)[0], noise(4, 4, 3, seed=1))
        assert driver.calls.count("load_module") == len(kernel_files())
    assert driver.live == {}


def test_results_of_the_networks_stay_where_they_are(gpu: CudaOps) -> None:
    logits = gpu.memory.upload("output", ridge_logits(1, 30, 8))
    found = gpu.ridge(DeviceArray(logits.address, logits.shape, logits.dtype, logits))
    assert np.array_equal(found.row, gpu.ridge(ridge_logits(1, 30, 8)).row)
