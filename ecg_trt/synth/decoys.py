"""Paper that looks like an ECG and is none: grids without a trace, and traces that no heart has drawn.

Every function draws on a white sheet, (H, W, 3) uint8 RGB; sizes are in mm of the paper.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from ecg_trt.synth.ink import Ink, draw_clutter, draw_polyline, draw_text
from ecg_trt.types import Array

Size = tuple[float, float]
_BLACK = (30, 30, 35)
_WORDS = ("the", "patient", "was", "seen", "on", "Tuesday", "blood", "pressure", "130/80", "no", "known", "allergies",
          "Total", "invoice", "of", "diagnosis", "and", "plan", "aspirin", "100", "mg", "see", "overleaf", "follow",
          "up", "in", "six", "weeks", "signature", "normal", "heart", "lead", "rate", "II", "V1", "aVR")  # fmt: skip


def _ruled(image: Array, px_per_mm: float, size: Size, step: Size, rgb: tuple[int, int, int], width_mm: float,
           start: Size = (0.0, 0.0)) -> None:  # fmt: skip
    """Draw lines across (step[0] apart in x) and along (step[1] in y); 0 for none."""
    w, h = size
    for x in np.arange(start[0], w, step[0]) if step[0] else ():
        draw_polyline(image, np.array([x, x]), np.array([start[1], h]), px_per_mm, Ink(rgb, width_mm))
    for y in np.arange(start[1], h, step[1]) if step[1] else ():
        draw_polyline(image, np.array([start[0], w]), np.array([y, y]), px_per_mm, Ink(rgb, width_mm))


def _millimetres(rng: np.random.Generator, image: Array, px_per_mm: float, size: Size) -> None:
    """Draw the grid of graph paper."""
    tone = [(235, 150, 150), (150, 190, 235), (160, 210, 160), (235, 190, 140)][rng.integers(4)]
    dark = tuple(int(0.75 * c) for c in tone)
    large = float(rng.choice([5.0, 10.0]))
    _ruled(image, px_per_mm, size, (1.0, 1.0), tone, 0.1)
    _ruled(image, px_per_mm, size, (large, large), (dark[0], dark[1], dark[2]), 0.25)


def smooth_noise(rng: np.random.Generator, n: int, width: float) -> Array:
    """Draw (n,) noise of unit variance, smooth over `width` samples."""
    raw = cv2.GaussianBlur(rng.normal(0, 1, (n, 1)), (1, 0), 0.1, sigmaY=width)[:, 0]
    return np.asarray(raw / max(float(raw.std()), 1e-9))


def _lines_of_words(rng: np.random.Generator, image: Array, px_per_mm: float, size: Size, columns: int) -> None:
    height, face = float(rng.uniform(1.6, 3.5)), int(rng.integers(9))
    wide = (size[0] - 20) / columns
    for column in range(columns):
        y = 12.0
        while y < size[1] - 10:
            x, end = 10 + column * wide, 10 + (column + 1) * wide - (6 if rng.random() < 0.85 else 0.5 * wide)
            while x < end:
                word = str(rng.choice(_WORDS))
                middle, _ = draw_text(image, word, (x, y), height, px_per_mm, face, _BLACK)
                x = 2 * middle - x + 0.8 * height
            y += height * float(rng.choice([1.9, 3.2], p=[0.85, 0.15]))


def text(rng: np.random.Generator, image: Array, px_per_mm: float, size: Size) -> None:
    """A letter or a page of a book."""
    _lines_of_words(rng, image, px_per_mm, size, int(rng.integers(1, 3)))


def table(rng: np.random.Generator, image: Array, px_per_mm: float, size: Size) -> None:
    """A table of numbers between rules."""
    step = (float(rng.uniform(15, 35)), float(rng.uniform(5, 9)))
    _ruled(image, px_per_mm, size, (step[0] if rng.random() < 0.7 else 0.0, step[1]), (90, 90, 100), 0.2, (8.0, 12.0))
    for y in np.arange(12.0, size[1] - step[1], step[1]):
        for x in np.arange(8.0, size[0] - step[0], step[0]):
            number = f"{rng.uniform(0, 500):.{rng.integers(3)}f}"
            draw_text(image, number, (x + 1.5, y + step[1] / 2), 0.4 * step[1], px_per_mm, 1, _BLACK)


def graph_paper(rng: np.random.Generator, image: Array, px_per_mm: float, size: Size) -> None:
    """Millimetre paper with nothing on it, or some handwriting."""
    _millimetres(rng, image, px_per_mm, size)


def squared_paper(rng: np.random.Generator, image: Array, px_per_mm: float, size: Size) -> None:
    """A page of an exercise book, written on."""
    _ruled(image, px_per_mm, size, (5.0, 5.0), (150, 170, 210), 0.15)
    draw_clutter(image, rng, size, px_per_mm, 6.0)


def music(rng: np.random.Generator, image: Array, px_per_mm: float, size: Size) -> None:
    """Staves with notes."""
    gap = float(rng.uniform(1.6, 2.2))
    for top in np.arange(15.0, size[1] - 6 * gap, float(rng.uniform(18, 26))):
        for k in range(5):
            y = top + k * gap
            draw_polyline(image, np.array([10, size[0] - 10]), np.array([y, y]), px_per_mm, Ink(_BLACK, 0.15))
        for x in np.arange(22.0, size[0] - 14, float(rng.uniform(4, 8))):
            y = top + gap * rng.integers(-1, 9) / 2
            at = (round(x * px_per_mm), round(y * px_per_mm))
            axes = (round(0.65 * gap * px_per_mm), round(0.45 * gap * px_per_mm))
            cv2.ellipse(image, at, axes, -20, 0, 360, _BLACK, -1 if rng.random() < 0.7 else 2, cv2.LINE_AA)
            stem = np.array([x + 0.6 * gap] * 2), np.array([y, y - 3.2 * gap])
            draw_polyline(image, *stem, px_per_mm, Ink(_BLACK, 0.2))


def barcodes(rng: np.random.Generator, image: Array, px_per_mm: float, size: Size) -> None:
    """Labels with stripes and squares."""
    for _ in range(int(rng.integers(2, 7))):
        x0, y0 = rng.uniform(0.03, 0.65) * size[0], rng.uniform(0.03, 0.7) * size[1]
        n, high = int(rng.integers(50, 110)), float(rng.uniform(10, 35))
        bars = np.repeat((rng.random(n) < 0.5)[None, :, None], 3, 2)
        if rng.random() < 0.3:
            bars, high = np.repeat((rng.random((29, 29)) < 0.5)[..., None], 3, 2), 30.0
        w, h = round(min(0.6 * n, 60.0) * px_per_mm), round(high * px_per_mm)
        block = cv2.resize(np.where(bars, 20, 250).astype(np.uint8), (w, h), interpolation=cv2.INTER_NEAREST)
        y, x = round(y0 * px_per_mm), round(x0 * px_per_mm)
        part = image[y : y + h, x : x + w]
        part[:] = block[: part.shape[0], : part.shape[1]]
        draw_text(image, str(rng.integers(10**9, 10**10)), (x0, y0 + high + 3), 3.0, px_per_mm, 1, _BLACK)


def contour_map(rng: np.random.Generator, image: Array, px_per_mm: float, size: Size) -> None:
    """A map: contour lines, a grid of coordinates and names."""
    h, w = image.shape[:2]
    small = cv2.GaussianBlur(rng.normal(0, 1, (h // 16 + 1, w // 16 + 1)), (0, 0), float(rng.uniform(5, 14)))
    height = cv2.resize(small / small.std() * 3, (w, h), interpolation=cv2.INTER_CUBIC)
    edge = np.abs(np.diff(np.floor(height), axis=0, append=0)) + np.abs(np.diff(np.floor(height), axis=1, append=0))
    image[height > 2.5] = (210, 235, 205)
    image[height < -3] = (200, 220, 245)
    image[cv2.dilate(edge.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0] = (170, 110, 70)
    _ruled(image, px_per_mm, size, (40.0, 40.0), (120, 120, 160), 0.2)
    for _ in range(14):
        at = (float(rng.uniform(0, size[0] - 30)), float(rng.uniform(5, size[1] - 5)))
        draw_text(image, str(rng.choice(_WORDS)), at, 2.5, px_per_mm, 2, _BLACK)


def line_chart(rng: np.random.Generator, image: Array, px_per_mm: float, size: Size) -> None:
    """Axes, a legend and a few curves, as of a share's price."""
    w, h = size
    step = float(rng.uniform(10, 25))
    if rng.random() < 0.7:
        across = step if rng.random() < 0.5 else 0.0
        _ruled(image, px_per_mm, (w - 10, h - 15), (across, step), (205, 205, 205), 0.2, (20, 15))
    draw_polyline(image, np.array([20, 20, w - 10]), np.array([15, h - 15, h - 15]), px_per_mm, Ink(_BLACK, 0.3))
    for k in range(int(rng.integers(1, 5))):
        n = int(rng.integers(12, 300))
        y = h * rng.uniform(0.25, 0.75) + smooth_noise(rng, n, rng.uniform(0.3, 8)) * rng.uniform(4, 20)
        tone = tuple(int(c) for c in rng.integers(0, 190, 3))
        draw_polyline(image, np.linspace(20, w - 12, n), y, px_per_mm, Ink((tone[0], tone[1], tone[2]), 0.5))
        draw_text(image, str(rng.choice(_WORDS)), (w - 40, 20 + 6 * k), 2.5, px_per_mm, 1, _BLACK)
    for x in np.arange(20, w - 15, 25.0):
        draw_text(image, f"{rng.integers(1, 99)}", (x, h - 10), 2.5, px_per_mm, 1, _BLACK)


def bar_chart(rng: np.random.Generator, image: Array, px_per_mm: float, size: Size) -> None:
    """Columns over an axis."""
    w, h = size
    _ruled(image, px_per_mm, (w - 10, h - 15), (0.0, 20.0), (205, 205, 205), 0.2, (20, 15))
    wide = float(rng.uniform(4, 14))
    for x in np.arange(24.0, w - 20, 1.5 * wide):
        top = rng.uniform(25, h - 20)
        a, b = ((round(u * px_per_mm), round(v * px_per_mm)) for u, v in ((x, top), (x + wide, h - 15)))
        cv2.rectangle(image, a, b, tuple(int(c) for c in rng.integers(60, 200, 3)), -1)
        draw_text(image, f"{top:.0f}", (x, top - 3), 2.2, px_per_mm, 1, _BLACK)


def eeg(rng: np.random.Generator, image: Array, px_per_mm: float, size: Size) -> None:
    """Many channels of brain waves, with or without lines every second."""
    w, h = size
    if rng.random() < 0.6:
        _ruled(image, px_per_mm, size, (30.0, 0.0), (170, 190, 170), 0.2)
    n, t = int(rng.integers(8, 22)), np.arange(0, w - 24, 0.25)
    for k in range(n):
        zero = 12 + (h - 24) * (k + 0.5) / n
        beat = np.sin(2 * np.pi * (t * rng.uniform(0.25, 0.4) + smooth_noise(rng, len(t), 60) * 0.5))
        wave = beat * (1 + smooth_noise(rng, len(t), 80)) + smooth_noise(rng, len(t), 2) + smooth_noise(rng, len(t), 25)
        draw_polyline(image, 20 + t, zero + wave * h / n * 0.18, px_per_mm, Ink(_BLACK, 0.2))
        name = f"{rng.choice(['Fp', 'F', 'C', 'P', 'O', 'T'])}{rng.integers(1, 9)}"
        draw_text(image, name, (4, zero), 2.2, px_per_mm, 1, _BLACK)


def seismogram(rng: np.random.Generator, image: Array, px_per_mm: float, size: Size) -> None:
    """Rows of a drum's quiet line with bursts that fade away."""
    w, h = size
    n, t = int(rng.integers(6, 30)), np.arange(0, w - 16, 0.2)
    for k in range(n):
        wave = 0.15 * smooth_noise(rng, len(t), 1.5)
        for _ in range(rng.poisson(0.6)):
            since = t - rng.uniform(0, w)
            swell = np.where(since > 0, np.exp(-since / rng.uniform(5, 40)), 0)
            wave += swell * smooth_noise(rng, len(t), 1.5) * rng.uniform(0.5, 3)
        draw_polyline(image, 8 + t, 10 + (h - 20) * (k + 0.5) / n + wave * 3, px_per_mm, Ink(_BLACK, 0.2))


def cardiotocogram(rng: np.random.Generator, image: Array, px_per_mm: float, size: Size) -> None:
    """The heart rate of an unborn child over the mother's contractions, on ruled paper."""
    w, h = size
    tone = [(235, 150, 150), (150, 200, 160), (235, 170, 110)][rng.integers(3)]
    _ruled(image, px_per_mm, size, (10.0, 10.0), tone, 0.25)
    _ruled(image, px_per_mm, size, (0.0, 2.5), tone, 0.1)
    t = np.arange(0, w, 0.3)
    rate = 0.3 * h + 3 * smooth_noise(rng, len(t), 90) + 1.2 * smooth_noise(rng, len(t), 6)
    draw_polyline(image, t, rate, px_per_mm, Ink(_BLACK, 0.3))
    bumps = sum(np.exp(-((t - rng.uniform(0, w)) ** 2) / (2 * 8.0**2)) for _ in range(int(w / 50)))
    draw_polyline(image, t, 0.85 * h - 18 * bumps + 0.4 * smooth_noise(rng, len(t), 5), px_per_mm, Ink(_BLACK, 0.3))


def handwriting(rng: np.random.Generator, image: Array, px_per_mm: float, size: Size) -> None:
    """Lines of a pen that loops, on lined paper or plain."""
    step = float(rng.uniform(7, 11))
    if rng.random() < 0.6:
        _ruled(image, px_per_mm, size, (0.0, step), (160, 175, 210), 0.2, (0.0, 20.0))
    for y in np.arange(20.0, size[1] - 10, step):
        end = float(rng.uniform(0.5, 1.0)) * (size[0] - 15)
        t = np.arange(15.0, end, 0.2)
        loops = np.sin(2.2 * t + smooth_noise(rng, len(t), 20)) * (1 + 0.7 * smooth_noise(rng, len(t), 8))
        on = smooth_noise(rng, len(t), 12) > -1.2
        for run in np.split(np.arange(len(t)), np.flatnonzero(np.diff(on)) + 1):
            if on[run[0]] and len(run) > 2:
                draw_polyline(image, t[run] + 0.8 * np.cos(2.2 * t[run]), y - 1.5 + 1.2 * loops[run], px_per_mm,
                              Ink((30, 40, 120), 0.35))  # fmt: skip


def waveform(rng: np.random.Generator, image: Array, px_per_mm: float, size: Size) -> None:
    """Sound recordings as an editor shows them."""
    w, h = size
    n = int(rng.integers(1, 5))
    for k in range(n):
        zero, t = h * (k + 0.5) / n, np.arange(6, w - 6, 0.25)
        swell = np.abs(smooth_noise(rng, len(t), 40)) * h / n * 0.2
        draw_polyline(image, t, zero + swell * rng.normal(0, 1, len(t)), px_per_mm, Ink((40, 90, 170), 0.15))


DECOYS: dict[str, Callable[[np.random.Generator, Array, float, Size], None]] = {
    draw.__name__: draw
    for draw in (text, table, graph_paper, squared_paper, music, barcodes, contour_map, line_chart, bar_chart, eeg,
                 seismogram, cardiotocogram, handwriting, waveform)
}  # fmt: skip
