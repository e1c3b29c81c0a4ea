"""Pages without a lattice, seen askew."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from ecg_trt.geometry.grid import photo_points
from ecg_trt.geometry.homography import apply_homography
from ecg_trt.layout import LAYOUTS
from ecg_trt.page.strips import agree_on_span, find_strips
from ecg_trt.page.without_grid import follow_borders, rectify_without_grid
from ecg_trt.stages.rectify import PageHeatmaps, region_of
from ecg_trt.types import Array, GridWarp, RectifiedPage, Segment, Strip, TraceMap
from tests.geometry.true_maps import maps_of, page_of

_ASKEW = np.array([[0.93, 0.02, 4.0], [-0.002, 0.95, 2.0], [1e-4, -1e-4, 1.0]])  # seen mm from page mm


def _grid(photo_from_seen: Array) -> GridWarp:
    seen = 5.0 * np.stack(np.meshgrid(np.arange(60), np.arange(45)), -1)
    nodes = apply_homography(photo_from_seen, seen).astype(np.float32)
    return GridWarp(nodes, 5.0, float("nan"), np.zeros((45, 60), bool))


@pytest.mark.parametrize("layout", ["3x4+1", "6x2", "12x1"])
def test_rows_tell_how_a_page_is_seen(layout: str) -> None:
    page = page_of(3, layout=layout, paper_speed_mm_per_s=25.0)
    size = tuple(int(side) + 20 for side in page.spec.size_mm)
    true_maps = maps_of(page)
    maps = {name: cv2.warpPerspective(true_maps[name][0], _ASKEW, size) for name in ("zero", "start", "end")}
    rows = agree_on_span(find_strips(maps["zero"]), maps["start"], maps["end"], is_scaled=False)
    strips = []
    for row, leads in zip(rows, LAYOUTS[layout].rows, strict=True):
        edges = np.linspace(*row.x_mm, len(leads) + 1)
        segments = tuple(Segment(lead, (edges[k], edges[k + 1])) for k, lead in enumerate(leads))
        strips.append(Strip(row.zero_y_mm, row.x_mm, row.score, segments))
    photo_from_seen = np.diag([8.0, 8.0, 1.0])
    text_mask = np.zeros(size[::-1], bool)
    letter = np.array([[page.strips[0].x_mm[0] + 4, page.strips[0].zero_y_mm - 5]])
    x, y = (round(v) for v in apply_homography(_ASKEW, letter)[0])
    text_mask[y - 1 : y + 2, x - 1 : x + 2] = True
    found = rectify_without_grid(_grid(photo_from_seen), strips, text_mask, (maps["start"], maps["end"]))
    (x0, y0), (w, h) = region_of(found.strips, 50.0)  # all that is looked at at 20 mm/mV lies on the lattice
    rows, columns = found.grid.measured.shape
    assert min(x0, y0) >= 0 and x0 + w <= 5 * (columns - 1) and y0 + h <= 5 * (rows - 1)
    page_from_photo = np.linalg.inv(photo_from_seen @ _ASKEW)
    for strip, true in zip(found.strips, page.strips, strict=True):
        assert strip.x_mm[1] - strip.x_mm[0] == pytest.approx(250.0)
        for segment, true_segment in zip(strip.segments, true.segments, strict=True):
            node = np.array([segment.x_mm[0], strip.zero_y_mm]) / 5.0
            at = cv2.remap(found.grid.node_xy, *(np.array([[v]], np.float32) for v in node), cv2.INTER_LINEAR)[0, 0]
            on_page = apply_homography(page_from_photo, at[None].astype(np.float64))[0]
            assert on_page[0] == pytest.approx(true_segment.x_mm[0], abs=0.7)
            assert on_page[1] == pytest.approx(true.zero_y_mm, abs=2.0)  # a row is told by its middle
    row_px, column_px = (float(v.mean()) for v in np.nonzero(found.text_mask))
    assert column_px - found.strips[0].x_mm[0] == pytest.approx(4, abs=1.5)
    assert found.strips[0].zero_y_mm - row_px == pytest.approx(5, abs=1.5)
    assert found.source_mm is not None
    nothing = np.zeros_like(maps["zero"])
    seen = PageHeatmaps(maps["zero"], maps["start"], maps["end"], nothing, nothing[None])
    heatmaps = seen.warped(found.source_mm, 5.0)
    assert heatmaps.zero.shape == found.text_mask.shape == heatmaps.label.shape[1:]
    for strip in found.strips:
        within, first = (round(x) for x in (strip.x_mm[0] + 100, strip.x_mm[0]))
        near = slice(round(strip.zero_y_mm) - 6, round(strip.zero_y_mm) + 7)
        assert int(heatmaps.zero[near, within].argmax()) - 6 == pytest.approx(0, abs=2)
        assert heatmaps.start[near, first - 2 : first + 3].max() > 0.3 > heatmaps.start[near, within].max()


def test_pages_that_show_too_little_stay_as_they_are() -> None:
    blank, grid = np.zeros((200, 300), np.float32), _grid(np.eye(3))
    text_mask = np.zeros((200, 300), bool)
    strips = [Strip(y, (20.0, 270.0), 1.0, (Segment("II", (20.0, 270.0)),)) for y in (40.0, 80.0, 120.0, 160.0)]
    assert rectify_without_grid(grid, strips, text_mask, (blank, blank)).grid is grid
    start, end = blank.copy(), blank.copy()
    start[:, 20], end[:, 270] = 1.0, 1.0
    assert rectify_without_grid(grid, strips, text_mask, (start, end)).grid is not grid
    uneven = [*strips[:3], Strip(160.0, (20.0, 150.0), 1.0, (Segment("II", (20.0, 150.0)),))]
    assert rectify_without_grid(grid, uneven, text_mask, (start, end)).grid is grid
    odd = [Strip(s.zero_y_mm, (20.0, 195.0), 1.0, (Segment("II", (20.0, 195.0)),)) for s in strips]
    end[:, 270], end[:, 195] = 0.0, 1.0
    assert rectify_without_grid(grid, odd, text_mask, (start, end)).grid is grid


def _four_columns(heights: tuple[float, ...]) -> list[Strip]:
    edges = np.linspace(20.0, 270.0, 5)
    segments = tuple(Segment(f"V{k + 1}", (edges[k], edges[k + 1])) for k in range(4))
    return [Strip(y, (20.0, 270.0), 1.0, segments) for y in heights]


def _marked(places: list[tuple[float, float]]) -> Array:
    heat = np.zeros((200, 300), np.float32)
    for x, y in places:
        heat[round(y), round(x)] = 1.0
    return heat


@pytest.mark.parametrize("heights", [(60.0,), (60.0, 100.0)])
def test_marks_of_one_row_make_no_page_square(heights: tuple[float, ...]) -> None:
    strips, grid = _four_columns(heights), _grid(np.eye(3))
    marks = _marked([(g.x_mm[0], 60.0) for g in strips[0].segments]), _marked([(270.0, 60.0)])
    marks[1][100, 270] = 1.0  # one more in the other row is not enough
    assert rectify_without_grid(grid, strips, np.zeros((200, 300), bool), marks).grid is grid


def test_marks_that_contradict_each_other_make_no_page_square() -> None:
    strips, grid = _four_columns((60.0, 80.0, 100.0)), _grid(np.eye(3))
    rng = np.random.default_rng(5)
    places = [(g.x_mm[0] + rng.uniform(-6, 6), s.zero_y_mm + rng.uniform(-3, 3)) for s in strips for g in s.segments]
    ends = _marked([(270.0 + rng.uniform(-15, 15), s.zero_y_mm) for s in strips])
    assert rectify_without_grid(grid, strips, np.zeros((200, 300), bool), (_marked(places), ends)).grid is grid


def test_borders_of_the_trace_take_back_what_is_left_of_a_bend() -> None:
    px_per_mm, grid = (20.0, 4.5), _grid(np.diag([8.0, 8.0, 1.0]))
    edges = np.linspace(20.0, 270.0, 5)
    segments = tuple(Segment(lead, (a, b)) for lead, a, b in zip("abcd", edges[:-1], edges[1:], strict=True))
    strips = [Strip(y, (20.0, 270.0), 1.0, segments) for y in (50.0, 90.0, 130.0)]
    x0, width = 0.0, 5900

    def seen_at(x: Array, y: float) -> Array:
        u, v = (x - 145) / 125, (y - 90) / 40
        return np.asarray(x + 0.6 - 0.9 * u + 0.5 * u**2 + 0.4 * v + 0.3 * u * v)

    border = np.zeros((3, width), np.float32)
    for row, strip in zip(border, strips, strict=True):
        row[np.round((seen_at(edges, strip.zero_y_mm) - x0) * px_per_mm[0]).astype(int)] = 1.0
    border[1, round((edges[2] + 3) * px_per_mm[0])] = 1.0  # Something else looks like a border.
    trace = TraceMap(np.full((3, width), 300.0, np.float32), np.ones((3, width), np.float32), border)
    image: Array = np.zeros((600, width, 3), np.uint8)
    page = RectifiedPage(image, px_per_mm, (x0, 0.0), np.ones(image.shape[:2], bool), 8.0)
    found = follow_borders(grid, strips, page, trace)
    assert found is not None
    for strip in strips:
        for x in edges:
            at = photo_points(found.node_xy, found.mm_per_cell, np.array([x, strip.zero_y_mm])) / 8.0
            assert at == pytest.approx([float(seen_at(np.array(x), strip.zero_y_mm)), strip.zero_y_mm], abs=0.15)
    assert follow_borders(grid, strips, page, replace(trace, border=np.zeros_like(border))) is None
    right = np.zeros_like(border)
    right[:, np.round((edges - x0) * px_per_mm[0]).astype(int)] = 1.0
    again = follow_borders(found, strips, page, replace(trace, border=right))
    assert again is not None and again.node_xy == pytest.approx(found.node_xy, abs=0.3), "0.04 mm: the bend stays"
