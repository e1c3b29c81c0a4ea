"""A renderer of printed ECG pages: not one device but a family.

A page is drawn in millimetres, anti-aliased, y down, origin at the paper's top left corner. What was drawn where is
kept as truth: the lattice, every strip with its segments, the pen's height along each strip, pulses and lead names.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from ecg_trt.layout import LAYOUTS, LEADS, RECORD_SECONDS, Layout
from ecg_trt.synth.ink import Ink, draw_clutter, draw_polyline, draw_text, random_text
from ecg_trt.types import Array, LabelMark, Segment, Strip

_LAYOUT_WEIGHTS = {
    "3x4": 2.0, "3x4+1": 4.0, "3x4+3": 1.5, "6x2": 1.5, "6x2+1": 1.0, "12x1": 1.5,
    "3x4-cabrera": 0.3, "3x4+1-cabrera": 0.4, "6x2-cabrera": 0.5, "12x1-cabrera": 0.4,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GridStyle:
    """How the paper's lattice is printed.

    Attributes:
        ink: colour (R, G, B) of a line at full strength.
        strength: (coarse, fine) opacity of the 5 mm and the 1 mm lines, 0 = not printed.
        width_mm: (coarse, fine).
        dotted: fine lines are rows of dots.
    """

    ink: tuple[int, int, int]
    strength: tuple[float, float]
    width_mm: tuple[float, float]
    dotted: bool


@dataclass(frozen=True, slots=True)
class PageSpec:
    """Everything that was drawn by lot for one page; lengths in mm.

    Attributes:
        layout: which leads stand where.
        paper_speed_mm_per_s: 25 or 50.
        gain_mm_per_mv: 5, 10 or 20.
        row_seconds: how much of the record a row shows, s.
        size_mm: (width, height) of the paper.
        grid_mm: (x0, y0, x1, y1) of the printed lattice; its nodes lie at (x0 + 5 i, y0 + 5 j).
        zero_y_mm: height of each row's zero line.
        x0_mm: where the traces begin.
        paper: (R, G, B).
        grid: the lattice.
        pen: ink and width of the trace.
        label_offset_mm: from a segment's start on the zero line to the middle of its lead name.
        label_size_mm: height of capitals.
        font: index of the face.
        pulse: "left", "right" or "none".
        pulse_gap_mm: between pulse and trace, and the length of the pulse's feet.
        separator: "none", "tick", "line" or "gap".
        tick_mm: how far a tick reaches above and below the zero line, and its width.
        frame: a line around the lattice.
        clutter: 0..1, how much is written on and beside the lattice.
    """

    layout: Layout
    paper_speed_mm_per_s: float
    gain_mm_per_mv: float
    row_seconds: float
    size_mm: tuple[float, float]
    grid_mm: tuple[float, float, float, float]
    zero_y_mm: tuple[float, ...]
    x0_mm: float
    paper: tuple[int, int, int]
    grid: GridStyle
    pen: Ink
    label_offset_mm: tuple[float, float]
    label_size_mm: float
    font: int
    pulse: str
    pulse_gap_mm: tuple[float, float]
    separator: str
    tick_mm: tuple[float, float, float]
    frame: bool
    clutter: float


@dataclass(frozen=True, slots=True)
class Page:
    """A drawn page with its truth, all in mm of the paper.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        px_per_mm: pixel (x, y) covers the paper at (x + 0.5, y + 0.5) / px_per_mm.
        spec: what was drawn by lot.
        strips: the rows with their segments, from the top.
        pen_x_mm: (strips,) list of (k,) x of the pen, increasing.
        pen_y_mm: the pen's height at `pen_x_mm`.
        labels: lead names.
        pulses_mm: (n, 4) x0, y0, x1, y1 of the calibration pulses.
        signal_mv: (12, n) float32, what the page shows, NaN elsewhere, on the record's clock.
        fs: Hz, of `signal_mv`.
    """

    image: Array
    px_per_mm: float
    spec: PageSpec
    strips: tuple[Strip, ...]
    pen_x_mm: tuple[Array, ...]
    pen_y_mm: tuple[Array, ...]
    labels: tuple[LabelMark, ...]
    pulses_mm: Array
    signal_mv: Array
    fs: float
    has_grid: bool = field(default=True)


def _draw_grid_style(rng: np.random.Generator) -> GridStyle:
    ink = [(226, 90, 90), (240, 150, 160), (200, 40, 40), (120, 170, 120), (120, 140, 200), (235, 165, 110),
           (110, 110, 110), (30, 30, 30), (150, 40, 40), (190, 120, 170)][rng.integers(10)]  # fmt: skip
    red, green, blue = (int(np.clip(c + rng.normal(0, 12), 0, 235)) for c in ink)
    kind = rng.choice(["both", "coarse", "faint", "dotted", "none"], p=[0.5, 0.27, 0.1, 0.09, 0.04])
    coarse, fine = rng.uniform(0.5, 1.0), rng.uniform(0.2, 0.7)
    if kind == "coarse":
        fine = 0.0
    elif kind == "faint":
        coarse, fine = rng.uniform(0.15, 0.4), rng.uniform(0.05, 0.2)
    elif kind == "none":
        coarse = fine = 0.0
    widths = (float(rng.uniform(0.15, 0.45)), float(rng.uniform(0.08, 0.2)))
    return GridStyle((red, green, blue), (float(coarse), float(min(fine, coarse))), widths, kind == "dotted")


def _draw_rows(rng: np.random.Generator, layout: Layout, top: float, pitch: float) -> tuple[float, ...]:
    zero = top + pitch * (np.arange(len(layout.rows)) + 0.55)
    return tuple(float(y) for y in zero + rng.normal(0, 0.03 * pitch, len(zero)))


def _draw_layout(rng: np.random.Generator, given: object) -> Layout:
    if isinstance(given, Layout):
        return given
    weights = np.array(list(_LAYOUT_WEIGHTS.values()))
    return LAYOUTS[str(given or rng.choice(list(_LAYOUT_WEIGHTS), p=weights / weights.sum()))]


def draw_spec(rng: np.random.Generator, **fixed: object) -> PageSpec:
    """Draws the look of a page by lot.

    Args:
        rng: source of randomness.
        fixed: fields of `PageSpec` that are given; ``layout`` may be a name. Only ``layout``,
            ``paper_speed_mm_per_s``, ``gain_mm_per_mv``, ``pulse``, ``separator``, ``clutter`` and ``grid`` are taken.
    """
    layout = _draw_layout(rng, fixed.get("layout"))
    speed = float(fixed.get("paper_speed_mm_per_s") or rng.choice([25.0, 50.0], p=[0.9, 0.1]))  # type: ignore[arg-type]
    gain = float(fixed.get("gain_mm_per_mv") or rng.choice([5.0, 10.0, 20.0], p=[0.07, 0.88, 0.05]))  # type: ignore[arg-type]
    row_seconds = RECORD_SECONDS if speed == 25.0 else 5.0
    length = row_seconds * speed
    n_rows = len(layout.rows)
    pitch_low, pitch_high = (13.0, 22.0) if n_rows >= 12 else (17.0, 30.0) if n_rows >= 6 else (20.0, 38.0)
    pitch = float(rng.uniform(pitch_low, pitch_high))
    cropped = rng.random() < 0.25  # only the lattice is in the picture, as in screenshots and cut-outs
    margin = rng.uniform(0, 3, 4) if cropped else rng.uniform([1, 1, 1, 1], [22, 45, 22, 25])
    pulse = str(fixed.get("pulse") or rng.choice(["left", "right", "none"], p=[0.6, 0.1, 0.3]))
    lead_in = rng.uniform(8, 20) if pulse == "left" else rng.uniform(1.5, 12)
    lead_out = rng.uniform(9, 20) if pulse == "right" else rng.uniform(1, 12)
    grid_w = np.ceil((lead_in + length + lead_out) / 5) * 5
    extra = rng.choice([0.0, rng.uniform(0, 55)], p=[0.6, 0.4])
    grid_h = np.ceil((pitch * n_rows + rng.uniform(4, 16) + extra) / 5) * 5
    if rng.random() < 0.3:  # the lattice need not end on a large box
        grid_w, grid_h = grid_w + rng.uniform(0, 5), grid_h + rng.uniform(0, 5)
    x0, y0 = float(margin[0]), float(margin[1])
    size = (float(x0 + grid_w + margin[2]), float(y0 + grid_h + margin[3]))
    top = y0 + rng.uniform(2, 6) + extra * rng.choice([0.0, 0.5, 1.0])
    white = int(rng.integers(225, 256))
    tint = (0, rng.integers(0, 30), rng.integers(0, 30)) if rng.random() < 0.35 else (0, rng.integers(0, 6), 4)
    below = rng.random() < 0.45
    pen_tone = [(20, 20, 20), (40, 40, 50), (25, 25, 90), (70, 70, 75), (60, 20, 30)]
    tone = pen_tone[rng.choice(5, p=[0.5, 0.2, 0.12, 0.13, 0.05])]
    return PageSpec(
        layout=layout, paper_speed_mm_per_s=speed, gain_mm_per_mv=gain, row_seconds=row_seconds, size_mm=size,
        grid_mm=(x0, y0, float(x0 + grid_w), float(y0 + grid_h)),
        zero_y_mm=_draw_rows(rng, layout, float(top), pitch), x0_mm=float(x0 + lead_in),
        paper=(white, int(white - tint[1]), int(white - tint[2])),
        grid=fixed.get("grid") or _draw_grid_style(rng),  # type: ignore[arg-type]
        pen=Ink(tone, float(np.clip(rng.lognormal(np.log(0.3), 0.35), 0.14, 0.75))),
        label_offset_mm=(float(rng.choice([rng.uniform(0.0, 0.8), rng.uniform(0.5, 4.0)])),
                         float(rng.uniform(3.5, 6.5) if below else -rng.uniform(4.0, min(9.0, 0.4 * pitch)))),
        label_size_mm=float(rng.uniform(2.0, 3.6)), font=int(rng.integers(1 << 16)), pulse=pulse,
        pulse_gap_mm=(float(rng.choice([0.0, rng.uniform(0, 2.5)])), float(rng.uniform(0, 1.2))),
        separator=str(fixed.get("separator") or rng.choice(["none", "tick", "line", "gap"], p=[0.3, 0.48, 0.13, 0.09])),
        tick_mm=(float(rng.uniform(1.5, 5)), float(rng.uniform(1.5, 5)), float(rng.uniform(0.4, 1.1))),
        frame=bool(rng.random() < 0.3), clutter=float(fixed.get("clutter", rng.random())),  # type: ignore[arg-type]
    )  # fmt: skip


def _line_profile(n: int, px_per_mm: float, start: float, stop: float, step: float, width: float) -> Array:
    """Coverage 0..1 of the n pixels of one axis by lines of `width` mm at start, start + step, .. <= stop."""
    lines = np.arange(start, stop + 1e-6, step) * px_per_mm - 0.5
    profile = np.zeros(n, np.float32)
    reach = int(np.ceil(width * px_per_mm / 2 + 1))
    near = np.round(lines).astype(int)[:, None] + np.arange(-reach, reach + 1)
    cover = np.clip(width * px_per_mm / 2 + 0.5 - np.abs(near - lines[:, None]), 0, min(1.0, width * px_per_mm))
    ok = (near >= 0) & (near < n)
    np.maximum.at(profile, near[ok], cover[ok].astype(np.float32))
    return profile


def _draw_lattice(spec: PageSpec, px_per_mm: float) -> Array:
    """(H, W, 3) uint8: the paper with its lattice."""
    w, h = (int(np.ceil(s * px_per_mm)) for s in spec.size_mm)
    x0, y0, x1, y1 = spec.grid_mm
    style = spec.grid
    axes = []
    for n, a, b in ((w, x0, x1), (h, y0, y1)):
        coarse = _line_profile(n, px_per_mm, a, b, 5.0, style.width_mm[0]) * style.strength[0]
        fine = _line_profile(n, px_per_mm, a, b, 1.0, style.width_mm[1]) * style.strength[1]
        axes.append([np.round(255 * p).astype(np.uint8) for p in (coarse, fine)])
    (cx, fx), (cy, fy) = axes
    alpha = np.maximum.outer(cy, cx)
    if style.strength[1] > 0:
        np.maximum(alpha, np.minimum.outer(fy, fx) if style.dotted else np.maximum.outer(fy, fx), out=alpha)
    inside = [slice(max(0, int(a * px_per_mm) - 1), int(b * px_per_mm) + 2) for a, b in ((y0, y1), (x0, x1))]
    keep = alpha[inside[0], inside[1]].copy()
    alpha[:] = 0
    alpha[inside[0], inside[1]] = keep
    ramp = np.arange(256)[:, None] / 255
    table = (np.array(spec.paper) * (1 - ramp) + np.array(style.ink) * ramp).round().astype(np.uint8)
    return cv2.merge([cv2.LUT(alpha, np.ascontiguousarray(table[:, c])) for c in range(3)])


def _pen_path(spec: PageSpec, row: int, signal: Array, fs: float) -> tuple[Array, Array, tuple[Segment, ...]]:
    """The pen's way along one row: x mm, y mm, and the segments."""
    leads = spec.layout.rows[row]
    share = spec.row_seconds / len(leads)
    x, y, segments = [], [], []
    for k, lead in enumerate(leads):
        t0, t1 = k * share, (k + 1) * share
        i = np.arange(round(t0 * fs), min(round(t1 * fs), signal.shape[1]))
        xs = spec.x0_mm + i / fs * spec.paper_speed_mm_per_s
        x.append(xs)
        y.append(spec.zero_y_mm[row] - signal[LEADS.index(lead), i] * spec.gain_mm_per_mv)
        segments.append(Segment(lead, (spec.x0_mm + t0 * spec.paper_speed_mm_per_s,
                                       spec.x0_mm + t1 * spec.paper_speed_mm_per_s)))  # fmt: skip
    return np.concatenate(x), np.concatenate(y), tuple(segments)


def _draw_pulse(image: Array, spec: PageSpec, row: int, px_per_mm: float, width: float) -> tuple[float, ...]:
    zero, (gap, foot) = spec.zero_y_mm[row], spec.pulse_gap_mm
    if spec.pulse == "left":
        x = spec.x0_mm - width - gap - foot
    else:
        x = spec.x0_mm + spec.row_seconds * spec.paper_speed_mm_per_s + gap + foot
    top = zero - spec.gain_mm_per_mv
    xs = np.array([x - foot, x, x, x + width, x + width, x + width + foot])
    ys = np.array([zero, zero, top, top, zero, zero])
    draw_polyline(image, xs, ys, px_per_mm, spec.pen)
    return x, top, x + width, zero


def _draw_separators(image: Array, spec: PageSpec, strips: tuple[Strip, ...], px_per_mm: float) -> None:
    if spec.separator not in ("tick", "line"):
        return
    for strip in strips:
        for segment in strip.segments[1:]:
            x, zero = segment.x_mm[0], strip.zero_y_mm
            up, down, width = spec.tick_mm if spec.separator == "tick" else (12.0, 10.0, spec.pen.width_mm)
            ink = Ink(spec.pen.rgb, width)
            draw_polyline(image, np.array([x, x]), np.array([zero - up, zero + down]), px_per_mm, ink)


def draw_page(
    rng: np.random.Generator, signal_mv: Array, fs: float, *, px_per_mm: float = 10.0, spec: PageSpec | None = None
) -> Page:
    """Draws one page.

    Args:
        rng: source of randomness.
        signal_mv: (12, n) float32, mV, at least 10 s.
        fs: Hz.
        px_per_mm: resolution of the raster.
        spec: the look; drawn by lot if None.
    """
    spec = spec or draw_spec(rng)
    image = _draw_lattice(spec, px_per_mm)
    if spec.frame:
        x0, y0, x1, y1 = spec.grid_mm
        draw_polyline(image, np.array([x0, x1, x1, x0, x0]), np.array([y0, y0, y1, y1, y0]), px_per_mm,
                      Ink((60, 60, 60), 0.3))  # fmt: skip
    pulse_width = 0.2 * spec.paper_speed_mm_per_s
    strips, xs, ys, labels, pulses = [], [], [], [], []
    shown = np.full((12, round(RECORD_SECONDS * fs)), np.nan, np.float32)
    for row in range(len(spec.layout.rows)):
        x, y, segments = _pen_path(spec, row, signal_mv, fs)
        gap = spec.separator == "gap"
        for segment in segments:
            part = (x >= segment.x_mm[0] - 1e-6) & (x < segment.x_mm[1] - (1.0 if gap else -0.05))
            draw_polyline(image, x[part], y[part], px_per_mm, spec.pen)
            lead = LEADS.index(segment.lead)
            i = np.round((x[part] - spec.x0_mm) / spec.paper_speed_mm_per_s * fs).astype(int)
            i = i[i < shown.shape[1]]
            shown[lead, i] = signal_mv[lead, i]
            at = (segment.x_mm[0] + spec.label_offset_mm[0], spec.zero_y_mm[row] + spec.label_offset_mm[1])
            centre = draw_text(image, segment.lead, at, spec.label_size_mm, px_per_mm, spec.font, spec.pen.rgb)
            labels.append(LabelMark(segment.lead, centre, 1.0))
        if spec.pulse != "none":
            pulses.append(_draw_pulse(image, spec, row, px_per_mm, pulse_width))
        strips.append(Strip(spec.zero_y_mm[row], (segments[0].x_mm[0], segments[-1].x_mm[1]), 1.0, segments))
        xs.append(x)
        ys.append(y)
    _draw_separators(image, spec, tuple(strips), px_per_mm)
    random_text(image, rng, spec.size_mm, spec.grid_mm, px_per_mm, spec.font,
                f"{spec.paper_speed_mm_per_s:g}mm/s", f"{spec.gain_mm_per_mv:g}mm/mV")  # fmt: skip
    draw_clutter(image, rng, spec.size_mm, px_per_mm, spec.clutter)
    return Page(image, px_per_mm, spec, tuple(strips), tuple(xs), tuple(ys), tuple(labels),
                np.array(pulses, np.float64).reshape(-1, 4), shown, fs, spec.grid.strength[0] > 0)  # fmt: skip
