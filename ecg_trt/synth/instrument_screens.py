"""Screens of oscilloscopes and logic analyzers, and timing diagrams, drawn by lot."""

from __future__ import annotations

import numpy as np

from ecg_trt.synth.canvas import Box, Canvas, Rgb, pick_rgb, write_remarks
from ecg_trt.synth.recording_signals import voltage
from ecg_trt.types import Array

_INK: Rgb = (25, 25, 30)
_SIGNALS: tuple[Rgb, ...] = ((250, 230, 50), (60, 220, 240), (240, 90, 220), (80, 230, 110))
_STEPS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)
_BUSES = ("CLK", "SCK", "CS#", "MOSI", "MISO", "SDA", "SCL", "TX", "RX", "RESET", "WR#", "RD#", "ALE", "IRQ", "EN",
          "ACK", "READY", "D0", "D1", "D2", "D3", "VALID", "START")  # fmt: skip
_WIDE = ("A[15:0]", "D[7:0]", "ADDR", "DATA", "STATE", "CNT[3:0]", "SPI", "UART", "I2C")
_MENU = ("MEASURE", "Freq", "Pk-Pk", "Mean", "Rise", "Period")
_UNITS = ("", "kHz", "V", "mV", "us", "ms")


def _volts(rng: np.random.Generator) -> str:
    step = _STEPS[rng.integers(len(_STEPS))]
    return f"{step:g}mV" if rng.random() < 0.6 else f"{min(step, 20.0):.2f}V"


def oscilloscope(rng: np.random.Generator) -> Canvas:
    """The screen of an oscilloscope, dark or light, with its graticule and settings."""
    look = str(rng.choice(["digital", "light", "tube"], p=[0.55, 0.25, 0.2]))
    back: Rgb = {"digital": (8, 8, 14), "light": (250, 250, 250), "tube": (14, 40, 34)}[look]  # type: ignore[assignment]
    nx, side = (10, 20.0) if rng.random() < 0.7 else (12, 18.0)
    ny = 8 if look != "digital" or rng.random() < 0.7 else 10
    menu = float(rng.choice([0.0, 34.0])) if look != "tube" else 0.0
    margin = 12.0 if look != "tube" else 8.0
    canvas = Canvas.blank((nx * side + menu + 10, ny * side + 2 * margin), back, int(rng.integers(1 << 16)))
    box = (5.0, margin, 5 + nx * side, margin + ny * side)
    line: Rgb = {"digital": (75, 80, 85), "light": (165, 165, 170), "tube": (70, 120, 100)}[look]  # type: ignore[assignment]
    canvas.rule(box, line, 0.25, side, side, float(rng.uniform(0.5, 1.0)))
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    canvas.rule((box[0], middle[1] - 0.9, box[2], middle[1] + 0.9), line, 0.25, side / 5)
    canvas.rule((middle[0] - 0.9, box[1], middle[0] + 0.9, box[3]), line, 0.25, 0, side / 5)
    canvas.frame(box, line, 0.4)
    n = int(rng.choice([1, 2, 4], p=[0.5, 0.35, 0.15])) if look != "tube" else int(rng.integers(1, 3))
    x, words = np.arange(box[0], box[2], 0.12), []
    for k in range(n):
        tone = _SIGNALS[k]
        if look != "digital":
            tone = (110, 255, 180) if look == "tube" else tuple(int(0.65 * c) for c in tone)  # type: ignore[assignment]
        zero = box[1] + (k + 0.5 + rng.uniform(-0.2, 0.2)) * ny * side / n
        kinds = ("sine", "square", "pulse", "pulse", "charge", "burst", "mains", "other")
        wave = voltage(rng, (x - box[0]) / rng.uniform(0.7, 4) / side + rng.random(), kinds)
        y = np.clip(zero - wave * rng.uniform(0.2, 0.42) * ny * side / n, box[1], box[3])
        if look == "tube":
            canvas.line(x, y, (50, 140, 100), 1.6)
        canvas.line(x, y, tone, float(rng.uniform(0.4, 0.8)))
        words.append((f"CH{k + 1} {_volts(rng)}", tone))
        if look != "tube":
            canvas.write(f"{k + 1}>", (0.8, zero), 2.6, tone)
    if look != "tube":
        _scope_words(rng, canvas, box, words, (30, 30, 35) if look == "light" else (225, 225, 225), menu)
    return canvas


def _scope_words(rng: np.random.Generator, canvas: Canvas, box: Box,
                 words: list[tuple[str, Rgb]], tone: Rgb, menu: float) -> None:  # fmt: skip
    """Print settings above, below and beside the graticule."""
    base = f"{_STEPS[rng.integers(len(_STEPS))]:g}{rng.choice(['ms', 'us', 'ns', 'ms'])}"
    at = box[0]
    for text, rgb in [*words, (f"M {base}", tone), (f"A CH1 {rng.choice(['/', chr(92)])} {_volts(rng)}", tone)]:
        at = canvas.write(text, (at, box[3] + 5), 3.2, rgb) + 9
    at = box[0]
    maker, state = (str(rng.choice(words)) for words in (["Tek", "RIGOL", "SDS"], ["Stop", "Trig'd", "Auto", "Run"]))
    for text in (maker, state, f"M Pos: {rng.uniform(-5, 5):.3f}ms", f"{rng.uniform(0.02, 900):.4g} Hz"):
        at = canvas.write(text, (at, 5.5), 3.2, tone) + 12
    for k, text in enumerate(_MENU) if menu else ():
        y = box[1] + 6 + k * (box[3] - box[1]) / len(_MENU)
        canvas.write(text, (box[2] + 3, y), 2.8, tone)
        if k:
            canvas.write(f"{rng.uniform(0.1, 900):.4g}{_UNITS[k]}", (box[2] + 3, y + 6), 2.8, tone)


def _bits(rng: np.random.Generator, cells: int, name: str) -> Array:
    """Draw the levels of a line by lot, (cells,) 0 or 1, two cells a clock."""
    if name in ("CLK", "SCK", "SCL"):
        start, end = (0, cells) if name == "CLK" else np.sort(rng.integers(0, cells, 2))
        beat = np.arange(cells) % 2
        return np.where((np.arange(cells) >= start) & (np.arange(cells) < end), beat, 0)
    if name in ("CS#", "WR#", "RD#", "RESET", "EN", "IRQ", "START", "READY"):
        level = np.full(cells, int("#" in name))
        for at in rng.integers(1, cells, rng.integers(1, 4)):
            level[at : at + int(rng.integers(1, cells // 3))] = 1 - level[0]
        return level
    return np.repeat(rng.integers(0, 2, cells // 2 + 1), 2)[:cells]


def logic_analyzer(rng: np.random.Generator) -> Canvas:
    """Square waves and buses by name: the screen of a logic analyzer, or a data sheet's timing diagram."""
    is_screen = rng.random() < 0.5
    n, row = int(rng.integers(4, 15)), float(rng.uniform(11, 17))
    width, top, left = float(rng.uniform(230, 300)), 18.0, 34.0
    size = (width, max(top + n * row + 10, 0.5 * width))
    dark = is_screen and rng.random() < 0.7
    back: Rgb = (24, 26, 30) if dark else (252, 252, 252)
    canvas = Canvas.blank(size, back, int(rng.integers(1 << 16)))
    ink: Rgb = (215, 220, 225) if dark else _INK
    cell, line = float(rng.uniform(3, 12)), (70, 74, 80) if dark else (200, 200, 205)
    cells = int((width - left - 6) / cell)
    box = (left, top, left + cells * cell, top + n * row)
    if is_screen:
        canvas.rule(box, line, 0.2, 10.0)
        unit = str(rng.choice(["us", "ms", "ns"]))
        for k, x in enumerate(np.arange(left, box[2], 30.0)):
            canvas.write(f"+{10 * k} {unit}" if k else f"0 {unit}", (float(x), top - 5), 2.4, ink)
    elif rng.random() < 0.6:
        for x in np.arange(left, box[2], cell * 2):
            canvas.lines([np.array([(x, y), (x, y + 1.2)]) for y in np.arange(top, box[3], 2.4)], line, 0.2)
    names = list(rng.permutation(_BUSES)[: max(2, n - 2)]) + list(rng.permutation(_WIDE)[: n - max(2, n - 2)])
    slope = float(rng.choice([0.0, 0.1, 0.25])) * cell if not is_screen else 0.0
    for k, name in enumerate(str(name) for name in names):
        high, low = top + k * row + 0.2 * row, top + (k + 1) * row - 0.12 * row
        tone = pick_rgb(rng, ((90, 220, 120), *_SIGNALS, (250, 150, 60))) if dark and rng.random() < 0.9 else ink
        canvas.write(name, (3.0, (high + low) / 2), 2.7, tone if dark else ink)
        if name in _WIDE:
            _draw_bus(rng, canvas, (left, high, box[2], low), tone, max(slope, 0.8))
            continue
        level = _bits(rng, cells, name)
        x = left + cell * np.stack([np.arange(cells), np.arange(1, cells + 1)], -1)
        x[1:, 0] += slope
        canvas.line(x.ravel(), np.where(level, high, low).repeat(2), tone, 0.4)
    if is_screen:
        write_remarks(rng, canvas, 5.0, 6.0, ink, 2)
    else:
        canvas.write(f"Figure {rng.integers(1, 60)}. Timing diagram", (left, 6.0), 2.8, ink)
        a = left + cell * int(rng.integers(1, max(2, cells // 2)))
        b, y = a + cell * int(rng.integers(1, 4)), top - 3
        canvas.line([a, b], [y, y], ink, 0.25)
        canvas.lines([np.array([(x, y - 1.5), (x, top + 2 * row)]) for x in (a, b)], ink, 0.2)
        canvas.write(str(rng.choice(["tSU", "tHD", "tCLK", "tPD"])), ((a + b) / 2, y - 3), 2.4, ink, 0.5)
    return canvas


def _draw_bus(rng: np.random.Generator, canvas: Canvas, box: Box, tone: Rgb,
              slope: float) -> None:  # fmt: skip
    """Draw the values of a bus: two lines that cross where it changes."""
    x0, high, x1, low = box
    edges = [x0]
    while edges[-1] < x1 - 42:
        edges.append(edges[-1] + float(rng.uniform(10, 30)))
    for a, b in zip(edges, [*edges[1:], x1], strict=True):
        middle = (high + low) / 2
        x = [a, a + slope, b - slope, b]
        for y in (high, low):
            canvas.line(x, [middle, y, y, middle], tone, 0.4)
        value = f"0x{rng.integers(256):02X}" if rng.random() < 0.8 else str(rng.choice(["VALID", "Hi-Z", "IDLE"]))
        canvas.write(value, ((a + b) / 2, middle), 2.2, tone, 0.5)
