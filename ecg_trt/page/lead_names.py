"""Names of leads as they are printed, read letter by letter.

Stage 1 sees names at a scale at which they are hardly legible, and `page.naming` fits layouts to them.
Here each name is read for itself. Where several names contradict the layout, the page prints its leads in another order
or under other names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ecg_trt.layout import LAYOUTS, LEAD_WORDS, STANDARD_RECORD_SECONDS, STRIPS, Layout, is_unnamed, unnamed
from ecg_trt.page.naming import Naming, name_places
from ecg_trt.printed import Line
from ecg_trt.types import Array, Strip

_REACH_MM = 6.0  # Around the expected middle of a name, in which it stands alone.
_MISREAD = 0.02  # Probability of each name where the text is none, or misread.
# Log-odds of other names than those of a known layout: of a page in another order, and of a rhythm strip of another
# lead. A page of no known layout may carry any.
_OTHER_ORDER, _OTHER_RHYTHM = -5.0, -1.0
_READABLE = 0.6  # Share of printed names that are where they are expected, and legible.
# Log-odds by which a strip's name, or none, is preferred to another that is as likely, and the name of a layout.
_KEPT, _NONE, _TIE = 2.4, 2.3, 1e-3


def read_names(naming: Naming, label: Array, line_at: Callable[[Array], Line], *, is_given: bool = False) -> Naming:
    """Read the printed names, and rename the strips where these are clear.

    The likeliest names, no two alike except for rhythm strips, are compared with those of the naming, and the
    log-likelihoods of what is read add up.

    Args:
        naming: of the page.
        label: (words, H, W) map of the words of `layout.MARKED_WORDS`.
        line_at: reads the line of text through a place (x, y), page mm.
        is_given: the user gives the names, so that only `Naming.legible` follows from what is read.

    Returns:
        The naming with what was read, of another layout where the names are another's.
    """
    strips = naming.strips
    names = [segment.lead for strip in strips for segment in strip.segments]
    in_row = [len(strip.segments) for strip in strips for _ in strip.segments]
    shares = _shares(name_places(strips, label), line_at)
    naming = replace(naming, legible=_legible(shares))
    if is_given:
        return naming
    likely = _log_likelihoods(shares)
    kept = np.array([_columns_of(name, k) for k, name in enumerate(names)])
    # The names of a layout stand or fall together; those of strips were seen one by one.
    none, own = (0.0, _TIE) if naming.is_known else (_NONE, _KEPT)
    likely[:, len(LEAD_WORDS) :] += none
    likely[np.arange(len(names)), kept] += np.where(kept < len(LEAD_WORDS), own, 0.0)
    rhythm = np.array([n == 1 < max(in_row) for n in in_row], bool)
    best = kept.copy()
    for k in np.flatnonzero(rhythm):
        choice = int(likely[k].argmax())
        gain = likely[k, choice] - likely[k, kept[k]]
        best[k] = choice if gain + _OTHER_RHYTHM * naming.is_known > 0 else kept[k]
    order = np.flatnonzero(~rhythm)
    choices = _assigned(likely[order])
    gain = float((likely[order, choices] - likely[order, kept[order]]).sum())
    if gain + _OTHER_ORDER * naming.is_known > 0:
        best[order] = choices
    if (best == kept).all():
        return naming
    given = [name if b == k else _name_of(int(b)) for name, b, k in zip(names, best, kept, strict=True)]
    named = iter([unnamed(k) if is_unnamed(name) else name for k, name in enumerate(given)])  # No two alike.
    strips = tuple(replace(s, segments=tuple(replace(g, lead=next(named)) for g in s.segments)) for s in strips)
    if (best[order] == kept[order]).all():
        return replace(naming, strips=strips)
    rows = tuple(tuple(g.lead for g in s.segments) for s in strips)
    known = next((layout for layout in LAYOUTS.values() if layout.rows == rows), None)
    seconds = tuple((STANDARD_RECORD_SECONDS / len(row),) * len(row) for row in rows)
    return replace(naming, layout=known or Layout(STRIPS, rows, seconds), missing=(), strips=strips)


def _shares(places: Array, line_at: Callable[[Array], Line]) -> Array:
    """Probability (n, leads) of each lead's name at each place, NaN where no text is seen."""
    out = np.full((len(places), len(LEAD_WORDS)), np.nan)
    for row, place in zip(out, places, strict=True):
        if np.isfinite(place).all():
            row[:] = line_at(place).leads_at(float(place[0]), _REACH_MM)
    return out


def _legible(shares: Array) -> float:
    """Log-odds of legible names against print that is none, or seen the wrong way, of `_shares`."""
    found = shares.sum(1)
    return float(np.log(1 - _READABLE + _READABLE * found[np.isfinite(found)] / _MISREAD).sum())


def _log_likelihoods(shares: Array) -> Array:
    """Log-likelihoods (n, leads + n) of each lead's name at each place, and of n times none of them."""
    of_leads = np.log(shares + _MISREAD)
    of_none = np.full((len(shares), len(shares)), np.log(_MISREAD))  # What cannot be read may be any name, or none.
    likely = np.concatenate([of_leads, of_none], 1)
    return np.where(np.isfinite(shares[:, :1]), likely, 0.0)


def _assigned(likely: Array) -> Array:
    """Columns (n,) of the greatest sum, each of them once."""
    from scipy.optimize import linear_sum_assignment

    return np.asarray(linear_sum_assignment(likely, maximize=True)[1])


def _columns_of(name: str, place: int) -> int:
    """Column of a name among the likelihoods; that of none at its place for other names."""
    return LEAD_WORDS.index(name) if name in LEAD_WORDS else len(LEAD_WORDS) + place


def _name_of(column: int) -> str:
    return LEAD_WORDS[column] if column < len(LEAD_WORDS) else unnamed(column - len(LEAD_WORDS))


def named_log_odds(strips: Sequence[Strip], label: Array, line_at: Callable[[Array], Line]) -> float:
    """Log-odds that names are printed where the columns behind the first begin; arguments as of `read_names`."""
    behind = np.array([n > 0 for strip in strips for n in range(len(strip.segments))])
    return _legible(_shares(name_places(strips, label)[behind], line_at))


def with_shared_name(naming: Naming, lead: str | None) -> Naming:
    """Give a lead that the caption names to all strips of a page that names none."""
    if lead is None:
        return naming
    strips = tuple(replace(s, segments=tuple(replace(g, lead=lead) for g in s.segments)) for s in naming.strips)
    return replace(naming, strips=strips)
