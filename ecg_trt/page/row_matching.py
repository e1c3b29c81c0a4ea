"""Matching of strips with the rows of a layout, in order from the top; either may be left out at a penalty."""

from __future__ import annotations

import numpy as np

from ecg_trt.types import Array


def best_sums(score: Array, penalty: Array, row_penalty: float) -> Array:
    """Greatest sums (k, n + 1, m + 1) of order-preserving matchings of the first i strips and j rows.

    Args:
        score: (k, n, m) of each strip as each row.
        penalty: (n,) of leaving a strip out.
        row_penalty: of leaving a row out.
    """
    k, n, m = score.shape
    best = np.zeros((k, n + 1, m + 1))
    best[:, 1:, 0] = -np.cumsum(penalty)
    best[:, 0] = -row_penalty * np.arange(m + 1)
    for i in range(n):
        for j in range(m):
            skipped = np.maximum(best[:, i, j + 1] - penalty[i], best[:, i + 1, j] - row_penalty)
            best[:, i + 1, j + 1] = np.maximum(best[:, i, j] + score[:, i, j], skipped)
    return best


def best_pairs(best: Array, score: Array, penalty: Array) -> list[tuple[int, int]]:
    """Trace back the matching behind `best_sums` of one score (n, m), from the top."""
    pairs, (i, j) = [], score.shape
    while i and j:
        if best[i, j] == best[i - 1, j - 1] + score[i - 1, j - 1]:
            pairs.append((i - 1, j - 1))
            i, j = i - 1, j - 1
        elif best[i, j] == best[i - 1, j] - penalty[i - 1]:
            i -= 1
        else:
            j -= 1
    return pairs[::-1]
