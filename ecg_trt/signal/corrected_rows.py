"""Corrections of rows whose traces are known: their zero lines, and stretches that are left out or drawn by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ecg_trt.corrections import Corrections, LeftOut, Redrawn
from ecg_trt.errors import OptionError
from ecg_trt.layout import upright
from ecg_trt.page.corrected import row_of
from ecg_trt.types import Array, PageWarning, RectifiedPage, Strip, TraceMap, WarningCode

# Confidence of what is drawn by hand, unless the network's own is higher: just enough to count as seen, so that the
# quality of a lead does not rise by what was not measured.
_DRAWN_CONFIDENCE = 0.55
_TEXTS = {
    WarningCode.LEFT_OUT_BY_HAND: "Left out by hand: {stretches}.",
    WarningCode.REDRAWN_BY_HAND: "Drawn by hand: {stretches}. The quality does not rate what was drawn.",
}


def with_zero_lines(strips: Sequence[Strip], zero_lines: Mapping[int, float]) -> tuple[Strip, ...]:
    """Move the zero lines of some rows.

    Args:
        strips: rows of the page.
        zero_lines: row to page mm.

    Raises:
        OptionError: the page has no such row.
    """
    out = list(strips)
    for row, y_mm in zero_lines.items():
        out[row] = replace(row_of(strips, row), zero_y_mm=y_mm)
    return tuple(out)


def corrected_trace(
    page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap, corrections: Corrections
) -> TraceMap:
    """Replace what was drawn by hand in a trace, then remove what is left out.

    Args:
        page: frame of the trace.
        strips: rows of the page.
        trace: as it was read.
        corrections: with `redrawn` and `left_out`.

    Raises:
        OptionError: the page has no such row, or the row ends before the stretch begins.
    """
    ridge, confidence = trace.ridge_row.copy(), trace.confidence.copy()
    x_mm = page.x_mm(np.arange(ridge.shape[1]))
    for drawn in corrections.redrawn:
        inside = _columns(x_mm, strips, drawn)
        ridge[drawn.row, inside] = page.row(np.interp(x_mm[inside], drawn.x_mm, drawn.y_mm))
        confidence[drawn.row, inside] = np.maximum(confidence[drawn.row, inside], _DRAWN_CONFIDENCE)
    for stretch in corrections.left_out:
        inside = _columns(x_mm, strips, stretch)
        ridge[stretch.row, inside], confidence[stretch.row, inside] = np.nan, 0.0
    return replace(trace, ridge_row=ridge, confidence=confidence)


def _columns(x_mm: Array, strips: Sequence[Strip], stretch: LeftOut | Redrawn) -> Array:
    """Mask the columns of a stretch."""
    strip = row_of(strips, stretch.row)
    first, last = stretch.x_mm[0], stretch.x_mm[-1]
    if last <= strip.x_mm[0] or first >= strip.x_mm[1]:
        raise OptionError(
            "A stretch cannot be corrected", got=f"{first:g} to {last:g} mm in row {stretch.row}",
            expected=f"a part of {strip.x_mm[0]:.1f} to {strip.x_mm[1]:.1f} mm",
            hint="Places are page mm of the reading that is corrected.",
        )  # fmt: skip
    return np.asarray((x_mm >= first) & (x_mm <= last))


def changed_leads(strips: Sequence[Strip], corrections: Corrections) -> tuple[str, ...]:
    """List the leads whose name, zero line or trace was corrected, in the order of the page."""
    by_hand = _lengths_mm(strips, (*corrections.left_out, *corrections.redrawn))
    return tuple(dict.fromkeys(
        upright(segment.lead)[0]
        for row, strip in enumerate(strips)
        for column, segment in enumerate(strip.segments)
        if (row, column) in corrections.names or row in corrections.zero_lines or upright(segment.lead)[0] in by_hand
    ))  # fmt: skip


def by_hand_warnings(strips: Sequence[Strip], corrections: Corrections, speed: float) -> Iterator[PageWarning]:
    """Name the leads of which something was left out or drawn by hand, and for how long.

    Args:
        strips: named rows.
        corrections: with `left_out` and `redrawn`.
        speed: mm/s.
    """
    for code, stretches in (
        (WarningCode.LEFT_OUT_BY_HAND, corrections.left_out),
        (WarningCode.REDRAWN_BY_HAND, corrections.redrawn),
    ):
        lengths = _lengths_mm(strips, stretches)
        if lengths:
            parts = ", ".join(f"{mm / speed:.2f} s of {lead}" for lead, mm in lengths.items())
            yield PageWarning(code, _TEXTS[code].format(stretches=parts))


def _lengths_mm(strips: Sequence[Strip], stretches: Sequence[LeftOut | Redrawn]) -> dict[str, float]:
    """Add up the lengths that stretches cover of each lead."""
    lengths: dict[str, float] = {}
    for stretch in stretches:
        for segment in strips[stretch.row].segments:
            covered = min(stretch.x_mm[-1], segment.x_mm[1]) - max(stretch.x_mm[0], segment.x_mm[0])
            if covered > 0:
                lead = upright(segment.lead)[0]
                lengths[lead] = lengths.get(lead, 0.0) + covered
    return lengths
