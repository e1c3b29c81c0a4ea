"""Reading of the calibration text: the paper speed and the gain that the page prints.

Stage 1 locates calibration text, at a scale at which it is not legible. Here each such place is cropped straight from
the photo, through the grid, at a scale at which digits can be distinguished.
"""

from __future__ import annotations

import numpy as np

from ecg_trt.backends.base import Backend
from ecg_trt.geometry.heatmaps import sigmoid
from ecg_trt.layout import MARKED_WORDS, SETTING, SETTING_WORDS
from ecg_trt.ops.base import ImageOps
from ecg_trt.stages.scaling import BESIDE_GREY, CAPTION_HW, CAPTION_PX_PER_MM, caption_middle
from ecg_trt.types import Array, GridWarp, Photo

_MARKED, _BESIDE_STRONGEST = 0.1, 0.4  # Least response of a place that is read, and its least share of the strongest's.
_MOST_PLACES = 6
_APART_MM = 4  # Places nearer to each other are one.
_LINE_MM = 4  # Difference in height of places on one line at most; devices print speed and gain on one line.


class Caption:
    """Reader of calibration text: photo, grid and heatmaps to the response to each of `layout.SETTING_WORDS`.

    Args:
        backend: runs the network ``caption``.
        ops: pixel work.
    """

    def __init__(self, backend: Backend, ops: ImageOps) -> None:
        self.backend, self.ops = backend, ops

    def __call__(self, photo: Photo, grid: GridWarp, label: Array) -> dict[str, float]:
        """Measure the response to each label class, 0..1, the highest of all places.

        Args:
            photo: the photo.
            grid: its grid.
            label: (words, H, W) of `MARKED_WORDS` at 1 px/mm of page mm.
        """
        best = np.zeros(len(SETTING_WORDS))
        for place in marked_places(label[MARKED_WORDS.index(SETTING)]):
            best = np.maximum(best, self._read(photo, grid, place))
        return {word: float(response) for word, response in zip(SETTING_WORDS, best, strict=True)}

    def _read(self, photo: Photo, grid: GridWarp, place: Array) -> Array:
        """Responses (classes,) at one place (x, y), page mm."""
        h, w = CAPTION_HW
        x, y = place - (np.array([w, h]) - 1) / 2 / CAPTION_PX_PER_MM
        scale = (CAPTION_PX_PER_MM, CAPTION_PX_PER_MM)
        crop, _ = self.ops.rectify(
            photo.image, grid.node_xy, grid.mm_per_cell, (x, y), scale, (h, w), "cubic", BESIDE_GREY
        )
        out = self.backend.infer({"image": crop.reshape(1, h, w, 3)})
        (setting,) = self.ops.download(out["setting"])
        return np.asarray(np.nan_to_num(sigmoid(setting[0][..., caption_middle()])).max((1, 2)))


def marked_places(heat: Array) -> Array:
    """Find calibration text in a heatmap (H, W) at 1 px/mm: at most 6 places (n, 2), page mm (x, y).

    The strongest is first, and the others lie on its line, as names and dates elsewhere on the page cause faint
    responses, too.
    """
    left = heat.copy()
    least = max(_MARKED, _BESIDE_STRONGEST * float(heat.max(initial=0)))
    places: list[tuple[int, int]] = []
    while len(places) < _MOST_PLACES and left.size and left.max() > least:
        y, x = (int(k) for k in np.unravel_index(int(left.argmax()), left.shape))
        if not places:
            left[: max(0, y - _LINE_MM)] = left[y + _LINE_MM + 1 :] = 0
        places.append((x, y))
        left[max(0, y - _APART_MM) : y + _APART_MM + 1, max(0, x - _APART_MM) : x + _APART_MM + 1] = 0
    return np.array(places, np.float64).reshape(-1, 2)
