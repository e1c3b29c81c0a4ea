"""What the page prints about paper speed and gain.

Stage 1 marks where a setting stands, at a scale that does not show which. Here each such place is looked at again,
straight from the photo through the lattice, at a scale at which digits are told apart.
"""

from __future__ import annotations

import numpy as np

from ecg_trt.backends.base import Backend
from ecg_trt.geometry.heatmaps import sigmoid
from ecg_trt.layout import MARKED_WORDS, SETTING, SETTING_WORDS
from ecg_trt.ops.base import ImageOps
from ecg_trt.stages.scaling import BESIDE_GREY, CAPTION_HW, CAPTION_PX_PER_MM, caption_middle
from ecg_trt.types import Array, GridWarp, Photo

_MARKED, _BESIDE_STRONGEST = 0.1, 0.4  # heat at which a place is worth a look, and its share of the strongest's
_MOST_PLACES = 6
_APART_MM = 4  # places nearer to each other are one
_LINE_MM = 4  # by which places on one line may differ in height; devices print speed and gain on one


class Caption:
    """Photo, lattice and marks to how well each of `layout.SETTING_WORDS` is read.

    Args:
        backend: runs the network ``caption``.
        ops: pixel work.
    """

    def __init__(self, backend: Backend, ops: ImageOps) -> None:
        self.backend, self.ops = backend, ops

    def __call__(self, photo: Photo, grid: GridWarp, label: Array) -> dict[str, float]:
        """Response to each setting, 0..1, the highest of all places.

        Args:
            photo: the photo.
            grid: its lattice.
            label: (words, H, W) of `MARKED_WORDS` at 1 px/mm of page mm.
        """
        best = np.zeros(len(SETTING_WORDS))
        for place in marked_places(label[MARKED_WORDS.index(SETTING)]):
            best = np.maximum(best, self._read(photo, grid, place))
        return {word: float(response) for word, response in zip(SETTING_WORDS, best, strict=True)}

    def _read(self, photo: Photo, grid: GridWarp, place: Array) -> Array:
        """(settings,) response of each at one place (x, y), page mm."""
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
    """(n, 2) page mm (x, y) of the marks of (H, W) at 1 px/mm on the line of the strongest, which is first, at most 6.

    Names and dates elsewhere on the page are marked faintly, too.
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
