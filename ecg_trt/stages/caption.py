"""Reading of the calibration text: the paper speed and the gains that the page prints.

Stage 1 locates calibration text, at a scale at which it is not legible. Here each such place is cropped straight from
the photo, through the grid, at a scale at which characters can be distinguished, and read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import numpy as np

from ecg_trt.backends.base import Backend
from ecg_trt.layout import MARKED_WORDS, SETTING
from ecg_trt.ops.base import ImageOps
from ecg_trt.printed import Line, Quantity, Setting, decoded, lead_in, settings_of
from ecg_trt.stages.scaling import BESIDE_GREY, CAPTION_HW, CAPTION_PX_PER_MM, CAPTION_STRIDE, cell_centre
from ecg_trt.types import Array, GridWarp, Photo

Printed: TypeAlias = Mapping[Quantity, Mapping[float, float]]
"""Probability of each value that a page prints, by quantity; a quantity that is not printed is left out."""

_MARKED, _BESIDE_STRONGEST = 0.1, 0.4  # Least response of a place that is read, and its least share of the strongest's.
_MOST_PLACES = 6
_APART_MM = 4  # Places nearer to each other are one.
# Scales at which a setting is read: at a marked place; at its own middle, if it is cut there; if longer than a crop.
_SCALES_PX_PER_MM = (CAPTION_PX_PER_MM, CAPTION_PX_PER_MM, 5.0)
_EDGE_MM, _EDGE_CHARACTERS = 1.5, 2.0  # A value that begins or ends nearer to the crop's edge may be cut.


class Caption:
    """Reader of calibration text: photo, grid and heatmaps to the values that are printed.

    Args:
        backend: runs the network ``caption``.
        ops: pixel work.
    """

    def __init__(self, backend: Backend, ops: ImageOps) -> None:
        self.backend, self.ops = backend, ops

    def __call__(self, photo: Photo, grid: GridWarp, label: Array) -> Printed:
        """Read paper speed and gains, each value with the greatest probability of all places.

        Args:
            photo: the photo.
            grid: its grid.
            label: (words, H, W) of `MARKED_WORDS` at 1 px/mm of page mm.
        """
        printed: dict[Quantity, dict[float, float]] = defaultdict(dict)
        for place in marked_places(label[MARKED_WORDS.index(SETTING)]):
            for setting, probability in self._settings(photo, grid, place):
                values = printed[setting.quantity]
                values[setting.value] = max(values.get(setting.value, 0.0), probability)
        return dict(printed)

    def _settings(
        self, photo: Photo, grid: GridWarp, place: Array, scales: tuple[float, ...] = _SCALES_PX_PER_MM
    ) -> Iterator[tuple[Setting, float]]:
        """Read the settings around a place with their probabilities; one that is cut is read at the next scale."""
        line = self.line_at(photo, grid, place, scales[0])
        for setting in settings_of(line.text):
            middle = _middle_if_cut(line, setting, place, scales[0])
            if middle is None:
                yield setting, line.probability_of(setting)
            elif scales[1:]:
                yield from self._settings(photo, grid, middle, scales[1:])

    def lead_in_text(self, photo: Photo, grid: GridWarp, label: Array) -> str | None:
        """Find the lead that is named beside speed and gain; None where none is. Arguments as of `__call__`."""
        places = marked_places(label[MARKED_WORDS.index(SETTING)])
        ahead = np.array([CAPTION_HW[1] / CAPTION_PX_PER_MM / 3, 0.0])  # What stands between two places is read whole.
        named = (lead_in(self.line_at(photo, grid, at).text) for place in places for at in (place, place + ahead))
        return next((lead for lead in named if lead is not None), None)

    def line_at(self, photo: Photo, grid: GridWarp, place: Array, px_per_mm: float = CAPTION_PX_PER_MM) -> Line:
        """Read the line of text through one place (x, y), page mm; at full scale 16 mm to its left and right."""
        h, w = CAPTION_HW
        x, y = place - (np.array([w, h]) - 1) / 2 / px_per_mm
        scale = (px_per_mm, px_per_mm)
        crop, _ = self.ops.rectify(
            photo.image, grid.node_xy, grid.mm_per_cell, (x, y), scale, (h, w), "cubic", BESIDE_GREY
        )
        out = self.backend.infer({"image": crop.reshape(1, h, w, 3)})
        (logits,) = self.ops.download(out["text"])
        logits = np.asarray(np.nan_to_num(logits[0, 0]), np.float64)
        text, probability, columns = decoded(logits)
        places = x + cell_centre(np.arange(logits.shape[1]), CAPTION_STRIDE) / px_per_mm
        return Line(text, probability, places[columns], logits, places)


def _middle_if_cut(line: Line, setting: Setting, place: Array, px_per_mm: float) -> Array | None:
    """Find the middle (x, y) of a setting that the crop around a place may cut, page mm; None where it is whole.

    A digit may stand outside where the text begins nearer to the edge than its characters are apart.
    """
    first, last, pitch = line.extent(setting.span)
    reach = CAPTION_HW[1] / px_per_mm / 2 - max(_EDGE_MM, _EDGE_CHARACTERS * pitch)
    is_whole = max(abs(first - place[0]), abs(last - place[0])) <= reach
    return None if is_whole else np.array([(first + last) / 2, place[1]])


def joined(first: Printed, other: Printed) -> Printed:
    """Join what two looks at a page read; of one value, the greater probability counts."""
    return {kind: greatest(first.get(kind, {}), other.get(kind, {})) for kind in {*first, *other}}


def greatest(*readings: Mapping[float, float]) -> dict[float, float]:
    """Greatest probability of each value in any of some readings."""
    values = {value for reading in readings for value in reading}
    return {value: max(reading.get(value, 0.0) for reading in readings) for value in values}


def marked_places(heat: Array) -> Array:
    """Find calibration text in a heatmap (H, W) at 1 px/mm: at most 6 places (n, 2), page mm (x, y).

    The strongest is first, and the others are not much fainter, as names and dates cause responses, too.
    """
    left = heat.copy()
    least = max(_MARKED, _BESIDE_STRONGEST * float(heat.max(initial=0)))
    places: list[tuple[int, int]] = []
    while len(places) < _MOST_PLACES and left.size and left.max() > least:
        y, x = (int(k) for k in np.unravel_index(int(left.argmax()), left.shape))
        places.append((x, y))
        left[max(0, y - _APART_MM) : y + _APART_MM + 1, max(0, x - _APART_MM) : x + _APART_MM + 1] = 0
    return np.array(places, np.float64).reshape(-1, 2)
