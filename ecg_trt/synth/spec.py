"""The appearance of a printed ECG page, drawn by lot from the variety that devices print."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecg_trt.layout import (
    INVERTED_AVR,
    LAYOUTS,
    OTHER_LEADS,
    PULSE_SECONDS,
    STANDARD_RECORD_SECONDS,
    STANDARD_SPEED_MM_PER_S,
    Layout,
    unnamed,
)
from ecg_trt.synth.ink import Ink

ANY_PAGE = "any"
_GAP_MM = 1.0  # of paper between two leads of a row, where it separates them
_OTHER_SHARE = 0.18  # of pages that do not show the twelve leads in a known layout, among any
_INVERTED_SHARE = 0.5  # of pages that print -aVR, among those that may
_LIMB, _CHEST = ("I", "II", "III", "aVR", "aVL", "aVF"), ("V1", "V2", "V3", "V4", "V5", "V6")
_POSTERIOR, _RIGHT = ("V7", "V8", "V9"), ("V3R", "V4R")
_STACKS = {
    "rows": (("II", "V1"), ("II", "V1", "V5"), ("V1", "II", "V5"), _LIMB[:3], _LIMB[3:], _LIMB, _CHEST,
             ("aVL", "I", INVERTED_AVR, "II", "aVF", "III")),
    "additional": (_POSTERIOR, _RIGHT, (*_RIGHT, "V7"), (*_RIGHT, *_POSTERIOR), (*_POSTERIOR, "II")),
    "frank": (("X", "Y", "Z"),),
}  # fmt: skip
_BELOW_TWELVE = (_POSTERIOR, _RIGHT, (*_RIGHT, "V7"))
OTHER_PAGES = {"strip": 0.42, "rows": 0.25, "additional": 0.11, "frank": 0.1, "15-lead": 0.12}
"""Kinds of pages beyond the layouts, with their shares; names that `draw_spec` takes for a layout."""


@dataclass(frozen=True, slots=True)
class GridStyle:
    """Print of the paper's grid.

    Attributes:
        ink: colour (R, G, B) of a line at full strength.
        strength: (coarse, fine) opacity of the 5 mm and the 1 mm lines, 0 = not printed.
        width_mm: (coarse, fine).
        dotted: fine lines are rows of dots.
        dots_per_mm: of the printer or the program that rounds its lines to whole dots, 0 where lines lie exactly.
    """

    ink: tuple[int, int, int]
    strength: tuple[float, float]
    width_mm: tuple[float, float]
    dotted: bool
    dots_per_mm: float = 0.0


@dataclass(frozen=True, slots=True)
class PulseStyle:
    """Print of the calibration pulses (1 mV, 0.2 s).

    Attributes:
        sides: of the rows at which they stand: some of "left", "right".
        gap_mm: between pulse and trace; at 0 the pen goes on from one to the other.
        foot_mm: length of the zero line on either side.
        slant_mm: by which the top is shorter than the foot, at either side.
        pen: its ink, the trace's own or thinner and fainter.
        each: one stands before each later column of leads, too.
    """

    sides: tuple[str, ...]
    gap_mm: float
    foot_mm: float
    slant_mm: float
    pen: Ink
    each: bool = False


@dataclass(frozen=True, slots=True)
class PageSpec:
    """Parameters of one page, drawn by lot; lengths in mm.

    Attributes:
        layout: leads by row and column.
        paper_speed_mm_per_s: 25 or 50.
        gain_mm_per_mv: 5, 10 or 20.
        row_seconds: how much of the record the longest row shows, s.
        size_mm: (width, height) of the paper.
        grid_mm: (x0, y0, x1, y1) of the printed grid; its nodes lie at (x0 + 5 i, y0 + 5 j).
        zero_y_mm: height of each row's zero line.
        x0_mm: where the traces begin.
        paper: (R, G, B).
        grid: the print of the grid.
        pen: ink and width of the trace.
        label_offset_mm: from a segment's start on the zero line to the middle of its lead name.
        label_size_mm: height of capitals.
        font: index of the face.
        pulse: the calibration pulses.
        separator: "none", "tick", "line" or "gap".
        joined: the pen goes on from one lead of a row to the next, and draws the step between them.
        tick_mm: how far a tick reaches above and below the zero line, and its width.
        frame: a line around the grid.
        calibration_text: paper speed and gain are printed as text.
        clutter: 0..1, amount of handwriting on and beside the grid.
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
    pulse: PulseStyle
    separator: str
    joined: bool
    tick_mm: tuple[float, float, float]
    frame: bool
    calibration_text: bool
    clutter: float

    @property
    def gap_mm(self) -> float:
        """Paper left empty at the end of each lead, mm."""
        return _GAP_MM if self.separator == "gap" else 0.0

    @property
    def between_mm(self) -> float:
        """Paper between two columns of leads, mm, where a pulse stands before each."""
        return _between_mm(self.pulse, self.paper_speed_mm_per_s)


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
    dots = float(rng.choice([0.0, 100 / 25.4, 150 / 25.4, 200 / 25.4, 300 / 25.4], p=[0.5, 0.05, 0.1, 0.25, 0.1]))
    return GridStyle((red, green, blue), (float(coarse), float(min(fine, coarse))), widths, kind == "dotted", dots)


def _between_mm(pulse: PulseStyle, speed: float) -> float:
    return PULSE_SECONDS * speed + 2 * (pulse.gap_mm + pulse.foot_mm) if pulse.each else 0.0


def _draw_pulse_style(rng: np.random.Generator, given: object, pen: Ink, paper: tuple[int, int, int]) -> PulseStyle:
    sides = {"left": ("left",), "right": ("right",), "both": ("left", "right"), "none": (), "each": ("left",)}
    which = str(given or rng.choice(list(sides), p=[0.57, 0.1, 0.06, 0.27, 0.0]))
    gap, foot = rng.choice([0.0, rng.uniform(0, 2.5)]), rng.choice([0.0, rng.uniform(0, 1.2)], p=[0.3, 0.7])
    slant = rng.choice([0.0, rng.uniform(0, 0.6)], p=[0.7, 0.3])
    if rng.random() < 0.35:
        pale = rng.uniform(0, 0.55)
        tone = tuple(round((1 - pale) * ink + pale * white) for ink, white in zip(pen.rgb, paper, strict=True))
        pen = Ink(tone, float(max(0.12, pen.width_mm * rng.uniform(0.5, 1))))  # type: ignore[arg-type]
    return PulseStyle(sides[which], float(gap), float(foot), float(slant), pen, which == "each")


def _draw_layout(rng: np.random.Generator, given: object) -> tuple[Layout, float]:
    """Draw a layout, and the seconds that its rows may show."""
    if isinstance(given, Layout):
        return given, given.seconds
    kind = str(given or "")
    if kind == ANY_PAGE:
        kind = str(rng.choice(list(OTHER_PAGES), p=list(OTHER_PAGES.values()))) if rng.random() < _OTHER_SHARE else ""
    if kind in OTHER_PAGES:
        return _draw_other(rng, kind)
    weights = np.array([layout.weight for layout in LAYOUTS.values()])
    layout = LAYOUTS[kind or str(rng.choice(list(LAYOUTS), p=weights / weights.sum()))]
    inverted = layout.may_invert_avr and rng.random() < _INVERTED_SHARE
    return layout.with_inverted_avr() if inverted else layout, layout.seconds


def _draw_other(rng: np.random.Generator, kind: str) -> tuple[Layout, float]:
    if kind == "15-lead":
        more = _BELOW_TWELVE[rng.integers(len(_BELOW_TWELVE))]
        rows = (*LAYOUTS["3x4"].rows, *((lead,) for lead in more))
        return Layout(f"3x4+{len(more)}", rows), STANDARD_RECORD_SECONDS
    if kind == "strip":
        standard = rng.choice(["II", "V1", str(rng.choice([*_LIMB, *_CHEST, *OTHER_LEADS]))], p=[0.35, 0.1, 0.55])
        leads: tuple[str, ...] = (str(standard),)
    else:
        leads = _STACKS[kind][rng.integers(len(_STACKS[kind]))]
    if rng.random() < {"strip": 0.35, "rows": 0.15}.get(kind, 0.0):
        leads = tuple(unnamed(k) for k in range(len(leads)))
    short, any_length = float(rng.choice([2.5, 3.0, 5.0, 6.0, 8.0])), rng.uniform(2.5, STANDARD_RECORD_SECONDS)
    shares = [0.35, 0.35, 0.3] if kind == "strip" else [0.12, 0.18, 0.7]
    seconds = rng.choice([short, any_length, STANDARD_RECORD_SECONDS], p=shares)
    return Layout(f"{len(leads)}x1", tuple((lead,) for lead in leads)), float(seconds)


def _draw_label_offset(rng: np.random.Generator, pitch: float) -> tuple[float, float]:
    """Draw the place of lead names: above the trace, below it, or on it, where the pen crosses them."""
    x = rng.choice([rng.uniform(0.0, 0.8), rng.uniform(0.5, 4.0)])
    above, below, on = -rng.uniform(4.0, min(9.0, 0.4 * pitch)), rng.uniform(3.5, 6.5), rng.uniform(-3.5, 3.5)
    return float(x), float(rng.choice([above, below, on], p=[0.46, 0.36, 0.18]))


def _draw_pen(rng: np.random.Generator) -> Ink:
    tones = [(20, 20, 20), (40, 40, 50), (25, 25, 90), (70, 70, 75), (60, 20, 30)]
    tone = tones[rng.choice(5, p=[0.5, 0.2, 0.12, 0.13, 0.05])]
    return Ink(tone, float(np.clip(rng.lognormal(np.log(0.3), 0.35), 0.14, 0.75)))


@dataclass(frozen=True, slots=True)
class _Frame:
    """Position of paper, grid and rows, mm; see `PageSpec`."""

    size_mm: tuple[float, float]
    grid_mm: tuple[float, float, float, float]
    zero_y_mm: tuple[float, ...]
    x0_mm: float


def _draw_frame(rng: np.random.Generator, n_rows: int, pitch: float, length: float, pulse: PulseStyle,
                pulse_width: float) -> _Frame:  # fmt: skip
    cropped = rng.random() < 0.25  # only the grid is in the picture, as in screenshots and cut-outs
    margin = rng.uniform(0, 3, 4) if cropped else rng.uniform([1, 1, 1, 1], [22, 45, 22, 25])
    lead_in = rng.uniform(0, 8) if cropped else rng.uniform(1.5, 12)
    if "left" in pulse.sides:
        lead_in = rng.uniform(3, 10) + pulse_width
        if cropped and rng.random() < 0.4:  # the cut goes through the pulse
            margin[0], lead_in = 0.0, pulse.gap_mm + pulse.foot_mm + rng.uniform(0.3, 1.0) * pulse_width
    lead_out = rng.uniform(4, 10) + pulse_width if "right" in pulse.sides else rng.uniform(1, 12)
    grid_w = np.ceil((lead_in + length + lead_out) / 5) * 5
    extra = rng.choice([0.0, rng.uniform(0, 55)], p=[0.6, 0.4])
    grid_h = np.ceil((pitch * n_rows + rng.uniform(4, 16) + extra) / 5) * 5
    if rng.random() < 0.3:  # the grid need not end on a large box
        grid_w, grid_h = grid_w + rng.uniform(0, 5), grid_h + rng.uniform(0, 5)
    x0, y0 = float(margin[0]), float(margin[1])
    zero = y0 + rng.uniform(2, 6) + extra * rng.choice([0.0, 0.5, 1.0]) + pitch * (np.arange(n_rows) + 0.55)
    zero = zero + rng.normal(0, 0.03 * pitch, n_rows)
    return _Frame(
        (float(x0 + grid_w + margin[2]), float(y0 + grid_h + margin[3])),
        (x0, y0, float(x0 + grid_w), float(y0 + grid_h)), tuple(float(y) for y in zero), float(x0 + lead_in),
    )  # fmt: skip


def draw_spec(rng: np.random.Generator, **fixed: object) -> PageSpec:
    """Draw the appearance of a page by lot.

    Args:
        rng: source of randomness.
        fixed: parameters that are given. ``layout`` may be a `Layout`, the name of one, a kind of `OTHER_PAGES`, or
            `ANY_PAGE` for all of these; without it, the page shows the twelve leads. ``pulse`` is "left", "right",
            "both", "none", or "each" for one before each column. Else, ``paper_speed_mm_per_s``, ``gain_mm_per_mv``,
            ``separator``, ``calibration_text``, ``clutter`` and ``grid`` as in `PageSpec` are taken.
    """
    layout, seconds = _draw_layout(rng, fixed.get("layout"))
    speed = float(fixed.get("paper_speed_mm_per_s") or rng.choice([25.0, 50.0], p=[0.8, 0.2]))  # type: ignore[arg-type]
    gain = float(fixed.get("gain_mm_per_mv") or rng.choice([5.0, 10.0, 20.0], p=[0.1, 0.78, 0.12]))  # type: ignore[arg-type]
    widest_mm = STANDARD_SPEED_MM_PER_S * max(STANDARD_RECORD_SECONDS, layout.seconds)
    row_seconds = min(seconds, widest_mm / speed)
    n_rows = len(layout.rows)
    pitch_low, pitch_high = (13.0, 22.0) if n_rows >= 12 else (17.0, 30.0) if n_rows >= 6 else (20.0, 38.0)
    pitch = float(rng.uniform(pitch_low, pitch_high))
    white = int(rng.integers(225, 256))
    tint = (rng.integers(0, 30), rng.integers(0, 30)) if rng.random() < 0.35 else (rng.integers(0, 6), 4)
    paper = (white, int(white - tint[0]), int(white - tint[1]))
    pen = _draw_pen(rng)
    pulse = _draw_pulse_style(rng, fixed.get("pulse"), pen, paper)
    length = row_seconds * speed + _between_mm(pulse, speed) * (layout.columns - 1)
    frame = _draw_frame(rng, n_rows, pitch, length, pulse, PULSE_SECONDS * speed)
    return PageSpec(
        layout=layout, paper_speed_mm_per_s=speed, gain_mm_per_mv=gain, row_seconds=row_seconds,
        size_mm=frame.size_mm, grid_mm=frame.grid_mm, zero_y_mm=frame.zero_y_mm, x0_mm=frame.x0_mm, paper=paper,
        grid=fixed.get("grid") or _draw_grid_style(rng),  # type: ignore[arg-type]
        pen=pen, label_offset_mm=_draw_label_offset(rng, pitch), label_size_mm=float(rng.uniform(2.0, 3.6)),
        font=int(rng.integers(1 << 16)), pulse=pulse,
        separator=str(fixed.get("separator") or rng.choice(["none", "tick", "line", "gap"], p=[0.3, 0.48, 0.13, 0.09])),
        joined=bool(rng.random() < 0.5),
        tick_mm=(float(rng.uniform(1.5, 5)), float(rng.uniform(1.5, 5)), float(rng.uniform(0.4, 1.1))),
        frame=bool(rng.random() < 0.3), calibration_text=bool(fixed.get("calibration_text", rng.random() < 0.5)),
        clutter=float(fixed.get("clutter", rng.random())),  # type: ignore[arg-type]
    )  # fmt: skip
