"""Which leads the strips of a page show: every known layout is laid over them, and beside these the names they carry.

Maps are (H, W) float32 in [0, 1], pixel (x, y) is page mm (x, y).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ecg_trt.layout import (
    INVERTED_AVR,
    LAYOUTS,
    LEAD_WORDS,
    LEADS,
    OTHER_LEADS,
    STRIPS,
    Layout,
    twelve_first,
    unnamed,
    upright,
)
from ecg_trt.types import Array, PageWarning, Segment, Strip, WarningCode

# Where lead names stand with regard to their segments' starts and to their zero lines, alike on the whole page: mostly
# near the start, on some pages well behind it.
DOUBTFUL_LABELS = 0.15  # names read the right way up score 0.2 and more, the wrong way up 0.1 and less
_LABEL_REACHES_MM = ((-9.0, 16.0), (10.0, 32.0))
_LABEL_RISE_MM = tuple(range(-16, 13))
_FAR_NAMES = 0.3  # what names far behind the start cost
_PLACES = len(_LABEL_REACHES_MM) * len(_LABEL_RISE_MM)
_NAME_WEIGHT, _BREAK_WEIGHT = 1.5, 1.6  # of what is read, and of where segments start
_LEGIBLE = 0.35  # least response at which a name is taken as read
_NEARLY = 0.65  # response as a share of the best one's, at which a name is taken if the best is another strip's
_LIKELY, _RATHER = 0.2, 2.0  # least response at which it is, if it is so many times that to the usual name
_LEGIBLY_RATHER = 1.5  # how many times where it can be read
_SKIPPED_STRIP, _SKIPPED_ROW = 0.8, 0.9  # what leaving one out costs in units of a well-read label
_FAINT_RHYTHM = 0.8  # what a rhythm strip loses that is hardly seen
_OWN_NAME, _OWN_LAYOUT = 0.4, 1.0  # what a name costs that no layout asks for, and a page of such names
_PARTS = {1: 4, 2: 4, 3: 6, 4: 4, 6: 6}  # into how many parts a row of so many columns is cut to look where they meet
_SURE_STRIP = 0.7  # score of a strip that is surely one: a dark line of the grid scores less and costs less
_SHARPNESS = 5.0  # of the softmax over scores, so that the probability is met
_NAME_SEEN, _ENOUGH_NAMES = 0.25, 3  # response in the middle of a name; how many tell where the others are
_NAME_HALF_MM = (3.5, 2.0)  # half the width and height of a name


@dataclass(frozen=True, slots=True)
class Naming:
    """What the strips of a page show.

    Attributes:
        layout: the layout laid over them; for a page that bears out none, `layout.STRIPS` and the names read.
        probability: of this layout among all, by a softmax over their scores.
        strips: those that belong to it, from the top, with their segments.
        missing: leads that the layout prints but no strip shows.
        label_score: mean evidence of the lead names where they are expected, 0..1.
    """

    layout: Layout
    probability: float
    strips: tuple[Strip, ...]
    missing: tuple[str, ...]
    label_score: float

    @property
    def is_known(self) -> bool:
        """Whether the page bears out a layout."""
        return self.layout.name != STRIPS

    @property
    def leads(self) -> tuple[str, ...]:
        """Leads of the record: the twelve and what is printed beside them, or those of the strips."""
        shown = tuple(dict.fromkeys(upright(s.lead)[0] for strip in self.strips for s in strip.segments))
        return twelve_first(shown) if self.is_known else shown

    @property
    def longest_mm(self) -> float:
        """Length of the longest strip, 0 if there is none."""
        return max((s.x_mm[1] - s.x_mm[0] for s in self.strips), default=0.0)

    @property
    def usual_mm(self) -> float:
        """Median length of the strips, 0 if there is none."""
        return float(np.median([s.x_mm[1] - s.x_mm[0] for s in self.strips])) if self.strips else 0.0

    @property
    def warnings(self) -> Iterator[PageWarning]:
        """Warn of names that are not those of the record, or of no layout."""
        printed = {s.lead for strip in self.strips for s in strip.segments}
        if INVERTED_AVR in printed:
            yield PageWarning(
                WarningCode.AVR_INVERTED, "The page prints -aVR; it was turned over, and the record holds aVR."
            )
        if not self.is_known:
            yield PageWarning(
                WarningCode.LAYOUT_UNKNOWN,
                "The page shows no known layout of the twelve leads: each strip was read under the name it carries.",
            )


def name_strips(strips: Sequence[Strip], label: Array, start: Array, *, layout: str = "auto") -> Naming | None:
    """Lays every layout over the strips and takes the one that the lead names and segment starts bear out best.

    Strips and rows are matched in order, from the top; either may be left out at a price. A page that is better
    explained by names of its own, each at a price, is taken strip by strip.

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
    evidence = _Evidence(strips, label, start)
    readings = [evidence.match(candidate) for candidate in _candidates(layout)]
    if layout in ("auto", STRIPS):
        readings.append(evidence.read_freely())
    scores = np.array([reading.score for reading in readings])
    best = readings[int(scores.argmax())]
    share = np.exp(_SHARPNESS * (scores - scores.max()))
    same = np.array([reading.layout.name == best.layout.name for reading in readings])
    shown = {upright(lead)[0] for _, leads in best.rows for lead in leads}
    missing = () if best.layout.name == STRIPS else tuple(lead for lead in LEADS if lead not in shown)
    named = tuple(_with_segments(strips[i], leads) for i, leads in best.rows)
    return Naming(best.layout, float(share[same].sum() / share.sum()), named, missing, best.label_score)


def name_boxes(strips: Sequence[Strip], label: Array) -> Array:
    """Where the letters of lead names stand.

    A device prints all names at the same distance from their segments: what most of them say holds for those that
    cannot be read.

    Args:
        strips: named strips.
        label: (words, H, W) map of the words of `layout.MARKED_WORDS`.

    Returns:
        (H, W) bool.
    """
    any_name = label[: len(LEAD_WORDS)].max(0)
    height, width = any_name.shape
    corners = [(s.x_mm[0], strip.zero_y_mm) for strip in strips for s in strip.segments]
    seen = []
    for x, y in corners:
        left, top = (int(max(0, v + d)) for v, d in ((x, _LABEL_REACHES_MM[0][0]), (y, _LABEL_RISE_MM[0])))
        window = any_name[top : int(y + _LABEL_RISE_MM[-1] + 1), left : int(x + _LABEL_REACHES_MM[-1][1])]
        row, column = divmod(int(window.argmax()), window.shape[1]) if window.size else (0, 0)
        found = window.size > 0 and window[row, column] > _NAME_SEEN
        seen.append((left + column - x, top + row - y) if found else (np.nan, np.nan))
    offsets = np.array(seen).reshape(-1, 2)
    usual = np.nanmedian(offsets, 0) if np.isfinite(offsets[:, 0]).sum() >= _ENOUGH_NAMES else np.full(2, np.nan)
    boxes = np.zeros((height, width), bool)
    for (x, y), offset in zip(corners, offsets, strict=True):
        dx, dy = offset if np.isfinite(offset).all() else usual
        if np.isfinite(dx):
            rows, columns = (slice(max(0, round(v - r)), max(0, round(v + r) + 1))
                             for v, r in ((y + dy, _NAME_HALF_MM[1]), (x + dx, _NAME_HALF_MM[0])))  # fmt: skip
            boxes[rows, columns] = True
    return boxes


def _candidates(layout: str) -> list[Layout]:
    """The layouts asked for; the Cabrera order is printed with aVR or with -aVR."""
    asked = [layout] if layout in LAYOUTS else list(LAYOUTS) if layout == "auto" else []
    plain = [LAYOUTS[name] for name in asked]
    return plain + [candidate.with_inverted_avr() for candidate in plain if candidate.name.endswith("cabrera")]


def _with_segments(strip: Strip, leads: tuple[str, ...]) -> Strip:
    edges = np.linspace(*strip.x_mm, len(leads) + 1)
    segments = tuple(Segment(lead, (float(edges[k]), float(edges[k + 1]))) for k, lead in enumerate(leads))
    return replace(strip, segments=segments)


@dataclass(frozen=True, slots=True)
class _Reading:
    """One way to read a page: strips (by index, from the top) with their names, and how well that is borne out."""

    layout: Layout
    score: float
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    label_score: float


class _Evidence:
    """How well each lead's name is seen where a layout would print it."""

    def __init__(self, strips: Sequence[Strip], label: Array, start: Array) -> None:
        self.strips = strips
        self.sure = np.minimum(1, np.array([s.score for s in strips]) / _SURE_STRIP)
        self.price = _SKIPPED_STRIP * self.sure**3
        self.oddity = np.repeat(_FAR_NAMES * np.arange(len(_LABEL_REACHES_MM)), len(_LABEL_RISE_MM))
        tall = np.stack([cv2.dilate(plane, np.ones((5, 1), np.uint8)) for plane in label[: len(LEAD_WORDS)]])
        near = [(s, _near_each_start(s, tall)) for s in strips]
        self.seen = {n: np.stack([_columns(*pair, n) for pair in near]) for n in _PARTS}
        self.structure = {n: np.array([self._structure(s, start, n) for s in strips]) for n in _PARTS}

    def match(self, layout: Layout) -> _Reading:
        """A layout laid over the strips, the place of the names and what is left out chosen for the greatest score."""
        score = self._pair_scores(layout)
        best = _best_sums(score, self.price)
        total = best[:, -1, -1] - self.oddity
        place = int(total.argmax())
        pairs = _pairs(best[place], score[place], self.price)
        rows = [(i, self._leads(layout, i, j, place)) for i, j in pairs]
        for i in sorted(set(range(len(self.strips))) - {i for i, _ in pairs}):
            (name,) = self._names([(i, 1)], place)[i]
            if name in OTHER_LEADS:
                rows.append((i, (name,)))
        return _Reading(layout, float(total[place]), tuple(sorted(rows)), self._label_score(rows, place))

    def read_freely(self) -> _Reading:
        """The strips under the names they carry; a row has several columns only where each carries a name."""
        scores = np.stack([self._own_scores(n) for n in _PARTS])
        gain = scores.max(0)
        total = np.maximum(gain, -self.price).sum(1) - self.oddity - _OWN_LAYOUT
        at = int(total.argmax())
        kept = np.flatnonzero(gain[at] >= -self.price)
        if not len(kept):
            kept = np.array([int(gain[at].argmax())])
        columns = [list(_PARTS)[best] for best in scores[:, at].argmax(0)]
        rows: list[tuple[int, tuple[str, ...]]] = []
        taken: list[str] = []
        names_of = self._names([(i, columns[i]) for i in kept.tolist()], at)
        for row, i in enumerate(kept.tolist()):
            names = [name or unnamed(row) for name in names_of[i]]
            for k, name in enumerate(names):
                copies = taken.count(upright(name)[0])
                taken.append(upright(name)[0])
                names[k] = f"{name}-{copies + 1}" if copies else name
            rows.append((i, tuple(names)))
        layout = Layout(STRIPS, tuple(names for _, names in rows))
        read = [self.seen[len(names)][i, k, :, at].max() for i, names in rows for k in range(len(names))]
        return _Reading(layout, float(total[at]), tuple(rows), float(np.mean(read)))

    def _structure(self, strip: Strip, start: Array, n: int) -> float:
        """Do segments start where n columns meet, and nowhere else? Both questions weigh the same."""
        parts = _PARTS[n]
        y = round(strip.zero_y_mm)
        band = start[max(0, y - 4) : y + 5].max(0) if 0 <= y < len(start) else np.zeros(start.shape[1])
        marks = np.linspace(*strip.x_mm, parts + 1)[1:-1]
        breaks = np.array([band[max(0, int(x) - 4) : int(x) + 5].max(initial=0) for x in marks])
        inner = np.arange(1, parts) * n % parts == 0
        answers = [part.mean() for part in (breaks[inner] - 0.3, 0.3 - breaks[~inner]) if part.size]
        return float(np.mean(answers))

    def _names(self, strips: Sequence[tuple[int, int]], place: int) -> dict[int, list[str]]:
        """What is read at each of the n columns of strips (i, n), "" where nothing is.

        Where two read the same, the fainter one takes its next best if that is read nearly as well.
        """
        names = {i: [""] * n for i, n in strips}
        cells = [(self.seen[n][i, k, :, place], i, k) for i, n in strips for k in range(n)]
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

    def _leads(self, layout: Layout, i: int, j: int, place: int) -> tuple[str, ...]:
        """Names of strip i as row j; a rhythm strip takes the name that is read there rather than the usual one."""
        leads = layout.rows[j]
        if not _is_rhythm(layout, j):
            return leads
        seen = self.seen[1][i, 0, :, place]
        usual = seen[LEAD_WORDS.index(leads[0])]
        is_read = any(seen.max() > max(least, ratio * usual)
                      for least, ratio in ((_LIKELY, _RATHER), (_LEGIBLE, _LEGIBLY_RATHER)))  # fmt: skip
        return (LEAD_WORDS[int(seen.argmax())],) if is_read else leads

    def _label_score(self, rows: Sequence[tuple[int, tuple[str, ...]]], place: int) -> float:
        """Mean over the strips of the response to their names."""
        read = [np.mean([self.seen[len(leads)][i, k, LEAD_WORDS.index(lead), place] for k, lead in enumerate(leads)])
                for i, leads in rows]  # fmt: skip
        return float(np.mean(read)) if read else 0.0

    def _own_scores(self, n: int) -> Array:
        """(places, strips) score of each strip as n columns with names of their own."""
        first, second = np.moveaxis(np.sort(self.seen[n], axis=2)[:, :, :-3:-1], 2, 0)  # (strips, n, places) each
        names = _NAME_WEIGHT * (first - 0.5 * second).mean(1) - _OWN_NAME * n
        names = np.maximum(names, 0) if n == 1 else np.where((first > _LEGIBLE).all(1), names, -np.inf)
        rest = _BREAK_WEIGHT * self.structure[n] - _FAINT_RHYTHM * (1 - self.sure)
        return np.asarray(names.T + rest)

    def _pair_scores(self, layout: Layout) -> Array:
        """(places, strips, rows) score of each strip as each row."""
        out = np.zeros((_PLACES, len(self.strips), len(layout.rows)))
        for j, leads in enumerate(layout.rows):
            n = len(leads)
            columns, index = np.arange(n), [LEAD_WORDS.index(lead) for lead in leads]
            others = self.seen[n].copy()
            mine = others[:, columns, index]
            others[:, columns, index] = 0
            rival = others.max(2)
            if _is_rhythm(layout, j):
                mine, rival = np.maximum(mine, 0.6 * rival), 0 * rival
            out[:, :, j] = _NAME_WEIGHT * (mine - 0.5 * rival).mean(1).T + _BREAK_WEIGHT * self.structure[n]
            if _is_rhythm(layout, j):  # what is written under the leads must not be taken for one
                out[:, :, j] -= _FAINT_RHYTHM * (1 - self.sure)
        return out


def _near_each_start(strip: Strip, tall: Array) -> Array:
    """(reaches, names, rises, W): best response within each reach of a start that lies at each column of the map."""
    rows = np.clip(np.round(strip.zero_y_mm + np.array(_LABEL_RISE_MM)), 0, tall.shape[1] - 1).astype(int)
    band = np.ascontiguousarray(tall[:, rows].reshape(-1, tall.shape[2]))
    wide = []
    for low, high in _LABEL_REACHES_MM:
        onward = cv2.dilate(band, np.ones((1, round(high - low)), np.uint8), anchor=(0, 0))
        at = np.clip(np.arange(tall.shape[2]) + round(low), 0, tall.shape[2] - 1)
        wide.append(onward[:, at].reshape(len(tall), len(rows), -1))
    return np.stack(wide)


def _columns(strip: Strip, near: Array, n: int) -> Array:
    """(n, names, places): best response near the start of each of n columns."""
    starts = np.clip(np.linspace(*strip.x_mm, n + 1)[:n].astype(int), 0, near.shape[-1] - 1)
    return np.asarray(near[..., starts].transpose(3, 1, 0, 2).reshape(n, near.shape[1], _PLACES))


def _is_rhythm(layout: Layout, j: int) -> bool:
    return j >= len(layout.rows) - layout.rhythm_rows


def _best_sums(score: Array, price: Array) -> Array:
    """(k, n + 1, m + 1): greatest sum of an order-preserving matching of the first i strips and j rows.

    Args:
        score: (k, n, m) of each strip as each row.
        price: (n,) of leaving a strip out.
    """
    k, n, m = score.shape
    best = np.zeros((k, n + 1, m + 1))
    best[:, 1:, 0] = -np.cumsum(price)
    best[:, 0] = -_SKIPPED_ROW * np.arange(m + 1)
    for i in range(n):
        for j in range(m):
            skipped = np.maximum(best[:, i, j + 1] - price[i], best[:, i + 1, j] - _SKIPPED_ROW)
            best[:, i + 1, j + 1] = np.maximum(best[:, i, j] + score[:, i, j], skipped)
    return best


def _pairs(best: Array, score: Array, price: Array) -> list[tuple[int, int]]:
    """The matching behind `_best_sums` of one score (n, m), from the top."""
    pairs, (i, j) = [], score.shape
    while i and j:
        if best[i, j] == best[i - 1, j - 1] + score[i - 1, j - 1]:
            pairs.append((i - 1, j - 1))
            i, j = i - 1, j - 1
        elif best[i, j] == best[i - 1, j] - price[i - 1]:
            i -= 1
        else:
            j -= 1
    return pairs[::-1]
