"""Layouts and names from maps that the generator knows, with noise on them."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.layout import LAYOUTS, LEAD_WORDS, LEADS, MARKED_WORDS, STRIPS, Layout, upright
from ecg_trt.page.name_places import name_boxes
from ecg_trt.page.naming import Naming, name_page, name_strips
from ecg_trt.page.strips import agree_on_span, find_strips
from ecg_trt.stages.rectify import PageHeatmaps
from ecg_trt.synth.page import Page
from ecg_trt.types import Array
from tests.geometry.true_maps import maps_of, page_of


def _named(page: Page, label: Array | None = None, layout: str = "auto") -> Naming:
    maps = maps_of(page)
    strips = agree_on_span(find_strips(maps["zero"][0]), maps["start"][0], maps["end"][0])
    naming = name_strips(strips, maps["label"] if label is None else label, maps["start"][0], layout=layout)
    assert naming is not None
    return naming


@pytest.mark.parametrize("name", list(LAYOUTS))
@pytest.mark.parametrize("seed", [0, 1])
def test_every_layout_is_recognised(name: str, seed: int) -> None:
    page = page_of(seed, layout=LAYOUTS[name])
    maps = maps_of(page)
    rng = np.random.default_rng(seed)
    zero, label = (np.clip(0.8 * m + rng.normal(0, 0.05, m.shape), 0, 1).astype(np.float32)
                   for m in (maps["zero"][0], maps["label"]))  # fmt: skip
    label *= rng.random((len(MARKED_WORDS), 1, 1)) < 0.8  # some names cannot be read at all
    strips = agree_on_span(find_strips(zero), maps["start"][0], maps["end"][0])
    naming = name_strips(strips, label, maps["start"][0])
    assert naming is not None
    assert naming.layout.name == name
    assert naming.missing == ()
    for found, true in zip(naming.strips, page.strips, strict=True):
        assert found.zero_y_mm == pytest.approx(true.zero_y_mm, abs=0.4)
        assert found.x_mm == pytest.approx(true.x_mm, abs=1.0)
        assert [upright(s.lead)[0] for s in found.segments] == [upright(s.lead)[0] for s in true.segments]


def test_a_row_hidden_by_noise_is_read_where_a_layout_prints_it() -> None:
    page = page_of(3, layout="12x1")
    maps = maps_of(page)
    y = round(page.strips[4].zero_y_mm)
    zero = maps["zero"][0].copy()
    zero[y - 6 : y + 7] *= 0.45
    assert len(find_strips(zero)) == 11
    heatmaps = PageHeatmaps(zero, maps["start"][0], maps["end"][0], np.zeros_like(zero), maps["label"])
    naming = name_page(heatmaps, "auto", is_scaled=True)
    assert naming is not None and naming.layout.name == "12x1" and naming.missing == ()
    zero[y - 6 : y + 7] = 0
    naming = name_page(heatmaps, "auto", is_scaled=True)
    assert naming is not None and len(naming.missing) == 1, "nothing is invented"


def test_a_hidden_row_is_missed_and_named() -> None:
    page = page_of(3, layout="6x2")
    maps = maps_of(page)
    y = round(page.strips[2].zero_y_mm)
    for m in maps.values():
        m[..., y - 6 : y + 7, :] = 0
    strips = agree_on_span(find_strips(maps["zero"][0]), maps["start"][0], maps["end"][0])
    naming = name_strips(strips, maps["label"], maps["start"][0], layout="6x2")
    assert naming is not None and len(naming.strips) == 5
    assert naming.missing == ("III", "V3")


def test_the_users_layout_wins() -> None:
    page = page_of(4, layout="3x4")
    maps = maps_of(page)
    strips = find_strips(maps["zero"][0])
    naming = name_strips(strips, maps["label"], maps["start"][0], layout="3x4+1")
    assert naming is not None and naming.layout.name == "3x4+1"


def test_names_that_cannot_be_read_stand_where_the_others_do() -> None:
    page = page_of(6, layout="3x4", clutter=0.0)
    label = maps_of(page)["label"]
    hidden = page.labels[5]
    label[MARKED_WORDS.index(hidden.word)] = 0
    boxes = name_boxes(page.strips, label)
    for mark in page.labels:
        x, y = (round(v) for v in mark.xy_mm)
        assert boxes[y, x], mark.word
    assert boxes.mean() < 0.02
    assert not name_boxes(page.strips, np.zeros_like(label)).any()


@pytest.mark.parametrize("kind", ["strip", "rows", "additional", "frank"])
def test_pages_of_other_leads_are_read_under_the_names_they_carry(kind: str) -> None:
    for seed in range(6):
        page = page_of(seed, layout=kind)
        naming = _named(page)
        assert naming.layout.name == STRIPS, (seed, naming.layout)
        assert naming.leads == page.leads
        assert naming.missing == ()
        assert any("no known layout" in str(warning) for warning in naming.warnings)


def test_leads_below_the_twelve_are_appended() -> None:
    rows = (*LAYOUTS["12x1"].rows, ("V7",), ("V8",), ("V9",))
    assert _named(page_of(0, layout=Layout("15x1", rows))).leads == (*LEADS, "V7", "V8", "V9")


def test_names_of_an_order_of_their_own_are_read_column_by_column() -> None:
    rows = (("V1", "I"), ("V2", "II"), ("V3", "aVL"))
    naming = _named(page_of(1, layout=Layout("3x2", rows)))
    assert naming.layout.name == STRIPS
    assert naming.layout.rows == rows
    assert [tuple(s.lead for s in strip.segments) for strip in naming.strips] == list(rows)


def test_the_second_strip_of_a_name_gets_a_name_of_its_own() -> None:
    page = page_of(3, layout=Layout("3x1", (("II",), ("strip2",), ("II",))))
    naming = _named(page)
    assert naming.leads == ("II", "strip2", "II-2")


@pytest.mark.parametrize("seed", range(4))
def test_inverted_avr_is_told_from_avr(seed: int) -> None:
    for layout in (LAYOUTS["6x2-cabrera"], LAYOUTS["6x2-cabrera"].with_inverted_avr()):
        naming = _named(page_of(seed, layout=layout))
        assert naming.layout.name == layout.name and naming.leads == LEADS
        assert naming.strips[2].segments[0].lead == layout.rows[2][0]
        assert any("-aVR" in str(warning) for warning in naming.warnings) == (layout.rows[2][0] == "-aVR")


def test_names_far_behind_their_starts_are_found() -> None:
    page = page_of(4, layout="3x4+1", clutter=0.0)
    near = maps_of(page)["label"]
    far = np.zeros_like(near)
    far[:, :, 20:] = near[:, :, :-20]
    naming = _named(page, far)
    assert naming.layout.name == "3x4+1" and naming.label_score > 0.5


@pytest.mark.parametrize("behind_mm", [12, 18])
def test_starts_that_are_seen_at_names_far_behind_them(behind_mm: int) -> None:
    page = page_of(4, layout="3x4+1", clutter=0.0)
    maps = maps_of(page)
    strips = agree_on_span(find_strips(maps["zero"][0]), maps["start"][0], maps["end"][0])
    label, start = (np.roll(maps[name], behind_mm, -1) for name in ("label", "start"))
    naming = name_strips(strips, 0.5 * label, start[0])
    assert naming is not None and naming.layout.name == "3x4+1" and naming.missing == ()


def test_a_page_may_be_taken_strip_by_strip() -> None:
    page = page_of(5, layout="12x1")
    naming = _named(page, layout=STRIPS)
    assert naming.layout.name == STRIPS and naming.probability == 1.0
    assert naming.leads == LEADS


def test_a_page_without_names_is_less_sure_than_one_with_them() -> None:
    page = page_of(7, layout="3x4+1")
    known, unread = _named(page), _named(page, np.zeros_like(maps_of(page)["label"]))
    assert known.probability > 0.9 > unread.probability
    assert known.label_score > 0.9 and unread.label_score == 0.0


def test_planes_of_settings_are_no_names() -> None:
    page = page_of(8, layout="3x4")
    label = maps_of(page)["label"]
    label[len(LEAD_WORDS) :] = 1.0
    assert _named(page, label).layout.name == "3x4"
