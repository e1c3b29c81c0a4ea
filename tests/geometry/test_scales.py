"""Paper speed and gain from pulses and print."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.geometry.naming import Naming
from ecg_trt.geometry.scales import Scales, read_pulses, read_scales, read_setting
from ecg_trt.layout import GAIN_WORDS, LAYOUTS, SPEED_WORDS, STRIPS, WORDS, Layout
from ecg_trt.types import Array, Strip
from tests.geometry.true_maps import maps_of, page_of

NO_PULSE = np.zeros((100, 320), np.float32)


@pytest.mark.parametrize("speed", [25.0, 50.0])
@pytest.mark.parametrize("gain", [5.0, 10.0, 20.0])
def test_pulses_tell_speed_and_gain(speed: float, gain: float) -> None:
    page = page_of(5, layout="3x4+1", paper_speed_mm_per_s=speed, gain_mm_per_mv=gain, pulse="left")
    pulse = read_pulses(maps_of(page)["pulse"][0], page.strips)
    assert (pulse.speed_mm_per_s, pulse.gain_mm_per_mv) == (speed, gain)


def test_specks_are_no_pulses() -> None:
    specks = np.zeros((100, 100), np.float32)
    specks[10, 10], specks[40:42, 50:52] = 0.9, 0.8
    assert read_pulses(specks, [Strip(42.0, (60.0, 90.0), 1.0, ())]).gain_mm_per_mv is None


def test_what_does_not_stand_on_a_zero_line_is_no_pulse() -> None:
    pulse = np.zeros((100, 300), np.float32)
    pulse[30:40, 10:15] = 0.9
    assert read_pulses(pulse, [Strip(40.0, (20.0, 270.0), 1.0, ())]).gain_mm_per_mv == 10
    assert read_pulses(pulse, [Strip(50.0, (20.0, 270.0), 1.0, ())]).gain_mm_per_mv is None
    assert read_pulses(pulse, [Strip(40.0, (60.0, 270.0), 1.0, ())]).gain_mm_per_mv is None
    two = [Strip(y, (20.0, 270.0), 1.0, ()) for y in (40.0, 70.0)]
    assert read_pulses(pulse, two).gain_mm_per_mv is None  # one of two rows is not enough
    assert read_pulses(pulse, []).gain_mm_per_mv is None


@pytest.mark.parametrize("speed", [25.0, 50.0])
def test_weak_pulses_are_measured_at_half_of_their_own_height(speed: float) -> None:
    page = page_of(5, layout="3x4+1", paper_speed_mm_per_s=speed, gain_mm_per_mv=10.0, pulse="left")
    strength = np.array([0.3, 0.7, 0.35, 0.5])
    pulse = maps_of(page)["pulse"][0]
    for strip, share in zip(page.strips, strength, strict=True):
        y = round(strip.zero_y_mm)
        pulse[y - 14 : y + 4] *= share
    told = read_pulses(pulse, page.strips)
    assert (told.speed_mm_per_s, told.gain_mm_per_mv) == (speed, 10.0)


def _naming(layout: Layout = LAYOUTS["3x4"], length: float = 250.0) -> Naming:
    strips = tuple(Strip(y, (30.0, 30.0 + length), 1.0) for y in (40.0, 70.0))
    return Naming(layout, 1.0, strips, (), 1.0)


def _label(**response: float) -> Array:
    """Words that are seen, spaces and slashes left out of their names."""
    label = np.zeros((len(WORDS), 100, 320), np.float32)
    for word, value in response.items():
        (k,) = [k for k, w in enumerate(WORDS) if "_" + w.replace(" ", "").replace("/", "") == word]
        label[k, 90, 40] = value
    return label


def _pulse(width: int, height: int) -> Array:
    pulse = np.zeros((100, 320), np.float32)
    for y in (40, 70):
        pulse[y - height : y + 1, 29 - width : 29] = 0.8
    return pulse


def test_what_is_told_by_nothing_is_assumed() -> None:
    assert read_scales(_label(), NO_PULSE, _naming()) == Scales(25.0, 10.0, ("speed", "gain"), ())


def test_print_is_read() -> None:
    scales = read_scales(_label(_50mms=0.7, _20mmmV=0.4), NO_PULSE, _naming())
    assert scales == Scales(50.0, 20.0, (), ())


def test_the_users_word_wins() -> None:
    label = _label(_50mms=0.9, _20mmmV=0.9)
    assert read_scales(label, _pulse(5, 10), _naming(), speed=25.0, gain=5.0) == Scales(25.0, 5.0, (), ())


def test_strong_print_beats_the_pulse_and_weak_print_does_not() -> None:
    strong = read_scales(_label(_50mms=0.9, _10mmmV=0.9), _pulse(5, 10), _naming())
    assert (strong.speed_mm_per_s, strong.gain_mm_per_mv, strong.assumed) == (50.0, 10.0, ())
    (note,) = strong.notes
    assert "speed of 50 mm/s" in note and "measures 25 mm/s" in note
    weak = read_scales(_label(_50mms=0.4), _pulse(5, 10), _naming())
    assert weak.speed_mm_per_s == 25.0 and len(weak.notes) == 1


def test_two_settings_that_are_read_are_none() -> None:
    label = _label(_5mmmV=0.8, _10mmmV=0.6)
    assert read_setting(label, GAIN_WORDS)[0] is None
    assert read_setting(label, SPEED_WORDS)[0] is None
    assert read_setting(_label(_5mmmV=0.8, _10mmmV=0.3), GAIN_WORDS) == (5.0, pytest.approx(0.8))


def test_a_row_too_long_for_the_record_was_printed_fast() -> None:
    assert read_scales(_label(), NO_PULSE, _naming(length=500.0)).speed_mm_per_s == 50.0
    assert read_scales(_label(), NO_PULSE, _naming(length=500.0)).assumed == ("gain",)
    alone = read_scales(_label(), NO_PULSE, _naming(Layout(STRIPS, (("II",),)), 500.0))
    assert alone.speed_mm_per_s == 25.0 and "speed" in alone.assumed
