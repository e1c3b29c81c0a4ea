"""Ink that two rows claim: where rows cross, the trace of one can go on along the other's pen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np

from ecg_trt.signal.resample import runs
from ecg_trt.types import Array, RectifiedPage, TraceMap

_SAME_INK_MM, _CROSSING_MM = 0.6, 6.0  # Two pens this near, for longer than two rows take to cross, are one.
_JUMP_MM = 5.0  # Between two columns of the trace, twice as far as a QRS complex of 2 mV moves at 25 mm/s.
_PIECE_MM, _SHARED = 1.5, 0.5  # Least length of a piece between two jumps, and of another row's ink in it.
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

    A piece along another row's ink that is parted from its own row by jumps is left out. Else the ink is that row's
    whose confidences, as log-odds that it is its own, are higher on average; where they are alike, both stay.
    """
    sure = np.clip(trace.confidence, _SURE, 1 - _SURE)
    log_odds = np.log(sure / (1 - sure))
    ridge, confidence = trace.ridge_row.copy(), trace.confidence.copy()
    for loser, first, last in _astray(page, trace.ridge_row):
        ridge[loser, first:last], confidence[loser, first:last] = np.nan, 0.0
    for upper, lower, first, last in shared_stretches(page, ridge.copy()):
        more = float((log_odds[upper, first:last] - log_odds[lower, first:last]).mean())
        if abs(more) > _CLEARLY:
            loser = lower if more > 0 else upper
            ridge[loser, first:last], confidence[loser, first:last] = np.nan, 0.0
    return replace(trace, ridge_row=ridge, confidence=confidence)


def _astray(page: RectifiedPage, ridge_row: Array) -> Iterator[tuple[int, int, int]]:
    """Find pieces along another row's ink that are parted by jumps from the rest of their row.

    Yields:
        The strip, and the first and last + 1 column.
    """
    sx, sy = page.px_per_mm
    jumps = np.pad(np.abs(np.diff(ridge_row, axis=1)) > _JUMP_MM * sy, ((0, 0), (1, 1)))
    for k, row in enumerate(ridge_row):
        others = np.delete(ridge_row, k, axis=0)
        is_shared = (np.abs(others - row) < _SAME_INK_MM * sy).any(0)
        for start, end in runs(np.isfinite(row)).tolist():
            borders = [start, *(start + 1 + np.flatnonzero(jumps[k, start + 1 : end])).tolist(), end]
            for first, last in pairwise(borders):
                is_parted = (first, last) != (start, end) and last - first > _PIECE_MM * sx
                if is_parted and is_shared[first:last].mean() > _SHARED:
                    yield k, first, last
