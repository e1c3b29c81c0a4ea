"""ECG paper to scale: where rows, leads, names and calibration pulses of a record stand, in mm.

Frame: mm on the sheet, x to the right, y down, origin at the top left. Boxes of 5 mm begin at the origin, and zero
lines lie on their borders. What draws it (`plot`, `leads_svg`) has no geometry of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from ecg_trt.errors import NOTICE, OptionError
from ecg_trt.layout import LARGE_BOX_MM, LAYOUTS, PULSE_SECONDS, Layout, upright
from ecg_trt.types import Array, LeadSpan

if TYPE_CHECKING:
    from ecg_trt.record import EcgRecord

NAME_HEIGHT_MM, TEXT_HEIGHT_MM = 3.2, 2.8
CAPITAL = 0.72  # Height of capitals of a font as a share of its size.
_TOP_MM, _FOOT_MM, _RIGHT_MM = 10.0, 15.0, 5.0  # Room for the title and the footer, and beside the rows.
_ABOVE_MM, _BELOW_MM = 12.5, 7.5  # Least room of a row above and below its zero line.
_MOST_MM = 60.0  # Most such room: a curve beyond it is drawn over other rows.
_PULSE_GAP_MM = 3.0
_NAME_MM = (1.0, -7.5)  # Left end of a name's baseline from where its lead begins on the zero line.


@dataclass(frozen=True, slots=True)
class PaperLead:
    """One lead of a row.

    Attributes:
        name: in the record.
        start_mm: where it begins.
        x_mm: (n,) of its samples, ascending.
        y_mm: (n,) likewise, NaN where nothing is printed, or seen.
    """

    name: str
    start_mm: float
    x_mm: Array
    y_mm: Array


@dataclass(frozen=True, slots=True)
class PaperRow:
    """One row.

    Attributes:
        zero_y_mm: height of its zero line.
        leads: from left to right.
        pulses: calibration pulses, each a polyline (6, 2) of (x, y); one for each gain in the row.
    """

    zero_y_mm: float
    leads: tuple[PaperLead, ...]
    pulses: tuple[Array, ...]

    def name_at(self, lead: PaperLead) -> tuple[float, float]:
        """Place the left end of a name's baseline."""
        return lead.start_mm + _NAME_MM[0], self.zero_y_mm + _NAME_MM[1]


@dataclass(frozen=True, slots=True)
class Paper:
    """A sheet with a record on it.

    Attributes:
        size_mm: (width, height), in whole large boxes.
        rows: from the top.
        title: a line at the top.
        footer: a line at the bottom: scales, layout and the notice.
        speed_mm_per_s: at which it is drawn.
    """

    size_mm: tuple[float, float]
    rows: tuple[PaperRow, ...]
    title: str
    footer: str
    speed_mm_per_s: float

    @property
    def title_at(self) -> tuple[float, float]:
        """Left end of the title's baseline."""
        return LARGE_BOX_MM, _TOP_MM - LARGE_BOX_MM

    @property
    def footer_at(self) -> tuple[float, float]:
        """Left end of the footer's baseline."""
        return LARGE_BOX_MM, self.size_mm[1] - LARGE_BOX_MM


def lay_out(record: EcgRecord, *, speed: float | None = None, gain: float | None = None) -> Paper:
    """Lay a record out as its page had it: the same rows and columns, to scale.

    Args:
        record: what to lay out.
        speed: mm/s; that of the page if None.
        gain: mm/mV of all leads; those of the page if None.

    Raises:
        OptionError: a scale is not above zero.
    """
    speed_mm_per_s = _scale("speed", record.paper_speed_mm_per_s if speed is None else speed, "mm/s")
    gains = {
        lead: _scale("gain", record.gain_of(lead) if gain is None else gain, "mm/mV") for lead in record.lead_names
    }
    printed = printed_rows(record)
    pulses = [sorted({gains[span.lead] for span in row}, reverse=True) for row in printed]
    pulse_mm = PULSE_SECONDS * speed_mm_per_s + _PULSE_GAP_MM
    left = _up_to_box(LARGE_BOX_MM + pulse_mm * max(map(len, pulses), default=0))
    bottom, right = _TOP_MM, left
    rows = []
    for spans, row_gains in zip(printed, pulses, strict=True):
        curves = [_curve(record, span, gains[span.lead]) for span in spans]
        starts = _starts_mm(spans, speed_mm_per_s)
        up, down = _extent_mm(y for _, y in curves)
        zero = _up_to_box(bottom + up)
        bottom = zero + down
        leads = tuple(
            PaperLead(span.lead, left + start, left + start + (t - span.start_s) * speed_mm_per_s, zero - y)
            for span, start, (t, y) in zip(spans, starts, curves, strict=True)
        )
        right = max(right, left + starts[-1] + (spans[-1].end_s - spans[-1].start_s) * speed_mm_per_s)
        drawn = tuple(_pulse(LARGE_BOX_MM + k * pulse_mm, zero, pulse_mm, g) for k, g in enumerate(row_gains))
        rows.append(PaperRow(zero, leads, drawn))
    size = _up_to_box(right + _RIGHT_MM), _up_to_box(bottom + _FOOT_MM)
    gain_text = record.gain_text if gain is None else f"{gain:g} mm/mV"
    footer = f"{speed_mm_per_s:g} mm/s    {gain_text}    {record.layout}    {NOTICE}"
    return Paper(size, tuple(rows), PurePath(record.source).name, footer, speed_mm_per_s)


def printed_rows(record: EcgRecord) -> list[list[LeadSpan]]:
    """List the leads of each printed row: by the record's spans, else by its layout.

    Leads that a layout does not have, and those of a record without one, are given a row each.
    """
    if record.spans:
        rows = sorted({span.row for span in record.spans})
        return [[span for span in record.spans if span.row == row] for row in rows]
    shown_s = record.signal_mv.shape[1] / record.fs
    layout = LAYOUTS.get(record.layout)
    if layout is None or not set(layout.leads) <= set(record.lead_names):
        layout = Layout("", ())
    spans = [layout.spans(row, shown_s) for row in range(len(layout.rows))]
    printed = {upright(lead)[0] for row in spans for lead, _, _ in row}
    spans += [((lead, 0.0, shown_s),) for lead in record.lead_names if lead not in printed]
    return [
        [LeadSpan(upright(lead)[0], row, start, end) for lead, start, end in leads] for row, leads in enumerate(spans)
    ]


def _scale(name: str, value: float, unit: str) -> float:
    if not (math.isfinite(value) and value > 0):
        raise OptionError(f"The record cannot be drawn at this {name}", got=repr(value), expected=f"{unit} above zero",
                          hint=f"Leave {name} out to get that of the page.")  # fmt: skip
    return value


def _up_to_box(mm: float) -> float:
    """Round up to a border of large boxes."""
    return LARGE_BOX_MM * math.ceil(mm / LARGE_BOX_MM - 1e-6)


def _starts_mm(spans: Sequence[LeadSpan], speed: float) -> list[float]:
    """Place the leads of a row after its beginning: in time, or one behind the other where they show the same time."""
    starts: list[float] = []
    end = 0.0
    for span in spans:
        starts.append(max((span.start_s - spans[0].start_s) * speed, end))
        end = starts[-1] + (span.end_s - span.start_s) * speed
    return starts


def _curve(record: EcgRecord, span: LeadSpan, gain: float) -> tuple[Array, Array]:
    """Take the samples that a span shows: times, s, and heights above the zero line, mm."""
    signal = record.signal_mv[record.lead_names.index(span.lead)]
    first, last = (min(max(round(t * record.fs), 0), signal.size) for t in (span.start_s, span.end_s))
    return np.arange(first, last) / record.fs, signal[first:last].astype(np.float64) * gain


def _extent_mm(heights: Iterable[Array]) -> tuple[float, float]:
    """Find the room that a row's curves need above and below its zero line, mm."""
    up, down = _ABOVE_MM, _BELOW_MM
    for y in heights:
        up = max(up, float(np.max(y, where=np.isfinite(y), initial=0.0)))
        down = max(down, -float(np.min(y, where=np.isfinite(y), initial=0.0)))
    return min(up, _MOST_MM), min(down, _MOST_MM)


def _pulse(x: float, zero: float, width: float, gain: float) -> Array:
    """Draw a pulse of 1 mV with a short foot on either side, as a polyline (6, 2), mm."""
    foot = _PULSE_GAP_MM / 3
    top, left, right = zero - gain, x + foot, x + width - 2 * foot
    return np.array([(x, zero), (left, zero), (left, top), (right, top), (right, zero), (right + foot, zero)])
