"""A flat drawing in millimetres: pens, ruled lines and text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ecg_trt.synth.ink import Ink, draw_text, draw_traces, text_size
from ecg_trt.synth.page import line_profile
from ecg_trt.synth.printed_text import draw_remark
from ecg_trt.types import Array

Rgb = tuple[int, int, int]
Box = tuple[float, float, float, float]  # x0, y0, x1, y1, mm
RULINGS: tuple[Rgb, ...] = ((232, 130, 130), (240, 160, 150), (236, 170, 110), (140, 190, 150), (150, 175, 215))
PENS: tuple[Rgb, ...] = ((25, 25, 30), (25, 25, 30), (45, 45, 55), (30, 35, 110), (120, 30, 40))
PX_PER_MM = 8.0
_OF_ECGS = ("ECG", "Q", "P-", "PR ", "ST ", "SL", "RV5", "lead", "sinus", "mV")


@dataclass(frozen=True, slots=True)
class Canvas:
    """A raster that is drawn on in mm, y down.

    Attributes:
        image: (H, W, 3) uint8 RGB, changed in place.
        px_per_mm: its resolution.
        size_mm: (width, height).
        font: index of the face.
    """

    image: Array
    px_per_mm: float
    size_mm: tuple[float, float]
    font: int

    @classmethod
    def blank(cls, size_mm: tuple[float, float], rgb: Rgb, font: int, px_per_mm: float = PX_PER_MM) -> Canvas:
        """Make a canvas of one colour."""
        w, h = (round(s * px_per_mm) for s in size_mm)
        image = np.empty((h, w, 3), np.uint8)
        image[:] = rgb
        return cls(image, px_per_mm, size_mm, font)

    def line(self, x: Sequence[float] | Array, y: Sequence[float] | Array, rgb: Rgb, width: float) -> None:
        """Draw a line, `width` mm wide; where x or y is NaN, the pen is lifted."""
        path = np.stack([np.asarray(x, float), np.asarray(y, float)], -1)
        drawn = np.isfinite(path).all(1)
        runs = np.split(np.arange(len(path)), np.flatnonzero(np.diff(drawn)) + 1)
        self.lines([path[run] for run in runs if drawn[run[0]]], rgb, width)

    def lines(self, paths_mm: Sequence[Array], rgb: Rgb, width: float) -> None:
        """Draw many lines (k, 2) with one pen."""
        draw_traces(self.image, paths_mm, self.px_per_mm, Ink(rgb, width))

    def rule(self, box: Box, rgb: Rgb, width: float, dx: float = 0.0, dy: float = 0.0, strength: float = 1.0) -> None:
        """Draw straight lines every `dx` mm across and every `dy` mm down a box; 0 for none."""
        h, w = self.image.shape[:2]
        ys, xs = (slice(max(0, int(a * self.px_per_mm) - 1), int(b * self.px_per_mm) + 2)
                  for a, b in (box[1::2], box[::2]))  # fmt: skip
        for n, start, stop, step, part in ((w, box[0], box[2], dx, self.image[ys].transpose(1, 0, 2)),
                                           (h, box[1], box[3], dy, self.image[:, xs])):  # fmt: skip
            if step:
                cover = line_profile(n, self.px_per_mm, start, stop, step, width, 0.0) * strength
                on = np.flatnonzero(cover)
                alpha = cover[on][:, None, None]
                part[on] = (part[on] * (1 - alpha) + np.array(rgb, np.float32) * alpha).astype(np.uint8)

    def frame(self, box: Box, rgb: Rgb, width: float) -> None:
        """Draw a box."""
        x0, y0, x1, y1 = box
        self.line([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], rgb, width)

    def fill(self, box: Box, rgb: Rgb) -> None:
        """Paint a box."""
        x0, y0, x1, y1 = (max(0, round(v * self.px_per_mm)) for v in box)
        self.image[y0:y1, x0:x1] = rgb

    def disc(self, at: tuple[float, float], radius: float, rgb: Rgb) -> None:
        """Paint a disc."""
        middle = (round(at[0] * self.px_per_mm), round(at[1] * self.px_per_mm))
        cv2.circle(self.image, middle, round(radius * self.px_per_mm), rgb, -1, cv2.LINE_AA)

    def write(self, text: str, at: tuple[float, float], size: float, rgb: Rgb, anchor: float = 0.0) -> float:
        """Write text `size` mm high about a height y; x is its left end, at an anchor of 1 the right one.

        Returns:
            Its right end, mm.
        """
        left = at[0] - (anchor * text_size(text, size, self.px_per_mm, self.font)[0] if anchor else 0.0)
        return 2 * draw_text(self.image, text, (left, at[1]), size, self.px_per_mm, self.font, rgb)[0] - left

    def print_on(self, text: str, at: tuple[float, float], size: float, rgb: Rgb, paper: Rgb) -> None:
        """Write text about (x, y) on a patch that hides the lines below it."""
        half = text_size(text, size, self.px_per_mm, self.font)[0] / 2 + 0.5
        self.fill((at[0] - half, at[1] - 0.75 * size, at[0] + half, at[1] + 0.75 * size), paper)
        self.write(text, at, size, rgb, 0.5)

    def write_up(self, text: str, at: tuple[float, float], size: float, rgb: Rgb) -> None:
        """Write text from (x, y) upwards, about x."""
        rotated = np.rot90(self.image, -1)
        draw_text(rotated, text, (self.size_mm[1] - at[1], at[0]), size, self.px_per_mm, self.font, rgb)


def pick_rgb(rng: np.random.Generator, tones: Sequence[Rgb]) -> Rgb:
    """Draw a colour by lot, near one of those given."""
    red, green, blue = (int(np.clip(c + rng.normal(0, 8), 0, 250)) for c in tones[int(rng.integers(len(tones)))])
    return red, green, blue


def draw_paper(rng: np.random.Generator, size_mm: tuple[float, float]) -> Canvas:
    """Make an empty sheet of paper, white or yellowed."""
    white, tint = int(rng.integers(236, 256)), int(rng.integers(0, 24)) * int(rng.random() < 0.4)
    return Canvas.blank(size_mm, (white, white - tint // 3, white - tint), int(rng.integers(1 << 16)))


def write_remarks(rng: np.random.Generator, canvas: Canvas, y: float, x: float, rgb: Rgb, count: int) -> None:
    """Print a row of dates, names and numbers, none of them of an ECG."""
    size = float(rng.uniform(1.8, 2.6))
    for _ in range(count):
        text = draw_remark(rng)
        if x < canvas.size_mm[0] - 45 and not any(word in text for word in _OF_ECGS):
            x = canvas.write(text, (x, y), size, rgb) + float(rng.uniform(4, 14))
