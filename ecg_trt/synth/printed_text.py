"""The text around the traces: patient, date, remarks and calibration text."""

from __future__ import annotations

import cv2
import numpy as np

from ecg_trt.layout import SETTING
from ecg_trt.synth.ink import draw_text, text_size
from ecg_trt.synth.spec import PageSpec
from ecg_trt.types import Array, LabelMark

_HEADER = ("ID:", "Name:", "Age: 57 yrs", "Sex: Female", "Sex: Male", "Height: 172 cm", "Date: 1994-03-08, 11:42:07",
           "Vent. rate 78 bpm", "PR interval 162 ms", "QRS duration 94 ms", "QT/QTc 392/431 ms", "P-R-T axes 48 12 61",
           "Normal sinus rhythm", "Unconfirmed", "ECG REPORT", "Technician:", "Room: 25", "0.05 - 150 Hz",
           "Filter 50 Hz", "Referred by:", "Abnormal ECG", "HR 64/min", "12SL v239", "Page 1 of 1", "Confirmed by:",
           "10-MAY-2005 10:25", "25.10.2011 10:20:50", "Weight: 50 kg", "RV5/SV1 1.20/0.50 mV", "AC 50 Hz",
           "ST V5 +0.5 mm")  # fmt: skip
# Texts that devices print beside speed and gain, and that look like them.
_LOOKALIKES = (
    "0.05-40 Hz", "0.05-40Hz", "0.05-150Hz", "0.15-100 Hz", "50 Hz", "60 Hz AC", "100 Hz", "F 60~ 0.15-100 Hz",
    "40Hz", "25 Hz", "10 s", "10 sec", "25 s", "Filter: ON", "W 25", "20-JAN-2010", "05:10:25", "25/10/2005",
    "HR 50 bpm", "10 yr", "AC50", "LP 25Hz", "5 lead", "P 50%",
)  # fmt: skip
_LETTERS = "abcdefghijklmnopqrstuvwxyzeeaaiiooumm/"
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNITS = ("Hz", "ms", "bpm", "/min", "kg", "cm", "years", "yrs", "mmHg", "mV", "s", "mm", "%", "m", "deg")
_SPEEDS = ("{:g}mm/s", "{:g} mm/s", "{:g} mm/sec", "{:g}mm/sec", "{:.1f} mm/s")
_GAINS = ("{:g}mm/mV", "{:g} mm/mV", "{:g}mm/mV", "{:g} mm/mV", "{:.1f} mm/mV")
_BEFORE_SPEED = ("", "", "", "Speed:", "Speed", "Paper speed:", "Vel:")
_BEFORE_GAIN = ("", "", "", "Gain", "Gain:", "Sens:", "Limb:")
_TONE = (35, 35, 40)
_TRIES = 6  # places tried for a line of calibration text, until one is free
Piece = tuple[str, str]  # text, and its label class or ""
Box = tuple[float, float, float, float]  # x0, y0, x1, y1, mm


def draw_header(image: Array, rng: np.random.Generator, spec: PageSpec, px_per_mm: float) -> list[Box]:
    """Draw lines about the patient, and now and then a code of squares, in place; return their boxes."""
    size = float(rng.uniform(1.8, 3.2))
    taken = []
    for column in range(int(rng.integers(0, 4))):
        x, y = 4 + column * rng.uniform(55, 90), rng.uniform(2.5, 6)
        for _ in range(int(rng.integers(1, 5))):
            taken.append(_write(image, _HEADER[rng.integers(len(_HEADER))], (x, y), size, px_per_mm, spec)[1])
            y += size * 1.6
    if rng.random() < 0.15:
        cells = (rng.random((21, 21)) < 0.5).astype(np.uint8) * 255
        side = round(14 * px_per_mm)
        code = cv2.resize(cells, (side, side), interpolation=cv2.INTER_NEAREST)[..., None]
        x, y = max(0, round((spec.size_mm[0] - 17) * px_per_mm)), round(2 * px_per_mm)
        part = image[y : y + side, x : x + side]
        part[:] = np.minimum(part, code[: part.shape[0], : part.shape[1]])
        taken.append((spec.size_mm[0] - 17, 2, spec.size_mm[0] - 3, 16))
    return taken


def _write(image: Array, text: str, at: tuple[float, float], size: float, px_per_mm: float,
           spec: PageSpec) -> tuple[tuple[float, float], Box]:  # fmt: skip
    """Draw text that begins at (x, y) mm, in place; return its middle and its box."""
    (x, y), centre = at, draw_text(image, text, at, size, px_per_mm, spec.font, _TONE)
    return centre, (x, y - size, 2 * centre[0] - x, y + size)


def draw_remark(rng: np.random.Generator) -> str:
    """Draw by lot a line that is no calibration text, though it may hold the same digits or units."""
    n, m = (int(k) for k in rng.integers(1, [300, 100]))
    d, h = f"{rng.integers(1, 32):02d}", ":".join(f"{k:02d}" for k in rng.integers(60, size=rng.integers(2, 4)))
    name = "".join(rng.choice(list(_LETTERS), rng.integers(3, 12)))
    unit, year = _UNITS[rng.integers(len(_UNITS))], 1980 + m % 50
    made = (f"{d}-{_MONTHS[rng.integers(12)]}-{year} {h}", f"{d}/{m % 12 + 1:02d}/{year}", h, f"{n} {unit}",
            f"{n}/{m} {unit}", f"ID: {n}{m}{n}", f"{name.title()}, {name[:2].title()}", name.upper(),
            f"{name.title()} {n}", f"{name}: {n}.{m % 10}", _HEADER[rng.integers(len(_HEADER))],
            _HEADER[rng.integers(len(_HEADER))], _LOOKALIKES[rng.integers(len(_LOOKALIKES))])  # fmt: skip
    return str(made[rng.integers(len(made))])


def draw_calibration_text(image: Array, rng: np.random.Generator, spec: PageSpec, px_per_mm: float,
                  taken: list[Box]) -> tuple[LabelMark, ...]:  # fmt: skip
    """Print paper speed and gain, if the page does so, among numbers that look like them.

    Args:
        image: (H, W, 3) uint8 RGB, drawn in place.
        rng: source of randomness.
        spec: the page.
        px_per_mm: of the image.
        taken: boxes of other text; those of the text printed here are added.

    Returns:
        The middle of each value, without the words before it.
    """
    pieces = _calibration_text(rng, spec) if spec.calibration_text else []
    lookalikes = [[(_LOOKALIKES[rng.integers(len(_LOOKALIKES))], "")] for _ in range(int(rng.integers(0, 3)))]
    groups = [*pieces, *lookalikes]
    if rng.random() < 0.25:
        groups = groups[::-1]
    size = float(rng.uniform(1.8, 3.2))
    marks: list[LabelMark] = []
    together = rng.random() < 0.75
    for line in [[piece for group in groups for piece in group]] if together else groups:
        marks += _draw_line(image, rng, spec, line, size, px_per_mm, taken)
    return tuple(marks)


def _calibration_text(rng: np.random.Generator, spec: PageSpec) -> list[list[Piece]]:
    """Draw by lot speed, gain, and sometimes the gain of the chest leads, each with the words before it."""
    form = int(rng.integers(len(_SPEEDS)))
    speed = _SPEEDS[form].format(spec.paper_speed_mm_per_s), SETTING
    gain = _GAINS[form].format(spec.gain_mm_per_mv), SETTING
    before_speed, before_gain = (before[rng.integers(len(before))] for before in (_BEFORE_SPEED, _BEFORE_GAIN))
    groups = [[(before_speed, ""), speed], [(before_gain, ""), gain]]
    if before_gain == "Limb:":
        groups.append([("Chest:", ""), gain])
    return [[piece for piece in group if piece[0]] for group in groups]


def _draw_line(image: Array, rng: np.random.Generator, spec: PageSpec, pieces: list[Piece], size: float,
               px_per_mm: float, taken: list[Box]) -> list[LabelMark]:  # fmt: skip
    """Draw pieces of text one after the other, anywhere, in as many lines as the paper's width asks for."""
    if not pieces:
        return []
    width, height = spec.size_mm
    wide = [text_size(text, size, px_per_mm, spec.font)[0] for text, _ in pieces]
    space = size * float(rng.choice([rng.uniform(0.5, 0.9), rng.uniform(1.0, 6.0)]))
    total = min(sum(wide) + space * (len(pieces) - 1), width - 2)
    for _ in range(_TRIES):
        begin, y = _place(rng, spec, total, size)
        if not any(begin < b[2] and b[0] < begin + total and y - size < b[3] and b[1] < y + size for b in taken):
            break
    step = 1.6 * size if y < height / 2 else -1.6 * size
    marks, x = [], begin
    for (text, word), w in zip(pieces, wide, strict=True):
        if x + w > width and x > begin:
            x, y = begin, y + step
        centre, box = _write(image, text, (x, y), size, px_per_mm, spec)
        taken.append(box)
        x += w + space
        if word and 0 < centre[0] < width and 0 < centre[1] < height:
            marks.append(LabelMark(word, centre, 1.0))
    return marks


def _place(rng: np.random.Generator, spec: PageSpec, length: float, size: float) -> tuple[float, float]:
    """Draw the start of a line of text by lot: above or below the grid or just inside it, mostly in a corner."""
    (width, height), (x0, y0, x1, y1) = spec.size_mm, spec.grid_mm
    left, right = max(1.0, x0), max(1.0, min(x1, width) - length - 1)
    x = rng.choice([left, right, rng.uniform(1.0, max(1.0, width - length - 1))])
    heights = y1 - rng.uniform(1.5, 6), y1 + rng.uniform(2, 6), y0 + rng.uniform(1.5, 5), y0 - rng.uniform(2, 5)
    y = rng.choice(heights, p=[0.35, 0.35, 0.12, 0.18])
    return float(min(x, max(1.0, width - length - 1))), float(np.clip(y, size, height - size))
