"""Strips from maps that the generator knows, with noise on them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from ecg_trt.layout import MARKED_WORDS
from ecg_trt.page.naming import name_strips
from ecg_trt.page.strips import agree_on_span, find_strips, shift_to_pen, slant_of
from ecg_trt.types import Segment, Strip
from tests.geometry.true_maps import maps_of, page_of


def test_an_empty_page_has_no_strips() -> None:
    nothing = np.zeros((200, 280), np.float32)
    assert find_strips(nothing) == []
    assert agree_on_span([], nothing, nothing) == []
    assert name_strips([], np.zeros((len(MARKED_WORDS), 200, 280), np.float32), nothing) is None


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


def test_strips_are_shifted_to_where_the_pen_begins_and_ends() -> None:
    strips = [Strip(y, (20.0, 270.0), 1.0, (Segment("II", (20.0, 270.0)),)) for y in (30.0, 60.0, 90.0)]
    sure = np.zeros((3, 2800), np.float32)
    sure[:, 155:2655] = 0.9  # 0.5 mm further right, counted from 5 mm
    sure[1, 150:160] = 0.9  # one strip begins in a calibration pulse
    moved = shift_to_pen(strips, sure, 5.0, 10.0, 1.5)
    assert [s.x_mm[0] for s in moved] == pytest.approx([20.45] * 3, abs=0.051)
    assert moved[0].segments[0].x_mm == moved[0].x_mm
    assert shift_to_pen(strips, np.ones_like(sure), 5.0, 10.0, 1.5) == tuple(strips)


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
