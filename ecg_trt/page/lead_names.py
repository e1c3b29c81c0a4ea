"""Names of leads as they are printed, read letter by letter.

Stage 1 sees names at a scale at which they are hardly legible, and `page.naming` fits layouts to them.
Here each name is read for itself. Where several names contradict the layout, the page prints its leads in another order
or under other names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ecg_trt.layout import (
    INVERTED_AVR,
    LEAD_WORDS,
    STANDARD_RECORD_SECONDS,
    STRIPS,
    Layout,
    is_unnamed,
    layout_of,
    unnamed,
)
from ecg_trt.page.name_places import name_places
from ecg_trt.page.naming import Naming
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
    shares = _shares(name_places(naming.strips, label), line_at)
    if is_given:
        return replace(naming, legible=_legible(shares.sum(1)))
    names = _Names(naming, shares)
    best, found, uncertainty = names.best()
    naming = replace(naming, legible=_legible(found), probability=naming.probability * (1 - uncertainty))
    if (best == names.printed).all():
        return naming
    given = [own if b == k else _name_of(int(b)) for own, b, k in zip(names.own, best, names.printed, strict=True)]
    renamed = iter([unnamed(k) if is_unnamed(name) else name for k, name in enumerate(given)])  # No two alike.
    strips = tuple(s.with_leads([next(renamed) for _ in s.segments]) for s in naming.strips)
    if (best[names.order] == names.kept[names.order]).all():
        return replace(naming, strips=strips)
    rows = tuple(s.leads for s in strips)
    seconds = tuple((STANDARD_RECORD_SECONDS / len(row),) * len(row) for row in rows)
    return replace(naming, layout=layout_of(rows) or Layout(STRIPS, rows, seconds), missing=(), strips=strips)


class _Names:
    """Names of a page's segments, and what is read beside them.

    Columns are those of `_log_likelihoods`: a lead's name, or none of them.

    Attributes:
        own: names of the naming.
        printed: (n,) their columns.
        kept: (n,) likewise, with the sign of aVR that is read.
        order: segments that are no rhythm strips.
    """

    def __init__(self, naming: Naming, shares: Array) -> None:
        self.is_known, self.shares = naming.is_known, shares
        segments = [(row, column, strip) for row, strip in enumerate(naming.strips)
                    for column in range(len(strip.segments))]  # fmt: skip
        self.own = [strip.segments[column].lead for _, column, strip in segments]
        self.places = [(row, column, len(strip.segments)) for row, column, strip in segments]
        likely = _log_likelihoods(shares)
        # The names of a layout stand or fall together; those of strips were seen one by one.
        likely[:, len(LEAD_WORDS) :] += 0.0 if self.is_known else _NONE
        self.printed = np.array([_columns_of(name, k) for k, name in enumerate(self.own)])
        self.kept = _with_sign_of_avr(self.printed, likely)
        certain = np.where(self.kept < len(LEAD_WORDS), _TIE if self.is_known else _KEPT, 0.0)
        likely[np.arange(len(self.own)), self.kept] += certain
        self.likely = likely
        most = max(count for *_, count in self.places)
        self.rhythm = np.array([k for k, (*_, count) in enumerate(self.places) if count == 1 < most], int)
        self.order = np.setdiff1d(np.arange(len(self.own)), self.rhythm)

    def best(self) -> tuple[Array, Array, float]:
        """Choose the likeliest names.

        Returns:
            Their columns (n,); the probability (n,) that a legible name is printed at each place, NaN where no text
            is seen: the layout's, if it is held; and the probability that the choice is wrong.
        """
        best, found, order = self.kept.copy(), self.shares.sum(1), self.order
        for k in self.rhythm:
            choice = int(self.likely[k].argmax())
            gain = self.likely[k, choice] - self.likely[k, self.kept[k]]
            best[k] = choice if gain + _OTHER_RHYTHM * self.is_known > 0 else self.kept[k]
        if not self.is_known:
            best[order] = _assigned(self.likely[order])
            return best, found, 0.0
        is_other = self.kept[order, None] != np.arange(self.likely.shape[1])
        in_other_order = self.likely[order] + _OTHER_NAME * is_other
        other = _assigned(in_other_order)
        shown = max((self._shown(shift) for shift in (0, -1, 1)), key=lambda rows: rows[1])
        log_odds = _OTHER_ORDER + float(in_other_order[np.arange(len(order)), other].sum()) - shown[1]
        uncertainty = float(1 / (1 + np.exp(abs(log_odds)))) if (other != self.kept[order]).any() else 0.0
        if log_odds > 0:
            best[order] = other
        else:
            found = np.where(np.isnan(found), np.nan, self._share_of(shown[0]))
        return best, found, uncertainty

    def _shown(self, shift: int) -> tuple[Array, float]:
        """Names (n,) of the layout that stand at each place if each stands some rows away from its own.

        Where rows are dense, a name may stand nearer to the row above or below its own.

        Returns:
            Columns, and their log-likelihood.
        """
        columns = np.arange(len(self.own)) + len(LEAD_WORDS)
        for k, (row, column, count) in enumerate(self.places):
            other = (row + shift, column, count)
            if other in self.places:
                columns[k] = self.kept[self.places.index(other)]
        likely = self.likely[self.order, columns[self.order]]
        return columns, float(likely.sum()) + _SHIFTED_ROWS * abs(shift)

    def _share_of(self, columns: Array) -> Array:
        """Probability (n,) of the names of some columns, 0 for none."""
        is_lead = columns < len(LEAD_WORDS)
        return np.where(is_lead, self.shares[np.arange(len(columns)), np.where(is_lead, columns, 0)], 0.0)


def _with_sign_of_avr(named: Array, likely: Array) -> Array:
    """Take -aVR for aVR, or aVR for -aVR, where that is what is read; columns as of `_columns_of`."""
    plus, minus = LEAD_WORDS.index("aVR"), LEAD_WORDS.index(INVERTED_AVR)
    inverted = {plus: minus, minus: plus}
    return np.array([
        inverted[k] if k in inverted and row[inverted[k]] > row[k] + _OTHER_SIGN else k
        for k, row in zip(named.tolist(), likely, strict=True)
    ])  # fmt: skip


def _shares(places: Array, line_at: Callable[[Array], Line]) -> Array:
    """Probability (n, leads) of each lead's name at each place, NaN where no text is seen."""
    out = np.full((len(places), len(LEAD_WORDS)), np.nan)
    for row, place in zip(out, places, strict=True):
        if np.isfinite(place).all():
            row[:] = line_at(place).leads_at(float(place[0]), _REACH_MM)
    return out


def _legible(found: Array) -> float:
    """Log-odds of legible names against print that is none, or seen the wrong way.

    Args:
        found: (n,) probability of a name at each place, NaN where no text is seen.
    """
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
    return _legible(_shares(name_places(strips, label)[behind], line_at).sum(1))


def with_shared_name(naming: Naming, lead: str | None) -> Naming:
    """Give a lead that the caption names to all strips of a page that names none."""
    if lead is None:
        return naming
    return replace(naming, strips=tuple(s.with_leads([lead] * len(s.segments)) for s in naming.strips))
