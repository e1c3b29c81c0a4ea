"""Names of leads as they are printed, read letter by letter.

Stage 1 sees the names of known leads at a scale at which they are hardly legible, and `page.naming` fits layouts to them.
Here each name is read for itself. Where several names contradict the layout, the page prints its leads in another order
or under other names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecg_trt.layout import LAYOUTS, STANDARD_RECORD_SECONDS, STRIPS, Layout, is_unnamed, unnamed, upright
from ecg_trt.page.naming import Naming, name_places
from ecg_trt.printed import Line, lead_of
from ecg_trt.types import Array, Strip

_LEGIBLE = 0.8  # Least probability of a name's letters at which it counts as read.
_REACH_MM = 5.0  # Error of a name's expected place at most.
# Log-odds of other names than those of a known layout: of a page in another order, of a rhythm strip of another lead,
# and of a strip of a page without a known layout.
_OTHER_ORDER, _OTHER_RHYTHM, _ANY_STRIP = -5.0, -1.0, 0.0
_MISREAD = 0.05  # Probability that a legible name is misread.


@dataclass(frozen=True, slots=True)
class _Cell:
    """Segment of a strip with the name that it has, and the one that is read there, "" where none is."""

    strip: int
    name: str
    read: str
    probability: float
    is_alone: bool

    @property
    def log_odds(self) -> float:
        """Log-odds of the read name against the one that it has."""
        if not self.read or upright(self.read)[0] == upright(self.name)[0]:
            return 0.0
        return float(np.log(max(self.probability, _MISREAD) / _MISREAD))


def read_names(
    naming: Naming, label: Array, strips: Sequence[Strip], line_at: Callable[[Array], Line]
) -> tuple[Naming, tuple[Strip, ...]]:
    """Read the printed names, and rename the strips where they tell clearly.

    Args:
        naming: of the page.
        label: (words, H, W) map of the words of `layout.MARKED_WORDS`.
        strips: its strips, with their segments as they are now.
        line_at: reads the line of text through a place (x, y), page mm.

    Returns:
        The naming, of another layout where the names are another's, and the strips.
    """
    cells = _cells(strips, label, line_at)
    several = [cell for cell in cells if not cell.is_alone]
    alone_prior = _OTHER_RHYTHM if naming.is_known else _ANY_STRIP
    takes_order = sum(cell.log_odds for cell in several) + (_OTHER_ORDER if naming.is_known else _ANY_STRIP) > 0
    if naming.is_known and not naming.layout.rhythm_rows and not several:  # Each row is a lead of the layout.
        alone_prior = 0.0 if sum(cell.log_odds for cell in cells) + _OTHER_ORDER > 0 else -np.inf
    taken = [
        cell.log_odds > 0 and (takes_order if not cell.is_alone else cell.log_odds + alone_prior > 0) for cell in cells
    ]
    if not any(taken):
        return naming, tuple(strips)
    names = _without_copies(cells, taken)
    rest = iter(names)
    named = tuple(replace(s, segments=tuple(replace(g, lead=next(rest)) for g in s.segments)) for s in strips)
    rows = tuple(tuple(g.lead for g in s.segments) for s in named)
    is_rhythm_alone = (
        naming.is_known
        and bool(several)
        and not any(take for take, cell in zip(taken, cells, strict=True) if not cell.is_alone)
    )
    if is_rhythm_alone:
        return naming, named
    known = next((layout for layout in LAYOUTS.values() if layout.rows == rows), None)
    seconds = tuple(tuple(STANDARD_RECORD_SECONDS / len(row) for _ in row) for row in rows)
    layout = known or Layout(STRIPS, rows, seconds)
    return replace(naming, layout=layout, missing=()), named


def _cells(strips: Sequence[Strip], label: Array, line_at: Callable[[Array], Line]) -> list[_Cell]:
    """Read the name of every segment whose place is known."""
    places = iter(name_places(strips, label))
    cells = []
    for k, strip in enumerate(strips):
        for segment in strip.segments:
            place = next(places)
            word, probability = "", 0.0
            if np.isfinite(place).all():
                word, probability = line_at(place).word_at(float(place[0]), _REACH_MM)
            lead = lead_of(word) if probability > _LEGIBLE else None
            cells.append(_Cell(k, segment.lead, lead or "", probability, len(strip.segments) == 1))
    return cells


def _without_copies(cells: Sequence[_Cell], taken: Sequence[bool]) -> list[str]:
    """Names of all cells; of two that are alike, one in a row of its own may repeat the other, else the surer has it."""
    names = [cell.read if take else cell.name for cell, take in zip(cells, taken, strict=True)]
    order = sorted(range(len(cells)), key=lambda k: (cells[k].is_alone, -cells[k].probability * taken[k]))
    has_columns = any(not cell.is_alone for cell in cells)
    used: set[str] = set()
    for k in order:
        lead = upright(names[k])[0]
        if lead in used and not (cells[k].is_alone and has_columns):
            names[k] = unnamed(k)
        used.add(lead)
    return names


def shared_name(strips: Sequence[Strip], lead: str | None) -> tuple[Strip, ...]:
    """Give a lead that the caption names to strips that carry none."""
    if lead is None:
        return tuple(strips)
    return tuple(
        replace(s, segments=tuple(replace(g, lead=lead) if is_unnamed(g.lead) else g for g in s.segments))
        for s in strips
    )
