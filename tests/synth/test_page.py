"""Pages: their truth, their family, and samples from a seed."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import ceil

import numpy as np
import pytest

from ecg_trt.layout import LAYOUTS, LEADS, SETTING
from ecg_trt.synth.page import Page, draw_page
from ecg_trt.synth.plain import draw_plain_page
from ecg_trt.synth.sample import make_sample, truth_of
from ecg_trt.synth.signals import simulate
from ecg_trt.synth.spec import ANY_PAGE, OTHER_PAGES, GridStyle, PageSpec, draw_spec


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_truth_says_what_is_printed(name: str) -> None:
    rng = np.random.default_rng(1)
    signal = simulate(rng)
    page = draw_page(rng, signal, 500.0, px_per_mm=2.0, spec=draw_spec(rng, layout=name, paper_speed_mm_per_s=25.0,
                                                                      separator="tick"))  # fmt: skip
    layout = LAYOUTS[name]
    assert [tuple(s.lead for s in strip.segments) for strip in page.strips] == list(page.spec.layout.rows)
    assert len(page.labels) == sum(len(row) for row in layout.rows)
    for row in range(len(layout.rows)):
        for lead, start, end in layout.spans(row):
            shown = page.signal_mv[LEADS.index(lead), ceil(start * 500 - 1e-6) : ceil(end * 500 - 1e-6)]
            assert np.isfinite(shown).all()
    both = np.isfinite(page.signal_mv)
    np.testing.assert_array_equal(page.signal_mv[both], signal[:, :5000][both])
    assert truth_of(page, "x").layout == name


def test_the_pen_is_where_the_truth_says() -> None:
    rng = np.random.default_rng(2)
    bare = GridStyle((255, 255, 255), (0.0, 0.0), (0.2, 0.1), False)
    spec = draw_spec(rng, layout="12x1", clutter=0.0, grid=bare, separator="none")
    page = draw_page(rng, simulate(rng), 500.0, px_per_mm=10.0, spec=spec)
    assert not page.has_grid
    x, y = page.pen_x_mm[4], page.pen_y_mm[4]
    at = np.stack([x, y], -1)[::7] * 10 - 0.5
    col, row = np.round(at).astype(int).T
    ok = (row >= 0) & (row < page.image.shape[0])
    assert np.mean(page.image[row[ok], col[ok]].max(-1) < 160) > 0.97


_STEPS_MV = np.tile(np.where(np.arange(12)[:, None] % 2, 0.5, -0.5), (1, 5000)).astype(np.float32)
_PX = 10.0


def _steps(separator: str, joined: bool) -> Page:
    """A 3x4 page whose leads are level, each 10 mm off the one before it in its row: II, aVL, V2 and V5, for one."""
    rng = np.random.default_rng(5)
    spec = _bare(rng, layout="3x4", paper_speed_mm_per_s=25.0, gain_mm_per_mv=10.0, separator=separator, pulse="none",
                 calibration_text=False)  # fmt: skip
    spec = replace(spec, joined=joined, frame=False, label_offset_mm=(15.0, -9.0))
    return draw_page(rng, _STEPS_MV, 500.0, px_per_mm=_PX, spec=spec)


def _ink_around(page: Page, x_mm: float, y_mm: float, reach_mm: tuple[float, float]) -> float:
    """Share of dark pixels within a box around a point of the page."""
    x, y, dx, dy = (round(v * _PX) for v in (x_mm, y_mm, *reach_mm))
    return float(np.mean(page.image[y - dy : y + dy, x - dx : x + dx].max(-1) < 128))


@pytest.mark.parametrize("joined", [False, True])
def test_a_pen_that_is_joined_draws_the_step_from_lead_to_lead(joined: bool) -> None:
    page = _steps("none", joined)
    assert page.spec.gap_mm == 0.0
    for strip in page.strips:
        for before, after in pairwise(strip.segments):
            up, down = (strip.zero_y_mm + 5 * (1 if LEADS.index(s.lead) % 2 == 0 else -1) for s in (before, after))
            assert abs(up - down) == 10.0
            step = _ink_around(page, after.x_mm[0], strip.zero_y_mm, (1.0, 3.0))
            assert (step > 0.05) if joined else (step == 0.0)
            assert _ink_around(page, before.x_mm[1] - 1.0, up, (0.8, 0.1)) > 0.9, "each is drawn to its end"
            assert _ink_around(page, after.x_mm[0] + 1.0, down, (0.8, 0.1)) > 0.9, "and from its beginning"
    assert np.isfinite(page.signal_mv).sum(1).tolist() == [1250] * 12


@pytest.mark.parametrize("joined", [False, True])
def test_a_gap_leaves_paper_and_no_signal_at_the_end_of_each_lead(joined: bool) -> None:
    page = _steps("gap", joined)
    assert page.spec.gap_mm == 1.0
    for strip in page.strips:
        for segment in strip.segments:
            end, pen = segment.x_mm[1], strip.zero_y_mm + 5 * (1 if LEADS.index(segment.lead) % 2 == 0 else -1)
            assert _ink_around(page, end - 0.5, strip.zero_y_mm, (0.2, 8.0)) == 0.0
            assert _ink_around(page, end - 2.0, pen, (0.8, 0.1)) > 0.9
            first = round((segment.x_mm[0] - page.spec.x0_mm) / 25 * 500)
            shown = np.flatnonzero(np.isfinite(page.signal_mv[LEADS.index(segment.lead)]))
            assert (shown[0], shown[-1]) == (first, first + 1250 - 20 - 1)  # 1 mm is 20 samples
            assert len(shown) == 1230


def test_same_seed_same_photo_and_other_seed_another() -> None:
    a, truth = make_sample(5, width_px=700)
    b, _ = make_sample(5, width_px=700)
    c, _ = make_sample(6, width_px=700)
    assert np.array_equal(a, b)
    assert a.shape != c.shape or not np.array_equal(a, c)
    assert a.dtype == np.uint8 and truth.signal_mv.shape == (12, 5000)


@pytest.mark.parametrize("kind", ["photo", "scan", "render"])
@pytest.mark.parametrize("layout", ["3x4", "12x1"])
def test_samples_of_every_kind(kind: str, layout: str) -> None:
    image, truth = make_sample(3, width_px=640, kind=kind, layout=layout)
    assert image.ndim == 3 and min(image.shape[:2]) > 100 and image.std() > 3
    assert truth.layout == layout


def test_plain_paper_is_never_twice_the_same() -> None:
    pages = [draw_plain_page(np.random.default_rng(k), (100.0, 80.0), 3.0) for k in range(12)]
    assert all(p.shape == (240, 300, 3) for p in pages)
    assert len({p.tobytes() for p in pages}) == 12


def _bare(rng: np.random.Generator, **fixed: object) -> PageSpec:
    """A page with nothing but traces, names and text on it."""
    paper = GridStyle((255, 255, 255), (0.0, 0.0), (0.2, 0.1), False)
    return draw_spec(rng, **{"grid": paper, "clutter": 0.0, "separator": "none", **fixed})


def test_inverted_avr_is_drawn_upside_down() -> None:
    rng = np.random.default_rng(4)
    signal = simulate(rng)
    page = draw_page(rng, signal, 500.0, px_per_mm=2.0, spec=_bare(
        rng, layout=LAYOUTS["12x1-cabrera"].with_inverted_avr(), paper_speed_mm_per_s=25.0))  # fmt: skip
    drawn = (page.strips[2].zero_y_mm - page.pen_y_mm[2]) / page.spec.gain_mm_per_mv
    np.testing.assert_allclose(drawn, -signal[LEADS.index("aVR"), :5000], atol=1e-6)
    np.testing.assert_array_equal(page.signal_mv[LEADS.index("aVR")], signal[LEADS.index("aVR"), :5000])
    assert page.labels[2].word == "-aVR"


def test_settings_are_printed_where_and_as_the_truth_says() -> None:
    dark = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        page = draw_page(rng, simulate(rng), 500.0, px_per_mm=8.0, spec=_bare(rng, calibration_text=True))
        assert {mark.word for mark in page.calibration_text} == {SETTING} and len(page.calibration_text) >= 2
        for mark in page.calibration_text:
            x, y = (round(8 * v) for v in mark.xy_mm)
            assert 0 < mark.xy_mm[0] < page.spec.size_mm[0] and 0 < mark.xy_mm[1] < page.spec.size_mm[1]
            dark.append(page.image[max(0, y - 6) : y + 7, max(0, x - 16) : x + 17].max(-1).min() < 110)
    assert np.mean(dark) == 1.0


def test_a_page_without_settings_marks_none() -> None:
    rng = np.random.default_rng(1)
    for _ in range(4):
        assert not draw_page(
            rng, simulate(rng), 500.0, px_per_mm=2.0, spec=_bare(rng, calibration_text=False)
        ).calibration_text


@pytest.mark.parametrize("kind", list(OTHER_PAGES))
def test_other_pages_say_which_leads_they_show(kind: str) -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        page = draw_page(rng, simulate(rng), 500.0, px_per_mm=2.0, spec=_bare(rng, layout=kind))
        rows = page.spec.layout.rows
        assert page.signal_mv.shape == (len(page.leads), 5000)
        assert np.isfinite(page.signal_mv).any(1).all()
        named = [lead for row in rows for lead in row if not lead.startswith("strip")]
        assert [mark.word for mark in page.labels] == named
        if kind == "15-lead":
            assert page.leads[:12] == LEADS and 2 <= len(page.leads) - 12 <= 3
        else:
            assert all(len(row) == 1 for row in rows) and len(page.leads) == len(rows)
        assert truth_of(page, "x").lead_names == page.leads


def test_some_strips_carry_no_name_and_most_of_any_pages_show_twelve_leads() -> None:
    rng = np.random.default_rng(0)
    strips = [draw_spec(rng, layout="strip").layout.rows[0][0] for _ in range(100)]
    assert 20 < strips.count("strip1") < 50
    assert {"II", "V1"} < set(strips)
    twelve = np.mean([draw_spec(rng, layout=ANY_PAGE).layout.leads == LEADS for _ in range(300)])
    assert 0.75 < twelve < 0.95
    assert all(draw_spec(rng).layout.leads == LEADS for _ in range(100))


@pytest.mark.parametrize(("given", "sides"), [("left", 1), ("right", 1), ("both", 2), ("none", 0)])
def test_pulses_stand_on_the_paper_at_the_sides_asked_for(given: str, sides: int) -> None:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        page = draw_page(rng, simulate(rng), 500.0, px_per_mm=2.0, spec=_bare(rng, layout="3x4", pulse=given))
        assert page.pulses_mm.shape == (3 * sides, 4)
        x0, y0, x1, y1 = page.pulses_mm.T
        assert (x0 >= 0).all() and (x1 <= page.spec.size_mm[0]).all() and (y0 >= 0).all()
        full = 0.2 * page.spec.paper_speed_mm_per_s
        assert (x1 - x0 <= full + 1e-9).all() and (x1 - x0 > 0.25 * full).all()
        assert (y1 - y0 <= page.spec.gain_mm_per_mv + 1e-9).all()
