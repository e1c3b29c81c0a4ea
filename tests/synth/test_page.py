"""Pages: their truth, their family, and samples from a seed."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.layout import LAYOUTS, LEADS
from ecg_trt.synth.page import GridStyle, draw_page, draw_spec
from ecg_trt.synth.plain import draw_plain_page
from ecg_trt.synth.sample import make_sample, truth_of
from ecg_trt.synth.signals import simulate


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_truth_says_what_is_printed(name: str) -> None:
    rng = np.random.default_rng(1)
    signal = simulate(rng)
    page = draw_page(rng, signal, 500.0, px_per_mm=2.0, spec=draw_spec(rng, layout=name, paper_speed_mm_per_s=25.0,
                                                                      separator="tick"))  # fmt: skip
    layout = LAYOUTS[name]
    assert [tuple(s.lead for s in strip.segments) for strip in page.strips] == list(layout.rows)
    assert len(page.labels) == sum(len(row) for row in layout.rows)
    for row in range(len(layout.rows)):
        for lead, start, end in layout.spans(row):
            shown = page.signal_mv[LEADS.index(lead), round(start * 500) : round(end * 500)]
            assert np.isfinite(shown[:-2]).all()
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
