"""Which way ruled paper is ruled."""

from __future__ import annotations

import cv2
import numpy as np

from ecg_trt.types import Array

BLUR_SIGMA, BLUR_TAPS = 1.2, 11  # px; OpenCV takes as many taps for this sigma in float32
SEEN_REACH = 4  # px around, all of which must be seen
LIMIT_PERCENT, _LIMIT_TIMES = 80, 4.0  # a table's edge or a letter must not outweigh the ruling


def line_angle(grey: Array, seen: Array | None = None) -> tuple[float, float]:
    """By how much a right-angled ruling is turned.

    The gradients of a ruling point along two directions at right angles; their angle times four is one direction, of
    which the mean, weighted by the squared gradient, is taken.

    Args:
        grey: (H, W) uint8.
        seen: (H, W) bool, what of it to look at; everything if None.

    Returns:
        The angle in (-pi / 4, pi / 4], x towards y, rad; and the coherence in [0, 1], 1 for a perfect ruling.
    """
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (BLUR_TAPS, BLUR_TAPS), BLUR_SIGMA)
    gx, gy = cv2.Scharr(smooth, cv2.CV_32F, 1, 0), cv2.Scharr(smooth, cv2.CV_32F, 0, 1)
    power = gx * gx + gy * gy
    if seen is not None:
        around = np.ones((2 * SEEN_REACH + 1,) * 2, np.uint8)
        power *= cv2.erode(seen.astype(np.uint8), around, borderValue=0)
    limit = most_power(float(np.percentile(power, LIMIT_PERCENT)))
    angle = 4 * np.arctan2(gy, gx)
    weight = np.minimum(power, limit)
    return mean_direction(np.sum(weight * np.cos(angle)), np.sum(weight * np.sin(angle)), float(weight.sum()))


def most_power(percentile: float) -> float:
    """Squared gradient above which it weighs no more, from the `LIMIT_PERCENT`-th percentile."""
    return _LIMIT_TIMES * percentile + 1e-6


def mean_direction(cosine: float, sine: float, weight: float) -> tuple[float, float]:
    """Angle and coherence, as `line_angle` returns them, from the sums of the weights and of what they weigh."""
    total = complex(cosine, sine) / max(weight, 1.0)
    return float(np.angle(total)) / 4, abs(total)
