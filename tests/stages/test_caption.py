"""Printed settings: where they are looked for, and what is seen there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from ecg_trt.backends.fake import FakeBackend
from ecg_trt.layout import MARKED_WORDS, SETTING, SETTING_WORDS
from ecg_trt.ops.select import open_ops
from ecg_trt.stages.caption import Caption, marked_places
from ecg_trt.stages.scaling import CAPTION_HW, CAPTION_PX_PER_MM, CAPTION_STRIDE, caption_middle
from ecg_trt.types import Array, GridWarp, Photo

PX_PER_MM = 10.0
HW = (CAPTION_HW[0] // CAPTION_STRIDE, CAPTION_HW[1] // CAPTION_STRIDE)


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


def _answer(plane: int, row: int, column: int, logit: float = 5.0) -> Array:
    out = np.full((1, len(SETTING_WORDS), *HW), -8.0, np.float32)
    out[0, plane, row, column] = logit
    return out


def test_a_marked_place_is_seen_in_the_middle_of_its_crop() -> None:
    photo, grid = _photo((62.0, 41.0))
    seen: list[Array] = []

    def network(feed: Mapping[str, Array]) -> dict[str, Array]:
        seen.append(feed["image"].copy())
        return {"setting": _answer(1, 8, 32)}

    said = Caption(FakeBackend(network), open_ops())(photo, grid, _label({(62, 41): 0.5}))
    (crop,) = seen
    assert crop.shape == (1, *CAPTION_HW, 3) and crop.dtype == np.uint8
    y, x = np.nonzero(crop[0, ..., 0] < 100)
    assert (x.mean(), y.mean()) == pytest.approx(((CAPTION_HW[1] - 1) / 2, (CAPTION_HW[0] - 1) / 2), abs=0.6)
    assert x.max() - x.min() + 1 == pytest.approx(CAPTION_PX_PER_MM, abs=2)
    assert list(said) == list(SETTING_WORDS)
    assert said["50 mm/s"] == pytest.approx(1 / (1 + np.exp(-5.0))) and said["25 mm/s"] < 0.01


def test_words_at_the_sides_of_a_crop_are_left_to_another() -> None:
    middle = caption_middle()
    columns = (middle.start - 1, middle.start, middle.stop - 1, middle.stop)
    photo, grid = _photo((62.0, 41.0))

    def odds(column: int) -> float:
        backend = FakeBackend(lambda feed: {"setting": _answer(3, 4, column)})
        return float(Caption(backend, open_ops())(photo, grid, _label({(62, 41): 0.5}))["10 mm/mV"])

    read = {column: odds(column) for column in columns}
    assert [response > 0.9 for response in read.values()] == [False, True, True, False]


def test_the_best_of_all_places_counts_and_without_one_nothing_is_read() -> None:
    photo, grid = _photo((62.0, 41.0))
    answers = [_answer(0, 8, 32, 2.0), _answer(0, 8, 32, 4.0)]
    backend = FakeBackend(lambda feed: {"setting": answers.pop()})
    said = Caption(backend, open_ops())(photo, grid, _label({(62, 41): 0.5, (100, 43): 0.3}))
    assert said["25 mm/s"] == pytest.approx(1 / (1 + np.exp(-4.0))) and not answers
    assert set(Caption(backend, open_ops())(photo, grid, _label({})).values()) == {0.0}


def test_places_are_apart_on_one_line_and_the_strongest_come_first() -> None:
    label = _label({(20, 20): 0.5, (23, 20): 0.4, (40, 20): 0.9, (60, 20): 0.05})
    assert marked_places(label[-1]).tolist() == [[40, 20], [20, 20]]
    other_lines = _label({(20, 24): 0.5, (23, 29): 0.8, (40, 20): 0.9})
    assert marked_places(other_lines[-1]).tolist() == [[40, 20], [20, 24]]
    assert marked_places(_label({(20, 20): 0.9, (60, 20): 0.3})[-1]).tolist() == [[20, 20]]  # faint
    many = _label({(x, 50): 0.5 for x in range(5, 150, 10)})
    assert len(marked_places(many[-1])) == 6
    assert marked_places(np.zeros((0, 0), np.float32)).shape == (0, 2)


def test_a_place_that_the_photo_does_not_show_is_grey() -> None:
    photo, grid = _photo((62.0, 41.0))
    seen: list[Array] = []

    def network(feed: Mapping[str, Array]) -> dict[str, Array]:
        seen.append(feed["image"].copy())
        return {"setting": _answer(0, 0, 32, -9.0)}

    Caption(FakeBackend(network), open_ops())(photo, grid, _label({(149, 99): 0.5}))
    assert (seen[0][0, -1, -1] == 114).all()
