"""Letters, pens and stamps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from ecg_trt.types import Array

_FINER = 3  # Pixels of a trace's own raster in one of the page.
_HERSHEY = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_PLAIN)


@dataclass(frozen=True, slots=True)
class Ink:
    """A pen: colour (R, G, B) and width in mm."""

    rgb: tuple[int, int, int]
    width_mm: float


@lru_cache(maxsize=1)
def _truetype_paths() -> tuple[str | None, ...]:
    """List the outline fonts that are installed: Pillow's own, and DejaVu where matplotlib is installed."""
    try:
        from pathlib import Path

        import matplotlib

        folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
        names = ("DejaVuSans", "DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono")
        return (None, *(str(folder / f"{name}.ttf") for name in names))
    except ImportError:
        return (None,)


def _glyphs(text: str, size_mm: float, px_per_mm: float, face: int) -> Array:
    """Render a line of text as (h, w) uint8 coverage, tightly cropped."""
    return _set(text, max(4, round(size_mm * px_per_mm)), face % (len(_truetype_paths()) + len(_HERSHEY)))


@lru_cache(maxsize=4096)
def _set(text: str, height_px: int, index: int) -> Array:
    paths = _truetype_paths()
    if index < len(paths):
        from PIL import Image, ImageDraw, ImageFont

        size = max(6.0, height_px * 1.37)  # capitals are 0.73 em high in common faces
        path = paths[index]
        font = ImageFont.load_default(size) if path is None else ImageFont.truetype(path, size)
        left, top, right, bottom = font.getbbox(text)
        canvas = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4))
        ImageDraw.Draw(canvas).text((2 - left, 2 - top), text, 255, font=font)
        return np.asarray(canvas)
    hershey = _HERSHEY[index - len(paths)]
    thickness = max(1, round(height_px / 10))
    scale = cv2.getFontScaleFromHeight(hershey, max(4, height_px), thickness)
    (w, h), below = cv2.getTextSize(text, hershey, scale, thickness)
    mask = np.zeros((h + below + 4, w + 4), np.uint8)
    cv2.putText(mask, text, (2, h + 2), hershey, scale, 255, thickness, cv2.LINE_AA)
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]


def text_size(text: str, size_mm: float, px_per_mm: float, face: int) -> tuple[float, float]:
    """Measure the (width, height) in mm of a text that `draw_text` draws."""
    h, w = _glyphs(text, size_mm, px_per_mm, face).shape
    return w / px_per_mm, h / px_per_mm


def draw_text(
    image: Array, text: str, at_mm: tuple[float, float], size_mm: float, px_per_mm: float, face: int,
    rgb: tuple[int, int, int],
) -> tuple[float, float]:  # fmt: skip
    """Draw text in place, its left edge at `at_mm` and centred on it in height.

    Args:
        image: (H, W, 3) uint8 RGB.
        text: one line.
        at_mm: (x, y).
        size_mm: height of capitals.
        px_per_mm: of the image.
        face: index of the font, counted round.
        rgb: colour.

    Returns:
        Centre of the text, mm.
    """
    mask = _glyphs(text, size_mm, px_per_mm, face)
    h, w = mask.shape
    x, y = round(at_mm[0] * px_per_mm), round(at_mm[1] * px_per_mm - h / 2)
    xa, ya, xb, yb = max(x, 0), max(y, 0), min(x + w, image.shape[1]), min(y + h, image.shape[0])
    if xa < xb and ya < yb:
        alpha = mask[ya - y : yb - y, xa - x : xb - x, None].astype(np.float32) / 255
        part = image[ya:yb, xa:xb]
        part[:] = (part * (1 - alpha) + np.array(rgb, np.float32) * alpha).astype(np.uint8)
    return (x + w / 2) / px_per_mm, (y + h / 2) / px_per_mm


def draw_polyline(image: Array, x_mm: Array, y_mm: Array, px_per_mm: float, ink: Ink) -> None:
    """Draw an anti-aliased line in place; x, y in mm of the paper."""
    points = np.stack([x_mm, y_mm], -1) * px_per_mm - 0.5
    fixed = np.round(points * 16).astype(np.int32)[None]
    cv2.polylines(image, fixed, False, ink.rgb, max(1, round(ink.width_mm * px_per_mm)), cv2.LINE_AA, 4)


def draw_trace(image: Array, x_mm: Array, y_mm: Array, px_per_mm: float, ink: Ink) -> None:
    """Draw a line in place as `draw_polyline` does, with the true width of a fine pen."""
    draw_traces(image, [np.stack([x_mm, y_mm], -1)], px_per_mm, ink)


def draw_traces(image: Array, paths_mm: Sequence[Array], px_per_mm: float, ink: Ink) -> None:
    """Draw lines in place with the true width of a fine pen.

    OpenCV's anti-aliased lines are 1.7 px wider than asked for, and their widths go in steps of 2 px: so the lines are
    drawn finer and averaged down.

    Args:
        image: (H, W, 3) uint8 RGB.
        paths_mm: (k, 2) x, y of each line, mm of the paper; lines of fewer than two points are left out.
        px_per_mm: of the image.
        ink: the pen.
    """
    paths = [path for path in paths_mm if len(path) > 1]
    if not paths:
        return
    fine, reach = _FINER * px_per_mm, ink.width_mm + 1 / px_per_mm
    low = np.floor((np.min([path.min(0) for path in paths], 0) - reach) * px_per_mm).astype(int)
    high = np.ceil((np.max([path.max(0) for path in paths], 0) + reach) * px_per_mm).astype(int)
    low, high = (edge.clip(0, image.shape[1::-1]) for edge in (low, high))
    width, height = high - low
    if width <= 0 or height <= 0:
        return
    mask = np.zeros((height * _FINER, width * _FINER), np.uint8)
    fixed = [np.round((path * fine - low * _FINER - 0.5) * 16).astype(np.int32) for path in paths]
    steps = round((ink.width_mm * fine - 3.7) / 2)  # a thickness of 2 gives 3.7 px, one of 3 or 4 gives 5.7, and so on
    thickness = 2 * steps + 1 if steps > 0 else 2
    cv2.polylines(mask, fixed, False, 255, thickness, cv2.LINE_AA, 4)
    cover = cv2.resize(mask, (int(width), int(height)), interpolation=cv2.INTER_AREA)
    on = np.nonzero(cover)
    part, alpha = image[low[1] : high[1], low[0] : high[0]], cover[on][:, None] / np.float32(255)
    part[on] = np.rint(part[on] + (np.array(ink.rgb, np.float32) - part[on]) * alpha)


def _scribble(rng: np.random.Generator, at: tuple[float, float], width: float, height: float) -> Array:
    """Draw a line by lot, (k, 2) mm, that loops like handwriting."""
    t = np.linspace(0, 1, 160)
    loops = rng.uniform(4, 12)
    x = at[0] + width * t + height * 0.4 * np.cos(2 * np.pi * loops * t + rng.uniform(0, 6))
    tall = 1 + 0.6 * np.sin(2 * np.pi * rng.uniform(1, 4) * t + rng.uniform(0, 6))
    return np.stack([x, at[1] + height * 0.5 * tall * np.sin(2 * np.pi * loops * t)], -1)


def draw_clutter(image: Array, rng: np.random.Generator, size_mm: tuple[float, float], px_per_mm: float,
                 amount: float) -> None:  # fmt: skip
    """Draw handwriting, underlines, stamps and ticks of a pen, in place."""
    inks = ((30, 40, 140), (25, 25, 30), (170, 30, 40), (40, 110, 60))
    for _ in range(rng.poisson(1.6 * amount)):
        at = (rng.uniform(0, 0.8) * size_mm[0], rng.uniform(0.03, 0.97) * size_mm[1])
        path = _scribble(rng, at, rng.uniform(15, 60), rng.uniform(2, 6))
        draw_polyline(image, path[:, 0], path[:, 1], px_per_mm, Ink(inks[rng.integers(4)], rng.uniform(0.25, 0.6)))
    if rng.random() < 0.12 * amount:
        centre = (rng.uniform(0.1, 0.9, 2) * size_mm * px_per_mm).astype(int)
        axes = (rng.uniform(8, 16, 2) * px_per_mm).astype(int)
        tone = (150, 40, 110) if rng.random() < 0.5 else (40, 60, 160)
        cv2.ellipse(image, centre.tolist(), axes.tolist(), float(rng.uniform(-30, 30)), 0, 360, tone,
                    max(1, round(0.4 * px_per_mm)), cv2.LINE_AA)  # fmt: skip
        draw_text(image, "RECEIVED", tuple(centre / px_per_mm - (9, 0)), 2.6, px_per_mm, 0, tone)
    if rng.random() < 0.25 * amount:  # a straight stroke, as of a ruler
        a, b = rng.uniform(0, 1, (2, 2)) * size_mm
        draw_polyline(image, np.array([a[0], b[0]]), np.array([a[1], b[1]]), px_per_mm, Ink(inks[rng.integers(4)], 0.3))
