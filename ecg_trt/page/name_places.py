"""Places at which the names of leads are printed.

Maps are (H, W) float32 in [0, 1], pixel (x, y) is page mm (x, y).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecg_trt.layout import LEAD_WORDS
from ecg_trt.page.name_evidence import LABEL_REACHES_MM, LABEL_RISE_MM
from ecg_trt.types import Array, Strip

# Response at the centre of a name that counts as seen, and number of names that give the offset of the others.
_NAME_SEEN, _ENOUGH_NAMES = 0.25, 3
_NAME_APART_MM = 5.0  # Distance of a name from where the others of the page are, beyond which it is another row's.
_NAME_HALF_MM = (3.5, 2.0)  # Half the width and half the height of a name.


def name_places(strips: Sequence[Strip], label: Array) -> Array:
    """Find where the name of each segment is printed: (n, 2) page mm (x, y), NaN where that is not known.

    A device prints all names at the same offset from their segments. The median offset of those that are read holds
    for the others.

    Args:
        strips: named strips.
        label: (words, H, W) map of the words of `layout.MARKED_WORDS`.
    """
    any_name = label[: len(LEAD_WORDS)].max(0)
    corners = np.array([(s.x_mm[0], strip.zero_y_mm) for strip in strips for s in strip.segments]).reshape(-1, 2)
    offsets = np.full(corners.shape, np.nan)
    for (x, y), offset in zip(corners, offsets, strict=True):
        left, top = (int(max(0, v + d)) for v, d in ((x, LABEL_REACHES_MM[0][0]), (y, LABEL_RISE_MM[0])))
        window = any_name[top : int(y + LABEL_RISE_MM[-1] + 1), left : int(x + LABEL_REACHES_MM[-1][1])]
        row, column = divmod(int(window.argmax()), window.shape[1]) if window.size else (0, 0)
        if window.size and window[row, column] > _NAME_SEEN:
            offset[:] = left + column - x, top + row - y
    if np.isfinite(offsets[:, 0]).sum() >= _ENOUGH_NAMES:
        median = np.nanmedian(offsets, 0)
        offsets = np.where(np.abs(offsets - median) <= _NAME_APART_MM, offsets, median)  # NaN is not near, either.
    return np.asarray(corners + offsets)


def name_boxes(strips: Sequence[Strip], label: Array) -> Array:
    """Mask the lead names: (H, W) bool; arguments as of `name_places`."""
    boxes = np.zeros(label.shape[1:], bool)
    for place in name_places(strips, label):
        if np.isfinite(place).all():
            columns, rows = (slice(max(0, round(v - r)), max(0, round(v + r) + 1))
                             for v, r in zip(place, _NAME_HALF_MM, strict=True))  # fmt: skip
            boxes[rows, columns] = True
    return boxes
