"""The capture of a flat page as a picture: camera, paper and light.

Frames: photo px (pixel centres at integers), q = mm on the flattened plane of the page, page mm = q + d(q).
The raster of a page has pixel (x, y) at ``(x + 0.5, y + 0.5) / px_per_mm``, as `page.Page` has.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ecg_trt.synth.background import draw_background, edge_distance, lay_occluder, mix, soil
from ecg_trt.synth.light import (
    Photometrics,
    Window,
    blur,
    coarse_axes,
    degrade,
    draw_photometrics,
    light_field,
    moire,
    sensor,
    upsample,
)
from ecg_trt.synth.paper_surface import MARGIN_MM, PaperSurface, bounds, draw_surface, flat_surface
from ecg_trt.types import Array

__all__ = ["Capture", "PaperSurface", "Photometrics", "degrade", "draw_capture", "draw_surface", "photograph"]

_STEP = 8
_MOST_ROUNDS, _CONVERGED_MM = 16, 1e-4  # of the fixed-point iteration from page to plane


@dataclass(frozen=True, slots=True)
class Capture:
    """The parameters of one picture, without the page that it shows.

    Attributes:
        kind: "photo", "scan" or "render".
        surface: the paper's displacement and shading.
        plane_from_photo: (3, 3) float64 homography, undistorted photo px to mm on the flattened plane.
        photo_hw: height and width of the picture, px.
        k1: lens, ``undistorted = c + (x - c)(1 + k1 r²)``, r in half diagonals from the middle c.
        size_mm: (width, height) of the page, mm.
        photometrics: photometric parameters.
    """

    kind: str
    surface: PaperSurface
    plane_from_photo: Array
    photo_hw: tuple[int, int]
    k1: float
    size_mm: tuple[float, float]
    photometrics: Photometrics

    @property
    def px_per_mm(self) -> float:
        """Photo px a millimetre in the middle of the page, without lens and displacement."""
        photo = np.linalg.inv(self.plane_from_photo) @ (self.size_mm[0] / 2, self.size_mm[1] / 2, 1.0)
        x, y = photo[:2] / photo[2]
        h = self.plane_from_photo
        w = h[2] @ (x, y, 1.0)
        area = abs(np.linalg.det(h) / w**3)  # determinant of the Jacobian of a homography
        return float(1 / np.sqrt(area))

    def plane_mm(self, xy: Array) -> Array:
        """Map photo px (..., 2) to mm on the flattened plane, (..., 2) float64."""
        x, y = np.asarray(xy[..., 0], np.float64), np.asarray(xy[..., 1], np.float64)
        return self._plane(x, y)

    def _plane(self, x: Array, y: Array) -> Array:
        height, width = self.photo_hw
        cx, cy = (width - 1) / 2, (height - 1) / 2
        if self.k1:
            stretch = 1 + self.k1 * ((x - cx) ** 2 + (y - cy) ** 2) / (np.hypot(width, height) / 2) ** 2
            x, y = cx + (x - cx) * stretch, cy + (y - cy) * stretch
        h = self.plane_from_photo
        w = np.maximum(h[2, 0] * x + h[2, 1] * y + h[2, 2], 0.02)  # 1 in the middle of the page, 0 at the horizon
        return np.stack([(h[0, 0] * x + h[0, 1] * y + h[0, 2]) / w, (h[1, 0] * x + h[1, 1] * y + h[1, 2]) / w], -1)

    def page_from_photo(self, xy: Array) -> Array:
        """Map photo px (..., 2) to page mm (..., 2) float64, exactly."""
        q = self.plane_mm(np.asarray(xy))
        return np.asarray(q + self.surface.displace(q))

    def photo_from_page(self, uv: Array) -> Array:
        """Map page mm (..., 2) to photo px (..., 2) float64, by fixed-point iteration."""
        page = np.asarray(uv, np.float64)
        q = page
        for _ in range(_MOST_ROUNDS):
            before, q = q, page - self.surface.displace(q)
            if np.abs(q - before).max(initial=0.0) < _CONVERGED_MM:
                break
        return self.photo_from_plane(q)

    def photo_from_plane(self, plane_mm: Array) -> Array:
        """Map mm on the flattened plane (..., 2) to photo px (..., 2) float64."""
        q = np.asarray(plane_mm, np.float64)
        h = np.linalg.inv(self.plane_from_photo)
        flat = np.concatenate([q, np.ones((*q.shape[:-1], 1))], -1) @ h.T
        flat = flat[..., :2] / flat[..., 2:]
        height, width = self.photo_hw
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        photo = flat
        for _ in range(8 if self.k1 else 0):
            r2 = ((photo - centre) ** 2).sum(-1, keepdims=True) / (np.hypot(width, height) / 2) ** 2
            photo = centre + (flat - centre) / (1 + self.k1 * r2)
        return np.asarray(photo)

    def page_map(self, stride: int = 1, window: Window | None = None) -> Array:
        """Map every `stride`-th pixel of a window to page mm.

        Args:
            stride: step between samples, px.
            window: (x0, y0, w, h), px; the whole picture by default.

        Returns:
            (ceil(h / stride), ceil(w / stride), 2) float32, within 0.01 mm of `page_from_photo`.
        """
        window = window or (0, 0, self.photo_hw[1], self.photo_hw[0])
        shape = (-(-window[3] // stride), -(-window[2] // stride))
        step = max(1, _STEP // stride)
        q = self._plane(*np.broadcast_arrays(*coarse_axes(window, step, stride))).astype(np.float32)
        q = upsample(q, step, shape)
        if self.surface.flat:
            return q
        at = cv2.add(q, (MARGIN_MM, MARGIN_MM, 0.0, 0.0))
        move = cv2.remap(self.surface.displacement_mm, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cv2.add(q, move))


def draw_capture(
    rng: np.random.Generator,
    size_mm: tuple[float, float],
    photo_hw: tuple[int, int],
    *,
    kind: str | None = None,
    severity: float | None = None,
    fill: float | None = None,
) -> Capture:
    """Draw the parameters of a picture by lot.

    Args:
        rng: source of all randomness.
        size_mm: (width, height) of the page, mm.
        photo_hw: height and width of the picture, px.
        kind: "photo", "scan" or "render"; drawn when None.
        severity: of the paper's deformation, 0 to 1; drawn when None.
        fill: share of a photo's width or height that the page takes; drawn when None.
    """
    kind = kind or str(rng.choice(["photo", "scan", "render"], p=[0.76, 0.18, 0.06]))
    k1 = 0.0
    if kind == "photo":
        photo_from_plane = _photo_view(rng, size_mm, photo_hw, fill)
        k1 = float(np.clip(rng.normal(0, 0.02), -0.06, 0.06))
        level = rng.beta(1.2, 1.8) if severity is None else severity
        surface = draw_surface(rng, size_mm, 0.0 if severity is None and rng.random() < 0.1 else float(level))
    elif kind == "scan":
        photo_from_plane = _scan_view(rng, size_mm, photo_hw)
        level = 0.25 * rng.random() * (rng.random() < 0.4) if severity is None else severity
        surface = draw_surface(rng, size_mm, float(level), relief=float(rng.uniform(0.05, 0.4)))
    else:
        photo_from_plane = _fit_view(0.0, 1.0, size_mm, photo_hw)
        surface = flat_surface(size_mm)
    plane_from_photo = np.linalg.inv(photo_from_plane)
    middle = photo_from_plane @ (size_mm[0] / 2, size_mm[1] / 2, 1.0)
    plane_from_photo /= plane_from_photo[2] @ (middle / middle[2])
    bare = Capture(kind, surface, plane_from_photo, photo_hw, k1, size_mm, Photometrics(0))
    return Capture(
        kind, surface, plane_from_photo, photo_hw, k1, size_mm, draw_photometrics(rng, kind, size_mm, bare.px_per_mm)
    )


def _fit_view(angle: float, fill: float, size_mm: tuple[float, float], photo_hw: tuple[int, int]) -> Array:
    """Fit a (3, 3) similarity, plane mm to photo px: rotated by `angle`, centred, filling the frame at `fill` 1."""
    cos, sin = np.cos(angle), np.sin(angle)
    box = (abs(cos) * size_mm[0] + abs(sin) * size_mm[1], abs(sin) * size_mm[0] + abs(cos) * size_mm[1])
    scale = fill * min(photo_hw[1] / box[0], photo_hw[0] / box[1])
    turn = scale * np.array([[cos, -sin], [sin, cos]])
    shift = np.array([photo_hw[1] / 2 - 0.5, photo_hw[0] / 2 - 0.5]) - turn @ np.array(size_mm) / 2
    return np.vstack([np.column_stack([turn, shift]), [0.0, 0.0, 1.0]])


def _scan_view(rng: np.random.Generator, size_mm: tuple[float, float], photo_hw: tuple[int, int]) -> Array:
    lean = np.deg2rad(np.clip(rng.normal(0, 0.7), -2, 2))
    turns = int(rng.choice(4, p=[0.86, 0.05, 0.04, 0.05]))
    view = _fit_view(np.pi / 2 * turns, float(rng.uniform(0.97, 1.04)), size_mm, photo_hw)
    centre = np.array([photo_hw[1] / 2, photo_hw[0] / 2])
    cos, sin = np.cos(lean), np.sin(lean)
    turn = np.array([[cos, -sin], [sin, cos]])
    return np.vstack([np.column_stack([turn, centre - turn @ centre]), [0.0, 0.0, 1.0]]) @ view


def _photo_view(
    rng: np.random.Generator, size_mm: tuple[float, float], photo_hw: tuple[int, int], fill: float | None
) -> Array:
    """Draw the (3, 3) homography, plane mm to photo px, of a hand-held camera."""
    roll = rng.uniform(0, 2 * np.pi) if rng.random() < 0.3 else np.deg2rad(np.clip(rng.normal(0, 10), -25, 25))
    tilt, toward = np.deg2rad(min(abs(rng.normal(0, 13)), 32)), rng.uniform(0, 2 * np.pi)
    distance = rng.uniform(0.9, 2.2) * np.hypot(*size_mm)
    to_middle = np.array([[1, 0, -size_mm[0] / 2], [0, 1, -size_mm[1] / 2], [0, 0, 1]])
    cos, sin = np.cos(roll), np.sin(roll)
    spin = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    c, s = np.cos(toward), np.sin(toward)
    squeeze = np.array([[c, -s], [s, c]]) @ np.diag([np.cos(tilt), 1.0]) @ np.array([[c, s], [-s, c]])
    view = np.eye(3)
    view[:2, :2] = squeeze  # a plane leaning by `tilt` towards `toward`, seen from `distance`
    view[2, :2] = np.sin(tilt) * np.array([c, s]) / distance
    view = view @ spin @ to_middle
    corners = np.array([(0, 0, 1), (size_mm[0], 0, 1), (size_mm[0], size_mm[1], 1), (0, size_mm[1], 1)]) @ view.T
    corners = corners[:, :2] / corners[:, 2:]
    low, high = corners.min(0), corners.max(0)
    drawn = rng.uniform(0.45, 0.75) if rng.random() < 0.18 else rng.uniform(0.75, 1.1)
    fill = drawn if fill is None else fill
    frame = np.array([photo_hw[1], photo_hw[0]], float)
    scale = fill * (frame / (high - low)).min()
    room = (frame - scale * (high - low)) / 2
    shift = frame / 2 - scale * (low + high) / 2 + rng.uniform(-1, 1, 2) * (np.maximum(room, 0) + 0.04 * frame)
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]]) @ view


def _sample_page(image: Array, px_per_mm: float, photo_px: float, page_mm: Array) -> Array:
    """Sample the raster at (h, w, 2) page mm, averaged down first where the picture is coarser than the raster."""
    size = np.array([image.shape[1], image.shape[0]])
    least, most = bounds(page_mm)
    low = np.clip(np.floor(least * px_per_mm).astype(int) - 6, 0, size - 1)
    high = np.clip(np.ceil(most * px_per_mm).astype(int) + 7, low + 1, size)
    part = image[low[1] : high[1], low[0] : high[0]]
    finer = photo_px / px_per_mm
    factor = np.ones(2)
    if 1.25 * finer < 0.85:
        small = np.maximum(np.round((high - low) * 1.25 * finer), 1).astype(int)
        factor = small / (high - low)
        part = cv2.resize(part, (int(small[0]), int(small[1])), interpolation=cv2.INTER_AREA)
    scale, shift = factor * px_per_mm, -low * factor - 0.5
    at = cv2.transform(page_mm, np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]], np.float32))
    how = cv2.INTER_CUBIC if finer > 0.95 else cv2.INTER_LINEAR
    return np.asarray(cv2.remap(part, at, None, how, borderMode=cv2.BORDER_REPLICATE))


def _backdrop(background: Array, photo_hw: tuple[int, int], window: Window) -> Array:
    """Cut a window out of a picture that is stretched over the whole frame."""
    x0, y0, width, height = window
    fx, fy = background.shape[1] / photo_hw[1], background.shape[0] / photo_hw[0]
    back = np.array([[fx, 0, (x0 + 0.5) * fx - 0.5], [0, fy, (y0 + 0.5) * fy - 0.5]])
    return np.asarray(
        cv2.warpAffine(
            background,
            back,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    )


def photograph(
    page_image: Array,
    page_px_per_mm: float,
    capture: Capture,
    rng: np.random.Generator,
    *,
    window: Window | None = None,
    background: Array | None = None,
    page_mm: Array | None = None,
) -> Array:
    """Render the picture, or a window of it.

    Args:
        page_image: (Hp, Wp, 3) uint8 RGB raster of the page.
        page_px_per_mm: its resolution.
        capture: the picture's parameters.
        rng: for the noise; everything else comes from `capture`, so that windows of one picture agree.
        window: (x0, y0, w, h), px; the whole picture by default.
        background: (any, any, 3) uint8 RGB, stretched over the frame in place of a drawn one.
        page_mm: (h, w, 2) float32, `capture.page_map(window=window)` where it is at hand already.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    photometrics = capture.photometrics
    window = window or (0, 0, capture.photo_hw[1], capture.photo_hw[0])
    where = capture.page_map(window=window) if page_mm is None else page_mm
    photo_px = capture.px_per_mm
    image = _sample_page(page_image, page_px_per_mm, photo_px, where)
    low, high = bounds(where)
    rim, share = 4.0 + 1 / photo_px, None
    if low.min() < rim or (high > np.array(capture.size_mm) - rim).any():
        image, share = _lay_on_background(image, capture, where, photo_px, window, background)
    image = blur(lay_occluder(image, photometrics, where, photo_px), photometrics)
    light, glare = light_field(photometrics, capture.photo_hw, window)
    light = soil(light, photometrics, where, capture.size_mm, photo_px)
    if not capture.surface.flat:
        shade = _relief(capture, where, share)
        light = cv2.multiply(light, cv2.merge([shade, shade, shade]))
    if photometrics.moire[0] > 0:
        light = light * moire(photometrics, window)
    lit = cv2.multiply(image, light, dtype=cv2.CV_32F)
    if glare is not None:
        lit += glare[..., None] * (np.float32(250) - lit)
    return sensor(lit, photometrics, rng)


def _relief(capture: Capture, where: Array, share: Array | None) -> Array:
    """Sample the shading at (h, w, 2) page mm, (h, w) float32; the background is not creased."""
    at = cv2.add(where, (MARGIN_MM, MARGIN_MM, 0.0, 0.0))
    shade = cv2.remap(capture.surface.shading, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(shade if share is None else share * (shade - 1) + 1)


def _lay_on_background(
    image: Array, capture: Capture, where: Array, photo_px: float, window: Window, background: Array | None
) -> tuple[Array, Array | None]:
    """Blend the page with the background and its shadow; also return the share (h, w) of the page."""
    photometrics = capture.photometrics
    inside = edge_distance(photometrics, where, capture.size_mm)
    share = np.clip(inside * np.float32(photo_px) + np.float32(0.5), 0, 1)
    if cv2.minMaxLoc(share)[0] >= 1:
        return image, None
    below = (
        draw_background(photometrics, where, capture.size_mm)
        if background is None
        else _backdrop(background, capture.photo_hw, window)
    )
    dx, dy, soft, dark = photometrics.shade_edge
    if dark > 0:
        shadow = edge_distance(photometrics, where, capture.size_mm, (dx, dy))
        fade = np.clip(1 + shadow / np.float32(soft), 0, 1)
        fade = 1 - np.float32(dark) * fade * fade
        below = cv2.multiply(below, cv2.merge([fade, fade, fade]), dtype=cv2.CV_8U)
    return mix(below, image, share), share
