"""Calibration text: where it is looked for, and what is read there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from ecg_trt.backends.fake import FakeBackend
from ecg_trt.layout import MARKED_WORDS, SETTING
from ecg_trt.ops.select import open_ops
from ecg_trt.page.pulses import PulseSigns
from ecg_trt.page.scales import ScaleSigns, read_scales
from ecg_trt.printed import CLASSES, Quantity, class_of
from ecg_trt.stages.caption import Caption, joined, marked_places
from ecg_trt.stages.scaling import CAPTION_HW, CAPTION_PX_PER_MM, CAPTION_STRIDE
from ecg_trt.types import Array, GridWarp, Photo

PX_PER_MM = 10.0
COLUMNS = CAPTION_HW[1] // CAPTION_STRIDE


def _photo(at_mm: tuple[float, float]) -> tuple[Photo, GridWarp]:
    """A white page with a black square of 1 mm around a place, straight, and its lattice."""
    image = np.full((1000, 1500, 3), 255, np.uint8)
    x, y = (round(v * PX_PER_MM) for v in at_mm)
    image[y - 5 : y + 6, x - 5 : x + 6] = 0
    nodes = 5 * PX_PER_MM * np.stack(np.meshgrid(np.arange(30), np.arange(20)), -1)
    return Photo(image, "page"), GridWarp(nodes.astype(np.float32), 5.0, 0.0, np.ones((20, 30), bool))


def _label(places: dict[tuple[int, int], float]) -> Array:
    label = np.zeros((len(MARKED_WORDS), 100, 150), np.float32)
    for (x, y), heat in places.items():
        label[MARKED_WORDS.index(SETTING), y, x] = heat
    return label


def _answer(text: str, first: int = 30, logit: float = 12.0) -> dict[str, Array]:
    """Answer of the network where a text begins in a column, two columns a character."""
    out = np.zeros((1, 1, CLASSES, COLUMNS), np.float32)
    path = np.zeros(COLUMNS, int)
    path[first : first + 2 * len(text) : 2] = class_of(text)
    out[0, 0, path, np.arange(COLUMNS)] = logit
    return {"text": out}


def test_a_marked_place_is_seen_in_the_middle_of_its_crop() -> None:
    photo, grid = _photo((62.0, 41.0))
    seen: list[Array] = []

    def network(feed: Mapping[str, Array]) -> dict[str, Array]:
        seen.append(feed["image"].copy())
        return _answer("25mm/s 1cm/mV", logit=9.0)

    printed = Caption(FakeBackend(network), open_ops())(photo, grid, _label({(62, 41): 0.5}))
    (crop,) = seen
    assert crop.shape == (1, *CAPTION_HW, 3) and crop.dtype == np.uint8
    y, x = np.nonzero(crop[0, ..., 0] < 100)
    assert (x.mean(), y.mean()) == pytest.approx(((CAPTION_HW[1] - 1) / 2, (CAPTION_HW[0] - 1) / 2), abs=0.6)
    assert x.max() - x.min() + 1 == pytest.approx(CAPTION_PX_PER_MM, abs=2)
    assert printed == {
        Quantity.SPEED: {25.0: pytest.approx(0.97, abs=0.02)},
        Quantity.GAIN: {10.0: pytest.approx(0.97, abs=0.02)},
    }


@pytest.mark.parametrize(("first", "is_whole"), [(2, False), (6, True), (COLUMNS - 18, True), (COLUMNS - 12, False)])
def test_a_value_at_the_edge_of_a_crop_may_be_cut(first: int, is_whole: bool) -> None:
    photo, grid = _photo((62.0, 41.0))
    backend = FakeBackend(lambda feed: _answer("25mm/s", first))
    printed = Caption(backend, open_ops())(photo, grid, _label({(62, 41): 0.5}))
    assert bool(printed) is is_whole


def test_a_setting_longer_than_a_crop_is_read_at_a_smaller_scale() -> None:
    photo, grid = _photo((62.0, 41.0))
    large, small = _answer("10.0 mm/mV", 2), _answer("10.0 mm/mV", 50)
    large["text"][:] = large["text"][..., np.minimum(np.arange(COLUMNS) // 5 * 2, COLUMNS - 1)]
    answers = [small, large, large]
    backend = FakeBackend(lambda feed: answers.pop())
    printed = Caption(backend, open_ops())(photo, grid, _label({(62, 41): 0.5}))
    assert printed == {Quantity.GAIN: {10.0: pytest.approx(0.98, abs=0.02)}} and not answers


def test_a_value_at_the_edge_of_the_photo_is_read_as_far_as_it_goes() -> None:
    photo, grid = _photo((62.0, 41.0))
    backend = FakeBackend(lambda feed: _answer("5mm/s", 56))
    beside = GridWarp(grid.node_xy - np.float32(10 * 59.5), grid.mm_per_cell, grid.residual_px, grid.measured)
    printed = Caption(backend, open_ops())(photo, beside, _label({(62, 41): 0.5}))
    assert printed == {Quantity.SPEED: {5.0: pytest.approx(1, abs=0.1)}}
    signs = ScaleSigns(printed, PulseSigns(np.zeros((2, 3))))
    assert read_scales(signs).speed_mm_per_s == 25.0, "a digit may be cut off"


def test_the_best_of_all_places_counts_and_without_one_nothing_is_read() -> None:
    photo, grid = _photo((62.0, 41.0))
    answers = [_answer("25mm/s", logit=5.0), _answer("25mm/s", logit=8.0)]
    backend = FakeBackend(lambda feed: answers.pop())
    printed = Caption(backend, open_ops())(photo, grid, _label({(62, 41): 0.5, (100, 43): 0.3}))
    assert printed == {Quantity.SPEED: {25.0: pytest.approx(0.97, abs=0.02)}} and not answers
    assert Caption(backend, open_ops())(photo, grid, _label({})) == {}


def test_two_looks_are_joined_value_by_value() -> None:
    near = {Quantity.SPEED: {25.0: 0.9, 50.0: 0.2}}
    far = {Quantity.SPEED: {25.0: 0.95}, Quantity.GAIN: {5.0: 0.7}}
    assert joined(near, far) == {Quantity.SPEED: {25.0: 0.95, 50.0: 0.2}, Quantity.GAIN: {5.0: 0.7}}


def test_places_are_apart_and_the_strongest_come_first() -> None:
    label = _label({(20, 20): 0.5, (23, 20): 0.4, (40, 20): 0.9, (60, 20): 0.05})
    assert marked_places(label[-1]).tolist() == [[40, 20], [20, 20]]
    other_lines = _label({(20, 24): 0.5, (23, 29): 0.8, (40, 20): 0.9})
    assert marked_places(other_lines[-1]).tolist() == [[40, 20], [23, 29], [20, 24]], (
        "gain above the rows, speed below them"
    )
    assert marked_places(_label({(20, 20): 0.9, (60, 20): 0.3})[-1]).tolist() == [[20, 20]]  # faint
    many = _label({(x, 50): 0.5 for x in range(5, 150, 10)})
    assert len(marked_places(many[-1])) == 6
    assert marked_places(np.zeros((0, 0), np.float32)).shape == (0, 2)


def test_a_place_that_the_photo_does_not_show_is_grey() -> None:
    photo, grid = _photo((62.0, 41.0))
    seen: list[Array] = []

    def network(feed: Mapping[str, Array]) -> dict[str, Array]:
        seen.append(feed["image"].copy())
        return _answer("")

    Caption(FakeBackend(network), open_ops())(photo, grid, _label({(149, 99): 0.5}))
    assert (seen[0][0, -1, -1] == 114).all()
