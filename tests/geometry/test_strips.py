"""Strips, layouts and pulses from maps that the generator knows, with noise on them."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.geometry.naming import name_boxes, name_strips
from ecg_trt.geometry.scales import read_pulses
from ecg_trt.geometry.strips import agree_on_span, find_strips, shift_to_pen
from ecg_trt.layout import LAYOUTS, WORDS, upright
from ecg_trt.synth.page import Page, draw_page
from ecg_trt.synth.signals import simulate
from ecg_trt.synth.spec import draw_spec
from ecg_trt.types import Array, Segment, Strip
from train.data.samples import _page_maps


def _maps(page: Page) -> dict[str, Array]:
    w, h = (int(side) for side in page.spec.size_mm)
    uv = np.stack(np.meshgrid(np.arange(w), np.arange(h)), -1).astype(float)
    return _page_maps(page, uv, np.ones((h, w), bool))


def _page(seed: int, **fixed: object) -> Page:
    rng = np.random.default_rng(seed)
    return draw_page(rng, simulate(rng), 500.0, px_per_mm=2.0, spec=draw_spec(rng, **fixed))


@pytest.mark.parametrize("name", list(LAYOUTS))
@pytest.mark.parametrize("seed", [0, 1])
def test_every_layout_is_recognised(name: str, seed: int) -> None:
    page = _page(seed, layout=LAYOUTS[name])
    maps = _maps(page)
    rng = np.random.default_rng(seed)
    zero, label = (np.clip(0.8 * m + rng.normal(0, 0.05, m.shape), 0, 1).astype(np.float32)
                   for m in (maps["zero"][0], maps["label"]))  # fmt: skip
    label *= rng.random((len(WORDS), 1, 1)) < 0.8  # some names cannot be read at all
    strips = agree_on_span(find_strips(zero), maps["start"][0], maps["end"][0])
    naming = name_strips(strips, label, maps["start"][0])
    assert naming is not None
    assert naming.layout.name == name
    assert naming.missing == ()
    for found, true in zip(naming.strips, page.strips, strict=True):
        assert found.zero_y_mm == pytest.approx(true.zero_y_mm, abs=0.4)
        assert found.x_mm == pytest.approx(true.x_mm, abs=1.0)
        assert [upright(s.lead)[0] for s in found.segments] == [upright(s.lead)[0] for s in true.segments]


def test_a_hidden_row_is_missed_and_named() -> None:
    page = _page(3, layout="6x2")
    maps = _maps(page)
    y = round(page.strips[2].zero_y_mm)
    for m in maps.values():
        m[..., y - 6 : y + 7, :] = 0
    strips = agree_on_span(find_strips(maps["zero"][0]), maps["start"][0], maps["end"][0])
    naming = name_strips(strips, maps["label"], maps["start"][0], layout="6x2")
    assert naming is not None and len(naming.strips) == 5
    assert naming.missing == ("III", "V3")


def test_the_users_layout_wins() -> None:
    page = _page(4, layout="3x4")
    maps = _maps(page)
    strips = find_strips(maps["zero"][0])
    naming = name_strips(strips, maps["label"], maps["start"][0], layout="3x4+1")
    assert naming is not None and naming.layout.name == "3x4+1"


def test_an_empty_page_has_no_strips() -> None:
    nothing = np.zeros((200, 280), np.float32)
    assert find_strips(nothing) == []
    assert agree_on_span([], nothing, nothing) == []
    assert name_strips([], np.zeros((len(WORDS), 200, 280), np.float32), nothing) is None


@pytest.mark.parametrize("speed", [25.0, 50.0])
@pytest.mark.parametrize("gain", [5.0, 10.0, 20.0])
def test_pulses_tell_speed_and_gain(speed: float, gain: float) -> None:
    page = _page(5, layout="3x4+1", paper_speed_mm_per_s=speed, gain_mm_per_mv=gain, pulse="left")
    pulse = read_pulses(_maps(page)["pulse"][0], page.strips)
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


def test_names_that_cannot_be_read_stand_where_the_others_do() -> None:
    page = _page(6, layout="3x4", clutter=0.0)
    label = _maps(page)["label"]
    hidden = page.labels[5]
    label[WORDS.index(hidden.word)] = 0
    boxes = name_boxes(page.strips, label)
    for mark in page.labels:
        x, y = (round(v) for v in mark.xy_mm)
        assert boxes[y, x], mark.word
    assert boxes.mean() < 0.02
    assert not name_boxes(page.strips, np.zeros_like(label)).any()


def test_strips_are_shifted_to_where_the_pen_begins_and_ends() -> None:
    strips = [Strip(y, (20.0, 270.0), 1.0, (Segment("II", (20.0, 270.0)),)) for y in (30.0, 60.0, 90.0)]
    sure = np.zeros((3, 2800), np.float32)
    sure[:, 155:2655] = 0.9  # 0.5 mm further right, counted from 5 mm
    sure[1, 150:160] = 0.9  # one strip begins in a calibration pulse
    moved = shift_to_pen(strips, sure, 5.0, 10.0, 1.5)
    assert [s.x_mm[0] for s in moved] == pytest.approx([20.45] * 3, abs=0.051)
    assert moved[0].segments[0].x_mm == moved[0].x_mm
    assert shift_to_pen(strips, np.ones_like(sure), 5.0, 10.0, 1.5) == tuple(strips)
