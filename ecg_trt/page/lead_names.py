"""Names of leads as they are printed, read letter by letter.

Stage 1 sees names at a scale at which they are hardly legible, and `page.naming` fits layouts to them.
Here each name is read for itself. Where several names contradict the layout, the page prints its leads in another order
or under other names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from ecg_trt.layout import (
    INVERTED_AVR,
    LAYOUTS,
    LEAD_WORDS,
    STANDARD_RECORD_SECONDS,
    STRIPS,
    Layout,
    is_unnamed,
    unnamed,
)
from ecg_trt.page.naming import Naming, name_places
from ecg_trt.printed import Line
from ecg_trt.types import Array, Strip

_REACH_MM = 6.0  # Around the expected middle of a name, in which it stands alone.
_MISREAD = 0.02  # Probability of each name where the text is none, or misread.
# Log-odds of other names than those of a known layout: of a page in another order, and of a rhythm strip of another
# lead. A page of no known layout may carry any.
_OTHER_ORDER, _OTHER_RHYTHM = -5.0, -1.0
_OTHER_NAME = -1.5  # Log-odds of each name that a page in another order prints where a known layout prints its own.
_OTHER_SIGN = 1.4  # Log-odds at which -aVR is taken for aVR; the limb leads have the last word.
_SHIFTED_ROWS = -2.0  # Log-odds of names that stand nearer to the next row than to their own.
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
    shares = _shares(name_places(strips, label), line_at)
    naming = replace(naming, legible=_legible(shares))
    if is_given:
        return naming
    likely = _log_likelihoods(shares)
    # The names of a layout stand or fall together; those of strips were seen one by one.
    likely[:, len(LEAD_WORDS) :] += 0.0 if naming.is_known else _NONE
    named = np.array([_columns_of(name, k) for k, name in enumerate(names)])
    kept = _with_sign_of_avr(named, likely)
    likely[np.arange(len(names)), kept] += np.where(kept < len(LEAD_WORDS), _TIE if naming.is_known else _KEPT, 0.0)
    best, uncertainty = kept.copy(), 0.0
    in_row = [len(strip.segments) for strip in strips for _ in strip.segments]
    rhythm = np.array([n == 1 < max(in_row) for n in in_row], bool)
    for k in np.flatnonzero(rhythm):
        choice = int(likely[k].argmax())
        gain = likely[k, choice] - likely[k, kept[k]]
        best[k] = choice if gain + _OTHER_RHYTHM * naming.is_known > 0 else kept[k]
    order = np.flatnonzero(~rhythm)
    is_other = kept[order, None] != np.arange(likely.shape[1])
    choices = _assigned(likely[order] + _OTHER_NAME * naming.is_known * is_other)
    other = float((likely[order, choices] + _OTHER_NAME * naming.is_known * (choices != kept[order])).sum())
    if naming.is_known and (choices != kept[order]).any():
        log_odds = other + _OTHER_ORDER - max(_own(strips, likely, kept, order))
        uncertainty = float(1 / (1 + np.exp(abs(log_odds))))
        choices = choices if log_odds > 0 else kept[order]
    best[order] = choices
    naming = replace(naming, probability=naming.probability * (1 - uncertainty))
    if (best == named).all():
        return naming
    given = [name if b == k else _name_of(int(b)) for name, b, k in zip(names, best, named, strict=True)]
    renamed = iter([unnamed(k) if is_unnamed(name) else name for k, name in enumerate(given)])  # No two alike.
    strips = tuple(replace(s, segments=tuple(replace(g, lead=next(renamed)) for g in s.segments)) for s in strips)
    if (best[order] == kept[order]).all():
        return replace(naming, strips=strips)
    rows = tuple(tuple(g.lead for g in s.segments) for s in strips)
    known = next((layout for layout in LAYOUTS.values() if layout.rows == rows), None)
    seconds = tuple((STANDARD_RECORD_SECONDS / len(row),) * len(row) for row in rows)
    return replace(naming, layout=known or Layout(STRIPS, rows, seconds), missing=(), strips=strips)


def _with_sign_of_avr(named: Array, likely: Array) -> Array:
    """Take -aVR for aVR, or aVR for -aVR, where that is what is read; columns as of `_columns_of`."""
    plus, minus = LEAD_WORDS.index("aVR"), LEAD_WORDS.index(INVERTED_AVR)
    inverted = {plus: minus, minus: plus}
    return np.array([
        inverted[k] if k in inverted and row[inverted[k]] > row[k] + _OTHER_SIGN else k
        for k, row in zip(named.tolist(), likely, strict=True)
    ])  # fmt: skip


def _own(strips: Sequence[Strip], likely: Array, kept: Array, order: Array) -> Iterator[float]:
    """Yield the log-likelihood of the names of a layout, where they are expected and a row farther up or down.

    Where rows are dense, a name may stand nearer to the row above or below its own.

    Args:
        strips: named strips.
        likely: log-likelihoods (n, leads + n) of names.
        kept: (n,) columns of the names of the layout.
        order: segments that count.
    """
    places = [(k, n, len(strip.segments)) for k, strip in enumerate(strips) for n in range(len(strip.segments))]
    for shift in (0, -1, 1):
        total = _SHIFTED_ROWS * abs(shift)
        for segment in order.tolist():
            row, column, count = places[segment]
            other = (row + shift, column, count)
            shown = kept[places.index(other)] if other in places else len(LEAD_WORDS) + segment
            total += float(likely[segment, shown])
        yield total


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
