"""Recordings of other kinds that look like ECGs, drawn by lot, for a digitizer to reject.

Unlike the rough `decoys`, these have the grids, scales, names and signals of the real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ecg_trt.synth.canvas import PENS, RULINGS, Canvas, Rgb, draw_paper, pick_rgb, write_remarks
from ecg_trt.synth.ink import Ink, draw_clutter
from ecg_trt.synth.instrument_screens import logic_analyzer, oscilloscope
from ecg_trt.synth.negatives import photograph_flat
from ecg_trt.synth.recording_signals import (
    beat_times,
    brain_events,
    brain_wave,
    breathing,
    contractions,
    eye_movement,
    fetal_rate,
    pressure,
)
from ecg_trt.synth.technical_recordings import barograph, chromatogram, stock_chart
from ecg_trt.types import Array

_LONG_PX = (1600, 2000, 2800)
_FRAME, _NARROWEST = 0.75, 0.3  # short side of a picture over its long one: of a camera, and of a strip cut out
_SCREENS = ("oscilloscope", "logic_analyzer")
_SCREEN_CAPTURES = {"photo": 0.55, "scan": 0.1, "render": 0.35}
_PAPER_CAPTURES = {"photo": 0.7, "scan": 0.3}


@dataclass(frozen=True, slots=True)
class _Vessel:
    """Names of a pressure, and in mmHg its full scales and the ranges of its diastolic and systolic value."""

    names: tuple[str, ...]
    scales: tuple[float, ...]
    low: tuple[float, float]
    high: tuple[float, float]


_VESSELS = {
    "ART": _Vessel(("ART", "ABP", "P1", "AO", "Rad. art."), (200, 150, 250), (50, 90), (95, 175)),
    "PA": _Vessel(("PA", "PAP", "P2"), (60, 50, 100), (8, 18), (22, 45)),
    "LV": _Vessel(("LV", "P1"), (200, 240, 160), (4, 10), (95, 143)),
    "CVP": _Vessel(("CVP", "RA", "P3"), (20, 30, 25), (1, 6), (8, 13)),
}
_SLEEP_LINES: tuple[Rgb, ...] = ((205, 205, 210), (175, 205, 180), (225, 190, 185), (180, 195, 225))
_SLEEP_PENS: tuple[Rgb, ...] = ((20, 30, 140), (20, 110, 50), (150, 30, 40), (30, 30, 35), (20, 110, 130))
_EVENT: Rgb = (200, 60, 60)


@dataclass(frozen=True, slots=True)
class _Channel:
    """A row of a polysomnogram: its name, signal (n,) in rows, height in rows, and numbers (n,) that it prints."""

    name: str
    wave: Array
    rows: float = 1.0
    numbers: Array = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True, slots=True)
class _FetalScale:
    """Scales of a cardiotocogram: the lowest rate, bpm a mm, and the lower edges of its two grids, mm."""

    low_bpm: float
    bpm_per_mm: float
    rate_bottom_mm: float
    toco_bottom_mm: float

    def rate_y(self, bpm: Array | float) -> Any:
        """Map a heart rate to its height on the paper, mm."""
        return self.rate_bottom_mm - (bpm - self.low_bpm) / self.bpm_per_mm


def pressure_waves(rng: np.random.Generator) -> Canvas:
    """Arterial, pulmonary or venous pressures on the strip of a recorder."""
    n = int(rng.choice([1, 2, 3], p=[0.45, 0.35, 0.2]))
    lane, width = float(rng.choice([40.0, 50.0])), float(rng.uniform(150, 290))
    top = float(rng.uniform(8, 13))
    canvas = draw_paper(rng, (width, top + n * lane + float(rng.uniform(3, 9))))
    tone, pen = pick_rgb(rng, RULINGS), Ink(pick_rgb(rng, PENS), float(rng.uniform(0.25, 0.5)))
    box = (0.0, top, width, top + n * lane)
    if rng.random() < 0.75:
        canvas.rule(box, tone, 0.12, 1.0, 1.0, float(rng.uniform(0.3, 0.8)))
    canvas.rule(box, tone, float(rng.uniform(0.2, 0.4)), 5.0, 5.0)
    speed = float(rng.choice([6.25, 12.5, 25.0, 50.0], p=[0.15, 0.2, 0.5, 0.15]))
    t, rate = np.arange(0, width / speed, 0.1 / speed), float(rng.uniform(50, 125))
    beats = beat_times(rng, rate, width / speed)
    words = [f"HR {rate:.0f}"]
    for k, kind in enumerate(rng.choice(list(_VESSELS), n, replace=False, p=[0.45, 0.2, 0.1, 0.25])):
        wave, low, high = _vessel_pressure(rng, str(kind), t, beats)
        label = str(rng.choice(_VESSELS[str(kind)].names))
        lane_mm = (top + k * lane, top + (k + 1) * lane)
        full = float(rng.choice([scale for scale in _VESSELS[str(kind)].scales if scale > 1.1 * high]))
        _draw_pressure(rng, canvas, t * speed, wave / full, full, label, lane_mm, pen)
        mean = (high + 2 * low) / 3
        words.append(f"{label} {mean:.0f}" if kind == "CVP" else f"{label} {high:.0f}/{low:.0f} ({mean:.0f})")
    if rng.random() < 0.5:
        canvas.rule((0, top - 1.5, width, top), pen.rgb, 0.25, speed * max(1.0, round(12 / speed)))
    x = 3.0
    for word in [*words, f"{speed:g} mm/s"]:
        x = canvas.write(word, (x, 3.5), 2.2, pen.rgb) + 5
    write_remarks(rng, canvas, 3.5, x, pen.rgb, int(rng.integers(0, 4)))
    return canvas


def _vessel_pressure(rng: np.random.Generator, kind: str, t: Array, beats_s: Array) -> tuple[Array, float, float]:
    """Simulate a pressure (n,) mmHg, sometimes flushed; also its mean diastolic and systolic value."""
    low, high = (float(rng.uniform(*ends)) for ends in (_VESSELS[kind].low, _VESSELS[kind].high))
    wave = pressure(rng, kind, t, beats_s, low, high)
    if rng.random() < 0.1:  # a flushed line shows its bag's pressure, then rings
        since = t - rng.uniform(0.1, 0.8) * t[-1]
        ring = low + (high - low) * np.exp(-np.maximum(since, 0) / 0.04) * np.cos(since / 0.008)
        wave = np.where((since > 0) & (since < 0.15), ring, np.where((since > -0.7) & (since <= 0), 300.0, wave))
    return wave, low, high


def _draw_pressure(rng: np.random.Generator, canvas: Canvas, x: Array, share: Array, full: float, label: str,
                   lane_mm: tuple[float, float], pen: Ink) -> None:  # fmt: skip
    """Draw a pressure in its lane, in shares of the full scale, with the scale and the vessel's name."""
    top, bottom = lane_mm
    zero, high = bottom - 0.1 * (bottom - top), 0.8 * (bottom - top)
    canvas.line(x, np.clip(zero - share * high, top + 0.5, bottom - 0.5), pen.rgb, pen.width_mm)
    steps = int(rng.choice([2, 4, 5]))
    for step in range(steps + 1) if rng.random() < 0.75 else ():
        y = zero - high * step / steps
        canvas.write(f"{full * step / steps:g}", (1.0, y), 2.0, pen.rgb)
        canvas.line([7.0, 9.0], [y, y], pen.rgb, 0.2)
    if rng.random() < 0.8:
        canvas.write(f"{label} mmHg" if rng.random() < 0.5 else label, (12.0, top + 3), 2.4, pen.rgb)


def _sleep_channels(rng: np.random.Generator, t: Array, stage: str) -> list[_Channel]:
    """Simulate the channels of an epoch of sleep."""
    shared, eyes = brain_events(rng, t, stage), eye_movement(rng, t, stage)
    reference = str(rng.choice(["-M", "-A", ""]))
    rows = []
    for name in ("F3", "F4", "C3", "C4", "O1", "O2")[: int(rng.choice([2, 4, 6], p=[0.2, 0.2, 0.6]))]:
        ear = 2 if int(name[1]) % 2 else 1  # that of the other side
        wave = brain_wave(rng, t, stage, shared) / 110
        rows.append(_Channel(f"{name}{reference}{ear}" if reference else name, wave))
    for sign, name in zip((1, -1), ("E1", "E2") if rng.random() < 0.5 else ("LOC", "ROC"), strict=True):
        wave = brain_wave(rng, t, stage, 0.3 * shared) * 0.5 + sign * eyes
        rows.append(_Channel(f"{name}{reference}2" if reference else name, wave / 150))
    tone = {"W": 0.25, "N2": 0.1, "N3": 0.06, "R": 0.02}[stage]
    rows.append(_Channel(str(rng.choice(["Chin", "EMG", "Chin1-2"])), tone * rng.normal(0, 1, len(t))))
    for name in ("Leg/L", "Leg/R") if rng.random() < 0.6 else ():
        kick = sum(np.exp(-0.5 * ((t - at) / 0.4) ** 2) for at in rng.uniform(0, t[-1], rng.poisson(0.7)))
        rows.append(_Channel(name, (0.03 + 0.3 * kick) * rng.normal(0, 1, len(t))))
    return rows + _breath_channels(rng, t)


def _breath_channels(rng: np.random.Generator, t: Array) -> list[_Channel]:
    """Simulate airflow, the movement of chest and belly, and the oxygen that follows late."""
    late = np.arange(-20, t[-1] + 1e-6, t[1] - t[0])
    all_flow, all_depth = breathing(rng, late, pauses=bool(rng.random() < 0.45))
    flow, rows = all_flow[-len(t) :], []
    if rng.random() < 0.5:
        rows.append(_Channel("Snore", 0.35 * rng.random() * np.clip(flow, 0, 1) * rng.normal(0, 1, len(t))))
    for name in (str(rng.choice(["Flow", "Airflow", "Therm"])), "Nasal P")[: int(rng.integers(1, 3))]:
        rows.append(_Channel(name, 0.38 * flow + 0.01 * rng.normal(0, 1, len(t)), 1.3))
    effort = 0.3 * (all_flow / all_depth * (0.4 + 0.6 * all_depth))[-len(t) - 40 : -40]
    for name, sign in (("Thor", 1), ("Abdo", int(rng.choice([1, -1], p=[0.8, 0.2])))):
        rows.append(_Channel(name, sign * effort * rng.uniform(0.7, 1.1), 1.3))
    window = round(15 / (t[1] - t[0]))
    before = np.convolve(all_depth, np.full(window, 1 / window), "valid")[: len(t)]
    oxygen = np.clip(np.round(rng.uniform(95, 98) - 14 * np.clip(1 - before, 0, 1)), 70, 100)
    rows.append(_Channel("SpO2", 0.04 * (oxygen - oxygen.mean()), numbers=oxygen))
    return rows


def polysomnogram(rng: np.random.Generator) -> Canvas:
    """An epoch of a night's sleep: brain, eyes, muscles, breath and oxygen, row by row."""
    seconds = float(rng.choice([30.0, 30.0, 60.0, 15.0]))
    width, height = float(rng.uniform(270, 300)), float(rng.uniform(170, 205))
    canvas = draw_paper(rng, (width, height))
    box = (float(rng.uniform(16, 26)), 12.0, width - float(rng.uniform(3, 10)), height - 9)
    left, top, right, bottom = box
    stage = str(rng.choice(["W", "N2", "N3", "R"], p=[0.2, 0.4, 0.2, 0.2]))
    t = np.arange(0, seconds, 1 / 128)
    rows = _sleep_channels(rng, t, stage)
    tone, dark = pick_rgb(rng, _SLEEP_LINES), pick_rgb(rng, PENS)
    per_s = (right - left) / seconds
    if rng.random() < 0.35:
        canvas.rule(box, tone, 0.12, per_s / 5)
    canvas.rule(box, tone, 0.25, per_s)
    canvas.rule(box, tone, 0.5, 5 * per_s)
    unit = (bottom - top) / sum(row.rows for row in rows)
    y, is_coloured = top, rng.random() < 0.5
    for row in rows:
        zero = y + unit * row.rows / 2
        ink = pick_rgb(rng, _SLEEP_PENS) if is_coloured else dark
        canvas.line(left + t * per_s, np.clip(zero - row.wave * unit * 1.1, top - 3, bottom + 2), ink, 0.18)
        canvas.write(row.name, (1.5, zero), min(2.2, 0.3 * unit), ink)
        for k in range(0, len(t), len(t) // 10) if len(row.numbers) else ():
            canvas.write(f"{row.numbers[k]:.0f}", (left + t[k] * per_s + 2, zero - 2.4), 1.7, ink)
        y += unit * row.rows
    number = int(rng.integers(20, 980))
    for k in range(2):
        clock = f"{(23 + number // 120) % 24:02d}:{number // 2 % 60:02d}:{number % 2 * 30 + 15 * k:02d}"
        canvas.write(clock, (left + k * (right - left) / 2, bottom + 4), 2.0, dark)
    words = {"W": "Wake", "N2": "N2", "N3": "N3", "R": "REM"}[stage]
    x = canvas.write(f"Epoch {number}  {words}", (left, 4.0), 2.6, dark) + 10
    write_remarks(rng, canvas, 4.0, x, dark, int(rng.integers(0, 4)))
    if rng.random() < 0.5:
        x, length = left + rng.uniform(0.1, 0.6) * (right - left), float(rng.uniform(20, 70))
        canvas.frame((x, bottom - 4 * unit, min(x + length, right), bottom - 3 * unit), _EVENT, 0.3)
        event = str(rng.choice(["Hypopnea", "Obs. Apnea", "Arousal", "Desat"]))
        canvas.write(event, (x + 1, bottom - 4 * unit + 1.6), 1.8, _EVENT)
    return canvas


def _fetal_paper(rng: np.random.Generator, per_min: float) -> tuple[Canvas, _FetalScale]:
    """Draw the paper of a cardiotocograph: two grids, and their numbers every few cm."""
    width, top = float(rng.uniform(180, 300)), float(rng.uniform(8, 14))
    low, high, bpm_per_mm, step = ((30, 240, 3.0, 30), (50, 210, 2.0, 20))[rng.integers(2)]
    bottom = top + (high - low) / bpm_per_mm
    scale = _FetalScale(low, bpm_per_mm, bottom, bottom + float(rng.uniform(48, 54)))
    canvas = draw_paper(rng, (width, scale.toco_bottom_mm + float(rng.uniform(5, 9))))
    tone, begin = pick_rgb(rng, RULINGS), float(rng.uniform(0, 10))
    dark: Rgb = (int(0.8 * tone[0]), int(0.8 * tone[1]), int(0.8 * tone[2]))
    paper = canvas.image[0, 0].tolist()
    if rng.random() < 0.3:
        pale: Rgb = (255 - (255 - tone[0]) // 4, 255 - (255 - tone[1]) // 4, 255 - (255 - tone[2]) // 4)
        canvas.fill((0, scale.rate_y(160.0), width, scale.rate_y(110.0)), pale)
    across, fine = float(rng.choice([5.0, 10.0])), float(rng.choice([5.0, 10.0, 10.0])) / bpm_per_mm
    toco = (begin, scale.toco_bottom_mm - 40, width, scale.toco_bottom_mm)
    for box, least, coarse in (((begin, top, width, bottom), fine, step / bpm_per_mm), (toco, 4.0, 8.0)):
        canvas.rule(box, tone, 0.15, across, least)
        canvas.rule(box, dark, 0.35, 30.0 if per_min > 10 else 10.0, coarse)
        canvas.line([0, width], [box[3], box[3]], dark, 0.4)
    for x in np.arange(begin + float(rng.uniform(5, 60)), width, float(rng.choice([80.0, 120.0]))):
        for value in range(low, high + 1, step):
            canvas.print_on(f"{value}", (x, scale.rate_y(float(value))), 2.0, dark, paper)
        for value in range(0, 101, 20):
            canvas.print_on(f"{value}", (x, scale.toco_bottom_mm - 0.4 * value), 2.0, dark, paper)
        canvas.write("FHR  bpm", (x - 4, bottom + 3), 1.8, dark)
        canvas.write("UA  %", (x - 3, scale.toco_bottom_mm + 3), 1.8, dark)
    return canvas, scale


def cardiotocogram(rng: np.random.Generator) -> Canvas:
    """The heart rate of a fetus above the contractions of labour, on the paper made for it."""
    per_min = float(rng.choice([10.0, 20.0, 30.0], p=[0.5, 0.1, 0.4]))
    canvas, scale = _fetal_paper(rng, per_min)
    width, pen, ink = canvas.size_mm[0], pick_rgb(rng, PENS), float(rng.uniform(0.25, 0.45))
    minutes = np.arange(0, width / per_min, 0.25 / per_min)
    strength, peaks = contractions(rng, minutes)
    for _ in range(1 + int(rng.random() < 0.2)):  # twins
        canvas.line(minutes * per_min, scale.rate_y(fetal_rate(rng, minutes, peaks)), pen, ink)
    canvas.line(minutes * per_min, scale.toco_bottom_mm - 0.4 * strength, pen, ink)
    y = (scale.rate_bottom_mm + scale.toco_bottom_mm - 40) / 2 + 1.5
    for x in rng.uniform(0, width, rng.poisson(3)):  # the mother felt a movement
        canvas.line([x, x], [y - 1.5, y + 1.5], pen, 0.5)
    start = int(rng.integers(0, 1400))
    for minute in range(0, int(minutes[-1]), 10 if per_min < 30 else 4):
        clock = f"{(start + minute) // 60 % 24:02d}:{(start + minute) % 60:02d}"
        words = f"{clock}  {per_min / 10:g} cm/min" if rng.random() < 0.6 else f"{clock} US TOCO"
        canvas.write(words, (6 + minute * per_min, y), 2.2, pen)
    write_remarks(rng, canvas, 3.5, 8.0, pen, int(rng.integers(0, 5)))
    return canvas


_DRAWINGS: tuple[Callable[[np.random.Generator], Canvas], ...] = (
    pressure_waves, chromatogram, stock_chart, polysomnogram, cardiotocogram, barograph, oscilloscope, logic_analyzer,
)  # fmt: skip
KINDS = tuple(draw.__name__ for draw in _DRAWINGS)


def draw_recording(kind: str, seed: int) -> Array:
    """Draw one recording that is no ECG, photographed, scanned or taken from a screen.

    Args:
        kind: one of `KINDS`.
        seed: the same seed gives the same picture, given the same fonts.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    number = KINDS.index(kind)
    rng = np.random.default_rng([seed, number])
    canvas = _DRAWINGS[number](rng)
    w, h = canvas.size_mm
    long_px, share = int(rng.choice(_LONG_PX)), _FRAME
    if rng.random() < 0.5:
        share = float(np.clip(1.1 * min(w, h) / max(w, h), _NARROWEST, _FRAME))
    photo_hw = (round(share * long_px), long_px) if w > h else (long_px, round(share * long_px))
    is_screen = kind in _SCREENS
    if not is_screen:
        draw_clutter(canvas.image, rng, canvas.size_mm, canvas.px_per_mm, 0.5 * float(rng.random()))
    return photograph_flat(rng, canvas.image, canvas.px_per_mm, canvas.size_mm, photo_hw,
                           shares=_SCREEN_CAPTURES if is_screen else _PAPER_CAPTURES,
                           is_alone=True, is_screen=is_screen)  # fmt: skip
