"""A paper surface that is not flat: where its points go, and how bright they look.

A height field z(u, v) is put together from bends, folds, curls and crumples. Seen at a slant, a point of
height z moves by z times the slope of the line of sight, and under a low light its brightness follows the
gradient of z: so displacement and shading agree, as they do on real paper.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ecg_trt.types import Array

MARGIN_MM = 40.0
_MAX_SLOPE = 0.38  # below 1 the displacement can be inverted by fixed-point iteration


@dataclass(frozen=True, slots=True)
class PaperSurface:
    """Displacement and shading of a sheet of paper, on a grid of 1 mm that begins `MARGIN_MM` outside the page.

    Attributes:
        displacement_mm: (H, W, 2) float32, d of ``page = q + d(q)``, q being mm on the flattened plane;
            bilinear between the samples, constant beyond the last ones.
        shading: (H, W) float32, factor on the brightness, over the same grid.
        flat: True where both are trivial, so that they need not be sampled.
    """

    displacement_mm: Array
    shading: Array
    flat: bool

    def displace(self, plane_mm: Array) -> Array:
        """Sample the displacement d at points (..., 2) of the flattened plane, mm, as (..., 2) float64."""
        plane = np.asarray(plane_mm, np.float64)
        if self.flat:
            return np.zeros_like(plane)
        height, width = self.shading.shape
        x = np.clip(plane[..., 0] + MARGIN_MM, 0, width - 1)
        y = np.clip(plane[..., 1] + MARGIN_MM, 0, height - 1)
        col = np.minimum(x.astype(np.intp), width - 2)
        row = np.minimum(y.astype(np.intp), height - 2)
        fx, fy = (x - col)[..., None], (y - row)[..., None]
        d = self.displacement_mm
        top = d[row, col] * (1 - fx) + d[row, col + 1] * fx
        bottom = d[row + 1, col] * (1 - fx) + d[row + 1, col + 1] * fx
        return np.asarray(top * (1 - fy) + bottom * fy)


def bounds(points: Array) -> tuple[Array, Array]:
    """Find the least and greatest (x, y), as two arrays (2,), of (h, w, 2); NumPy is slow over two axes."""
    ranges = [cv2.minMaxLoc(cv2.extractChannel(points, k))[:2] for k in (0, 1)]
    low, high = np.array(ranges).T
    return low, high


def flat_surface(size_mm: tuple[float, float]) -> PaperSurface:
    """Make a surface without any displacement or shading for a page of (width, height) mm."""
    shape = tuple(int(np.ceil(side + 2 * MARGIN_MM)) + 1 for side in (size_mm[1], size_mm[0]))
    return PaperSurface(np.zeros((*shape, 2), np.float32), np.ones(shape, np.float32), True)


def draw_surface(
    rng: np.random.Generator, size_mm: tuple[float, float], severity: float, relief: float = 1.0
) -> PaperSurface:
    """Draw a surface by lot.

    Args:
        rng: source of all randomness.
        size_mm: (width, height) of the page, mm.
        severity: 0 (exactly flat) to 1 (bent by some 4 mm, folded and crumpled).
        relief: how much of the shading is seen; a scanner's lamp leaves little of it.
    """
    if severity <= 0:
        return flat_surface(size_mm)
    shape = tuple(int(np.ceil(side + 2 * MARGIN_MM)) + 1 for side in (size_mm[1], size_mm[0]))
    x = np.arange(shape[1], dtype=np.float32)[None] - np.float32(MARGIN_MM)
    y = np.arange(shape[0], dtype=np.float32)[:, None] - np.float32(MARGIN_MM)
    height = np.zeros(shape, np.float32)
    move = np.zeros((*shape, 2), np.float32)
    dim = np.ones(shape, np.float32)
    chosen = rng.random(4) < (0.85, 0.45, 0.5, 0.3)
    if chosen[0] or not chosen.any():
        height += _bend(rng, x, y, severity)
    if chosen[1]:
        _fold(rng, x, y, size_mm, severity, height, move, dim)
    if chosen[2]:
        height += _crumple(rng, x, y, severity)
    if chosen[3]:
        height += _curl(rng, x, y, size_mm, severity)
    move += height[..., None] * _line_of_sight(rng, x, y, size_mm)
    return PaperSurface(_without_plane(move, severity), 1 + np.float32(relief) * (_shade(rng, height, dim) - 1), False)


def _bend(rng: np.random.Generator, x: Array, y: Array, severity: float) -> Array:
    """Draw a few long waves, mm."""
    total = np.zeros((y.size, x.size), np.float32)
    for _ in range(int(rng.integers(2, 5))):
        length, angle, phase = rng.uniform(90, 450), rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)
        slope = severity * rng.uniform(0.02, 0.16)
        k = 2 * np.pi / length
        total += np.float32(slope / k) * np.sin(
            np.float32(k * np.cos(angle)) * x + np.float32(k * np.sin(angle)) * y + np.float32(phase)
        )
    return total


def _fold(
    rng: np.random.Generator,
    x: Array,
    y: Array,
    size_mm: tuple[float, float],
    severity: float,
    height: Array,
    move: Array,
    dim: Array,
) -> None:
    """Add one to three straight creases to `height` and `move` (mm) and to the factor `dim`, in place."""
    width, tall = size_mm
    upright = rng.random() < 0.5
    base = rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.02) if upright else rng.uniform(0, np.pi)
    for _ in range(int(rng.integers(1, 4))):
        angle = base + rng.choice([0.0, np.pi / 2]) * (rng.random() < 0.4) + (0 if upright else rng.normal(0, 0.5))
        nx, ny = float(np.cos(angle)), float(np.sin(angle))
        cx, cy = rng.uniform(0.12, 0.88) * width, rng.uniform(0.12, 0.88) * tall
        t = np.float32(nx) * (x - np.float32(cx)) + np.float32(ny) * (y - np.float32(cy))
        kink = severity**0.7 * rng.uniform(0.1, 0.5) * rng.choice([-1, 1])
        reach = np.float32(rng.uniform(25, 120))  # beyond it the paper lies flat again
        far = np.abs(t)
        height += np.float32(kink / 2) * np.where(far < reach, far, reach)
        squeeze = np.float32(severity * rng.uniform(0.1, 1.0) / 2)
        soft = np.float32(rng.uniform(2.0, 5.0))
        step = squeeze * np.clip(t / soft, -1, 1)
        move[..., 0] += np.float32(nx) * step
        move[..., 1] += np.float32(ny) * step
        line = np.float32(rng.uniform(-0.3, 0.2))
        dim *= 1 + line * np.exp(-far / np.float32(rng.uniform(0.4, 1.2)))


def _facets(rng: np.random.Generator, x: Array, y: Array, length_mm: float) -> Array:
    """Draw piecewise plane noise in [-1, 1]: heights at the corners of a bent mesh of triangles."""
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(0.6, 1.6)
    cos, sin = np.float32(np.cos(angle) / length_mm), np.float32(np.sin(angle) / length_mm)
    u, v = cos * x + sin * y, np.float32(stretch) * (cos * y - sin * x)
    size = u.shape[::-1]
    coarse = [max(3, int(side / (1.6 * length_mm))) for side in u.shape]
    bend = [
        cv2.resize(rng.uniform(-1.1, 1.1, coarse).astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
        for _ in range(2)
    ]
    u, v = u + bend[0] + 64, v + bend[1] + 64
    col, row = u.astype(np.int32), v.astype(np.int32)
    fx, fy = u - col, v - row
    knots = rng.uniform(-1, 1, (128, 128)).astype(np.float32).ravel()
    here = (row & 127) * 128 + (col & 127)
    east, south = (here & ~127) | ((here + 1) & 127), (here + 128) & 16383
    diagonal = (south & ~127) | ((south + 1) & 127)
    z0, z1, ze, zs = knots[here], knots[diagonal], knots[east], knots[south]
    lower = fx > fy
    return np.asarray(np.where(lower, z0 + fx * (ze - z0) + fy * (z1 - ze), z0 + fy * (zs - z0) + fx * (z1 - zs)))


def _crumple(rng: np.random.Generator, x: Array, y: Array, severity: float) -> Array:
    """Draw facets at a falling series of lengths, stronger here and weaker there, mm."""
    total = np.zeros((y.size, x.size), np.float32)
    length = rng.uniform(28, 60)
    slope = severity**0.7 * rng.uniform(0.1, 0.5)
    for _ in range(int(rng.integers(2, 4))):
        total += np.float32(slope * length / 2) * _facets(rng, x, y, length)
        length *= rng.uniform(0.4, 0.6)
        slope *= rng.uniform(0.5, 0.95)
        if length < 9:
            break
    where = cv2.resize(
        rng.uniform(-0.3, 1.3, (4, 5)).astype(np.float32), (x.size, y.size), interpolation=cv2.INTER_CUBIC
    )
    return np.asarray(total * np.clip(where, 0.1, 1))


def _curl(rng: np.random.Generator, x: Array, y: Array, size_mm: tuple[float, float], severity: float) -> Array:
    """Draw one edge or corner that rises, mm."""
    angle = rng.choice(8) * np.pi / 4 + rng.normal(0, 0.1)
    nx, ny = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    half = (abs(nx) * size_mm[0] + abs(ny) * size_mm[1]) / 2
    reach = np.float32(rng.uniform(0.25, 0.7) * half)
    t = nx * (x - np.float32(size_mm[0] / 2)) + ny * (y - np.float32(size_mm[1] / 2)) - np.float32(half) + reach
    slope = np.float32(severity * rng.uniform(0.1, 0.4))
    return np.asarray(slope / (2 * reach) * np.clip(t, 0, 1.2 * reach) ** 2)


def _line_of_sight(rng: np.random.Generator, x: Array, y: Array, size_mm: tuple[float, float]) -> Array:
    """Draw the (H, W, 2) slope of the ray to the camera: a tilt, and a fan that opens from the middle of the page."""
    tilt, angle, fan = rng.uniform(0.1, 0.6), rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.6) / max(size_mm)
    sight = np.empty((y.size, x.size, 2), np.float32)
    sight[..., 0] = tilt * np.cos(angle) + fan * (x - size_mm[0] / 2)
    sight[..., 1] = tilt * np.sin(angle) + fan * (y - size_mm[1] / 2)
    return sight


def _without_plane(move: Array, severity: float) -> Array:
    """Remove the part that a homography explains, and bound amplitude and slope."""
    part = move[::9, ::9]
    rows, cols = np.mgrid[0 : move.shape[0] : 9, 0 : move.shape[1] : 9].astype(np.float32)
    base = np.stack([np.ones(rows.size, np.float32), cols.ravel(), rows.ravel()], axis=1)
    fit, *_ = np.linalg.lstsq(base, part.reshape(-1, 2), rcond=None)
    x, y = np.arange(move.shape[1])[None, :, None], np.arange(move.shape[0])[:, None, None]
    move = move - (fit[0] + fit[1] * x + fit[2] * y).astype(np.float32)
    across, down = np.diff(move, axis=1), np.diff(move, axis=0)
    slope = np.sqrt((across**2).sum(-1).max() + (down**2).sum(-1).max())  # bounds the Jacobian's norm
    reach = np.abs(move).max()
    factor = min(1.0, _MAX_SLOPE / max(slope, 1e-6), (0.5 + 5.5 * severity) / max(reach, 1e-6))
    return np.asarray(move * np.float32(factor), dtype=np.float32)


def _shade(rng: np.random.Generator, height: Array, dim: Array) -> Array:
    """Compute the brightness of a matt surface under one low light plus the light of the room, 1 on average."""
    angle, low = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 3.0)
    down, across = np.gradient(height)
    lit = 1 - np.float32(low * np.cos(angle)) * across - np.float32(low * np.sin(angle)) * down
    lit = np.clip(lit, 0.3, 1.5)
    room = rng.uniform(0.15, 0.6)
    shade = (room + (1 - room) * lit) * dim
    return np.clip(shade / np.float32(shade.mean()), 0.35, 1.35).astype(np.float32)
