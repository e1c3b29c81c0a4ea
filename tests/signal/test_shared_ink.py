"""Ink belongs to one row."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.signal.shared_ink import shared_stretches, without_shared_ink
from ecg_trt.types import RectifiedPage, TraceMap

PX_PER_MM = (20.0, 4.5)
ASTRAY = slice(500, 900)  # 20 mm


def _page() -> RectifiedPage:
    return RectifiedPage(np.zeros((1, 1, 3), np.uint8), PX_PER_MM, (0.0, 0.0), np.zeros((1, 1), bool), 8.0)


def _without_jumps(trace: TraceMap, last: int = 900) -> TraceMap:
    """Let the lower row come to the upper one's pen, and leave it, over 6 mm."""
    trace.ridge_row[1, 380:500], trace.ridge_row[1, last : last + 120] = np.linspace((200, 104), (104, 200), 120).T
    return trace


def _trace(sure: tuple[float, float], astray: slice = ASTRAY) -> TraceMap:
    """Two rows; the lower one goes astray along the upper one's pen, with these confidences there."""
    rows = np.tile(np.array([[100.0], [200.0]], np.float32), (1, 2000))
    rows[1, astray] = rows[0, astray] + 1.0
    confidence = np.full(rows.shape, 0.98, np.float32)
    confidence[:, astray] = np.array(sure, np.float32)[:, None]
    return TraceMap(rows, confidence, np.zeros_like(rows))


def test_the_less_sure_row_is_left_out() -> None:
    for sure, loser in (((0.95, 0.6), 1), ((0.5, 0.9), 0)):
        before = _without_jumps(_trace(sure))
        after = without_shared_ink(_page(), before)
        assert np.isnan(after.ridge_row[loser, ASTRAY]).all() and not after.confidence[loser, ASTRAY].any()
        kept = np.ones(before.ridge_row.shape, bool)
        kept[loser, ASTRAY] = False
        assert np.array_equal(after.ridge_row[kept], before.ridge_row[kept])
        assert np.array_equal(after.confidence[kept], before.confidence[kept])


def test_rows_that_are_alike_or_cross_both_stay() -> None:
    crossing = _without_jumps(_trace((0.95, 0.6), slice(500, 600)), last=600)
    for trace in (_without_jumps(_trace((0.9, 0.88))), crossing):
        assert np.array_equal(without_shared_ink(_page(), trace).ridge_row, trace.ridge_row)


@pytest.mark.parametrize("stretch", [slice(500, 540), slice(500, 900), slice(0, 300), slice(1700, 2000)])
def test_a_row_that_jumps_to_another_pen_is_left_out_there(stretch: slice) -> None:
    before = _trace((0.6, 0.95), stretch)
    after = without_shared_ink(_page(), before)
    assert np.isnan(after.ridge_row[1, stretch]).all() and not after.confidence[1, stretch].any()
    assert np.isfinite(after.ridge_row).sum() == before.ridge_row.size - (stretch.stop - stretch.start)


def test_what_jumps_to_no_other_pen_stays() -> None:
    paced = _trace((0.9, 0.9), slice(500, 540))
    paced.ridge_row[1, 500:540] = 150
    assert np.array_equal(without_shared_ink(_page(), paced).ridge_row, paced.ridge_row)


def test_stretches_are_found() -> None:
    trace = _trace((0.9, 0.9))
    assert list(shared_stretches(_page(), trace.ridge_row)) == [(0, 1, 500, 900)]
    trace.ridge_row[0, 700] = np.nan
    assert list(shared_stretches(_page(), trace.ridge_row)) == [(0, 1, 500, 700), (0, 1, 701, 900)]
