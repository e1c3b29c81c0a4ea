"""Which way ruled paper is ruled."""

from __future__ import annotations

import cv2
import numpy as np

from ecg_trt.types import Array


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
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.2)
    gx, gy = cv2.Scharr(smooth, cv2.CV_32F, 1, 0), cv2.Scharr(smooth, cv2.CV_32F, 0, 1)
    power = gx * gx + gy * gy
    if seen is not None:
        power *= cv2.erode(seen.astype(np.uint8), np.ones((9, 9), np.uint8), borderValue=0)
    limit = 4 * float(np.percentile(power, 80)) + 1e-6  # a table's edge or a letter must not outweigh the ruling
    angle = 4 * np.arctan2(gy, gx)
    weight = np.minimum(power, limit)
    total = complex(np.sum(weight * np.cos(angle)), np.sum(weight * np.sin(angle))) / max(float(weight.sum()), 1.0)
    return float(np.angle(total)) / 4, abs(total)
