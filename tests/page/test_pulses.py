"""Calibration pulses on a network's map, and by their strokes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from ecg_trt.page.pulses import Pulse, ink_of_pulses, pulses_on_map, read_pulses, stroke_windows
from ecg_trt.synth.page import Page, draw_page
from ecg_trt.synth.signals import simulate
from ecg_trt.synth.spec import draw_spec
from ecg_trt.types import Array, Strip
from tests.geometry.true_maps import maps_of, page_of

PX_PER_MM = (8.0, 8.0)
NO_MAP = np.zeros((10, 10), np.float32)


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


@pytest.mark.parametrize(("speed", "gain"), [*product([25.0, 50.0], [5.0, 10.0, 20.0])])
@pytest.mark.parametrize("side", ["left", "right"])
def test_strokes_tell_speed_and_gain(speed: float, gain: float, side: str) -> None:
    said = []
    for seed in range(3):
        page = _drawn(seed, paper_speed_mm_per_s=speed, gain_mm_per_mv=gain, pulse=side)
        said.append(read_pulses(NO_MAP, page.strips, _strokes(page), PX_PER_MM))
    assert said.count(Pulse(speed, gain, True)) >= 2, said
    # Where strokes are sure of the gain alone, the map would say the speed.
    assert set(said) <= {Pulse(speed, gain, True), Pulse(None, gain), Pulse(None, None)}


@pytest.mark.parametrize("layout", ["6x2", "12x1"])
@pytest.mark.parametrize("gain", [10.0, 20.0])
def test_pulses_that_reach_into_the_row_above_are_told_from_lines_of_the_paper(layout: str, gain: float) -> None:
    said = []
    for seed in range(4, 8):
        page = _drawn(seed, layout=layout, paper_speed_mm_per_s=25.0, gain_mm_per_mv=gain, pulse="left")
        said.append(read_pulses(NO_MAP, page.strips, _strokes(page), PX_PER_MM).gain_mm_per_mv)
    assert said.count(gain) >= 3, said
    assert set(said) <= {gain, None}


def test_a_page_without_pulses_has_no_strokes_of_one() -> None:
    for seed in range(6):
        page = _drawn(seed, pulse="none")
        assert read_pulses(NO_MAP, page.strips, _strokes(page), PX_PER_MM) == Pulse(None, None), seed
        assert max(ink_of_pulses(_strokes(page), PX_PER_MM).values()) < 0.25


def test_what_strokes_do_not_show_the_map_says_as_far_as_it_is_usual_or_sure() -> None:
    blank = (np.full((4, 256, 152, 3), 255, np.uint8),) * 2
    for speed, gain in product([25.0, 50.0], [5.0, 10.0, 20.0]):
        page = page_of(5, layout="3x4+1", paper_speed_mm_per_s=speed, gain_mm_per_mv=gain, pulse="left")
        said = read_pulses(maps_of(page)["pulse"][0], page.strips, blank, PX_PER_MM)
        assert said == Pulse(25.0 if speed == 25 else None, gain)
        faint = read_pulses(0.55 * maps_of(page)["pulse"][0], page.strips, blank, PX_PER_MM)
        assert faint == Pulse(25.0 if speed == 25 else None, 10.0 if gain == 10 else None)


def test_where_strokes_are_sure_of_the_gain_alone_the_map_says_the_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    ink = dict.fromkeys(product([25.0, 50.0], [5.0, 10.0, 20.0]), 0.0) | {(25.0, 20.0): 0.5, (50.0, 20.0): 0.4}
    monkeypatch.setattr("ecg_trt.page.pulses.ink_of_pulses", lambda *_: ink)
    page = page_of(5, layout="3x4+1", paper_speed_mm_per_s=25.0, gain_mm_per_mv=10.0, pulse="left")
    blank = (np.full((4, 256, 152, 3), 255, np.uint8),) * 2
    assert read_pulses(maps_of(page)["pulse"][0], page.strips, blank, PX_PER_MM) == Pulse(25.0, 20.0)
    assert read_pulses(NO_MAP, page.strips, blank, PX_PER_MM) == Pulse(None, 20.0)
    ink[50.0, 20.0] = 0.1
    assert read_pulses(NO_MAP, page.strips, blank, PX_PER_MM) == Pulse(25.0, 20.0, is_confident=True)


def test_sure_strokes_overrule_the_map() -> None:
    drawn = _drawn(1, paper_speed_mm_per_s=50.0, gain_mm_per_mv=10.0, pulse="left")
    other = page_of(5, layout="3x4+1", paper_speed_mm_per_s=25.0, gain_mm_per_mv=20.0, pulse="left")
    on_map = maps_of(other)["pulse"][0]
    assert pulses_on_map(on_map, other.strips) == Pulse(25.0, 20.0, is_confident=True)
    assert read_pulses(on_map, other.strips, _strokes(drawn), PX_PER_MM) == Pulse(50.0, 10.0, True)


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
    pulse = pulses_on_map(maps_of(page)["pulse"][0], page.strips)
    assert (pulse.speed_mm_per_s, pulse.gain_mm_per_mv) == (speed, gain)


def test_specks_are_no_pulses() -> None:
    specks = np.zeros((100, 100), np.float32)
    specks[10, 10], specks[40:42, 50:52] = 0.9, 0.8
    assert pulses_on_map(specks, [Strip(42.0, (60.0, 90.0), 1.0, ())]).gain_mm_per_mv is None


def test_letters_are_no_pulses() -> None:
    letters = np.zeros((100, 300), np.float32)
    letters[31:40, 10:13] = 0.6
    row = [Strip(40.0, (20.0, 270.0), 1.0, ())]
    assert pulses_on_map(letters, row) == Pulse(None, None)
    assert pulses_on_map(letters * 1.4, row).gain_mm_per_mv == 10


def test_what_does_not_stand_on_a_zero_line_is_no_pulse() -> None:
    pulse = np.zeros((100, 300), np.float32)
    pulse[30:40, 10:15] = 0.9
    assert pulses_on_map(pulse, [Strip(40.0, (20.0, 270.0), 1.0, ())]).gain_mm_per_mv == 10
    assert pulses_on_map(pulse, [Strip(50.0, (20.0, 270.0), 1.0, ())]).gain_mm_per_mv is None
    assert pulses_on_map(pulse, [Strip(40.0, (60.0, 270.0), 1.0, ())]).gain_mm_per_mv is None
    two = [Strip(y, (20.0, 270.0), 1.0, ()) for y in (40.0, 70.0)]
    assert pulses_on_map(pulse, two).gain_mm_per_mv is None  # one of two rows is not enough
    assert pulses_on_map(pulse, []).gain_mm_per_mv is None


@pytest.mark.parametrize("speed", [25.0, 50.0])
def test_weak_pulses_are_measured_at_half_of_their_own_height(speed: float) -> None:
    page = page_of(5, layout="3x4+1", paper_speed_mm_per_s=speed, gain_mm_per_mv=10.0, pulse="left")
    strength = np.array([0.3, 0.7, 0.35, 0.5])
    pulse = maps_of(page)["pulse"][0]
    for strip, share in zip(page.strips, strength, strict=True):
        y = round(strip.zero_y_mm)
        pulse[y - 14 : y + 4] *= share
    told = pulses_on_map(pulse, page.strips)
    assert (told.speed_mm_per_s, told.gain_mm_per_mv) == (speed, 10.0)
