"""The printed lines' distance from where they should be, on pages whose lines are known."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.geometry.offsets import LinePlaces, darkness, line_offsets
from ecg_trt.types import GridWarp

SCALE = (10.0, 4.5)


def _paper(ink: tuple[int, int, int], shift_mm: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """(270, 800) px with a line every 5 mm, moved right and down by so many mm."""
    page = np.full((270, 800, 3), 235.0)
    for axis, px in enumerate(SCALE):
        at = np.arange(page.shape[1 - axis]) / px - shift_mm[axis]
        line = np.exp(-0.5 * ((at - 5 * np.round(at / 5)) * px / 0.9) ** 2)
        line = line[None, :, None] if axis == 0 else line[:, None, None]
        page = np.minimum(page, 235 - line * (235 - np.array(ink)))
    return page.round().astype(np.uint8)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.23, -0.17), (-0.3, 0.3)])
def test_lines_are_found_where_they_are(shift: tuple[float, float]) -> None:
    x_mm, y_mm = 5.0 * np.arange(-1, 18), 5.0 * np.arange(-1, 14)
    found = line_offsets(_paper((200, 80, 80), shift), SCALE, LinePlaces(x_mm, y_mm, x_mm, y_mm, 5.0))
    for offset, prominence, wanted in ((found.x, found.x_prominence, 0), (found.y, found.y_prominence, 1)):
        assert offset.shape == prominence.shape == (15, 19)
        inner = np.s_[2:-2, 2:-2]
        assert (prominence[inner] > 3).mean() > 0.95
        assert np.abs(offset[inner] - shift[wanted]).max() < 0.07  # a third of a pixel down the page
    assert not found.x_prominence[:, [0, -1]].any()  # beyond the page
    assert not found.y_prominence[[0, -1]].any()


def test_the_pen_hides_what_is_beneath_it_and_no_more() -> None:
    page = _paper((170, 170, 170))
    page[140:146] = 30  # a trace along the page, which every upright line touches
    page[:, 620:632] = 30
    _, bare = darkness(page, SCALE, 5.0 * np.arange(16))
    assert not bare[140:146].any() and not bare[:, 620:632].any()
    rest = np.delete(np.delete(bare, np.s_[134:152], 0), np.s_[612:640], 1)
    assert rest.all()  # grey lines that begin at the pen are lines
    x_mm = np.append(5.0 * np.arange(16), 62.5)
    y_mm = 5.0 * np.arange(12)
    found = line_offsets(page, SCALE, LinePlaces(x_mm, y_mm, x_mm, y_mm, 5.0))
    assert not found.x_prominence[:, -1].any()  # the pen is no line
    assert (found.y_prominence[1:5, 2:11] > 3).all()


def test_places_are_counted_from_the_page_s_corner() -> None:
    grid = GridWarp(np.zeros((3, 4, 2), np.float32), 5.0, 0.0, np.ones((3, 4), bool))
    places = LinePlaces.of(grid, (2.0, -1.0))
    np.testing.assert_array_equal(places.x_mm, [-2, 3, 8, 13])
    np.testing.assert_array_equal(places.y_mm, [1, 6, 11])
    np.testing.assert_array_equal(places.at_y_mm, places.y_mm)
    dense = LinePlaces.of(grid, (2.0, -1.0), every=2)
    np.testing.assert_array_equal(dense.x_mm, [-2, 8])
    np.testing.assert_array_equal(dense.y_mm, [1, 11])
    np.testing.assert_array_equal(dense.at_x_mm, places.x_mm)
    assert dense.window_mm < places.window_mm
