"""Names of the strips of a page: every known layout is matched against them, as are the names printed beside them.

Maps are (H, W) float32 in [0, 1], pixel (x, y) is page mm (x, y).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np

from ecg_trt.layout import (
    INVERTED_AVR,
    LAYOUTS,
    LEAD_WORDS,
    LEADS,
    OTHER_LEADS,
    ROW_LENGTH_TOLERANCE,
    STANDARD_RECORD_SECONDS,
    STRIPS,
    Layout,
    column_edges,
    is_unnamed,
    unnamed,
    upright,
)
from ecg_trt.page.row_matching import best_pairs, best_sums
from ecg_trt.types import Array, PageWarning, Segment, Strip, WarningCode

Widths: TypeAlias = tuple[float, ...]  # Relative widths of a row's columns, see `Layout.widths`.
_WHOLE: Widths = (1.0,)  # A row of one column.
DOUBTFUL_LABELS = 0.15  # Names read the right way up score 0.2 and more, the wrong way up 0.1 and less.
# Offsets of lead names from the starts of their segments and from their zero lines. They are alike on the whole page:
# mostly near the start, on some pages well behind it.
LABEL_REACHES_MM = ((-9.0, 16.0), (10.0, 32.0))
LABEL_RISE_MM = tuple(range(-16, 13))
_FAR_NAMES = 0.3  # Penalty on names far behind the start.
# Distances behind the starts of segments at which these are seen: the first with near names, any with far ones, which
# are taken for starts.
_STARTS_SEEN_MM = (0, 8, 16, 24)
_OFFSETS = len(LABEL_REACHES_MM) * len(LABEL_RISE_MM)
_NAME_WEIGHT, _BREAK_WEIGHT = 1.5, 1.6  # Weights of the names that are read, and of the starts of segments.
_LEGIBLE = 0.35  # Least response at which a name counts as read.
_NEARLY = 0.65  # Response, as a share of the best name's, at which a name is taken if the best is another strip's.
# Least response at which the name of a rhythm strip replaces the standard one, and least ratio of their responses.
_LIKELY, _RATHER = 0.2, 2.0
_LEGIBLY_RATHER = 1.5  # Least such ratio where the name is legible.
# Log-odds that print cannot be read whichever way it is seen, and of names that stage 1 sees with certainty.
_ILLEGIBLE, _UPRIGHT = -2.3, 20.0
_SKIPPED_STRIP, _SKIPPED_ROW = 0.8, 0.9  # Penalties on leaving out a strip or a row, in units of a well-read label.
_FAINT_RHYTHM = 0.8  # Penalty on a rhythm strip that is hardly seen.
_OWN_NAME, _OWN_LAYOUT = 0.4, 1.0  # Penalties on a name that no layout prints there, and on a page of such names.
_LEAST_PARTS = 4  # Least number of parts of a row whose borders are tested for starts of segments.
_OTHER_LENGTH = 10.0  # Penalty on each unit of log length by which rows fit another layout's length better.
_CERTAIN_STRIP = 0.7  # Score of a certain strip; a dark line of the grid scores less and is cheaper to leave out.
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
    candidates = _candidates(layout)
    evidence = _Evidence(strips, label, start)
    readings = [evidence.match(candidate) for candidate in candidates]
    if layout in ("auto", STRIPS):
        readings.append(evidence.read_freely())
    scores = np.array([reading.score for reading in readings])
    scores[: len(candidates)] -= _length_penalties(strips, candidates)
    best = readings[int(scores.argmax())]
    share = np.exp(_SHARPNESS * (scores - scores.max()))
    same = np.array([reading.layout.name == best.layout.name for reading in readings])
    named = tuple(_with_segments(strips[row.strip], row) for row in best.rows)
    unmatched = Naming(best.layout, float(share[same].sum() / share.sum()), (), (), best.label_score)
    return unmatched.with_strips(named)


def _candidates(layout: str) -> list[Layout]:
    """Layouts to choose from; one that may print -aVR appears in both forms."""
    asked = [layout] if layout in LAYOUTS else list(LAYOUTS) if layout == "auto" else []
    plain = [LAYOUTS[name] for name in asked]
    return plain + [candidate.with_inverted_avr() for candidate in plain if candidate.may_invert_avr]


def _length_penalties(strips: Sequence[Strip], layouts: Sequence[Layout]) -> Array:
    """Penalties (layouts,) on layouts whose lengths of rows fit less well than another's."""
    length = float(np.median([s.x_mm[1] - s.x_mm[0] for s in strips]))
    off = [min(abs(float(np.log(row / length))) for row in layout.row_lengths_mm) for layout in layouts]
    return _OTHER_LENGTH * (np.array(off) - min(off, default=0.0))


def _with_segments(strip: Strip, row: _Row) -> Strip:
    edges = column_edges(*strip.x_mm, row.widths).tolist()
    places = zip(row.leads, edges[:-1], edges[1:], strict=True)
    return replace(strip, segments=tuple(Segment(lead, (left, right)) for lead, left, right in places))


class _Row(NamedTuple):
    """Strip, by its index from the top, with the names of its columns and their relative widths."""

    strip: int
    leads: tuple[str, ...]
    widths: Widths = _WHOLE


@dataclass(frozen=True, slots=True)
class _Reading:
    """One reading of a page: rows with their names, and the score of the reading."""

    layout: Layout
    score: float
    rows: tuple[_Row, ...]
    label_score: float


class _Evidence:
    """Responses to each lead's name at the places where a layout would print it.

    `seen` (strips, columns, names, places) and `structure` (places, strips) are by the widths of a row's columns: of
    all rows that a known layout has, those of fewer columns first.
    """

    def __init__(self, strips: Sequence[Strip], label: Array, start: Array) -> None:
        self.strips = strips
        self.confidence = np.minimum(1, np.array([s.score for s in strips]) / _CERTAIN_STRIP)
        self.penalty = _SKIPPED_STRIP * self.confidence**3
        self.offset_penalty = np.repeat(_FAR_NAMES * np.arange(len(LABEL_REACHES_MM)), len(LABEL_RISE_MM))
        tall = np.stack([cv2.dilate(plane, np.ones((5, 1), np.uint8)) for plane in label[: len(LEAD_WORDS)]])
        near = [(s, _near_each_start(s, tall)) for s in strips]
        shapes = {layout.widths(j) for layout in LAYOUTS.values() for j in range(len(layout.rows))}
        shapes |= {_WHOLE}
        self.shapes = sorted(shapes, key=lambda widths: (len(widths), widths))
        self.seen = {widths: np.stack([_columns(*pair, widths) for pair in near]) for widths in self.shapes}
        self.structure = {
            widths: np.repeat(np.stack([_structure(s, start, widths) for s in strips], 1), len(LABEL_RISE_MM), 0)
            for widths in self.shapes
        }

    def match(self, layout: Layout) -> _Reading:
        """Match a layout against the strips: label offset and strips left out are chosen for the greatest score."""
        score = self._pair_scores(layout)
        best = best_sums(score, self.penalty, _SKIPPED_ROW)
        total = best[:, -1, -1] - self.offset_penalty
        offset = int(total.argmax())
        pairs = best_pairs(best[offset], score[offset], self.penalty)
        rows = [_Row(i, self._leads(layout, i, j, offset), layout.widths(j)) for i, j in pairs]
        for i in sorted(set(range(len(self.strips))) - {i for i, _ in pairs}):
            (name,) = self._names([(i, _WHOLE)], offset)[i]
            if name in OTHER_LEADS:
                rows.append(_Row(i, (name,)))
        return _Reading(layout, float(total[offset]), tuple(sorted(rows)), self._label_score(rows, offset))

    def read_freely(self) -> _Reading:
        """Read each strip under the name it carries; a row has several columns only where each carries a name."""
        scores = np.stack([self._own_scores(widths) for widths in self.shapes])
        gain = scores.max(0)
        total = np.maximum(gain, -self.penalty).sum(1) - self.offset_penalty - _OWN_LAYOUT
        at = int(total.argmax())
        kept = np.flatnonzero(gain[at] >= -self.penalty)
        if not len(kept):
            kept = np.array([int(gain[at].argmax())])
        shapes = [self.shapes[best] for best in scores[:, at].argmax(0)]
        rows: list[_Row] = []
        taken: list[str] = []
        names_of = self._names([(i, shapes[i]) for i in kept.tolist()], at)
        for row, i in enumerate(kept.tolist()):
            names = [name or unnamed(row) for name in names_of[i]]
            for k, name in enumerate(names):
                copies = taken.count(upright(name)[0])
                taken.append(upright(name)[0])
                names[k] = f"{name}-{copies + 1}" if copies else name
            rows.append(_Row(i, tuple(names), shapes[i]))
        seconds = tuple(tuple(STANDARD_RECORD_SECONDS * w / sum(row.widths) for w in row.widths) for row in rows)
        layout = Layout(STRIPS, tuple(row.leads for row in rows), seconds)
        read = [self.seen[row.widths][row.strip, k, :, at].max() for row in rows for k in range(len(row.leads))]
        return _Reading(layout, float(total[at]), tuple(rows), float(np.mean(read)))

    def _names(self, strips: Sequence[tuple[int, Widths]], offset: int) -> dict[int, list[str]]:
        """Read the names at the columns of strips (index, widths), "" where none is legible.

        Where two read alike, the fainter one takes its second-best name, if the response to it is nearly as high.
        """
        names = {i: [""] * len(widths) for i, widths in strips}
        cells = [(self.seen[widths][i, k, :, offset], i, k) for i, widths in strips for k in range(len(widths))]
        taken: set[str] = set()
        for seen, i, k in sorted(cells, key=lambda cell: -cell[0].max()):
            best, other = np.argsort(-seen, kind="stable")[:2]
            if seen[best] <= _LEGIBLE:
                continue
            is_taken, other_is = (upright(LEAD_WORDS[word])[0] in taken for word in (best, other))
            yields = is_taken and not other_is and seen[other] >= _NEARLY * seen[best]
            names[i][k] = LEAD_WORDS[other if yields else best]
            taken.add(upright(names[i][k])[0])
        return names

    def _leads(self, layout: Layout, i: int, j: int, offset: int) -> tuple[str, ...]:
        """Name strip i as row j of a layout; a rhythm strip that repeats a lead takes the name that is read there."""
        leads = layout.rows[j]
        if j not in layout.rhythm_rows or leads[0] not in LEAD_WORDS or not layout.is_repeated(leads[0]):
            return leads
        seen = self.seen[_WHOLE][i, 0, :, offset]
        standard = seen[LEAD_WORDS.index(leads[0])]
        is_read = any(seen.max() > max(least, ratio * standard)
                      for least, ratio in ((_LIKELY, _RATHER), (_LEGIBLE, _LEGIBLY_RATHER)))  # fmt: skip
        return (LEAD_WORDS[int(seen.argmax())],) if is_read else leads

    def _label_score(self, rows: Sequence[_Row], offset: int) -> float:
        """Mean over the strips of the response to their names, as far as the network knows them."""
        read = []
        for row in rows:
            columns, words = _known_names(row.leads)
            if columns:
                read.append(np.mean([self.seen[row.widths][row.strip, k, word, offset]
                                     for k, word in zip(columns, words, strict=True)]))  # fmt: skip
        return float(np.mean(read)) if read else 0.0

    def _own_scores(self, widths: Widths) -> Array:
        """Scores (places, strips) of each strip as columns with names of their own."""
        n = len(widths)
        first, second = np.moveaxis(np.sort(self.seen[widths], axis=2)[:, :, :-3:-1], 2, 0)  # (strips, n, places) each
        names = _NAME_WEIGHT * (first - 0.5 * second).mean(1) - _OWN_NAME * n
        names = np.maximum(names, 0) if n == 1 else np.where((first > _LEGIBLE).all(1), names, -np.inf)
        rest = _BREAK_WEIGHT * self.structure[widths] - _FAINT_RHYTHM * (1 - self.confidence)
        return np.asarray(names.T + rest)

    def _pair_scores(self, layout: Layout) -> Array:
        """Scores (places, strips, rows) of each strip as each row."""
        out = np.zeros((_OFFSETS, len(self.strips), len(layout.rows)))
        for j, leads in enumerate(layout.rows):
            widths, is_rhythm = layout.widths(j), j in layout.rhythm_rows
            columns, words = _known_names(leads)
            others = self.seen[widths].copy()
            mine = np.zeros_like(others[:, :, 0])
            mine[:, columns] = others[:, columns, words]
            others[:, columns, words] = 0
            rival = np.zeros_like(mine)  # A name that the network does not know counts neither for nor against a row.
            rival[:, columns] = others[:, columns].max(2)
            if is_rhythm:
                mine, rival = np.maximum(mine, 0.6 * rival), 0 * rival
            out[:, :, j] = _NAME_WEIGHT * (mine - 0.5 * rival).mean(1).T + _BREAK_WEIGHT * self.structure[widths]
            if is_rhythm:  # The penalty keeps text under the leads from being taken for a rhythm strip.
                out[:, :, j] -= _FAINT_RHYTHM * (1 - self.confidence)
        return out


def _known_names(leads: Sequence[str]) -> tuple[list[int], list[int]]:
    """Columns whose names the network knows, and the indices of these names in `LEAD_WORDS`."""
    columns = [k for k, lead in enumerate(leads) if lead in LEAD_WORDS]
    return columns, [LEAD_WORDS.index(leads[k]) for k in columns]


def _structure(strip: Strip, start: Array, widths: Widths) -> Array:
    """Score (reaches,) the starts of segments where columns meet, and their absence elsewhere; both weigh the same."""
    y = round(strip.zero_y_mm)
    band = start[max(0, y - 4) : y + 5].max(0) if 0 <= y < len(start) else np.zeros(start.shape[1])
    parts = math.ceil(_LEAST_PARTS / len(widths))
    borders = column_edges(*strip.x_mm, np.repeat(widths, parts).tolist())[1:-1]
    inner = np.arange(1, len(borders) + 1) % parts == 0

    def score(behind_mm: int) -> float:
        seen = np.array([band[max(0, x - 4) : x + 5].max(initial=0) for x in borders.astype(int) + behind_mm])
        return float(np.mean([part.mean() for part in (seen[inner] - 0.3, 0.3 - seen[~inner]) if part.size]))

    scores = [score(behind_mm) for behind_mm in _STARTS_SEEN_MM]
    return np.array([scores[0], max(scores)])


def _near_each_start(strip: Strip, tall: Array) -> Array:
    """Best responses (reaches, names, rises, W) within each reach of a start at each column of the map."""
    rows = np.clip(np.round(strip.zero_y_mm + np.array(LABEL_RISE_MM)), 0, tall.shape[1] - 1).astype(int)
    band = np.ascontiguousarray(tall[:, rows].reshape(-1, tall.shape[2]))
    wide = []
    for low, high in LABEL_REACHES_MM:
        onward = cv2.dilate(band, np.ones((1, round(high - low)), np.uint8), anchor=(0, 0))
        at = np.clip(np.arange(tall.shape[2]) + round(low), 0, tall.shape[2] - 1)
        wide.append(onward[:, at].reshape(len(tall), len(rows), -1))
    return np.stack(wide)


def _columns(strip: Strip, near: Array, widths: Widths) -> Array:
    """Best responses (n, names, places) near the start of each of n columns."""
    starts = np.clip(column_edges(*strip.x_mm, widths)[:-1].astype(int), 0, near.shape[-1] - 1)
    return np.asarray(near[..., starts].transpose(3, 1, 0, 2).reshape(len(widths), near.shape[1], _OFFSETS))
