"""Recordings from outside the clinic, drawn by lot: chromatograms, prices and barographs."""

from __future__ import annotations

import numpy as np

from ecg_trt.synth.canvas import PENS, PX_PER_MM, RULINGS, Box, Canvas, Rgb, draw_paper, pick_rgb, write_remarks
from ecg_trt.synth.decoys import smooth_noise
from ecg_trt.synth.ink import Ink
from ecg_trt.synth.page import draw_grid
from ecg_trt.synth.printed_text import draw_calibration_text, draw_header
from ecg_trt.synth.recording_signals import chromatogram as chromatogram_signal
from ecg_trt.synth.recording_signals import oscillation, prices, weather
from ecg_trt.synth.spec import ANY_PAGE, GridStyle, PageSpec, draw_spec
from ecg_trt.types import Array

Peak = tuple[float, float]  # retention time (min), height
_INK: Rgb = (25, 25, 30)
_REPORT_PENS: tuple[Rgb, ...] = (_INK, (20, 50, 170), (170, 30, 40))
_ENDS = (5.0, 10.0, 15.0, 20.0, 30.0, 60.0)  # min
_DETECTORS = ("DAD1 A, Sig=254,4 Ref=off", "FID1 A, Front Signal", "TIC: 0412.D", "UV 210 nm", "RID1 A")
_PINKS: tuple[Rgb, ...] = ((226, 90, 90), (240, 150, 160), (235, 120, 110), (238, 165, 140), (225, 130, 150))
_TICKERS = ("AAPL", "MSFT", "DAX", "S&P 500", "NVDA", "EUR/USD", "BTC", "GOLD", "BRENT", "VIX", "SAP")
_FUNCTIONS = ("sin x", "f(t)", "y1", "y2", "CH A", "CH B", "x(t)", "U(t)")
_DAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")


def chromatogram(rng: np.random.Generator) -> Canvas:
    """Peaks of a gas or liquid chromatograph with their retention times: a report's, or an integrator's strip."""
    return _chromatogram_report(rng) if rng.random() < 0.5 else _integrator_strip(rng)


def _chromatogram_report(rng: np.random.Generator) -> Canvas:
    """Draw the printed report of one to three detectors, with a table of the peaks."""
    canvas = draw_paper(rng, (210.0, 297.0) if rng.random() < 0.4 else (297.0, 210.0))
    n, top, end = int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15])), float(rng.uniform(18, 40)), float(rng.choice(_ENDS))
    high = float(rng.uniform(0.45, 0.85)) * (canvas.size_mm[1] - top - 15) / n
    peaks: list[Peak] = []
    for k in range(n):
        box = (20.0, top + high * k + 6, canvas.size_mm[0] - 10, top + high * (k + 1) - 8)
        peaks = _draw_peaks(rng, canvas, box, end, Ink(_REPORT_PENS[rng.integers(3)], 0.2))
        _axes(rng, canvas, box, end)
        title = f"{_DETECTORS[rng.integers(len(_DETECTORS))]} (RUN{rng.integers(1, 999):04d}.D)"
        canvas.write(title, (24.0, box[1] - 3), 2.2, _INK)
    write_remarks(rng, canvas, 8.0, 14.0, _INK, 4)
    _peak_table(rng, canvas, peaks, top + high * n + 6)
    return canvas


def _integrator_strip(rng: np.random.Generator) -> Canvas:
    """Draw the strip of a chart recorder or an integrator."""
    width, height = float(rng.uniform(160, 300)), float(rng.uniform(70, 120))
    canvas = draw_paper(rng, (width, height))
    if rng.random() < 0.75:
        tone, box = pick_rgb(rng, RULINGS), (0.0, 5.0, width, height - 4)
        fine, coarse = float(rng.choice([0.0, 1.0, 2.0], p=[0.2, 0.6, 0.2])), float(rng.choice([5.0, 10.0]))
        canvas.rule(box, tone, 0.12, fine, fine, 0.6)
        canvas.rule(box, tone, 0.3, coarse, coarse)
    pen = Ink(pick_rgb(rng, PENS), float(rng.uniform(0.2, 0.45)))
    _draw_peaks(rng, canvas, (4.0, 12.0, width - 4, height - 7), float(rng.choice(_ENDS)), pen)
    words = f"RUN # {rng.integers(1, 99)}   CH SP {rng.choice([0.5, 1, 2])} cm/min   ATT {rng.integers(1, 9)}"
    canvas.write(words, (8.0, 3.0), 2.4, pen.rgb)
    return canvas


def _draw_peaks(rng: np.random.Generator, canvas: Canvas, box: Box, end: float, pen: Ink) -> list[Peak]:
    """Draw a chromatogram of `end` min, with the times of the peaks that stand out; return all peaks."""
    left, top, right, bottom = box
    minutes = np.linspace(0, end, round((right - left) * 12))
    wave, peaks = chromatogram_signal(rng, minutes)
    x, gain = left + minutes / end * (right - left), float(rng.choice([1.0, 1.0, 3.0]))
    y = np.maximum(bottom - 1 - 0.75 * gain * wave * (bottom - top), top)  # a tall peak may leave the scale
    canvas.line(x, y, pen.rgb, pen.width_mm)
    is_upright = bool(rng.random() < 0.75)
    taken: list[float] = []
    for time, height in sorted(peaks, key=lambda peak: -peak[1]):
        at = min(int(np.searchsorted(minutes, time)), len(x) - 1)
        apart = min((abs(float(x[at]) - other) for other in taken), default=99.0)
        if height < 0.02 * peaks[0][1] or apart < (2.4 if is_upright else 8.0):
            continue
        taken.append(float(x[at]))
        if is_upright:
            canvas.write_up(f"{time:.3f}", (float(x[at]), float(y[at]) - 1.2), 1.8, pen.rgb)
        else:
            canvas.write(f"{time:.2f}", (float(x[at]), float(y[at]) - 2.2), 1.8, pen.rgb, 0.5)
    return peaks


def _axes(rng: np.random.Generator, canvas: Canvas, box: Box, end: float) -> None:
    """Draw the axes of a chromatogram of `end` min."""
    x0, y0, x1, y1 = box
    canvas.line([x0, x0, x1], [y0, y1, y1], _INK, 0.25)
    for k in range(11):
        x = x0 + (x1 - x0) * k / 10
        canvas.line([x, x], [y1, y1 + 1.2], _INK, 0.2)
        canvas.write(f"{end * k / 10:g}" if k < 10 else "min", (x, y1 + 3), 1.9, _INK, 0.5)
    full = float(rng.choice([5, 50, 100, 250, 800]))
    for k in range(6):
        y = y1 - (y1 - y0) * k / 5
        canvas.line([x0 - 1.2, x0], [y, y], _INK, 0.2)
        canvas.write(f"{full * k / 5:g}", (x0 - 2, y), 1.9, _INK, 1.0)
    canvas.write(str(rng.choice(["mAU", "pA", "mV", "nRIU"])), (x0 - 12, y0 - 3), 1.9, _INK)


def _peak_table(rng: np.random.Generator, canvas: Canvas, peaks: list[Peak], y: float) -> None:
    """Print the report of the peaks below a chromatogram, as far as the paper reaches."""
    rows: list[tuple[str, ...]] = [("Peak", "RetTime [min]", "Type", "Width [min]", "Area", "Height", "Area %")]
    lefts = np.linspace(16, canvas.size_mm[0] - 30, len(rows[0]))
    total = sum(height for _, height in peaks)
    for k, (time, height) in enumerate(peaks):
        wide, form = rng.uniform(0.02, 0.2), str(rng.choice(["BB", "BV", "VB", "VV", "MM"]))
        numbers = f"{wide:.4f}", f"{900 * height * wide:.3f}", f"{40 * height:.3f}", f"{100 * height / total:.4f}"
        rows.append((f"{k + 1}", f"{time:.3f}", form, *numbers))
    for k, row in enumerate(rows):
        if y + 3.6 * k < canvas.size_mm[1] - 6:
            for word, x in zip(row, lefts, strict=True):
                canvas.write(word, (float(x), y + 3.6 * k), 2.0, _INK)


def stock_chart(rng: np.random.Generator) -> Canvas:
    """Prices or periodic functions on the paper of an ECG, where its leads would stand."""
    coarse = float(rng.uniform(0.6, 1.0))
    strength, widths = (coarse, float(rng.uniform(0.3, 0.7)) * coarse), rng.uniform((0.2, 0.08), (0.4, 0.16))
    style = GridStyle(pick_rgb(rng, _PINKS), strength, (float(widths[0]), float(widths[1])), bool(rng.random() < 0.12))
    spec = draw_spec(rng, layout=ANY_PAGE, grid=style)
    canvas = Canvas(draw_grid(spec, PX_PER_MM), PX_PER_MM, spec.size_mm, spec.font)
    rows = len(spec.zero_y_mm)
    pitch = (spec.zero_y_mm[-1] - spec.zero_y_mm[0]) / (rows - 1) if rows > 1 else 0.6 * spec.size_mm[1]
    form = str(rng.choice(["line", "candles", "periodic"], p=[0.4, 0.2, 0.4]))
    x0, x1 = spec.x0_mm, min(spec.grid_mm[2], spec.x0_mm + spec.row_seconds * spec.paper_speed_mm_per_s)
    for zero in spec.zero_y_mm if rng.random() < 0.8 else spec.zero_y_mm[: max(1, rows // 2)]:
        reach = float(min(rng.uniform(0.25, 0.5) * pitch, 30.0))
        if form == "periodic":
            x = np.arange(x0, x1, 0.1)
            y = zero - reach * oscillation(rng, (x - x0) / rng.uniform(6, 45))
            canvas.line(x, y, spec.pen.rgb, spec.pen.width_mm)
        else:
            _prices(rng, canvas, spec, form, (x0, x1, zero, reach))
        if rng.random() < 0.7:
            at = (x0 + spec.label_offset_mm[0], zero + spec.label_offset_mm[1])
            name = str(rng.choice(_FUNCTIONS if form == "periodic" else _TICKERS))
            canvas.write(name, at, spec.label_size_mm, spec.pen.rgb)
    boxes = draw_header(canvas.image, rng, spec, canvas.px_per_mm) if rng.random() < 0.6 else []
    if rng.random() < 0.6:
        draw_calibration_text(canvas.image, rng, spec, canvas.px_per_mm, boxes)
    return canvas


def _prices(rng: np.random.Generator, canvas: Canvas, spec: PageSpec, form: str,
            place: Box) -> None:  # fmt: skip
    """Draw a share's prices from x0 to x1 about a height, as a line or as candles."""
    x0, x1, zero, reach = place
    step = float(rng.uniform(1.5, 3.0)) if form == "candles" else float(rng.choice([0.25, 0.5, 1.0, 2.0]))
    x = np.arange(x0, x1, step)
    walk = prices(rng, len(x) + 1)
    level = zero - reach * (2 * (walk - walk.min()) / np.ptp(walk) - 1)
    if form == "line":
        canvas.line(x, level[1:], spec.pen.rgb, spec.pen.width_mm)
        return
    wick = rng.exponential(0.08 * reach, (2, len(x)))
    tones: tuple[Rgb, Rgb] = ((30, 130, 70), (190, 40, 40)) if rng.random() < 0.5 else ((250, 250, 250), _INK)
    for k, at in enumerate(x):
        upper, lower = sorted(level[k : k + 2].tolist())
        canvas.line([at, at], [upper - wick[0, k], lower + wick[1, k]], spec.pen.rgb, 0.2)
        box = (at - 0.35 * step, upper, at + 0.35 * step, max(lower, upper + 0.2))
        canvas.fill(box, tones[int(level[k + 1] > level[k])])
        canvas.frame(box, spec.pen.rgb, 0.15)


def barograph(rng: np.random.Generator) -> Canvas:
    """The pressure of the air over a week: the chart of a drum, its hours bent like the pen's arm, or a disc."""
    tone, pen = pick_rgb(rng, RULINGS), pick_rgb(rng, ((60, 40, 150), (90, 30, 130), (30, 40, 130), (25, 25, 30)))
    hours = np.arange(0, 168, 0.2)
    wave = weather(rng, hours)
    if rng.random() < 0.3:
        return _disc_chart(rng, tone, pen, hours, wave)
    width, low, high = float(rng.uniform(280, 305)), 960, 1050
    per_hpa = float(rng.choice([0.75, 1.0]))
    top = float(rng.uniform(11, 15))
    bottom = top + (high - low) * per_hpa
    canvas = draw_paper(rng, (width, bottom + float(rng.uniform(5, 10))))
    left, arm, day = 9.0, float(rng.uniform(130, 190)), (width - 22) / 7
    pivot = bottom - float(rng.uniform(0.4, 0.6)) * (bottom - top)

    def bent(y: Array) -> Array:
        return np.asarray(np.sqrt(arm**2 - (y - pivot) ** 2) - arm)

    y = np.linspace(top, bottom, 40)
    canvas.rule((left - 5, top, width - 4, bottom), tone, 0.13, dy=float(rng.choice([1.0, 2.0])) * per_hpa)
    canvas.rule((left - 5, top, width - 4, bottom), tone, 0.35, dy=10 * per_hpa)
    hour = 2 if rng.random() < 0.6 else 4
    for step, heavy in ((hour, 0.13), (12, 0.22), (24, 0.4)):
        marks = [left + 4 + day * k / 24 for k in range(0, 169, step)]
        canvas.lines([np.stack([x + bent(y), y], -1) for x in marks], tone, heavy)
    first = int(rng.integers(7))
    for k in range(7):
        x = left + 4 + day * k
        canvas.write(_DAYS[(first + k) % 7], (x + day / 2 + float(bent(np.array(top))), top - 6.5), 2.4, tone, 0.5)
        for at in range(6, 24, 6):
            canvas.write(f"{at}", (x + day * at / 24 + float(bent(np.array(top))), top - 2), 1.8, tone, 0.5)
        for value in range(low, high + 1, 10) if k % 3 == 0 else ():
            level = bottom - (value - low) * per_hpa
            canvas.write(f"{value}", (x + float(bent(np.array(level))), level), 2.0, tone, 0.5)
    height = bottom - (wave - low) * per_hpa
    until = rng.uniform(0.6, 1.0) * len(hours)
    across = left + 4 + day * (hours + rng.uniform(0, 10)) / 24 + bent(height)
    keep = (np.arange(len(hours)) < until) & (across < width - 3)
    canvas.line(across[keep], height[keep], pen, float(rng.uniform(0.3, 0.6)))
    write_remarks(rng, canvas, bottom + 3.5, 12.0, tone, int(rng.integers(1, 5)))
    return canvas


def _disc_chart(rng: np.random.Generator, tone: Rgb, pen: Rgb, hours: Array, wave: Array) -> Canvas:
    """Draw a week on a disc that turns under the pen."""
    side = float(rng.uniform(180, 260))
    canvas = draw_paper(rng, (side, side))
    middle, inner, outer = side / 2, 0.1 * side, 0.44 * side
    rounds = np.linspace(0, 2 * np.pi, 181)
    circle = np.stack([np.cos(rounds), np.sin(rounds)], -1)
    n = int(rng.choice([45, 60]))
    for every, heavy in ((1, 0.13), (5, 0.3)):
        canvas.lines([middle + circle * r for r in np.linspace(inner, outer, n + 1)[::every]], tone, heavy)
    radius = np.linspace(inner, outer, 30)
    lag = 0.35 * np.sin((radius - inner) / (outer - inner) * 2.2)  # the arm's arc

    def polar(r: Array, angle: Array) -> Array:
        return np.stack([middle + r * np.sin(angle), middle - r * np.cos(angle)], -1)

    for every, heavy in ((4, 0.13), (24, 0.4)):
        canvas.lines([polar(radius, 2 * np.pi * h / 168 + lag) for h in range(0, 168, every)], tone, heavy)
    for k, name in enumerate(_DAYS):
        x, y = polar(np.array(outer + 0.025 * side), np.array(2 * np.pi * (k + 0.5) / 7 + lag[-1]))
        canvas.write(name[:3], (float(x), float(y)), 2.8, tone, 0.5)
    for value in range(960, 1051, 10):
        at = np.array(inner + (outer - inner) * (value - 960) / 90)
        x, y = polar(at, np.interp(at, radius, lag))
        canvas.write(f"{value}", (float(x), float(y)), 1.9, tone, 0.5)
    canvas.disc((middle, middle), 0.035 * side, (110, 110, 110))
    r = inner + (outer - inner) * np.clip((wave - 960) / 90 + 0.003 * smooth_noise(rng, len(hours), 5), 0.01, 0.99)
    path = polar(r, 2 * np.pi * hours / 168 + np.interp(r, radius, lag))[: int(rng.uniform(0.7, 1.0) * len(hours))]
    canvas.line(path[:, 0], path[:, 1], pen, float(rng.uniform(0.35, 0.6)))
    write_remarks(rng, canvas, 4.0, 4.0, tone, 2)
    return canvas
