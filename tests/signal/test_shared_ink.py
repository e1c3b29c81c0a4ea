"""Ink belongs to one row."""

from __future__ import annotations

import numpy as np

from ecg_trt.signal.shared_ink import shared_stretches, without_shared_ink
from ecg_trt.types import RectifiedPage, TraceMap

PX_PER_MM = (20.0, 4.5)
ASTRAY = slice(500, 900)  # 20 mm


def _page() -> RectifiedPage:
    return RectifiedPage(np.zeros((1, 1, 3), np.uint8), PX_PER_MM, (0.0, 0.0), np.zeros((1, 1), bool), 8.0)


def _trace(sure: tuple[float, float], astray: slice = ASTRAY) -> TraceMap:
    """Two rows; the lower one goes astray along the upper one's pen, with these confidences there."""
    rows = np.tile(np.array([[100.0], [200.0]], np.float32), (1, 2000))
    rows[1, astray] = rows[0, astray] + 1.0
    confidence = np.full(rows.shape, 0.98, np.float32)
    confidence[:, astray] = np.array(sure, np.float32)[:, None]
    return TraceMap(rows, confidence, np.zeros_like(rows))


def test_the_less_sure_row_is_left_out() -> None:
    for sure, loser in (((0.95, 0.6), 1), ((0.5, 0.9), 0)):
        before = _trace(sure)
        after = without_shared_ink(_page(), before)
        assert np.isnan(after.ridge_row[loser, ASTRAY]).all() and not after.confidence[loser, ASTRAY].any()
        kept = np.ones(before.ridge_row.shape, bool)
        kept[loser, ASTRAY] = False
        assert np.array_equal(after.ridge_row[kept], before.ridge_row[kept])
        assert np.array_equal(after.confidence[kept], before.confidence[kept])


def test_rows_that_are_alike_or_cross_both_stay() -> None:
    for trace in (_trace((0.9, 0.88)), _trace((0.95, 0.6), slice(500, 600))):
        assert np.array_equal(without_shared_ink(_page(), trace).ridge_row, trace.ridge_row)


def test_stretches_are_found() -> None:
    trace = _trace((0.9, 0.9))
    assert list(shared_stretches(_page(), trace.ridge_row)) == [(0, 1, 500, 900)]
    trace.ridge_row[0, 700] = np.nan
    assert list(shared_stretches(_page(), trace.ridge_row)) == [(0, 1, 500, 700), (0, 1, 701, 900)]
