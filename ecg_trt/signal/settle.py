"""What the traces themselves say about names and places that the page left in doubt.

By the laws of the limb leads: aVR or -aVR, and rows slanted against the grid. By repetition: a rhythm strip's lead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ecg_trt.layout import INVERTED_AVR, LEADS, upright
from ecg_trt.signal.limb_leads import LIMB, unlawful
from ecg_trt.signal.resample import seen_columns
from ecg_trt.types import Array, RectifiedPage, Strip, TraceMap

_CLEARLY = 0.2  # ratio of what the laws leave over, squared, at which one sign is clearly right
_SLANTS = np.arange(-14, 15) * 1e-3  # mm by which rows may start later for each mm further down
_STRAIGHTER = 0.6  # ratio at which a slant is believed
_REPEATED, _DIFFERENT = 0.15, 0.4  # shares of the variance by which two prints of one lead, and of two leads, differ
_LEAST_COLUMNS = 100
_END_MM = 1.5  # left out at the ends of leads, where neighbours are


def settle_avr(page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap) -> tuple[Strip, ...]:
    """The strips with aVR named as it is printed, upright or as -aVR, if the leads printed beside it leave no doubt."""
    for rows, x_mm in _columns(strips):
        limb = _heights(page, strips, trace, rows, x_mm, 0.0)
        turned = limb * np.where(np.array(LEADS[:LIMB]) == "aVR", -1.0, 1.0)[:, None]
        if "aVR" in rows and unlawful(turned) < _CLEARLY * unlawful(limb):
            named = {"aVR": INVERTED_AVR, INVERTED_AVR: "aVR"}
            return tuple(
                replace(s, segments=tuple(replace(g, lead=named.get(g.lead, g.lead)) for g in s.segments))
                for s in strips
            )
    return tuple(strips)


def settle_slant(page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap) -> tuple[Strip, ...]:
    """The strips, each begun where it was printed at the same time as the others.

    Paper that runs obliquely through the printer has its rows shifted against its grid, the lower the further.
    """
    columns = list(_columns(strips))
    left_over = np.array([
        np.sum([unlawful(_heights(page, strips, trace, *column, slant)) for column in columns]) for slant in _SLANTS
    ])  # fmt: skip
    if not columns or not np.isfinite(left_over).all():
        return tuple(strips)
    if left_over.min() > _STRAIGHTER * left_over[len(_SLANTS) // 2]:
        return tuple(strips)
    slant = float(_SLANTS[left_over.argmin()])
    return tuple(s.moved(slant * (s.zero_y_mm - _middle(strips))) for s in strips)


def settle_rhythm(page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap) -> tuple[Strip, ...]:
    """The strips, a rhythm strip named after the lead that it repeats, if it plainly repeats another than it is named.

    A rhythm strip that shows another time than the columns repeats none of them and keeps its name.
    """
    prints = [(g, k) for k, strip in enumerate(strips) if len(strip.segments) > 1 for g in strip.segments]
    out = []
    for k, strip in enumerate(strips):
        if len(strip.segments) == 1 and strip.segments[0].lead in LEADS and prints:
            differs = {g.lead: _difference(page, strips, trace, k, row, g.x_mm) for g, row in prints}
            repeated = min(differs, key=lambda lead: differs[lead])
            own = differs.get(strip.segments[0].lead, np.nan)
            if own > _DIFFERENT and differs[repeated] < _REPEATED and repeated in LEADS:
                strip = replace(strip, segments=(replace(strip.segments[0], lead=repeated),))
        out.append(strip)
    return tuple(out)


def _difference(page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap, a: int, b: int,
                x_mm: tuple[float, float]) -> float:  # fmt: skip
    """Variance of the difference of two strips within a span, in units of the smaller of theirs; 9 if unseen."""
    pair = np.stack([_row(page, strips, trace, k, _inside(page, x_mm), 0.0) for k in (a, b)])
    pair = pair[:, np.isfinite(pair).all(0)]
    least = pair.var(1).min() if pair.shape[1] >= _LEAST_COLUMNS else 0.0
    return float(np.diff(pair, axis=0).var() / least) if least > 0 else 9.0


def _middle(strips: Sequence[Strip]) -> float:
    return float(np.mean([s.zero_y_mm for s in strips]))


def _columns(strips: Sequence[Strip]) -> Iterator[tuple[dict[str, tuple[int, float]], tuple[float, float]]]:
    """Limb leads that are printed one above the other: the strip and the sign of each, and their span, page mm."""
    columns: dict[tuple[float, float], dict[str, tuple[int, float]]] = defaultdict(dict)
    for k, strip in enumerate(strips):
        for segment in strip.segments:
            lead, sign = upright(segment.lead)
            if lead in LEADS[:LIMB]:
                columns[segment.x_mm].setdefault(lead, (k, sign))
    for x_mm, rows in columns.items():
        if len(rows) >= 3:
            yield rows, x_mm


def _heights(page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap, rows: dict[str, tuple[int, float]],
             x_mm: tuple[float, float], slant: float) -> Array:  # fmt: skip
    """(6, n) mm of the limb leads of one column, at the same time if the rows have that slant; NaN = not seen."""
    at = _inside(page, x_mm)
    limb = np.full((LIMB, len(at)), np.nan)
    for lead, (k, sign) in rows.items():
        limb[LEADS.index(lead)] = sign * _row(page, strips, trace, k, at, slant)
    return limb


def _inside(page: RectifiedPage, x_mm: tuple[float, float]) -> Array:
    """Columns of the page within a span, but for its ends."""
    low, high = ((x - page.origin_mm[0]) * page.px_per_mm[0] for x in (x_mm[0] + _END_MM, x_mm[1] - _END_MM))
    return np.arange(low, high)


def _row(page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap, k: int, at: Array, slant: float) -> Array:
    """(n,) mm above the zero line of strip k at the time of those columns, NaN = not seen."""
    y = np.where(seen_columns(trace.confidence[k]), page.y_mm(trace.ridge_row[k]), np.nan)
    shifted = at + slant * (strips[k].zero_y_mm - _middle(strips)) * page.px_per_mm[0]
    return np.asarray(strips[k].zero_y_mm - np.interp(shifted, np.arange(len(y)), y))
