"""The one place that knows which implementations of the pixel work there are."""

from __future__ import annotations

from ecg_trt.ops.base import ImageOps


def open_ops() -> ImageOps:
    """The pixel work on the CPU."""
    from ecg_trt.ops.cv2_ops import Cv2Ops

    return Cv2Ops()
