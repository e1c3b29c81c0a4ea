"""Pictures of a record: the overlay on its page, the photo beside it, and the plot on ECG paper."""

from __future__ import annotations

import sys
from dataclasses import replace
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from ecg_trt.errors import NOTICE, OptionError, OutputError
from ecg_trt.io.writers.image import fitted, write_image
from ecg_trt.io.writers.overlay import draw_overlay, overlay_of
from ecg_trt.io.writers.paper import lay_out
from ecg_trt.io.writers.photo_picture import draw_photo, page_outline
from ecg_trt.layout import LEADS
from ecg_trt.types import LeadSpan, PageWarning, PhotoView, TraceMap, WarningCode


def test_overlay_is_golden(record, tmp_path, golden, tools, monkeypatch):
    """Fonts differ between versions of OpenCV, so no text is drawn, and blocks of 8 x 8 px are compared."""
    for module in ("overlay", "legend"):
        monkeypatch.setattr(f"ecg_trt.io.writers.{module}.draw_text", lambda *_args, **_kwargs: None)
    picture = fitted(overlay_of(tools.reading(record)), 720, 720)
    path = write_image(picture, tmp_path / "overlay.png")
    want = np.asarray(Image.open(BytesIO(golden(path))), np.float32)
    assert want.shape == picture.shape
    rows, columns = (side // 8 for side in picture.shape[:2])
    off = np.abs(picture.astype(np.float32) - want)[: 8 * rows, : 8 * columns]
    assert off.reshape(rows, 8, columns, 8, 3).mean((1, 3)).max() < 8.0


def test_overlay_shows_trace_gap_and_uncertainty(record, tools):
    view = tools.reading(record)
    picture = draw_overlay(view.page, view.strips, view.trace, view.record)
    assert picture.dtype == np.uint8
    height, width = view.page.image.shape[:2]
    caption = picture.shape[0] - 2 * height  # the page has 4 px/mm, the overlay 8
    assert caption > 0 and picture.shape[1] == 2 * width
    page = picture[caption:].astype(int)
    row = view.trace.ridge_row[0]
    at = {x: page[round(2 * float(row[x]) + 0.5), 2 * x] for x in (100, 420)}
    assert at[100][2] > at[100][0] + 40, "a confident trace of lead I is blue"
    assert at[420][0] > at[420][2] + 100, "an uncertain one is orange"
    larger = cv2.resize(view.page.image, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)
    lightened = 0.65 * larger[4:24, 100:1000] + 0.35 * 255
    assert np.abs(page[4:24, 100:1000] - lightened).max() <= 2, "the page stays"
    assert (page[:40, :80] == 170).all(), "what the photo does not show is grey"


def test_an_overlay_has_one_scale_along_both_axes(record, tools):
    """A page that is read at other scales looks like one that is read at one scale."""
    view = tools.reading(record)
    (height, width), sides = view.page.image.shape[:2], (5, 2)  # 20 and 8 px/mm instead of 4
    wide, tall = width * sides[0], height * sides[1]
    fine = replace(
        view.page,
        image=cv2.resize(view.page.image, (wide, tall), interpolation=cv2.INTER_NEAREST),
        seen=np.kron(view.page.seen, np.ones(sides[::-1], bool)),
        px_per_mm=(20.0, 8.0),
        origin_mm=(-0.5 / 4 + 0.5 / 20, -0.5 / 4 + 0.5 / 8),
    )
    rows = np.repeat((view.trace.ridge_row + 0.5) * sides[1] - 0.5, sides[0], axis=1)
    confidence = np.repeat(view.trace.confidence, sides[0], axis=1)
    got = draw_overlay(fine, view.strips, TraceMap(rows, confidence, np.zeros_like(confidence)), record)
    expected = draw_overlay(view.page, view.strips, view.trace, record)
    assert got.shape == expected.shape
    assert np.abs(got.astype(int) - expected).mean() < 3


@pytest.mark.parametrize(
    "changes",
    [
        {"warnings": ()},
        {"warnings": tuple(PageWarning(WarningCode.NO_GRID, text) for text in "abcdef"), "assumed": ()},
        {"quality": np.full(12, np.nan, np.float32)},
        {"quality": np.full(12, 0.9, np.float32), "gain_mm_per_mv": 20.0},
    ],
)
def test_overlay_of_every_kind(record, tools, changes):
    view = tools.reading(replace(record, **changes))
    assert draw_overlay(view.page, view.strips, view.trace, view.record).ndim == 3


def test_overlay_of_a_trace_that_leaves_the_page(record, tools):
    view = tools.reading(record)
    strips = [
        replace(strip, segments=tuple(replace(piece, x_mm=(-5.0, 999.0)) for piece in strip.segments))
        for strip in view.strips
    ]
    view.trace.ridge_row[:, :5] = -100.0
    assert draw_overlay(view.page, strips, view.trace, record).ndim == 3
    assert draw_overlay(view.page, (), view.trace, record).ndim == 3


def test_overlay_names_the_leads_as_printed(record, tools):
    view = tools.reading(record)
    first = view.strips[0]
    printed = replace(first, segments=(replace(first.segments[0], lead="-aVR"), *first.segments[1:]))
    picture = draw_overlay(view.page, [printed, *view.strips[1:]], view.trace, view.record)
    plain = draw_overlay(view.page, view.strips, view.trace, view.record)
    assert picture.shape == plain.shape
    assert not np.array_equal(picture, plain), "the name is another"


def test_the_colour_of_a_trace_is_its_quality(record, tools):
    """Blue from 0.8 on, violet from 0.5, red below."""
    for quality, (strong, weak) in ((0.9, (2, 0)), (0.6, (0, 1)), (0.3, (0, 2))):
        view = tools.reading(replace(record, quality=np.full(12, quality, np.float32)))
        picture = draw_overlay(view.page, view.strips, view.trace, view.record)
        top = picture.shape[0] - 2 * view.page.image.shape[0]
        pixel = picture[top + round(2 * float(view.trace.ridge_row[0, 100]) + 0.5), 200].astype(int)
        assert pixel[strong] > pixel[weak] + 40, quality


def test_bars_are_a_millivolt_and_a_second(record, tools, monkeypatch):
    bars = []
    monkeypatch.setattr(
        "ecg_trt.io.writers.overlay.draw_bar", lambda _canvas, start, end, *_: bars.append((start, end))
    )
    view = tools.reading(replace(record, gain_mm_per_mv=20.0, paper_speed_mm_per_s=50.0))
    draw_overlay(view.page, view.strips, view.trace, view.record)
    *upright, level = [(abs(x1 - x0), abs(y1 - y0)) for (x0, y0), (x1, y1) in bars]
    assert upright == [(0, 20 * 8)] * 4, "8 px/mm"
    assert level == (50 * 8, 0)


def test_the_photo_stands_beside_the_page(record, tools):
    view = tools.reading(record)
    alone, beside = draw_overlay(view.page, view.strips, view.trace, record), overlay_of(view)
    width = alone.shape[1]
    assert beside.shape[1] > 1.3 * width
    height = 2 * view.page.image.shape[0]
    assert np.array_equal(beside[-height:, -width:], alone[-height:])
    photo = draw_photo(view.photo, view.grid, view.page)
    assert np.array_equal(beside[-height : photo.shape[0] - height, : photo.shape[1]], photo)


def test_the_outline_is_where_the_page_lies(record, tools):
    view = tools.reading(record)
    outline = page_outline(view.grid, view.page)
    edges = [(12.0, 12.0), (12.0 + 3 * 599 / 4, 12.0 + 3 * 479 / 4)]
    np.testing.assert_allclose([outline.min(0), outline.max(0)], edges, atol=0.01)
    half = PhotoView(view.photo.image[::2, ::2].copy(), 0.5)
    for photo, scale in ((view.photo, 1.0), (half, 0.5)):
        drawn = draw_photo(photo, view.grid, view.page).astype(int)
        blue = np.argwhere((drawn[..., 2] > 150) & (drawn[..., 0] < 60))
        np.testing.assert_allclose(blue.min(0), np.array(edges[0]) * scale, atol=3)
        np.testing.assert_allclose(blue.max(0), np.array(edges[1])[::-1] * scale, atol=3)
    missing = replace(view.grid, node_xy=np.full_like(view.grid.node_xy, np.nan))
    assert page_outline(missing, view.page).shape == (0, 2)
    assert np.array_equal(draw_photo(view.photo, missing, view.page), view.photo.image)


def spanned(record, seconds=2.5, **changes):
    """A record of 3x4+1 whose rows last four times some seconds."""
    n = round(4 * seconds * record.fs)
    signal = np.tile(np.float32(0.2), (12, n)) * np.arange(1, 13)[:, None].astype(np.float32)
    spans = tuple(
        LeadSpan(LEADS[3 * column + row], row, column * seconds, (column + 1) * seconds)
        for row in range(3) for column in range(4)
    )  # fmt: skip
    return replace(record, signal_mv=signal, spans=(*spans, LeadSpan("II", 3, 0.0, 4 * seconds)), **changes)


def test_paper_is_to_scale(record):
    paper = lay_out(spanned(record))
    assert [[lead.name for lead in row.leads] for row in paper.rows] == [
        ["I", "aVR", "V1", "V4"], ["II", "aVL", "V2", "V5"], ["III", "aVF", "V3", "V6"], ["II"]
    ]  # fmt: skip
    for row in paper.rows:
        assert row.zero_y_mm % 5 == 0
        for column, lead in enumerate(row.leads):
            assert lead.start_mm - row.leads[0].start_mm == pytest.approx(62.5 * column)
            assert lead.x_mm[0] == pytest.approx(lead.start_mm)
            assert lead.x_mm[-1] - lead.x_mm[0] == pytest.approx(25.0 * (lead.x_mm.size - 1) / record.fs)
            np.testing.assert_allclose(row.zero_y_mm - lead.y_mm, 2.0 * (LEADS.index(lead.name) + 1), atol=1e-4)
        (pulse,) = row.pulses
        assert np.ptp(pulse, axis=0)[1] == 10.0
        assert pulse[3, 0] - pulse[2, 0] == pytest.approx(5.0)
        assert pulse[-1, 0] < row.leads[0].start_mm
    assert paper.size_mm[0] > 250
    assert "25 mm/s" in paper.footer and "10 mm/mV" in paper.footer and NOTICE in paper.footer


def test_paper_at_other_scales(record):
    paper, twice = lay_out(spanned(record)), lay_out(spanned(record), speed=50.0, gain=20.0)
    for row, larger in zip(paper.rows, twice.rows, strict=True):
        for lead, other in zip(row.leads, larger.leads, strict=True):
            np.testing.assert_allclose(np.diff(other.x_mm), 2 * np.diff(lead.x_mm))
            np.testing.assert_allclose(larger.zero_y_mm - other.y_mm, 2 * (row.zero_y_mm - lead.y_mm), rtol=1e-6)
    assert "50 mm/s    20 mm/mV" in twice.footer
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(OptionError, match="speed"):
            record.plot(speed=bad)


def test_each_gain_of_a_row_has_its_pulse(record):
    paper = lay_out(spanned(record, chest_gain_mm_per_mv=5.0))
    heights = [[float(np.ptp(pulse[:, 1])) for pulse in row.pulses] for row in paper.rows]
    assert heights == [[10.0, 5.0]] * 3 + [[10.0]]
    v1 = paper.rows[0].leads[2]
    np.testing.assert_allclose(paper.rows[0].zero_y_mm - v1.y_mm, 5.0 * 0.2 * 7, rtol=1e-5)


def test_columns_of_the_same_seconds_stand_side_by_side(record):
    same = spanned(record)
    spans = tuple(replace(span, start_s=0.0, end_s=2.5) if span.row < 3 else span for span in same.spans)
    first = lay_out(replace(same, spans=spans)).rows[0]
    assert [lead.start_mm - first.leads[0].start_mm for lead in first.leads] == pytest.approx([0, 62.5, 125, 187.5])


@pytest.mark.parametrize(("layout", "rows"), [("3x4+1", [4, 4, 4, 1]), ("strips", [1] * 12)])
def test_paper_of_a_record_without_spans(record, layout, rows):
    paper = lay_out(replace(record, layout=layout))
    assert [len(row.leads) for row in paper.rows] == rows


def test_plot(record):
    record = spanned(record)
    record.signal_mv[0, 100:120] = np.nan
    figure = record.plot()
    (panel,) = figure.axes
    paper = lay_out(record)
    np.testing.assert_allclose(figure.get_size_inches() * 25.4, paper.size_mm)
    assert panel.get_xlim() == (0.0, paper.size_mm[0]) and panel.get_ylim() == (paper.size_mm[1], 0.0)
    drawn = {line.get_label(): line for line in panel.lines}
    np.testing.assert_allclose(drawn["V1"].get_xydata()[:, 0], paper.rows[0].leads[2].x_mm)
    assert np.isnan(drawn["I"].get_ydata()[100:120]).all(), "a gap stays one"
    texts = {text.get_text() for text in panel.texts}
    assert {*LEADS, "photo.jpg", paper.footer} <= texts


def test_plot_is_golden(record, tmp_path, golden, monkeypatch):
    """Blocks of 8 x 8 px are compared, without text, as fonts and their edges differ between versions."""
    monkeypatch.setattr("ecg_trt.io.writers.plot._text", lambda *_args, **_kwargs: None)
    path = tmp_path / "plot.png"
    waves = np.sin(np.arange(1000) / 8) * np.linspace(0.2, 1, 12)[:, None]
    replace(spanned(record), signal_mv=waves.astype(np.float32)).plot().savefig(path, dpi=40)
    got, want = (np.asarray(Image.open(source).convert("RGB"), np.float32) for source in (path, BytesIO(golden(path))))
    assert got.shape == want.shape
    rows, columns = (side // 8 for side in got.shape[:2])
    off = np.abs(got - want)[: 8 * rows, : 8 * columns].reshape(rows, 8, columns, 8, 3).mean((1, 3))
    assert off.max() < 16.0


def test_plot_without_matplotlib(record, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(OutputError, match=r'pip install -e "\.\[plot\]"'):
        record.plot()


def test_plot_of_a_name_that_is_no_formula(record, tmp_path):
    replace(record, source="$x_{\x00$.jpg").plot().savefig(tmp_path / "a.png", dpi=30)
    assert (tmp_path / "a.png").stat().st_size > 1000
