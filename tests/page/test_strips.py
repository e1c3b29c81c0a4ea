"""Strips from maps that the generator knows, with noise on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest

from ecg_trt.layout import MARKED_WORDS
from ecg_trt.page.naming import name_strips
from ecg_trt.page.strips import (
    agree_on_span,
    find_strips,
    part_columns,
    shift_to_borders,
    slant_of,
    split_rows,
    unread_mm,
)
from ecg_trt.thresholds import RunThresholds
from ecg_trt.types import Array, RectifiedPage, Segment, Strip, TraceMap
from tests.geometry.true_maps import maps_of, page_of


def test_an_empty_page_has_no_strips() -> None:
    nothing = np.zeros((200, 280), np.float32)
    assert find_strips(nothing) == []
    assert agree_on_span([], nothing, nothing) == []
    assert name_strips([], np.zeros((len(MARKED_WORDS), 200, 280), np.float32), nothing) is None


def test_a_row_is_long_and_stands_out_somewhere() -> None:
    zero = np.zeros((120, 280), np.float32)
    zero[29:32, 20:220], zero[29:32, 100:120] = 0.35, 0.9
    zero[59:62, 20:220] = 0.35
    zero[89:92, 20:55] = 0.9
    thresholds = RunThresholds(0.5, 0.3, 40.0)
    (row,) = find_strips(zero, thresholds)
    assert row.zero_y_mm == pytest.approx(30, abs=0.6) and row.x_mm == pytest.approx((20, 220), abs=3)
    (part,) = find_strips(zero, replace(thresholds, lower=0.4, least_mm=15.0))[:1]
    assert part.x_mm == pytest.approx((100, 120), abs=3)
    assert len(find_strips(zero, replace(thresholds, upper=0.3))) == 2
    assert len(find_strips(zero, replace(thresholds, upper=0.3, least_mm=25.0))) == 3


def test_parts_of_a_row_that_drifts_are_one() -> None:
    zero = np.zeros((170, 290), np.float32)
    for y, x0, x1 in ((30, 20, 270), (60, 20, 130), (69, 134, 270), (95, 20, 200), (125, 20, 200), (134, 150, 270)):
        zero[y - 1 : y + 2, x0:x1] = 1.0
    rows = find_strips(zero)
    assert [s.zero_y_mm for s in rows] == pytest.approx([30, 65, 95, 125, 134], abs=0.6), "what overlaps is two rows"
    assert rows[1].x_mm == pytest.approx((20, 270), abs=2)
    assert [s.x_mm[1] - s.x_mm[0] for s in rows[3:]] == pytest.approx([180, 120], abs=4)
    twice = np.zeros_like(zero)
    for y, x0, x1 in ((30, 20, 270), (70, 20, 170), (78, 120, 270), (115, 20, 270), (155, 20, 270)):
        twice[y - 1 : y + 2, x0:x1] = 1.0
    assert [s.zero_y_mm for s in find_strips(twice)] == pytest.approx([30, 74, 115, 155], abs=0.6)
    alone = np.zeros_like(zero)
    alone[59:62, 20:130], alone[68:71, 134:270] = 1.0, 1.0
    assert len(find_strips(alone)) == 2, "nothing tells how far apart rows are"


@pytest.mark.parametrize("degrees", [-5.0, 0.0, 3.0])
def test_rows_that_run_aslant_are_told(degrees: float) -> None:
    zero = maps_of(page_of(1, layout="3x4+1", paper_speed_mm_per_s=25.0))["zero"][0]
    turn = cv2.getRotationMatrix2D((140.0, 100.0), -degrees, 1.0)
    seen = cv2.warpAffine(zero, turn, zero.shape[::-1])
    assert np.rad2deg(slant_of(seen)) == pytest.approx(degrees, abs=0.6)
    few = np.zeros_like(zero)
    few[40:43, 30:50], few[44:47, 80:100] = 1.0, 1.0
    assert slant_of(few) == 0.0
    assert slant_of(np.zeros_like(zero)) == 0.0


_BORDERS_MM = (20.0, 82.5, 145.0, 207.5, 270.0)
_FRAME = RectifiedPage(np.zeros((0, 0, 3), np.uint8), (20.0, 4.5), (5.0, 0.0), np.ones((0, 0), bool), 8.0)
_FRAME_X_MM = _FRAME.x_mm(np.arange(5600))


def _columns_of_leads() -> list[Strip]:
    """Three rows of four leads."""
    segments = tuple(Segment(lead, span) for lead, span in zip("abcd", pairwise(_BORDERS_MM), strict=True))
    return [Strip(y, (_BORDERS_MM[0], _BORDERS_MM[-1]), 1.0, segments) for y in (30.0, 60.0, 90.0)]


def _heat(borders_mm: Iterable[float]) -> Array:
    """(W,) response that a network gives to borders: Gaussians of 0.1 mm."""
    away = np.abs(_FRAME_X_MM[:, None] - np.array([*borders_mm])).min(1)
    return np.exp(-0.5 * (away / 0.1) ** 2).astype(np.float32)


def _pen(*spans_mm: tuple[float, float]) -> Array:
    """(W,) confidence of a pen that is seen in some spans."""
    x = _FRAME_X_MM
    return np.max([np.where((x >= a) & (x < b), 0.9, 0.0) for a, b in spans_mm], axis=0)


def _trace(borders: Iterable[Array], pens: Iterable[Array]) -> TraceMap:
    border, pen = np.array([*borders], np.float32), np.array([*pens], np.float32)
    return TraceMap(np.zeros_like(pen), pen, border)


def _shift(trace: TraceMap) -> float:
    """The distance by which all rows and leads are moved alike."""
    strips = _columns_of_leads()
    moved = shift_to_borders(strips, _FRAME, trace, 1.5)
    shift = moved[0].x_mm[0] - strips[0].x_mm[0]
    for strip, before in zip(moved, strips, strict=True):
        assert strip == replace(before, x_mm=strip.x_mm, segments=strip.segments)
        assert [s.lead for s in strip.segments] == [s.lead for s in before.segments]
        now, then = (np.array([s.x_mm, *(g.x_mm for g in s.segments)]) for s in (strip, before))
        assert np.abs(now - then - shift).max() < 1e-9
    return shift


@pytest.mark.parametrize("shift", [-1.0, -0.41, 0.0, 0.13, 0.52, 1.0])
def test_strips_are_shifted_to_where_their_leads_begin_and_end(shift: float) -> None:
    at = [x + shift for x in _BORDERS_MM]
    trace = _trace([_heat(at)] * 3, [_pen((at[0], at[-1]))] * 3)
    # Half a column, and a share by which large shifts are less likely than small ones.
    assert _shift(trace) == pytest.approx(shift, abs=0.025 + 0.07 * abs(shift))


def test_single_borders_are_off_and_all_together_are_not() -> None:
    rng, off = np.random.default_rng(0), []
    for _ in range(20):
        rows = [[x + 0.3 + d for x, d in zip(_BORDERS_MM, rng.uniform(-0.25, 0.25, 5), strict=True)] for _ in range(3)]
        off.append(_shift(_trace(map(_heat, rows), [_pen((row[0], row[-1])) for row in rows])) - 0.3)
    assert np.abs(off).max() < 0.15 and np.sqrt(np.mean(np.square(off))) < 0.07  # of one border: 0.14


def test_a_pulse_and_names_hide_borders() -> None:
    at = [x + 0.3 for x in _BORDERS_MM]
    borders = [_heat([at[0] - 5.0, *at[1:]]), _heat([at[0], *at[2:]]), _heat(at[1:-1])]  # the foot of a pulse is none
    trace = _trace(borders, [_pen((at[0] - 5.0, at[-1])), _pen((at[0], at[-1])), _pen((at[0], at[-1] + 1.5))])
    assert _shift(trace) == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("shift", [-0.2, 0.0, 0.3])
def test_a_gap_before_each_lead_does_not_pull(shift: float) -> None:
    """The pen stops 1 mm before the next lead begins: a lead starts where the pen goes on, and not where it stops."""
    spans = [(a + shift, b + shift - 1.0) for a, b in pairwise(_BORDERS_MM)]
    trace = _trace([_heat(x for span in spans for x in span)] * 3, [_pen(*spans)] * 3)
    assert _shift(trace) == pytest.approx(shift, abs=0.02)


def test_rows_that_were_laid_beside_their_beginning_are_shifted_far() -> None:
    """The start is not traced where the strip is thought to begin later, so that the row's end tells alone."""
    at = [x - 8.0 for x in _BORDERS_MM]
    trace = _trace([_heat(at[-1:])] * 3, [_pen((_BORDERS_MM[0], at[-1]))] * 3)
    moved = shift_to_borders(_columns_of_leads(), _FRAME, trace)
    assert moved[0].x_mm[0] == pytest.approx(_BORDERS_MM[0] - 8.0, abs=0.1)


def test_columns_are_parted_where_a_pulse_stands_before_each() -> None:
    gap, length = 8.2, (250.0 - 3 * 8.2) / 4
    spans = [(20.0 + k * (length + gap), 20.0 + k * (length + gap) + length) for k in range(4)]
    pulses = _heat(x for span in spans for x in span)
    strips = part_columns(_columns_of_leads(), _FRAME, _trace([pulses] * 3, [_pen(*spans)] * 3))
    for strip in strips:
        assert strip.x_mm == (20.0, 270.0)
        np.testing.assert_allclose([g.x_mm for g in strip.segments], spans, atol=0.15)
        assert [g.earlier_mm for g in strip.segments] == pytest.approx([0, gap, 2 * gap, 3 * gap], abs=0.15)
    meeting = _trace([_heat(_BORDERS_MM)] * 3, [_pen((20.0, 270.0))] * 3)
    assert part_columns(_columns_of_leads(), _FRAME, meeting) == tuple(_columns_of_leads())
    alone = [replace(s, segments=s.segments[:1]) for s in _columns_of_leads()]
    assert part_columns(alone, _FRAME, meeting) == tuple(alone)


@pytest.mark.parametrize("columns", [2, 3, 5, 6])
def test_rows_are_split_where_their_borders_are(columns: int) -> None:
    rows = [replace(s, segments=(Segment("I", s.x_mm),)) for s in _columns_of_leads()]
    edges = np.linspace(20.0, 270.0, columns + 1)
    strips, log_odds = split_rows(rows, _FRAME, _trace([0.6 * _heat(edges)] * 3, [_pen((20.0, 270.0))] * 3))
    assert log_odds > 0 and [len(s.segments) for s in strips] == [columns] * 3
    np.testing.assert_allclose([g.x_mm[0] for g in strips[0].segments], edges[:-1])
    names = [g.lead for s in strips for g in s.segments]
    assert names[::columns] == ["I"] * 3 and len(set(names)) == 3 * (columns - 1) + 1
    assert split_rows(rows, _FRAME, _trace([_heat(edges[[0, -1]])] * 3, [_pen((20.0, 270.0))] * 3))[1] < 0


def test_strips_stay_where_no_border_is_seen() -> None:
    strips = tuple(_columns_of_leads())
    at = [x + 0.5 for x in _BORDERS_MM]
    none, seen, pen = np.zeros(5600), _heat(at), _pen((at[0], at[-1]))
    for trace in (
        _trace([none] * 3, [pen] * 3),
        _trace([seen] * 3, [none] * 3),
        _trace([0.03 * seen] * 3, [pen] * 3),
        _trace([_heat([50.0, 110.0])] * 3, [pen] * 3),  # what is beyond 1.5 mm
    ):
        assert shift_to_borders(strips, _FRAME, trace, 1.5) == strips
    assert shift_to_borders(strips, _FRAME, _trace([seen] * 3, [pen] * 3), 1.5) != strips


def test_a_cut_row_of_six_columns_is_laid_where_these_begin() -> None:
    page = page_of(1, layout="2x6", paper_speed_mm_per_s=25.0)
    maps = maps_of(page)
    for m in maps.values():
        m[..., round(page.strips[0].x_mm[1]) - 15 :] = 0
    strips = agree_on_span(find_strips(maps["zero"][0]), maps["start"][0], maps["end"][0])
    for found, true in zip(strips, page.strips, strict=True):
        assert found.x_mm == pytest.approx(true.x_mm, abs=1.0)


def test_rows_and_parts_of_rows_that_no_lead_takes_are_measured() -> None:
    rows = [Strip(40.0, (20.0, 270.0), 1.0), Strip(70.0, (20.0, 310.0), 1.0), Strip(100.0, (22.0, 268.0), 1.0)]
    read = [replace(s, x_mm=(20.0, 270.0)) for s in rows]
    assert unread_mm(rows[::2], read[::2]) == 0
    assert unread_mm(rows, read) == 40.0, "a column more"
    assert unread_mm(rows, read[:1]) == 290.0 + 246.0
    shadow = Strip(10.0, (52.0, 164.0), 0.56)
    assert unread_mm([shadow, *rows], read) == 40.0, "fainter than all that was read, and short"
    assert unread_mm([replace(shadow, x_mm=(20.0, 164.0)), *rows], read) == 40.0 + 144.0, "a faint row"


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_row_that_the_picture_cuts_is_laid_where_its_columns_begin(side: str) -> None:
    page = page_of(1, layout="3x4", paper_speed_mm_per_s=25.0)
    maps = maps_of(page)
    x0, x1 = (round(x) for x in page.strips[0].x_mm)
    cut = np.s_[..., x1 - 40 :] if side == "right" else np.s_[..., : x0 + 40]
    for m in maps.values():
        m[cut] = 0
    strips = agree_on_span(find_strips(maps["zero"][0]), maps["start"][0], maps["end"][0])
    assert len(strips) == 3
    for found, true in zip(strips, page.strips, strict=True):
        assert found.x_mm == pytest.approx(true.x_mm, abs=1.0)


@pytest.mark.parametrize(
    "spans",
    [
        [(20, 270), (150, 270)],
        [(150, 270), (20, 230), (20, 150), (20, 225), (150, 270), (150, 270), (20, 270)],
    ],
)
def test_rows_that_are_seen_in_part_are_as_long_as_the_longest(spans: list[tuple[int, int]]) -> None:
    nothing = np.zeros((300, 300), np.float32)
    strips = [Strip(30.0 + 30 * k, (float(a), float(b)), 1.0) for k, (a, b) in enumerate(spans)]
    for strip in agree_on_span(strips, nothing, nothing):
        assert strip.x_mm == pytest.approx((20, 270), abs=1)
    ends = [(20.0, 270.0), (20.0, 270.0), (100.0, 150.0), (160.0, 200.0), (210.0, 260.0)]
    apart = [Strip(30.0 * k, span, 1.0) for k, span in enumerate(ends)]
    assert [s.x_mm for s in agree_on_span(apart, nothing, nothing)] == [s.x_mm for s in apart]


def test_without_a_lattice_a_row_is_as_long_as_its_columns_say() -> None:
    page = page_of(1, layout="3x4", paper_speed_mm_per_s=25.0)
    maps = {name: cv2.resize(maps_of(page)[name][0], None, fx=0.95, fy=1.0) for name in ("zero", "start", "end")}
    strips = find_strips(maps["zero"])
    wanted = [0.95 * x for x in page.strips[0].x_mm]
    (loose, *_), (strict, *_) = (
        agree_on_span(strips, maps["start"], maps["end"], is_scaled=is_scaled) for is_scaled in (False, True)
    )
    assert loose.x_mm == pytest.approx(wanted, abs=1.5)
    assert strict.x_mm[1] - strict.x_mm[0] > wanted[1] - wanted[0] + 5


def test_a_short_strip_stays_as_short_as_it_is() -> None:
    page = page_of(2, layout="rows", paper_speed_mm_per_s=25.0)
    x0, x1 = (round(x) for x in page.strips[0].x_mm)
    maps = maps_of(page)
    for m in maps.values():
        m[..., x0 + 190 :] = 0
    for found in agree_on_span(find_strips(maps["zero"][0]), maps["start"][0], maps["end"][0]):
        assert found.x_mm == pytest.approx((x0, min(x1, x0 + 190)), abs=2.5)


def test_a_row_of_which_a_part_is_seen_is_as_long_as_the_others() -> None:
    nothing = np.zeros((200, 300), np.float32)
    strips = [Strip(40.0, (25.0, 275.0), 0.9), Strip(80.0, (26.0, 150.0), 0.9), Strip(120.0, (25.0, 274.0), 0.9)]
    spans = {s.x_mm for s in agree_on_span(strips, nothing, nothing)}
    assert len(spans) == 1
    assert spans.pop() == pytest.approx((25.0, 275.0), abs=1.0)
    half = [replace(s, x_mm=(25.0, 120.0)) if s.zero_y_mm > 100 else s for s in strips]
    assert len({s.x_mm for s in agree_on_span(half, nothing, nothing)}) > 1  # most are short
