"""Which of several looks at a page shows most of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ecg_trt.layout import LAYOUTS, STRIPS, Layout
from ecg_trt.page.candidate import PageCandidate
from ecg_trt.page.naming import Naming
from ecg_trt.types import GridWarp, Strip

UNKNOWN = Layout(STRIPS, (("II",),))


def _look(layout: Layout, names: float, *, length: float = 250.0, rows: int = 4, probability: float = 1.0,
          has_grid: bool = True) -> PageCandidate:  # fmt: skip
    strips = tuple(Strip(40.0 + 30 * k, (20.0, 20.0 + length), 1.0) for k in range(rows))
    grid = GridWarp(np.zeros((4, 4, 2), np.float32), 5.0, 0.1, np.full((4, 4), has_grid))
    nothing: Any = None
    return PageCandidate(nothing, grid, nothing, Naming(layout, probability, strips, (), names))


def test_a_known_layout_is_worth_more_than_strips_of_any_kind() -> None:
    assert _look(LAYOUTS["4x3"], 0.52).score > _look(UNKNOWN, 0.6).score
    assert _look(LAYOUTS["4x3"], 0.2, probability=0.3).score < _look(UNKNOWN, 0.6).score


def test_longer_and_more_rows_are_worth_more() -> None:
    part, whole = (_look(LAYOUTS["12x1"], names, length=mm) for names, mm in ((0.33, 81.0), (0.3, 250.0)))
    assert whole.wide_score > part.wide_score
    odd, standard = (_look(LAYOUTS["12x1"], 0.5, length=mm) for mm in (166.0, 250.0))
    assert standard.wide_score > odd.wide_score + 0.1, "score another look after the last"
    assert _look(UNKNOWN, 0.3, rows=5).wide_score > _look(UNKNOWN, 0.3).wide_score


@pytest.mark.parametrize(
    ("layout", "names", "is_upright"),
    [(LAYOUTS["6x2"], 0.2, True), (UNKNOWN, 0.2, False), (UNKNOWN, 0.5, True), (LAYOUTS["6x2"], 0.1, False)],
)
def test_strips_must_be_read_better_to_count_as_upright(layout: Layout, names: float, is_upright: bool) -> None:
    assert _look(layout, names).is_upright == is_upright


def test_a_layout_that_is_not_likely_must_be_read_better_too() -> None:
    assert [_look(LAYOUTS["6x2"], 0.2, probability=p).is_upright for p in (0.9, 0.3)] == [True, False]
    assert _look(LAYOUTS["6x2"], 0.4, probability=0.3).is_upright


def test_few_strips_of_no_layout_are_not_taken_for_a_page_seen_upright() -> None:
    assert not _look(UNKNOWN, 0.4, rows=2).is_upright
    assert _look(UNKNOWN, 0.9, rows=1).is_upright, "a rhythm strip whose name is plain"
    assert _look(LAYOUTS["12x1"], 0.1, rows=12, probability=0.8).score > _look(UNKNOWN, 0.4, rows=1).score


def test_without_a_lattice_rows_of_a_usual_length_tell_the_scale() -> None:
    whole, long, odd = (_look(LAYOUTS["6x2"], 0.5, length=mm, has_grid=False) for mm in (250.0, 257.5, 200.0))
    assert [look.scale_score for look in (whole, long, odd)] == pytest.approx([1.0, 0.5, 0.0])
    assert [look.is_confident for look in (whole, long, odd)] == [True, True, False]
    assert whole.score > long.score > odd.score
    assert _look(LAYOUTS["6x2"], 0.5, length=200.0).is_confident
    assert not _look(LAYOUTS["6x2"], 0.1).is_confident
    doubtful = _look(LAYOUTS["6x2"], 0.2)
    assert doubtful.is_legible and not doubtful.is_confident, "another view may show its names better"
    assert _look(UNKNOWN, 0.9).is_legible and not _look(UNKNOWN, 0.9).is_confident


def test_a_look_that_shows_nothing_is_worth_least() -> None:
    nothing: Any = None
    blank = PageCandidate(nothing, nothing, nothing, None)
    assert blank.score < _look(UNKNOWN, 0.0).score
    assert blank.length_mm == 0.0
    assert not blank.is_upright
