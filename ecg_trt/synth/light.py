"""Light and sensor: the way of colours from the page to the file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from ecg_trt.types import Array

Window = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Photometrics:
    """Photometric parameters of one picture.

    Frame coordinates have their origin in the middle of the picture and half its diagonal as their unit.

    Attributes:
        seed: of everything that has texture (background, stains, dust), so that all windows of a picture agree.
        white: (3,) factor for each channel.
        slope, bow: (3,) linear x, linear y and quadratic terms of the light; slope of its colour along x.
        vignette: loss of light at the corners.
        shadows: (x, y, angle, softness, factor, radius); radius 0 is a half plane.
        glares: (x, y, radius, strength).
        moire: (amplitude, cycles a pixel, angle, chirp).
        gamma, contrast, black: tone curve.
        blur_px: standard deviation of the defocus; motion: (length px, angle).
        noise: (read, shot, share that is correlated); read and shot are in grey levels.
        sharpen: strength of the unsharp mask.
        jpeg: quality, 0 for none; chroma_half: chroma subsampled.
        tone: "colour", "grey", "global" or "adaptive" (the last two are black and white).
        grime: (stains, mould, dust, fax) strengths.
        background: (kind, red, green, blue, angle, mm a texel).
        shade_edge: (x mm, y mm, softness mm, strength) of the shadow that the paper throws on the background.
        torn_mm: roughness of the left, top, right and bottom edge.
        occluder: "hand" or "pen" over the border of the page, a blank "label" anywhere on it, "" for none.
        occluder_at: (x mm, y mm, angle).
    """

    seed: int
    white: tuple[float, float, float] = (1.0, 1.0, 1.0)
    light: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    vignette: float = 0.0
    shadows: tuple[tuple[float, float, float, float, float, float], ...] = ()
    glares: tuple[tuple[float, float, float, float], ...] = ()
    moire: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    gamma: float = 1.0
    contrast: float = 1.0
    black: float = 0.0
    blur_px: float = 0.0
    motion: tuple[float, float] = (0.0, 0.0)
    noise: tuple[float, float, float] = (0.0, 0.0, 0.0)
    sharpen: float = 0.0
    jpeg: int = 0
    chroma_half: bool = True
    tone: str = "colour"
    grime: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    background: tuple[str, float, float, float, float, float] = ("plain", 255.0, 255.0, 255.0, 0.0, 0.25)
    shade_edge: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 0.0)
    torn_mm: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    occluder: str = ""
    occluder_at: tuple[float, float, float] = (0.0, 0.0, 0.0)


def draw_photometrics(
    rng: np.random.Generator, kind: str, size_mm: tuple[float, float], photo_px: float
) -> Photometrics:
    """Draw the photometric parameters of a picture by lot.

    Args:
        rng: source of all randomness.
        kind: "photo", "scan" or "render".
        size_mm: (width, height) of the page, mm.
        photo_px: px a millimetre; blur stays below the width at which a trace is lost.
    """
    seed = int(rng.integers(1 << 31))
    if kind == "render":
        return Photometrics(seed, jpeg=int(rng.integers(85, 98)) if rng.random() < 0.5 else 0)
    return _draw_scan(rng, seed, photo_px) if kind == "scan" else _draw_photo(rng, seed, size_mm, photo_px)


def _u(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _draw_scan(rng: np.random.Generator, seed: int, photo_px: float) -> Photometrics:
    tone = str(rng.choice(["colour", "grey", "global", "adaptive"], p=[0.6, 0.22, 0.1, 0.08]))
    some = rng.random(5) < (0.15, 0.06, 0.4, 0.15, 0.3)
    if tone in ("global", "adaptive"):
        return Photometrics(
            seed,
            blur_px=_u(rng, 0, 0.15 * photo_px),
            noise=(_u(rng, 0, 8), 0.0, 0.5),
            jpeg=int(rng.integers(35, 98)) if rng.random() < 0.7 else 0,
            tone=tone,
            grime=(0.0, 0.0, float(some[2]), float(some[3])),
            background=("blank", *_grey_tone(rng, 0.8), 0.0, 0.25),
        )
    bright = rng.uniform(0.86, 1.04)
    return Photometrics(
        seed,
        white=tuple(float(bright * t) for t in rng.normal(1, 0.025, 3)),  # type: ignore[arg-type]
        light=(float(rng.normal(0, 0.03)), float(rng.normal(0, 0.03)), 0.0, 0.0),
        gamma=_u(rng, 0.75, 1.3), contrast=_u(rng, 0.8, 1.4), black=_u(rng, -15, 20),
        blur_px=float(rng.uniform(0, min(1.2, 0.2 * photo_px))),
        noise=(_u(rng, 0, 5), _u(rng, 0, 3), _u(rng, 0, 0.8)),
        sharpen=float(rng.uniform(0, 1.2) * some[4]), jpeg=int(rng.integers(35, 98)),
        chroma_half=bool(rng.random() < 0.6),
        tone=tone,
        grime=tuple(float(s * rng.uniform(0.2, 1)) for s in some[:4]),  # type: ignore[arg-type]
        background=("blank", *_grey_tone(rng, 0.6), 0.0, 0.25),
        shade_edge=(float(rng.normal(0, 0.5)), float(rng.normal(0, 0.5)), 0.6, _u(rng, 0, 0.5)),
        torn_mm=_draw_torn(rng, 0.08),
    )  # fmt: skip


def _draw_photo(rng: np.random.Generator, seed: int, size_mm: tuple[float, float], photo_px: float) -> Photometrics:
    some = rng.random(6) < (0.12, 0.06, 0.15, 0.05, 0.05, 0.25)
    bright, warm = rng.uniform(0.7, 1.03), rng.normal(0, 0.05)
    occluder = str(rng.choice(["", "hand", "pen", "label"], p=[0.7, 0.14, 0.08, 0.08]))
    angle = rng.uniform(0, 2 * np.pi)
    edge = np.array([np.cos(angle), np.sin(angle)])
    at = (edge / np.abs(edge).max() * rng.uniform(0.9, 1.04) + 1) / 2 * size_mm
    if occluder == "label":
        at, angle = rng.uniform(0.1, 0.9, 2) * size_mm, 0.0
    return Photometrics(
        seed,
        white=(float(bright * (1 + warm)), float(bright * rng.normal(1, 0.015)), float(bright * (1 - warm))),
        light=tuple(float(t) for t in rng.normal(0, (0.13, 0.13, 0.07, 0.05))),  # type: ignore[arg-type]
        vignette=_u(rng, 0, 0.25),
        shadows=_draw_shadows(rng),
        glares=tuple((_u(rng, -0.7, 0.7), _u(rng, -0.6, 0.6), _u(rng, 0.08, 0.35),
                      _u(rng, 0.15, 0.8)) for _ in range(int(rng.integers(1, 3)) if some[0] else 0)),
        moire=((_u(rng, 0.02, 0.08), _u(rng, 0.03, 0.3), _u(rng, 0, np.pi),
                _u(rng, 0, 0.25)) if some[1] else (0.0, 0.0, 0.0, 0.0)),
        gamma=_u(rng, 0.75, 1.35), contrast=_u(rng, 0.75, 1.2), black=_u(rng, -10, 12),
        blur_px=float(min(abs(rng.normal(0, 0.7)), 1.5, 0.2 * photo_px)),
        motion=((float(rng.uniform(1.5, min(7, max(2.0, 0.6 * photo_px)))), _u(rng, 0, np.pi))
                if some[2] else (0.0, 0.0)),
        noise=(float(rng.gamma(1.5, 2)), float(rng.gamma(1.5, 2)), _u(rng, 0, 0.8)),
        sharpen=float(rng.uniform(0.2, 1.5) * some[5]), jpeg=int(rng.integers(35, 98)),
        chroma_half=bool(rng.random() < 0.8),
        tone="grey" if some[4] else "colour",
        grime=(float(some[3]), float(rng.uniform(0.2, 1) * (rng.random() < 0.06)), 0.0, 0.0),
        background=_draw_background(rng),
        shade_edge=(float(rng.normal(0, 1.5)), float(rng.normal(0, 1.5)), _u(rng, 0.5, 6),
                    _u(rng, 0.1, 0.7)),
        torn_mm=_draw_torn(rng, 0.1), occluder=occluder,
        occluder_at=(float(at[0]), float(at[1]), float(angle + rng.normal(0, 0.02 if occluder == "label" else 0.4))),
    )  # fmt: skip


def _grey_tone(rng: np.random.Generator, white: float) -> tuple[float, float, float]:
    tone = rng.uniform(235, 255) if rng.random() < white else rng.uniform(0, 120)
    return tone, tone, tone


def _draw_background(rng: np.random.Generator) -> tuple[str, float, float, float, float, float]:
    kind = str(rng.choice(["wood", "plain", "speckle", "cloth", "sheets"], p=[0.4, 0.17, 0.13, 0.1, 0.2]))
    tones = np.array(
        [
            (165, 120, 78),
            (120, 78, 45),
            (45, 43, 46),
            (16, 16, 18),
            (205, 200, 192),
            (95, 110, 125),
            (200, 175, 140),
        ]
    )
    tone = tones[rng.integers(len(tones))] * rng.uniform(0.75, 1.15) + rng.normal(0, 8, 3)
    r, g, b = (float(t) for t in np.clip(tone, 2, 250))
    return kind, r, g, b, _u(rng, 0, np.pi), _u(rng, 0.3, 0.9)


def _draw_torn(rng: np.random.Generator, share: float) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(rng.uniform(0.4, 3) * (rng.random() < share)) for _ in range(4))
    return left, top, right, bottom


def _draw_shadows(rng: np.random.Generator) -> tuple[tuple[float, float, float, float, float, float], ...]:
    count = int(rng.choice(3, p=[0.55, 0.33, 0.12]))
    return tuple(
        (_u(rng, -0.7, 0.7), _u(rng, -0.6, 0.6), _u(rng, 0, 2 * np.pi),
         float(np.exp(rng.uniform(np.log(0.01), np.log(0.4)))), _u(rng, 0.45, 0.9),
         float(rng.uniform(0.15, 0.6) if rng.random() < 0.4 else 0.0))
        for _ in range(count)
    )  # fmt: skip


def upsample(coarse: Array, step: int, shape: tuple[int, int]) -> Array:
    """Interpolate bilinear values at every pixel from samples at ``step * (k - 0.5) - 0.5``, with a rim of one."""
    height, width = coarse.shape[:2]
    fine = cv2.resize(coarse, (width * step, height * step), interpolation=cv2.INTER_LINEAR)
    return np.asarray(fine[step : step + shape[0], step : step + shape[1]])


def coarse_axes(window: Window, step: int, stride: int = 1) -> tuple[Array, Array]:
    """Build the axes x (1, C) and y (R, 1), photo px, of the samples that `upsample` expects for a strided window."""
    x0, y0, width, height = window
    count = [math.ceil(math.ceil(side / stride) / step) + 2 for side in (width, height)]
    x, y = ((step * (np.arange(n) - 0.5) - 0.5) * stride + start for n, start in zip(count, (x0, y0), strict=True))
    return x[None], y[:, None]


def light_field(photometrics: Photometrics, photo_hw: tuple[int, int], window: Window) -> tuple[Array, Array | None]:
    """Compute the light over a window of the frame.

    Returns:
        (h, w, 3) float32 factor, and (h, w) float32 share of white glare or None.
    """
    step = 8
    px, py = coarse_axes(window, step)
    half = np.hypot(*photo_hw) / 2
    x, y = (px - (photo_hw[1] - 1) / 2) / half, (py - (photo_hw[0] - 1) / 2) / half
    slope_x, slope_y, bow, tint = photometrics.light
    radius2 = x * x + y * y
    light = np.maximum(1 + slope_x * x + slope_y * y + bow * (radius2 - 0.3), 0.4) * (
        1 - photometrics.vignette * radius2**1.5
    )
    for at_x, at_y, angle, soft, factor, radius in photometrics.shadows:
        u, v = x - at_x, y - at_y
        inside = radius - np.sqrt(u * u + v * v) if radius > 0 else u * np.cos(angle) + v * np.sin(angle)
        ramp = np.clip(inside / soft + 0.5, 0, 1)
        light = light * (1 - (1 - factor) * ramp * ramp * (3 - 2 * ramp))
    colour = np.stack(
        [
            light * photometrics.white[0] * (1 + tint * x),
            light * photometrics.white[1],
            light * photometrics.white[2] * (1 - tint * x),
        ],
        -1,
    )
    shape = (window[3], window[2])
    field = upsample(colour.astype(np.float32), step, shape)
    if not photometrics.glares:
        return field, None
    white = sum(s * np.exp(-((x - gx) ** 2 + (y - gy) ** 2) / (r * r)) for gx, gy, r, s in photometrics.glares)
    return field, upsample(np.minimum(white, 0.95).astype(np.float32), step, shape)


def moire(photometrics: Photometrics, window: Window) -> Array:
    """Compute a (h, w, 1) float32 factor: the slow bands that a screen's lines make with the sensor's."""
    amplitude, cycles, angle, chirp = photometrics.moire
    x0, y0, width, height = window
    x, y = (
        np.arange(x0, x0 + width, dtype=np.float32)[None],
        np.arange(y0, y0 + height, dtype=np.float32)[:, None],
    )
    k = np.float32(2 * np.pi * cycles)
    along = np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y
    bend = np.float32(60 * chirp) * np.sin(x * np.float32(0.004)) * np.sin(y * np.float32(0.003))
    return np.asarray(1 + np.float32(amplitude) * np.sin(k * along + bend))[..., None]


@lru_cache(maxsize=1)
def _noise_bank() -> tuple[Array, Array]:
    """Draw white and correlated unit noise, (1024, 3072) float32: a random part of it stands for fresh noise."""
    white = np.random.default_rng(20).standard_normal((1024, 1024 * 3), np.float32)
    soft = cv2.GaussianBlur(white.reshape(1024, 1024, 3), (0, 0), 0.9).reshape(1024, -1)
    return white, np.asarray(soft / soft.std())


def _grain(rng: np.random.Generator, shape: tuple[int, int], correlated: float) -> Array:
    """Take (h, w, 3) float32 unit noise from the bank."""
    height, width = shape
    bank = _noise_bank()[int(rng.random() < correlated)]
    if height <= 1024 and width <= 1024:
        r, c = int(rng.integers(1025 - height)), int(rng.integers(1025 - width)) * 3
        return bank[r : r + height, c : c + 3 * width].reshape(height, width, 3)
    tall, wide = -(-height // 1024), -(-width // 1024)
    return np.tile(bank.reshape(1024, 1024, 3), (tall, wide, 1))[:height, :width]


def blur(image: Array, photometrics: Photometrics) -> Array:
    """Blur a uint8 picture by defocus and motion."""
    if photometrics.blur_px > 0.25:
        image = cv2.GaussianBlur(image, (0, 0), photometrics.blur_px)
    length, angle = photometrics.motion
    if length > 1:
        side = 2 * int(np.ceil(length / 2)) + 1
        kernel = np.zeros((side, side), np.float32)
        along = np.linspace(-length / 2, length / 2, 4 * side)
        for x, y in zip(along * np.cos(angle) + side // 2, along * np.sin(angle) + side // 2, strict=True):
            kernel[round(y), round(x)] += 1
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
    return image


def _expose(image: Array, photometrics: Photometrics, rng: np.random.Generator) -> Array:
    """Add noise to a float32 picture and round it to (h, w, 3) uint8."""
    read, shot, correlated = photometrics.noise
    if read + shot > 0.3:
        grain = _grain(rng, image.shape[:2], correlated)
        if shot > 0.5:  # variance: read² + shot² I / 255
            level = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
            spread = cv2.sqrt(np.maximum(level * np.float32(shot * shot / 255) + np.float32(read * read), 0))
            grain = cv2.multiply(grain, cv2.merge([spread, spread, spread]))
            image = cv2.add(image, grain)
        else:
            image = cv2.scaleAdd(grain, read, image)
    return cv2.convertScaleAbs(cv2.max(image, (0.0, 0.0, 0.0, 0.0)))


def sensor(image: Array, photometrics: Photometrics, rng: np.random.Generator) -> Array:
    """Model everything behind the lens: noise, sharpening, tone curve, black and white, JPEG.

    Args:
        image: (h, w, 3) float32, grey levels.
        photometrics: parameters.
        rng: for the noise.
    """
    out = _expose(image, photometrics, rng)
    if photometrics.sharpen > 0:
        soft = cv2.GaussianBlur(out, (5, 5), 1.2)
        out = cv2.addWeighted(out, 1 + photometrics.sharpen, soft, -photometrics.sharpen, 0)
    if (photometrics.gamma, photometrics.contrast, photometrics.black) != (1.0, 1.0, 0.0):
        level = (np.arange(256) / 255) ** photometrics.gamma * 255
        level = (level - 200) * photometrics.contrast + 200 + photometrics.black
        out = cv2.LUT(out, np.clip(level + 0.5, 0, 255).astype(np.uint8))
    if photometrics.tone != "colour":
        out = _to_grey(out, photometrics, rng)
    if photometrics.jpeg:
        factor = (
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if photometrics.chroma_half else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        )
        flags = [cv2.IMWRITE_JPEG_QUALITY, photometrics.jpeg, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
        # encoder and decoder both take R for B and back; only the weights of the chroma change places
        out = cv2.imdecode(cv2.imencode(".jpg", out, flags)[1], cv2.IMREAD_COLOR)
    return np.asarray(out)


def _to_grey(image: Array, photometrics: Photometrics, rng: np.random.Generator) -> Array:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if photometrics.tone == "global":
        _, grey = cv2.threshold(grey, 125 + photometrics.seed % 60, 255, cv2.THRESH_BINARY)
    elif photometrics.tone == "adaptive":
        side = 15 + 2 * (photometrics.seed % 20)
        grey = cv2.adaptiveThreshold(
            grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, side, 6 + photometrics.seed % 12
        )
    fax = photometrics.grime[3]
    if fax > 0:
        count = int(grey.size * 0.004 * fax)
        rows, cols = rng.integers(grey.shape[0], size=count), rng.integers(grey.shape[1], size=count)
        grey[rows, cols] = np.where(rng.random(count) < 0.6, 0, 255)
        grey[rng.integers(grey.shape[0], size=int(grey.shape[0] * 0.004 * fax))] = 255
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB))


def degrade(image: Array, photometrics: Photometrics, rng: np.random.Generator) -> Array:
    """Degrade a picture without geometry: blur, white balance, noise, tone, JPEG.

    Args:
        image: (h, w, 3) uint8 RGB.
        photometrics: parameters.
        rng: for the noise.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    lit = blur(image, photometrics).astype(np.float32)
    return sensor(lit * np.array(photometrics.white, np.float32), photometrics, rng)
