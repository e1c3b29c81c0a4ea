"""What is done where the first look does not tell enough."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ecg_trt.backends.fake import FakeBackend
from ecg_trt.clock import Clock
from ecg_trt.digitizer import Digitizer
from ecg_trt.find import Find
from ecg_trt.geometry.naming import Naming
from ecg_trt.geometry.refine import Refined
from ecg_trt.geometry.scales import Scales
from ecg_trt.layout import LAYOUTS
from ecg_trt.look import Look
from ecg_trt.ops.select import open_ops
from ecg_trt.runtime import NETWORKS, Runtime
from ecg_trt.stages.align import realigned
from ecg_trt.types import GridWarp, PageAlignment, Photo, Segment, Strip

PHOTO = Photo(np.zeros((9, 9, 3), np.uint8), "photo")
ROWS = tuple(Strip(y, (20.0, 270.0), 1.0, (Segment("I", (20.0, 270.0)),)) for y in (40.0, 70.0, 100.0))
NOTHING: Any = None


def _alignment(size_mm: tuple[float, float] = (290.0, 140.0)) -> PageAlignment:
    none = np.zeros(0)
    return PageAlignment(np.eye(3), size_mm, np.zeros((0, 2)), none, none > 0, none, 0)


def _grid(*, is_seen: bool) -> GridWarp:
    nodes = 5.0 * np.stack(np.meshgrid(np.arange(58), np.arange(28)), -1).astype(np.float32)
    return GridWarp(nodes, 5.0, 0.1, np.full(nodes.shape[:2], is_seen))


def _look(*, is_seen: bool = True, names: float = 0.5, zoom: float = 1.0, size: tuple[float, float] = (290.0, 140.0),
          layout: str = "3x4") -> Look:  # fmt: skip
    grid = _grid(is_seen=is_seen)
    naming = Naming(LAYOUTS[layout], 1.0, ROWS, (), names)
    return Look(_alignment(size), grid, NOTHING, naming, Refined(grid, ROWS, NOTHING), zoom)


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
    find = Find(NOTHING, rectify, open_ops(), "auto")
    wider = find.wider(PHOTO, _look())
    assert wider is not None and wider.marks == "marks from farther off"
    (asked,) = rectify.asked
    assert asked.size_mm[1] > 60 + 2 * 60, "more than 6 cm above the first and below the last row"
    assert find.wider(PHOTO, _look(is_seen=False)) is None
    assert find.wider(PHOTO, _look(size=(400.0, 400.0))) is None, "all that was seen before"


@pytest.mark.parametrize(("farther", "found"), [(0.95, 50.0), (0.0, 25.0)])
def test_scales_are_told_by_what_either_look_reads(farther: float, found: float) -> None:
    networks = {name: FakeBackend(lambda feed: {}) for name in NETWORKS}
    digitizer: Any = Digitizer(runtime=Runtime("fake", networks, open_ops()))
    near, far = _look(), replace(_look(), marks=_marks("far"))
    near = replace(near, marks=_marks("near"))
    reads = {"near": {"50 mm/s": 0.3, "10 mm/mV": 0.9}, "far": {"50 mm/s": farther, "10 mm/mV": 0.1}}
    done: list[str] = []

    class Told:
        are_given = False

        def __call__(self, said: dict[str, float], *_: object) -> Any:
            assert said["10 mm/mV"] == 0.9, "the best of both"
            told = said["50 mm/s"] > 0.9
            return lambda odds: Scales(50.0 if told else 25.0, 10.0, () if told else ("speed",), ())

    digitizer._scales = Told()
    digitizer._caption = lambda photo, grid, label: done.append(label) or reads[label]
    digitizer._rectify.flatten_rows = lambda *_: done.append("page")
    digitizer._find.wider = lambda photo, look: far
    _, scales_by = digitizer._told(PHOTO, near)
    assert scales_by(0.0).speed_mm_per_s == found
    assert done == ["near", "page", "far", "page"], "on a GPU captions are cut where the page lies: it is made anew"
    reads["near"]["50 mm/s"] = 0.95
    done.clear()
    assert digitizer._told(PHOTO, near)[1](0.0).speed_mm_per_s == 50.0
    assert done == ["near", "page"]


def test_without_a_lattice_another_scale_must_show_more_and_the_page_keeps_its_own() -> None:
    find: Any = Find(NOTHING, NOTHING, open_ops(), "auto")
    shown = {1.0: 0.2, 0.8: 0.25, 0.64: 0.5, 1.25: 0.1}
    looks = iter([_look(is_seen=False, names=names) for names in shown.values()])
    marks: Any = type("Marks", (), {"zero": np.zeros((140, 290), np.float32)})()
    find._look = lambda photo, alignment, clock: replace(next(looks), marks=marks)
    find._look_closer = lambda photo, best, clock: best
    best = find.locate(PHOTO, _alignment(), Clock())
    assert (best.label_score, best.zoom) == (0.5, 0.64)


def test_rows_of_a_page_drawn_too_small_are_as_long_as_its_own_scale_says() -> None:
    grid = _grid(is_seen=False)
    rows = [replace(row, x_mm=(20.0, 175.0)) for row in ROWS]  # 155 mm: 125, or 250 drawn at 0.64
    lengths = []
    for zoom in (1.0, 0.64):
        better = realigned(_alignment(), grid, rows, zoom=zoom)
        assert better is not None
        lengths.append(better.size_mm[0] - 44.0)
    assert lengths == pytest.approx([125.0, 250.0], abs=1)
