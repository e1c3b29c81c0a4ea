"""From marks on the flat page to strips with names: pure functions on maps at 1 px/mm.

Maps are (H, W) float32 in [0, 1], pixel (x, y) is page mm (x, y).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ecg_trt.layout import GAINS_MM_PER_MV, LAYOUTS, LEAD_WORDS, LEADS, PAPER_SPEEDS_MM_PER_S, Layout
from ecg_trt.types import Array, Segment, Strip

_LEAST_STRIP_MM = 20.0
_LEAST_ROW_PITCH_MM = 7
_LABEL_REACH_MM = (-9.0, 16.0)  # where a lead name may stand with regard to its segment's start
_LABEL_RISE_MM = tuple(range(-16, 13))  # and to its zero line, one value for the whole page
_PULSE_SECONDS = 0.2
_ENOUGH_PULSES = 2  # a single patch may be anything
_PULSE_SEEN, _PULSE_SURE = 0.3, 0.5  # response where a pulse may be, and where it surely is
_PULSE_BLUR_MM = 1.0  # by which pulses look too wide
_PULSE_REACH_MM, _PULSE_SLACK_MM = 25, 3  # how far from a strip's end a pulse stands, and how well that end is known
_PULSE_FEET_MM = 5  # by which the lower end of a pulse may miss the zero line
_NAME_SEEN, _ENOUGH_NAMES = 0.25, 3  # response in the middle of a name; how many tell where the others are
_NAME_HALF_MM = (3.5, 2.0)  # half the width and height of a name
_ROW_LENGTHS_MM = (125.0, 250.0, 500.0)  # 5 or 10 s at 25 or 50 mm/s
_LEGIBLE = 0.35  # least response at which a name is taken as read
_SKIPPED_STRIP, _SKIPPED_ROW = 0.8, 0.9  # what leaving one out costs in units of a well-read label
_FAINT_RHYTHM = 0.8  # what a rhythm strip loses that is hardly seen
_PARTS = {1: 4, 2: 4, 3: 6, 4: 4, 6: 6}  # into how many parts a row of so many columns is cut to look where they meet
_SURE_STRIP = 0.7  # score of a strip that is surely one: a dark line of the grid scores less and costs less


@dataclass(frozen=True, slots=True)
class Naming:
    """A layout laid over the strips.

    Attributes:
        layout: the layout.
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


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the calibration pulses say, None where there are none."""

    speed_mm_per_s: float | None
    gain_mm_per_mv: float | None


def find_strips(zero: Array) -> list[Strip]:
    """Rows of the map of zero lines that go on for more than 2 cm, from the top."""
    profile = cv2.GaussianBlur(zero.sum(1)[:, None].astype(np.float32), (1, 0), 0.1, sigmaY=1.0)[:, 0]
    limit = max(_LEAST_STRIP_MM * 0.5, 0.3 * float(np.sort(profile)[-max(1, len(profile) // 60)]))
    strips: list[Strip] = []
    for y in np.argsort(-profile):
        if profile[y] < limit:
            break
        if any(abs(y - s.zero_y_mm) < _LEAST_ROW_PITCH_MM for s in strips):
            continue
        span = _extent(zero[max(0, y - 3) : y + 4].max(0))
        if span is None:
            continue
        near = np.arange(max(0, y - 2), min(len(profile), y + 3))
        middle = float((profile[near] * near).sum() / profile[near].sum())
        score = float(np.clip(profile[y] / (span[1] - span[0]) / 0.8, 0, 1))
        strips.append(Strip(middle, span, score))
    return sorted(strips, key=lambda s: s.zero_y_mm)


def _extent(line: Array, gap_mm: int = 30) -> tuple[float, float] | None:
    """First and last mm of the longest stretch of a line, gaps bridged."""
    lit = np.flatnonzero(cv2.blur(line[None], (5, 1))[0] > 0.3)
    if not len(lit):
        return None
    runs = np.split(lit, np.flatnonzero(np.diff(lit) > gap_mm) + 1)
    run = max(runs, key=len)
    return (float(run[0]), float(run[-1])) if run[-1] - run[0] >= _LEAST_STRIP_MM else None


def usual_row_length(length_mm: float, slack: float = 0.06) -> float | None:
    """The length at which devices print rows that is nearest, None if it is off by more than a share of `slack`."""
    usual = min(_ROW_LENGTHS_MM, key=lambda row: abs(np.log(row / length_mm)))
    return usual if abs(usual - length_mm) < slack * usual else None


def agree_on_span(strips: Sequence[Strip], start: Array, end: Array) -> list[Strip]:
    """Lets the strips of a page share their beginning and end where most of them do.

    The zero line fades at its ends; the marks of starts and ends are sharper, those between the columns of a row the
    sharpest. So a row that is about as long as devices print it is taken to be just that long, and laid where the marks
    at its ends and at its quarters add up to most.
    """
    if not strips:
        return []
    rows = [round(s.zero_y_mm) for s in strips]
    starts, ends = (
        cv2.GaussianBlur(np.mean([heat[max(0, y - 3) : y + 4].max(0) for y in rows], axis=0)[None], (0, 0), 1.0)[0]
        for heat in (start, end)
    )
    low, high = (float(np.median([s.x_mm[side] for s in strips])) for side in (0, 1))
    length = usual_row_length(high - low)
    if length is not None:
        at = np.arange((low + high - length) / 2 - 10, (low + high - length) / 2 + 10, 0.25)
        quarters = [np.interp(at + k * length / 4, np.arange(len(starts)), starts, 0, 0) for k in range(4)]
        total = np.sum(quarters, axis=0) + np.interp(at + length, np.arange(len(ends)), ends, 0, 0)
        total -= 1e-3 * np.abs(at - at.mean())  # without marks, the middle of what was seen
        low = float(at[total.argmax()])
        high = low + length
    shared = (low, high)
    return [
        replace(s, x_mm=shared) if abs(s.x_mm[0] - low) < 25 and abs(s.x_mm[1] - high) < 40 else s for s in strips
    ]


def name_boxes(strips: Sequence[Strip], label: Array) -> Array:
    """Where the letters of lead names stand.

    A device prints all names at the same distance from their segments: what most of them say holds for those that
    cannot be read.

    Args:
        strips: named strips.
        label: (words, H, W) map of the words of `layout.WORDS`.

    Returns:
        (H, W) bool.
    """
    any_name = label[: len(LEAD_WORDS)].max(0)
    height, width = any_name.shape
    corners = [(s.x_mm[0], strip.zero_y_mm) for strip in strips for s in strip.segments]
    seen = []
    for x, y in corners:
        left, top = (int(max(0, v + d)) for v, d in ((x, _LABEL_REACH_MM[0]), (y, _LABEL_RISE_MM[0])))
        window = any_name[top : int(y + _LABEL_RISE_MM[-1] + 1), left : int(x + _LABEL_REACH_MM[1])]
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


def shift_to_pen(strips: Sequence[Strip], confidence: Array, origin_x_mm: float, px_per_mm: float,
                 reach_mm: float) -> tuple[Strip, ...]:  # fmt: skip
    """Lays the strips of a page where the pen begins and ends, all by one distance.

    Args:
        strips: named strips.
        confidence: (strips, W) that a column shows the strip's pen.
        origin_x_mm: page mm of column 0.
        px_per_mm: of the columns.
        reach_mm: greatest shift.

    Returns:
        The strips, moved by the median of what their ends say; as they were where fewer than half of them say anything.
    """
    reach = round(reach_mm * px_per_mm)
    said = []
    for strip, sure in zip(strips, confidence, strict=True):
        for x, rising in zip(strip.x_mm, (True, False), strict=True):
            edge = round((x - origin_x_mm) * px_per_mm)
            on = sure[max(0, edge - reach) : edge + reach + 1] > 0.5
            steps = np.flatnonzero(on[1:] != on[:-1])
            steps = steps[on[steps + 1] == rising] + max(0, edge - reach) + 0.5
            if len(steps):
                nearest = float(steps[np.abs(steps - edge).argmin()])
                said.append(nearest / px_per_mm + origin_x_mm - x)
    if len(said) < len(strips):
        return tuple(strips)
    shift = float(np.median(said))
    return tuple(
        replace(
            s, x_mm=(s.x_mm[0] + shift, s.x_mm[1] + shift),
            segments=tuple(replace(g, x_mm=(g.x_mm[0] + shift, g.x_mm[1] + shift)) for g in s.segments),
        )
        for s in strips
    )  # fmt: skip


def read_pulses(pulse: Array, strips: Sequence[Strip]) -> Pulse:
    """Speed and gain from the size of the calibration pulses (1 mV, 0.2 s) that stand at the ends of the strips.

    Args:
        pulse: (H, W) map of the insides of pulses.
        strips: rows of the page; a pulse stands on a row's zero line, before its beginning or behind its end.
    """
    seen = []
    for strip in strips:
        zero = round(strip.zero_y_mm)
        top = max(0, zero - round(max(GAINS_MM_PER_MV)) - 2)
        for left in (strip.x_mm[0] - _PULSE_REACH_MM, strip.x_mm[1] - _PULSE_SLACK_MM):
            right = max(0, round(left) + _PULSE_REACH_MM + _PULSE_SLACK_MM)
            size = _standing(pulse[top : zero + _PULSE_SLACK_MM, max(0, round(left)) : right], zero - top)
            if size is not None:
                seen.append(size)
    if len(seen) < max(1, min(_ENOUGH_PULSES, len(strips))):
        return Pulse(None, None)
    widths, heights = np.array(seen).T
    # A pulse that is seen in part is too low; none is too high.
    return Pulse(_nearest(np.median(widths) / _PULSE_SECONDS, PAPER_SPEEDS_MM_PER_S),
                 _nearest(np.percentile(heights, 80), GAINS_MM_PER_MV))  # fmt: skip


def _standing(window: Array, zero: int) -> tuple[float, int] | None:
    """Width of the largest patch of a window, and how far it reaches above row `zero`, mm; None if it is no pulse."""
    if not window.size:
        return None
    stats = cv2.connectedComponentsWithStats((window > _PULSE_SEEN).astype(np.uint8), connectivity=4)[2][1:]
    if not len(stats):
        return None
    x, y, w, h, area = (int(v) for v in stats[stats[:, cv2.CC_STAT_AREA].argmax()])
    # Feet are often hidden by the trace's beginning, heads are not.
    whole = area >= 8 and w >= 2 and h >= 3 and area > 0.5 * w * h and abs(y + h - zero) <= _PULSE_FEET_MM
    # What lies between a pulse and the trace is often taken for a part of it, with less conviction.
    width = float(np.median((window[y : y + h, x : x + w] > _PULSE_SURE).sum(1)))
    return (max(width - _PULSE_BLUR_MM, 1.0), zero - y) if whole else None


def _nearest(value: float, options: tuple[float, ...]) -> float | None:
    """The option nearest in ratio, None if none is within a factor of 1.5."""
    ratio = np.abs(np.log(np.array(options) / max(float(value), 1e-6)))
    return options[int(ratio.argmin())] if ratio.min() < np.log(1.5) else None


def name_strips(
    strips: Sequence[Strip], label: Array, start: Array, *, layout: str = "auto"
) -> Naming | None:
    """Lays every layout over the strips and takes the one that the lead names and segment starts bear out best.

    Strips and rows are matched in order, from the top; either may be left out at a price.

    Args:
        strips: from `find_strips`.
        label: (words, H, W) map of the words of `layout.WORDS`.
        start: (H, W) map of segment starts.
        layout: name of a layout, or "auto".

    Returns:
        None if there is no strip.
    """
    if not strips:
        return None
    evidence = _Evidence(strips, label, start)
    candidates = [LAYOUTS[layout]] if layout != "auto" else list(LAYOUTS.values())
    scored = [(candidate, *evidence.match(candidate)) for candidate in candidates]
    scores = np.array([s for _, s, *_ in scored])
    best = int(scores.argmax())
    share = np.exp(2.0 * (scores - scores.max()))
    chosen, _, pairs, rise = scored[best]
    named = [_with_segments(strips[i], evidence.leads(chosen, i, j, rise)) for i, j in pairs]
    shown = {s.lead for strip in named for s in strip.segments}
    wanted = {lead for row in chosen.rows for lead in row}
    label_score = float(np.mean([evidence.plain(chosen, i, j, rise) for i, j in pairs])) if pairs else 0.0
    return Naming(chosen, float(share[best] / share.sum()), tuple(named),
                  tuple(lead for lead in LEADS if lead in wanted - shown), label_score)  # fmt: skip


def _with_segments(strip: Strip, leads: tuple[str, ...]) -> Strip:
    edges = np.linspace(*strip.x_mm, len(leads) + 1)
    segments = tuple(Segment(lead, (float(edges[k]), float(edges[k + 1]))) for k, lead in enumerate(leads))
    return replace(strip, segments=segments)


class _Evidence:
    """How well each lead's name is seen where a layout would print it."""

    def __init__(self, strips: Sequence[Strip], label: Array, start: Array) -> None:
        self.strips = strips
        self.sure = np.minimum(1, np.array([s.score for s in strips]) / _SURE_STRIP)
        tall = np.stack([cv2.dilate(plane, np.ones((5, 1), np.uint8)) for plane in label[: len(LEADS)]])
        self.seen = {n: np.stack([self._columns(s, tall, n) for s in strips]) for n in _PARTS}
        self.breaks = {n: np.stack([self._breaks(s, start, n) for s in strips]) for n in set(_PARTS.values())}

    def _columns(self, strip: Strip, tall: Array, n: int) -> Array:
        """(n, 12, rises): best response near the start of each of n columns."""
        edges = np.linspace(*strip.x_mm, n + 1)[:n]
        rows = np.clip(np.round(strip.zero_y_mm + np.array(_LABEL_RISE_MM)), 0, tall.shape[1] - 1).astype(int)
        out = np.zeros((n, len(LEADS), len(rows)), np.float32)
        for k, x in enumerate(edges):
            low, high = (int(np.clip(x + d, 0, tall.shape[2])) for d in _LABEL_REACH_MM)
            if high > low:
                out[k] = tall[:, rows, low:high].max(2)
        return out

    def _breaks(self, strip: Strip, start: Array, parts: int) -> Array:
        """(parts - 1,): is there a segment start where that many equal parts of the strip meet?"""
        y = round(strip.zero_y_mm)
        band = start[max(0, y - 4) : y + 5].max(0) if 0 <= y < len(start) else np.zeros(start.shape[1])
        marks = np.linspace(*strip.x_mm, parts + 1)[1:-1]
        return np.array([band[max(0, int(x) - 4) : int(x) + 5].max(initial=0) for x in marks])

    def _rhythm(self, layout: Layout, j: int) -> bool:
        return j >= len(layout.rows) - layout.rhythm_rows

    def leads(self, layout: Layout, i: int, j: int, rise: int) -> tuple[str, ...]:
        """Names of a strip's segments; a rhythm strip takes the name that is read there."""
        leads = layout.rows[j]
        seen = self.seen[len(leads)][i, :, :, rise]
        if self._rhythm(layout, j) and seen[0].max() > _LEGIBLE:
            return (LEADS[int(seen[0].argmax())],)
        return leads

    def plain(self, layout: Layout, i: int, j: int, rise: int) -> float:
        """Mean response to the names of strip i as row j."""
        leads = self.leads(layout, i, j, rise)
        return float(np.mean([self.seen[len(leads)][i, k, LEADS.index(lead), rise] for k, lead in enumerate(leads)]))

    def _pair_scores(self, layout: Layout) -> Array:
        """(rises, strips, rows) score of each strip as each row."""
        out = np.zeros((len(_LABEL_RISE_MM), len(self.strips), len(layout.rows)))
        for j, leads in enumerate(layout.rows):
            n = len(leads)
            columns, index = np.arange(n), [LEADS.index(lead) for lead in leads]
            others = self.seen[n].copy()
            mine = others[:, columns, index]
            others[:, columns, index] = 0
            rival = others.max(2)
            if self._rhythm(layout, j):
                mine, rival = np.maximum(mine, 0.6 * rival), 0 * rival
            parts = _PARTS[n]
            breaks, inner = self.breaks[parts], np.arange(1, parts) * n % parts == 0
            structure = np.where(inner, breaks - 0.3, 0.3 - breaks).mean(1)
            out[:, :, j] = 1.5 * (mine - 0.5 * rival).mean(1).T + 0.8 * structure
            if self._rhythm(layout, j):  # what is written under the leads must not be taken for one
                out[:, :, j] -= _FAINT_RHYTHM * (1 - self.sure)
        return out

    def match(self, layout: Layout) -> tuple[float, list[tuple[int, int]], int]:
        """Best score over the rises of the names, its pairs (strip, row) and the rise's index."""
        score = self._pair_scores(layout)
        price = _SKIPPED_STRIP * self.sure**3
        best = _best_sums(score, price)
        rise = int(best[:, -1, -1].argmax())
        return float(best[rise, -1, -1]), _pairs(best[rise], score[rise], price), rise


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
