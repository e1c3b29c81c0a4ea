"""Evidence of what the strips of a page are called: each known layout, and names of their own, scored by the print.

A layout's rows are matched with the strips; the names that stage 1 sees beside them, and the starts of segments, are
compared with what the layout prints there. Maps are (H, W) float32 in [0, 1], pixel (x, y) is page mm (x, y).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np

from ecg_trt.layout import (
    LAYOUTS,
    LEAD_WORDS,
    OTHER_LEADS,
    STANDARD_RECORD_SECONDS,
    STRIPS,
    Layout,
    column_edges,
    unnamed,
    upright,
)
from ecg_trt.page.row_matching import best_pairs, best_sums
from ecg_trt.types import Array, Strip

Widths: TypeAlias = tuple[float, ...]  # Relative widths of a row's columns, see `Layout.widths`.
_WHOLE: Widths = (1.0,)  # A row of one column.
# Offsets of lead names from the starts of their segments and from their zero lines. They are alike on the whole page:
# mostly near the start, on some pages well behind it.
LABEL_REACHES_MM = ((-9.0, 16.0), (10.0, 32.0))
LABEL_RISE_MM = tuple(range(-16, 13))
_NAME_HEIGHT_MM = 5  # Names are seen within half of this above and below their places.
_FAR_NAMES = 0.3  # Penalty on names far behind the start.
# Distances behind the starts of segments at which these are seen: the first with near names, any with far ones, which
# are taken for starts.
_STARTS_SEEN_MM = (0, 8, 16, 24)
_START_REACH_MM = 4  # A start is seen within this distance of its place, along both axes.
_START_SEEN = 0.3  # Response to a start that is as likely as not one.
_NAME_WEIGHT, _BREAK_WEIGHT = 1.5, 1.6  # Weights of the names that are read, and of the starts of segments.
_RIVAL = 0.5  # Weight of the strongest response to another name, as a share of that of the expected one.
_OTHER_RHYTHM = 0.6  # Share of another name's response that counts for a rhythm strip, which may show any lead.
_LEGIBLE = 0.35  # Least response at which a name counts as read.
_SKIPPED_STRIP, _SKIPPED_ROW = 0.8, 0.9  # Penalties on leaving out a strip or a row, in units of a well-read label.
_FAINT_RHYTHM = 0.8  # Penalty on a rhythm strip that is hardly seen.
_OWN_NAME, _OWN_LAYOUT = 0.4, 1.0  # Penalties on a name that no layout prints there, and on a page of such names.
_LEAST_PARTS = 4  # Least number of parts of a row whose borders are tested for starts of segments.
_CERTAIN_STRIP = 0.7  # Score of a certain strip; a dark line of the grid scores less and is cheaper to leave out.


class NamedRow(NamedTuple):
    """Strip, by its index from the top, with the names of its columns and their relative widths."""

    strip: int
    leads: tuple[str, ...]
    widths: Widths = _WHOLE


class PageNames(NamedTuple):
    """Layout and named rows of a page, and the mean response to their names, 0..1."""

    layout: Layout
    rows: tuple[NamedRow, ...]
    label_score: float


@dataclass(frozen=True, slots=True)
class Match:
    """Score of the strips as one layout.

    Attributes:
        name: of the layout.
        score: greatest over where names may stand and what is left out.
        read: gives the rows behind that score, with their names.
    """

    name: str
    score: float
    read: Callable[[], PageNames]


class NameEvidence:
    """Responses to each lead's name at the places where a layout would print it.

    Args:
        strips: of the page, from the top; at least one.
        label: (words, H, W) map of the words of `layout.MARKED_WORDS`.
        start: (H, W) map of segment starts.
    """

    def __init__(self, strips: Sequence[Strip], label: Array, start: Array) -> None:
        self._confidence = np.minimum(1, np.array([s.score for s in strips]) / _CERTAIN_STRIP)
        self._penalty = _SKIPPED_STRIP * self._confidence**3
        self._offset_penalty = np.repeat(_FAR_NAMES * np.arange(len(LABEL_REACHES_MM)), len(LABEL_RISE_MM))
        self._shapes = _shapes_of(tuple(LAYOUTS.values()))
        self._responses = {
            widths: _Responses.of(seen, starts)
            for widths, seen, starts in zip(
                self._shapes, _names_seen(strips, label, self._shapes), _starts_seen(strips, start, self._shapes),
                strict=True,
            )
        }  # fmt: skip
        self._row_scores: dict[_PrintedRow, Array] = {}

    def match(self, layouts: Sequence[Layout]) -> list[Match]:
        """Match layouts against the strips: offset of names and strips left out are chosen for the greatest score."""
        if not layouts:
            return []
        offsets, strips = self._offset_penalty.shape[0], len(self._penalty)
        score = np.zeros((len(layouts), offsets, strips, max(len(layout.rows) for layout in layouts)))
        for of_layout, layout in zip(score, layouts, strict=True):
            for j, printed in enumerate(_printed_rows(layout)):
                of_layout[:, :, j] = self._row_score(printed)
        best = best_sums(score.reshape(-1, *score.shape[2:]), self._penalty, _SKIPPED_ROW)
        best = best.reshape(len(layouts), offsets, strips + 1, -1)
        matches = []
        for layout, of_layout, sums in zip(layouts, score, best, strict=True):
            rows = len(layout.rows)
            total = sums[:, -1, rows] - self._offset_penalty
            offset = int(total.argmax())
            pairs = partial(best_pairs, sums[offset, :, : rows + 1], of_layout[offset, :, :rows], self._penalty)
            matches.append(Match(layout.name, float(total[offset]), partial(self._read, layout, pairs, offset)))
        return matches

    def match_freely(self) -> Match:
        """Match names of their own: a row has several columns only where each carries a name."""
        scores = np.stack([self._own_scores(widths) for widths in self._shapes])
        gain = scores.max(0)
        total = np.maximum(gain, -self._penalty).sum(1) - self._offset_penalty - _OWN_LAYOUT
        at = int(total.argmax())
        kept = np.flatnonzero(gain[at] >= -self._penalty)
        if not len(kept):
            kept = np.array([int(gain[at].argmax())])
        shapes = [self._shapes[best] for best in scores[:, at].argmax(0)]
        columns = [(i, shapes[i]) for i in kept.tolist()]
        return Match(STRIPS, float(total[at]), partial(self._read_freely, columns, at))

    def _read(self, layout: Layout, pairs: Callable[[], list[tuple[int, int]]], offset: int) -> PageNames:
        """Name the strips that are matched with rows, and others by leads of no layout."""
        matched = pairs()
        rows = [NamedRow(i, layout.rows[j], layout.widths(j)) for i, j in matched]
        for i in sorted(set(range(len(self._penalty))) - {i for i, _ in matched}):
            (name,) = self._names(i, _WHOLE, offset)
            if name in OTHER_LEADS:
                rows.append(NamedRow(i, (name,)))
        return PageNames(layout, tuple(sorted(rows)), self._label_score(rows, offset))

    def _read_freely(self, strips: Sequence[tuple[int, Widths]], offset: int) -> PageNames:
        """Read each strip (index, widths) under the names it carries."""
        rows: list[NamedRow] = []
        taken: list[str] = []
        for row, (i, widths) in enumerate(strips):
            names = [name or unnamed(row) for name in self._names(i, widths, offset)]
            for k, name in enumerate(names):
                copies = taken.count(upright(name)[0])
                taken.append(upright(name)[0])
                names[k] = f"{name}-{copies + 1}" if copies else name
            rows.append(NamedRow(i, tuple(names), widths))
        seconds = tuple(tuple(STANDARD_RECORD_SECONDS * w / sum(row.widths) for w in row.widths) for row in rows)
        layout = Layout(STRIPS, tuple(row.leads for row in rows), seconds)
        read = [self._responses[row.widths].strongest[row.strip, k, offset]
                for row in rows for k in range(len(row.leads))]  # fmt: skip
        return PageNames(layout, tuple(rows), float(np.mean(read)))

    def _names(self, i: int, widths: Widths, offset: int) -> list[str]:
        """Read the names at the columns of strip i, "" where none is legible."""
        found = self._responses[widths]
        words, seen = found.word[i, :, offset].tolist(), found.strongest[i, :, offset].tolist()
        return [LEAD_WORDS[word] if response > _LEGIBLE else "" for word, response in zip(words, seen, strict=True)]

    def _label_score(self, rows: Sequence[NamedRow], offset: int) -> float:
        """Mean over the strips of the response to their names, as far as the network knows them."""
        read = []
        for row in rows:
            columns, words = _known_names(row.leads)
            if columns:
                read.append(self._responses[row.widths].seen[row.strip, columns, words, offset].mean())
        return float(np.mean(read)) if read else 0.0

    def _own_scores(self, widths: Widths) -> Array:
        """Scores (offsets, strips) of each strip as columns with names of their own."""
        found, n = self._responses[widths], len(widths)
        names = _NAME_WEIGHT * (found.strongest - _RIVAL * found.second).mean(1) - _OWN_NAME * n
        is_legible = (found.strongest > _LEGIBLE).all(1)
        names = np.maximum(names, 0) if n == 1 else np.where(is_legible, names, -np.inf)
        return np.asarray(names.T + _BREAK_WEIGHT * found.starts - _FAINT_RHYTHM * (1 - self._confidence))

    def _row_score(self, row: _PrintedRow) -> Array:
        """Scores (offsets, strips) of each strip as one row; many layouts have rows in common."""
        if row not in self._row_scores:
            found = self._responses[row.widths]
            columns, words = _known_names(row.leads)  # A name that the network does not know counts neither way.
            mine = found.seen[:, columns, words]
            is_strongest = found.word[:, columns] == np.array(words)[:, None]
            rival = np.where(is_strongest, found.second[:, columns], found.strongest[:, columns])
            if row.is_rhythm:
                mine, rival = np.maximum(mine, _OTHER_RHYTHM * rival), 0 * rival
            names = (mine - _RIVAL * rival).sum(1).T / len(row.leads)
            score = _NAME_WEIGHT * names + _BREAK_WEIGHT * found.starts
            if row.is_rhythm:  # The penalty keeps text under the leads from being taken for a rhythm strip.
                score = score - _FAINT_RHYTHM * (1 - self._confidence)
            self._row_scores[row] = score
        return self._row_scores[row]


class _PrintedRow(NamedTuple):
    """Row as a layout prints it."""

    leads: tuple[str, ...]
    widths: Widths
    is_rhythm: bool


@cache
def _printed_rows(layout: Layout) -> tuple[_PrintedRow, ...]:
    rhythm = layout.rhythm_rows
    return tuple(_PrintedRow(leads, layout.widths(j), j in rhythm) for j, leads in enumerate(layout.rows))


@cache
def _shapes_of(layouts: tuple[Layout, ...]) -> tuple[Widths, ...]:
    """Widths of all rows that some layouts have, and of rows of one column; those of fewer columns first."""
    shapes = {row.widths for layout in layouts for row in _printed_rows(layout)} | {_WHOLE}
    return tuple(sorted(shapes, key=lambda widths: (len(widths), widths)))


class _Responses(NamedTuple):
    """Responses where rows of some widths have their columns.

    Attributes:
        seen: (strips, columns, names, offsets) response to each name.
        strongest: (strips, columns, offsets) response to the name that is seen best.
        second: the response to the next name, likewise.
        word: index of the name that is seen best, likewise.
        starts: (offsets, strips) score of starts of segments where columns meet, and of none elsewhere.
    """

    seen: Array
    strongest: Array
    second: Array
    word: Array
    starts: Array

    @classmethod
    def of(cls, seen: Array, starts: Array) -> _Responses:
        """Sort out the strongest names."""
        word = seen.argmax(2)
        others = seen.copy()
        np.put_along_axis(others, word[:, :, None], -np.inf, 2)
        return cls(seen, seen.max(2), others.max(2), word, starts)


@cache
def _known_names(leads: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """Columns whose names the network knows, and the indices of these names in `LEAD_WORDS`."""
    columns = [k for k, lead in enumerate(leads) if lead in LEAD_WORDS]
    return columns, [LEAD_WORDS.index(leads[k]) for k in columns]


def _starts_seen(strips: Sequence[Strip], start: Array, shapes: Sequence[Widths]) -> list[Array]:
    """Score (offsets, strips) the starts of segments where columns meet, and their absence elsewhere, for each shape.

    Both weigh the same. Beside the map there are none.
    """
    reach = _START_REACH_MM
    around = cv2.dilate(np.pad(start, reach), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    around = np.pad(around, 1)
    y = np.array([round(s.zero_y_mm) for s in strips])
    y = np.where((y >= 0) & (y < len(start)), y + reach + 1, 0)
    found = []
    for widths in shapes:
        parts = math.ceil(_LEAST_PARTS / len(widths))
        equal = np.repeat(widths, parts).tolist()
        borders = np.stack([column_edges(*s.x_mm, equal)[1:-1].astype(int) for s in strips])
        x = borders[:, None] + np.array(_STARTS_SEEN_MM)[:, None] + reach + 1
        seen = around[y[:, None, None], np.clip(x, 0, around.shape[1] - 1)] - _START_SEEN  # (strips, behind, borders)
        inner = np.arange(1, borders.shape[1] + 1) % parts == 0
        score = np.mean([part.mean(2) for part in (seen[..., inner], -seen[..., ~inner]) if part.shape[2]], 0)
        found.append(np.repeat(np.stack([score[:, 0], score.max(1)]), len(LABEL_RISE_MM), 0))
    return found


def _names_seen(strips: Sequence[Strip], label: Array, shapes: Sequence[Widths]) -> list[Array]:
    """Find the strongest response to each name near the starts of columns: (strips, n, names, offsets), each shape."""
    height, width = label.shape[1:]
    tall = np.stack([cv2.dilate(plane, np.ones((_NAME_HEIGHT_MM, 1), np.uint8)) for plane in label[: len(LEAD_WORDS)]])
    edges = np.cumsum([0, *map(len, shapes)])
    found = np.empty((len(strips), edges[-1], len(tall), len(LABEL_REACHES_MM), len(LABEL_RISE_MM)), tall.dtype)
    for strip, of_strip in zip(strips, found, strict=True):
        starts = np.concatenate([column_edges(*strip.x_mm, widths)[:-1].astype(int) for widths in shapes])
        starts = np.clip(starts, 0, width - 1)
        rows = np.clip(np.round(strip.zero_y_mm + np.array(LABEL_RISE_MM)), 0, height - 1).astype(int)
        band = np.ascontiguousarray(tall[:, rows].reshape(-1, width))
        for reach, (low, high) in enumerate(LABEL_REACHES_MM):
            onward = cv2.dilate(band, np.ones((1, round(high - low)), np.uint8), anchor=(0, 0))
            at = np.clip(starts + round(low), 0, width - 1)
            of_strip[:, :, reach] = np.moveaxis(onward[:, at].reshape(len(tall), len(rows), -1), 2, 0)
    whole = found.reshape(*found.shape[:3], -1)
    return [whole[:, a:b] for a, b in pairwise(edges)]
