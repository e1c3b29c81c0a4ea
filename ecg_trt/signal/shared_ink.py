"""Ink that two rows claim: where rows cross, the trace of one can go on along the other's pen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np

from ecg_trt.signal.resample import runs
from ecg_trt.types import Array, RectifiedPage, TraceMap

_SAME_INK_MM, _CROSSING_MM = 0.6, 6.0  # Two pens this near, for longer than two rows take to cross, are one.
_CLEARLY = 0.7  # Difference of the mean log-odds of two rows, nats, at which one of them owns the ink: odds of 2.
_SURE = 1e-3  # Distance of a confidence from 0 and 1 at least, so that its log-odds stay finite.


def shared_stretches(page: RectifiedPage, ridge_row: Array) -> Iterator[tuple[int, int, int, int]]:
    """Find where two rows' pens share ink for longer than crossing rows do.

    Args:
        page: frame of the trace.
        ridge_row: (strips, W) page px, NaN where there is no trace.

    Yields:
        Both strips, and the first and last + 1 column.
    """
    sx, sy = page.px_per_mm
    for upper, lower in combinations(range(len(ridge_row)), 2):
        for first, last in runs(np.abs(ridge_row[upper] - ridge_row[lower]) < _SAME_INK_MM * sy).tolist():
            if last - first > _CROSSING_MM * sx:
                yield upper, lower, first, last


def without_shared_ink(page: RectifiedPage, trace: TraceMap) -> TraceMap:
    """Leave out the trace of a row along ink that is clearly another row's.

    The ink is one row's alone: the one whose confidences, as log-odds that it is its own, are higher on average. Where
    they are alike, both stay.
    """
    sure = np.clip(trace.confidence, _SURE, 1 - _SURE)
    log_odds = np.log(sure / (1 - sure))
    ridge, confidence = trace.ridge_row.copy(), trace.confidence.copy()
    for upper, lower, first, last in shared_stretches(page, trace.ridge_row):
        more = float((log_odds[upper, first:last] - log_odds[lower, first:last]).mean())
        if abs(more) > _CLEARLY:
            loser = lower if more > 0 else upper
            ridge[loser, first:last], confidence[loser, first:last] = np.nan, 0.0
    return replace(trace, ridge_row=ridge, confidence=confidence)
