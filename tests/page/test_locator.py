"""What is done where the first look does not tell enough."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from ecg_trt.backends.fake import FakeBackend
from ecg_trt.backends.runtime import Runtime
from ecg_trt.config import ReadOptions
from ecg_trt.digitizer import Digitizer
from ecg_trt.geometry.homography import apply_homography
from ecg_trt.geometry.refine import Refined
from ecg_trt.layout import LAYOUTS
from ecg_trt.networks import READING_NETWORKS
from ecg_trt.ops.select import open_ops
from ecg_trt.page.candidate import LocatedPage, PageCandidate
from ecg_trt.page.locator import PageLocator
from ecg_trt.page.naming import Naming
from ecg_trt.page.pulses import PulseSigns
from ecg_trt.page.realignment import rotate90, scale, turned_alike
from ecg_trt.page.scales import ScaleSigns
from ecg_trt.printed import Quantity
from ecg_trt.step_timer import StepTimer
from ecg_trt.types import GridWarp, PageAlignment, Photo, Segment, Strip

PHOTO = Photo(np.zeros((9, 9, 3), np.uint8), "photo")
ROWS = tuple(Strip(y, (20.0, 270.0), 1.0, (Segment("I", (20.0, 270.0)),)) for y in (40.0, 70.0, 100.0))
NOTHING: Any = None


def _alignment() -> PageAlignment:
    none = np.zeros(0)
    return PageAlignment(np.eye(3), (290.0, 140.0), none, none > 0, none, 0)


def _grid(*, is_seen: bool) -> GridWarp:
    nodes = 5.0 * np.stack(np.meshgrid(np.arange(58), np.arange(28)), -1).astype(np.float32)
    return GridWarp(nodes, 5.0, 0.1, np.full(nodes.shape[:2], is_seen))


def _look(*, is_seen: bool = True, names: float = 0.5) -> PageCandidate:
    grid = _grid(is_seen=is_seen)
    naming = Naming(LAYOUTS["3x4"], 1.0, ROWS, (), names)
    return PageCandidate(_alignment(), grid, NOTHING, naming, Refined(grid, ROWS, NOTHING))


def _located(*, is_seen: bool = True) -> LocatedPage:
    grid = _grid(is_seen=is_seen)
    return LocatedPage(_alignment(), grid, NOTHING, NOTHING, Naming(LAYOUTS["3x4"], 1.0, ROWS, (), 0.5))


def _marks(label: str) -> Any:
    """Marks of which the map of words is a word."""
    return type("Marks", (), {"label": label})()


class _Rectify:
    """Stands in for the second stage, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[PageAlignment] = []

    def __call__(self, photo: Photo, alignment: PageAlignment) -> tuple[GridWarp, str]:
        self.asked.append(alignment)
        return _grid(is_seen=True), "marks from farther off"


def test_print_is_sought_farther_from_the_rows_where_a_lattice_reaches() -> None:
    rectify: Any = _Rectify()
    find = PageLocator(NOTHING, rectify, open_ops())
    margins = find.search_margins(PHOTO, _located())
    assert margins is not None and margins[1] == "marks from farther off"  # type: ignore[comparison-overlap]
    (asked,) = rectify.asked
    assert asked.size_mm[1] > 60 + 2 * 60, "more than 6 cm above the first and below the last row"
    assert find.search_margins(PHOTO, _located(is_seen=False)) is None
    assert find.search_margins(PHOTO, replace(_located(), alignment=asked)) is None, "all that was seen before"
    lattice = _grid(is_seen=False)
    lattice.measured[3, 3:9] = True  # nodes on one line
    assert find.search_margins(PHOTO, replace(_located(), grid=lattice)) is None


def test_print_farther_from_the_rows_counts_where_a_scale_is_open() -> None:
    networks = {name: FakeBackend(lambda feed: {}) for name in READING_NETWORKS}
    digitizer: Any = Digitizer(runtime=Runtime("fake", networks, open_ops()))
    near, far = replace(_located(), heatmaps=_marks("near")), (_grid(is_seen=True), _marks("far"))
    speed, gain = Quantity.SPEED, Quantity.GAIN
    reads = {"near": {gain: {10.0: 0.95}}, "far": {speed: {50.0: 0.99}}}
    done: list[str] = []
    no_pulses = PulseSigns(np.zeros((2, 3)))
    digitizer._calibration_reader = lambda printed, *_: ScaleSigns(printed, no_pulses)
    digitizer._caption = lambda photo, grid, label: done.append(label) or reads[label]  # type: ignore[func-returns-value]
    digitizer._rectify.flatten_rows = lambda *_: None
    digitizer._find.search_margins = lambda photo, look: far
    signs = digitizer._signs_of_scales(PHOTO, near, ReadOptions())
    assert signs.printed == {speed: {50.0: 0.99}, gain: {10.0: 0.95}} and done == ["near", "far"]
    done.clear()
    assert digitizer._signs_of_scales(PHOTO, near, ReadOptions(speed=25)).printed == reads["near"]
    assert done == ["near"], "the user gives the speed"


def test_rows_that_run_aslant_are_looked_at_level_if_that_shows_more() -> None:
    aslant = np.zeros((140, 290), np.float32)
    for y in (40, 70, 100):
        cv2.line(aslant, (20, y - 9), (270, y + 9), 1.0, 3)
    marks: Any = type("Marks", (), {"zero": aslant})()

    def located(names_when_level: float) -> tuple[PageCandidate, list[PageAlignment]]:
        find: Any = PageLocator(NOTHING, NOTHING, open_ops())
        asked: list[PageAlignment] = []

        def look(photo: Photo, alignment: PageAlignment, layout: str, clock: StepTimer) -> PageCandidate:
            asked.append(alignment)
            names = 0.3 if len(asked) == 1 else names_when_level
            return replace(_look(is_seen=False, names=names), alignment=alignment, heatmaps=marks)

        find._candidate, find._refine_candidate = look, lambda photo, best, layout, clock: best
        return find.locate(PHOTO, _alignment(), "auto", [], StepTimer()), asked

    best, asked = located(0.6)
    ends = apply_homography(best.alignment.page_from_photo, np.array([[20.0, 61.0], [270.0, 79.0]]))
    assert ends[0, 1] == pytest.approx(ends[1, 1], abs=1.5), "level now"
    assert asked[1] is best.alignment
    best, asked = located(0.2)
    assert best.alignment is asked[0]


def test_a_closer_look_counts_in_the_times() -> None:
    find: Any = PageLocator(NOTHING, NOTHING, open_ops())
    unsettled, clock = _look(names=0.05), StepTimer()
    find.refine = lambda photo, look: look.refined
    find._candidate = lambda photo, alignment, layout, clock: replace(unsettled, alignment=alignment)
    find._refine_candidate(PHOTO, unsettled, "auto", clock)
    assert set(clock.ms) == {"refine"}


def test_a_view_that_shows_the_same_is_looked_at_once_the_way_up_that_was_best() -> None:
    find: Any = PageLocator(NOTHING, NOTHING, open_ops())
    asked: list[PageAlignment] = []

    def located(names: list[float], alignment: PageAlignment, looks: list[PageCandidate]) -> PageCandidate | None:
        asked.clear()

        def look(photo: Photo, alignment: PageAlignment, layout: str, clock: StepTimer) -> PageCandidate:
            asked.append(alignment)
            return replace(_look(names=names[len(asked) - 1]), alignment=alignment)

        find._candidate, find._refine_candidate = look, lambda photo, best, layout, clock: best
        return find.locate(PHOTO, alignment, "auto", looks, StepTimer())

    looks: list[PageCandidate] = []
    best = located([0.05, 0.1, 0.14, 0.05], _alignment(), looks)
    assert best is not None and len(asked) == 4 and looks == [best], "upright, upside down, and to both sides"
    again = scale(rotate90(_alignment(), 3), 1.05)
    assert located([0.14], again, looks) is None and len(asked) == 1 and len(looks) == 1
    assert turned_alike(asked[0], asked[0])[1] == pytest.approx(0, abs=1e-9)
    assert asked[0].quarter_turns == looks[0].alignment.quarter_turns, "the way up that was best"
    better = located([0.5], again, looks)
    assert better is not None and len(asked) == 1 and looks == [best, better], "it shows more"
    without_grid = [replace(best, grid=_grid(is_seen=False))]
    assert located([0.05, 0.05, 0.05, 0.05], again, without_grid) is not None and len(asked) == 4, "a grid at last"
    other = located([0.05] * 4, scale(_alignment(), 1.3), looks)
    assert other is not None and len(asked) == 4, "a view of its own"
