"""Correction of names and positions of strips by the traces themselves.

The consistency of the limb leads decides between aVR and -aVR, and shows rows that are slanted against the grid. A
rhythm strip's lead shows by repetition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ecg_trt.layout import INVERTED_AVR, LEADS, upright
from ecg_trt.signal.limb_leads import LIMB, einthoven_residual
from ecg_trt.signal.resample import valid_columns
from ecg_trt.types import Array, RectifiedPage, Strip, TraceMap

_CLEARLY = 0.2  # Ratio of the residual energies of both signs of aVR at which one is clearly right.
_MOST_RESIDUAL = 0.05  # Of the energy, beyond which limb leads do not follow the laws at all.
_SLANTS = np.arange(-14, 15) * 1e-3  # Millimetres by which rows may start later for each mm further down.
_STRAIGHTER = 0.6  # Ratio of the residual energies with and without a slant at which it is accepted.
# Variance of the difference of two prints, as a share of their own: at most for one lead, at least for two.
_REPEATED, _DIFFERENT = 0.15, 0.4
_SHIFTS_MM = np.arange(-2.0, 2.25, 0.25)  # Between two prints of one time.
_LEAST_MM = 10.0  # Length that two prints must share to be compared.
_ONE_COLUMN_MM = 2.0  # Difference of the ends of leads that are printed in one column; rows may be slightly oblique.
_EVERY = 4  # Columns, 0.2 mm, from one that is compared to the next.
_UNLIKE = 9.0  # Most that two prints are said to differ by.
_END_MM = 1.5  # Left out at the ends of leads, where the neighbouring lead may reach in.


def settle_avr(page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap) -> tuple[Strip, ...]:
    """Rename aVR to -aVR, or back, where the limb leads printed beside it are clearly consistent only then."""
    seen = _seen_rows(page, trace)
    for rows, x_mm in _columns(strips):
        limb = _heights(page, strips, seen, rows, x_mm)[0]
        turned = limb * np.where(np.array(LEADS[:LIMB]) == "aVR", -1.0, 1.0)[:, None]
        residual = einthoven_residual(turned)
        if "aVR" in rows and residual < min(_MOST_RESIDUAL, _CLEARLY * einthoven_residual(limb)):
            named = {"aVR": INVERTED_AVR, INVERTED_AVR: "aVR"}
            return tuple(s.with_leads(named.get(lead, lead) for lead in s.leads) for s in strips)
    return tuple(strips)


def settle_order(
    page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap, order: Sequence[str]
) -> tuple[Strip, ...]:
    """Rename rows of one lead each by the next or the last name, where the limb leads are clearly consistent only then.

    Names that are printed midway between rows belong to those above or below, which a page of which a row is cut off
    does not show.

    Args:
        page: frame of the trace.
        strips: named strips.
        trace: rows of the pen.
        order: names in the order in which the layout prints them, one a row.
    """
    names = [strip.segments[0].lead for strip in strips]
    if (
        any(len(strip.segments) != 1 for strip in strips)
        or len(set(order)) < len(order)
        or not set(names) <= set(order)
    ):
        return tuple(strips)
    seen, own = _seen_rows(page, trace), [order.index(name) for name in names]
    inside = min(s.x_mm[1] for s in strips), max(s.x_mm[0] for s in strips)

    def residual(shift: int) -> float:
        rows = {upright(order[k + shift])[0]: (row, upright(order[k + shift])[1]) for row, k in enumerate(own)}
        limb = {lead: place for lead, place in rows.items() if lead in LEADS[:LIMB]}
        return einthoven_residual(_heights(page, strips, seen, limb, inside[::-1])[0]) if len(limb) > 3 else np.inf

    shifts = [shift for shift in (-1, 1) if min(own) + shift >= 0 and max(own) + shift < len(order)]
    best = min(shifts, key=residual, default=0)
    if best and residual(best) < min(_MOST_RESIDUAL, _CLEARLY * residual(0)):
        return tuple(s.with_leads([order[k + best]]) for s, k in zip(strips, own, strict=True))
    return tuple(strips)


def settle_slant(page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap) -> tuple[Strip, ...]:
    """Shift the strips so that all begin at the same time.

    Paper that runs obliquely through the printer has its rows shifted against its grid, and lower rows more than
    upper ones.
    """
    columns, seen = list(_columns(strips)), _seen_rows(page, trace)
    heights = [_heights(page, strips, seen, *column, _SLANTS) for column in columns]
    residual = np.sum([[einthoven_residual(limb) for limb in of_column] for of_column in heights], 0)
    if not columns or not np.isfinite(residual).all():
        return tuple(strips)
    if residual.min() > _STRAIGHTER * residual[len(_SLANTS) // 2]:
        return tuple(strips)
    slant = float(_SLANTS[residual.argmin()])
    return tuple(s.moved(slant * (s.zero_y_mm - _middle(strips))) for s in strips)


def settle_rhythm(page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap) -> tuple[Strip, ...]:
    """Rename a rhythm strip that clearly repeats another lead than its name says.

    A rhythm strip that shows another time than the columns repeats none of them and keeps its name.
    """
    seen = _seen_rows(page, trace)
    prints = {g.lead: (k, g.x_mm) for k, strip in enumerate(strips) if len(strip.segments) > 1 for g in strip.segments}
    out = []
    for k, strip in enumerate(strips):
        own = prints.get(strip.leads[0]) if len(strip.leads) == 1 and strip.leads[0] in LEADS else None
        if own is not None and _difference(page, strips, seen, k, *own) > _DIFFERENT:
            differs = {lead: _difference(page, strips, seen, k, *place) for lead, place in prints.items()}
            repeated = min(differs, key=lambda lead: differs[lead])
            if differs[repeated] < _REPEATED and repeated in LEADS:
                strip = strip.with_leads([repeated])
        out.append(strip)
    return tuple(out)


def _difference(page: RectifiedPage, strips: Sequence[Strip], seen: Array, a: int, b: int,
                x_mm: tuple[float, float]) -> float:  # fmt: skip
    """Variance of the difference of two strips within a span, over the smaller of the two; at most 9, as if unseen.

    It is that of the shift at which it is least, as rows may run obliquely.
    """
    at = _inside(page, x_mm)
    shifted = at + _SHIFTS_MM[:, None] * page.px_per_mm[0]
    first, other = np.broadcast_arrays(
        _row(seen[a], strips[a].zero_y_mm, at), _row(seen[b], strips[b].zero_y_mm, shifted)
    )
    both = np.isfinite(first) & np.isfinite(other)
    is_enough = both.sum(1) >= _LEAST_MM * page.px_per_mm[0] / _EVERY
    first, other, both = (rows[is_enough] for rows in (first, other, both))
    least = np.minimum(first.var(1, where=both), other.var(1, where=both))
    ratio = (first - other).var(1, where=both)[least > 0] / least[least > 0]
    return float(ratio.min(initial=_UNLIKE))


def _middle(strips: Sequence[Strip]) -> float:
    return float(np.mean([s.zero_y_mm for s in strips]))


def _columns(strips: Sequence[Strip]) -> Iterator[tuple[dict[str, tuple[int, float]], tuple[float, float]]]:
    """Group limb leads that are printed one above the other: strip and sign of each, and their span in page mm."""
    columns: dict[tuple[float, float], dict[str, tuple[int, float]]] = {}
    for k, strip in enumerate(strips):
        for segment in strip.segments:
            lead, sign = upright(segment.lead)
            if lead in LEADS[:LIMB]:
                x_mm = next((x for x in columns if np.allclose(x, segment.x_mm, 0, _ONE_COLUMN_MM)), segment.x_mm)
                columns.setdefault(x_mm, {}).setdefault(lead, (k, sign))
    for x_mm, rows in columns.items():
        if len(rows) >= 3:
            yield rows, x_mm


def _heights(page: RectifiedPage, strips: Sequence[Strip], seen: Array, rows: dict[str, tuple[int, float]],
             x_mm: tuple[float, float], slants: Array | float = 0.0) -> Array:  # fmt: skip
    """Heights (slants, 6, n) of one column's limb leads, mm, simultaneous for rows of each slant; NaN = not seen."""
    at, slant = _inside(page, x_mm), np.atleast_1d(slants)[:, None]
    limb = np.full((len(slant), LIMB, len(at)), np.nan)
    middle = _middle(strips)
    for lead, (k, sign) in rows.items():
        zero = strips[k].zero_y_mm
        limb[:, LEADS.index(lead)] = sign * _row(seen[k], zero, at + slant * (zero - middle) * page.px_per_mm[0])
    return limb


def _inside(page: RectifiedPage, x_mm: tuple[float, float]) -> Array:
    """Every fourth column of the page within a span, except at its ends."""
    return np.arange(page.column(x_mm[0] + _END_MM), page.column(x_mm[1] - _END_MM), _EVERY)


def _seen_rows(page: RectifiedPage, trace: TraceMap) -> Array:
    """Page mm (strips, W) of the pen in every column of every strip, NaN = not seen."""
    there = [valid_columns(confidence, page.px_per_mm[0]) for confidence in trace.confidence]
    return np.where(np.reshape(there, trace.ridge_row.shape), page.y_mm(trace.ridge_row), np.nan)


def _row(row: Array, zero_y_mm: float, at: Array) -> Array:
    """Heights above the zero line of a strip at some columns of its `_seen_rows`, mm, NaN = not seen."""
    return np.asarray(zero_y_mm - np.interp(at, np.arange(len(row), dtype=np.float64), row))
