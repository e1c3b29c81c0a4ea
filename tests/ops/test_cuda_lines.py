"""The lines measured on the GPU against the CPU's measure."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.errors import OptionError
from ecg_trt.geometry.homography import turn_about
from ecg_trt.geometry.offsets import darkness, line_offsets
from ecg_trt.ops.cuda_ops import CudaOps
from ecg_trt.ops.cv2_ops import Cv2Ops
from ecg_trt.types import Array
from tests.ops.parity import agree, noise, places

CPU = Cv2Ops()
SCALE = (10.0, 4.5)


def ruled_page(hw: tuple[int, int], px_per_mm: tuple[float, float] = SCALE, blur: float = 0.0) -> Array:
    """Red lines every 5 mm that wander, faint ones every millimetre, a pen, a letter and noise."""
    rng = np.random.default_rng(hw[0])
    y, x = np.mgrid[: hw[0], : hw[1]]
    x_mm, y_mm = (x + 2 * np.sin(y / 40)) / px_per_mm[0], (y + np.sin(x / 70)) / px_per_mm[1]
    ink = np.zeros(hw)
    for step, depth in ((5.0, 90.0), (1.0, 30.0)):
        for at, px in ((x_mm, px_per_mm[0]), (y_mm, px_per_mm[1])):
            far = np.abs(at - step * np.round(at / step)) * px
            ink = np.maximum(ink, depth * np.exp(-0.5 * (far / 0.9) ** 2))
    page = 235 - ink[..., None] * np.array([0.25, 1, 1]) - 40 * (x / hw[1])[..., None]
    page[np.abs(y - hw[0] * (0.5 + 0.3 * np.sin(x / 60))) < 2] = 35
    page[hw[0] // 5 : hw[0] // 5 + 9, hw[1] // 4 : hw[1] // 4 + 30] = 60
    return (page + rng.normal(0, 3, page.shape)).clip(0, 255).astype(np.uint8)


def lattice(hw: tuple[int, int], px_per_mm: tuple[float, float], pitch_mm: float = 5.0) -> tuple[Array, Array]:
    """Lines that begin and end beyond the page, mm."""
    return tuple(np.arange(-10.1, side / px_per_mm[k] + 9, pitch_mm) for k, side in enumerate(hw[::-1]))  # type: ignore[return-value]


@pytest.mark.parametrize("hw", [(323, 611), (240, 401), (24, 90), (9, 8), (1, 1)], ids=str)
@pytest.mark.parametrize("px_per_mm", [SCALE, (8.0, 8.0)], ids=str)
@pytest.mark.parametrize("every", [1, 2])
def test_line_offsets(gpu: CudaOps, hw: tuple[int, int], px_per_mm: tuple[float, float], every: int) -> None:
    page = ruled_page(hw, px_per_mm)
    wanted_at = places(*lattice(hw, px_per_mm, 5.0 / every), every)
    got = gpu.line_offsets(gpu.upload(page), px_per_mm, wanted_at)
    expected = line_offsets(page, px_per_mm, wanted_at)
    if min(hw) > 200:
        assert (expected.x_prominence > 3).mean() > 0.15
        assert (expected.y_prominence > 3).mean() > 0.15
    for axis in ("x", "y"):
        offset, prominence = getattr(got, axis), getattr(got, f"{axis}_prominence")
        wanted = getattr(expected, f"{axis}_prominence")
        assert offset.dtype == np.float64
        assert np.array_equal(prominence == 0, wanted == 0)
        agree("prominence", prominence, wanted)
        agree("offset", np.where(wanted, offset, 0), np.where(wanted, getattr(expected, axis), 0))


def test_darkness_and_the_pen(gpu: CudaOps) -> None:
    page, (x_mm, _) = ruled_page((323, 611)), lattice((323, 611), SCALE)
    dark, bare, scale = gpu._darkness(gpu.upload(page), SCALE, x_mm)
    expected_dark, expected_bare = darkness(page, SCALE, x_mm)
    got_dark, got_bare = gpu.download(dark, bare)
    agree("darkness", got_dark.clip(*scale), expected_dark)
    assert 0.7 < got_bare.mean() < 0.98
    agree("bare", got_bare, expected_bare)


def test_blank_paper_and_lines_beside_the_page(gpu: CudaOps) -> None:
    page = np.full((100, 140, 3), 240, np.uint8)
    found = gpu.line_offsets(gpu.upload(page), SCALE, places([3.0, 8.0], [5.0]))
    assert not found.x_prominence.any()
    assert found.y_prominence.shape == (1, 2)
    beside = gpu.line_offsets(gpu.upload(ruled_page((100, 140))), SCALE, places([-40.0], [500.0, 505.0]))
    assert beside.x.shape == (2, 1)
    assert not beside.x_prominence.any() and not beside.y_prominence.any()


VIEWS = {
    "whole": np.diag([0.9, 0.9, 1.0]),
    "turned": turn_about(0.15, (100.0, 80.0)),
    "shrunk and slanted": np.array([[0.45, 0.03, 8], [-0.02, 0.4, 5], [1e-4, -2e-4, 1]]),
    "beyond the rim": np.array([[1.2, 0.1, -60], [-0.1, 1.1, 30], [0, 0, 1]]),
}


@pytest.mark.parametrize("name", VIEWS)
def test_ruling(gpu: CudaOps, name: str) -> None:
    photo, view, hw = ruled_page((331, 417), (6.0, 6.0)), VIEWS[name], (203, 251)
    expected = CPU.grid_orientation(photo, view, out_hw=hw)
    assert expected[1] > 0.05
    found = gpu.grid_orientation(photo, view, out_hw=hw)
    for got, wanted, what in zip(found, expected, ("angle", "coherence"), strict=True):
        agree(what, np.array(got), np.array(wanted))


def test_ruling_of_noise_and_of_nothing(gpu: CudaOps) -> None:
    for photo, view, hw in (
        (noise(90, 80, 3), np.eye(3), (90, 80)),
        (np.full((50, 60, 3), 99, np.uint8), np.eye(3), (40, 50)),
        (noise(50, 60, 3), np.array([[1.0, 0, 900], [0, 1, 0], [0, 0, 1]]), (40, 50)),
        (noise(1, 1, 3), np.eye(3), (1, 1)),
        (noise(5, 60, 3), np.eye(3), (5, 60)),
    ):
        agree(
            "coherence",
            np.array(gpu.grid_orientation(photo, view, hw)[1]),
            np.array(CPU.grid_orientation(photo, view, hw)[1]),
        )


def test_what_cannot_be_measured_is_refused(gpu: CudaOps) -> None:
    page, lines = gpu.upload(noise(9, 9, 3)), np.arange(3.0)
    for call in (
        lambda: gpu.line_offsets(page, SCALE, places(lines[:0], lines)),
        lambda: gpu.line_offsets(page, (0.5, 4.5), places(lines, lines)),
        lambda: gpu.line_offsets(page, (10.0, 70.0), places(lines, lines)),
        lambda: gpu.line_offsets(gpu.grey(page), SCALE, places(lines, lines)),
        lambda: gpu.grid_orientation(page, np.zeros((3, 3)), (5, 5)),
        lambda: gpu.grid_orientation(page, np.eye(3), (0, 5)),
    ):
        with pytest.raises(OptionError):
            call()
