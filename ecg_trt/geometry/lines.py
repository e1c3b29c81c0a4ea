"""Orientation of a printed grid, by its structure tensor."""

from __future__ import annotations

import cv2
import numpy as np

from ecg_trt.types import Array

BLUR_SIGMA, BLUR_TAPS = 1.2, 11  # Pixels; OpenCV takes 11 taps for this sigma in float32.
SEEN_REACH = 4  # Pixels; a gradient counts only if the photo shows all pixels within this distance.
# Gradients beyond four times the 80th percentile weigh no more, so that the edge of a table or a letter does not
# outweigh the grid.
LIMIT_PERCENT, _LIMIT_TIMES = 80, 4.0


def line_angle(grey: Array, seen: Array | None = None) -> tuple[float, float]:
    """Measure the angle by which a right-angled grid is rotated.

    The gradients of a grid point along two directions at right angles. Four times their angle is one direction, of
    which the mean, weighted by the squared gradient, is taken.

    Args:
        grey: (H, W) uint8.
        seen: (H, W) bool, pixels that the photo shows; all if None.

    Returns:
        The angle in (-pi / 4, pi / 4], x towards y, rad; and the coherence in [0, 1], 1 for a perfect grid.
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
    """Compute the squared gradient above which a gradient weighs no more, from the `LIMIT_PERCENT`-th percentile."""
    return _LIMIT_TIMES * percentile + 1e-6


def mean_direction(cosine: float, sine: float, weight: float) -> tuple[float, float]:
    """Compute the angle and coherence of `line_angle` from the weighted sums of cosines and sines and the weight."""
    total = complex(cosine, sine) / max(weight, 1.0)
    return float(np.angle(total)) / 4, abs(total)
