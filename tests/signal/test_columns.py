"""Time of columns and rows, from their beats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from ecg_trt.signal.assemble import lead_spans
from ecg_trt.signal.columns import _likeness, _same_seconds, continue_rows, place_columns, same_log_odds
from ecg_trt.types import Array, RectifiedPage, Segment, Strip, TraceMap, WarningCode

PX_PER_MM = (10.0, 4.5)
SPEED, START_MM, COLUMN_MM = 25.0, 10.0, 62.5
WIDTH = round((START_MM + 4 * COLUMN_MM + 20) * PX_PER_MM[0])
BEATS_S = np.cumsum([0.3, 0.82, 0.78, 0.86, 0.75, 0.9, 0.8, 0.77, 0.84, 0.81, 0.79, 0.88])  # of ten seconds
LEADS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))


def _row(beats_s: Array, delay_s: float = 0.0) -> Array:
    """Heights (WIDTH,) mm of a row of narrow waves."""
    times = (np.arange(WIDTH) / PX_PER_MM[0] - START_MM) / SPEED
    waves = 8 * np.exp(-(((times[:, None] - beats_s - delay_s) / 0.012) ** 2)).sum(1)
    return np.asarray(waves + 0.05 * np.sin(40 * times))


def _columns_of(beats_s: Array) -> Array:
    """Beats of the first 2.5 s, in each of four columns."""
    first = beats_s[beats_s < 2.45]
    return np.concatenate([first + 2.5 * k for k in range(4)])


def _scene(rows: Sequence[Array], names: Sequence[Sequence[str]]) -> tuple[RectifiedPage, tuple[Strip, ...], TraceMap]:
    image = np.full((10, WIDTH, 3), 255, np.uint8)
    page = RectifiedPage(image, PX_PER_MM, (0.0, 0.0), np.ones(image.shape[:2], bool), 8.0)
    end = START_MM + 4 * COLUMN_MM
    strips = []
    for k, leads in enumerate(names):
        edges = np.linspace(START_MM, end, len(leads) + 1)
        segments = tuple(Segment(n, (float(a), float(b))) for n, a, b in zip(leads, edges, edges[1:], strict=False))
        strips.append(Strip(30.0 * (k + 1), (START_MM, end), 1.0, segments))
    row_px = np.stack([page.row(s.zero_y_mm - height) for s, height in zip(strips, rows, strict=True)])
    x = np.arange(WIDTH) / PX_PER_MM[0]
    seen = np.where((x >= START_MM) & (x <= end), 1.0, 0.0)
    confidence = np.tile(seen, (len(rows), 1)).astype(np.float32)
    return page, tuple(strips), TraceMap(row_px.astype(np.float32), confidence, np.zeros_like(confidence))


@pytest.mark.parametrize("has_rhythm", [False, True])
def test_columns_of_the_same_seconds_are_placed_at_one_time(has_rhythm: bool) -> None:
    rows = [_row(_columns_of(BEATS_S), 0.004 * k) for k in range(3)] + [_row(BEATS_S)] * has_rhythm
    page, strips, trace = _scene(rows, (*LEADS, *((("II",),) * has_rhythm)))
    placed = place_columns(page, strips, trace, SPEED)
    assert placed.log_odds > 0
    assert [w.code for w in placed.warnings] == [WarningCode.COLUMNS_SIMULTANEOUS]
    spans = lead_spans(placed.strips, SPEED)
    assert {(s.start_s, s.end_s) for s in spans if s.row < 3} == {(0.0, 2.5)}
    assert [(s.lead, s.start_s, s.end_s) for s in spans if s.row == 3] == [("II", 0.0, 10.0)] * has_rhythm


@pytest.mark.parametrize("has_rhythm", [False, True])
def test_columns_in_sequence_stay_in_sequence(has_rhythm: bool) -> None:
    rows = [_row(BEATS_S, 0.004 * k) for k in range(3)] + [_row(BEATS_S)] * has_rhythm
    page, strips, trace = _scene(rows, (*LEADS, *((("II",),) * has_rhythm)))
    placed = place_columns(page, strips, trace, SPEED)
    assert placed.log_odds < -5 and placed.strips == strips and placed.warnings == ()
    assert [s.start_s for s in lead_spans(strips, SPEED)[:4]] == pytest.approx([0.0, 2.5, 5.0, 7.5])


def test_a_regular_rhythm_in_step_with_the_columns_does_not_tell() -> None:
    regular = 0.2 + 0.5 * np.arange(20)
    page, strips, trace = _scene([_row(regular)] * 4, (*LEADS, ("II",)))
    assert place_columns(page, strips, trace, SPEED).log_odds > -12, "it may be either"


def test_columns_half_a_beat_apart_are_no_columns_of_one_time() -> None:
    regular = 0.05 + 0.45 * np.arange(23)
    page, strips, trace = _scene([_row(regular, 0.003 * k) for k in range(3)], LEADS)
    assert place_columns(page, strips, trace, SPEED).log_odds < 0, "the second column begins in mid-beat"


def test_too_few_beats_and_single_columns_do_not_tell() -> None:
    page, strips, trace = _scene([_row(np.array([1.0, 6.0]))] * 3, LEADS)
    assert same_log_odds(page, strips, trace, SPEED) == 0.0
    page, strips, trace = _scene([_row(BEATS_S)] * 2, (("I",), ("II",)))
    assert same_log_odds(page, strips, trace, SPEED) == 0.0
    assert same_log_odds(page, (), trace, SPEED) == 0.0


def test_rows_without_names_that_show_other_beats_continue_one_another() -> None:
    rows = [_row(BEATS_S), _row(BEATS_S + 0.31), _row(0.2 + 1.1 * np.arange(9))]
    page, strips, trace = _scene(rows, (("strip1",), ("strip2",), ("strip3",)))
    trace.border[:, page_column(START_MM + 0.4)] = 0.9  # each row begins a little later than its strip
    placed = continue_rows(page, strips, trace, SPEED)
    assert {g.lead for s in placed for g in s.segments} == {"strip1"}
    spans = lead_spans(placed, SPEED)
    assert [s.start_s for s in spans] == pytest.approx([0.0, 10.0, 20.0]), "a whole number of large boxes"
    assert placed[0].x_mm == pytest.approx((START_MM + 0.4, START_MM + 250.4), abs=0.06)


def test_rows_of_one_time_or_of_several_names_stay_beside_each_other() -> None:
    together = _scene([_row(BEATS_S), _row(BEATS_S, 0.005)], (("strip1",), ("strip2",)))
    assert continue_rows(*together, SPEED) == together[1]
    named = _scene([_row(BEATS_S), _row(BEATS_S + 0.31)], (("I",), ("II",)))
    assert continue_rows(*named, SPEED) == named[1]


def page_column(x_mm: float) -> int:
    """Column of the page at page mm x."""
    return round(x_mm * PX_PER_MM[0])


@pytest.mark.parametrize(("interval", "is_sequence", "least", "most"), [
    (0.83, True, -4, 5),  # two intervals are as long as a column: nothing can be said
    (0.95, True, -99, -4),
    (0.95, False, 8, 99),
])  # fmt: skip
def test_a_rhythm_that_goes_on_from_column_to_column(
    interval: float, is_sequence: bool, least: float, most: float
) -> None:
    rng, length = np.random.default_rng(0), 1.66
    starts = [k * length for k in range(6)]
    beats = 0.3 + interval * np.arange(30)
    columns = []
    for start in starts:
        own = beats - start * is_sequence
        columns.append(own[(own > 0) & (own < length)] + rng.normal(0, 0.003))
    assert least < _same_seconds(columns, starts, length) < most


def test_rows_of_one_time_are_alike() -> None:
    rng, fs = np.random.default_rng(0), 500.0
    first, other = gaussian_filter1d(rng.standard_normal((2, 1000)), 10, axis=1)
    assert _likeness(first, np.roll(first, 4), fs) > 0.95 > 0.3 > _likeness(first, other, fs)
    assert _likeness(first, np.zeros(1000), fs) == 0 == _likeness(first[:10], first[:10], fs)


def test_columns_that_are_not_alike_show_other_seconds() -> None:
    shifted = [BEATS_S + k * 0.31 for k in range(4)]  # of each column, on one clock
    first = [beats[beats < 2.45] for beats in shifted]
    row = _row(np.concatenate([own + 2.5 * k for k, own in enumerate(first)]))
    page, strips, trace = _scene([row] * 3, LEADS)
    assert same_log_odds(page, strips, trace, SPEED) < -16
