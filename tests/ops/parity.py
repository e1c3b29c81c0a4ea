"""How far the GPU's work may lie from its reference, and what both are tried on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ecg_trt.geometry.offsets import LinePlaces
from ecg_trt.ops.cuda_work import Sizes
from ecg_trt.types import Array

SMALL = Sizes(photo_px=64, view_px=64, page_px=64, tiles=1, tile_hw=(8, 8), heatmap_cells=64, heatmaps_bytes=64)


def places(x_mm: ArrayLike, y_mm: ArrayLike, every: int = 1) -> LinePlaces:
    """Of lines every `every`-th place, measured at all places along the others, over windows of 5 mm."""
    x, y = np.asarray(x_mm, np.float64), np.asarray(y_mm, np.float64)
    return LinePlaces(x[::every], y[::every], x, y, 5.0)


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


_FRACTIONS = "OpenCV before 5 rounds positions to 1/32 px; between black and white that is 8 levels"
TOLERANCES = {
    "reduce": Tolerance(1, 0.5, "halves are rounded up here, to even there"),
    "exact": Tolerance(1, 0.01, "positions in float32, so that a value beside a half may be rounded the other way"),
    "linear": Tolerance(10, 1.0, _FRACTIONS),
    "cubic": Tolerance(10, 1.2, _FRACTIONS),
    "rectify": Tolerance(10, 1.2, _FRACTIONS),
    "grey": Tolerance(0, 0, "integers in both"),
    "crop": Tolerance(0, 0, "a copy"),
    "row": Tolerance(2e-4, 1e-5, "px; sums in float32 in another order"),
    "share": Tolerance(2e-5, 1e-6, "sums in float32 in another order"),
    "node": Tolerance(1e-4, 1e-5, "px; expf and float32 positions"),
    "darkness": Tolerance(1e-6, 1e-7, "of 1; exact sums divided in float32 here, in float64 there"),
    "bare": Tolerance(1, 1e-4, "a pixel beside the threshold of the pen may fall on either side, with its halo"),
    "offset": Tolerance(1e-3, 1e-5, "mm; sums of a window in float32 in another order"),
    "prominence": Tolerance(2e-2, 1e-3, "peak over spread; sums of a window in float32 in another order"),
    "angle": Tolerance(1e-4, 1e-4, "rad; the view's rounded pixels, and a percentile from bins 0.4 % wide"),
    "coherence": Tolerance(1e-3, 1e-3, "of 1; as the angle"),
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


def bent_nodes(rows: int, cols: int, pitch: float, holes: float = 0.0) -> Array:
    rng = np.random.default_rng(rows + cols)
    nodes = pitch * np.stack(np.meshgrid(np.arange(cols), np.arange(rows)), -1)
    nodes = nodes + rng.normal(0, pitch / 20, (rows, cols, 2))
    nodes[rng.random((rows, cols)) < holes] = np.nan
    return nodes.astype(np.float32)


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
