"""Names of the strips of a page: every known layout is matched against them, as are the names printed beside them.

Maps are (H, W) float32 in [0, 1], pixel (x, y) is page mm (x, y).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from ecg_trt.layout import (
    INVERTED_AVR,
    LAYOUTS,
    LEADS,
    ROW_LENGTH_TOLERANCE,
    STRIPS,
    Layout,
    column_edges,
    is_unnamed,
    upright,
)
from ecg_trt.page.name_evidence import NamedRow, NameEvidence
from ecg_trt.page.strips import agree_on_span, find_strips, unread_mm
from ecg_trt.stages.rectify import PageHeatmaps
from ecg_trt.types import Array, PageWarning, Segment, Strip, WarningCode

DOUBTFUL_LABELS = 0.15  # Names read the right way up score 0.2 and more, the wrong way up 0.1 and less.
# Log-odds that print cannot be read whichever way it is seen, and of names that stage 1 sees with certainty.
_ILLEGIBLE, _UPRIGHT = -2.3, 20.0
_OTHER_LENGTH = 10.0  # Penalty on each unit of log length by which rows fit another layout's length better.
_AS_LEGIBLE = 0.5  # Least legibility of names with faint rows among them, as a share of that of clear rows alone.
_SHARPNESS = 5.0  # Sharpness of the softmax over scores, at which the probability is calibrated.


@dataclass(frozen=True, slots=True)
class Naming:
    """Layout and names of the strips of a page.

    Attributes:
        layout: the layout that fits best; for a page of no known layout, `layout.STRIPS` and the names read.
        probability: of this layout among all, by a softmax over their scores.
        strips: strips that belong to it, from the top, with their segments.
        missing: leads that the layout prints and no strip shows.
        label_score: mean evidence of the lead names where they are expected, 0..1.
        legible: log-odds of legible names against print seen the wrong way, by `page.lead_names`; 0 before.
        unread_mm: length of rows, and of parts of rows, that are seen on the page and were not read.
    """

    layout: Layout
    probability: float
    strips: tuple[Strip, ...]
    missing: tuple[str, ...]
    label_score: float
    legible: float = 0.0
    unread_mm: float = 0.0

    @property
    def is_known(self) -> bool:
        """True if the page has a known layout."""
        return self.layout.name != STRIPS

    @property
    def leads(self) -> tuple[str, ...]:
        """Leads of the record: those of the layout and others printed beside them, or those of the strips."""
        shown = tuple(dict.fromkeys(upright(s.lead)[0] for strip in self.strips for s in strip.segments))
        expected = self.layout.leads if self.is_known else LEADS if set(LEADS) <= set(shown) else ()
        return (*expected, *(lead for lead in shown if lead not in expected))

    @property
    def upright_log_odds(self) -> float:
        """Log-odds that the page is seen the right way, by the names that are legible and those that stage 1 sees.

        Print that is illegible the right way, too, is no evidence.
        """
        return float(np.logaddexp(self.legible, _ILLEGIBLE)) + _UPRIGHT * self.label_score

    def record_seconds(self, speed_mm_per_s: float) -> float:
        """Length of the record, s: that of the layout, or of the longest strip where that is longer."""
        shown = (
            max((g.x_mm[1] - s.x_mm[0] - g.earlier_mm for s in self.strips for g in s.segments), default=0.0)
            / speed_mm_per_s
        )
        if any(g.earlier_mm for s in self.strips for g in s.segments):
            return shown
        is_whole = self.is_known and shown < (1 + ROW_LENGTH_TOLERANCE) * self.layout.seconds
        return self.layout.seconds if is_whole else shown

    @property
    def is_nameless(self) -> bool:
        """True if no segment carries a name."""
        return all(is_unnamed(segment.lead) for strip in self.strips for segment in strip.segments)

    def with_strips(self, strips: Sequence[Strip]) -> Naming:
        """Copy with other strips of the same layout; what they do not show is missing."""
        shown = {upright(segment.lead)[0] for strip in strips for segment in strip.segments}
        missing = tuple(lead for lead in self.layout.leads if lead not in shown) if self.is_known else ()
        return replace(self, strips=tuple(strips), missing=missing)

    @property
    def longest_mm(self) -> float:
        """Length of the longest strip, 0 if there is none."""
        return max((s.x_mm[1] - s.x_mm[0] for s in self.strips), default=0.0)

    @property
    def median_mm(self) -> float:
        """Median length of the strips, 0 if there is none."""
        return float(np.median([s.x_mm[1] - s.x_mm[0] for s in self.strips])) if self.strips else 0.0

    @property
    def warnings(self) -> Iterator[PageWarning]:
        """Warn of names that differ from those of the record, and of an unknown layout."""
        printed = {s.lead for strip in self.strips for s in strip.segments}
        if INVERTED_AVR in printed:
            yield PageWarning(
                WarningCode.AVR_INVERTED, "The page prints -aVR; it was turned over, and the record holds aVR."
            )
        if self.unread_mm > 0:
            yield PageWarning(
                WarningCode.UNREAD_PRINT,
                f"Print that looks like curves, {self.unread_mm:.0f} mm in all, belongs to no lead and was not read.",
            )
        if not self.is_known:
            yield PageWarning(
                WarningCode.LAYOUT_UNKNOWN,
                "The page shows no known layout of the twelve leads: each strip was read under the name it carries.",
            )


def name_page(heatmaps: PageHeatmaps, layout: str, *, is_scaled: bool) -> Naming | None:
    """Find and name the strips of a page.

    Where a known layout prints more rows than are seen, faint ones are looked for, too.

    Args:
        heatmaps: of the page.
        layout: as of `name_strips`.
        is_scaled: True if a grid gives the scale of the page.

    Returns:
        None if there is no strip.
    """
    naming = _name_rows(heatmaps, layout, find_strips(heatmaps.zero), is_scaled)
    if naming is None or not naming.missing:
        return naming
    faint = _name_rows(heatmaps, naming.layout.name, find_strips(heatmaps.zero, faint=True), is_scaled)
    if faint is None or len(faint.missing) >= len(naming.missing):
        return naming
    if faint.label_score < _AS_LEGIBLE * naming.label_score:
        return naming
    return replace(faint, probability=naming.probability)


def _name_rows(heatmaps: PageHeatmaps, layout: str, found: Sequence[Strip], is_scaled: bool) -> Naming | None:
    strips = agree_on_span(found, heatmaps.start, heatmaps.end, is_scaled=is_scaled)
    naming = name_strips(strips, heatmaps.label, heatmaps.start, layout=layout)
    return naming and replace(naming, unread_mm=unread_mm(found, naming.strips))


def name_strips(strips: Sequence[Strip], label: Array, start: Array, *, layout: str = "auto") -> Naming | None:
    """Match every known layout against the strips, by lead names and segment starts, and take the best.

    Strips and rows are matched in order, from the top; leaving out either has a penalty. A page that is better
    explained by names of its own, each at a penalty, is read strip by strip.

    Args:
        strips: from `find_strips`.
        label: (words, H, W) map of the words of `layout.MARKED_WORDS`.
        start: (H, W) map of segment starts.
        layout: name of a layout, `layout.STRIPS`, or "auto".

    Returns:
        None if there is no strip.
    """
    if not strips:
        return None
    known = [LAYOUTS[layout]] if layout in LAYOUTS else LAYOUTS.values() if layout == "auto" else ()
    candidates = _in_all_forms(tuple(known))
    evidence = NameEvidence(strips, label, start)
    matches = evidence.match(candidates)
    if layout in ("auto", STRIPS):
        matches.append(evidence.match_freely())
    scores = np.array([match.score for match in matches])
    scores[: len(candidates)] -= _length_penalties(strips, candidates)
    best = matches[int(scores.argmax())]
    share = np.exp(_SHARPNESS * (scores - scores.max()))
    same = np.array([match.name == best.name for match in matches])
    reading = best.read()
    named = tuple(_with_segments(strips[row.strip], row) for row in reading.rows)
    unmatched = Naming(reading.layout, float(share[same].sum() / share.sum()), (), (), reading.label_score)
    return unmatched.with_strips(named)


@cache
def _in_all_forms(layouts: tuple[Layout, ...]) -> tuple[Layout, ...]:
    """Layouts, and after them the other forms of those that may print -aVR."""
    return (*layouts, *(layout.with_inverted_avr() for layout in layouts if layout.may_invert_avr))


def _length_penalties(strips: Sequence[Strip], layouts: Sequence[Layout]) -> Array:
    """Penalties (layouts,) on layouts whose lengths of rows fit less well than another's."""
    length = float(np.median([s.x_mm[1] - s.x_mm[0] for s in strips]))
    off = [min(abs(float(np.log(row / length))) for row in layout.row_lengths_mm) for layout in layouts]
    return _OTHER_LENGTH * (np.array(off) - min(off, default=0.0))


def _with_segments(strip: Strip, row: NamedRow) -> Strip:
    edges = column_edges(*strip.x_mm, row.widths).tolist()
    places = zip(row.leads, edges[:-1], edges[1:], strict=True)
    return replace(strip, segments=tuple(Segment(lead, (left, right)) for lead, left, right in places))
