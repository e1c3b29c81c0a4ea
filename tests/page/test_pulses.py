"""Calibration pulses on a network's map, and by their strokes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from ecg_trt.layout import COMMON_GAINS_MM_PER_MV, COMMON_SPEEDS_MM_PER_S, PULSE_SECONDS
from ecg_trt.page.pulses import PulseSigns, find_pulses, ink_of_pulses, pulses_on_map, stroke_windows
from ecg_trt.synth.page import Page, draw_page
from ecg_trt.synth.signals import simulate
from ecg_trt.synth.spec import draw_spec
from ecg_trt.types import Array, Strip
from tests.geometry.true_maps import maps_of, page_of

PX_PER_MM = (8.0, 8.0)
NOTHING = (0.0, 0.0, 0.0, False)


def _drawn(seed: int, *, layout: str = "3x4+1", **look: object) -> Page:
    rng = np.random.default_rng(seed)
    spec = draw_spec(rng, layout=layout, clutter=0.0, **look)
    return draw_page(rng, simulate(rng), 500.0, px_per_mm=PX_PER_MM[0], spec=spec)


def _strokes(page: Page) -> tuple[Array, Array]:
    """The windows on the beginnings and ends of a page's strips, white beyond it."""
    out = []
    for side in (0, 1):
        corners, (h, w) = stroke_windows(page.strips, side, (0.0, 0.0), PX_PER_MM)
        paper = np.pad(page.image, ((h, h), (w, w), (0, 0)), constant_values=255)
        out.append(np.stack([paper[y + h : y + 2 * h, x + w : x + 2 * w] for y, x in corners]))
    return out[0], out[1]


def _most_ink(page: Page) -> tuple[float, float]:
    """Speed and gain of the pulse along whose outline most ink is seen."""
    ink = ink_of_pulses(_strokes(page), PX_PER_MM)
    k, n = np.unravel_index(int(ink.argmax()), ink.shape)
    return COMMON_SPEEDS_MM_PER_S[k], COMMON_GAINS_MM_PER_MV[n]


@pytest.mark.parametrize(("speed", "gain"), [*product(COMMON_SPEEDS_MM_PER_S, COMMON_GAINS_MM_PER_MV)])
@pytest.mark.parametrize("side", ["left", "right"])
def test_most_ink_lies_along_the_outline_of_the_pulse_that_is_drawn(speed: float, gain: float, side: str) -> None:
    pages = [_drawn(k, paper_speed_mm_per_s=speed, gain_mm_per_mv=gain, pulse=side) for k in range(3)]
    assert [_most_ink(page) for page in pages].count((speed, gain)) >= 2


@pytest.mark.parametrize("layout", ["6x2", "12x1"])
@pytest.mark.parametrize("gain", [10.0, 20.0])
def test_pulses_that_reach_into_the_row_above_are_told_from_lines_of_the_paper(layout: str, gain: float) -> None:
    pages = [_drawn(seed, layout=layout, paper_speed_mm_per_s=25.0, gain_mm_per_mv=gain, pulse="left")
             for seed in range(4, 8)]  # fmt: skip
    assert [_most_ink(page)[1] for page in pages].count(gain) >= 3


def test_a_page_without_pulses_has_no_strokes_of_one() -> None:
    for seed in range(6):
        signs = find_pulses(np.zeros((10, 10), np.float32), (page := _drawn(seed, pulse="none")).strips,
                            _strokes(page), PX_PER_MM)  # fmt: skip
        assert signs.ink.max() < 0.25 and signs == PulseSigns(signs.ink), seed


def test_windows_stand_around_the_ends_of_the_strips() -> None:
    strips = [Strip(50.0, (30.0, 280.0), 1.0), Strip(80.0, (32.0, 282.0), 1.0)]
    corners, (h, w) = stroke_windows(strips, 0, (10.0, 5.0), (10.0, 4.5))
    assert (h, w) == (144, 192) and w % 4 == 0
    np.testing.assert_array_equal(corners, [[round(18 * 4.5), 30], [round(48 * 4.5), 50]])
    corners, _ = stroke_windows(strips, 1, (10.0, 5.0), (10.0, 4.5))
    np.testing.assert_array_equal(corners[:, 1], [2680, 2700])


@pytest.mark.parametrize("speed", [25.0, 50.0])
@pytest.mark.parametrize("gain", [5.0, 10.0, 20.0])
def test_pulses_tell_speed_and_gain(speed: float, gain: float) -> None:
    page = page_of(5, layout="3x4+1", paper_speed_mm_per_s=speed, gain_mm_per_mv=gain, pulse="left")
    width, height, response, _ = pulses_on_map(maps_of(page)["pulse"][0], page.strips)
    assert (width, height) == pytest.approx((PULSE_SECONDS * speed, gain), abs=1.5) and response > 0.9


def test_a_pulse_where_the_paper_ends_may_be_wider() -> None:
    pulse = np.zeros((100, 300), np.float32)
    pulse[30:40, 10:15] = pulse[30:40, 275:280] = 0.9
    row = [Strip(40.0, (20.0, 270.0), 1.0, ())]
    *size, is_cut = pulses_on_map(pulse, row, (0.0, 290.0))
    assert size == pytest.approx([5.0, 10.0, 0.9]) and not is_cut
    assert pulses_on_map(pulse, row, (10.0, 290.0))[3]
    pulse[:, :20] = 0
    assert not pulses_on_map(pulse, row, (10.0, 290.0))[3] and pulses_on_map(pulse, row, (10.0, 280.0))[3]


def test_specks_are_no_pulses() -> None:
    specks = np.zeros((100, 100), np.float32)
    specks[10, 10], specks[40:42, 50:52] = 0.9, 0.8
    assert pulses_on_map(specks, [Strip(42.0, (60.0, 90.0), 1.0, ())]) == NOTHING


def test_letters_are_no_pulses() -> None:
    letters = np.zeros((100, 300), np.float32)
    letters[31:40, 10:13] = 0.6
    row = [Strip(40.0, (20.0, 270.0), 1.0, ())]
    assert pulses_on_map(letters, row) == NOTHING
    assert pulses_on_map(letters * 1.4, row)[1] == pytest.approx(9, abs=1)


def test_what_does_not_stand_on_a_zero_line_is_no_pulse() -> None:
    pulse = np.zeros((100, 300), np.float32)
    pulse[30:40, 10:15] = 0.9
    assert pulses_on_map(pulse, [Strip(40.0, (20.0, 270.0), 1.0, ())])[1] == 10
    assert pulses_on_map(pulse, [Strip(50.0, (20.0, 270.0), 1.0, ())]) == NOTHING
    assert pulses_on_map(pulse, [Strip(40.0, (60.0, 270.0), 1.0, ())]) == NOTHING
    two = [Strip(y, (20.0, 270.0), 1.0, ()) for y in (40.0, 70.0)]
    assert pulses_on_map(pulse, two) == NOTHING  # one of two rows is not enough
    assert pulses_on_map(pulse, []) == NOTHING


@pytest.mark.parametrize("speed", [25.0, 50.0])
def test_weak_pulses_are_measured_at_half_of_their_own_height(speed: float) -> None:
    page = page_of(5, layout="3x4+1", paper_speed_mm_per_s=speed, gain_mm_per_mv=10.0, pulse="left")
    strength = np.array([0.3, 0.7, 0.35, 0.5])
    pulse = maps_of(page)["pulse"][0]
    for strip, share in zip(page.strips, strength, strict=True):
        y = round(strip.zero_y_mm)
        pulse[y - 14 : y + 4] *= share
    width, height, *_ = pulses_on_map(pulse, page.strips)
    assert (width, height) == pytest.approx((PULSE_SECONDS * speed, 10.0), abs=1.5)
