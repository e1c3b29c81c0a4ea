"""Paper without an ECG: letters, tables, drawings, blank sheets and other curves. They teach the networks to reject."""

from __future__ import annotations

import cv2
import numpy as np

from ecg_trt.synth.ink import Ink, draw_clutter, draw_polyline, draw_text
from ecg_trt.types import Array

_TEXT = ("the patient was seen on", "blood pressure 130/80", "no known allergies", "Total", "invoice 2291", "dear",
         "diagnosis and plan", "aspirin 100 mg", "see overleaf", "chest X-ray unremarkable", "follow up in six weeks",
         "A1", "45.20", "signature", "lorem", "table 3", "the quick brown fox")  # fmt: skip


def draw_plain_page(rng: np.random.Generator, size_mm: tuple[float, float], px_per_mm: float) -> Array:
    """Draw a sheet of paper that is no ECG, (H, W, 3) uint8 RGB."""
    w, h = (int(s * px_per_mm) for s in size_mm)
    base = rng.integers(150, 256, 3) if rng.random() < 0.3 else np.full(3, rng.integers(225, 256))
    image = np.empty((h, w, 3), np.uint8)
    image[:] = base
    kind = rng.choice(["text", "table", "picture", "blank", "lined", "plot"])
    if kind in ("text", "table"):
        size, y = float(rng.uniform(1.8, 4.0)), 12.0
        while y < size_mm[1] - 10:
            x = 12.0
            while x < size_mm[0] - 30:
                text = str(rng.choice(_TEXT))
                draw_text(image, text, (x, y), size, px_per_mm, int(rng.integers(9)), (30, 30, 30))
                x += 40.0 if kind == "table" else len(text) * size * 0.75 + 2
            y += size * rng.uniform(1.5, 2.5)
    if kind == "picture":
        small = rng.integers(0, 256, (int(rng.integers(2, 12)), int(rng.integers(2, 12)), 3)).astype(np.uint8)
        image = cv2.resize(small, (w, h), interpolation=int(rng.choice([cv2.INTER_CUBIC, cv2.INTER_NEAREST])))
    if kind in ("table", "lined"):
        step = rng.uniform(6, 12)
        for y in np.arange(10, size_mm[1], step):
            cv2.line(image, (0, int(y * px_per_mm)), (w, int(y * px_per_mm)), (120, 130, 170), 1)
    if kind == "plot":
        for _ in range(int(rng.integers(1, 5))):
            across = np.linspace(20, size_mm[0] - 20, 80)
            up = size_mm[1] * rng.uniform(0.2, 0.8) + np.cumsum(rng.normal(0, 2.5, 80))
            red, green, blue = (int(c) for c in rng.integers(0, 160, 3))
            draw_polyline(image, across, up, px_per_mm, Ink((red, green, blue), 0.5))
    draw_clutter(image, rng, size_mm, px_per_mm, 0.7)
    return image
