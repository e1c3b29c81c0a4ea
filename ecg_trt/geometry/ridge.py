"""Ridge of a trace in a heatmap of logits: candidates of each column, and the path through them."""

from __future__ import annotations

import numpy as np

from ecg_trt.errors import OptionError
from ecg_trt.types import Array

RIDGE_CANDIDATES, RIDGE_HALF_WINDOW = 6, 18  # Local maxima a column, and rows on either side of the one decoded.
# For columns of 0.05 mm and rows of 0.22 mm:
RIDGE_FLOOR = -6.0  # Nats below the best of a column; all candidates beyond are equally impossible.
RIDGE_FREE_ROWS = 12  # A steep wave climbs 2.5 mm from one column to the next; letters are mostly farther off.
RIDGE_JUMP_PENALTY, RIDGE_MOST_PENALTY = 0.5, 8.0  # Nats for each row of a jump beyond the free ones, and at most.


def ridge_maxima(logits: Array, candidates: int = RIDGE_CANDIDATES) -> tuple[Array, Array]:
    """Find the highest local maxima of each column.

    Args:
        logits: (S, H, W), one map a strip.
        candidates: K, how many; H at most.

    Returns:
        row (S, K, W) int64, and score (S, K, W) float32, nats relative to the column's best, which is first. Where
        there are fewer, the score is -inf and the row that of the best; all scores of a column are -inf in which the
        network overflowed.
    """
    maps = np.asarray(logits, np.float32)
    strips, _, width = maps.shape
    padded = np.pad(maps, ((0, 0), (1, 1), (0, 0)), constant_values=-np.inf)
    is_peak = (maps >= padded[:, :-2]) & (maps > padded[:, 2:])
    strip, x, row = np.nonzero(is_peak.swapaxes(1, 2))
    height, column = maps[strip, row, x], strip * width + x
    order = np.lexsort((-height, column))  # The peaks of a column stand together, the highest first.
    # One more stands for the peaks of columns without any.
    row, height = np.append(row[order], 0), np.append(height[order], np.float32(-np.inf))
    bounds = np.searchsorted(column[order], np.arange(strips * width + 1))
    best, end = bounds[:-1, None], bounds[1:, None]
    place = best + np.arange(candidates)
    is_there = place < end
    place = np.where(is_there, place, np.where(best < end, best, len(order)))
    with np.errstate(invalid="ignore"):
        score = np.where(is_there, height[place] - height[best], np.float32(-np.inf))
    score[np.isnan(score)] = -np.inf
    shape = strips, width, candidates
    return row[place].reshape(shape).swapaxes(1, 2), score.reshape(shape).swapaxes(1, 2)


def ridge_path(row: Array, score: Array) -> Array:
    """Find the best connected path through the candidates of each column.

    It is the path whose log-probabilities less the penalties of its jumps add up to most (Viterbi, 1967).

    Args:
        row: (S, K, W).
        score: (S, K, W), nats relative to the column's best; very low ones are all equally impossible.

    Returns:
        (S, W) int64, which of the K.
    """
    rows = np.asarray(row, np.int64)
    gain = np.maximum(score, np.float32(RIDGE_FLOOR))
    out = np.empty((rows.shape[0], rows.shape[2]), np.int64)
    for strip, at in enumerate(rows):
        jump = np.abs(at[:, None, 1:] - at[None, :, :-1])
        penalty = np.minimum(RIDGE_JUMP_PENALTY * np.maximum(jump - RIDGE_FREE_ROWS, 0), RIDGE_MOST_PENALTY)
        out[strip] = _best_path(gain[strip], penalty)
    return out


def follow_ridge(logits: Array, *, candidates: int = RIDGE_CANDIDATES) -> Array:
    """Find the row of a connected ridge in each column.

    Letters and ticks beside the pen may outshine it for a few columns. So the row is that of the `ridge_path` through
    the `ridge_maxima` of each column, and not the highest maximum.

    Args:
        logits: (S, H, W), one map a strip.
        candidates: local maxima looked at in each column.

    Returns:
        (S, W) int64 rows.
    """
    row, score = ridge_maxima(logits, candidates)
    return np.asarray(np.take_along_axis(row, ridge_path(row, score)[:, None], 1)[:, 0])


def _best_path(score: Array, penalty: Array) -> Array:
    """Index (W,) of the best candidate in each column, from score (K, W) and penalty (K, K, W - 1) to k from j."""
    steps = np.ascontiguousarray(penalty.transpose(2, 0, 1))
    gain = np.ascontiguousarray(score.T)
    back = np.empty(steps.shape[:2], np.int64)
    total = gain[0]
    every = np.arange(len(total))
    for x, step in enumerate(steps):
        reach = total - step
        back[x] = best = reach.argmax(1)
        total = reach[every, best] + gain[x + 1]
    path = np.empty(len(gain), np.int64)
    path[-1] = total.argmax()
    for x in range(len(steps) - 1, -1, -1):
        path[x] = back[x, path[x + 1]]
    return path


def decode_ridge(
    logits: Array, *, half_window: int = RIDGE_HALF_WINDOW, centre: Array | None = None
) -> tuple[Array, Array]:
    """Decode the sub-pixel row of the ridge in each column.

    It is the expectation of the softmax inside a window around its greatest entry, taken relative to the window's
    centre so that float32 (or less, on other hardware) is enough whatever the height.

    Args:
        logits: (S, H, W), one map a strip.
        half_window: rows on either side of the centre.
        centre: (S, W) centres of the windows, as from `follow_ridge`; the maxima if None.

    Returns:
        row (S, W) float32, px, and peak (S, W) float32 in [0, 1], the share of the softmax inside the window. Where
        that is nothing, or the network overflowed (NaN, infinite), the share is 0, and the row the centre.

    Raises:
        OptionError: not three axes, an empty one, or a negative window.
    """
    maps = np.asarray(logits, np.float32)
    if maps.ndim != 3 or 0 in maps.shape or half_window < 0:
        raise OptionError(
            "The ridge cannot be decoded",
            got=f"maps of shape {maps.shape}, half_window {half_window}",
            expected="(strips, H, W), none empty, and half_window of 0 or more",
            hint="Pass the trace network's logits.",
        )
    height = maps.shape[1]
    top = maps.max(axis=1, keepdims=True)
    centre = np.argmax(maps, axis=1, keepdims=True) if centre is None else centre[:, None]
    offset = np.arange(-half_window, half_window + 1)[:, None]
    rows = centre + offset
    near = np.take_along_axis(maps, rows.clip(0, height - 1), axis=1)
    with np.errstate(invalid="ignore"):
        total = np.exp(maps - top).sum(axis=1)
        near = np.where((rows >= 0) & (rows < height), np.exp(near - top), np.float32(0))
        mass = near.sum(axis=1)
        share = mass / total
        shift = (near * offset.astype(np.float32)).sum(axis=1) / mass
    known = share > 0  # NaN, where the network overflowed, is not above 0.
    shift, share = (np.where(known, a, np.float32(0)) for a in (shift, share))
    return centre[:, 0].astype(np.float32) + shift, np.minimum(share, np.float32(1))
