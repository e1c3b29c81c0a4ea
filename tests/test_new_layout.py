"""One entry of LAYOUTS is all that it takes to draw and to read a new layout."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.config import ReadOptions
from ecg_trt.digitizer import Digitizer
from ecg_trt.layout import LAYOUTS, LEADS, Layout
from ecg_trt.metrics import score_record
from ecg_trt.page.naming import name_strips
from ecg_trt.page.strips import agree_on_span, find_strips
from ecg_trt.record import EcgRecord
from ecg_trt.synth.page import draw_page
from ecg_trt.synth.sample import make_sample
from ecg_trt.synth.signals import simulate
from ecg_trt.synth.spec import draw_spec
from tests.geometry.true_maps import maps_of, page_of
from tests.marks import slow_but

FIVE_COLUMNS = Layout("2x5+2", (LEADS[:5], LEADS[5:10], ("V5",), ("V6",)))
"""Two rows of five columns of 2 s, two rhythm strips of 10 s."""
THREE_SECONDS = Layout("3x4+1-3s", LAYOUTS["3x4+1"].rows, (*3 * (4 * (3.0,),), (12.0,)))
UNEVEN = Layout("3 uneven", (("I", "II", "V1"), ("III", "aVF", "V5"), ("ES",)), (*2 * ((2.0, 3.0, 5.0),), (10.0,)))
"""Columns of several lengths, and a lead that the network does not know."""
SEEDS = {FIVE_COLUMNS.name: 31, THREE_SECONDS.name: 34, UNEVEN.name: 21}
TOYS = (FIVE_COLUMNS, THREE_SECONDS, UNEVEN)


@pytest.fixture(params=slow_but([FIVE_COLUMNS, UNEVEN], TOYS), ids=lambda layout: layout.name)
def toy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A new layout, known while the test runs."""
    layout: Layout = request.param
    monkeypatch.setitem(LAYOUTS, layout.name, layout)
    return layout


def _assert_same(record: EcgRecord, truth: EcgRecord, layout: Layout) -> None:
    """Compare names, times and voltages."""
    assert record.layout == layout.name
    assert record.lead_names == truth.lead_names == layout.leads
    assert record.signal_mv.shape == truth.signal_mv.shape == (len(layout.leads), round(500 * layout.seconds))
    for row in range(len(layout.rows)):
        for lead, start, end in layout.spans(row):
            shown = np.flatnonzero(np.isfinite(record.signal_mv[record.lead_names.index(lead)])) / 500
            if sum(row.count(lead) for row in layout.rows) == 1:
                assert shown[[0, -1]] == pytest.approx((start, end), abs=0.1), lead
    assert score_record(truth.signal_mv, truth.fs, record.signal_mv, record.fs).snr_db > 10


def test_a_new_layout_is_drawn_and_read(toy: Layout, digitizer: Digitizer) -> None:
    image, truth = make_sample(SEEDS[toy.name], width_px=2600, severity=0.2, layout=toy.name, paper_speed_mm_per_s=25.0,
                               gain_mm_per_mv=10.0, pulse="left", clutter=0.0)  # fmt: skip
    record = digitizer(image)
    _assert_same(record, truth, toy)
    assert not any("Not found" in warning.text or "last" in warning.text for warning in record.warnings)


def test_a_new_layout_may_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYOUTS, FIVE_COLUMNS.name, FIVE_COLUMNS)
    image, truth = make_sample(SEEDS[FIVE_COLUMNS.name], width_px=2600, severity=0.2, layout=FIVE_COLUMNS,
                               paper_speed_mm_per_s=25.0, gain_mm_per_mv=10.0, pulse="left", clutter=0.0)  # fmt: skip
    with Digitizer(options=ReadOptions(layout=FIVE_COLUMNS.name)) as asked:
        _assert_same(asked(image), truth, FIVE_COLUMNS)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("speed", [25.0, 50.0])
def test_a_new_layout_is_told_from_the_others(toy: Layout, seed: int, speed: float) -> None:
    page = page_of(seed, layout=toy, paper_speed_mm_per_s=speed)
    maps = maps_of(page)
    strips = agree_on_span(find_strips(maps["zero"][0]), maps["start"][0], maps["end"][0])
    naming = name_strips(strips, maps["label"], maps["start"][0])
    assert naming is not None and naming.layout == toy and naming.probability > 0.9
    assert naming.leads == toy.leads and not naming.missing
    assert [tuple(s.lead for s in strip.segments) for strip in naming.strips] == list(toy.rows)
    for read, drawn in zip(naming.strips, page.strips, strict=True):
        for one, other in zip(read.segments, drawn.segments, strict=True):
            assert one.x_mm == pytest.approx(other.x_mm, abs=3.0)


def test_training_draws_a_new_layout_as_often_as_its_weight_asks(toy: Layout) -> None:
    rng = np.random.default_rng(0)
    share = np.mean([draw_spec(rng).layout.name == toy.name for _ in range(1500)])
    assert share == pytest.approx(toy.weight / sum(layout.weight for layout in LAYOUTS.values()), abs=0.02)


def test_a_signal_that_is_shorter_than_the_record_is_repeated(toy: Layout) -> None:
    rng = np.random.default_rng(0)
    signal = simulate(rng, seconds=8.0)
    spec = draw_spec(rng, layout=toy, paper_speed_mm_per_s=25.0, separator="none")
    page = draw_page(rng, signal, 500.0, px_per_mm=2.0, spec=spec)
    assert page.strips[-1].x_mm[1] - page.strips[-1].x_mm[0] == pytest.approx(25 * toy.seconds)
    last = page.signal_mv[page.leads.index(toy.rows[-1][0])]
    assert len(last) == 500 * toy.seconds and np.isfinite(last).all()
    np.testing.assert_array_equal(last[4000:], last[: len(last) - 4000])


def test_names_that_the_network_does_not_know_are_printed_and_not_marked(toy: Layout) -> None:
    page = page_of(0, layout=toy, clutter=0.0)
    words = [mark.word for mark in page.labels]
    assert words == [lead for row in toy.rows for lead in row if lead != "ES"]
