"""Pens: a trace is as wide as its pen, and lies where it is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.synth.ink import Ink, draw_polyline, draw_trace
from ecg_trt.types import Array

PX_PER_MM = 12.0
BLACK = (0, 0, 0)


def _stroke(y_mm: float, width_mm: float, slope: float = 0.0) -> Array:
    """(240, 480) cover 0..1 of a stroke of 30 mm on white paper."""
    image = np.full((240, 480, 3), 255, np.uint8)
    x = np.linspace(5.0, 35.0, 601)
    draw_trace(image, x, y_mm + slope * (x - 20.0), PX_PER_MM, Ink(BLACK, width_mm))
    assert (image == image[..., :1]).all()
    return 1 - image[..., 0] / 255.0


@pytest.mark.parametrize("width_mm", [0.15, 0.2, 0.3, 0.42, 0.5, 0.7])
def test_a_stroke_is_as_wide_as_its_pen_and_centred_on_its_path(width_mm: float) -> None:
    for y_mm in 10.0 + np.arange(8) / 8 / PX_PER_MM:  # at all fractions of a pixel
        cover = _stroke(y_mm, width_mm)[:, 72:408]  # away from both ends
        drawn = cover.sum(0) / PX_PER_MM
        assert np.abs(drawn - width_mm).max() < 0.06, y_mm
        centre = (np.arange(240) + 0.5) @ cover / cover.sum(0) / PX_PER_MM
        assert np.abs(centre - y_mm).max() < 0.02, y_mm


def test_a_slanted_stroke_is_as_wide_across_itself() -> None:
    cover = _stroke(10.0, 0.4, slope=0.5)[:, 72:408]
    across = cover.sum(0) / PX_PER_MM * np.cos(np.arctan(0.5))
    assert np.abs(across.mean() - 0.4) < 0.06
    x_mm = (np.arange(72, 408) + 0.5) / PX_PER_MM
    centre = (np.arange(240) + 0.5) @ cover / cover.sum(0) / PX_PER_MM
    assert np.abs((centre - 10.0 - 0.5 * (x_mm - 20.0)).mean()) < 0.02


def test_a_stroke_ends_where_its_path_does() -> None:
    along = _stroke(10.0, 0.4).sum(1).max() / PX_PER_MM
    assert along == pytest.approx(30.0, abs=0.6)  # half a width more at either end, at most


def test_a_polyline_is_wider_than_its_pen() -> None:
    """The reason for pens of their own: OpenCV's lines have another width than what is asked for."""
    image = np.full((240, 480, 3), 255, np.uint8)
    draw_polyline(image, np.array([5.0, 35.0]), np.array([10.0, 10.0]), PX_PER_MM, Ink(BLACK, 0.3))
    assert (1 - image[:, 240, 0] / 255.0).sum() / PX_PER_MM > 0.3 + 0.06


def test_the_pen_has_its_colour_and_paper_shows_beside_it() -> None:
    image = np.full((240, 480, 3), (250, 200, 190), np.uint8)
    draw_trace(image, np.array([5.0, 35.0]), np.array([10.0, 10.0]), PX_PER_MM, Ink((20, 30, 40), 0.5))
    assert image[120, 240].tolist() == [20, 30, 40]
    away = np.ones(240, bool)
    away[113:127] = False
    assert (image[away] == (250, 200, 190)).all()
    assert (image[:, :50] == (250, 200, 190)).all() and (image[:, 430:] == (250, 200, 190)).all()


def test_what_lies_beside_the_paper_is_left_out() -> None:
    image = np.full((240, 480, 3), 255, np.uint8)
    ink = Ink(BLACK, 0.4)
    left, above, right = ([-9.0, -2.0], [10.0, 10.0]), ([5.0, 35.0], [-5.0, -5.0]), ([50.0, 60.0], [10.0, 30.0])
    for x, y in (left, above, right, ([5.0], [10.0])):
        draw_trace(image, np.array(x), np.array(y), PX_PER_MM, ink)
        assert (image == 255).all()
    draw_trace(image, np.array([-10.0, 60.0]), np.array([10.0, 10.0]), PX_PER_MM, ink)
    drawn = (255 - image[..., 0].astype(float)).sum(0) / 255 / PX_PER_MM
    assert np.abs(drawn - 0.4).max() < 0.06, "a stroke goes on to the rims"
    high = np.full((240, 480, 3), 255, np.uint8)
    draw_trace(high, np.array([10.0, 20.0, 30.0]), np.array([10.0, -40.0, 10.0]), PX_PER_MM, ink)
    assert high[:, 240].min() == 255 and high[0, 120:360].min() < 128  # cut off at the upper rim
