"""A renderer of printed ECG pages, as many devices print them.

A page is drawn in millimetres, anti-aliased, y down, origin at the paper's top left corner. The place of
everything drawn is kept as truth: the grid, every strip with its segments, the pen's height along each strip, pulses,
lead names and calibration text.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from ecg_trt.layout import LEAD_WORDS, LEADS, PULSE_SECONDS, is_unnamed, upright
from ecg_trt.synth.ink import Ink, draw_clutter, draw_polyline, draw_text, draw_trace
from ecg_trt.synth.printed_text import draw_calibration_text, draw_header
from ecg_trt.synth.spec import PageSpec, draw_spec
from ecg_trt.types import Array, LabelMark, Segment, Strip


@dataclass(frozen=True, slots=True)
class Page:
    """A drawn page with its truth, all in mm of the paper.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        px_per_mm: pixel (x, y) covers the paper at (x + 0.5, y + 0.5) / px_per_mm.
        spec: the parameters drawn by lot.
        strips: the rows with their segments, from the top.
        pen_x_mm: (strips,) list of (k,) x of the pen, increasing.
        pen_y_mm: the pen's height at `pen_x_mm`.
        labels: lead names.
        calibration_text: the calibration text: paper speed and gain.
        pulses_mm: (n, 4) x0, y0, x1, y1 of the calibration pulses, as far as the paper shows them.
        leads: of `signal_mv`, see `Layout.leads`.
        signal_mv: (leads, n) float32, where the page shows it, NaN elsewhere, on the record's clock.
        fs: Hz, of `signal_mv`.
        has_grid: a grid is printed.
    """

    image: Array
    px_per_mm: float
    spec: PageSpec
    strips: tuple[Strip, ...]
    pen_x_mm: tuple[Array, ...]
    pen_y_mm: tuple[Array, ...]
    labels: tuple[LabelMark, ...]
    calibration_text: tuple[LabelMark, ...]
    pulses_mm: Array
    leads: tuple[str, ...]
    signal_mv: Array
    fs: float
    has_grid: bool = field(default=True)


def line_profile(
    n: int, px_per_mm: float, start: float, stop: float, step: float, width: float, dots_per_mm: float
) -> Array:
    """Compute the coverage 0..1 of the n pixels of one axis by lines, `width` mm wide, every `step` mm.

    Lines are rounded to whole dots, if any; the grid's first one lies exactly.
    """
    away = np.arange(0.0, stop - start + 1e-6, step)
    if dots_per_mm:
        away = np.round(away * dots_per_mm) / dots_per_mm
    lines = (start + away) * px_per_mm - 0.5
    profile = np.zeros(n, np.float32)
    reach = int(np.ceil(width * px_per_mm / 2 + 1))
    near = np.round(lines).astype(int)[:, None] + np.arange(-reach, reach + 1)
    cover = np.clip(width * px_per_mm / 2 + 0.5 - np.abs(near - lines[:, None]), 0, min(1.0, width * px_per_mm))
    ok = (near >= 0) & (near < n)
    np.maximum.at(profile, near[ok], cover[ok].astype(np.float32))
    return profile


def draw_grid(spec: PageSpec, px_per_mm: float) -> Array:
    """Draw the paper with its grid, (H, W, 3) uint8."""
    w, h = (int(np.ceil(s * px_per_mm)) for s in spec.size_mm)
    x0, y0, x1, y1 = spec.grid_mm
    style = spec.grid
    axes = []
    for n, a, b in ((w, x0, x1), (h, y0, y1)):
        coarse, fine = (
            line_profile(n, px_per_mm, a, b, step, width, style.dots_per_mm) * strength
            for step, width, strength in zip((5.0, 1.0), style.width_mm, style.strength, strict=True)
        )
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
    colours = (np.array(spec.paper) * (1 - ramp) + np.array(style.ink) * ramp).round().astype(np.uint8)
    return cv2.merge([cv2.LUT(alpha, np.ascontiguousarray(colours[:, c])) for c in range(3)])


def _waveforms(rng: np.random.Generator, leads: tuple[str, ...], signal_mv: Array, n: int) -> Array:
    """Choose the waveforms, (leads, n) mV: the twelve leads keep theirs, any other lead takes one of them.

    A signal of fewer than `n` samples is repeated.
    """
    rows = [LEADS.index(lead) if lead in LEADS else int(rng.integers(len(LEADS))) for lead in leads]
    return np.asarray(signal_mv[rows][:, np.arange(n) % signal_mv.shape[1]])


def _pen_path(spec: PageSpec, row: int, signal: Array, fs: float) -> tuple[Array, Array, tuple[Segment, ...]]:
    """Compute the pen's path along one row: x mm, y mm, and the segments.

    `signal` is in the order of the layout's leads.
    """
    leads = spec.layout.leads
    x, y, segments = [], [], []
    for column, (name, t0, t1) in enumerate(spec.layout.spans(row, spec.row_seconds)):
        x0 = spec.x0_mm + spec.between_mm * column
        lead, sign = upright(name)
        first, end = (int(np.ceil(t * fs - 1e-6)) for t in (t0, t1))
        i = np.arange(first, min(end, signal.shape[1]))
        xs = x0 + i / fs * spec.paper_speed_mm_per_s
        x.append(xs)
        y.append(spec.zero_y_mm[row] - sign * signal[leads.index(lead), i] * spec.gain_mm_per_mv)
        segments.append(Segment(name, (x0 + t0 * spec.paper_speed_mm_per_s, x0 + t1 * spec.paper_speed_mm_per_s)))
    return np.concatenate(x), np.concatenate(y), tuple(segments)


def _draw_names(image: Array, spec: PageSpec, strip: Strip, px_per_mm: float) -> list[LabelMark]:
    """Draw the names of a row's leads, where they have any; mark those that stage 1 knows."""
    marks = []
    for segment in strip.segments:
        if not is_unnamed(segment.lead):
            at = (segment.x_mm[0] + spec.label_offset_mm[0], strip.zero_y_mm + spec.label_offset_mm[1])
            centre = draw_text(image, segment.lead, at, spec.label_size_mm, px_per_mm, spec.font, spec.pen.rgb)
            if segment.lead in LEAD_WORDS:
                marks.append(LabelMark(segment.lead, centre, 1.0))
    return marks


def _draw_pulse(image: Array, spec: PageSpec, side: str, strip: Strip, ends_mm: tuple[float, float],
                px_per_mm: float) -> tuple[float, ...]:  # fmt: skip
    """Draw one pulse and return its box as far as the paper shows it; `ends_mm`: the pen's first and last height."""
    style, width, zero = spec.pulse, PULSE_SECONDS * spec.paper_speed_mm_per_s, strip.zero_y_mm
    left = side == "left"
    away = style.gap_mm + style.foot_mm
    x = strip.x_mm[0] - width - away if left else strip.x_mm[1] + away
    top, slant = zero - spec.gain_mm_per_mv, style.slant_mm
    xs = [x - style.foot_mm, x, x + slant, x + width - slant, x + width, x + width + style.foot_mm]
    ys = [zero, zero, top, top, zero, zero]
    if style.gap_mm == 0:
        at = len(xs) if left else 0
        xs.insert(at, strip.x_mm[not left])
        ys.insert(at, ends_mm[not left])
    draw_polyline(image, np.array(xs), np.array(ys), px_per_mm, style.pen)
    return max(x, 0.0), max(top, 0.0), min(x + width, spec.size_mm[0]), zero


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
    """Draw one page.

    Args:
        rng: source of randomness.
        signal_mv: (12, n) float32, mV; repeated where it is shorter than the layout's record.
        fs: Hz.
        px_per_mm: resolution of the raster.
        spec: its appearance; drawn by lot if None.
    """
    spec = spec or draw_spec(rng)
    image = draw_grid(spec, px_per_mm)
    if spec.frame:
        x0, y0, x1, y1 = spec.grid_mm
        draw_polyline(image, np.array([x0, x1, x1, x0, x0]), np.array([y0, y0, y1, y1, y0]), px_per_mm,
                      Ink((60, 60, 60), 0.3))  # fmt: skip
    leads = spec.layout.leads
    n = round(spec.layout.seconds * fs)
    signal = _waveforms(rng, leads, signal_mv, max(n, signal_mv.shape[1]))
    strips, xs, ys, labels, pulses = [], [], [], [], []
    shown = np.full((len(leads), n), np.nan, np.float32)
    for row in range(len(spec.layout.rows)):
        x, y, segments = _pen_path(spec, row, signal, fs)
        strip = Strip(spec.zero_y_mm[row], (segments[0].x_mm[0], segments[-1].x_mm[1]), 1.0, segments)
        for column, segment in enumerate(segments):
            end = segment.x_mm[1] - spec.gap_mm
            own = (x >= segment.x_mm[0] - 1e-6) & (x < end - 1e-6)
            is_joined = spec.joined and not spec.gap_mm and not spec.between_mm
            last = end + (0.05 if is_joined else -1e-6)  # Up to the next segment's first point.
            part = (x >= segment.x_mm[0] - 1e-6) & (x < last)
            draw_trace(image, x[part], y[part], px_per_mm, spec.pen)
            lead = leads.index(upright(segment.lead)[0])
            away = x[own] - spec.x0_mm - spec.between_mm * column
            i = np.round(away / spec.paper_speed_mm_per_s * fs).astype(int)
            shown[lead, i] = signal[lead, i]
            if spec.pulse.each and column:
                box = _draw_pulse(image, spec, "left", replace(strip, x_mm=segment.x_mm), (y[part][0], 0.0), px_per_mm)
                pulses.append(box)
        labels += _draw_names(image, spec, strip, px_per_mm)
        pulses += [_draw_pulse(image, spec, side, strip, (y[0], y[-1]), px_per_mm) for side in spec.pulse.sides]
        strips.append(strip)
        xs.append(x)
        ys.append(y)
    _draw_separators(image, spec, tuple(strips), px_per_mm)
    taken = draw_header(image, rng, spec, px_per_mm)
    printed = draw_calibration_text(image, rng, spec, px_per_mm, taken)
    draw_clutter(image, rng, spec.size_mm, px_per_mm, spec.clutter)
    return Page(image, px_per_mm, spec, tuple(strips), tuple(xs), tuple(ys), tuple(labels), printed,
                np.array(pulses, np.float64).reshape(-1, 4), leads, shown, fs, spec.grid.strength[0] > 0)  # fmt: skip
